#!/bin/bash
# The runtime alone runs every test plan, training too: one process compiles the plans into files
# and notes what they compute, another, in which there is no compiler (see linkage_test.sh), loads
# and runs them and must get the same bits.
#
# plans_test.sh RECORD REPLAY
set -euo pipefail

folder=$TEST_TMPDIR/plans
"$1" "$folder"
for name in mnist mlp cnn lstm transformer_gelu transformer_relu; do
  [[ -s $folder/training.$name.mlplan ]] || { echo "no plan of $name"; exit 1; }
done
count=$(find "$folder" -name '*.mlplan' | wc -l)
((count > 500)) || { echo "only $count plans"; exit 1; }
"$2" "$folder"
