"""The formatter and the linter as build actions, so that a file that did not change costs nothing.

`bazel build --config=lint //...` runs the aspect over every C++ target: clang-format on all of a target's files at
once, clang-tidy on each .cc (headers are seen through the files that include them). A target tagged "no-lint" is
left alone, and so is generated code. `tools/format` repairs what clang-format finds."""

load("//tools/bazel:compiler.bzl", "compiler_command")

_SOURCES = ["c", "cc", "h", "hpp"]

def _own_files(ctx):
    files = []
    for attribute in ["srcs", "hdrs"]:
        for target in getattr(ctx.rule.attr, attribute, None) or []:
            for file in target.files.to_list():
                own = file.is_source and file.owner.workspace_name == ""
                if own and file.extension in _SOURCES:
                    files.append(file)
    return files

def _format(ctx, files):
    stamp = ctx.actions.declare_file(ctx.rule.attr.name + ".format.ok")
    ctx.actions.run_shell(
        mnemonic = "ClangFormat",
        progress_message = "Checking the format of " + str(ctx.label),
        inputs = files + [ctx.file._format_config, ctx.file._format],
        outputs = [stamp],
        command = "%s --style=file --dry-run -Werror --ferror-limit=3 %s && touch %s" % (
            ctx.file._format.path,
            " ".join([file.path for file in files]),
            stamp.path,
        ),
    )
    return stamp

def _compiler_command(ctx, compilation):
    """That which compiles the target's files, with its precompiled header among the flags."""
    return compiler_command(
        ctx,
        [flag.replace("$(BINDIR)", ctx.bin_dir.path) for flag in getattr(ctx.rule.attr, "copts", [])],
        include_directories = compilation.includes,
        preprocessor_defines = depset(transitive = [compilation.defines, compilation.local_defines]),
        quote_include_directories = compilation.quote_includes,
        system_include_directories = compilation.system_includes,
    )

def _without_precompiled(flags):
    kept = []
    for i in range(len(flags)):
        if flags[i] != "-include-pch" and (i == 0 or flags[i - 1] != "-include-pch"):
            kept.append(flags[i])
    return kept

def _quoted(flags):
    return " ".join(["'%s'" % flag for flag in flags])

# A file is looked at as it is compiled, and with what it would include without the precompiled header, which the plugin
# compares with what it uses. clang-tidy reports "N warnings generated" (those of other people's headers) even where all
# is well.
_TIDY = """
set -e
{compiler} {plain_flags} -M {source} -MF {stamp} -MT x
export LINT_INCLUDED={stamp}
{tidy} --load={plugin} --quiet --config-file={config} {source} -- {flags} >{stamp}.log 2>&1 || {{ cat {stamp}.log; exit 1; }}
: >{stamp}
"""

def _tidy(ctx, source, files, compilation):
    stamp = ctx.actions.declare_file(ctx.rule.attr.name + "." + source.basename + ".tidy.ok")
    command = _compiler_command(ctx, compilation)

    # The toolchain gives __DATE__ and its like one value, of which clang-tidy would warn.
    flags = [flag for flag in command.flags if not flag.startswith("-D__")]
    ctx.actions.run_shell(
        mnemonic = "ClangTidy",
        progress_message = "Linting " + source.short_path,
        inputs = depset(
            files + [ctx.file._tidy_config, ctx.file._tidy, ctx.file._plugin],
            transitive = [compilation.headers, command.toolchain.all_files],
        ),
        outputs = [stamp],
        command = _TIDY.format(
            compiler = command.toolchain.compiler_executable,
            config = ctx.file._tidy_config.path,
            flags = _quoted(flags),
            plain_flags = _quoted(_without_precompiled(flags)),
            plugin = ctx.file._plugin.path,
            source = source.path,
            stamp = stamp.path,
            tidy = ctx.file._tidy.path,
        ),
    )
    return stamp

def _lint_impl(target, ctx):
    if CcInfo not in target or "no-lint" in ctx.rule.attr.tags:
        return []
    files = _own_files(ctx)
    if not files:
        return []
    compilation = target[CcInfo].compilation_context
    stamps = [_format(ctx, files)]
    stamps += [_tidy(ctx, file, files, compilation) for file in files if file.extension == "cc"]
    return [OutputGroupInfo(lint = depset(stamps))]

lint = aspect(
    implementation = _lint_impl,
    attrs = {
        "_format": attr.label(default = "@sys//:bin/clang-format-16", allow_single_file = True),
        "_format_config": attr.label(default = "//:.clang-format", allow_single_file = True),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
        "_plugin": attr.label(default = "//tools/lint:plugin.so", allow_single_file = True, cfg = "host"),
        "_tidy": attr.label(default = "@sys//:bin/clang-tidy-16", allow_single_file = True),
        "_tidy_config": attr.label(default = "//:.clang-tidy", allow_single_file = True),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)
