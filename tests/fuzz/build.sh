#!/usr/bin/env bash
# Builds the libFuzzer targets with clang into the folder given (default build/fuzz). They are not
# part of the ordinary build, since clang needs an OpenMP of its own for the rest; each takes only the
# files it names. Then, on one core for ten minutes each:
#   build/fuzz/fuzz_parse -dict=tests/fuzz/dl.dict -max_total_time=600 CORPUS tests/frontend/programs
#   build/fuzz/fuzz_onnx -max_total_time=600 -max_len=4096 CORPUS tests/onnx/corpus
#   build/fuzz/fuzz_import -max_total_time=600 -max_len=4096 -timeout=10 CORPUS tests/onnx/corpus
set -eu
cd "$(dirname "$0")/../.."
out=${1:-build/fuzz}
mkdir -p "$out/generated"
out=$(cd "$out" && pwd)
build() { # name, files and flags
    local name=$1
    shift
    "${CLANG:-clang-19}" -std=c11 -D_GNU_SOURCE -DDLCC_VERSION=\"fuzz\" -O1 -g -Wall -Wextra -I. -I"$out/generated" \
        -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -o "$out/$name" \
        "tests/fuzz/$name.c" "$@"
    echo "$out/$name"
}
print=(ir/arena.c ir/compiler.c frontend/diag_print.c frontend/diag_json.c)
build fuzz_parse "${print[@]}" frontend/name.c frontend/lex.c frontend/parse.c frontend/parse_expr.c \
    frontend/parse_stmt.c frontend/parse_type.c frontend/parse_item.c frontend/ast_dump.c \
    frontend/doc.c frontend/format.c frontend/format_expr.c -lm
protoc-c --proto_path=. --c_out="$out/generated" frontend/onnx/onnx.proto
build fuzz_onnx "${print[@]}" frontend/name.c frontend/lex.c ir/types.c frontend/onnx/wire.c \
    frontend/onnx/pool.c frontend/onnx/file.c frontend/onnx/external.c frontend/onnx/tensor.c \
    frontend/onnx/escape.c "$out/generated/frontend/onnx/onnx.pb-c.c" -lprotobuf-c -lm
cmake "-DOUT=$out/generated/std_text.c" "-DFILES=$(printf '%s\n' "$PWD"/frontend/std/*.dl | sort | paste -sd,)" \
    -P cmake/embed_std.cmake
build fuzz_import ir/*.c ir/ops/*.c frontend/*.c frontend/onnx/*.c "$out/generated/std_text.c" \
    "$out/generated/frontend/onnx/onnx.pb-c.c" -lprotobuf-c -lm
