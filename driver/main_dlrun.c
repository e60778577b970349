/* main_dlrun.c: trains, evaluates and runs models. */
#include "driver/verbs.h"

static const char usage[] =
    "dlrun: trains, evaluates and runs the models of .dl files and of built libraries\n"
    "\n"
    "  dlrun train lenet.dl                 trains; saves lenet.safetensors each epoch and on "
    "Ctrl-C\n"
    "  dlrun train lenet.dl --resume        goes on where it stopped, with the same bits\n"
    "  dlrun train lenet.dl --set lr=1e-3 --require 'accuracy>=0.88'\n"
    "  dlrun eval lenet.dl                  the metrics of the recipe\n"
    "  dlrun eval net.onnx -i x.npy -t labels.npy --metric accuracy\n"
    "  dlrun infer lenet.dl -i shirt.png    what the model says\n"
    "  dlrun infer lenet.so -i shirt.png    the same by a library that dlcc built\n"
    "  dlrun gradcheck lenet.dl             derivatives against finite differences\n";

static const Verb verbs[] = {
    { "bench", "time a step and each entry", verb_bench },
    { "completions", "what the shell may complete: source <(dlrun completions)", verb_completions },
    { "eval", "the recipe's metrics with saved weights, or --metric of given arrays", verb_eval },
    { "gradcheck", "compare derivatives with finite differences", verb_gradcheck },
    { "infer", "run an exported function on .npy, .npz or .png", verb_infer },
    { "train", "train as the recipe says", verb_train },
};

int main(int argc, char **argv)
{
    return tool_main(DLRUN, usage, verbs, sizeof verbs / sizeof *verbs, NULL, argc, argv);
}
