"""Rules of the project: headers are included as "modellib/PACKAGE/NAME.h", in the tree as once installed."""

def modellib_cc_library(**kwargs):
    native.cc_library(
        include_prefix = "modellib/" + native.package_name(),
        **kwargs
    )

def modellib_cc_test(data = [], size = "small", **kwargs):
    native.cc_test(
        data = data + ["//third_party:tsan.supp"],
        size = size,
        **kwargs
    )
