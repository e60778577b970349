#!/usr/bin/env bash
# What dlrt exports and imports: it is linked into every model, beside anybody's code. All exported
# names begin with dlrt_, nothing is writable, and nothing but libc, libm and OpenMP is needed.
set -eu
lib=$BUILD/libdlrt.a
[ -f "$lib" ] || { echo "no $lib"; exit 77; }
all=$(nm "$lib")
if grep -q "__asan_\|__ubsan_\|__tsan_" <<<"$all"; then
    echo "built with sanitizers: skipped"
    exit 77
fi
fail=0
check() { # what, lines
    [ -z "$2" ] || { echo "$1:"; echo "$2"; fail=1; }
}
check "exported without dlrt_" "$(grep -E ' [A-TV-Z] ' <<<"$all" | grep -v ' dlrt_' || true)"
check "writable data" "$(objdump -h "$lib" | awk '$2 ~ /^\.(data|bss|tdata|tbss)$/ && $3 !~ /^0*$/' || true)"
# Anything that prints, ends the process, or belongs to another library.
check "forbidden imports" "$(grep -E ' U ' <<<"$all" |
    grep -E ' (_?exit|abort|printf|puts|fputs|fprintf|perror|putchar|__printf_chk|__fprintf_chk|__assert_fail|stdout|stderr|pthread_.*|xxh.*|gz.*|zip.*|__cpu_model)$' || true)"
for header in omp.h; do
    check "$header outside parallel.c" \
        "$(grep -ln "#include <$header>\|#pragma omp" runtime/*.c runtime/*.h | grep -v parallel.c || true)"
done
check "includes of the compiler" \
    "$(grep -n '#include "\(ir\|frontend\|passes\|backend\|driver\)/' runtime/*.c runtime/*.h || true)"
exit $fail
