/* embedded.h: the runtime inside this program: its object code, and the headers that tables are
 * compiled with. */
#ifndef DLCC_BACKEND_EMBEDDED_H
#define DLCC_BACKEND_EMBEDDED_H
#include <stddef.h>
#include <stdint.h>

extern const uint8_t embedded_dlrt_o[], embedded_dlrt_o_end[];
extern const uint8_t embedded_dlrt_h[], embedded_dlrt_h_end[];
extern const uint8_t embedded_plan_h[], embedded_plan_h_end[];

static inline size_t embedded_size(const uint8_t *begin, const uint8_t *end)
{
    return (size_t)(end - begin);
}

#endif
