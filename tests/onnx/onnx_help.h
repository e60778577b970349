/* onnx_help.h: for tests of ONNX files: cmocka, and a walk over all that a model holds. */
#ifndef DLCC_TESTS_ONNX_HELP_H
#define DLCC_TESTS_ONNX_HELP_H
#include "frontend/onnx/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/onnx/walk.h"

#endif
