# train_lib.sh: what the tests of dlrun share: a folder of their own, and expectations.
set -u
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
cd "$T" || exit 1

fail() {
    echo "FAIL: $*"
    [ -f out ] && sed 's/^/  | /' out | head -20
    exit 1
}

# expect CODE TEXT COMMAND...: the command ends with CODE and says TEXT (an extended regular
# expression; empty: anything) on either stream, kept in `out`.
expect() {
    local code=$1 text=$2 got
    shift 2
    "$@" >out 2>&1
    got=$?
    [ "$got" = "$code" ] || fail "exit $got instead of $code: $*"
    [ -z "$text" ] || grep -Eq -- "$text" out || fail "no \"$text\" from: $*"
}

# A line through three points, fitted exactly.
line_model() {
    cat >line.dl <<'END'
data points = table(x=[0, 1, 2, 3], y=[-2, 1, 4, 7])
model Line {
  param w: f32 = zeros
  param b: f32 = zeros
  export fn at(x: f32[B]) -> f32[B] { x * w + b }
  fn loss(x: f32[B], y: f32[B]) -> f32 { mean((at(x) - y)^2) }
}
train Line on points.all {
  batch = 4; steps = 600; optimizer = sgd(lr=0.1, momentum=0.5)
  metric mse = loss on points.all
  metric slope = w
  metric offset = b
}
END
}

# A network with everything that a resumed run must carry on: shuffling, dropout, moments, a
# schedule of the run's length. $1: the recipe's length and checkpoint.
net_model() {
    {
        echo 'data d = csv("d.csv", x=cols(0..3), y=col(3)) |> split(0.8, seed=3) |> standardize("x")'
        cat <<'END'
model Net {
  export fn f(x: f32[B, 3]) -> f32[B] {
    x |> Linear(16) |> tanh |> dropout(0.2) |> Linear(1) |> squeeze(axis=1)
  }
  fn loss(x: f32[B, 3], y: f32[B]) -> f32 { mean((f(x) - y)^2) }
}
END
        echo "train Net on d.train {"
        echo "  batch = 16; seed = 5; optimizer = adam(lr=cosine(1e-2)); $1"
        echo "  metric mse = loss on d.test"
        echo "}"
    } >net.dl
    awk 'BEGIN { srand(7); print "a,b,c,y"
        for (i = 0; i < 300; i++) {
            a = rand(); b = rand() * 5; c = rand() - 3
            printf "%.6f,%.6f,%.6f,%.6f\n", a, b, c, a * b - c + rand() / 10 } }' >d.csv
}
