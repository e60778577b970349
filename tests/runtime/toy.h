/* toy.h: a model written by hand as generated code would be: y = x·w + table[k], squared error,
 * momentum, a running mean of the loss, dropout-like noise in the gradient. Small enough to check
 * by hand, with every kind of tensor, input and item. */
#ifndef DLCC_TESTS_RUNTIME_TOY_H
#define DLCC_TESTS_RUNTIME_TOY_H
#include "runtime/dlrt.h"
#include "runtime/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TOY_D = 3, TOY_K = 4, TOY_B = 16, TOY_T = 5, TOY_ROWS = 2, TOY_ABI = 77 };

/* Context layout */
enum {
    AT_ARENA = 1024,
    AT_RESIDUAL = AT_ARENA,          /* f32[B] */
    AT_LOSS = AT_ARENA + 64,         /* f32 */
    AT_CARRY = AT_ARENA + 128,       /* f32[2][B] */
    AT_COUNT = AT_ARENA + 256,       /* i32, bool */
    ARENA_BYTES = 512,
    AT_X = AT_ARENA + ARENA_BYTES,   /* gathered f32[B,3] */
    AT_Y = AT_X + 192,
    AT_T = AT_Y + 64,
    AT_CACHE = AT_T + 64,            /* private state f32[2] */
    VIEW_BYTES = AT_CACHE + 64,
    AT_W = VIEW_BYTES,               /* f32[3] */
    AT_TABLE = AT_W + 64,            /* f32[4] */
    AT_MEAN = AT_TABLE + 64,         /* f32 */
    AT_MW = AT_MEAN + 64,            /* moments */
    AT_MTABLE = AT_MW + 64,
    AT_PACKED = AT_MTABLE + 64,      /* f32[3,5] stored in blocks of 2 columns, padded */
    AT_HALF = AT_PACKED + 128,       /* bf16[3] */
    AT_SEEN = AT_HALF + 64,          /* i64: examples seen */
    CONTEXT_BYTES = AT_SEEN + 64
};

#define F32(i) ((float *)bufs[i])

/* Entry init. bufs: clock, w, table, packed, half */
static void k_init(void *const *bufs, int64_t B, int64_t begin, int64_t end)
{
    const DlrtClock *clock = bufs[0];
    (void)B, (void)begin, (void)end;
    for (int i = 0; i < TOY_D; i++)
        F32(1)[i] = dlrt_normal_f32(dlrt_random(clock->seed, 0, 1, 0, (uint64_t)i));
    for (int i = 0; i < TOY_K; i++)
        F32(2)[i] = dlrt_normal_f32(dlrt_random(clock->seed, 0, 2, 0, (uint64_t)i));
    for (int i = 0; i < 3; i++)
        ((uint16_t *)bufs[4])[i] = (uint16_t)(0x3f80 + i);
    for (int i = 0; i < 18; i++)
        F32(3)[i] = (float)i;
}

/* bufs: x, y, t, w, table, residual. Tiles of two rows. */
static void k_forward(void *const *bufs, int64_t B, int64_t begin, int64_t end)
{
    const uint8_t *y = bufs[1];
    for (int64_t r = begin * TOY_ROWS; r < end * TOY_ROWS && r < B; r++) {
        float v = F32(4)[y[r]] - F32(2)[r];
        for (int d = 0; d < TOY_D; d++)
            v += F32(0)[r * TOY_D + d] * F32(3)[d];
        F32(5)[r] = v;
    }
}

/* bufs: residual, mean of squares, largest */
static void k_loss(void *const *bufs, int64_t B, int64_t begin, int64_t end)
{
    float sum = 0, most = 0;
    (void)begin, (void)end;
    for (int64_t r = 0; r < B; r++) {
        sum += F32(0)[r] * F32(0)[r];
        most = fabsf(F32(0)[r]) > most ? fabsf(F32(0)[r]) : most;
    }
    F32(1)[0] = sum / (float)B;
    F32(2)[0] = most;
}

/* bufs: residual, sum of squares, sum of magnitudes */
static void k_sums(void *const *bufs, int64_t B, int64_t begin, int64_t end)
{
    float squares = 0, magnitudes = 0;
    (void)begin, (void)end;
    for (int64_t r = 0; r < B; r++) {
        squares += F32(0)[r] * F32(0)[r];
        magnitudes += fabsf(F32(0)[r]);
    }
    F32(1)[0] = squares;
    F32(2)[0] = magnitudes;
}

/* bufs: mean of squares, root */
static void k_root(void *const *bufs, int64_t B, int64_t begin, int64_t end)
{
    (void)B, (void)begin, (void)end;
    F32(1)[0] = sqrtf(F32(0)[0]);
}

/* bufs: mean, weight, sum */
static void k_total(void *const *bufs, int64_t B, int64_t begin, int64_t end)
{
    (void)B, (void)begin, (void)end;
    F32(2)[0] = F32(0)[0] * F32(1)[0];
}

/* bufs: x, y, residual, clock, w, table, moment of w, moment of table. One tile a parameter. */
static void k_update(void *const *bufs, int64_t B, int64_t begin, int64_t end)
{
    const uint8_t *y = bufs[1];
    const DlrtClock *clock = bufs[3];
    double lr = isnan(clock->lr) ? 0.05 / (1 + 0.01 * clock->own_step) : clock->lr;
    for (int64_t i = begin; i < end; i++) {
        float g = 0;
        for (int64_t r = 0; r < B; r++)
            g += F32(2)[r] * (i < TOY_D ? F32(0)[r * TOY_D + i] : y[r] == i - TOY_D) * 2;
        g /= (float)B;
        g += 1e-3f * dlrt_uniform_f32(dlrt_random(clock->seed, clock->key_step, 9, 0, (uint64_t)i));
        float *p = i < TOY_D ? F32(4) + i : F32(5) + i - TOY_D;
        float *m = i < TOY_D ? F32(6) + i : F32(7) + i - TOY_D;
        *m = 0.9f * *m + g;
        *p -= (float)(lr * clock->lr_scale) * *m;
    }
}

/* bufs: loss, mean, seen, out. The last writer of a step. */
static void k_stats(void *const *bufs, int64_t B, int64_t begin, int64_t end)
{
    (void)begin, (void)end;
    F32(1)[0] = 0.9f * F32(1)[0] + 0.1f * F32(0)[0];
    *(int64_t *)bufs[2] += B;
    F32(3)[0] = F32(0)[0];
}

/* bufs: residual, t, out */
static void k_answer(void *const *bufs, int64_t B, int64_t begin, int64_t end)
{
    for (int64_t r = begin * TOY_ROWS; r < end * TOY_ROWS && r < B; r++)
        F32(2)[r] = F32(0)[r] + F32(1)[r];
}

/* bufs: x (this trip), carry in, carry out, y (this trip), trip */
static void k_scan(void *const *bufs, int64_t B, int64_t begin, int64_t end)
{
    int64_t trip = *(const int64_t *)bufs[4];
    for (int64_t r = begin; r < end && r < B; r++) {
        float before = trip ? F32(1)[r] : 0;
        F32(2)[r] = F32(3)[r] = before * 0.5f + F32(0)[r] + (float)trip;
    }
}

/* bufs: status */
static void k_bad_index(void *const *bufs, int64_t B, int64_t begin, int64_t end)
{
    (void)B, (void)begin, (void)end;
    *(uint32_t *)bufs[0] = 1;
}

/* Counts down: bufs: i32 count, bool again, out i32 trips */
static void k_count_begin(void *const *bufs, int64_t B, int64_t begin, int64_t end)
{
    (void)begin, (void)end;
    *(int32_t *)bufs[0] = (int32_t)B;
    *(uint8_t *)bufs[1] = B > 0;
    *(int32_t *)bufs[2] = 0;
}

static void k_count_down(void *const *bufs, int64_t B, int64_t begin, int64_t end)
{
    (void)B, (void)begin, (void)end;
    *(int32_t *)bufs[0] -= 3;
    *(uint8_t *)bufs[1] = *(int32_t *)bufs[0] > 0;
    *(int32_t *)bufs[2] += 1;
}

/* bufs: out i32[2]. Adds to element 0 or 1. */
static void k_mark0(void *const *bufs, int64_t B, int64_t begin, int64_t end)
{
    (void)B, (void)begin, (void)end;
    ((int32_t *)bufs[0])[0] += 100;
}

enum { K_INIT, K_FORWARD, K_LOSS, K_UPDATE, K_STATS, K_ANSWER, K_SCAN, K_BAD_INDEX, K_COUNT_BEGIN,
       K_COUNT_DOWN, K_MARK0, K_SUMS, K_ROOT, K_TOTAL, K_COUNT };
static DlrtKernel *const toy_kernels[K_COUNT] = {
    k_init, k_forward, k_loss, k_update, k_stats, k_answer, k_scan, k_bad_index, k_count_begin,
    k_count_down, k_mark0, k_sums, k_root, k_total,
};

#define CX(at) { .base = DLRT_BASE_CONTEXT, .dtype = DLRT_F32, .offset = (at) }
#define SH(at) { .base = DLRT_BASE_SHARED, .dtype = DLRT_F32, .offset = (at) }
#define IN(i) { .base = DLRT_BASE_INPUT, .dtype = DLRT_F32, .index = (i) }
#define OUT(i) { .base = DLRT_BASE_OUTPUT, .dtype = DLRT_F32, .index = (i) }
#define CLOCK CX(DLRT_CLOCK_OFFSET)
#define ROW_TILES .tiles = 1, .batch_scale = 1, .batch_tile = TOY_ROWS

#define X_VALUE { "x", DLRT_F32, 2, {0}, { 0, TOY_D }, { 1 }, -1 }
#define Y_VALUE { "y", DLRT_U8, 1, {0}, { 0 }, { 1 }, TOY_K }
#define T_VALUE { "t", DLRT_F32, 1, {0}, { 0 }, { 1 }, -1 }
#define SCALAR(name) { name, DLRT_F32, 0, {0}, { 0 }, { 0 }, -1 }

static const DlrtValue toy_inputs[] = { X_VALUE, Y_VALUE, T_VALUE };

static const DlrtOperand init_operands[] = {
    CLOCK, SH(AT_W), SH(AT_TABLE), SH(AT_PACKED), SH(AT_HALF)
};
static const DlrtItem init_items[] = {
    { .kind = DLRT_KERNEL, .code = K_INIT, .operand_count = 5, .tiles = 1 },
};

static const DlrtOperand step_operands[] = {
    IN(0), IN(1), IN(2), SH(AT_W), SH(AT_TABLE), CX(AT_RESIDUAL),              /* 0 forward */
    CX(AT_RESIDUAL), CX(AT_LOSS), CX(AT_LOSS + 4),                             /* 6 loss */
    CX(AT_LOSS),                                                               /* 9 guard */
    IN(0), IN(1), CX(AT_RESIDUAL), CLOCK, SH(AT_W), SH(AT_TABLE), SH(AT_MW), SH(AT_MTABLE), /* 10 */
    CX(AT_LOSS), SH(AT_MEAN), SH(AT_SEEN), OUT(0),                             /* 18 stats */
};
static const DlrtItem step_items[] = {
    { .kind = DLRT_KERNEL, .code = K_FORWARD, .operand_first = 0, .operand_count = 6, ROW_TILES },
    { .kind = DLRT_KERNEL, .code = K_LOSS, .operand_first = 6, .operand_count = 3, .tiles = 1 },
    { .kind = DLRT_GUARD, .operand_first = 9, .operand_count = 1, .note = 1 },
    { .kind = DLRT_KERNEL, .code = K_UPDATE, .operand_first = 10, .operand_count = 8,
      .tiles = TOY_D + TOY_K, .flags = DLRT_ITEM_NOWAIT },
    { .kind = DLRT_KERNEL, .code = K_STATS, .operand_first = 18, .operand_count = 4, .tiles = 1 },
};
static const DlrtValue step_outputs[] = { SCALAR("loss") };

static const DlrtOperand eval_operands[] = {
    IN(0), IN(1), IN(2), SH(AT_W), SH(AT_TABLE), CX(AT_RESIDUAL),
    CX(AT_RESIDUAL), OUT(0), OUT(1),
};
static const DlrtItem eval_items[] = {
    { .kind = DLRT_KERNEL, .code = K_FORWARD, .operand_first = 0, .operand_count = 6, ROW_TILES },
    { .kind = DLRT_KERNEL, .code = K_SUMS, .operand_first = 6, .operand_count = 3, .tiles = 1 },
};
static const DlrtValue eval_outputs[] = { SCALAR("squares"), SCALAR("magnitudes") };

/* Means to the root of the first times the second; the second and the weight back to the sum. */
static const DlrtOperand root_operands[] = { IN(0), CX(AT_LOSS), CX(AT_LOSS), IN(1), OUT(0) };
static const DlrtItem root_items[] = {
    { .kind = DLRT_KERNEL, .code = K_ROOT, .operand_first = 0, .operand_count = 2, .tiles = 1 },
    { .kind = DLRT_KERNEL, .code = K_TOTAL, .operand_first = 2, .operand_count = 3, .tiles = 1 },
};
static const DlrtOperand total_operands[] = { IN(1), IN(2), OUT(0) };
static const DlrtItem total_items[] = {
    { .kind = DLRT_KERNEL, .code = K_TOTAL, .operand_first = 0, .operand_count = 3, .tiles = 1 },
};
static const DlrtValue means[] = { SCALAR("m0"), SCALAR("m1"), SCALAR("weight") };
static const DlrtValue finish_outputs[] = { SCALAR("value") };

static const DlrtOperand predict_operands[] = {
    IN(0), IN(1), IN(2), SH(AT_W), SH(AT_TABLE), CX(AT_RESIDUAL),
    CX(AT_RESIDUAL), IN(2), OUT(0),
};
static const DlrtItem predict_items[] = {
    { .kind = DLRT_KERNEL, .code = K_FORWARD, .operand_first = 0, .operand_count = 6, ROW_TILES },
    { .kind = DLRT_KERNEL, .code = K_ANSWER, .operand_first = 6, .operand_count = 3, ROW_TILES },
};
static const DlrtValue predict_outputs[] = { { "out", DLRT_F32, 1, {0}, { 0 }, { 1 }, -1 } };

/* The same as predict in one function. */
static int toy_tiny(void *context, int64_t B, const void *const *inputs, void *const *outputs)
{
    const float *x = inputs[0], *w = (const float *)((char *)context + AT_W);
    const float *table = (const float *)((char *)context + AT_TABLE);
    const uint8_t *y = inputs[1];
    for (int64_t r = 0; r < B; r++) {
        float v = table[y[r]] - ((const float *)inputs[2])[r];
        for (int d = 0; d < TOY_D; d++)
            v += x[r * TOY_D + d] * w[d];
        ((float *)outputs[0])[r] = v + ((const float *)inputs[2])[r];
    }
    return DLRT_OK;
}

/* scan: a is [T,16] with B pinned; 5 trips, double-buffered carry, stacked result. */
static const DlrtOperand scan_operands[] = {
    { .base = DLRT_BASE_INPUT, .dtype = DLRT_F32, .stride = { TOY_B * 4 } },
    { .base = DLRT_BASE_CONTEXT, .dtype = DLRT_F32, .offset = AT_CARRY, .phase = DLRT_PHASE_SAME,
      .stride = { TOY_B * 4 } },
    { .base = DLRT_BASE_CONTEXT, .dtype = DLRT_F32, .offset = AT_CARRY, .phase = DLRT_PHASE_NEXT,
      .stride = { TOY_B * 4 } },
    { .base = DLRT_BASE_OUTPUT, .dtype = DLRT_F32, .stride = { TOY_B * 4 } },
    { .base = DLRT_BASE_TRIP, .dtype = DLRT_I64 },
};
static const DlrtItem scan_items[] = {
    { .kind = DLRT_LOOP, .tiles = TOY_T, .match = 2 },
    { .kind = DLRT_KERNEL, .code = K_SCAN, .operand_count = 5, .tiles = TOY_B },
    { .kind = DLRT_END, .match = 0 },
};
static const DlrtValue scan_inputs[] = { { "a", DLRT_F32, 2, {0}, { TOY_T, TOY_B }, { 0 }, -1 } };
static const DlrtValue scan_outputs[] = { { "s", DLRT_F32, 2, {0}, { TOY_T, TOY_B }, { 0 }, -1 } };

static const DlrtOperand bad_operands[] = {
    { .base = DLRT_BASE_CONTEXT, .dtype = DLRT_U32, .offset = DLRT_STATUS_OFFSET }
};
static const DlrtItem bad_items[] = {
    { .kind = DLRT_KERNEL, .code = K_BAD_INDEX, .operand_count = 1, .tiles = 1 },
};

/* count: i32 out[2]: out[0] = trips of a WHILE that counts B down by 3, + 100 if an IF held */
static const DlrtOperand count_operands[] = {
    CX(AT_COUNT), { .base = DLRT_BASE_CONTEXT, .dtype = DLRT_BOOL, .offset = AT_COUNT + 4 }, OUT(0),
    { .base = DLRT_BASE_CONTEXT, .dtype = DLRT_BOOL, .offset = AT_COUNT + 4 },
};
static const DlrtItem count_items[] = {
    { .kind = DLRT_KERNEL, .code = K_COUNT_BEGIN, .operand_count = 3, .tiles = 1 },
    { .kind = DLRT_WHILE, .operand_first = 3, .operand_count = 1, .tiles = 4, .match = 3 },
    { .kind = DLRT_KERNEL, .code = K_COUNT_DOWN, .operand_count = 3, .tiles = 1 },
    { .kind = DLRT_END, .match = 1 },
    { .kind = DLRT_IF, .operand_first = 3, .operand_count = 1, .match = 6 },
    { .kind = DLRT_KERNEL, .code = K_MARK0, .operand_first = 2, .operand_count = 1, .tiles = 1 },
    { .kind = DLRT_END, .match = 4 },
};
static const DlrtValue count_outputs[] = { { "n", DLRT_I32, 1, {0}, { 1 }, { 0 }, -1 } };

enum { E_INIT, E_STEP, E_EVAL, E_PREDICT, E_TINY, E_SCAN, E_BAD, E_COUNT, E_ROOT, E_TOTAL,
       TOY_ENTRIES };
#define COUNTED(a) a, sizeof a / sizeof *a
#define ENTRY(n, it, op) .name = n, .items = it, .item_count = sizeof it / sizeof *it, \
    .operands = op, .operand_count = sizeof op / sizeof *op, .max_batch = TOY_B
static const DlrtEntry toy_entries[TOY_ENTRIES] = {
    [E_INIT] = { ENTRY("init", init_items, init_operands), .flags = DLRT_ENTRY_WRITES },
    [E_STEP] = { ENTRY("step", step_items, step_operands), .inputs = toy_inputs, .input_count = 3,
                 .outputs = step_outputs, .output_count = 1, .flags = DLRT_ENTRY_WRITES },
    [E_EVAL] = { ENTRY("eval", eval_items, eval_operands), .inputs = toy_inputs, .input_count = 3,
                 .outputs = eval_outputs, .output_count = 2 },
    [E_PREDICT] = { ENTRY("predict", predict_items, predict_operands), .inputs = toy_inputs,
                    .input_count = 3, .outputs = predict_outputs, .output_count = 1 },
    [E_TINY] = { .name = "tiny", .tiny = toy_tiny, .max_batch = TOY_B, .inputs = toy_inputs,
                 .input_count = 3, .outputs = predict_outputs, .output_count = 1 },
    [E_SCAN] = { ENTRY("scan", scan_items, scan_operands), .inputs = scan_inputs, .input_count = 1,
                 .outputs = scan_outputs, .output_count = 1, .flags = DLRT_ENTRY_PINNED },
    [E_BAD] = { ENTRY("bad", bad_items, bad_operands) },
    [E_COUNT] = { ENTRY("count", count_items, count_operands), .outputs = count_outputs,
                  .output_count = 1 },
    [E_ROOT] = { ENTRY("root", root_items, root_operands), .inputs = means, .input_count = 2,
                 .outputs = finish_outputs, .output_count = 1 },
    [E_TOTAL] = { ENTRY("total", total_items, total_operands), .inputs = means, .input_count = 3,
                  .outputs = finish_outputs, .output_count = 1 },
};

/* Columns in blocks of two: element (i, j) at j/2 * 6 + i * 2 + j%2; 18 elements for 15. */
static const DlrtLayout packed_layout = {
    .stride = { 2, 6 }, .block = { 0, 2 }, .inner = { 0, 1 }
};
static const DlrtTensor toy_tensors[] = {
    { .name = "w", .kind = DLRT_PARAM, .dtype = DLRT_F32, .rank = 1, .dims = { TOY_D },
      .offset = AT_W, .bytes = 64 },
    { .name = "k.table", .kind = DLRT_PARAM, .dtype = DLRT_F32, .rank = 1, .dims = { TOY_K },
      .offset = AT_TABLE, .bytes = 64 },
    { .name = "packed \"\\\n\xc3\xa9", .kind = DLRT_PARAM, .dtype = DLRT_F32, .rank = 2,
      .dims = { 3, 5 }, .offset = AT_PACKED, .bytes = 128, .layout = &packed_layout },
    { .name = "half", .kind = DLRT_PARAM, .dtype = DLRT_BF16, .rank = 1, .dims = { 3 },
      .offset = AT_HALF, .bytes = 64 },
    { .name = "mean", .kind = DLRT_STATE, .dtype = DLRT_F32, .rank = 0, .offset = AT_MEAN,
      .bytes = 64 },
    { .name = "cache", .kind = DLRT_STATE, .dtype = DLRT_F32, .rank = 1, .dims = { 2 },
      .offset = AT_CACHE, .bytes = 64, .flags = DLRT_TENSOR_PRIVATE },
    { .name = "seen", .kind = DLRT_STATE, .dtype = DLRT_I64, .rank = 0, .offset = AT_SEEN,
      .bytes = 64 },
    { .name = "w/m", .kind = DLRT_MOMENT, .dtype = DLRT_F32, .rank = 1, .dims = { TOY_D },
      .offset = AT_MW, .bytes = 64 },
    { .name = "k.table/m", .kind = DLRT_MOMENT, .dtype = DLRT_F32, .rank = 1, .dims = { TOY_K },
      .offset = AT_MTABLE, .bytes = 64 },
};
enum { TOY_TENSORS = sizeof toy_tensors / sizeof *toy_tensors };

static const DlrtField toy_fields[] = {
    { X_VALUE, AT_X }, { Y_VALUE, AT_Y }, { T_VALUE, AT_T },
};
static const uint32_t toy_map[] = { 0, 1, 2 };
static const DlrtUpdate toy_updates[] = {
    { .name = "step", .fields = toy_map, .entry = E_STEP, .times = 1 },
};
static const DlrtMetric toy_metrics[] = {
    { .name = "loss", .fields = toy_map, .entry = E_EVAL, .finish = DLRT_NONE },
    { .name = "product", .fields = toy_map, .entry = E_EVAL, .finish = E_ROOT },
    { .name = "total", .fields = toy_map, .entry = E_EVAL, .finish = E_TOTAL },
};
static const char *const toy_notes[] = { "", "toy.dl:7" };

static const DlrtModel toy_model = {
    .magic = DLRT_MAGIC, .version = DLRT_VERSION, .abi = TOY_ABI, .model_hash = 0x1234,
    .recipe_hash = 0x5678, .name = "toy", .triple = "x86_64-linux-gnu", .march = "x86-64",
    .context_bytes = CONTEXT_BYTES, .view_bytes = VIEW_BYTES, .arena_offset = AT_ARENA,
    .arena_bytes = ARENA_BYTES, .kernels = toy_kernels, .entries = toy_entries,
    .tensors = toy_tensors, .notes = toy_notes, .fields = toy_fields, .updates = toy_updates,
    .metrics = toy_metrics, .kernel_count = K_COUNT, .entry_count = TOY_ENTRIES,
    .tensor_count = TOY_TENSORS, .note_count = 2, .field_count = 3, .update_count = 1,
    .metric_count = 3, .sum_count = 2, .init_entry = E_INIT,
    .batch = TOY_B, .epochs = 3, .seed = 1, .shuffle = 1,
};

/* ---- Data: t = 0.5 x0 - x1 + 2 x2 + k/4 exactly ---- */

enum { TOY_N = 100 };
typedef struct {
    float x[TOY_N][TOY_D];
    float t[TOY_N];
    uint8_t y[TOY_N];
} ToyData;

static inline void toy_data(ToyData *data)
{
    for (uint64_t i = 0; i < TOY_N; i++) {
        data->y[i] = (uint8_t)dlrt_randint(dlrt_random(5, 0, 0, 0, i), TOY_K);
        for (uint64_t d = 0; d < TOY_D; d++)
            data->x[i][d] = dlrt_normal_f32(dlrt_random(5, 0, 1, 0, i * TOY_D + d));
        data->t[i] = 0.5f * data->x[i][0] - data->x[i][1] + 2 * data->x[i][2] +
                     0.25f * (float)data->y[i];
    }
}

static inline DlrtContext *toy_new(const DlrtModel *model, uint64_t seed)
{
    DlrtContext *cx;
    assert_int_equal(dlrt_init(model, TOY_ABI, NULL, 0, seed, &cx), DLRT_OK);
    return cx;
}

/* What a run leaves behind: everything shared. */
static inline void assert_same_state(const DlrtContext *a, const DlrtContext *b)
{
    assert_memory_equal((const char *)a + VIEW_BYTES, (const char *)b + VIEW_BYTES,
                        CONTEXT_BYTES - VIEW_BYTES);
    assert_memory_equal(&a->clock, &b->clock, sizeof a->clock);
}

#endif
