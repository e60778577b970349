/* call_sort.c: sorting rows, and the first k of a row, with the places they come from.
 *
 * Values become unsigned keys of the same width whose order is the wanted one: floats by
 * flipping bits, -0 as 0, NaN above all, and all inverted if descending. A pair (key, place) is
 * never equal to another, so that any sorting method gives the stable order, and one that needs
 * no memory will do: quicksort of both arrays in step, ending in insertion sort, and heapsort
 * where it goes badly (introsort, Musser 1997). Keys live in the buffer of the results until the
 * end. */
#include "runtime/call.h"
#include "runtime/dlrt.h"

#include <math.h>
#include <string.h>

typedef struct {
    void *key; /* uint64_t or uint32_t */
    int64_t *place;
    bool wide;
} Pairs;

typedef struct {
    uint64_t key;
    int64_t place;
} Pair;

static Pair get(const Pairs *p, int64_t i)
{
    uint64_t key = p->wide ? ((uint64_t *)p->key)[i] : ((uint32_t *)p->key)[i];
    return (Pair){ key, p->place[i] };
}

static void set(const Pairs *p, int64_t i, Pair v)
{
    if (p->wide)
        ((uint64_t *)p->key)[i] = v.key;
    else
        ((uint32_t *)p->key)[i] = (uint32_t)v.key;
    p->place[i] = v.place;
}

static bool less(Pair a, Pair b)
{
    return a.key != b.key ? a.key < b.key : a.place < b.place;
}

static void swap(const Pairs *p, int64_t i, int64_t k)
{
    Pair a = get(p, i), b = get(p, k);
    set(p, i, b);
    set(p, k, a);
}

/* ---- Keys ---- */

/* Bits of a float in the order of its values: negative ones reversed below the others. */
static uint64_t float_key(uint64_t bits, uint64_t sign)
{
    return bits & sign ? (sign << 1) - 1 - bits : bits | sign;
}

static uint64_t key_of(const void *x, int64_t dtype, int64_t i, bool descending)
{
    uint64_t key, all = dlrt_dtype_size((int)dtype) == 8 ? UINT64_MAX : UINT32_MAX;
    uint32_t bits;
    if (dtype == DLRT_F64 || dtype == DLRT_F32) {
        double v = dtype == DLRT_F64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
        float f = (float)v;
        if (isnan(v))
            return all; /* last in both directions: infinity's key is less, inverted too */
        v = v == 0 ? 0 : v;
        f = f == 0 ? 0 : f;
        memcpy(&key, &v, 8);
        memcpy(&bits, &f, 4);
        key = dtype == DLRT_F64 ? float_key(key, UINT64_C(1) << 63)
                                : float_key(bits, UINT64_C(1) << 31);
    } else {
        key = dtype == DLRT_I64 ? (uint64_t)((const int64_t *)x)[i] ^ UINT64_C(1) << 63
                                : (uint32_t)((const int32_t *)x)[i] ^ UINT32_C(1) << 31;
    }
    return descending ? all - key : key;
}

/* ---- Sorting ---- */

static void insertion_sort(const Pairs *p, int64_t lo, int64_t hi)
{
    for (int64_t i = lo + 1; i < hi; i++) {
        Pair v = get(p, i);
        int64_t k = i;
        for (; k > lo && less(v, get(p, k - 1)); k--)
            set(p, k, get(p, k - 1));
        set(p, k, v);
    }
}

/* Pairs lo + [0, n) are a heap, its largest first, but for `root`. */
static void sift(const Pairs *p, int64_t lo, int64_t root, int64_t n)
{
    Pair v = get(p, lo + root);
    int64_t child;
    while ((child = 2 * root + 1) < n) {
        if (child + 1 < n && less(get(p, lo + child), get(p, lo + child + 1)))
            child++;
        if (!less(v, get(p, lo + child)))
            break;
        set(p, lo + root, get(p, lo + child));
        root = child;
    }
    set(p, lo + root, v);
}

static void heap_make(const Pairs *p, int64_t lo, int64_t n)
{
    for (int64_t i = n / 2; i-- > 0;)
        sift(p, lo, i, n);
}

/* A heap into ascending order. */
static void heap_sort(const Pairs *p, int64_t lo, int64_t n)
{
    for (; n > 1; n--) {
        swap(p, lo, lo + n - 1);
        sift(p, lo, 0, n - 1);
    }
}

/* Splits [lo, hi) around the median of three (Hoare): returns m with [lo, m) <= [m, hi), both not
 * empty. */
static int64_t partition(const Pairs *p, int64_t lo, int64_t hi)
{
    int64_t mid = lo + (hi - lo) / 2, i = lo - 1, k = hi;
    if (less(get(p, mid), get(p, lo)))
        swap(p, mid, lo);
    if (less(get(p, hi - 1), get(p, lo)))
        swap(p, hi - 1, lo);
    if (less(get(p, hi - 1), get(p, mid)))
        swap(p, hi - 1, mid);
    Pair pivot = get(p, mid);
    for (;;) {
        while (less(get(p, ++i), pivot))
            ;
        while (less(pivot, get(p, --k)))
            ;
        if (i >= k)
            return k + 1;
        swap(p, i, k);
    }
}

static void sort_pairs(const Pairs *p, int64_t n)
{
    enum { SMALL = 16 };
    /* The smaller part first: never more than one entry for each halving. */
    struct { int64_t lo, hi; int left; } stack[64], s = { 0, n, 0 };
    int depth = 0;
    for (int64_t k = n; k > 1; k /= 2)
        s.left += 2;
    for (;;) {
        while (s.hi - s.lo > SMALL) {
            if (s.left-- == 0) {
                heap_make(p, s.lo, s.hi - s.lo);
                heap_sort(p, s.lo, s.hi - s.lo);
                s.lo = s.hi;
                break;
            }
            int64_t m = partition(p, s.lo, s.hi);
            stack[depth] = s;
            if (m - s.lo < s.hi - m) {
                stack[depth++].lo = m;
                s.hi = m;
            } else {
                stack[depth++].hi = m;
                s.lo = m;
            }
        }
        insertion_sort(p, s.lo, s.hi);
        if (depth == 0)
            return;
        s = stack[--depth];
    }
}

/* The values that belong to the places, where the keys were. */
static void take(const Pairs *p, const void *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (p->wide)
            ((uint64_t *)p->key)[i] = ((const uint64_t *)x)[p->place[i]];
        else
            ((uint32_t *)p->key)[i] = ((const uint32_t *)x)[p->place[i]];
    }
}

void dlrt_call_sort(void *const *bufs, const int64_t *args, int64_t B, int64_t begin, int64_t end)
{
    int64_t dtype = args[0], n = args[1], size = (int64_t)dlrt_dtype_size((int)dtype);
    (void)B;
    for (int64_t row = begin; row < end; row++) {
        const char *x = (const char *)bufs[0] + row * n * size;
        Pairs p = { (char *)bufs[1] + row * n * size, (int64_t *)bufs[2] + row * n, size == 8 };
        for (int64_t i = 0; i < n; i++)
            set(&p, i, (Pair){ key_of(x, dtype, i, args[2] != 0), i });
        sort_pairs(&p, n);
        take(&p, x, n);
    }
}

/* A heap of the k first so far, the last of them on top: most of a row is compared with it once. */
void dlrt_call_top_k(void *const *bufs, const int64_t *args, int64_t B, int64_t begin, int64_t end)
{
    int64_t dtype = args[0], n = args[1], k = args[2];
    int64_t size = (int64_t)dlrt_dtype_size((int)dtype);
    bool descending = args[3] == 0;
    (void)B;
    for (int64_t row = begin; row < end && k > 0; row++) {
        const char *x = (const char *)bufs[0] + row * n * size;
        Pairs p = { (char *)bufs[1] + row * k * size, (int64_t *)bufs[2] + row * k, size == 8 };
        for (int64_t i = 0; i < k; i++)
            set(&p, i, (Pair){ key_of(x, dtype, i, descending), i });
        heap_make(&p, 0, k);
        for (int64_t i = k; i < n; i++) {
            Pair v = { key_of(x, dtype, i, descending), i };
            if (!less(v, get(&p, 0)))
                continue;
            set(&p, 0, v);
            sift(&p, 0, 0, k);
        }
        heap_sort(&p, 0, k);
        take(&p, x, k);
    }
}
