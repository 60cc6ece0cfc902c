"""Runs every command of every README in order, in a folder like the source tree: jobs and Python unchanged, with smaller data
if the README uses a whole dataset. Commands that are not run are in SKIPPED or INSTEAD with the reason."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

import h5py
import numpy as np
import PIL.Image

import harness

FASHION_MNIST = pathlib.Path("/usr/share/datasets/fashion-mnist")
BUILD = pathlib.Path(harness.PROGRAM).parent
# Execution order: later pages use results of earlier ones.
READMES = ["README.md", "jobs/README.md", "jobs/paper/README.md", "analysis/README.md", "slurm/README.md", "src/README.md", "tests/README.md",
           "tests/bench/README.md"]
PAGES = [*READMES, "analysis/RESULTS.md"]
LANGUAGES = {"sh", "console", "python", "yaml", "c", "text"}

# Commands that are not run here: a pattern, and the reason.
SKIPPED = [
    (r"^tests/run\.sh", "runs all tests, this one among them"),
    (r"^jobs/setup\.sh", "installs packages and builds: what tests/run.sh does first; system.test_scripts"),
    (r"^cmake -S \. -B build &&", "minutes; test_a_plain_build configures it"),
    (r"^cmake -S \. -B build-fuzz|build-fuzz/", "needs clang, and builds for minutes; unit tests replay the seeds"),
    (r"build-sanitize", "another build; tests/run.sh --full makes it"),
    (r"^tests/(mpich|onednn3|mkl)\.sh", "other builds; tests/run.sh --full makes them"),
    (r"^tests/fresh\.sh", "another Debian; by hand"),
    (r"^tests/arm\.sh", "another build; by hand"),
    (r"^module ", "needs environment modules; system.test_install loads the modulefiles"),
    (r"^(spack|apptainer) ", "not in Debian; system.test_packaging carries out the recipes"),
    (r" run wide\.yaml", "4.6 GB; system.test_moments measures small files"),
    (r"tests/bench/|eigenscope bench ", "minutes; system.test_bench runs each in small"),
]
# Commands that are run in another form: a pattern, its replacement, and the reason.
INSTEAD = [
    (r"^(ctest .*?)( *#.*)?$", r"\1 -N | grep 'Total Tests: [1-9]'", "minutes: the tests must exist"),
    (r"^cmake --build build --target lint", "cmake --build build --target help | grep -w lint", "minutes: the target must exist"),
    (r"^(build/eigenscope status my\.yaml) --follow", r"\1", "ends when each point has a result; system.test_follow"),
    (r"^mpirun -n 2 build/eigenscope run (jobs/quickstart.yaml --output results/vgg16) --ranks-per-point 2 --verbose",
     r"build/eigenscope plan \1", "a network of full size takes many minutes: the job must be accepted"),
]
# Exit codes other than 0.
CODES = {
    r"^build/eigenscope (status|merge) my\.yaml": {3},  # one of two points is missing
    r"^ES_FAULT=": {1, 2, 4},
    r"merge jobs/quickstart\.yaml --output results/kept": {3},  # two of six points were run
    r"compare all\.h5 all\.h5": {2},  # other widths have other saturations
    r"eigenscope_analysis early all\.h5": {2},  # one dataset decides nothing
}
# Jobs whose files are made by later commands of the README: `plan` names the missing file.
WANTING = {"mine.yaml": "run/epoch-1.safetensors", "weights.yaml": "w/vgg11-001.safetensors", "activations.yaml": "acts-0.h5",
           "transformer.yaml": "transformer.h5", "runs.yaml": "runs/bert-1e-3-0/moments.h5"}
SMALL = """\
name: small
output: results/my
grid: {dataset: shapes, model: vgg11, width: 1/32, seed: [0, 1]}
datasets: {shapes: {format: synthetic, size: 16, channels: 1, classes: 3, train: 96, eval: 32}}
train: {epochs: 1, batch: 32}
"""
# A user's network and training loop around the Python line of README.md.
TRAINING = """\
import pathlib, sys, torch
sys.path.insert(0, {fixtures!r})
import make_golden
make_golden.CLASSES = 10
torch.manual_seed(1)
torch.set_num_threads(1)
model = make_golden.ResNet([2, 2, 2, 2], 1 / 16)
optimizer = torch.optim.SGD(model.parameters(), 0.05)
pathlib.Path("run").mkdir()
for epoch in range(1, 4):
    images, labels = torch.randn(16, 3, 32, 32), torch.arange(16) % 10
    loss = torch.nn.functional.cross_entropy(model.train()(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    {line}
"""


def blocks(name):
    """(language, text) of the fenced blocks of a page."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", (harness.SOURCE / name).read_text(), re.M | re.S)


def split_commands(text):
    """Commands of a block: lines that are complete for the shell, without pure comments."""
    found, lines = [], []
    for line in text.splitlines():
        lines.append(line)
        command = "\n".join(lines)
        whole = not line.endswith("\\") and subprocess.run(["bash", "-n", "-c", command], capture_output=True).stderr == b""
        if whole:
            if command.strip() and not command.lstrip().startswith("#"):
                found.append(command)
            lines = []
    assert not lines, f"an incomplete command: {lines}"
    return found


def shown(text):
    """Output without numbers, ids and column spacing."""
    text = re.sub(r"\b[0-9a-f]{16}\b", "#", text)
    return [re.sub(r"\d+(\.\d+)?", "#", " ".join(line.split())) for line in text.splitlines() if line.strip()]


def python_has(module):
    return subprocess.run(["/usr/bin/python3", "-c", f"import {module}"], capture_output=True).returncode == 0


def labels(path):
    """Words in a picture that matplotlib drew."""
    return re.findall(r"<!-- (.*?) -->", path.read_text())


def anchors(path):
    """Anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class Pages(unittest.TestCase):
    """Checks that only read the pages."""

    def test_all_are_known(self):
        found = {str(path.relative_to(harness.SOURCE)) for pattern in ("README.md", "[!.b]*/README.md", "[!.b]*/*/README.md")
                 for path in harness.SOURCE.glob(pattern) if path.relative_to(harness.SOURCE).parts[0] != "results"}
        self.assertEqual(found, set(READMES))

    def test_the_first_is_short(self):
        self.assertLessEqual(len((harness.SOURCE / "README.md").read_text().splitlines()), 160)

    def test_the_picture_is_of_the_run_that_is_shown(self):
        text = (harness.SOURCE / "README.md").read_text()
        rows = re.findall(r"^ +\d +1/\d+ +(?:2|all \(10\)) +complete +5 +([\d.]+)", text, re.M)
        drawn = [label.split()[1].rstrip(",") for label in labels(harness.SOURCE / "analysis/quickstart.svg") if "1 seed" in label]
        self.assertEqual(len(rows), 6)
        self.assertEqual(sorted(f"{float(row):.3f}" for row in rows), sorted(drawn))

    def test_links(self):
        for name in PAGES:
            page = harness.SOURCE / name
            text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if target.startswith("http"):
                    continue
                with self.subTest(page=name, link=target):
                    path, _, anchor = target.partition("#")
                    path = (page.parent / path).resolve() if path else page
                    self.assertTrue(path.exists())
                    if anchor:
                        self.assertIn(anchor, anchors(path))

    def test_files_that_are_named(self):
        """A path in backquotes exists, relative to the top, the page, or include/eigenscope."""
        for name in PAGES:
            folders = [harness.SOURCE, (harness.SOURCE / name).parent, harness.SOURCE / "include/eigenscope"]
            text = re.sub(r"^```.*?^```$", "", (harness.SOURCE / name).read_text(), flags=re.M | re.S)
            for path in re.findall(r"`([\w.-]+(?:/[\w.-]+)*/?(?:\.(?:py|sh|c|h|txt|supp|sbatch)|(?<=/)))`", text):
                if re.search(r"NAME|_X|^dnnl.h$|^(build|results|report|points|figures|share|bin|state)\b", path):
                    continue
                with self.subTest(page=name, path=path):
                    self.assertTrue(any((folder / path).exists() for folder in folders))

    def test_values_of_set_are_quoted_for_zsh(self):
        """zsh expands brackets, braces, * and ? outside of quotes, in pages, jobs and the program's own help."""
        texts = {name: (harness.SOURCE / name).read_text() for name in PAGES}
        texts |= {path.name: path.read_text() for path in [*harness.SOURCE.glob("jobs/**/*.yaml"), *harness.SOURCE.glob("slurm/*.s*")]}
        texts |= {command: subprocess.run([harness.PROGRAM, command, "--help"], capture_output=True, text=True, check=True).stdout
                  for command in ("plan", "run", "status", "merge")}
        found = [(name, value) for name, text in texts.items() for value in re.findall(r"--set[ =]([^\s'\"`]\S*)", text)]
        self.assertGreater(len(found), 10)
        self.assertEqual([pair for pair in found if re.search(r"[\[\]{}*?()<>|&;#]", pair[1].rstrip("].,;)`'"))
                          and pair[1] != "KEY=VALUE]..."], [])

    def test_every_variable_is_defined(self):
        fields = (harness.SOURCE / "src/store/fields.c").read_text()
        names = re.findall(r'FIELD\([A-Z_0-9]+, "(\w+)"', fields)
        for header, prefix in (("saturation", ""), ("class_numbers", ""), ("matrices", "weights_")):
            rows = re.findall(r"^  ROW\([A-Z_0-9]+, (\w+),", (harness.SOURCE / f"include/eigenscope/{header}.h").read_text(), re.M)
            self.assertGreater(len(rows), 5)
            names += [prefix + name for name in rows]
        self.assertGreater(len(names), 40)
        rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| [a-z_0-9, ]+ \| \S", (harness.SOURCE / "analysis/README.md").read_text(), re.M)
        table = {name for row in rows for name in re.findall(r"\w+", row)}
        self.assertEqual(table, set(names))

    def test_a_plain_build(self):
        """`cmake -S . -B build` requires nothing that only tests need, and adds no tests."""
        with tempfile.TemporaryDirectory() as folder:
            environment = {name: value for name, value in os.environ.items() if name not in ("CC", "CFLAGS")}
            pkg_config = pathlib.Path(folder) / "pkg-config"
            pkg_config.write_text(f'#!/bin/sh\ncase "$*" in *cmocka*) exit 1 ;; esac\nexec {shutil.which("pkg-config")} "$@"\n')
            pkg_config.chmod(0o755)
            done = subprocess.run(["cmake", "-S", harness.SOURCE, "-B", f"{folder}/build", f"-DPKG_CONFIG_EXECUTABLE={pkg_config}"],
                                  capture_output=True, text=True, env=environment, timeout=300)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertFalse((pathlib.Path(folder) / "build/tests").exists())


@harness.not_sanitized("the same commands as in other tests")
@unittest.skipUnless(FASHION_MNIST.is_dir(), "Fashion-MNIST is not here")
class Commands(harness.Case):
    def setUp(self):
        super().setUp()
        for name in ("jobs", "slurm"):  # jobs/ is changed; scripts search the program beside their folder
            shutil.copytree(harness.SOURCE / name, self.folder / name)
        for name in ("analysis", "include", "packaging", "src", "tests", "CMakeLists.txt"):
            (self.folder / name).symlink_to(harness.SOURCE / name)
        (self.folder / "build").symlink_to(BUILD)
        (self.folder / "bin").mkdir()
        self.tool("python3", f'exec {sys.executable} "$@"')
        self.tool("sbatch", "echo 7")
        self.tool("squeue", "")
        self.tool("scontrol", "")
        self.write("jobs/setup.sh", "#!/bin/sh\n").chmod(0o755)  # everything is installed and built
        job = self.folder / "jobs/quickstart.yaml"
        job.write_text(job.read_text().replace("{train: 10000, eval: 2000}", "{train: 500, eval: 200}")
                       .replace("epochs: 5", "epochs: 1").replace("samples: 2000", "samples: 200"))
        self.assertIn("{train: 500, eval: 200}", job.read_text())
        self.environment = {
            **os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}", "HOME": str(self.folder / "home"), "MPLBACKEND": "Agg",
            "MANPATH": f"{self.folder}/home/eigenscope/share/man", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1",
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
            "OMPI_MCA_hwloc_base_binding_policy": "none", "OMPI_MCA_mpi_yield_when_idle": "1",
            "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", "PRTE_MCA_hwloc_default_binding_policy": "none"}
        self.torch = python_has("torch") and python_has("h5py")
        self.used = set()

    def tool(self, name, body):
        self.write(f"bin/{name}", f"#!/bin/sh\n{body}\n").chmod(0o755)

    def call(self, command, codes=(0,)):
        done = subprocess.run(["bash", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, text=True,
                              timeout=300, stdin=subprocess.DEVNULL)
        self.assertIn(done.returncode, codes, f"{command}\n{done.stdout}\n{done.stderr}")
        return done

    def run_shell(self, command):
        """Runs a command, or its replacement; returns its output, or None if it is skipped."""
        for pattern, reason in SKIPPED:
            if re.search(pattern, command):
                self.used.add(pattern)
                return None
        if command.startswith("/usr/bin/python3") and not self.torch:
            self.skipTest("python3-torch is not installed")
        if command.startswith("man ") and not shutil.which("man"):
            self.skipTest("man is not installed")
        if "build/tests/" in command and not (BUILD / "tests").is_dir():
            self.skipTest("the build has no tests")
        command = command.replace("\\\n", " ")
        for pattern, other, _ in INSTEAD:
            if re.search(pattern, command):
                self.used.add(pattern)
                command = re.sub(pattern, other, command)
        codes = next((codes for pattern, codes in CODES.items() if re.search(pattern, command)), (0,))
        return self.call(command, codes).stdout

    def sh(self, text):
        for command in split_commands(text):
            with self.subTest(command=command):
                self.run_shell(command)

    def console(self, text):
        """Checks commands after "$ " and their output; "..." stands for any lines."""
        for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
            command, _, expected = part.partition("\n")
            with self.subTest(command=command):
                printed = shown(self.run_shell(command))
                expected = shown(expected)
                if expected[:1] == ["..."]:
                    expected = expected[1:]
                    printed = printed[-len(expected):]
                self.assertEqual(printed, expected)

    def python(self, text):
        if "torch." in text:
            if not self.torch:
                self.stand_in_for_training()
                self.skipTest("python3-torch is not installed")
            text = TRAINING.format(fixtures=str(harness.FIXTURES / "torch"), line=text.strip())
        interpreter = "/usr/bin/python3" if "torch." in text else sys.executable
        path = self.write("block.py", text)
        analysis = os.pathsep.join(filter(None, [str(harness.SOURCE / "analysis"), os.environ.get("PYTHONPATH")]))
        done = subprocess.run([interpreter, path], cwd=self.folder, env={**self.environment, "PYTHONPATH": analysis},
                              capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, f"{text}\n{done.stdout}\n{done.stderr}")

    def yaml(self, text):
        """Writes a job or the description of a network; its first line names the file. `plan` or `model show` must accept it,
        or name the files that are still missing."""
        name = re.match(r"# (\S+\.yaml)\n", text).group(1)
        self.write(name, text)
        command = "model show" if re.search("^layers:", text, re.MULTILINE) else "plan"
        done = self.call(f"build/eigenscope {command} {name}", (0, 1) if name in WANTING else (0,))
        self.assertIn(WANTING[name] if done.returncode else "", done.stderr)

    # files that a README assumes, or that PyTorch would write

    def stand_in_for_training(self):
        self.write("trained.yaml", "name: trained\ngrid: {dataset: images, model: resnet18, width: 1/16}\n"
                   "datasets: {images: {format: idx, path: /usr/share/datasets/fashion-mnist, limit: {train: 100, eval: 100}}}\n"
                   "train: {epochs: 3}\ncheckpoint: {keep: all}\n")
        self.call("build/eigenscope run trained.yaml --quiet")
        self.call('build/eigenscope checkpoint export trained.yaml --epochs 1,2,3 --to "run/epoch-{epoch}.safetensors"')

    def before_jobs(self):
        for split in ("train", "val"):
            for kind in ("cat", "dog"):
                (self.folder / "imagenet" / split / kind).mkdir(parents=True)
                for i in range(3):
                    pixels = np.random.default_rng(i).integers(0, 256, (80, 100, 3), np.uint8)
                    PIL.Image.fromarray(pixels).save(self.folder / "imagenet" / split / kind / f"{i}.jpg")

    def before_analysis(self):
        self.call("cp results/quickstart/all.h5 A.h5 && cp results/quickstart/all.h5 B.h5")
        with h5py.File(self.folder / "A.h5") as file:
            saturation, at = file["saturation"][3, 1, 1:], list(file["delta"]).index(0.99)
            names = [name.replace(".", "-") for name in file["layer_name"].asstr()[3]]
        rows = [["", *(f"eval-saturation_{name}" for name in names)], *([str(i), *map(str, row[:, at])] for i, row in enumerate(saturation))]
        self.write("delve.csv", "\n".join(";".join(row) for row in rows) + "\n")
        self.write("config.json", json.dumps({"model": ["vgg16"], "epoch": [60], "batch_size": [64], "dataset": ["MNIST"],
                                              "resolution": [32], "optimizer": ["lrs60"], "delta": [0.99], "downsampling": [4]}))
        with tarfile.open(self.folder / "configs.tar.xz", "w:xz") as archive:  # tar would need the program xz
            archive.add(self.folder / "config.json", "config.json")
        if not self.torch:
            with h5py.File(self.folder / "transformer.h5", "w") as file:
                file["encoder"] = np.random.default_rng(1).normal(size=(64, 1, 12, 8)).astype("f4")
                file["labels"] = np.arange(64) % 8

    def before_slurm(self):
        self.write("my.yaml", SMALL)
        self.call("build/eigenscope run my.yaml --points 0 --quiet", (0, 3))

    def test_commands(self):
        for name in READMES:
            folder = pathlib.Path(name).parent.name
            with self.subTest(page=name):
                getattr(self, f"before_{folder}", lambda: None)()
                for language, text in blocks(name):
                    self.assertIn(language, LANGUAGES)
                    with self.subTest(block=text):
                        getattr(self, language, lambda text: None)(text)
        made, drawn = (sorted(label for label in labels(path) if re.match("width|features|classifier|saturation|probe", label)) for path
                       in (self.folder / "results/quickstart/report/figures/layers.svg", harness.SOURCE / "analysis/quickstart.svg"))
        self.assertEqual(made, drawn, "the picture of README.md is none of quickstart's")
        unused = {pattern for pattern, *_ in SKIPPED + INSTEAD} - self.used
        self.assertEqual(unused, set(), "no README has such a command any more")


if __name__ == "__main__":
    harness.main()
