"""Keeps the report of a job up to date while it runs: merges what is complete, and says what runs at present."""
import datetime
import html
import json
import math
import pathlib
import subprocess
import time

from . import report
from .files import SchemaError

MERGED = "results.h5"
SHARE = 0.1  # of the time that the report may take
UNFINISHED = 3  # exit code of `status`
COLUMNS = ("point", "axes", "state", "epoch", "step", "images/s", "loss", "accuracy", "saturation", "left", "ranks", "host", "seen")
EMPTY = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}: eigenscope</title></head>
<body><main>
<h1>{title}</h1>
</main></body></html>
"""


class Watch:
    """The page of one job. `arguments`: options of the job, which status and merge get, too."""

    def __init__(self, program, job, folder, arguments=()):
        self.program, self.job, self.folder, self.arguments = program, job, pathlib.Path(folder), list(arguments)
        self.page, self.merged, self.built, self.seconds = None, None, -math.inf, 0.0

    def call(self, command, *options):
        done = subprocess.run([self.program, command, self.job, *self.arguments, *options], capture_output=True, text=True, check=False)
        if done.returncode not in (0, 2, UNFINISHED):
            raise SchemaError(done.stderr.strip().removeprefix("eigenscope: ").splitlines()[-1:][0] if done.stderr.strip()
                              else f"eigenscope {command} ended with code {done.returncode}")
        return done

    def look(self, last=False):
        """Looks once and writes the page; returns the exit code of `status`, and whether all points have a result."""
        done = self.call("status", "--format", "json")
        status = json.loads(done.stdout)
        finished = {point["id"]: point["outcome"] for point in status["points"] if point["outcome"] in ("complete", "diverged")}
        over = not any(point["outcome"] in ("missing", "started", "running", "stale", "damaged") for point in status["points"])
        waited = time.monotonic() - self.built > self.seconds / SHARE
        if finished and finished != self.merged and (waited or over or last):
            self.build()
            self.merged = finished
        page = self.page or EMPTY.format(title=html.escape(status["job"]))
        self.folder.mkdir(parents=True, exist_ok=True)
        report.replace(self.folder / "index.html", page if over else insert(page, present(status)))
        return done.returncode, over

    def build(self):
        start = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.call("merge", "--to", str(self.folder / MERGED))
        self.page = report.write(self.folder / MERGED, self.folder).read_text(encoding="utf-8")
        self.built = time.monotonic()
        self.seconds = self.built - start


def run(program, job, folder, every, arguments=()):
    """Looks every `every` seconds until each point has a result."""
    if not report.is_free(pathlib.Path(folder) / "index.html"):
        raise SchemaError(f"--to {folder}: its index.html is no report of eigenscope; choose another folder")
    watch = Watch(program, job, folder, arguments)
    try:
        code, over = watch.look()
        print(f"{folder}/index.html is kept up to date until each point has a result", flush=True)
        while not over:
            time.sleep(every)
            code, over = watch.look()
    except KeyboardInterrupt:
        code, _ = watch.look(last=True)
    print(f"wrote {folder}/index.html")
    return code


def insert(page, block):
    """The page with a block below its heading."""
    before, heading, after = page.partition("</h1>")
    return f"{before}{heading}\n{block}{after}"


def number(value, form="{:.4g}"):
    return "–" if value is None else form.format(value)


def duration(seconds):
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def row(point):
    live = point["live"]
    left = None if live["point_left_s"] is None or live["state"] == "stale" else live["point_left_s"] - live["age_s"]
    axes = ", ".join(f"{name} {value}" for name, value in point["axes"].items())
    return (point["index"], axes, live["state"], f"{live['epoch']}/{point['epochs']}", f"{live['step']}/{live['steps']}",
            number(live["images_per_s"], "{:.0f}"), number(live["loss"]), number(live["accuracy"]), number(live["saturation"]),
            duration(left), live["ranks"], live["host"], f"{duration(live['age_s'])} ago")


def present(status):
    """HTML: how many points have a result, and what runs at present."""
    points, counts = status["points"], status["counts"]
    rows = [row(point) for point in points if "live" in point]
    failed = counts["diverged"] + counts["unreadable"] + counts["unfit"]
    waiting = len(points) - counts["complete"] - failed - counts["running"] - counts["stale"]
    now = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    text = (f"At {now}: {counts['complete']} of {len(points)} points are complete, {counts['running']} running, {waiting} waiting, "
            f"{failed} failed, {counts['stale']} stale. Figures, tables and findings below are of points that have a result. Load the page "
            "again for its latest version.")
    lines = ["<section id=\"present\" aria-label=\"What runs at present\">", f"<p>{html.escape(text)}</p>"]
    if rows:
        lines += ["<div class=\"scroll\"><table>", "<tr>" + "".join(f"<th scope=\"col\">{name}</th>" for name in COLUMNS) + "</tr>"]
        lines += ["<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>" for cells in rows]
        lines += ["</table></div>"]
    return "\n".join([*lines, "</section>\n"])
