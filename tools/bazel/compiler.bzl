"""How the toolchain compiles C++, for rules that run it, or a tool that takes its flags, themselves."""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "CPP_COMPILE_ACTION_NAME")
load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

def compiler_command(ctx, copts = [], **variables):
    """The toolchain, the flags of the configuration with `copts` behind them, and the environment.

    Args:
      ctx: of a rule or aspect with the fragment cpp, the toolchain type of C++ and an attribute _cc_toolchain.
      copts: further flags.
      **variables: of cc_common.create_compile_variables.
    """
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    variables = cc_common.create_compile_variables(
        feature_configuration = features,
        cc_toolchain = toolchain,
        use_pic = True,
        user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + copts,
        **variables
    )
    return struct(
        env = cc_common.get_environment_variables(
            feature_configuration = features,
            action_name = CPP_COMPILE_ACTION_NAME,
            variables = variables,
        ),
        flags = cc_common.get_memory_inefficient_command_line(
            feature_configuration = features,
            action_name = CPP_COMPILE_ACTION_NAME,
            variables = variables,
        ),
        toolchain = toolchain,
    )
