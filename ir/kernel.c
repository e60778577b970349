/* kernel.c: affine expressions, and kernels as text. The text is complete: equal texts are equal
 * kernels (it keys the cache of objects), so that nothing that matters may be left out of it. */
#include "ir/kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Affine affine_add(Affine a, Affine b)
{
    a.c += b.c;
    for (uint32_t i = 0; i < KERNEL_MAX_AXES; i++)
        a.coef[i] += b.coef[i];
    return a;
}

Affine affine_scale(Affine a, int64_t s)
{
    a.c *= s;
    for (uint32_t i = 0; i < KERNEL_MAX_AXES; i++)
        a.coef[i] *= s;
    return a;
}


static void put_dim(FILE *out, Dim d)
{
    if (d.k)
        fprintf(out, "%lldB<=%lld", (long long)d.k, (long long)d.n);
    else
        fprintf(out, "%lld", (long long)d.n);
}

static void put_affine(FILE *out, const Affine *e)
{
    fprintf(out, "%lld", (long long)e->c);
    for (uint32_t i = 0; i < KERNEL_MAX_AXES; i++)
        if (e->coef[i])
            fprintf(out, "%+lld*i%u", (long long)e->coef[i], i);
}

static void put_access(FILE *out, const KernelAccess *a)
{
    fprintf(out, "b%u[", a->buffer);
    put_affine(out, &a->offset);
    if (a->index != INST_NONE)
        fprintf(out, " + %%%u*%lld of %lld", a->index, (long long)a->index_stride,
                (long long)a->index_extent);
    fputs("]", out);
    for (uint32_t i = 0; i < a->guards.n; i++) {
        const KernelGuard *g = &a->guards.at[i];
        fprintf(out, "%s%lld <= ", i ? ", " : " if ", (long long)g->lo);
        put_affine(out, &g->e);
        fputs(" < ", out);
        put_dim(out, g->hi);
    }
}

static void put_inst(FILE *out, const KernelStage *s, uint32_t id)
{
    const KernelInst *i = &s->insts.at[id];
    fprintf(out, "      %%%u = ", id);
    switch (i->kind) {
    case INST_LOAD:
        fputs("load ", out);
        put_access(out, &s->accesses.at[i->access]);
        break;
    case INST_CONST:
        if (dtype_is_float(i->dtype))
            fprintf(out, "const %a", i->f);
        else
            fprintf(out, "const %lld", (long long)i->i);
        break;
    case INST_INDEX:
        fputs("index ", out);
        put_affine(out, &i->affine);
        break;
    case INST_GUARD:
        fputs("guard ", out);
        put_access(out, &s->accesses.at[i->access]);
        break;
    case INST_BATCH: fprintf(out, "batch %lld", (long long)i->affine.c); break;
    case INST_SCALAR: {
        InstId in[3] = { i->a, i->b, i->c };
        fprintf(out, "%s", scalar_name(i->op));
        for (int j = 0; j < scalar_operands(i->op); j++)
            fprintf(out, "%s%%%u", j ? ", " : " ", in[j]);
        break;
    }
    case INST_ACC: fprintf(out, "acc %lld", (long long)i->i); break;
    case INST_UNIT_VALUE: fprintf(out, "unit stage %u %%%u", i->access, i->a); break;
    case INST_RANDOM:
        fprintf(out, "random %%%u, %%%u, %%%u site %llu word %u", i->a, i->b, i->c,
                (unsigned long long)i->site, i->access);
        break;
    }
    fprintf(out, " : %s\n", dtype_name(i->dtype));
}

static const char *const combine_names[] = { "sum", "prod", "max", "min", "argmax", "argmin" };

static void put_stage(FILE *out, const KernelStage *s, uint32_t number)
{
    fprintf(out, "  stage %u %s free", number, s->kind == STAGE_CONTRACT ? "contract" : "nest");
    for (uint32_t i = 0; i < s->n_free; i++)
        fprintf(out, " i%u", s->free_axes[i]);
    fputs(" reduced", out);
    for (uint32_t i = 0; i < s->n_reduced; i++)
        fprintf(out, " i%u", s->reduced_axes[i]);
    if (s->kind == STAGE_CONTRACT)
        fprintf(out, " a %%%u b %%%u", s->a, s->b);
    fputs("\n    body\n", out);
    for (uint32_t i = 0; i < s->insts.n; i++) {
        if (i == s->body_insts) {
            for (uint32_t j = 0; j < s->accums.n; j++) {
                const KernelAccum *a = &s->accums.at[j];
                fprintf(out, "      acc %u = %s %%%u", j, combine_names[a->combine], a->value);
                if (a->index != INST_NONE)
                    fprintf(out, " at %%%u", a->index);
                fprintf(out, " : %s\n", dtype_name(a->dtype));
            }
            fputs("    post\n", out);
        }
        put_inst(out, s, i);
    }
    for (uint32_t i = 0; i < s->stores.n; i++) {
        const KernelStore *t = &s->stores.at[i];
        fprintf(out, "      %s %s ", t->in_body ? "body" : "post",
                t->kind == STORE_ADD ? "add" : "store");
        put_access(out, &s->accesses.at[t->access]);
        fprintf(out, ", %%%u\n", t->value);
    }
}

const char *kernel_text(Arena *a, const Kernel *k)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return "";
    fputs("kernel grid", out);
    for (uint32_t i = 0; i < k->axes.n; i++) {
        fprintf(out, "%s i%u:", i == k->grid ? " inner" : "", i);
        put_dim(out, k->axes.at[i].extent);
    }
    fprintf(out, " block %lld vector %d status %d%s\n", (long long)k->block, k->vector, k->status,
            k->few ? " few" : "");
    for (uint32_t i = 0; i < k->buffers.n; i++)
        fprintf(out, "  b%u %s%s scratch %lld\n", i, dtype_name(k->buffers.at[i].dtype),
                k->buffers.at[i].written ? " written" : "", (long long)k->buffers.at[i].scratch);
    for (uint32_t i = 0; i < k->stages.n; i++)
        put_stage(out, &k->stages.at[i], i);
    fclose(out);
    const char *copy = arena_strndup(a, text, n);
    free(text);
    return copy;
}
