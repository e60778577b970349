#!/usr/bin/env bash
# The rules of the house that a script can see: who includes whom, sizes of files, width of lines,
# nothing left to do, nothing big in the repository.
set -u
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || { echo "not a git checkout: skipped"; exit 77; }
fail=0
none() { # what, lines: any line is a failure
    [ -z "$2" ] || { printf '%s:\n%s\n' "$1" "$2"; fail=1; }
}
files() { # patterns: tracked files that are still there
    git ls-files -- "$@" | while read -r f; do [ -f "$f" ] && printf '%s\n' "$f"; done
}
mapfile -t code < <(files '*.c' '*.h' '*.def' '*.dl' '*.sh' '*.py' '*.cmake')
[ "${#code[@]}" -gt 100 ] || { echo "only ${#code[@]} files found"; exit 1; }

# Includes: folder, what its quoted includes may begin with.
includes() {
    local found
    found=$(files "$1/*.c" "$1/*.h" | xargs grep -nE '^ *# *include "' | grep -vE "include \"($2)" || true)
    none "$1/ includes what it may not" "$found"
}
includes ir 'ir/'
includes frontend 'ir/|frontend/'
includes passes 'ir/|passes/'
includes backend 'ir/|backend/|runtime/(plan|dlrt)\.h|backend_id\.h'
includes runtime 'runtime/'
none "runtime/ includes runtime/host/" \
    "$(files 'runtime/*.[ch]' | grep -v '^runtime/host/' | xargs grep -n '#include "runtime/host/')"
none "LLVM outside backend/" \
    "$(printf '%s\n' "${code[@]}" | grep -E '\.[ch]$' | grep -v '^backend/' | xargs grep -nE '#include [<"]llvm')"
none "OpenMP outside runtime/parallel.c" \
    "$(printf '%s\n' "${code[@]}" | grep -E '\.[ch]$' | grep -v '^runtime/parallel\.c$' |
        xargs grep -nE '#include <omp\.h>|#pragma omp')"

# Sizes.
sizes=$(printf '%s\n' "${code[@]}" | grep -E '\.(c|h|dl)$' | xargs wc -l | grep -v ' total$')
none "files past 1000 lines" "$(awk '$1 > 1000' <<<"$sizes")"
long=$(awk '$1 > 800' <<<"$sizes")
[ -z "$long" ] || printf 'past 800 lines, to be divided:\n%s\n' "$long"
none "files over 1 MB" "$(files | xargs -d '\n' stat -c '%s %n' | awk '$1 > 1048576')"

# Lines of at most 100 columns.
none "lines past 100 columns (see scripts/wrap)" "$(files '*.c' '*.h' 'examples/*.dl' |
    LC_ALL=C.UTF-8 xargs grep -nE '^.{101,}' | head -40)"

# Text.
none "trailing blanks" "$(printf '%s\n' "${code[@]}" | xargs grep -nE '[[:blank:]]+$' | head -20)"
none "left to do" "$(printf '%s\n' "${code[@]}" | grep -v '^tests/tools/test_hygiene.sh$' |
    xargs grep -nE '\b(TODO|FIXME|XXX)\b')"
none "a .sh that bash cannot read" "$(files '*.sh' 'scripts/*' | grep -v packages | while read -r f; do
    bash -n "$f" 2>&1; done)"

exit $fail
