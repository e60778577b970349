/* cache.h: compiled kernels kept on disk, by what they were made from. */
#ifndef DLCC_BACKEND_CACHE_H
#define DLCC_BACKEND_CACHE_H
#include "backend/object.h"

typedef struct Cache Cache;

/* Opens the cache in $DLCC_CACHE ("off": none), else $XDG_CACHE_HOME/dlcc, else $HOME/.cache/dlcc,
 * making the directory. NULL when there is none to be had: compilation goes on without. */
Cache *cache_open(void);
/* Removes the oldest entries when the cache has grown past its bound, and frees c. NULL is allowed.
 */
void cache_close(Cache *c);

/* The object for this kernel text, target and symbol, made by this build of the code generator.
 * False when there is none, or none that is whole. Both may be called from several threads; c may
 * be NULL. */
bool cache_get(Cache *c, const char *text, const Target *t, const char *symbol,
               KernelObject *out_object);
/* Stores it; failure (a full disk) is silent. Readers see the old file or the new one, never a
 * part. */
void cache_put(Cache *c, const char *text, const Target *t, const char *symbol,
               const KernelObject *object);

#endif
