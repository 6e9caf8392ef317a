#!/bin/bash
# The linter still sees what it must: mistakes in a file and in our headers, with the plugin that
# keeps it from the headers of others, and what a file leaves to the precompiled header to include.
set -uo pipefail

failed=0

# lint NAME FLAG...: what it finds in testdata/NAME.txt, which must be something, is in $found.
lint() {
  local file="$TEST_TMPDIR/$1.cc"
  cp "tools/lint/testdata/$1.txt" "$file"
  if found=$(clang-tidy-16 --load=tools/lint/plugin.so --quiet --config-file=.clang-tidy \
      "$file" -- -std=c++20 -Itools/lint/testdata "${@:2}" 2>/dev/null); then
    echo "nothing found in $1"
    failed=1
  fi
}

# expect PLACE CHECK [TEXT]
expect() {
  if ! grep -q "$1.*${3:-}.*\[$2," <<<"$found"; then
    echo "not found: $2 at $1, among:"
    echo "$found"
    failed=1
  fi
}

lint bad_names
expect bad_names.h:3:8 readability-identifier-naming
expect bad_names.cc:5:5 readability-identifier-naming
expect bad_names.cc:7:27 bugprone-use-after-move

pch="$TEST_TMPDIR/test.pch"
clang++-16 -std=c++20 -x c++-header -include map -include vector -o "$pch" /usr/include/stdc-predef.h
clang++-16 -std=c++20 -x c++ -M tools/lint/testdata/no_includes.txt -MF "$TEST_TMPDIR/included"
export LINT_INCLUDED="$TEST_TMPDIR/included"
lint no_includes -include-pch "$pch"
expect no_includes.cc:4:9 modellib-includes "stl_vector.h"
if grep -q "stl_map.h" <<<"$found"; then
  echo "what a file includes is found missing:"
  echo "$found"
  failed=1
fi
exit $failed
