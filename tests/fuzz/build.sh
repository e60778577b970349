#!/usr/bin/env bash
# Builds the libFuzzer target of the parser with clang into the folder given (default build/fuzz). It
# is not part of the ordinary build, since clang needs an OpenMP of its own for the rest; it takes only
# the files it names. Then, on one core for ten minutes:
#   build/fuzz/fuzz_parse -dict=tests/fuzz/dl.dict -max_total_time=600 CORPUS tests/frontend/programs
set -eu
cd "$(dirname "$0")/../.."
out=${1:-build/fuzz}
mkdir -p "$out"
"${CLANG:-clang-19}" -std=c11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -I. \
  -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -o "$out/fuzz_parse" \
  tests/fuzz/fuzz_parse.c ir/arena.c ir/compiler.c frontend/name.c frontend/lex.c \
  frontend/parse.c frontend/parse_expr.c frontend/parse_stmt.c frontend/parse_type.c \
  frontend/parse_item.c frontend/ast_dump.c frontend/diag_print.c frontend/diag_json.c \
  frontend/doc.c frontend/format.c frontend/format_expr.c -lm
echo "$out/fuzz_parse"
