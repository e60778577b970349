/* counted.h: results whose size only the data tell. They are buffers of the largest size; beside
 * the result `y` stands one called `y.count.1`, which says how many of its axis 1 count. */
#ifndef DLCC_DRIVER_COUNTED_H
#define DLCC_DRIVER_COUNTED_H
#include "runtime/dlrt.h"

/* Result number i says how long another one is. */
bool counted_is_count(const DlrtEntry *entry, uint32_t i);
/* Result number i is a buffer: moves the elements that count, row-major, to its front, and writes
 * its dims, which are the given ones (those of the buffer) but for one axis. Of any other result it
 * does nothing. Once after each call. */
void counted_cut(const DlrtEntry *entry, uint32_t i, void *const *outputs, int64_t *dims);

#endif
