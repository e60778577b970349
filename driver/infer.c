#include "driver/verbs.h"
int verb_infer(Run *r) { (void)r; return EXIT_UNSUPPORTED; }
int verb_bench(Run *r) { (void)r; return EXIT_UNSUPPORTED; }
int verb_gradcheck(Run *r) { (void)r; return EXIT_UNSUPPORTED; }
