/* layout.c: a whole tensor between dense rows and its storage.
 *
 * Needs: a layout as matrix products read it, elements of 4 bytes; says so where it has another.
 * The axes become loops with a step on either side; neighbours that are one walk on both sides are
 * merged. One axis is contiguous in the rows and another in the storage: these two are gone through
 * in small tiles. Row by row every element would open a cache line of the other side that is gone
 * again before its neighbour comes: half of the time to load a model. */
#include "runtime/core.h"

#include <string.h>

enum { AXES = 2 * DLRT_MAX_RANK, TILE_DENSE = 16, TILE_STORED = 8, SIZE = 4 };

typedef struct {
    int64_t n, dense, stored; /* steps in elements */
} Axis;

typedef struct {
    Axis axes[AXES];
    int n;
} Axes;

static void push(Axes *x, int64_t n, int64_t dense, int64_t stored)
{
    Axis *outer = x->n ? &x->axes[x->n - 1] : NULL;
    if (n == 1)
        return;
    if (outer && outer->dense == n * dense && outer->stored == n * stored)
        *outer = (Axis){ outer->n * n, dense, stored };
    else
        x->axes[x->n++] = (Axis){ n, dense, stored };
}

/* In the order of the rows. False: an axis that its blocks do not divide. */
static bool find_axes(const DlrtTensor *t, Axes *out)
{
    const DlrtLayout *l = t->layout;
    int64_t dense = 1;
    for (int d = 0; d < t->rank; d++)
        dense *= t->dims[d];
    *out = (Axes){ .n = 0 };
    for (int d = 0; d < t->rank && dense; d++) {
        int64_t n = t->dims[d], block = l->block[d];
        dense /= n;
        if (block && n % block)
            return false;
        if (block) {
            push(out, n / block, dense * block, l->stride[d]);
            push(out, block, dense, l->inner[d]);
        } else {
            push(out, n, dense, l->stride[d]);
        }
    }
    return out->n > 0;
}

/* Takes the axis with step 1 out of the loops. */
static bool take_axis(Axes *x, bool stored, Axis *out)
{
    for (int i = 0; i < x->n; i++) {
        if ((stored ? x->axes[i].stored : x->axes[i].dense) != 1)
            continue;
        *out = x->axes[i];
        memmove(&x->axes[i], &x->axes[i + 1], (size_t)(x->n - i - 1) * sizeof *x->axes);
        x->n--;
        return true;
    }
    return false;
}

typedef struct {
    char *dense, *stored;
    bool to_dense;
    Axis row, column; /* contiguous in the rows; in the storage */
} Plane;

static inline void move_tile(const Plane *p, char *dense, char *stored, int64_t rows,
                             int64_t columns, bool to_dense)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) {
            char *a = dense + SIZE * (c * p->column.dense + r),
                 *b = stored + SIZE * (r * p->row.stored + c);
            memcpy(to_dense ? a : b, to_dense ? b : a, SIZE);
        }
}

static void move_plane(const Plane *p, int64_t dense_at, int64_t stored_at)
{
    if (p->row.stored == 1) {
        char *a = p->dense + SIZE * dense_at, *b = p->stored + SIZE * stored_at;
        memcpy(p->to_dense ? a : b, p->to_dense ? b : a, (size_t)p->row.n * SIZE);
        return;
    }
    for (int64_t r = 0; r < p->row.n; r += TILE_DENSE)
        for (int64_t c = 0; c < p->column.n; c += TILE_STORED) {
            int64_t rows = p->row.n - r < TILE_DENSE ? p->row.n - r : TILE_DENSE,
                    columns = p->column.n - c < TILE_STORED ? p->column.n - c : TILE_STORED;
            char *dense = p->dense + SIZE * (dense_at + c * p->column.dense + r),
                 *stored = p->stored + SIZE * (stored_at + r * p->row.stored + c);
            if (columns == TILE_STORED && !p->to_dense)
                move_tile(p, dense, stored, rows, TILE_STORED, false);
            else
                move_tile(p, dense, stored, rows, columns, p->to_dense);
        }
}

/* Every plane, by the loops that are left. */
static void move_planes(const Axes *x, const Plane *p)
{
    int64_t index[AXES] = { 0 }, dense = 0, stored = 0;
    for (int i = x->n;;) {
        if (i == x->n)
            move_plane(p, dense, stored);
        if (--i < 0)
            return;
        dense += x->axes[i].dense;
        stored += x->axes[i].stored;
        if (++index[i] < x->axes[i].n) {
            i = x->n;
            continue;
        }
        dense -= index[i] * x->axes[i].dense;
        stored -= index[i] * x->axes[i].stored;
        index[i] = 0;
    }
}

bool dlrt_layout_move(const DlrtTensor *t, void *stored, void *dense, bool to_dense)
{
    Axes x;
    Plane p = { .dense = dense, .stored = stored, .to_dense = to_dense };
    if (dlrt_dtype_size(t->dtype) != SIZE || !find_axes(t, &x) || !take_axis(&x, false, &p.row))
        return false;
    if (p.row.stored != 1 && !take_axis(&x, true, &p.column))
        return false;
    move_planes(&x, &p);
    return true;
}
