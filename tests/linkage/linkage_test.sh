#!/bin/bash
# The runtime decides nothing: programs that load and run plans (training too) hold no code of the
# graph, its builder, the ops or the passes, and no protobuf.
#
# linkage_test.sh FORBIDDEN FREE... -- BOUND: no function that the file FORBIDDEN lists, sorted, may
# be in the programs FREE; in BOUND there must be some, which shows that the test sees.
set -euo pipefail

forbidden=$1
shift
free=()
while [[ $1 != -- ]]; do
  free+=("$1")
  shift
done
bound=$2

count=$(wc -l <"$forbidden")
if ((count < 100)); then
  echo "only $count functions in $forbidden: the list is wrong"
  exit 1
fi

# Inline functions (W) may be instantiated anywhere and are left out.
functions() { nm --defined-only "$1" | awk '$2 == "T" { print $3 }' | LC_ALL=C sort -u; }
found() { functions "$1" | LC_ALL=C comm -12 - "$forbidden"; }

failed=0
for program in "${free[@]}"; do
  if (($(functions "$program" | wc -l) < 50)); then
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
if [[ -z $(found "$bound") ]]; then
  echo "nothing forbidden in $bound: the test is blind"
  failed=1
fi
exit $failed
