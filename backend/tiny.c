/* tiny.c: a small entry as one function: its kernels inlined one after another, with addresses and
 * B as constants.
 *
 * A walk costs some tens of nanoseconds an item; the kernels of a model with ten parameters cost
 * less. Loop nests are emitted a second time into the function's own module and inlined;
 * contractions, whose code may differ from one attempt to another, are called where they are. LLVM
 * may move and merge what the kernels do but never reorders a rounding, so the bits are those of
 * the walk, which the runtime takes whenever B is not the maximum or somebody observes. */
#include "backend/tiny.h"

#include "backend/cache.h"
#include "backend/emitters.h"
#include "runtime/dlrt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nanoseconds by the plan's own estimate, and kernels: beyond, a walk is cheap beside the work. */
enum { TINY_NS = 3000, TINY_ITEMS = 40, TINY_TEXT = 100000 };

typedef struct {
    Emit e; /* the function's module; e.fn is the function */
    const Program *p;
    const Compiled *c;
    const DlrtModel *m;
    const DlrtEntry *entry;
    LLVMValueRef context, inputs, outputs, shared, constants;
    LLVMTypeRef kernel_type;
    LLVMValueRef *kernels; /* of the program: those made or declared here */
} Tiny;

static bool is_tiny(const Program *p, const DlrtEntry *e)
{
    size_t text = 0;
    if (e->cost > TINY_NS || e->item_count > TINY_ITEMS || !e->item_count)
        return false;
    for (uint32_t i = 0; i < e->item_count; i++) {
        const DlrtItem *item = &e->items[i];
        if (item->kind != DLRT_KERNEL && item->kind != DLRT_GUARD)
            return false;
        if (item->kind == DLRT_KERNEL)
            text += strlen(p->texts.at[item->code]);
    }
    return text < TINY_TEXT;
}

/* ---- Kernels ---- */

static bool is_nest(const Kernel *k)
{
    for (uint32_t i = 0; i < k->stages.n; i++)
        if (k->stages.at[i].kind == STAGE_CONTRACT)
            return false;
    return true;
}

static bool make_kernel(Tiny *y, uint32_t number)
{
    const Kernel *k = y->p->kernels.at[number];
    const KernelGrid *want = &y->c->objects[number].grid;
    KernelGrid grid;
    Emit e;
    if (y->kernels[number])
        return true;
    if (!is_nest(k)) {
        y->kernels[number] = LLVMAddFunction(y->e.module, y->c->symbols[number], y->kernel_type);
        return true;
    }
    emit_open_beside(&e, &y->e, k, "kernel");
    bool ok = nest_emit(&e, k, &grid) && grid.tiles == want->tiles &&
              grid.batch_scale == want->batch_scale && grid.batch_tile == want->batch_tile;
    y->kernels[number] = e.fn;
    LLVMSetLinkage(e.fn, LLVMInternalLinkage);
    unsigned always = LLVMGetEnumAttributeKindForName("alwaysinline", 12);
    LLVMAddAttributeAtIndex(e.fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(e.cx, always, 0));
    emit_close_beside(&e);
    return ok;
}

/* ---- The function ---- */

static LLVMValueRef at_offset(Tiny *y, LLVMValueRef base, int64_t offset)
{
    LLVMValueRef at = emit_i64(&y->e, offset);
    return LLVMBuildGEP2(y->e.b, y->e.i8, base, &at, 1, "");
}

static LLVMValueRef load_pointer(Tiny *y, LLVMValueRef base, int64_t offset)
{
    return LLVMBuildLoad2(y->e.b, y->e.ptr, at_offset(y, base, offset), "");
}

static LLVMValueRef operand(Tiny *y, const DlrtOperand *o)
{
    LLVMValueRef base = NULL;
    switch ((DlrtBase)o->base) {
    case DLRT_BASE_CONTEXT: base = y->context; break;
    case DLRT_BASE_SHARED: base = y->shared; break;
    case DLRT_BASE_INPUT: base = load_pointer(y, y->inputs, 8 * (int64_t)o->index); break;
    case DLRT_BASE_OUTPUT: base = load_pointer(y, y->outputs, 8 * (int64_t)o->index); break;
    case DLRT_BASE_CONST: base = y->constants; break;
    case DLRT_BASE_TRIP: return NULL; /* no loops here */
    }
    return at_offset(y, base, o->offset);
}

static int64_t tiles_at(const DlrtItem *item, int64_t B)
{
    return item->batch_scale
               ? item->tiles * ((item->batch_scale * B + item->batch_tile - 1) / item->batch_tile)
               : item->tiles;
}

static void put_kernel(Tiny *y, const DlrtItem *item)
{
    Emit *e = &y->e;
    int64_t B = y->entry->max_batch;
    LLVMValueRef bufs = emit_alloca(e, 8 * (int64_t)item->operand_count);
    for (uint32_t i = 0; i < item->operand_count; i++)
        LLVMBuildStore(e->b, operand(y, &y->entry->operands[item->operand_first + i]),
                       at_offset(y, bufs, 8 * (int64_t)i));
    LLVMValueRef args[] = { bufs, emit_i64(e, B), emit_i64(e, 0), emit_i64(e, tiles_at(item, B)) };
    LLVMBuildCall2(e->b, y->kernel_type, y->kernels[item->code], args, 4, "");
}

static void return_if(Tiny *y, LLVMValueRef condition, int code)
{
    Emit *e = &y->e;
    LLVMBasicBlockRef leave = LLVMAppendBasicBlockInContext(e->cx, e->fn, ""),
                      go_on = LLVMAppendBasicBlockInContext(e->cx, e->fn, "");
    LLVMBuildCondBr(e->b, condition, leave, go_on);
    LLVMPositionBuilderAtEnd(e->b, leave);
    LLVMBuildRet(e->b, LLVMConstInt(e->i32, (unsigned long long)code, 1));
    LLVMPositionBuilderAtEnd(e->b, go_on);
}

/* Not finite: the exponent is all ones. */
static void put_guard(Tiny *y, const DlrtItem *item)
{
    Emit *e = &y->e;
    LLVMValueRef status =
        LLVMBuildLoad2(e->b, e->i32, at_offset(y, y->context, DLRT_STATUS_OFFSET), "");
    return_if(y, LLVMBuildICmp(e->b, LLVMIntNE, status, LLVMConstInt(e->i32, 0, 0), ""),
              DLRT_E_LABEL);
    for (uint32_t i = 0; i < item->operand_count; i++) {
        const DlrtOperand *o = &y->entry->operands[item->operand_first + i];
        bool wide = o->dtype == DLRT_F64;
        LLVMTypeRef t = wide ? e->i64 : e->i32;
        LLVMValueRef ones =
            LLVMConstInt(t, wide ? UINT64_C(0x7ff0000000000000) : UINT64_C(0x7f800000), 0);
        LLVMValueRef bits =
            LLVMBuildAnd(e->b, LLVMBuildLoad2(e->b, t, operand(y, o), ""), ones, "");
        return_if(y, LLVMBuildICmp(e->b, LLVMIntEQ, bits, ones, ""), DLRT_E_NAN);
    }
}

static void open_function(Tiny *y, const char *symbol)
{
    Emit *e = &y->e;
    LLVMTypeRef params[] = { e->ptr, e->i64, e->ptr, e->ptr },
                kernel[] = { e->ptr, e->i64, e->i64, e->i64 };
    y->kernel_type = LLVMFunctionType(e->none, kernel, 4, 0);
    e->fn = LLVMAddFunction(e->module, symbol, LLVMFunctionType(e->i32, params, 4, 0));
    emit_attributes(e, e->fn);
    e->entry = LLVMAppendBasicBlockInContext(e->cx, e->fn, "entry");
    LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(e->cx, e->fn, "start");
    LLVMPositionBuilderAtEnd(e->b, e->entry);
    LLVMBuildBr(e->b, start);
    LLVMPositionBuilderAtEnd(e->b, start);
    y->context = LLVMGetParam(e->fn, 0);
    y->inputs = LLVMGetParam(e->fn, 2);
    y->outputs = LLVMGetParam(e->fn, 3);
    LLVMValueRef most = emit_i64(e, y->entry->max_batch);
    return_if(y, LLVMBuildICmp(e->b, LLVMIntNE, LLVMGetParam(e->fn, 1), most, ""), DLRT_WALK);
    /* An entry that writes tensors is refused on a view. */
    y->shared = y->entry->flags & DLRT_ENTRY_WRITES
                    ? y->context
                    : load_pointer(y, y->context, offsetof(DlrtContext, shared));
    y->constants = load_pointer(y, load_pointer(y, y->context, offsetof(DlrtContext, model)),
                                offsetof(DlrtModel, constants));
}

static bool make_tiny(Tiny *y, const Target *t, const char *symbol, KernelObject *out_object)
{
    Emit *e = &y->e;
    emit_open_module(e, t, symbol);
    open_function(y, symbol);
    bool ok = true;
    for (uint32_t i = 0; ok && i < y->entry->item_count; i++) {
        const DlrtItem *item = &y->entry->items[i];
        if (item->kind == DLRT_GUARD)
            put_guard(y, item);
        else if ((ok = make_kernel(y, item->code)))
            put_kernel(y, item);
    }
    LLVMBuildRet(e->b, LLVMConstInt(e->i32, 0, 0));
    ok = ok && object_emit(e, OBJECT_INLINE, out_object);
    emit_close(e);
    return ok;
}

/* All that the function depends on beside the target, for the cache. NULL without memory. */
static char *tiny_text(const Program *p, const DlrtEntry *e)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fprintf(out, "tiny %lld %u %zu %zu %zu\n", (long long)e->max_batch, e->flags,
            offsetof(DlrtContext, shared), offsetof(DlrtContext, model),
            offsetof(DlrtModel, constants));
    for (uint32_t i = 0; i < e->item_count; i++) {
        const DlrtItem *item = &e->items[i];
        fprintf(out, "item %u %lld %lld %lld\n", item->kind, (long long)item->tiles,
                (long long)item->batch_scale, (long long)item->batch_tile);
        for (uint32_t k = 0; k < item->operand_count; k++) {
            const DlrtOperand *o = &e->operands[item->operand_first + k];
            fprintf(out, "%u %u %u %lld\n", o->base, o->dtype, o->index, (long long)o->offset);
        }
        if (item->kind == DLRT_KERNEL)
            fputs(p->texts.at[item->code], out);
    }
    if (!fclose(out))
        return text;
    free(text);
    return NULL;
}

static bool get_tiny(Tiny *y, Cache *cache, const Target *t, TinyEntry *one)
{
    char *text = tiny_text(y->p, y->entry);
    bool ok = text && cache_get(cache, text, t, one->symbol, &one->object);
    if (!ok && (ok = make_tiny(y, t, one->symbol, &one->object)) && text)
        cache_put(cache, text, t, one->symbol, &one->object);
    free(text);
    return ok;
}

TinyEntries tiny_compile(Program *p, const Compiled *c, const ModelTables *tables, const Target *t)
{
    Arena *a = p->unit->arena;
    const DlrtModel *m = &tables->model;
    TinyEntries tiny = { .at = arena_new_array(a, TinyEntry, m->entry_count) };
    Cache *cache = cache_open();
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const DlrtEntry *entry = &m->entries[i];
        if (i == m->init_entry || !is_tiny(p, entry))
            continue;
        Tiny y = { .p = p,
                   .c = c,
                   .m = m,
                   .entry = entry,
                   .kernels = arena_new_array(a, LLVMValueRef, p->kernels.n) };
        memset(y.kernels, 0, p->kernels.n * sizeof *y.kernels);
        TinyEntry one = { .entry = i, .symbol = arena_printf(a, "dlt_%u", i) };
        if (get_tiny(&y, cache, t, &one))
            tiny.at[tiny.n++] = one;
        else
            kernel_object_free(&one.object);
    }
    cache_close(cache);
    return tiny;
}

void tiny_free(TinyEntries *tiny)
{
    for (uint32_t i = 0; i < tiny->n; i++)
        kernel_object_free(&tiny->at[i].object);
    tiny->n = 0;
}
