#!/bin/bash
# The shared libraries show the C API and nothing else, the runtime is small and has no protobuf, and both stay mapped.
#
# exports_test.sh RUNTIME FULL HEADER...
set -euo pipefail
runtime=$1
full=$2
shift 2
failed=0
fail() {
  echo "$*"
  failed=1
}

declared=$(grep -ohE '\bmodellib_[a-z_]+\(' "$@" | tr -d '(' | LC_ALL=C sort -u)
compiler=$(grep -ohE '^modellib_(compile|plan_write|plan_serialize)[a-z_]*' <<<"$declared")
[[ $(wc -l <<<"$compiler") == 4 ]] || fail "the compiler's functions should be 4: $compiler"

exported() { nm -D --defined-only "$1" | awk '{ print $NF }' | LC_ALL=C sort -u; }
check() {
  local difference
  difference=$(diff <(exported "$1") - || true)
  [[ -z $difference ]] || fail "$1 exports (<) other than the headers declare (>):"$'\n'"$difference"
}
check "$full" <<<"$declared"
LC_ALL=C comm -23 <(echo "$declared") <(echo "$compiler") | check "$runtime"

for library in "$runtime" "$full"; do
  readelf -d "$library" | grep 'FLAGS_1.*NODELETE' >/dev/null || fail "$library may be unmapped"
  readelf -d "$library" | grep "SONAME.*\[$(basename "$library").1\]" >/dev/null || fail "$library has another soname"
  if readelf -d "$library" | grep -E 'RPATH|RUNPATH'; then fail "$library looks in folders of its own"; fi
done
readelf -d "$runtime" | grep NEEDED | grep -i protobuf >/dev/null && fail "$runtime needs protobuf"
readelf -d "$full" | grep NEEDED | grep -i protobuf >/dev/null || fail "$full needs no protobuf: the test is blind"

strip --strip-unneeded -o "$TEST_TMPDIR/stripped.so" "$runtime"
bytes=$(stat -c %s "$TEST_TMPDIR/stripped.so")
((bytes < 8 * 1024 * 1024)) || fail "$runtime has $bytes bytes, stripped"
echo "$(wc -l <<<"$declared") functions; the runtime has $bytes bytes, stripped"
exit $failed
