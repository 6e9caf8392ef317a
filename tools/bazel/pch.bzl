"""Precompiled headers: what nearly every file includes of the standard library, Abseil and gtest is parsed once for
each configuration, which nearly halves the time of a build. Only headers of the system are in them, so that they do not
change with the project, and a file still includes whatever it uses: the linter sees to that."""

load("//tools/bazel:compiler.bzl", "compiler_command")

# The compiler includes it into every file anyway. The path is absolute, for a precompiled header names its file.
_EMPTY_HEADER = "/usr/include/stdc-predef.h"

def _precompiled_header_impl(ctx):
    output = ctx.actions.declare_file(ctx.label.name + ".pch")
    command = compiler_command(ctx, source_file = _EMPTY_HEADER, output_file = output.path)
    arguments = ["-x", "c++-header", "-Xclang", "-fno-pch-timestamp", "-fpch-instantiate-templates"]
    for header in ctx.attr.headers:
        arguments += ["-include", header]
    ctx.actions.run(
        mnemonic = "CppPrecompile",
        progress_message = "Precompiling the headers of " + str(ctx.label),
        executable = command.toolchain.compiler_executable,
        arguments = arguments + command.flags,
        env = command.env,
        inputs = command.toolchain.all_files,
        outputs = [output],
    )
    return [
        DefaultInfo(files = depset([output])),
        CcInfo(compilation_context = cc_common.create_compilation_context(headers = depset([output]))),
    ]

precompiled_header = rule(
    doc = "NAME.pch, for targets that depend on this one and have precompiled_copts(LABEL) among their copts.",
    implementation = _precompiled_header_impl,
    attrs = {
        "headers": attr.string_list(mandatory = True, doc = "as they stand between the <> of an #include"),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

def precompiled_copts(label):
    """The flags with which a target uses a precompiled header, a label of the form "//PACKAGE:NAME"."""
    return ["-include-pch", "$(BINDIR)/" + label[2:].replace(":", "/") + ".pch"]
