"""packaging/: modulefiles are loaded by the tools that read them. Debian lacks Spack and Apptainer: their recipes are run as
far as possible without them, and compared with jobs/packages.txt and the tree."""
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import types
import unittest

import harness

BUILD = pathlib.Path(harness.PROGRAM).parent
PACKAGING = harness.SOURCE / "packaging"
LMOD = pathlib.Path("/usr/share/lmod/lmod/init/bash")


def packages():
    """Rows of jobs/packages.txt: Debian name, purpose, module, Spack name, conda-forge name, probe."""
    lines = (harness.SOURCE / "jobs/packages.txt").read_text().splitlines()
    return [line.split() for line in lines if line.strip() and not line.startswith("#")]


class Modulefiles(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = self.folder / "a tree"
        subprocess.run(["cmake", "--install", BUILD, "--prefix", self.prefix], check=True, capture_output=True)
        self.files = self.prefix / "share/modulefiles/eigenscope"
        version = subprocess.run([harness.PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
        self.lua, self.tcl = self.files / f"{version}.lua", self.files / version
        self.version = version

    def shell(self, script, **env):
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("MANPATH", "EIGENSCOPE_SHARE", "MODULEPATH", "LOADEDMODULES", "BASH_ENV", "PYTHONPATH")}
        done = subprocess.run(["bash", "-euc", script], env={**environment, "PATH": "/usr/bin:/bin", **env}, cwd=self.folder,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines()

    @unittest.skipUnless(LMOD.exists(), "lmod is not installed")
    def test_lmod(self):
        self.tcl.unlink()  # Lmod's reader of these files fails for blanks in a path
        lines = self.shell(f'set +u; source {LMOD}; module use "{self.prefix}/share/modulefiles"; module load eigenscope; '
                           'module -t list 2>&1; command -v eigenscope; eigenscope --version; man -w eigenscope eigenscope.yaml ls;'
                           'ls "$EIGENSCOPE_SHARE"; module help eigenscope 2>&1 | grep -c man; '
                           'cat "$PYTHONPATH/eigenscope_analysis/__init__.py" | wc -l; module unload eigenscope; '
                           'echo "$PATH,${EIGENSCOPE_SHARE-},${PYTHONPATH-}"')
        self.assertEqual(lines[:2], [f"eigenscope/{self.version}", f"{self.prefix}/bin/eigenscope"])
        self.assertEqual(lines[2].split()[:2], ["eigenscope", self.version])
        self.assertEqual(lines[3:5], [f"{self.prefix}/share/man/man{n}/{page}" for n, page in
                                      ((1, "eigenscope.1"), (5, "eigenscope.yaml.5"))])
        self.assertIn("slurm", lines)
        self.assertEqual([lines[-3], lines[-1]], ["1", "/usr/bin:/bin,,"])
        self.assertGreater(int(lines[-2]), 0)

    @unittest.skipUnless(LMOD.exists(), "lmod is not installed")
    def test_both_kinds_side_by_side(self):
        """Without blanks, both kinds work and do not disturb each other."""
        place = pathlib.Path(tempfile.mkdtemp(prefix="eigenscope-modules-"))
        self.addCleanup(shutil.rmtree, place)
        shutil.copytree(self.prefix, place / "p")
        script = (f"set +u; source {LMOD}; module use {place}/p/share/modulefiles; module load eigenscope; "
                  "command -v eigenscope; echo $EIGENSCOPE_SHARE $MANPATH $PYTHONPATH; module -t avail eigenscope 2>&1 | tail -n 1")
        for lua in (True, False):
            if not lua:
                (place / "p" / self.lua.relative_to(self.prefix)).unlink()
            self.assertEqual(self.shell(script, MANPATH="/m"), [f"{place}/p/bin/eigenscope",
                             f"{place}/p/share/eigenscope {place}/p/share/man:/m {place}/p/share/eigenscope",
                             f"eigenscope/{self.version}"])

    @unittest.skipUnless(shutil.which("luac5.3") or shutil.which("luac"), "luac is not installed")
    def test_lua_compiles(self):
        subprocess.run([shutil.which("luac5.3") or "luac", "-p", self.lua], check=True)


class Recipe:
    """Runs a Spack recipe with stand-ins for Spack's directives, and records its content. Spack 1 has build systems in
    spack_repo.builtin, Spack 0.23 in spack.package."""

    def __init__(self, path, spack_1=True):
        self.path, self.dependencies, self.conditions = path, [], []
        spack = types.ModuleType("spack.package")
        parts = ["spack_repo", "builtin", "build_systems", "cmake"]
        modules = {name: types.ModuleType(name) for name in (".".join(parts[:n]) for n in range(1, 5))} if spack_1 else {}
        cmake = modules["spack_repo.builtin.build_systems.cmake"] if spack_1 else spack
        for name in ("version", "variant", "license", "generator", "conflicts"):
            setattr(cmake if name == "generator" else spack, name, lambda *words, _name=name, **more: self.note(_name, words, more))
        spack.depends_on = self.depends_on
        spack.when = self.when
        cmake.CMakePackage = type("CMakePackage", (), {"define": staticmethod(lambda name, value: (name, value)),
                                                       "define_from_variant": staticmethod(lambda name, variant: (name, variant))})
        spack.which = spack.check_outputs = None
        spack.__all__ = [name for name in vars(spack) if not name.startswith("__")]
        self.said = {}
        modules |= {"spack": types.ModuleType("spack"), "spack.package": spack}
        sys.modules |= modules
        try:
            spec = importlib.util.spec_from_file_location("recipe", path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        finally:
            for name in modules:
                del sys.modules[name]
        self.recipe = module.Eigenscope

    def note(self, name, words, more):
        self.said.setdefault(name, []).append((words, more))

    def depends_on(self, spec, type=("build", "link"), when=None):
        self.dependencies.append((re.match(r"[a-z0-9-]+", spec)[0], spec[len(re.match(r"[a-z0-9-]+", spec)[0]):], type,
                                  when or (self.conditions[-1] if self.conditions else None)))

    def when(self, condition):
        recipe = self

        class Block:
            def __enter__(self):
                recipe.conditions.append(condition)

            def __exit__(self, *what):
                recipe.conditions.pop()
        return Block()


class Spack(unittest.TestCase):
    # Spack's names of virtual packages, and of packages included in others.
    VIRTUAL = {"openmpi": "mpi", "netlib-scalapack": "scalapack", "gcc": "c", "zlib": "zlib-api", "pkgconf": "pkgconfig"}

    def setUp(self):
        self.path = PACKAGING / "spack/spack_repo/eigenscope/packages/eigenscope/package.py"
        self.recipe = Recipe(self.path)

    def test_dependencies_are_those_of_jobs_packages(self):
        uses = ("build", "run", "report")
        wanted = {}
        for debian, use, _, spack, _, _ in packages():
            if use in uses and spack != "-":
                name, _, version = spack.partition("@")
                wanted[self.VIRTUAL.get(name, name)] = (use, version)
        given = {name: (rest, type, when) for name, rest, type, when in self.recipe.dependencies}
        self.assertLessEqual(set(wanted), set(given))
        self.assertLessEqual(set(given) - set(wanted), {"elpa", "cmocka"})
        for name, (use, version) in wanted.items():
            rest, type, when = given[name]
            self.assertEqual((type == "run", when), (use == "report", "+report" if use == "report" else None), name)
            if version:  # as @2.6:3
                self.assertTrue(rest.startswith(f"@{version} "), name)

    def test_older_spack_reads_the_same(self):
        old = Recipe(self.path, spack_1=False)
        self.assertEqual((old.dependencies, old.said), (self.recipe.dependencies, self.recipe.said))
        self.assertEqual(old.said["generator"], [(("ninja",), {})])

    def test_versions_are_those_of_the_build(self):
        cmake = (harness.SOURCE / "CMakeLists.txt").read_text()
        given = {name: rest for name, rest, _, _ in self.recipe.dependencies}
        self.assertEqual(given["cmake"], f"@{re.search(r'cmake_minimum_required.VERSION ([0-9.]+)', cmake)[1]}:")
        self.assertTrue(given["onednn"].startswith(f"@{re.search(r'dnnl_VERSION VERSION_LESS ([0-9.]+)', cmake)[1]}:"))
        python = re.search(r'requires-python = ">=([0-9.]+)"', (harness.SOURCE / "analysis/pyproject.toml").read_text())[1]
        self.assertEqual(given["python"], f"@{python}:")

    def test_options_are_those_of_the_build(self):
        cmake = (harness.SOURCE / "CMakeLists.txt").read_text()
        variants = [words[0] for words, _ in self.recipe.said["variant"]]
        self.recipe.recipe.run_tests = False
        for name, value in self.recipe.recipe().cmake_args():
            self.assertIn(f"option({name} ", cmake)
            self.assertTrue(value is False or value in variants)

    def test_it_is_found_where_it_lies(self):
        self.assertEqual(self.recipe.recipe.git, harness.SOURCE.resolve().as_uri())
        self.assertEqual(self.recipe.said["version"], [(("main",), {"branch": "main"})])
        new, old = (PACKAGING / "spack" / name for name in ("spack_repo/eigenscope/repo.yaml", "repo.yaml"))
        self.assertIn("  namespace: eigenscope\n  api: v2.0\n", new.read_text())
        self.assertIn("  namespace: eigenscope\n", old.read_text())
        packages = re.search("subdirectory: (.*)", old.read_text())[1]
        self.assertEqual(self.path, old.parent / packages / "eigenscope/package.py")
        self.assertEqual(self.path, new.parent / "packages/eigenscope/package.py")
        self.assertIn("BSD 3-Clause", (harness.SOURCE / "LICENSE").read_text())

    def test_recipes_say_what_was_never_carried_out(self):
        for name in ("spack/repo.yaml", "spack/spack_repo/eigenscope/repo.yaml", self.path, "apptainer/eigenscope.def"):
            self.assertRegex((PACKAGING / name).read_text(), "^# Never carried out")

    def test_what_it_wants_to_see_is_installed(self):
        with tempfile.TemporaryDirectory() as place:
            subprocess.run(["cmake", "--install", BUILD, "--prefix", place], check=True, capture_output=True)
            for name in self.recipe.recipe.sanity_check_is_file:
                self.assertTrue((pathlib.Path(place) / name).is_file(), name)


class Apptainer(harness.Case):
    def setUp(self):
        super().setUp()
        head, *parts = re.split(r"(?m)^%", (PACKAGING / "apptainer/eigenscope.def").read_text())
        self.header = dict(line.split(": ") for line in head.splitlines() if re.match(r"[A-Z]", line))
        self.sections = {part.split("\n")[0]: part.partition("\n")[2] for part in parts}

    def test_header_and_sections(self):
        self.assertEqual(set(self.header), {"Bootstrap", "From"})
        self.assertLessEqual(set(self.sections), {"arguments", "files", "post", "environment", "test", "runscript", "labels", "help"})
        used = set(re.findall(r"\{\{ (\w+) \}\}", "".join(self.sections.values())))
        self.assertEqual(used, set(re.findall(r"(?m)^    (\w+)=", self.sections["arguments"])))

    def test_it_takes_all_that_the_build_needs_and_no_more(self):
        """Configures and installs from the files that %files copies."""
        tree = self.folder / "tree"
        for line in self.sections["files"].splitlines():
            if line.strip():
                source, target = line.split()
                self.assertEqual(target, f"/usr/local/src/eigenscope/{source}")
                tree.mkdir(exist_ok=True)
                copy = shutil.copytree if (harness.SOURCE / source).is_dir() else shutil.copy
                copy(harness.SOURCE / source, tree / source)
        for left_out in (harness.SOURCE / ".gitignore").read_text().split():  # a clone contains none of these
            self.assertEqual(list(tree.glob(left_out.strip("/"))), [])
        post = self.sections["post"]
        options = re.search(r"jobs/setup.sh run \S+ (.*)", post)[1].replace("{{ revision }}", "r1").split()
        self.run_command(["cmake", "-S", str(tree), "-B", str(self.folder / "build"), "-DES_TESTS=OFF", *options])
        cache = (self.folder / "build/CMakeCache.txt").read_text()
        self.assertIn("ES_REVISION:STRING=r1", cache)
        self.assertIn("CMAKE_INSTALL_PREFIX:PATH=/usr/local", cache)
        for script in (self.folder / "build").rglob("cmake_install.cmake"):
            for source in re.findall(rf'"({re.escape(str(tree))}/[^"]+)"', script.read_text()):
                self.assertTrue(pathlib.Path(source).exists(), source)

    def test_its_test_passes_on_what_is_installed(self):
        prefix = self.folder / "local"
        subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix], check=True, capture_output=True)
        script = self.sections["test"].replace("/usr/local/", f"{prefix}/") + self.sections["runscript"]
        done = subprocess.run(["sh", "-euc", script.replace("quickstart.yaml", "quickstart.yaml --set grid.dataset=shapes --set "
                                                            "'datasets.shapes={format: synthetic}'"), "sh", "--version"],
                              env={**os.environ, "PATH": f"{prefix}/bin:/usr/bin:/bin"}, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("6 points", done.stdout)
        self.assertTrue(done.stdout.splitlines()[-1].startswith("eigenscope "))

    @unittest.skipUnless(shutil.which("shellcheck"), "shellcheck is not installed")
    def test_its_scripts_are_sound(self):
        for name in ("post", "environment", "test", "runscript"):
            text = "#!/bin/sh\nset -e\n" + re.sub(r"\{\{ \w+ \}\}", "value", self.sections[name])
            done = subprocess.run(["shellcheck", "-"], input=text, capture_output=True, text=True)
            self.assertEqual(done.stdout, "", name)


if __name__ == "__main__":
    harness.main()
