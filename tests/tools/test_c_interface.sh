#!/usr/bin/env bash
# The libraries that dlcc makes, as a C program and a linker see them: every kind, in C and C++, two in one program, without
# globals or foreign imports, with the same bytes wherever they are built; and what must be refused.
set -u
[ -x "${DLCC:-}" ] || { echo "no dlcc"; exit 77; }
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DLCC_CACHE=$work/cache
cd "$work" || exit 1
fail=0
bad() { echo "FAIL: $*"; fail=1; }
try() { "$@" >log 2>&1 || { bad "$*"; head -20 log; }; }
refused() { # code, words, command...
    local code=$1 words=$2 got
    shift 2
    "$@" >log 2>&1
    got=$?
    [ $got = "$code" ] || bad "exit $got, not $code: $*"
    grep -q -- "$words" log || { bad "no \"$words\": $*"; head -5 log; }
}

# Every kind, and the line that dlcc prints.
program="$here/c_interface.c"
flags="-std=c11 -Wall -Wextra -Werror -O0"
for kind in so a; do
    mkdir -p "$kind"
    (cd "$kind" && "$DLCC" "$here/net.dl" -o net.$kind && "$DLCC" -q "$here/line.dl" -o line.$kind) >log 2>&1 || bad "build .$kind"
    use=$(sed -n 's/^use *//p' log)
    cp "$program" "$kind/app.c"
    (cd "$kind" && eval "${use/app.c/$flags app.c ./line.$kind} -lm") >log 2>&1 || { bad "$use"; head log; }
    (cd "$kind" && timeout 100 ./app) >log 2>&1 || { bad "the program with .$kind"; head -20 log; }
done

mkdir -p o && try "$DLCC" -q "$here/net.dl" -o o/net.o

# The header: strict C and C++.
printf '#include "net.h"\n#include "line.h"\n#include "net.h"\nint main(void) { return net_abi() == xor_abi(); }\n' >both.c
try cc -std=c99 -pedantic -Wall -Wextra -Werror -Iso -c both.c -o both.o
if command -v g++ >/dev/null; then
    try g++ -std=c++17 -pedantic -Wall -Wextra -Werror -Iso -x c++ both.c -x none so/net.so so/line.so -Wl,-rpath,so -o both
fi

# What a library exports, imports and owns.
nm -D --defined-only so/net.so | awk '{ print $3 }' | grep -v '^net_' >log && { bad "exported"; cat log; }
nm --defined-only -g o/net.o | awk '{ print $3 }' | grep -v '^net_' >log && { bad "global in .o"; cat log; }
readelf -d so/net.so | grep NEEDED | grep -Ev 'libgomp|libm\.so|libc\.so|ld-linux|libgcc_s|libomp' >log && { bad "needs"; cat log; }
readelf -d so/net.so | grep -q 'SONAME.*\[net.so\]' || bad "no soname"
objdump -h o/net.o | awk '$2 ~ /^\.(data|bss|tdata|tbss)$/ && $3 !~ /^0*$/' | grep . >log && { bad "writable data"; cat log; }
nm -u o/net.o | grep -Ew 'printf|puts|fprintf|exit|_exit|abort|perror|system' >log && { bad "imports"; cat log; }

# The same bytes twice, and from another folder.
mkdir -p again/deep && cp "$here/net.dl" again/deep/
for kind in so o; do
    (cd again/deep && DLCC_CACHE=off "$DLCC" -q net.dl -o net.$kind) >log 2>&1 || bad "build again"
    cmp "$kind/net.$kind" again/deep/net.$kind || bad "net.$kind differs"
    cmp "$kind/net.h" again/deep/net.h || bad "net.h differs for .$kind"
done

# Paths with spaces and quotes, absolute and relative; a header alone.
mkdir -p "it's a/folder"
printf '#include "net.h"\nint main(void) { net *cx; return net_init(NET_ABI, 0, 0, 1, &cx); }\n' >app.c
for out in "it's a/folder/net.so" "$work/it's a/net.so"; do
    "$DLCC" "$here/net.dl" -o "$out" >log 2>&1 || bad "build $out"
    eval "$(sed -n 's/^use *//p' log)" >log 2>&1 || { bad "compile with $out"; head log; }
    (cd / && "$work/app") || bad "run with $out"
done
mkdir -p alone && try "$DLCC" -q "$here/net.dl" -o alone/net.h
cmp alone/net.h so/net.h || bad "the header alone differs"
[ "$(ls alone)" = net.h ] || bad "a header alone wrote more"

# Inference alone: the same numbers, a smaller context, no training, also with weights inside.
cat >infer.c <<'END'
#include "net.h"
#include <stdio.h>
int main(void)
{
    float x[16][6], out[16][3];
    net *cx;
    for (int i = 0; i < 96; i++)
        x[i / 6][i % 6] = (float)(i * 37 % 11) / 11;
    if (net_init(NET_ABI, 0, 0, 1, &cx) || net_logits(cx, 16, x[0], out[0]))
        return 1;
#ifdef SAVE
    if (net_train(cx, 16, x[0], (const unsigned char[16]){ 0, 1, 2 }, 5, 0) || net_save(cx, DLCC_WEIGHTS, "w.safetensors") ||
        net_logits(cx, 16, x[0], out[0]))
        return 1;
#endif
    for (int i = 0; i < 48; i++)
        printf("%a\n", (double)out[i / 3][i % 3]);
    return 0;
}
END
mkdir -p only weighted other
try "$DLCC" -q "$here/net.dl" -o only/net.so --entries=logits
try cc infer.c -Iso so/net.so -Wl,-rpath,so -o all_infer && ./all_infer >all.txt
try cc infer.c -Ionly only/net.so -Wl,-rpath,only -o only_infer && ./only_infer >only.txt
cmp all.txt only.txt || bad "logits alone differ"
[ -s all.txt ] || bad "no numbers"
size() { sed -n 's/^#define NET_SIZE \([0-9]*\).*/\1/p' "$1/net.h"; }
[ "$(size only)" -lt "$(size so)" ] || bad "the context of inference is not smaller"
nm -D --defined-only only/net.so | grep -E ' net_(step|train|eval|metric)$' && bad "inference has training"
try cc -DSAVE infer.c -Iso so/net.so -Wl,-rpath,so -o saver && ./saver >trained.txt
try "$DLCC" -q "$here/net.dl" -o weighted/net.so --entries=logits -w w.safetensors
try cc infer.c -Iweighted weighted/net.so -Wl,-rpath,weighted -o weighted_infer && ./weighted_infer >weighted.txt
cmp trained.txt weighted.txt || bad "embedded weights"
cmp -s trained.txt all.txt && bad "training changed nothing"

# What dlrun trained, statistics of its data included, in a library that only infers: the best plane's prices.
if [ -x "${DLRUN:-}" ]; then
    cat >house.c <<'END'
#include "house.h"
#include <stdio.h>
int main(void)
{
    const float x[4][2] = { { 60, 2 }, { 70, 8 }, { 220, 25 }, { 80, 20 } };
    float price[4];
    house *cx;
    if (house_init(HOUSE_ABI, 0, 0, 1, &cx) || house_predict(cx, 4, x[0], price))
        return 1;
    printf("%.0f %.0f %.0f %.0f\n", price[0], price[1], price[2], price[3]);
    return 0;
}
END
    try "$DLRUN" train -q "$here/../../examples/house.dl"
    try "$DLCC" -q "$here/../../examples/house.dl" -o house.so --entries=predict -w house.safetensors
    try cc house.c -I. ./house.so -Wl,-rpath,. -o house
    [ "$(./house)" = "880 825 1095 680" ] || bad "the library says $(./house), the model 880 825 1095 680"
fi

# A metric that reads tensors after its sums is left out, with a word; the others are there.
sed 's/^  metric size.*/  metric offset = loss + sum(gain) * 0 + gain[0]/; s/^model Net {/&\n  param gain: f32[2] = ones/' "$here/net.dl" >reads.dl
"$DLCC" reads.dl -o reads.so >log 2>&1 || { bad "a metric that reads tensors"; cat log; }
grep -q 'W0812.*offset' log || { bad "no warning of a metric left out"; cat log; }
grep -q 'NET_LOSS, NET_ACCURACY, NET_PERPLEXITY, NET_RIGHT, NET_SUMS' reads.h || bad "the other metrics"

# Refused: an old library with a new header, a processor that lacks something, options that make no sense.
try "$DLCC" -q "$here/net.dl" -D B=8 -o other/net.h
try cc app.c -Iother so/net.so -Wl,-rpath,so -o old && ./old
[ $? = 1 ] || bad "an old library with a new header is not DLCC_E_ABI"
try "$DLCC" -q "$here/net.dl" -D B=8 -o other/net.so
try cc app.c -Iother other/net.so -Wl,-rpath,other -o smaller && ./smaller
[ $? = 0 ] || bad "a library whose B is below the recipe's batch"
mkdir -p cpu && cp so/net.so so/net.h cpu/
at=$(grep -obUaP 'DLMODEL1\x01\x00\x00\x00\x00\x00\x00\x00' cpu/net.so | head -1 | cut -d: -f1)
if [ -n "$at" ]; then
    printf '\200' | dd of=cpu/net.so bs=1 seek=$((at + 47)) conv=notrunc 2>/dev/null
    try cc app.c -Icpu cpu/net.so -Wl,-rpath,cpu -o lacks && ./lacks
    [ $? = 2 ] || bad "a processor without the features is not DLCC_E_CPU"
else
    bad "no table in the library"
fi
refused 2 "no entry \`logit\`" "$DLCC" "$here/net.dl" -o x.so --entries=logit
refused 4 "not supported yet" "$DLCC" "$here/net.dl" -o x.so --entries=step,+grad
refused 2 "cannot begin a C function" "$DLCC" "$here/net.dl" -o x.so --prefix 9x
refused 2 "cannot begin a C function" "$DLCC" "$here/net.dl" -o x.so --prefix "a b"
refused 2 "suffix" "$DLCC" "$here/net.dl" -o x.exe
refused 3 "no-such-compiler" "$DLCC" "$here/net.dl" -o x.so --cc no-such-compiler
refused 3 "cannot" "$DLCC" "$here/net.dl" -o no/such/folder/x.so
refused 3 "there-is-none" "$DLCC" "$here/net.dl" -o x.so -w there-is-none
refused 3 'no tensor "w"' "$DLCC" "$here/line.dl" -o x.so -w w.safetensors
head -c 300 w.safetensors >short.safetensors
refused 3 "short.safetensors" "$DLCC" "$here/net.dl" -o x.so -w short.safetensors
[ ! -e x.so ] && [ ! -e x.h ] || bad "a failed build left files"
try "$DLCC" -q "$here/net.dl" -o pre.so --prefix My_Net && nm -D --defined-only pre.so | grep -q ' My_Net_step$' || bad "--prefix"

# Starting costs nothing: no code generator is set up before it is needed. Processor time, the least of some runs.
best=1000
for _ in 1 2 3 4 5 6 7 8 9 10; do
    t=$( { TIMEFORMAT='%U %S'; time "$DLCC" --help >/dev/null; } 2>&1 | awk '{ print 1000 * ($1 + $2) }')
    [ "$t" -lt $best ] && best=$t
done
[ $best -le 10 ] || { nm "$DLCC" | grep -q __asan_init || bad "dlcc --help takes $best ms"; }
exit $fail
