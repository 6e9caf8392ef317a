#!/bin/bash
# The runtime alone runs every test plan, training too: one process compiles the plans into files
# and notes what they compute, another, in which there is no compiler (see linkage_test.sh), loads
# and runs them and must get the same bits.
#
# plans_test.sh RECORD REPLAY
set -euo pipefail

folder=$TEST_TMPDIR/plans
"$1" "$folder"
for name in mnist mnist_frozen mlp cnn lstm transformer_gelu transformer_relu bert gpt2 decode \
  data_parallel mixed_f16 sharing bound bounded control_flow lanes_mlp lanes_lstm; do
  [[ -s $folder/program.$name.mlplan ]] || { echo "no plan of $name"; exit 1; }
done
count() { find "$folder" -name "$1.*.mlplan" | wc -l; }
(($(count op) > 500)) || { echo "only $(count op) plans of ops"; exit 1; }
(($(count random) == 500)) || { echo "only $(count random) plans of random graphs"; exit 1; }
"$2" "$folder"
