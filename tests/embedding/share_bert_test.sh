#!/bin/bash
# 20 processes that run one plan of BERT-base hold its weights once: WRITE_BERT SHARE_WEIGHTS. The plan is made here,
# since half a gigabyte is no build output to keep.
set -euo pipefail

plan=$TEST_TMPDIR/bert.mlplan
trap 'rm -f "$plan"' EXIT
"$1" "$plan"
size=$(stat -c %s "$plan")
[[ $size -gt 420000000 ]] || { echo "a plan of $size bytes is not that of BERT-base" >&2; exit 1; }
"$2" "$plan" 20
