"""Where the headers of GStreamer and GLib are: absolute, so that they cannot be a library's includes."""

GSTREAMER_COPTS = [
    "-isystem/usr/include/gstreamer-1.0",
    "-isystem/usr/include/glib-2.0",
]
