# examples.sh: what the tests of examples share. Each runs in a folder of its own, with checkpoints.
# shellcheck shell=bash
root=$PWD
[ -x "${DLRUN:-}" ] || { echo "no dlrun: skipped"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
fail=0

# train LABEL FILE [arguments]: trains examples/FILE.dl; what --require asks must hold.
train() {
    local label=$1 file=$2
    shift 2
    if ! "$DLRUN" train "$root/examples/$file.dl" --fresh -q "$@" >out 2>&1; then
        echo "$label: not as promised"
        sed 's/^/    /' out
        fail=1
    fi
}

has_fashion() { ls /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte* >/dev/null 2>&1; }
