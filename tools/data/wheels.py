"""Fetches wheels that a requirements file pins by version and hash; for the scripts beside this one."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


class Failure(Exception):
    """Something that the user has to know; its text is the whole message."""


def download(requirements, folder):
    """Returns the paths of the wheels. pip fetches them, so that the user's own proxies and mirrors are respected, and
    compares the hashes."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
               "--require-hashes", "--no-deps", "--only-binary", ":all:", "--dest", folder,
               "-r", requirements]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        if "No module named pip" in done.stdout:
            raise Failure("pip is missing: install Debian's package python3-pip")
        raise Failure(f"pip could not download what {os.path.relpath(requirements, ROOT)} names "
                      "(is the package index within reach?). It said:\n" + done.stdout.strip())
    return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".whl"))
