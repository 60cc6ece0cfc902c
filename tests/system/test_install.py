"""`cmake --install`: the tree is moved to a folder with a blank in its name and used with nothing else on PATH; manual pages
and completions agree with the program."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import h5py

import harness

BUILD = pathlib.Path(harness.PROGRAM).parent
JOB = """\
name: small
grid: {dataset: shapes, model: vgg11, width: 1/32, seed: [0, 1]}
datasets: {shapes: {format: synthetic, size: 16, channels: 1, classes: 3, train: 96, eval: 32}}
train: {epochs: 1, batch: 32}
"""


def pages():
    """{page name ("run", "data pack"): options in its --help}."""
    ask = lambda *words: subprocess.run([harness.PROGRAM, *words, "--help"], capture_output=True, text=True, check=True).stdout
    names = re.findall(r"(?m)^  ([a-z]+) ", ask().split("\n\n")[2])
    out = {"--version": None}
    for name in names:
        parts = re.findall(rf"(?m)^(?:\[[^]]*\] )?eigenscope {name} ([a-z]+)\b", ask(name))
        out |= {f"{name} {part}": None for part in parts} if "options:" not in ask(name) else {name: None}
    for name in out:
        out[name] = re.findall(r"(?m)^  (--[a-z0-9-]+)(?: (\S+))? +\S", ask(*name.split()).split("options:")[1])
    return names, out


class Installed(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.place = pathlib.Path(tempfile.mkdtemp(prefix="eigenscope-install-"))
        subprocess.run(["cmake", "--install", BUILD, "--prefix", cls.place / "first"], check=True, capture_output=True)
        cls.prefix = cls.place / "moved here"
        (cls.place / "first").rename(cls.prefix)
        cls.share = cls.prefix / "share/eigenscope"
        cls.installed = sorted(cls.prefix.rglob("*"))
        cls.commands, cls.pages = pages()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.place)

    def call(self, *words, expect=0, **env):
        """Runs a command with only installed and system programs on PATH, and no variable that names the source."""
        named = ("EIGENSCOPE", "EIGENSCOPE_SOURCE", "EIGENSCOPE_ANALYSIS", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
        environment = {name: value for name, value in os.environ.items() if name not in named}
        environment |= {"PATH": f"{self.prefix}/bin:/usr/bin:/bin", **env}
        done = subprocess.run([*map(str, words)], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, expect, f"{words}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def test_python_files_have_their_modules(self):
        """What an installed script imports from the folder analysis/ is installed beside it."""
        scripts = list(self.share.glob("*.py"))
        self.assertIn("dump_activations.py", [script.name for script in scripts])
        for script in scripts:
            for module in re.findall(r"^(?:import|from) (\w+)", script.read_text(), re.M):
                if (harness.SOURCE / f"analysis/{module}.py").exists():
                    self.assertTrue((self.share / f"{module}.py").exists(), f"{script.name} imports {module}")

    def test_a_whole_story(self):
        self.write("job.yaml", JOB)
        self.assertRegex(self.call("eigenscope", "--version"), r"^eigenscope \d")
        self.assertIn("2 points", self.call("eigenscope", "plan", "job.yaml"))
        self.assertIn("ok    output", self.call("eigenscope", "doctor"))
        self.call("eigenscope", "run", "job.yaml", "--quiet")
        self.assertIn("2 points: 2 complete,", self.call("eigenscope", "status", "job.yaml"))
        point = next((self.folder / "results/small/points").glob("*.h5"))
        self.assertIn("features.0", self.call("eigenscope", "show", point))
        self.call("eigenscope", "merge", "job.yaml", "--to", "all.h5")
        with h5py.File(self.folder / "all.h5") as file:
            self.assertEqual(file["saturation"].shape[0], 2)
        self.call("eigenscope", "report", "all.h5", "--to", "report")
        self.assertIn('<img src="figures/layers.svg"', (self.folder / "report/index.html").read_text())
        for name in ("plotly.min.js", "explorer.js", "page.css", "LICENSE.plotly.txt"):
            self.assertGreater((self.folder / "report/page" / name).stat().st_size, 500)
        self.assertEqual(sorted(self.prefix.rglob("*")), self.installed, "a command has written to where it is installed")

    def test_the_report_is_made_by_the_installed_package(self):
        """Does not use the package of the source or build folder: without the installed package there is none."""
        package = self.share / "eigenscope_analysis"
        package.rename(self.share / "away")
        self.addCleanup((self.share / "away").rename, package)
        (self.folder / "python3").write_text('#!/bin/sh\nexec /usr/bin/python3 -S -E "$@"\n')  # has no packages, so it is not the one that is named
        (self.folder / "python3").chmod(0o755)
        process = subprocess.run([self.prefix / "bin/eigenscope", "report", "x.h5", "--to", "y"], capture_output=True, text=True,
                                 env={"PATH": f"{self.folder}:/usr/bin:/bin"}, cwd=self.folder)
        self.assertEqual(process.returncode, 1)
        self.assertIn("/usr/bin/python3 lacks the modules eigenscope_analysis;", process.stderr)

    def test_nothing_names_the_folders_that_it_was_built_in(self):
        """No paths of the source, except in debug information and in sanitized test builds."""
        if "ES_SANITIZE:BOOL=ON" in (BUILD / "CMakeCache.txt").read_text():
            self.skipTest("the sanitizers name sources, and counts of lines go back to the build folder")
        for path in self.prefix.rglob("*"):
            if path.is_file():
                text = subprocess.run(["strings", "--data", path], capture_output=True, text=True, check=True).stdout
                for folder in (str(harness.SOURCE), str(BUILD), str(self.place)):
                    self.assertNotIn(folder + "/", text, path)

    def test_jobs_that_came_with_it(self):
        for path in sorted((self.share / "jobs").rglob("*.yaml")):
            self.assertEqual(path.read_text(), (harness.SOURCE / "jobs" / path.relative_to(self.share / "jobs")).read_text())
        sets = ["--set", "grid.dataset=shapes", "--set", "datasets.shapes={format: synthetic}"]
        self.assertIn("6 points", self.call("eigenscope", "plan", self.share / "jobs/quickstart.yaml", *sets))

    def test_slurm_scripts_find_the_program(self):
        self.write("job.yaml", JOB)
        (self.folder / "bin").mkdir()
        for tool in ("sbatch", "squeue", "scontrol"):
            self.write(f"bin/{tool}", f'#!/bin/sh\n[ {tool} != sbatch ] || {{ printf "%s\\n" "$@" >> {self.folder}/log; echo 7; }}\n')
            (self.folder / "bin" / tool).chmod(0o755)
        self.call(self.share / "slurm/submit.sh", "job.yaml", PATH=f"{self.folder}/bin:/usr/bin:/bin")
        words = (self.folder / "log").read_text().splitlines()
        script = words.index(f"{self.share}/slurm/array.sbatch")
        self.assertEqual(words[script + 1], f"{self.prefix}/bin/eigenscope")
        self.assertIn(f"{self.share}/slurm/merge.sbatch", words)

    # manual pages

    def manual(self, name, section):
        path = self.prefix / f"share/man/man{section}/{name}.{section}"
        if shutil.which("mandoc"):
            lint = subprocess.run(["mandoc", "-Tlint", path], capture_output=True, text=True).stdout.splitlines()
            self.assertEqual([line for line in lint if "referenced manual not found" not in line], [])
        # No line is wrapped, since a wrapped one could begin with an option.
        done = subprocess.run(["man", "--warnings", "--no-hyphenation", "--no-justification", "-E", "ascii", "-l", path],
                              capture_output=True, text=True, check=True, env={**os.environ, "MANWIDTH": "2000"})
        self.assertEqual(done.stderr, "")
        return done.stdout

    def test_manual_page(self):
        text = self.manual("eigenscope", 1)
        found = self.call("man", "-w", "eigenscope", MANPATH=f"{self.prefix}/share/man").strip()
        self.assertEqual(found, f"{self.prefix}/share/man/man1/eigenscope.1")
        # Debian 12 indents by 5 columns, Debian 13 by 7.
        sections = dict(re.findall(r"(?ms)^   (\S.*?)\n(.*?)(?=^   \S|^\S)", text.split("\nCOMMANDS\n")[1]))
        self.assertEqual(list(sections), sorted(self.pages, key=list(sections).index))
        for name, options in self.pages.items():
            listed = re.findall(r"(?m)^ {5,7}(--[a-z0-9-]+)(?: (\S+))?(?:  .*)?$", sections[name])
            self.assertEqual(listed, options, name)
        for command in self.commands:
            self.assertRegex(text, rf"(?m)^ {{5,7}}{command}\b")

    def test_manual_page_of_the_job_file(self):
        """Every documented key of the reference is in the page, with the same text."""
        text = " ".join(self.manual("eigenscope.yaml", 5).split())
        lines = re.findall(r"(?m)^(?:#:)?( *)([a-z_0-9]+):.*?  # (?:required: )?(.*?); (.*)$",
                           (harness.SOURCE / "jobs/reference.yaml").read_text())
        self.assertGreater(len(lines), 60)
        for indent, key, accepts, does in lines:
            name = key if indent == "" else rf"[a-z.A-Z_]+\.{key}"
            self.assertRegex(text, rf"(?:^| ){name} {re.escape(does)}\. Value: {re.escape(accepts)}[;.]")

    # completion

    def complete(self, *words):
        script = ('source "$1"; shift; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _eigenscope; '
                  '((!${#COMPREPLY[@]})) || printf "%s\\n" "${COMPREPLY[@]}"')
        return self.call("bash", "-c", script, "bash", self.prefix / "share/bash-completion/completions/eigenscope",
                         "eigenscope", *words).splitlines()

    def test_completion_of_commands_and_options(self):
        self.assertEqual(sorted(self.complete("")), sorted([*self.commands, "--help", "--version"]))
        self.assertEqual(self.complete("chec"), ["checkpoint"])
        for name, options in self.pages.items():
            command, *part = name.split()
            self.assertIn(command, self.complete(command))
            if part:
                self.assertIn(part[0], self.complete(command, ""))
            self.assertEqual(self.complete(*name.split(), "--"), sorted({"--help", *(option for option, _ in options)}))
            for option, value in options:
                words = [word for word in (value or "A").split("|") if not re.search("[A-Z]", word)]
                if words:
                    self.assertEqual(self.complete(*name.split(), option, ""), sorted(words))
                    self.assertEqual(self.complete(*name.split(), option, "=", words[0]), sorted(
                        word for word in words if word.startswith(words[0])))

    def test_completion_of_files(self):
        for name in ("a.yaml", "b two.yaml", "a.h5", "a.safetensors", "a.txt"):
            self.write(name, "")
        (self.folder / "sub").mkdir()
        self.assertEqual(self.complete("run", ""), ["a.yaml", "b two.yaml", "sub"])
        self.assertEqual(self.complete("run", "--quiet", "b"), ["b two.yaml"])
        self.assertEqual(self.complete("run", "--output", ""), ["sub"])
        self.assertEqual(self.complete("show", "--format", "csv", ""), ["a.h5", "sub"])
        self.assertEqual(self.complete("merge", "a.yaml", "--to", ""), ["a.h5", "sub"])
        self.assertEqual(self.complete("merge", ""), ["a.yaml", "b two.yaml", "sub"])
        self.assertEqual(self.complete("checkpoint", "info", "a"), ["a.safetensors"])
        self.assertEqual(self.complete("run", "a.yaml", "--max-time", ""), [])

    def test_completion_of_networks(self):
        self.assertEqual(self.complete("model", "show", "resnet5"), ["resnet50"])
        self.write("job.yaml", "")
        known = [row["name"] for row in json.loads(self.call("eigenscope", "model", "list", "--format", "json"))]
        self.assertEqual(self.complete("model", "show", ""), sorted(["job.yaml", *known]))
        self.assertEqual(self.complete("bench", "train", "--model", "vit_b_3"), ["vit_b_32"])

    def test_completion_of_keys(self):
        """Every key of the main sections of the reference."""
        text = re.sub(r"(?ms)^(models|datasets):.*?(?=^\S)", "", (harness.SOURCE / "jobs/reference.yaml").read_text())
        keys, section = [], ""
        for line in text.splitlines():
            if found := re.match(r"([a-z_]+):", line):
                section = found[1] + "."
                keys += [found[1] + "="] * ("  # " in line)
            elif (found := re.match(r"  ([a-z_0-9]+):.*  # ", line)) and not line.startswith("#"):
                keys.append(section + found[1] + "=")
        self.assertEqual(self.complete("run", "--set", ""), sorted(keys))
        self.assertIn("train.epochs=", self.complete("run", "--set", "train.ep"))

    def test_completion_in_a_real_shell(self):
        """Asks bash itself, by keys, to complete `eigenscope sta`."""
        script = self.prefix / "share/bash-completion/completions/eigenscope"
        self.write("rc", f'PS1="$ "; bind "set bell-style none"; source "{script}"; eigenscope() {{ echo "called: $*"; }}\n')
        done = subprocess.run(["bash", "--rcfile", "rc", "-i"], input="eigenscope sta\tjob.yaml --mis\t\nexit\n", cwd=self.folder,
                              env={**os.environ, "TERM": "dumb"}, capture_output=True, text=True, timeout=60)
        self.assertIn("called: status job.yaml --missing", done.stdout)

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_completion_in_fish(self):
        script = self.prefix / "share/fish/vendor_completions.d/eigenscope.fish"
        self.write("job.yaml", "")
        ask = lambda text: [line.split("\t")[0] for line in self.call(
            "fish", "--no-config", "-c", 'source $argv[1]; complete -C $argv[2]', script, text, HOME=self.folder).splitlines()]
        self.assertEqual(sorted(ask("eigenscope ")), sorted(self.commands))
        for name, options in self.pages.items():
            given = ask(f"eigenscope {name} --")
            self.assertLessEqual({option for option, _ in options}, set(given), name)
        self.assertIn("job.yaml", ask("eigenscope run j"))
        self.assertEqual(sorted(ask("eigenscope show --format ")), ["csv", "json", "table"])
        self.assertIn("resnet50", ask("eigenscope model show res"))

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_completion_in_zsh(self):
        """zsh's completion needs a terminal, but its input can be checked."""
        script = self.prefix / "share/zsh/site-functions/_eigenscope"
        stand_ins = ('compadd() { print -rl -- ${@:#(--|-S|=)}; }; _describe() { print -rl -- ${(P@)2%%:*}; }; '
                     '_files() { print -r -- files "$@"; }; words=("${@:2}") CURRENT=$(($# - 1)) PREFIX=$words[CURRENT]; source $1')
        ask = lambda *words: self.call("zsh", "-fc", stand_ins, "zsh", script, "eigenscope", *words).splitlines()
        self.assertEqual(sorted(ask("")), sorted([*self.commands, "--help", "--version"]))
        for name, options in self.pages.items():
            self.assertEqual(sorted(ask(*name.split(), "--")), sorted(["--help", *(option for option, _ in options)]))
        self.assertEqual(ask("show", "--format", ""), ["table", "csv", "json"])
        self.assertEqual(ask("run", ""), ["files -g *.yaml"])
        self.assertIn("train.epochs", ask("run", "--set", ""))
        self.assertIn("resnet50", ask("model", "show", ""))


if __name__ == "__main__":
    harness.main()
