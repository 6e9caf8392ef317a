"""Rules of the project: headers are included as "modellib/PACKAGE/NAME.h", in the tree as once installed."""

load("//tools/bazel:pch.bzl", "precompiled_copts")

_LIBRARY_HEADERS = "//tools/bazel:library_headers"
_TEST_HEADERS = "//tools/bazel:test_headers"

def modellib_cc_library(testonly = False, copts = [], deps = [], **kwargs):
    precompiled = _TEST_HEADERS if testonly else _LIBRARY_HEADERS
    native.cc_library(
        include_prefix = "modellib/" + native.package_name(),
        testonly = testonly,
        copts = copts + precompiled_copts(precompiled),
        deps = deps + [precompiled],
        **kwargs
    )

def modellib_cc_test(copts = [], deps = [], data = [], size = "small", precompiled = True, **kwargs):
    """A gtest. Tag it "san" if it belongs to the parsers, the runtime or the op table: ./test then runs it under the
    sanitizers too. Tag it "exclusive" if it measures time. `precompiled`: with the headers that //tools/bazel precompiles,
    which are for one version of the language."""
    if precompiled:
        copts = copts + precompiled_copts(_TEST_HEADERS)
        deps = deps + [_TEST_HEADERS]
    native.cc_test(
        copts = copts,
        deps = deps,
        data = data + ["//third_party:tsan.supp"],
        size = size,
        **kwargs
    )

def modellib_fuzz_test(name, corpus, deps = [], data = [], size = "small", tags = [], **kwargs):
    """A libFuzzer target: the sources define LLVMFuzzerTestOneInput for one parser of untrusted bytes.

    In an ordinary build it is a test that replays the corpus, each file of it also truncated and with bytes changed
    (see fuzz_replay.cc); it runs under the sanitizers too. With --config=fuzz libFuzzer's driver takes its place:
    `tools/fuzz SECONDS` builds and runs all of them.

    Args:
      name: ends in _fuzz_test.
      corpus: files to start from, valid and hostile ones; a glob or labels, at least one.
    """
    native.cc_test(
        name = name,
        args = ["$(locations %s)" % label for label in corpus],
        data = data + corpus + ["//third_party:tsan.supp"],
        size = size,
        tags = tags + ["fuzz", "san"],
        deps = deps + select({
            "//tools/bazel:fuzzing": ["//tools/bazel:fuzz_driver"],
            "//conditions:default": ["//tools/bazel:fuzz_replay"],
        }),
        **kwargs
    )
