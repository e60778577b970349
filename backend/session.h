/* session.h: a Unit compiled in this process and ready to run: what dlrun stands on. */
#ifndef DLCC_BACKEND_SESSION_H
#define DLCC_BACKEND_SESSION_H
#include "backend/model.h"

typedef struct Session Session;

/* Compiles u (whose passes have run: u->program is set) for `t` and links it in memory. `calls`
 * resolves the runtime's calls by name. NULL: a diagnostic is recorded. Freed before u's compiler.
 */
Session *session_new(Unit *u, const Target *t, DlrtCall *(*call_address)(const char *symbol));
void session_free(Session *s);

const DlrtModel *session_model(const Session *s);
/* Seconds of code generation, and how many kernels came from the cache. */
void session_report(const Session *s, double *out_seconds, uint32_t *out_kernels,
                    uint32_t *out_cached);

#endif
