"""The formatter and the linter as build actions, so that a file that did not change costs nothing.

`bazel build --config=lint //...` runs the aspect over every C++ target: clang-format on all of a target's files at
once, clang-tidy on each .cc (headers are seen through the files that include them). A target tagged "no-lint" is
left alone, and so is generated code. `tools/format` repairs what clang-format finds."""

_SOURCES = ["cc", "h"]

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

def _own_copts(ctx):
    """The target's copts without a precompiled header: a file must do with what it includes."""
    copts = getattr(ctx.rule.attr, "copts", [])
    return [flag for flag in copts if "$" not in flag and flag != "-include-pch"]

def _tidy(ctx, source, files, compilation):
    stamp = ctx.actions.declare_file(ctx.rule.attr.name + "." + source.basename + ".tidy.ok")
    flags = ["-std=c++20", "-Wall", "-Wextra", "-Wno-unused-parameter", "-iquote", "."]
    flags += _own_copts(ctx)
    flags += ["-D" + define for define in compilation.defines.to_list()]
    flags += ["-I" + path for path in compilation.includes.to_list()]
    for path in compilation.quote_includes.to_list():
        flags += ["-iquote", path]
    for path in compilation.system_includes.to_list():
        flags += ["-isystem", path]

    # clang-tidy reports "N warnings generated" (those of other people's headers) even where all is well.
    ctx.actions.run_shell(
        mnemonic = "ClangTidy",
        progress_message = "Linting " + source.short_path,
        inputs = depset(
            files + [ctx.file._tidy_config, ctx.file._tidy, ctx.file._own_code],
            transitive = [compilation.headers],
        ),
        outputs = [stamp],
        command = "%s --load=%s --quiet --config-file=%s %s -- %s >%s 2>&1 || { cat %s; exit 1; }" % (
            ctx.file._tidy.path,
            ctx.file._own_code.path,
            ctx.file._tidy_config.path,
            source.path,
            " ".join(["'%s'" % flag for flag in flags]),
            stamp.path,
            stamp.path,
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
        "_own_code": attr.label(default = "//tools/lint:own_code.so", allow_single_file = True, cfg = "host"),
        "_tidy": attr.label(default = "@sys//:bin/clang-tidy-16", allow_single_file = True),
        "_tidy_config": attr.label(default = "//:.clang-tidy", allow_single_file = True),
    },
)
