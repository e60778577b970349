#!/usr/bin/env bash
# The first minutes: dlcc new, dlcc doctor, completions.
. "$(dirname "$(readlink -f "$0")")/train_lib.sh"
expect 0 'wave_two.dl.*dlrun train' "$DLCC" new wave_two
expect 0 'WaveTwo is right' "$DLCC" check wave_two.dl
cp wave_two.dl before && "$DLCC" fmt wave_two.dl && cmp before wave_two.dl || fail "what is new is not in the one layout"
expect 0 '' "$DLRUN" train wave_two.dl -q --require 'error<0.05'
expect 3 'cannot write wave_two.dl' "$DLCC" new wave_two
cmp before wave_two.dl || fail "a file that was there is written over"
expect 2 'is no name' "$DLCC" new ../x
expect 2 'how is it to be called' "$DLCC" new

expect 0 '^ok +linking' "$DLCC" doctor
grep -q '^ok *processor *x86-64' out || fail "doctor names no processor"
expect 3 '^BAD +linking.*nosuch-cc' "$DLCC" doctor --cc nosuch-cc

for tool in "$DLCC" "$DLRUN"; do
    name=$(basename "$tool")
    "$tool" completions >script || fail "$name completions"
    bash -n script || fail "$name completions: no shell script"
    complete_word() { # words..; the last one is completed
        bash -c '. ./script; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _'"$name"'; echo "${COMPREPLY[@]}"' bash "$@"
    }
    [ "$(complete_word "$name" --jso)" = --json ] || fail "$name --jso"
    for option in $("$tool" --help | grep -oE '^ +(-[a-zA-Z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+'); do
        [[ " $(complete_word "$name" --) " = *" $option "* ]] || fail "$name: $option is not completed"
    done
done
[ "$(complete_word dlrun tr)" = train ] || fail "dlrun tr"
[ -z "$(complete_word dlrun train tr)" ] || fail "a second verb"
expect 2 'bash only' "$DLCC" completions fish
echo ok
