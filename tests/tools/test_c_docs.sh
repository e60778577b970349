#!/usr/bin/env bash
# What docs/c-interface.md shows: its files are written, its commands run in order, its CMake project is built.
set -u
[ -x "${DLCC:-}" ] || { echo "no dlcc"; exit 77; }
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export DLCC_CACHE=$work/cache
PATH=$(dirname "$DLCC"):$PATH

# A block of code begins with its file's name in a comment; blocks of sh follow one another.
awk -v sh=commands.sh '
    /^```/ && !inside { inside = 1; kind = substr($0, 4); file = kind == "sh" ? sh : kind == "cmake" ? "CMakeLists.txt" : ""; next }
    /^```/ { inside = 0; if (file != "" && file != sh) close(file); next }
    inside && file == "" { match($0, /[a-z]+\.(c|dl)/); file = substr($0, RSTART, RLENGTH) }
    inside { print >> file }
' "$root/docs/c-interface.md"
for f in commands.sh ring.dl train.c infer.c tensors.c serve.c CMakeLists.txt; do
    [ -s $f ] || { echo "the page has no $f"; exit 1; }
done
bash -eu commands.sh >log 2>&1 || { echo "a command of the page failed:"; cat log; exit 1; }
grep -E 'accuracy (9[0-9]|100)' log >/dev/null || { echo "the page's model does not learn:"; cat log; exit 1; }
for f in train infer tensors serve; do
    cc -std=c11 -Wall -Wextra -Werror -Wno-double-promotion -I. -fsyntax-only $f.c || { echo "$f.c has warnings"; exit 1; }
done

command -v cmake >/dev/null || exit 0
mkdir project && cp ring.dl train.c project/
{ printf 'cmake_minimum_required(VERSION 3.16)\nproject(ring C)\n'; cat CMakeLists.txt; } >project/CMakeLists.txt
# As this project was built: a machine with ninja need not have make.
export CMAKE_GENERATOR
CMAKE_GENERATOR=$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$BUILD/CMakeCache.txt")
built() { # source folder, build folder
    cmake -S "$1" -B "$2" -Ddlcc_DIR="$root/cmake" -DDLCC_EXECUTABLE="$DLCC" >log 2>&1 && cmake --build "$2" >>log 2>&1 ||
        { echo "CMake: $1:"; tail -20 log; exit 1; }
}
built project project/build
project/build/train | grep accuracy >/dev/null || { echo "the program made by CMake"; exit 1; }

# The example, by CMake and by the lines in its files.
mkdir -p plain && cp "$root"/examples/c/*.c "$root"/examples/c/*.dl plain/
built "$root/examples/c" example
(cd example && ./train w.safetensors | tail -1 && ./infer w.safetensors) >by_cmake 2>&1 || { echo "the example"; cat by_cmake; exit 1; }
(cd plain && sed -n 's/^ \* *\(dlcc .*\|cc .*\)/\1/p' train.c | sed 's|\*/$||; s|&& ./train.*||' | bash -eu && ./train w.safetensors | tail -1 &&
    sed -n 's/^ \* *\(dlcc .*\|cc .*\)/\1/p' infer.c | sed 's|\*/$||; s|&& ./infer.*||' | bash -eu && ./infer w.safetensors) >by_hand 2>log ||
    { echo "the example's commands"; cat log by_hand; exit 1; }
cmp by_cmake by_hand || { echo "the example differs:"; cat by_cmake by_hand; exit 1; }
grep 'accuracy \(9[5-9]\|100\)' by_hand >/dev/null || { echo "the example does not learn"; cat by_hand; exit 1; }
[ "$(grep -c '[.o#]\{64\}' by_hand)" = 32 ] || { echo "the example draws nothing"; cat by_hand; exit 1; }
