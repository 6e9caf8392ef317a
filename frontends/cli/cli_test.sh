#!/bin/bash
# The command line, end to end: what it prints and writes, and its exit codes: 0 fine, 1 the input is at fault, 2 wrong
# usage, 3 not supported; whatever the bytes, never a signal.
set -uo pipefail

modellib=$PWD/frontends/cli/modellib
model=$PWD/frontends/cli/testdata/mlp.mltxt
input=$PWD/formats/testdata/f4.npy
tests=$PWD
cd "$TEST_TMPDIR" || exit 1
failures=0

fail() {
  echo "FAILED: $*" >&2
  failures=$((failures + 1))
}

# expect CODE TEXT COMMAND...: the command exits with the code, and its output holds the text.
expect() {
  local code=$1 text=$2 output result
  shift 2
  output=$("$@" 2>&1)
  result=$?
  [[ $result == "$code" ]] || fail "exit code $result instead of $code: $* ($output)"
  [[ $output == *"$text"* ]] || fail "no '$text' in the output of: $* ($output)"
}

# --- Help and usage.
expect 0 "compile" "$modellib" --help
for command in run compile inspect bench profile diff completion man markdown; do
  expect 0 "Usage" "$modellib" "$command" --help
done
# With what holds where an option is not given.
expect 0 "--seconds S=2 " "$modellib" bench --help
expect 0 "--rtol X=0.001 " "$modellib" diff --help
expect 0 "=20" "$modellib" profile --help
expect 0 "How long to measure. Default: 2." "$modellib" man
expect 0 "those of stride-scans, legalize, widen are" "$modellib" markdown
expect 2 "subcommand" "$modellib"
expect 2 "subcommand" "$modellib" dance
expect 2 "MODEL" "$modellib" run
expect 2 "--output" "$modellib" run "$model"
expect 2 "gpu" "$modellib" run "$model" "$input" --output out --device gpu
expect 2 "--dim" "$modellib" compile "$model" -o a.mlplan --dim batch
expect 2 "--dim" "$modellib" compile "$model" -o a.mlplan --dim batch=9..3
for command in "compile -o a.mlplan" bench profile inspect; do
  # shellcheck disable=SC2086
  expect 2 "--dim: 'batch' is given twice" "$modellib" $command "$model" --dim batch=4 --dim batch=5
done
expect 2 "no pass 'magic'; there are: order, canonicalize" "$modellib" compile "$model" -o a.mlplan --disable magic

# --- Numbers that are none, or out of range, are refused by a message that people can read.
number() {
  local output
  output=$("${@:2}" 2>&1)
  [[ $? == 2 && $output == *"$1"* && ${#output} -lt 200 ]] || fail "not refused with '$1': ${*:2} (${output:0:300})"
}
for value in nan -nan inf 1e999 -1 abc 3601; do
  number "--seconds: expected a number from 0 to 3600, got '$value'" "$modellib" bench "$model" "--seconds=$value"
done
for option in --rtol --atol; do
  for value in nan -nan inf -inf 1e999 -1 abc; do
    number "$option: expected a number of at least 0, got '$value'" "$modellib" diff "$model" "$model" "$option=$value"
  done
done
for value in -1 nan abc; do
  number "--stop-after: expected a number of at least 0, got '$value'" \
    "$modellib" compile "$model" -o a.mlplan "--stop-after=$value"
done
number "--stop-after" "$modellib" compile "$model" -o a.mlplan --stop-after=1.5
expect 0 "" "$modellib" compile "$model" -o a.mlplan --stop-after=0
expect 0 "" "$modellib" diff "$model" "$model" --rtol=1e-3 --atol=0

# --- Options that have no effect on what they are given with.
expect 2 "no pass 'autocast-f16'" "$modellib" compile "$model" -o a.mlplan --disable autocast-f16
expect 2 "no free dimension 'seq'; there are: batch" "$modellib" compile "$model" -o a.mlplan --dim seq=3
expect 2 "no free dimension 'seq'" "$modellib" inspect "$model" --dim seq=3
expect 2 "no free dimension 'seq'" "$modellib" bench "$model" --dim seq=3
expect 2 "no free dimension 'seq'" "$modellib" profile "$model" --dim seq=3
expect 2 "no free dimension 'seq'" "$modellib" diff "$model" "$model" --dim seq=3
expect 2 "--memory" "$modellib" inspect "$model" --entry mlp
expect 2 "--json" "$modellib" profile "$model" --top 3 --json
expect 2 "INPUT" "$modellib" diff "$model" "$model" "$input" --seed 3
expect 2 "INPUT" "$modellib" diff "$model" "$model" "$input" --largest-integer 3
expect 2 "--threads" "$modellib" run "$model" "$input" --output out --device reference --threads 2
expect 2 "--threads" "$modellib" diff "$model" "$model" "$input" --device-a reference --device-b reference --threads 2
expect 2 "--dim" "$modellib" diff "$model" "$model" "$input" --device-a reference --device-b reference --dim batch=2
expect 2 "no passes" "$modellib" diff "$model" "$model" "$input" --device-a reference --disable-a fusion
expect 0 "" "$modellib" compile "$model" -o fixed.mlplan --dim batch=2
expect 0 "" "$modellib" compile "$model" -o bounded.mlplan
expect 2 "all are fixed" "$modellib" bench fixed.mlplan --dim nonsense=3
expect 2 "no free dimension 'nonsense'; there are: batch" "$modellib" bench bounded.mlplan --dim nonsense=3
expect 2 "give a number, batch=4" "$modellib" bench bounded.mlplan --dim batch=1..4
expect 2 "when it was compiled" "$modellib" inspect bounded.mlplan --dim batch=3
expect 0 "" "$modellib" bench bounded.mlplan --dim batch=3 --seconds 0.01
expect 0 "equal within" "$modellib" diff "$model" fixed.mlplan --dim batch=2

# --- Options stand before or after what they are for, as often as they may be given.
expect 0 "" "$modellib" compile --dim batch=2 --disable fusion "$model" -o first.mlplan
expect 0 "" "$modellib" compile "$model" -o last.mlplan --dim batch=2 --disable fusion
cmp first.mlplan last.mlplan || fail "another plan where the options come first"
printf 'graph "g" (x: f32[n], y: f32[m]) { return concat(x, y) {axis: 0} }' >free.mltxt
expect 0 "" "$modellib" compile --dim n=2 --dim=m=1..3 --disable fusion --disable=epilogue free.mltxt -o free.mlplan
expect 0 "" "$modellib" bench --dim m=2 free.mlplan --seconds 0.01
expect 2 "a.mlplan" "$modellib" compile "$model" --dim batch=2 a.mlplan -o b.mlplan
expect 0 "" "$modellib" bench --dim batch=3 --seconds 0.01 "$model"
expect 0 "" "$modellib" profile --dim batch=3 --runs 1 "$model"
expect 0 "" "$modellib" inspect --dim batch=2 "$model"
expect 0 "equal within" "$modellib" diff --dim batch=2 --disable-a fusion --disable-b all "$model" "$model"
expect 0 "equal within" "$modellib" diff --disable-b fusion "$model" "$model" "$input"
expect 0 "" "$modellib" run --output first --threads 1 "$model" "$input"
expect 0 "" "$modellib" run --device reference "$model" --output first "$input"

# --- First values of variables, from an entry that takes a seed and from one that takes none.
for seed in "seed: i64[]" ""; do
  cat >first_values.mltxt <<MODEL
graph "initialize" ($seed) {
  _: var f32[] "w"
  c = constant() {value: f32[] [2]}
  assign "w" = c
}
graph "scale" (x: f32[2,3,4]) {
  w: var f32[] "w"
  return y = mul(x, w)
}
MODEL
  for device in cpu reference; do
    expect 0 "" "$modellib" run first_values.mltxt "$input" --output "first_values_$device" --device $device
  done
  cmp first_values_cpu/output_0.npy first_values_reference/output_0.npy || fail "other first values on the reference"
done

# --- Text, native model and plan give the same on the CPU, and the reference within rounding.
expect 0 "" "$modellib" run "$model" "$input" --output reference --device reference
expect 0 "" "$modellib" run "$model" x="$input" --output text
expect 0 "" "$modellib" compile "$model" -o mlp.mlplan
expect 0 "" "$modellib" compile "$model" -o mlp2.mlplan --dim batch=2 --dump-passes passes
expect 0 "" "$modellib" run mlp.mlplan "$input" --output plan --threads 1
expect 0 "" "$modellib" run mlp2.mlplan "$input" --output plan2
for folder in text plan plan2; do
  cmp reference/output_0.npy $folder/output_0.npy || fail "$folder differs from the reference"
done
expect 0 'graph "mlp"' cat passes/mlp-01-order.mltxt
# Entries that share a graph's name, and such as a folder cannot hold, have files of their own.
printf 'graph "g" entry "a" (x: f32[2]) { return relu(x) }\ngraph "g" entry "a/b" (x: f32[2]) { return neg(x) }\n' >two.mltxt
expect 0 "" "$modellib" compile two.mltxt -o two.mlplan --dump-passes two_passes
expect 0 "relu" cat two_passes/a-01-order.mltxt
expect 0 "neg" cat two_passes/a%2Fb-01-order.mltxt
# Why a pass left alone what it nearly took.
cat >near.mltxt <<'MODEL'
graph "g" (x: f32[4]) {
  inverse = constant() {value: f32[] [0.70710677]}
  one = constant() {value: f32[] [1.0]}
  more = constant() {value: f32[] [0.7]}
  d = mul(x, inverse)
  e = erf(d)
  p = add(e, one)
  m = mul(x, p)
  return y = mul(m, more)
}
MODEL
expect 0 "entry g" "$modellib" compile near.mltxt -o near.mlplan --explain
expect 0 "is no gelu: operand 1 of mul is not a scalar constant near 0.5: it is 0.7" "$modellib" compile near.mltxt -o near.mlplan --explain
[[ -z $("$modellib" compile near.mltxt -o near.mlplan) ]] || fail "explanations that nobody asked for"

# --- ONNX: models, and tensors in and out.
onnx=$tests/frontends/onnx/testdata/bad
expect 0 "" "$modellib" run "$model" "$input" --output pb --output-format pb
cmp <(tail -c 24 pb/output_0.pb) <(tail -c 24 text/output_0.npy) || fail "the .pb holds other numbers than the .npy"
expect 0 "relu" "$modellib" inspect "$onnx/00_good.onnx" --json
expect 0 "" "$modellib" compile "$onnx/00_good.onnx" -o good.mlplan
expect 3 "node #0" "$modellib" compile "$onnx/24_unknown_op.onnx" -o unknown.mlplan
for file in "$onnx"/*.onnx; do
  for device in cpu reference; do
    timeout 20 "$modellib" run "$file" "$input" --output hostile --device $device >/dev/null 2>&1
    code=$?
    [[ $code == [013] ]] || fail "exit code $code: run $file on $device"
  done
  for command in inspect "diff $model"; do
    # shellcheck disable=SC2086
    message=$(timeout 20 "$modellib" $command "$file" 2>&1 >/dev/null)
    code=$?
    [[ $code == [013] ]] || fail "exit code $code: $command $file"
    [[ $code == 0 || -n $message ]] || fail "no message: $command $file"
  done
done

# --- A model that cannot run, whatever its inputs, is refused before they are opened; the message says where it is wrong.
for file in "$onnx"/*.onnx; do
  [[ $file == */00_good.onnx ]] && continue
  message=$(timeout 20 "$modellib" run "$file" /nowhere/none.npy --output hostile 2>&1 >/dev/null)
  code=$?
  [[ $code == [13] ]] || fail "exit code $code: run $file /nowhere/none.npy"
  [[ $message != *nowhere* ]] || fail "the inputs of $file come before what is wrong with it: $message"
  [[ ${message#*.onnx} =~ (node|initializer)\ #|byte\ [0-9]|IR\ version|opset_import|operator\ set ]] ||
    fail "no place in the message about $file: $message"
done
expect 1 "/nowhere/none.npy" "$modellib" run "$onnx/00_good.onnx" /nowhere/none.npy --output hostile
expect 1 "in node #0 (ConstantOfShape)" "$modellib" run "$onnx/18_constantofshape_4TiB.onnx" --output hostile --device reference
expect 1 "node #0 (Expand)" "$modellib" diff "$onnx/20_expand_24TiB.onnx" "$onnx/00_good.onnx" /nowhere/none.npy

# --- Messages of ONNX that hold a tensor, or none.
python3 - pb/output_0.pb <<'CHECK'
import struct
tensor = bytes([8, 1, 8, 3, 8, 4, 16, 1, 74, 48]) + struct.pack("<12f", *range(12))  # dims, type, raw_data
held = bytes([26, len(tensor)]) + tensor  # tensor_value of an optional, tensor_values of a sequence
files = {"tensor": tensor, "optional": b"\x10\x01" + held, "named": b"\x0a\x01n\x10\x01" + held,
         "two": b"\x10\x01" + held + held, "empty": b"\x10\x01", "named_empty": b"\x0a\x01n\x10\x01", "nothing": b"", "cut": tensor[:-1],
         "broken": b"\x10\x01\x1a\x04" + tensor[:4]}
sequence, empty = b"\x10\x01" + held, b"\x10\x01"
for name, kind, field, value in (("sequence", 3, 5, sequence), ("empty_sequence", 3, 5, empty), ("no_sequence", 3, 5, b""),
                                 ("sparse", 2, 4, b"\x0a\x02\x08\x01"), ("map", 4, 6, b"\x10\x07"),
                                 ("inner", 5, 7, b"\x10\x01" + held)):
    files["of_" + name] = bytes([16, kind, field * 8 + 2, len(value)]) + value
files["of_named"] = b"\x0a\x01n" + files["of_sequence"]
for name, content in files.items():
    open(name + ".pb", "wb").write(content)
CHECK
for name in tensor optional named of_sequence of_named; do
  expect 0 "" "$modellib" run "$model" $name.pb --output out-$name
  cmp out-tensor/output_0.npy out-$name/output_0.npy || fail "the tensor in $name.pb is another"
done
expect 1 "two.pb holds a sequence of 2 tensors" "$modellib" run "$model" two.pb --output out
for name in empty nothing named_empty of_empty_sequence of_no_sequence; do
  expect 1 "takes one tensor, $name.pb holds no tensor" "$modellib" run "$model" $name.pb --output out
done
expect 3 "of_sparse.pb: it holds a sparse tensor in" "$modellib" run "$model" of_sparse.pb --output out
expect 3 "of_map.pb: it holds a map in" "$modellib" run "$model" of_map.pb --output out
expect 3 "of_inner.pb: it holds an optional in" "$modellib" run "$model" of_inner.pb --output out
expect 1 "cut.pb: byte" "$modellib" run "$model" cut.pb --output out
expect 1 "broken.pb: " "$modellib" run "$model" broken.pb --output out

# --- Inspection.
expect 0 "will_not_run" "$modellib" inspect "$model" --json
expect 0 "matmul" "$modellib" inspect "$model"
expect 0 "planned_bytes" "$modellib" inspect "$model"
expect 0 '"planned_bytes"' "$modellib" inspect mlp.mlplan --json --memory memory.svg
expect 0 "kernel" "$modellib" inspect mlp.mlplan
expect 0 "<svg" cat memory.svg
expect 3 "no graph" "$modellib" inspect mlp.mlplan --graph graph.svg
printf 'graph "g" (x: f32[2,n], y: f32[m,4]) {\n  dim n in 1..8\n  return matmul(x, y)\n}' >pair.mltxt
expect 0 '"constraints"' "$modellib" inspect pair.mltxt --json
expect 0 "" "$modellib" compile pair.mltxt -o pair.mlplan --dim m=1..8
"$modellib" inspect pair.mltxt --json >pair.json && "$modellib" inspect pair.mlplan --json >pair_plan.json
"$modellib" inspect mlp.mlplan --json >mlp.json
python3 - <<'CHECK' || fail "inspect leaves out dimensions, constraints or counts"
import json
model, plan = (json.load(open(name))["entries"][0] for name in ("pair.json", "pair_plan.json"))
assert model["symbols"] == [{"name": "m", "min": 0}, {"name": "n", "min": 1, "max": 8}]
assert sorted((s["name"], s["min"], s["max"]) for s in plan["symbols"]) == [("m", 1, 8), ("n", 1, 8)]
for entry in (model, plan):
    assert [{c["left"], c["right"]} for c in entry["constraints"]] == [{"n", "m"}] and entry["constraints"][0]["reason"]
mlp = json.load(open("mlp.json"))["entries"][0]
assert mlp["steps_on_plain_kernels"] == 0 and sum(mlp["pointwise"].values()) == 2
CHECK
# Of a model, all that a plan of it tells, for dimensions as they are given, and else as they are assumed.
"$modellib" inspect "$model" --json --dim batch=2 >mlp_model.json
"$modellib" inspect mlp2.mlplan --json >mlp2.json
python3 - <<'CHECK' || fail "inspect tells of a model other than of its plan"
import json
model, plan, pair = (json.load(open(name)) for name in ("mlp_model.json", "mlp2.json", "pair.json"))
assert model["format"] == "model" and plan["format"] == "plan"
for key in ("device", "passes", "constants", "will_not_run"):
    assert model[key] == plan[key], key
ours, theirs = model["entries"][0], plan["entries"][0]
for key in set(theirs) - {"inputs", "outputs", "symbols"}:
    assert ours[key] == theirs[key], key
assert ours["planned_bytes"] > 0 and ours["steps"] and ours["nodes"] > 0
assert pair["planned_for"] == [{"name": "m", "min": 0, "max": 64}] and "planned_for" not in model
CHECK
expect 1 "batch" "$modellib" inspect "$model" --dim batch=9
# What the compiler takes and no kernel will: no plan is written, and inspect tells why, as a run would.
cat >narrow.mltxt <<'MODEL'
graph "g" (x: f32[1,1,n], w: f32[1,1,3]) {
  y = conv(x, w)
  return reduce_sum(y) {axes: [2]}
}
MODEL
expect 1 "extent" "$modellib" bench narrow.mltxt --dim n=1..8 --seconds 0.01
expect 1 "extent" "$modellib" compile narrow.mltxt -o narrow.mlplan --dim n=1..8
[[ ! -e narrow.mlplan ]] || fail "a plan that no kernel runs was written"
expect 1 "it will not run here: " "$modellib" inspect narrow.mltxt --dim n=1..8
"$modellib" inspect narrow.mltxt --dim n=1..8 --json >narrow.json 2>narrow.error
python3 - <<'CHECK' || fail "inspect does not list what the kernels refuse"
import json
told = json.load(open("narrow.json"))
assert len(told["will_not_run"]) == 1 and told["will_not_run"][0] in open("narrow.error").read(), told["will_not_run"]
assert "extent" in told["will_not_run"][0] and told["entries"][0]["steps"]
CHECK
expect 0 "" "$modellib" compile narrow.mltxt -o narrow.mlplan --dim n=3..8
# A size that the model takes is found where none was given.
"$modellib" inspect narrow.mltxt --json >narrow.json || fail "inspect of a model that takes not all sizes"
sed 's/1,1,3/1,1,99/' narrow.mltxt >wide.mltxt
"$modellib" inspect wide.mltxt --json >wide.json || fail "inspect of a model that takes large inputs alone"
python3 - <<'CHECK' || fail "inspect assumes other sizes than those that the model takes"
import json
narrow, wide = (json.load(open(name)) for name in ("narrow.json", "wide.json"))
assert narrow["planned_for"] == [{"name": "n", "min": 64, "max": 64}] and narrow["will_not_run"] == []
assert wide["planned_for"] == [{"name": "n", "min": 256, "max": 256}] and wide["will_not_run"] == []
CHECK
# Where variables have their first values from.
cat >variables.mltxt <<'MODEL'
graph "g" (x: f32[2]) {
  drawn: var f32[2] "drawn"
  kept: session var f32[2] "kept"
  absent: var f32[2] "absent"
  a = add(drawn, kept)
  b = add(a, absent)
  return y = add(b, x)
}
graph "initialize" (seed: i64[]) {
  drawn: var f32[2] "drawn"
  two = constant() {value: f32[2] [2, 2]}
  assign "drawn" = two
}
MODEL
expect 0 "" "$modellib" compile variables.mltxt -o variables.mlplan
for file in variables.mltxt variables.mlplan; do
  "$modellib" inspect $file --json >variables.json
  python3 - <<'CHECK' || fail "inspect does not say what the variables of $file begin as"
import json
found = {v["name"]: v["content"] for v in json.load(open("variables.json"))["variables"]}
assert found == {"drawn": "from the entry initialize", "kept": "zeros", "absent": "none"}, found
CHECK
done
# A training step's convolution goes through oneDNN, which may allocate.
printf 'graph "g" (x: f32[1,3,8,8], w: f32[4,3,3,3]) { return conv(x, w) }' >conv.mltxt
expect 0 "" "$modellib" compile conv.mltxt -o conv.mlplan
for file in conv.mltxt conv.mlplan; do
  "$modellib" inspect $file --json >conv.json
  python3 - <<'CHECK' || fail "inspect does not mark what may allocate in $file"
import json
entry = json.load(open("conv.json"))["entries"][0]
marked = [step["kernel"] for step in entry["steps"] if step.get("may_allocate")]
assert marked == ["cpu.conv2d"] and entry["steps_that_may_allocate"] == 1, entry["steps"]
CHECK
done
expect 0 "steps_that_may_allocate: 1" "$modellib" inspect conv.mlplan

# --- A default of an input is a constant; a file that is given for it by name takes its place.
python3 - <<'CHECK'
import struct
def field(number, content): return bytes([number << 3 | 2, len(content)]) + content
def number(field, value): return bytes([field << 3, value])
def tensor(name): return field(1, name) + field(2, field(1, number(1, 1) + field(2, field(1, number(1, 2)))))
add = field(1, b"x") + field(1, b"w") + field(2, b"y") + field(4, b"Add")
default = number(1, 2) + number(2, 1) + field(8, b"w") + field(9, struct.pack("<2f", 10, 20))
graph = field(1, add) + field(2, b"g") + field(5, default) + field(11, tensor(b"x")) + field(11, tensor(b"w"))
graph += field(12, field(1, b"y"))
open("default.onnx", "wb").write(number(1, 8) + field(7, graph) + field(8, number(2, 17)))
header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }".ljust(117) + b"\n"
open("pair.npy", "wb").write(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + struct.pack("<2f", 1, 2))
CHECK
for device in cpu reference; do
  expect 0 "" "$modellib" run default.onnx pair.npy --output default --device $device
  expect 0 "" "$modellib" run default.onnx pair.npy w=pair.npy --output overridden --device $device
  python3 - <<'CHECK' || fail "the default of an input is not what it should be"
import struct
for folder, expected in ("default", (11, 22)), ("overridden", (2, 4)):
    assert struct.unpack("<2f", open(folder + "/output_0.npy", "rb").read()[-8:]) == expected, folder
CHECK
done

# --- Names that are no UTF-8.
python3 - "$onnx/00_good.onnx" <<'CHECK'
import sys
good = open(sys.argv[1], "rb").read()
open("names.onnx", "wb").write(good.replace(b"\x01x", b"\x01\xff").replace(b"\x01y", b"\x01\xfe"))
CHECK
expect 0 "" "$modellib" compile names.onnx -o names.mlplan
for file in names.onnx names.mlplan; do
  "$modellib" inspect $file --json >names.json || fail "inspect --json of $file"
  python3 -c 'import json; assert json.load(open("names.json"))["entries"][0]["inputs"][0]["name"] == "\ufffd"' ||
    fail "no JSON of $file"
  expect 0 "" "$modellib" inspect $file --memory names.svg
  python3 -c 'import xml.etree.ElementTree as tree; tree.parse("names.svg")' || fail "no SVG of $file"
  expect 0 "" "$modellib" profile $file --runs 1 --trace trace.json --json
  python3 -c 'import json; json.load(open("trace.json"))' || fail "no trace of $file"
done
expect 0 '"equal": true' "$modellib" diff names.onnx names.mlplan --json

# --- An output that cannot be written is an error, never a signal and never silence.
full() { "$@" >/dev/full; }
closed() { "$@" >&-; }
unread() {
  exec {pipe}> >(exec true)
  wait $!
  "$@" >&$pipe
  local code=$?
  exec {pipe}>&-
  return $code
}
for arguments in "inspect $model" "inspect $model --json" "bench $model --seconds 0.01" "profile $model --runs 1" \
  "diff $model $model" "compile $model -o a.mlplan --explain" markdown man "completion bash" --help "run --help"; do
  for output in full closed unread; do
    # shellcheck disable=SC2086
    expect 1 "cannot write to the standard output" $output "$modellib" $arguments
  done
done
expect 1 "No space left" full "$modellib" inspect "$model"
expect 1 "Broken pipe" unread "$modellib" inspect "$model"
# What prints nothing needs no output, and keeps it apart from its files.
expect 0 "" closed "$modellib" compile "$model" -o quiet.mlplan
cmp mlp.mlplan quiet.mlplan || fail "what was to be printed went into a file"
# What was wrong before comes first.
expect 3 "no graph" full "$modellib" inspect mlp.mlplan --graph graph.svg
expect 3 "will_not_run" "$modellib" inspect "$onnx/24_unknown_op.onnx" --json
expect 0 "" "$modellib" inspect "$model" --memory model_memory.svg
if command -v dot >/dev/null; then
  expect 0 "" "$modellib" inspect "$model" --graph graph.svg
  expect 0 "<svg" cat graph.svg
fi
echo mine >graph.svg.dot
expect 3 "Graphviz" env PATH=/nowhere TMPDIR="$PWD" "$modellib" inspect "$model" --graph graph.svg
[[ $(cat graph.svg.dot) == mine ]] || fail "a file of the user's own beside the drawing is gone"
ls modellib-* 2>/dev/null && fail "the source of the drawing is left"

# --- Measuring.
for key in median_ms min_ms p90_ms load_ms planned_bytes lower_bound_bytes peak_rss_bytes; do
  expect 0 "\"$key\"" "$modellib" bench "$model" --dim batch=4 --threads 1 --seconds 0.01 --json
done
expect 0 "median_ms" "$modellib" bench mlp.mlplan --dim batch=4 --seconds 0.01
# The memory is the model's, without the times of a million runs.
printf 'graph "g" (x: f32[4]) { return relu(x) }\n' >tiny.mltxt
for seconds in 0.01 2; do
  "$modellib" bench tiny.mltxt --threads 1 --seconds $seconds --json >tiny_$seconds.json || fail "bench for $seconds s"
done
python3 - <<'CHECK' || fail "the longer bench measures, the more memory it tells of"
import json
short, long = (json.load(open(f"tiny_{seconds}.json")) for seconds in ("0.01", "2"))
more = long["peak_rss_bytes"] - short["peak_rss_bytes"]
assert more < 3 << 20, (more, long["runs"])
CHECK
# Extents that follow from a dimension follow from what it is given.
printf 'graph "g" (x: f32[n], y: f32[2*n]) {\n  dim n in 1..8\n  return relu(x), relu(y)\n}' >twice.mltxt
expect 0 "" "$modellib" compile twice.mltxt -o twice.mlplan
expect 0 "median_ms" "$modellib" bench twice.mlplan --dim n=3 --seconds 0.01
expect 0 "median_ms" "$modellib" bench twice.mlplan --seconds 0.01
expect 1 "n = 9 was not planned" "$modellib" bench twice.mlplan --dim n=9 --seconds 0.01
expect 0 "equal" "$modellib" diff twice.mlplan twice.mltxt --dim n=3

# A run needs its own entry alone, and "initialize": dimensions of others may be without bounds, and are no error to give.
cat >several.mltxt <<'MODEL'
graph "one" (x: f32[n,3,4]) {
  v: var f32[4] "v"
  return add(x, v)
}
graph "other" (x: f32[m]) { return relu(x) }
graph "initialize" (seed: i64[]) {
  v: var f32[4] "v"
  two = constant() {value: f32[4] [2, 2, 2, 2]}
  assign "v" = two
}
MODEL
expect 0 "" "$modellib" run several.mltxt "$input" --entry one --output several
expect 0 "" "$modellib" run several.mltxt "$input" --entry one --output several_reference --device reference
cmp several/output_0.npy several_reference/output_0.npy || fail "an entry beside others gives other numbers"
expect 1 "choose one of the entries with --entry: one, other, initialize" \
  "$modellib" run several.mltxt "$input" --output several
expect 1 "no entry 'none'; there are: one, other, initialize" \
  "$modellib" run several.mltxt "$input" --entry none --output several
expect 0 "median_ms" "$modellib" bench several.mltxt --entry one --dim n=2 --seconds 0.01
expect 0 "median_ms" "$modellib" bench several.mltxt --entry one --dim n=2 --dim m=3 --seconds 0.01
expect 1 "has no maximum" "$modellib" bench several.mltxt --entry one --dim m=3 --seconds 0.01
expect 0 "of_peak" "$modellib" profile several.mltxt --entry one --dim n=2 --runs 1
expect 0 "equal" "$modellib" diff several.mltxt several.mltxt --entry one --dim n=2 --disable-b all
expect 0 "equal" "$modellib" diff several.mltxt several.mltxt "$input" --entry one --device-b reference

# What a session keeps begins as zeros on each device.
cat >kept.mltxt <<'MODEL'
graph "g" (x: f32[2,3,4]) {
  kept: session var f32[2,3,4] "kept"
  sum = add(kept, x)
  assign "kept" = sum
  return sum
}
MODEL
expect 0 "" "$modellib" run kept.mltxt "$input" --output kept
expect 0 "" "$modellib" run kept.mltxt "$input" --output kept_reference --device reference
cmp kept/output_0.npy kept_reference/output_0.npy || fail "a session begins with other numbers"

# --- Profiles: times of all steps, their rates, and a trace that holds each call.
expect 0 "of_peak" "$modellib" profile "$model" --dim batch=4 --runs 3
expect 0 "" "$modellib" profile mlp.mlplan --dim batch=4 --threads 1 --runs 3 --json --trace trace.json
"$modellib" profile mlp.mlplan --dim batch=4 --threads 1 --runs 3 --json >profile.json
python3 - <<'CHECK' || fail "the profile or its trace does not hold together"
import json
profile = json.load(open("profile.json"))
steps = profile["steps"]
assert profile["median_ms"] > 0 and profile["limits"]["gflops"] > 1 and profile["limits"]["gbytes_per_second"] > 0.1
assert [s["step"] for s in steps] == list(range(len(steps))) and steps
assert abs(sum(s["share"] for s in steps) - 1) < 1e-6
assert any(s["kernel"] == "cpu.matmul_f32" and s["gflops"] > 0 for s in steps)
assert all(s["milliseconds"] > 0 and s["calls"] == 1 and s["gbytes_per_second"] > 0 for s in steps)
calls = [e for e in json.load(open("trace.json"))["traceEvents"] if e["ph"] == "X"]
assert [c["args"]["step"] for c in calls] == [s["step"] for s in steps]
assert all(c["dur"] >= 0 and a["ts"] + a["dur"] <= c["ts"] for a, c in zip(calls, calls[1:]))
CHECK
expect 1 "" "$modellib" profile mlp.mlplan --trace /no/such/folder/trace.json
# Of a plan for many sizes, the work is that of the size that runs.
printf 'graph "g" (x: f32[n,64]) {\n  dim n in 1..100000\n  return reduce_sum(x) {axes: [0]}\n}' >sum.mltxt
expect 0 "" "$modellib" compile sum.mltxt -o sum.mlplan
expect 0 "" "$modellib" profile sum.mlplan --dim n=4 --runs 1 --trace sum.json
python3 - <<'CHECK' || fail "the profile of a small sum counts the bytes of a large one"
import json
work = [e["args"] for e in json.load(open("sum.json"))["traceEvents"] if e["ph"] == "X"]
assert [(w["flops"], w["bytes"]) for w in work] == [(4 * 64, 4 * (4 + 1) * 64), (64, 4 * 2 * 64)], work
CHECK

# --- Comparison: with a plan, unoptimised, on the reference; with another model; NaN.
expect 0 "equal within" "$modellib" diff "$model" mlp.mlplan
expect 0 "equal within" "$modellib" diff "$model" "$model" x="$input" --disable-b all --threads 1
expect 0 '"equal": true' "$modellib" diff "$model" "$model" --device-b reference --json
expect 0 "compared 3 values" "$modellib" diff "$model" "$model" --disable-a all --device-b reference
sed 's/0\.25/0.5/' "$model" >changed.mltxt
expect 1 "the first is 'h'" "$modellib" diff "$model" changed.mltxt
expect 1 "they part at 'h'" "$modellib" diff "$model" changed.mltxt --disable-a all --device-b reference
expect 1 "(cpu.matmul_f32)" "$modellib" diff "$model" changed.mltxt --seed 7
expect 0 "equal" "$modellib" diff "$model" changed.mltxt --atol 10
expect 1 '"value": "h"' "$modellib" diff "$model" changed.mltxt --json
printf 'graph "g" (x: f32[2,2]) {\n  m = neg(x)\n  l = log(m)\n  t = tanh(l)\n  return t\n}' >nan.mltxt
expect 0 "first NaN of A: 'l' at [0,0]" "$modellib" diff nan.mltxt nan.mltxt --disable-a all --device-b reference
expect 0 "first NaN of B: 't'" "$modellib" diff nan.mltxt nan.mltxt --disable-a all
# A NaN that no step writes: in an input that is only viewed, and in an output that is a constant.
python3 - <<'CHECK'
import struct
header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }".ljust(117) + b"\n"
content = header + struct.pack("<2f", 1, float("nan"))
open("nan.npy", "wb").write(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + content)
CHECK
printf 'graph "g" (x: f32[2]) { return y = reshape(x) {shape: [2,1]} }' >view.mltxt
expect 0 "first NaN of A: 'x' at [1], input 0" "$modellib" diff view.mltxt view.mltxt nan.npy
expect 0 "first NaN of B: 'x' at [1], input 0" "$modellib" diff view.mltxt view.mltxt nan.npy --device-b reference
printf 'graph "g" (x: f32[2]) {\n  c = constant() {value: f32[2] [1, nan]}\n  r = relu(x)\n  return c, r\n}' >constant.mltxt
expect 0 "first NaN of A: 'c' at [1], output 0" "$modellib" diff constant.mltxt constant.mltxt
# Integers, to the last digit.
for number in 6 7; do
  printf 'graph "g" (x: i64[1]) {\n  c = constant() {value: i64[1] [115292150460684697%s]}\n  return add(x, c)\n}' \
    $number >integers_$number.mltxt
done
expect 1 ": 1152921504606846976 and 1152921504606846977" \
  "$modellib" diff integers_6.mltxt integers_7.mltxt --rtol 0 --atol 0 --largest-integer 0
expect 1 '"value_b": "1152921504606846977"' \
  "$modellib" diff integers_6.mltxt integers_7.mltxt --rtol 0 --atol 0 --largest-integer 0 --json
expect 2 "its passes ran already" "$modellib" diff mlp.mlplan "$model" --disable-a fusion
expect 3 "the reference executor runs models" "$modellib" diff mlp.mlplan "$model" --device-a reference
expect 3 "the reference executor runs models" "$modellib" diff "$model" mlp.mlplan --device-b reference
expect 3 "the reference executor runs models" "$modellib" run mlp.mlplan "$input" --output out --device reference
expect 1 "give inputs" "$modellib" diff "$model" "$model" --device-a reference --device-b reference
expect 1 "1 inputs, B 2" "$modellib" diff "$model" pair.mlplan
expect 2 "no pass 'magic'" "$modellib" diff "$model" "$model" --disable-b magic
expect 2 "B" "$modellib" diff "$model"

# --- Outputs that are no regular files: pipes are written to, links stay.
mkfifo pipe.mlplan
timeout 20 cat pipe.mlplan >from_pipe.mlplan &
expect 0 "" "$modellib" compile "$model" -o pipe.mlplan
wait $!
[[ -p pipe.mlplan ]] || fail "the pipe was replaced"
cmp mlp.mlplan from_pipe.mlplan || fail "another plan came through the pipe"
mkdir -p elsewhere && ln -s elsewhere/target.mlplan link.mlplan && ln -s pipe.mlplan to_pipe.mlplan
for ((i = 0; i < 2; ++i)); do
  expect 0 "" "$modellib" compile "$model" -o link.mlplan
  [[ -L link.mlplan && -f elsewhere/target.mlplan ]] || fail "the link was replaced"
  cmp mlp.mlplan elsewhere/target.mlplan || fail "another plan is where the link points to"
done
timeout 20 cat pipe.mlplan >memory_from_pipe.svg &
expect 0 "" "$modellib" inspect mlp.mlplan --memory to_pipe.mlplan
wait $!
[[ -L to_pipe.mlplan && -p pipe.mlplan ]] || fail "the pipe or the link to it was replaced"
cmp memory.svg memory_from_pipe.svg || fail "another drawing came through the pipe"
"$modellib" compile "$model" -o "/proc/self/fd/3" 3>&1 | cmp mlp.mlplan || fail "another plan came through a descriptor"
ls ./*.tmp* elsewhere/*.tmp* 2>/dev/null && fail "temporary files are left"

# --- Inputs that do not fit.
expect 1 "'x' is missing" "$modellib" run "$model" --output out
expect 1 "one input too many" "$modellib" run "$model" "$input" "$input" --output out
expect 1 "no_file" "$modellib" run "$model" no_file.npy --output out
expect 1 "neither a .npy nor a .pb" "$modellib" run "$model" "$model" --output out
expect 1 "no entry 'train'" "$modellib" run "$model" "$input" --output out --entry train
expect 1 "no model" "$modellib" run "$input" "$input" --output out
expect 1 "missing.mltxt" "$modellib" inspect missing.mltxt
expect 1 "no model" "$modellib" inspect /dev/null
expect 1 "is a plan already" "$modellib" compile mlp.mlplan -o b.mlplan
expect 1 "" "$modellib" compile "$model" -o /no/such/folder/b.mlplan
expect 1 "" "$modellib" run "$model" "$input" --output /dev/null/out
printf '\x08\x07\x12\x07pytorch' >some.onnx
expect 1 "no graph" "$modellib" inspect some.onnx
printf '\x08\x07\x3a\x7f' >cut.onnx
expect 1 "byte 2" "$modellib" inspect cut.onnx
printf 'graph "g" (x: f32[2]) { y = relu(x }' >broken.mltxt
expect 1 "broken.mltxt:1:" "$modellib" inspect broken.mltxt
printf 'graph "g" (x: f32[n]) { return relu(x) }' >unbounded.mltxt
expect 1 "n" "$modellib" compile unbounded.mltxt -o c.mlplan
expect 0 "" "$modellib" compile unbounded.mltxt -o c.mlplan --dim n=1..16

# --- A real model, cut short and with bytes changed: first where its structure lies.
python3 - "$tests/external/models/ocr_cls.onnx" <<'CHECK'
import random, sys
good = open(sys.argv[1], "rb").read()
numbers = random.Random(11)
for i in range(8):
    reach = len(good) if i % 2 else 40000
    open(f"real_cut_{i}.onnx", "wb").write(good[:numbers.randrange(reach)])
    changed = bytearray(good)
    for _ in range(1 + i % 3):
        changed[numbers.randrange(reach)] = numbers.randrange(256)
    open(f"real_changed_{i}.onnx", "wb").write(changed)
CHECK
for file in real_*.onnx; do
  message=$(timeout 60 "$modellib" inspect "$file" 2>&1 >/dev/null)
  code=$?
  [[ $code == [013] ]] || fail "exit code $code: inspect $file"
  [[ $code == 0 || -n $message ]] || fail "no message: inspect $file"
done

# --- Hostile files: cut short, and with bytes changed.
size=$(stat -c %s mlp.mlplan)
check_hostile() {
  "$modellib" inspect "$1" >/dev/null 2>&1
  local inspected=$?
  timeout 20 "$modellib" run "$1" "$input" --output hostile --threads 1 >/dev/null 2>&1
  local ran=$?
  case $inspected,$ran in
    [013],[013]) ;;
    *) fail "$2: exit codes $inspected and $ran" ;;
  esac
}
for i in $(seq 0 19); do
  head -c $((size * i / 20)) mlp.mlplan >cut.mlplan
  check_hostile cut.mlplan "cut at $((size * i / 20))"
  cp mlp.mlplan changed.mlplan
  printf '\xff' | dd of=changed.mlplan bs=1 seek=$(((size * i / 20 + i * 37) % size)) conv=notrunc status=none
  check_hostile changed.mlplan "changed at $(((size * i / 20 + i * 37) % size))"
  head -c $((150 + i * 10)) "$model" >cut.mltxt
  check_hostile cut.mltxt "text cut at $((150 + i * 10))"
done

[[ $failures == 0 ]] || { echo "$failures failed" >&2; exit 1; }
