#!/bin/bash
# The runtime decides nothing: programs that load and run plans (training too) hold no code of the
# graph, its builder, the ops or the passes, and no protobuf.
#
# linkage_test.sh LIBRARIES -- FREE -- BOUND: no symbol that one of the static LIBRARIES defines may
# be in the programs FREE; in the program BOUND there must be some, which shows that the test sees.
set -euo pipefail

libraries=() free=() bound=() part=0
for argument in "$@"; do
  if [[ $argument == -- ]]; then
    part=$((part + 1))
  elif ((part == 0)); then
    [[ $argument == *.a ]] && libraries+=("$argument")
  elif ((part == 1)); then
    free+=("$argument")
  else
    bound+=("$argument")
  fi
done
((${#libraries[@]} > 0 && ${#free[@]} > 0 && ${#bound[@]} > 0))

# Functions with a definition of their own; inline ones (W) may be instantiated anywhere.
symbols() { nm --defined-only "$@" | awk '$2 == "T" { print $3 }' | sort -u; }

symbols "${libraries[@]}" >"$TEST_TMPDIR/forbidden"
count=$(wc -l <"$TEST_TMPDIR/forbidden")
if ((count < 100)); then
  echo "only $count symbols in ${libraries[*]}: the list is wrong"
  exit 1
fi

found() { symbols "$1" | comm -12 - "$TEST_TMPDIR/forbidden"; }

failed=0
for program in "${free[@]}"; do
  if (($(symbols "$program" | wc -l) < 50)); then
    echo "$program has no symbols to look at"
    failed=1
  fi
  if [[ -n $(found "$program") ]]; then
    echo "$program is linked with:"
    found "$program" | c++filt | head -20
    failed=1
  fi
  if readelf -d "$program" | grep NEEDED | grep -i protobuf; then
    echo "$program needs protobuf"
    failed=1
  fi
done
if [[ -z $(found "${bound[0]}") ]]; then
  echo "nothing forbidden in ${bound[0]}: the test is blind"
  failed=1
fi
exit $failed
