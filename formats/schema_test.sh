#!/bin/bash
# Plans and models that were written with the schemas of version 1 of the container must be read by this
# library as what they say, or be refused. FlatBuffers holds to that as long as a schema conforms to its
# predecessor: fields stay where they are (or become "deprecated"), new ones come at the end of a table.
#
# After an addition, copy the schema over its testdata/NAME_1.fbs, so that the addition is held to it too. For a
# change that cannot conform, count up kContainerVersion (container.h), and start testdata/NAME_2.fbs.
set -euo pipefail
flatc=$1

conforms() {
  # flatc says what does not conform on standard error, and its exit code with it.
  "$flatc" --conform "$1" "$2"
}

for schema in plan model; do
  conforms "formats/testdata/${schema}_1.fbs" "formats/$schema.fbs"
done

# The check can fail: a field in the middle of a table moves those behind it.
sed 's/^table Variable {$/&\n  first:uint;/' formats/plan.fbs >"$TEST_TMPDIR/moved.fbs"
if cmp -s formats/plan.fbs "$TEST_TMPDIR/moved.fbs"; then
  echo "the table Variable is gone: move a field of another"
  exit 1
fi
if conforms formats/testdata/plan_1.fbs "$TEST_TMPDIR/moved.fbs"; then
  echo "a moved field was not noticed"
  exit 1
fi
