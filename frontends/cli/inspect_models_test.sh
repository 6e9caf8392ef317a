#!/bin/bash
# What the command line itself tells of real models, without being told sizes: each will run, no step of its plan is on a
# plain kernel, and the plan is for sizes that the output names.
#
# inspect_models_test.sh MODEL...
set -uo pipefail
[[ $# -ge 12 ]] || { echo "only $# models" >&2; exit 1; }
failures=0
for model in "$@"; do
  told=$TEST_TMPDIR/$(basename "$model" .onnx).json
  frontends/cli/modellib inspect "$model" --json >"$told"
  code=$?
  if [[ $code != 0 ]]; then
    echo "FAILED: exit code $code: inspect $model --json" >&2
    failures=$((failures + 1))
    continue
  fi
  python3 - "$told" <<'CHECK' || { echo "FAILED: $model" >&2; failures=$((failures + 1)); }
import json, sys
told = json.load(open(sys.argv[1]))
assert told["will_not_run"] == [], told["will_not_run"]
free = {s["name"] for e in told["entries"] for s in e["symbols"] if "max" not in s}
assert {p["name"] for p in told.get("planned_for", [])} == free, free
for entry in told["entries"]:
    assert entry["steps"] and entry["planned_bytes"] >= entry["lower_bound_bytes"] > 0
    plain = [step["name"] for step in entry["steps"] if step.get("plain")]
    assert entry["steps_on_plain_kernels"] == len(plain) == 0, plain
CHECK
done
[[ $failures == 0 ]] || { echo "$failures failed" >&2; exit 1; }
