"""The report of 1,000 points, 20 epochs, 16 layers takes less than a minute and a gigabyte; opening is lazy."""
import resource
import subprocess
import sys
import time

import handmade
import numpy as np

import eigenscope_analysis as es

# In a separate process, so that its peak is that of the report alone.
REPORT = r"""
import re, sys, time
sys.path.insert(0, sys.argv[1])
start = time.perf_counter()
from eigenscope_analysis import report
report.write(sys.argv[2], sys.argv[3])
peak = re.search(r"VmHWM:\s*(\d+) kB", open("/proc/self/status").read())[1]
print(time.perf_counter() - start, time.process_time(), int(peak) / 1024)
"""


def test_a_thousand_points(tmp_path):
    made = handmade.make(widths=2.0 ** np.arange(-4, 1), classes=(2, 4, 6, 8, 10), seeds=range(10), datasets=("a", "b"),
                         models=("vgg16", "vgg19"), n_epochs=20, n_layers=16, components=64)
    assert made.sizes["point"] == 1000
    path = handmade.write(made, tmp_path / "large.h5")
    size = made["eigenvalues"].nbytes
    del made
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with es.open(path) as r:
        opened = time.perf_counter() - start
        assert r.sizes["epoch"] == 21
    assert opened < 5
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < size / 4
    package = es.__file__[:es.__file__.index("eigenscope_analysis/__init__")]
    done = subprocess.run([sys.executable, "-B", "-c", REPORT, package, str(path), str(tmp_path / "report")], capture_output=True,
                          text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    seconds, cpu, peak = map(float, done.stdout.split())
    print(f"\nreport of 1,000 points: {seconds:.1f} s, {cpu:.1f} s of CPU, {peak:.0f} MiB; opened in {opened:.2f} s")
    assert cpu < 60  # of one core; wall time includes other processes
    assert peak < 1000
