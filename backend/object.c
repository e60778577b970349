/* object.c: verifies a module, runs LLVM's code generator on it, and tells of spills.
 *
 * No pass pipeline: kernels are built in the form that instruction selection wants, and IR passes
 * would cost as much again. A spill in a micro-kernel is a silent 3x loss, so the stack frame's
 * size is asked for by the attribute "warn-stack-size", which reports frames above a bound as a
 * diagnostic. */
#include "backend/emitters.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OBJECT_TRIPLE "x86_64-unknown-linux-gnu"
/* Saved registers and a few spilled scalars (addresses) are no concern; a spilled vector comes with
 * 16 bytes or more each. */
enum { STACK_ALLOWED = 256 };

static pthread_once_t init_once = PTHREAD_ONCE_INIT;

/* Loop strength reduction costs as much as the rest of code generation together, and emitters carry
 * their pointers from trip to trip themselves. */
static void init_llvm(void)
{
    const char *const options[] = { "dlcc", "-disable-lsr" };
    LLVMParseCommandLineOptions(2, options, NULL);
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
}

struct ObjectMachine {
    LLVMTargetMachineRef machine;
    LLVMTargetDataRef layout;
};

ObjectMachine *object_machine_new(const Target *t)
{
    LLVMTargetRef target;
    char *why = NULL;
    pthread_once(&init_once, init_llvm);
    ObjectMachine *m = calloc(1, sizeof *m);
    if (!m || LLVMGetTargetFromTriple(OBJECT_TRIPLE, &target, &why)) {
        LLVMDisposeMessage(why);
        free(m);
        return NULL;
    }
    m->machine = LLVMCreateTargetMachine(target, OBJECT_TRIPLE, t->llvm_cpu, t->llvm_features,
                                         LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelSmall);
    m->layout = LLVMCreateTargetDataLayout(m->machine);
    return m;
}

void object_machine_free(ObjectMachine *m)
{
    if (!m)
        return;
    LLVMDisposeTargetData(m->layout);
    LLVMDisposeTargetMachine(m->machine);
    free(m);
}

/* The machine that e was given, or a new one; the module is made for it. NULL with e->error set. */
static ObjectMachine *open_machine(Emit *e)
{
    ObjectMachine *m = e->machine ? e->machine : object_machine_new(e->target);
    if (!m) {
        emit_fail(e, "no code generator for " OBJECT_TRIPLE);
        return NULL;
    }
    LLVMSetTarget(e->module, OBJECT_TRIPLE);
    LLVMSetModuleDataLayout(e->module, m->layout);
    return m;
}

static void close_machine(Emit *e, ObjectMachine *m)
{
    if (m != e->machine)
        object_machine_free(m);
}

static void note_diagnostic(LLVMDiagnosticInfoRef info, void *spilled)
{
    char *text = LLVMGetDiagInfoDescription(info);
    if (strstr(text, "stack frame size"))
        *(bool *)spilled = true;
    LLVMDisposeMessage(text);
}

static void watch_stack(Emit *e, bool *spilled)
{
    char bound[24];
    int n = snprintf(bound, sizeof bound, "%lld", (long long)(e->stack_bytes + STACK_ALLOWED));
    LLVMAddAttributeAtIndex(
        e->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
        LLVMCreateStringAttribute(e->cx, "warn-stack-size", 15, bound, (unsigned)n));
    LLVMContextSetDiagnosticHandler(e->cx, note_diagnostic, spilled);
}

static bool verify(Emit *e)
{
    char *why = NULL;
    bool bad = LLVMVerifyModule(e->module, LLVMReturnStatusAction, &why);
    if (bad)
        emit_fail(e, "invalid code: %.150s", why);
    LLVMDisposeMessage(why);
    return !bad;
}

static bool run_passes(Emit *e, LLVMTargetMachineRef machine, ObjectPasses passes)
{
    static const char *const pipelines[] = {
        [OBJECT_INLINE] = "always-inline,function(sroa,early-cse<memssa>,"
                          "instcombine<no-verify-fixpoint>,simplifycfg,"
                          "loop-mssa(loop-simplifycfg,licm<no-allowspeculation>),gvn,dse,"
                          "instcombine<no-verify-fixpoint>,simplifycfg),globaldce",
    };
    if (passes == OBJECT_PLAIN)
        return true;
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef bad = LLVMRunPasses(e->module, pipelines[passes], machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!bad)
        return true;
    char *why = LLVMGetErrorMessage(bad);
    emit_fail(e, "%s", why);
    LLVMDisposeErrorMessage(why);
    return false;
}

static LLVMMemoryBufferRef generate(Emit *e, LLVMTargetMachineRef machine, LLVMCodeGenFileType kind)
{
    LLVMMemoryBufferRef buffer = NULL;
    char *why = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, e->module, kind, &why, &buffer)) {
        emit_fail(e, "%s", why);
        LLVMDisposeMessage(why);
        return NULL;
    }
    return buffer;
}

bool object_emit(Emit *e, ObjectPasses passes, KernelObject *out_object)
{
    ObjectMachine *machine = open_machine(e);
    if (!machine)
        return false;
    bool spilled = false;
    watch_stack(e, &spilled);
    LLVMMemoryBufferRef buffer = NULL;
    if (verify(e) && run_passes(e, machine->machine, passes))
        buffer = generate(e, machine->machine, LLVMObjectFile);
    close_machine(e, machine);
    if (!buffer)
        return false;
    out_object->size = LLVMGetBufferSize(buffer);
    out_object->bytes = malloc(out_object->size);
    out_object->spilled = spilled;
    if (out_object->bytes)
        memcpy(out_object->bytes, LLVMGetBufferStart(buffer), out_object->size);
    else
        emit_fail(e, "out of memory");
    LLVMDisposeMemoryBuffer(buffer);
    return out_object->bytes != NULL;
}

char *object_emit_text(Emit *e, bool assembly)
{
    ObjectMachine *machine = open_machine(e);
    if (!machine)
        return NULL;
    char *text = NULL;
    if (!verify(e) || !assembly) {
        char *ir = LLVMPrintModuleToString(e->module);
        text = *e->error ? NULL : strdup(ir);
        if (*e->error)
            fprintf(stderr, "%s\n", ir);
        LLVMDisposeMessage(ir);
    } else {
        LLVMMemoryBufferRef buffer = generate(e, machine->machine, LLVMAssemblyFile);
        if (buffer) {
            text = strndup(LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer));
            LLVMDisposeMemoryBuffer(buffer);
        }
    }
    close_machine(e, machine);
    return text;
}
