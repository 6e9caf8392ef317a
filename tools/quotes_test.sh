#!/bin/bash
# Checks that the code in the guides is what the files say. A guide marks a block by the line before it,
#
#     <!-- quote: examples/hello/hello.cc -->
#
# and the block must then equal the file, or, where the file has the lines "// quote: begin" and
# "// quote: end", what stands between them, less the indentation that all its lines share.
set -euo pipefail

failures=0
quotes=0

fail() {
  echo "$*" >&2
  failures=$((failures + 1))
}

# Prints what a guide may quote of a file.
quotable() {
  if grep -q '// quote: begin' "$1"; then
    sed -n '/\/\/ quote: begin/,/\/\/ quote: end/p' "$1" | sed '1d;$d' | awk '
      { lines[NR] = $0 }
      /[^ ]/ { match($0, /^ */); if (shared == "" || RLENGTH < shared) shared = RLENGTH }
      END { for (i = 1; i <= NR; i++) print substr(lines[i], shared + 1) }'
  else
    cat "$1"
  fi
}

for guide in "$@"; do
  while read -r line file; do
    quotes=$((quotes + 1))
    if [[ ! -f $file ]]; then
      fail "$guide:$line quotes $file, which is no file that //docs:quoted lists"
      continue
    fi
    # The fenced block that begins on the line after the mark.
    block=$(awk -v mark="$line" 'NR == mark + 1 { if ($0 !~ /^```/) exit; inside = 1; next }
                                 inside && /^```$/ { exit }
                                 inside' "$guide")
    if [[ -z $block ]]; then
      fail "$guide:$line: no fenced block follows the mark"
    elif ! diff -u --label "$file" <(quotable "$file") --label "$guide:$line" - <<<"$block"; then
      fail "$guide:$line: the block differs from $file"
    fi
  done < <(grep -n '^<!-- quote: .* -->$' "$guide" | sed -E 's/^([0-9]+):<!-- quote: (.*) -->$/\1 \2/')
done
echo "$quotes quotes in $# guides, $failures wrong"
[[ $failures == 0 ]]
