#!/usr/bin/env bash
# --help of both tools: exits 0, fits a screen of 60 lines, names every verb and every option.
set -u
[ -x "${DLRUN:-}" ] || { echo "no dlrun: skipped"; exit 77; }
fail=0
wrong() { echo "$1"; fail=1; }
options() { # name and tools of each row
    sed -nE 's/^OPTION\([A-Z_]+, *[^,]+, *"([^"]+)", *[^,]+, *([A-Z]+),.*/\1\t\2/p' driver/options.def
}
for tool in "$DLCC" "$DLRUN"; do
    name=$(basename "$tool")
    help=$("$tool" --help) || wrong "$name --help exits $?"
    [ "$(wc -l <<<"$help")" -le 60 ] || wrong "$name --help has $(wc -l <<<"$help") lines"
    [ "$(awk 'length > 120' <<<"$help" | wc -l)" = 0 ] || wrong "$name --help has lines past 120 columns"
    # The table of options, and for which tools each is.
    upper=${name^^}
    while IFS=$'\t' read -r option tools; do
        grep -qE -- "--$option\b" <<<"$help"
        shown=$?
        case $tools in
        BOTH | "$upper") [ $shown = 0 ] || wrong "$name --help lacks --$option" ;;
        *) [ $shown != 0 ] || wrong "$name --help shows --$option, which is not its own" ;;
        esac
    done < <(options)
    [ "$(grep -c '^OPTION(' driver/options.def)" = "$(options | wc -l)" ] || wrong "options.def has a row that this test cannot read"
    # The table of verbs.
    verbs=$(sed -nE 's/^ *\{ *"([a-z]+)", .*verb_[a-z]+ *\},?.*/\1/p' "driver/main_$name.c")
    [ -n "$verbs" ] || wrong "no verbs found in main_$name.c"
    for verb in $verbs; do
        grep -qE "^  $verb " <<<"$help" || wrong "$name --help lacks the verb $verb"
    done
    "$tool" >/dev/null 2>&1
    [ $? = 2 ] || wrong "$name without arguments must exit 2"
    "$tool" --no-such-option >/dev/null 2>&1
    [ $? = 2 ] || wrong "$name with a wrong option must exit 2"
done
exit $fail
