#!/bin/bash
# assemble fails where the command line does, whichever of its pages it cannot print, and writes no package then.
#
# assemble_test.sh ASSEMBLE LICENSE LIBRARY HEADERS...
set -euo pipefail
assemble=$1
license=$2
library=$3
shift 3
work=$TEST_TMPDIR/assemble
mkdir -p "$work"

# fails COMMAND_THAT_FAILS: the message says what is missing.
fails() {
  local cli=$work/no_$1
  printf '#!/bin/sh\n[ "$1" != %s ] && echo "what it prints"\n' "$1" >"$cli"
  chmod +x "$cli"
  if "$assemble" "$work/archive" "$work/package" "$library" "$library" "$cli" "$license" "${@:3}" 2>"$work/error"; then
    echo "packed a program without '$1'"
    exit 1
  fi
  grep -q "prints no $2" "$work/error" || { echo "no message of '$1':"; cat "$work/error"; exit 1; }
  [[ ! -e $work/archive && ! -e $work/package ]] || { echo "a package was written without '$1'"; exit 1; }
}
fails completion completion "$@"
fails man "manual page" "$@"
