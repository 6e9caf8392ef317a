"""Runs the tests phase by phase through Bazel and counts the test cases; called by ./test.

A phase is one `bazel test`, but for one that runs ./quickstart. Bazel writes what happened to a file of build
events; from there come the targets that failed to build, and the XML files in which gtest lists its cases.
Counted are:

    passed   test cases that ran and passed (a test that is not gtest's is one case, and so is ./quickstart)
    failed   test cases that failed; a test that died or ran out of time before it could say which case;
             a target, or its lint, that did not build; a phase that ran no test or that Bazel gave up on

Skipped and disabled cases count as neither.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import time
import urllib.parse
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOISE = ("Loading:", "Analyzing:", "INFO:", "Executed ", "[0 / ", "Use --sandbox_debug")
TAIL = 60  # lines shown of a failed test's log
QUICKSTART_LIMIT = 1800  # seconds; a few suffice where its program is built

Phase = collections.namedtuple("Phase", "name title flags")  # no flags: it runs no bazel test
PHASES = [
    Phase("release", "release build, formatter and linter, all tests",
          ["--config=lint", "--output_groups=+default"]),
    Phase("quickstart", "the main job by its own script, ./quickstart", None),
    Phase("asan_ubsan", "parsers, runtime and op table under AddressSanitizer and UBSan",
          ["--config=asan_ubsan", "--build_tests_only", "--test_tag_filters=san"]),
    Phase("tsan", "parsers, runtime and op table under ThreadSanitizer",
          ["--config=tsan", "--build_tests_only", "--test_tag_filters=san"]),
]


class Tally:
    """What one phase came to."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.tests = {}  # label -> [cases passed, cases failed, seconds, cached]
        self.problems = []  # a line for each failure
        self.logs = []  # (label, path) of failed tests

    def fail(self, problem, count=1):
        self.failed += count
        self.problems.append(problem)


def local_path(uri):
    parsed = urllib.parse.urlparse(uri)
    return urllib.parse.unquote(parsed.path) if parsed.scheme == "file" else None


def cases_of(path):
    """Returns (passed, names of the failed) of a JUnit XML file; nothing if it is missing or broken."""
    passed, failed = 0, []
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except (OSError, TypeError, xml.etree.ElementTree.ParseError):
        return 0, []
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(".".join(filter(None, [case.get("classname"), case.get("name")])))
        elif case.find("skipped") is None and case.get("status") != "notrun":
            passed += 1
    return passed, failed


def add_test_result(tally, label, result):
    files = {output["name"]: local_path(output.get("uri", "")) for output in
             result.get("testActionOutput", [])}
    passed, failed = cases_of(files.get("test.xml"))
    if result["status"] == "PASSED":
        # A test that writes no cases of its own, or whose cases were all filtered out, is one.
        passed = passed or 1
        tally.failed += len(failed)
    else:
        # Bazel itself writes the XML of a test that died: one case, named like the test.
        if failed and result["status"] == "FAILED":
            tally.fail(f"{label}: {', '.join(failed)}", len(failed))
        else:
            tally.fail(f"{label}: {result['status'].lower()}", max(1, len(failed)))
        if files.get("test.log"):
            tally.logs.append((label, files["test.log"]))
    tally.passed += passed
    entry = tally.tests.setdefault(label, [0, 0, 0.0, True])
    entry[0] += passed
    entry[1] += 0 if result["status"] == "PASSED" else max(1, len(failed))
    entry[2] += int(result.get("testAttemptDurationMillis", 0)) / 1000
    entry[3] &= bool(result.get("cachedLocally") or
                     result.get("executionInfo", {}).get("cachedRemotely"))


def read_events(path, tally):
    try:
        with open(path, encoding="utf-8") as file:
            events = [json.loads(line) for line in file if line.strip()]
    except (OSError, ValueError) as error:
        tally.fail(f"no build events to read: {error}")
        return
    for event in events:
        if "testResult" in event["id"] and "testResult" in event:
            add_test_result(tally, event["id"]["testResult"]["label"], event["testResult"])
        elif "targetCompleted" in event["id"]:
            completed = event["id"]["targetCompleted"]
            if not event.get("completed", {}).get("success", False):
                what = "lint" if "aspect" in completed else "build"
                tally.fail(f"{completed['label']}: {what} failed")


def print_summary(phase, tally, seconds):
    for label, (passed, failed, duration, cached) in sorted(tally.tests.items()):
        verdict = "FAILED" if failed else "ok"
        cases = f"{passed + failed} cases" if passed + failed != 1 else "1 case"
        note = "cached" if cached else f"{duration:.1f} s"
        print(f"  {verdict:6} {label} ({cases}, {note})")
    for label, path in tally.logs:
        print(f"\n---- {label}: the last {TAIL} lines of its log, {path}")
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = [line for line in file if not line.startswith("exec ${PAGER")]
            print("".join(lines[-TAIL:]))
        except OSError as error:
            print(f"(cannot be read: {error})")
    for problem in tally.problems:
        print(f"  failed: {problem}")
    print(f"== {phase.name}: {tally.passed} passed and {tally.failed} failed in "
          f"{len(tally.tests)} tests, {seconds:.0f} s\n", flush=True)


def run_bazel(command):
    """Runs it, passing on what a person wants to see while it runs; returns the exit code."""
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
                               errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for line in process.stdout:
        if line.strip() and not line.startswith(NOISE):
            print(f"  {line.rstrip()}", flush=True)
    return process.wait()


def output_path(name):
    folder = os.path.join(ROOT, "build", "test")
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, name)


def run_bazel_phase(phase, targets, whole):
    print(f"== {phase.name}: {phase.title}", flush=True)
    events = output_path(phase.name + ".events.json")
    if os.path.exists(events):
        os.remove(events)
    command = ["bazel", "test", "--keep_going", f"--jobs={os.cpu_count()}",
               "--curses=no", "--color=no", "--show_progress_rate_limit=30",
               "--ui_event_filters=-info,-warning", "--noshow_loading_progress",
               "--test_output=summary", "--test_summary=none", "--show_result=0",
               f"--build_event_json_file={events}", *phase.flags, "--", *targets]
    start = time.monotonic()
    status = run_bazel(command)
    tally = Tally()
    read_events(events, tally)
    no_tests = status == 4 or not tally.tests
    if no_tests and whole:
        tally.fail("no test ran")
    if status not in (0, 4) and tally.failed == 0:
        tally.fail(f"bazel gave up with exit code {status}; its message stands above")
    print_summary(phase, tally, time.monotonic() - start)
    return tally


def run_quickstart(phase):
    """Not a test of Bazel's, for the script calls Bazel itself; what it prints goes to a file."""
    print(f"== {phase.name}: {phase.title}", flush=True)
    script, log = "./quickstart", output_path(phase.name + ".log")
    start = time.monotonic()
    with open(log, "wb") as file:
        # `timeout` ends what the script has started as well.
        status = subprocess.run(["timeout", str(QUICKSTART_LIMIT), script], cwd=ROOT, check=False,
                                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT).returncode
    seconds = time.monotonic() - start
    with open(log, encoding="utf-8", errors="replace") as file:
        output = file.read()
    tally = Tally()
    if status == 124:
        tally.fail(f"{script}: not done after {QUICKSTART_LIMIT} s")
    elif status != 0:
        tally.fail(f"{script}: exit code {status}")
    elif "the same to the last bit" not in output:
        tally.fail(f"{script}: exit code 0, but no second process came to the same logits")
    else:
        tally.passed = 1
    if tally.failed:
        tally.logs.append((script, log))
    tally.tests[script] = [tally.passed, tally.failed, seconds, False]
    print_summary(phase, tally, seconds)
    return tally


def main():
    parser = argparse.ArgumentParser(
        prog="./test", description="Sets up, builds and runs the tests.",
        epilog="phases: " + "; ".join(f"{phase.name}: {phase.title}" for phase in PHASES))
    parser.add_argument("--only", action="append", choices=[phase.name for phase in PHASES],
                        help="run this phase alone (may be repeated; default: all)")
    parser.add_argument("targets", nargs="*", default=["//..."], metavar="TARGET",
                        help="Bazel targets to test (default: //...)")
    arguments = parser.parse_args()

    whole = arguments.targets == ["//..."]
    start = time.monotonic()
    tallies = []
    for phase in PHASES:
        if arguments.only and phase.name not in arguments.only:
            continue
        if phase.flags is not None:
            tallies.append(run_bazel_phase(phase, arguments.targets, whole))
        elif whole:  # it belongs to no target
            tallies.append(run_quickstart(phase))
    passed = sum(tally.passed for tally in tallies)
    failed = sum(tally.failed for tally in tallies)
    if passed + failed == 0:
        print("no test ran")
        failed = 1
    for tally in tallies:
        for problem in tally.problems:
            print(f"failed: {problem}")
    print(f"all phases: {time.monotonic() - start:.0f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
