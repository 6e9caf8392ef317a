#!/bin/bash
# The linter still sees what it must: mistakes in a file and in our headers, with the plugin that
# keeps it from the headers of others.
set -uo pipefail

cp tools/lint/testdata/bad_names.txt "$TEST_TMPDIR/bad_names.cc"
found=$(clang-tidy-16 --load=tools/lint/own_code.so --quiet --config-file=.clang-tidy \
  "$TEST_TMPDIR/bad_names.cc" -- -std=c++20 -Itools/lint/testdata 2>/dev/null)
if [[ $? == 0 ]]; then
  echo "nothing found"
  exit 1
fi

failed=0
while read -r place check; do
  if ! grep -q "$place.*\[$check," <<<"$found"; then
    echo "not found: $check at $place"
    failed=1
  fi
done <<'EXPECTED'
bad_names.h:3:8: readability-identifier-naming
bad_names.cc:5:5: readability-identifier-naming
bad_names.cc:7:27: bugprone-use-after-move
EXPECTED
if [[ $failed != 0 ]]; then
  echo "$found"
fi
exit $failed
