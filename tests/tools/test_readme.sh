#!/usr/bin/env bash
# What README.md and docs/language.md show is true: every dl block is right, or gives exactly the
# messages of the text block after it; every sh block runs, with training cut to some steps; files
# that links and commands name are there. A block that begins with a comment naming a file is that
# file. (docs/c-interface.md has a test of its own.)
set -u
root=$PWD
[ -x "${DLRUN:-}" ] || { echo "no dlrun: skipped"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail=0
wrong() { echo "$1"; fail=1; }

# dlrun as it is, but training takes 60 steps.
mkdir "$work/bin"
ln -s "$DLCC" "$work/bin/dlcc"
cat >"$work/bin/dlrun" <<EOF
#!/bin/sh
[ "\$1" = train ] && set -- "\$@" --set steps=60
exec "$DLRUN" "\$@"
EOF
chmod +x "$work/bin/dlrun"
PATH=$work/bin:$PATH

# Blocks as files NUMBER.LANGUAGE in a folder.
blocks() { # page, folder
    awk -v folder="$2" '
        /^```/ && !inside { inside = 1; out = sprintf("%s/%03d.%s", folder, ++n, substr($0, 4)); printf "" > out; next }
        /^```/ { inside = 0; close(out); next }
        inside { print >> out }
        END { if (inside) exit 1 }' "$1" || wrong "$1: a block is not closed"
}
check_dl() { # block, text block or nothing
    local name
    name=$(sed -nE '1s/^# ([a-z_]+\.dl)$/\1/p' "$1")
    name=${name:-model.dl}
    cp "$1" "$name"
    if [ -n "$2" ]; then
        dlcc check "$name" >got 2>&1
        diff "$2" got || wrong "$page: block $(basename "$1") gives other messages"
    else
        dlcc check "$name" >got 2>&1 || { cat got; wrong "$page: block $(basename "$1") is not right"; }
    fi
}
for page in README.md docs/language.md; do
    folder=$work/$(basename "$page" .md)
    mkdir -p "$folder/blocks"
    blocks "$root/$page" "$folder/blocks"
    cd "$folder" || exit 1
    count=0
    for block in blocks/*; do
        next=$(printf 'blocks/%03d.text' $((10#$(basename "$block" | cut -c1-3) + 1)))
        case $block in
        *.dl)
            count=$((count + 1))
            if [ -f "$next" ] && head -1 "$next" | grep -qE '^(error|warning)\['; then
                check_dl "$block" "$next"
            else
                check_dl "$block" ""
            fi ;;
        *.c)
            name=$(sed -nE '1s/^\/\* ([a-z_]+\.c)\b.*/\1/p' "$block")
            cp "$block" "${name:-example.c}" ;;
        *.sh)
            if grep -q '^git clone' "$block"; then
                for script in $(grep -oE '\bscripts/[a-z]+' "$block"); do
                    [ -x "$root/$script" ] || wrong "$page: no $script"
                done
            elif ! grep -q dlrun "$block" || [ -d /usr/share/datasets/fashion-mnist ]; then
                bash -eu "$block" >log 2>&1 || { cat log; wrong "$page: block $(basename "$block") fails"; }
            else
                echo "$page: no dataset-fashion-mnist: $(basename "$block") not run"
            fi ;;
        esac
    done
    [ "$count" -gt 0 ] || wrong "$page: no program found"
    cd "$root" || exit 1
done

for page in README.md docs/*.md; do
    for link in $(grep -oE '\]\([^)#:]+\)' "$page" | sed 's/^](//; s/)$//'); do
        [ -e "$(dirname "$page")/$link" ] || wrong "$page: no $link"
    done
done
for folder in $(sed -nE 's/^\| `([a-z]+\/)` .*/\1/p' README.md); do
    [ -d "$folder" ] || wrong "README.md: no folder $folder"
done
# Every example has its row.
for f in examples/*.dl; do
    grep -q "($f)" README.md || wrong "README.md: no row for $f"
done
exit $fail
