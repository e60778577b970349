/* calls.c: the runtime's functions that plans call by name, for models linked in memory. */
#include "driver/engine.h"
#include "runtime/call.h"

#include <string.h>

DlrtCall *engine_call(const char *symbol)
{
    static const struct {
        const char *symbol;
        DlrtCall *call;
    } calls[] = {
        { "dlrt_call_copy", dlrt_call_copy },
        { "dlrt_call_qr", dlrt_call_qr },
        { "dlrt_call_scatter", dlrt_call_scatter },
        { "dlrt_call_solve", dlrt_call_solve },
        { "dlrt_call_solve_triangle", dlrt_call_solve_triangle },
        { "dlrt_call_sort", dlrt_call_sort },
        { "dlrt_call_suppress", dlrt_call_suppress },
        { "dlrt_call_top_k", dlrt_call_top_k },
        { "dlrt_call_triangle", dlrt_call_triangle },
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!strcmp(calls[i].symbol, symbol))
            return calls[i].call;
    return NULL;
}
