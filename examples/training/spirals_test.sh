#!/bin/bash
# The network learns, and the program stays as short as it says: spirals_test.sh PROGRAM SOURCE
set -euo pipefail
printed=$("$1")
echo "$printed"
lines=$(grep -cvE '^[[:space:]]*(//.*)?$' "$2")
((lines <= 60)) || { echo "$lines lines of code, expected at most 60"; exit 1; }
# The loss at least halves from one report to the last, and 98% of the points are right.
awk '/loss/ { loss = $4; if (!first) first = loss }
     /unseen/ { right = $1 / $3 }
     END { exit !(loss < first / 2 && right >= 0.98) }' <<<"$printed" ||
  { echo "it did not learn"; exit 1; }
