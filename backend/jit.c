/* jit.c: objects in memory through LLVM's LLJIT. It takes finished objects only: no LLVM IR comes
 * here, so that what runs in this process is byte for byte what a compiled file would hold. */
#include "backend/jit.h"

#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct Jit {
    LLVMOrcLLJITRef jit;
};

static pthread_once_t init_once = PTHREAD_ONCE_INIT;

static void init_llvm(void)
{
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
}

/* True when `bad` is an error, which is then in `error`. */
static bool failed(LLVMErrorRef bad, char error[200])
{
    if (!bad)
        return false;
    char *why = LLVMGetErrorMessage(bad);
    snprintf(error, 200, "%s", why);
    LLVMDisposeErrorMessage(why);
    return true;
}

static bool add_process_symbols(Jit *j, char error[200])
{
    LLVMOrcDefinitionGeneratorRef process;
    char prefix = LLVMOrcLLJITGetGlobalPrefix(j->jit);
    if (failed(LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, prefix, NULL, NULL),
               error))
        return false;
    LLVMOrcJITDylibAddGenerator(LLVMOrcLLJITGetMainJITDylib(j->jit), process);
    return true;
}

static bool add_objects(Jit *j, const JitObject *objects, size_t n, char error[200])
{
    for (size_t i = 0; i < n; i++) {
        LLVMMemoryBufferRef copy = LLVMCreateMemoryBufferWithMemoryRangeCopy(
            (const char *)objects[i].bytes, objects[i].size, "kernel");
        if (failed(LLVMOrcLLJITAddObjectFile(j->jit, LLVMOrcLLJITGetMainJITDylib(j->jit), copy),
                   error))
            return false;
    }
    return true;
}

static bool find_symbols(Jit *j, const char *const *symbols, size_t n, void **out_addresses,
                         char error[200])
{
    for (size_t i = 0; i < n; i++) {
        LLVMOrcExecutorAddress at = 0;
        if (failed(LLVMOrcLLJITLookup(j->jit, &at, symbols[i]), error))
            return false;
        out_addresses[i] = (void *)(uintptr_t)at;
    }
    return true;
}

Jit *jit_link(const JitObject *objects, size_t n_objects, const char *const *symbols,
              size_t n_symbols, void **out_addresses, char error[200])
{
    Jit *j = calloc(1, sizeof *j);
    pthread_once(&init_once, init_llvm);
    if (!j || failed(LLVMOrcCreateLLJIT(&j->jit, NULL), error)) {
        free(j);
        return NULL;
    }
    if (add_process_symbols(j, error) && add_objects(j, objects, n_objects, error) &&
        find_symbols(j, symbols, n_symbols, out_addresses, error))
        return j;
    jit_free(j);
    return NULL;
}

void jit_free(Jit *j)
{
    if (!j)
        return;
    LLVMErrorRef bad = LLVMOrcDisposeLLJIT(j->jit);
    if (bad)
        LLVMConsumeError(bad);
    free(j);
}
