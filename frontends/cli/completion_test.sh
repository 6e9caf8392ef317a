#!/bin/bash
# The completion script does what bash asks of it, the manual page is sound roff, and docs/cli.md is what the program
# says of itself; its examples run.
set -uo pipefail

modellib=$PWD/frontends/cli/modellib
completion=$PWD/frontends/cli/modellib.bash
manual=$PWD/frontends/cli/modellib.1
document=$PWD/docs/cli.md
model=$PWD/frontends/cli/testdata/mlp.mltxt
input=$PWD/formats/testdata/f4.npy
cd "$TEST_TMPDIR" || exit 1
failures=0

fail() {
  echo "FAILED: $*" >&2
  failures=$((failures + 1))
}

# --- Completion.
# shellcheck disable=SC1090
source "$completion" || fail "bash does not read $completion"
[[ $(complete -p modellib) == "complete -F _modellib modellib" ]] || fail "no completion for modellib"
mkdir -p folder/inner
touch "folder/with space.onnx" folder/other.npy

# expect WORDS TEXT...: what is offered for the last of the words (separated by "|") is exactly this.
expect() {
  local words=$1
  shift
  IFS='|' read -ra COMP_WORDS <<<"$words"
  [[ $words == *'|' ]] && COMP_WORDS+=('')
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  COMPREPLY=()
  _modellib
  local got wanted
  got=$(printf '%s\n' "${COMPREPLY[@]}" | sort)
  wanted=$(printf '%s\n' "$@" | sort)
  [[ $got == "$wanted" ]] || fail "for '$words': '$got' instead of '$wanted'"
}
expect 'modellib|in' inspect
expect 'modellib|' run compile inspect bench profile diff completion man markdown --help
expect 'modellib|run|folder/w' 'folder/with space.onnx'
expect 'modellib|run|x|--out' --output --output-format
expect 'modellib|run|--output-format|' npy pb
expect 'modellib|run|--output-format|=|p' pb
expect 'modellib|run|--output|folder/' folder/inner
expect 'modellib|run|model|x|=|folder/o' folder/other.npy
expect 'modellib|run|--threads|' ''
expect 'modellib|compile|m|--disable|fold-co' fold-constants
expect 'modellib|diff|--device-b|r' reference
expect 'modellib|completion|' bash
# Every option that the help of a command shows is offered.
for command in run compile inspect bench profile diff; do
  for option in $("$modellib" "$command" --help | grep -oE '^ +(-[a-z],)?--[a-z-]+' | grep -oE '\-\-[a-z-]+'); do
    expect "modellib|$command|$option" $(
      # Those of which it is a beginning, too.
      "$modellib" "$command" --help | grep -oE '^ +(-[a-z],)?--[a-z-]+' | grep -oE '\-\-[a-z-]+' | grep -e "^$option"
    )
  done
done

# --- The manual page: known macros in their order, and all that the help shows.
[[ $(sed -n 2p "$manual") == .TH* ]] || fail "the page does not begin with .TH"
unknown=$(grep '^[.'"'"']' "$manual" | grep -vE '^\.(\\"|TH|SH|SS|TP|PP|B|br|nf|fi)( |$)')
[[ -z $unknown ]] || fail "unknown macros: $unknown"
[[ $(grep '^.SH' "$manual") == $'.SH NAME\n.SH SYNOPSIS\n.SH DESCRIPTION\n.SH COMMANDS\n.SH EXAMPLES' ]] ||
  fail "other sections"
grep -q '\\fB\\-\\-output\\-format\\fR \\fIFORMAT\\fR' "$manual" || fail "no --output-format in the page"
[[ $(grep -c '^.SS' "$manual") == 9 ]] || fail "not all commands are in the page"
if command -v groff >/dev/null; then
  warnings=$(groff -man -Tutf8 -ww "$manual" 2>&1 >page.txt)
  [[ -z $warnings ]] || fail "groff: $warnings"
  # A terminal's bold letters are struck twice, or set in escapes.
  sed 's/.\x08//g; s/\x1b\[[0-9;]*m//g' page.txt >plain.txt
  grep -q '^SYNOPSIS$' plain.txt || fail "groff wrote no page"
fi

# --- docs/cli.md.
"$modellib" markdown | diff "$document" - >&2 || fail "docs/cli.md is old: modellib markdown > docs/cli.md"
mkdir run && cd run || exit 1
cp "$model" model.mltxt
cp "$input" x.npy
modellib() { "$modellib" "$@"; }
ran=0
while IFS= read -r line; do
  eval "$line" >output.txt 2>&1 || fail "exit code $?: $line ($(cat output.txt))"
  ran=$((ran + 1))
done < <(sed -n '/^```sh$/,/^```$/p' "$document" | grep '^modellib ')
[[ $ran -ge 15 ]] || fail "only $ran examples"

[[ $failures == 0 ]] || { echo "$failures failed" >&2; exit 1; }
