#!/usr/bin/env python3
"""Lists the lines of src/ that the programs of a build with -DES_COVERAGE=ON have executed, by gcov.

    tests/coverage.py FOLDER [--least PERCENT] [--text]     --text: also prints every line that never ran
    tests/coverage.py FOLDER --reset                        deletes the counts so far

One line for each file with such lines: the share executed, how many were not and why, and which. tests/uncovered.txt lists the
reasons. Exit code 1 if fewer than PERCENT of all lines were executed."""
import argparse
import collections
import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent
MOST = 8  # most consecutive lines that one reason explains


def lines_of(notes):
    """{path: {line: count}} for the files of src/ in one object file."""
    done = subprocess.run(["gcov", "--json-format", "--stdout", notes.name], capture_output=True, text=True, cwd=notes.parent)
    if done.returncode != 0 or not done.stdout:
        sys.exit(f"tests/coverage.py: gcov {notes}: {done.stderr or 'gcov printed nothing'}")
    files = {}
    for file in json.loads(done.stdout)["files"]:
        # A compiler cache may have made the path relative.
        within = re.search(r"(?:^|/)(src/.*)$", file["file"])
        if within and (SOURCE / within[1]).is_file():
            for line in file["lines"]:
                counts = files.setdefault(within[1], {})
                counts[line["line_number"]] = counts.get(line["line_number"], 0) + line["count"]
    return files


def collect(folder):
    """{path: {line: count}} for all of src/."""
    notes = [path for path in folder.glob("CMakeFiles/**/*.gcno")]
    files = collections.defaultdict(collections.Counter)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for found in pool.map(lines_of, notes):
            for path, counts in found.items():
                files[path].update(counts)  # adds
    return files


def reasons():
    """[(reason, pattern of the path, pattern of a line)] of tests/uncovered.txt."""
    rows = []
    for line in (HERE / "uncovered.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            reason, paths, text = line.split(None, 2)
            rows.append((reason, paths, text))
    return rows


def ranges(counts):
    """Groups of lines that never ran, without executed lines between."""
    found, open_range = [], None
    for number in sorted(counts):
        if counts[number]:
            open_range = None
        elif open_range is None:
            found.append(open_range := [number])
        else:
            open_range.append(number)
    return found


def reason_of(path, lines, text, known):
    """The first reason of tests/uncovered.txt that matches one of these lines, and so explains all."""
    for reason, paths, pattern in known:
        if len(lines) <= MOST and re.search(paths, path) and any(re.search(pattern, text[number - 1]) for number in lines):
            return reason
    return "untested"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--least", type=float, default=0.0)
    parser.add_argument("--text", action="store_true")
    parser.add_argument("--reset", action="store_true")
    arguments = parser.parse_args()
    if arguments.reset:
        for path in arguments.folder.glob("**/*.gcda"):
            path.unlink()
        return 0
    files = collect(arguments.folder.resolve())
    if not files:
        sys.exit(f"tests/coverage.py: {arguments.folder}: must be a folder built with -DES_COVERAGE=ON")
    known = reasons()
    whole, total, executed = collections.Counter(), 0, 0
    for path, counts in sorted(files.items()):
        text = (SOURCE / path).read_text().splitlines()
        missing, share = ranges(counts), collections.Counter()
        total += len(counts)
        executed += len(counts) - sum(map(len, missing))
        if not missing:
            continue
        reason = [reason_of(path, lines, text, known) for lines in missing]
        for lines, why in zip(missing, reason):
            share[why] += len(lines)
        whole.update(share)
        print(f"{path:36} {100 - 100 * share.total() / len(counts):5.1f} %  {share.total():3} of {len(counts):3} ("
              + ", ".join(f"{n} {why}" for why, n in share.most_common()) + "):",
              ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in ((lines[0], lines[-1]) for lines in missing)))
        for lines, why in zip(missing, reason):
            for number in lines if arguments.text else ():
                print(f"    {number:4} {why:10} {text[number - 1].strip()}")
    percent = 100 * executed / total
    print(f"\n{executed} of {total} lines in src/ were executed: {percent:.2f} %. Lines that were not executed:",
          ", ".join(f"{n} {why}" for why, n in whole.most_common()))
    if percent < arguments.least:
        print(f"tests/coverage.py: fewer than {arguments.least:g} % of the lines were executed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
