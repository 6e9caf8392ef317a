#!/bin/bash
# What is installed serves programs outside this build: CMake finds it in a prefix and in an unpacked Debian package, pkg-config
# too, C11 and C++17 compile against it with every warning an error.
#
# install_test.sh ARCHIVE PACKAGE EXAMPLE_FILE...
set -euo pipefail
archive=$(realpath "$1")
package=$(realpath "$2")
shift 2
work=$TEST_TMPDIR/install
mkdir -p "$work/src"
cp "$@" "$work/src"
cd "$work"

cat >net.mltxt <<'EOF'
graph "net" (x: f32[batch,4]) {
  w = constant() {value: f32[4,2] [1, -2, 3, 0.5, -1, 0.25, 2, 1]}
  h = matmul(x, w)
  y = relu(h)
  return y
}
EOF
expect() { [[ $2 == "$3" ]] || { echo "$1: expected '$2', got '$3'"; exit 1; }; }

# check NAME PREFIX PKG_CONFIG_FOLDER
check() {
  local name=$1 prefix=$2 pc=$3
  cmake -S src -B "$name" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release >"$name.log" 2>&1 &&
    cmake --build "$name" >>"$name.log" 2>&1 || { cat "$name.log"; exit 1; }
  "$name/compile_model" net.mltxt "$name.mlplan" >"$name.out"
  grep -q "model compiled in" "$name.out" || { echo "$name: nothing was logged"; exit 1; }
  expect "$name, C++" "5 0 5 0 2.5 0 2.5 0" "$("$name/run_plan" "$name.mlplan" | xargs)"
  if readelf -d "$name/run_plan" | grep 'libmodellib\.so' >/dev/null; then echo "run_plan wants the whole library"; exit 1; fi

  export PKG_CONFIG_PATH=$pc
  expect "$name, version" "$version" "$(pkg-config --modversion modellib)"
  # Debian's pkg-config drops folders of the system from what it prints; none of these are.
  # shellcheck disable=SC2046
  cc -std=c11 -pedantic -Wall -Wextra -Werror src/run_plan.c $(pkg-config --cflags --libs modellib-runtime) -o "$name.c"
  library=$(pkg-config --variable=libdir modellib)
  expect "$name, C" "x of 512 bytes: 5 0" "$(LD_LIBRARY_PATH=$library "./$name.c" "$name.mlplan" 2>/dev/null)"
  if LD_LIBRARY_PATH=$library "./$name.c" net.mltxt 2>error; then echo "$name: ran a text"; exit 1; fi
  grep -q INVALID_ARGUMENT error
  for file in share/doc/modellib/copyright share/man/man1/modellib.1.gz share/bash-completion/completions/modellib; do
    [[ -s $prefix/$file ]] || { echo "$name: no $file"; exit 1; }
    expect "$name, mode of $file" 644 "$(stat -c %a "$prefix/$file")"
  done
  for notice in "Apache License" "University of Cincinnati" "Niels Lohmann" "Abseil"; do
    grep -q "$notice" "$prefix/share/doc/modellib/copyright" || { echo "$name: no notice of $notice"; exit 1; }
  done
  gzip -dc "$prefix/share/man/man1/modellib.1.gz" | grep '^\.TH ' >/dev/null || { echo "$name: no manual page"; exit 1; }
  grep -q 'complete -F' "$prefix/share/bash-completion/completions/modellib" || { echo "$name: no completion"; exit 1; }
  # The command line reads and writes the same plans.
  "$prefix/bin/modellib" inspect "$name.mlplan" >/dev/null
}

mkdir prefix deb
tar -xzf "$archive" -C prefix --strip-components=2
version=$(dpkg-deb -f "$package" Version)
check archive "$work/prefix" "$work/prefix/lib/pkgconfig"

dpkg-deb -x "$package" deb
multiarch=$(basename "$(dirname "$(find deb/usr/lib -name libmodellib.so.1)")")
check package "$work/deb/usr" "$work/deb/usr/lib/$multiarch/pkgconfig"
# By way of /lib where that leads to /usr/lib, the headers are found too.
ln -s usr/lib deb/lib
cmake -S src -B merged -DCMAKE_PREFIX_PATH="$work/deb" >merged.log 2>&1 || { cat merged.log; exit 1; }
grep -q '^modellib_DIR:.*/deb/lib/' merged/CMakeCache.txt || { echo "CMake came another way"; exit 1; }
for field in Package Version Architecture Depends Description Installed-Size; do
  [[ -n $(dpkg-deb -f "$package" $field) ]] || { echo "the package has no $field"; exit 1; }
done
expect "the package's name" modellib "$(dpkg-deb -f "$package" Package)"
dpkg-deb -f "$package" Depends | grep 'libtbb12 (>= ' >/dev/null || { echo "the package forgets libtbb"; exit 1; }
# Whose dot draws graphs.
expect "what the package suggests" graphviz "$(dpkg-deb -f "$package" Suggests)"
if dpkg-deb -c "$package" | grep -v ' root/root '; then echo "files of somebody's own"; exit 1; fi

# Headers compile as the oldest standards have them, alone, by both compilers.
for compiler in g++ clang++-16; do
  echo '#include <modellib/modellib.hpp>' | "$compiler" -std=c++17 -fno-exceptions -fno-rtti -pedantic -Wall -Wextra \
    -Werror -fsyntax-only -Iprefix/include -x c++ -
done
for header in modellib compiler; do
  echo "#include <modellib/$header.h>" | cc -std=c11 -pedantic -Wall -Wextra -Werror -fsyntax-only -Iprefix/include -x c -
done
if grep -rE '#include.*(absl|google)|absl::' prefix/include; then echo "Abseil in a header"; exit 1; fi
