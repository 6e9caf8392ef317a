#!/bin/bash
# What ./quickstart runs: one process trains and writes the plan, a second one loads it and comes to the same logits:
# mnist_test.sh PROGRAM MODELLIB DATA_FILE...
set -euo pipefail
mnist=$1 modellib=$2 data=$(dirname "$3")
plan=$TEST_TMPDIR/mnist.mlplan logits=$TEST_TMPDIR/logits.npy

run() {
  echo "--- $1"
  "$mnist" "$1" "$data" "$plan" "$logits" >"$TEST_TMPDIR/$1.txt" 2>&1 || {
    local code=$?
    cat "$TEST_TMPDIR/$1.txt"
    echo "mnist $1: exit code $code"
    exit 1
  }
  cat "$TEST_TMPDIR/$1.txt"
}
run train
run classify
"$modellib" inspect "$plan" --json >"$TEST_TMPDIR/plan.json"

# A result that is not the trainer's is refused: one bit of one logit differs.
python3 - "$logits" "$TEST_TMPDIR/other.npy" <<'OTHER'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[-4] ^= 1
open(sys.argv[2], "wb").write(data)
OTHER
if "$mnist" classify "$data" "$plan" "$TEST_TMPDIR/other.npy" >"$TEST_TMPDIR/refused.txt" 2>&1 ||
  ! grep -q "the logits differ" "$TEST_TMPDIR/refused.txt"; then
  cat "$TEST_TMPDIR/refused.txt"
  echo "other logits were taken for the trainer's"
  exit 1
fi

python3 - "$TEST_TMPDIR" <<'CHECK'
import json, os, re, sys

EPOCHS = 30
ACCURACY = 92.0  # one seed's; tests/training:accuracy_test holds the mean of five to more
ABOVE_BOUND = 1.1

folder = sys.argv[1]
train, classify = (open(os.path.join(folder, name + ".txt")).read() for name in ("train", "classify"))


def found(pattern, text):
    match = re.search(pattern, text, re.MULTILINE)
    assert match, f"no line '{pattern}' in:\n{text}"
    return match


epochs = re.findall(r"^epoch +(\d+)/(\d+) \[#+\] 125/125  loss (\d+\.\d{4})  validation accuracy (\d+\.\d\d)%$", train,
                    re.MULTILINE)
assert [(int(n), int(of)) for n, of, _, _ in epochs] == [(n, EPOCHS) for n in range(1, EPOCHS + 1)], epochs
losses = [float(loss) for _, _, loss, _ in epochs]
assert losses[-1] < losses[0] / 4, losses

trained = found(r"^trained in \d+\.\d s, validation accuracy (\d+\.\d\d)%$", train)[1]
assert trained == epochs[-1][3], "the last epoch's accuracy is the training's"
assert float(trained) >= ACCURACY, trained
found(r"^compiled to .*/mnist\.mlplan$", train)

classified = found(r"^1000 digits classified, the same to the last bit: accuracy (\d+\.\d\d)%$", classify)[1]
assert classified == trained, f"the plan is right on {classified}%, the trained model on {trained}%"
steps = int(found(r"^latency of one digit \d+\.\d us \(median\); (\d+) steps$", classify)[1])
planned, bound, ratio = found(
    r"^planned (\d+) bytes for up to 1000 digits, lower bound (\d+) \(ratio (\d+\.\d{3})\)$", classify).groups()
assert int(bound) <= int(planned) <= ABOVE_BOUND * int(bound), (planned, bound)
assert ratio == f"{int(planned) / int(bound):.3f}", ratio

plan = json.load(open(os.path.join(folder, "plan.json")))
assert plan["format"] == "plan" and plan["will_not_run"] == [] and plan["variables"] == [], plan
[entry] = plan["entries"]
assert entry["name"] == "main"
assert entry["symbols"] == [{"name": "batch", "min": 1, "max": 1000}], entry["symbols"]
assert [tensor["type"] for tensor in entry["inputs"]] == ["f32[batch,784]"], entry["inputs"]
assert [tensor["type"] for tensor in entry["outputs"]] == ["f32[batch,10]"], entry["outputs"]
assert entry["planned_bytes"] == int(planned) and entry["lower_bound_bytes"] == int(bound)
assert len(entry["steps"]) == steps
# Three matrices and three biases.
assert plan["constants"]["bytes"] >= 4 * (784 * 256 + 256 + 256 * 256 + 256 + 256 * 10 + 10), plan["constants"]
CHECK
