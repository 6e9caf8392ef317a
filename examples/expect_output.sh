#!/bin/bash
# A program prints exactly what a file says: expect_output.sh EXPECTED PROGRAM ARGUMENT...
set -euo pipefail
expected=$1
shift
diff -u --label expected "$expected" --label printed <("$@" 2>&1)
