/* main_dlcc.c: the compiler. */
#include "driver/verbs.h"

static const char usage[] =
    "dlcc: compiles a model in a .dl file to a native library that trains and runs it\n"
    "\n"
    "  dlcc lenet.dl -o lenet.so            the library, and lenet.h beside it\n"
    "  dlcc lenet.dl -o lenet.a --entries logits -w lenet.safetensors\n"
    "  dlcc resnet18.onnx -o resnet18.so    the same from an ONNX model\n"
    "  dlcc import resnet18.onnx -o resnet18.dl\n"
    "  dlcc lenet.dl -w lenet.safetensors -o lenet.onnx     for other runtimes\n"
    "  dlcc check lenet.dl                  names, types and shapes, without opening data\n"
    "  dlcc inspect lenet.dl                layers, shapes, parameters, memory\n"
    "  dlcc explain E0312                   what an error means\n"
    "  dlcc fmt lenet.dl                    the one format, in place\n";

static const Verb verbs[] = {
    { "build", "compile to .so .a .o .h .onnx (also: dlcc FILE -o ...)", verb_build },
    { "check", "parse, names, types, shapes", verb_check },
    { "completions", "what the shell may complete: source <(dlcc completions)", verb_completions },
    { "doctor", "whether this machine has what is needed", verb_doctor },
    { "explain", "an error code or an operation; `ops`: all, as tested", verb_explain },
    { "export", "one `export fn` with its weights as an ONNX file", verb_export },
    { "inspect", "entries, parameters, memory, kernels; or the tensors of a .safetensors file",
      verb_inspect },
    { "import", "an .onnx model as a .dl program and its weights", verb_import },
    { "new", "NAME.dl: a model, its data and its training to begin with", verb_new },
    { "fmt", "format .dl files in place; `-` for standard input", verb_fmt },
};

int main(int argc, char **argv)
{
    return tool_main(DLCC, usage, verbs, sizeof verbs / sizeof *verbs, verb_build, argc, argv);
}
