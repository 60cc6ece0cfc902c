"""The first scripts of a user, run on a copy with stand-ins for the tools: installation, stops and exit codes. Always without
root; sudo is a stand-in too."""
import os
import pathlib
import shutil
import subprocess

import harness

NOBODY = 65534
SCRIPTS = ["jobs/setup.sh", "jobs/quickstart.sh", "tests/run.sh", "tests/mpich.sh", ".ci/run"]
CI_TOOLS = ["chromium", "clang-format", "clang-tidy", "cppcheck", "fish", "gcov", "luac5.3", "mandoc", "mpicc.mpich", "mpirun.mpich",
            "ncdump", "pytest-3", "shellcheck", "valgrind", "zsh"]
AT_ONCE = f"-j{2 * len(os.sched_getaffinity(0)) + 2}"
SYSTEM_TOOLS = ["bash", "env", "dirname", "nproc", "cat", "mkdir"]


def packages():
    """Rows of jobs/packages.txt: Debian name, purpose, module, Spack name, conda-forge name, probe."""
    lines = (harness.SOURCE / "jobs/packages.txt").read_text().splitlines()
    return [line.split() for line in lines if line.strip() and not line.startswith("#")]


class Scripts(harness.Case):
    def setUp(self):
        super().setUp()
        self.folder.chmod(0o777)
        self.tree = self.folder / "tree"
        for name in SCRIPTS + ["jobs/packages.txt"]:
            (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(harness.SOURCE / name, self.tree / name)
        (self.tree / "build").mkdir()  # holds the stand-in for the program
        for folder in self.tree.glob("**/"):
            folder.chmod(0o777)
        self.log = self.folder / "log"
        self.log.touch()
        self.log.chmod(0o666)
        (self.folder / "bin").mkdir()
        for tool in SYSTEM_TOOLS:
            (self.folder / "bin" / tool).symlink_to(shutil.which(tool))
        self.tool("dpkg-query", 'for missing in $MISSING; do [ "$4" != "$missing" ] || exit 1; done; '
                                'printf "install ok installed"', log=False)
        self.tool("sudo", '[ "$MAY_SUDO" = yes ] || exit 1; [ "$1" = -n ] || exec "$@"', log=False)
        for tool in ["apt-get", "cmake", "ninja", "ctest", "mpirun", *CI_TOOLS]:
            self.tool(tool, f'exit ${{CODE_{tool.replace("-", "_")}:-0}}')
        self.tool("../tree/build/eigenscope", 'echo the table; [ "$1" != status ] || exit ${CODE_status:-0}; '
                                              '[ "$1" != report ] || exit ${CODE_report:-0}')
        self.tool("../tree/tests/coverage.py", "exit ${CODE_coverage:-0}")

    def tool(self, name, body, log=True):
        path = self.folder / "bin" / name
        record = f'echo "{pathlib.Path(name).name} $*" >> "{self.log}"\n' if log else ""
        path.write_text(f"#!/bin/sh\n{record}{body}\n")
        path.chmod(0o755)

    def run_script(self, name, *arguments, expect=0, missing="", sudo=False, **env):
        environment = {"PATH": str(self.folder / "bin"), "MISSING": missing, "MAY_SUDO": "yes" if sudo else "no", **env}
        as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run([self.tree / name, *arguments], cwd="/", env=environment, capture_output=True, text=True,
                              timeout=60, stdin=subprocess.DEVNULL, **as_nobody)
        self.assertEqual(done.returncode, expect, f"stdout:\n{done.stdout}\nstderr:\n{done.stderr}")
        self.done = done
        return self.log.read_text().splitlines()

    def calls(self, log, tool):
        return [line for line in log if line.split()[0] == tool]

    # what is needed

    def test_packages_are_described_completely(self):
        rows = packages()
        self.assertGreater(len(rows), 10)
        self.assertEqual(len({row[0] for row in rows}), len(rows), "a package twice")
        for row in rows:
            self.assertEqual(len(row), 6, row)
            self.assertIn(row[1], ["build", "run", "data", "test", "full", "report"])
            self.assertRegex(row[5], r"^(command|package|header|library|python|file|debian):\S+$")

    def test_nothing_missing_installs_nothing(self):
        log = self.run_script("jobs/setup.sh", sudo=True)
        self.assertEqual(self.calls(log, "apt-get"), [])
        configure, build = self.calls(log, "cmake")
        self.assertIn("-B build -DCMAKE_BUILD_TYPE=Release -DES_TESTS=OFF -G Ninja", configure)
        self.assertIn("--build build --parallel", build)

    def test_a_configured_folder_keeps_its_generator(self):
        (self.tree / "build/CMakeCache.txt").touch()
        self.assertNotIn("Ninja", self.calls(self.run_script("jobs/setup.sh"), "cmake")[0])

    def test_missing_packages_are_installed_through_sudo(self):
        log = self.run_script("jobs/setup.sh", missing="libyaml-dev libdnnl-dev libcmocka-dev", sudo=True)
        update, install = self.calls(log, "apt-get")
        self.assertEqual(update, "apt-get -qq update")
        self.assertEqual(install, "apt-get -qq install --no-install-recommends -y libdnnl-dev libyaml-dev")
        self.assertEqual(len(self.calls(log, "cmake")), 2)

    def test_tests_need_more(self):
        log = self.run_script("jobs/setup.sh", "test", missing="libcmocka-dev", sudo=True)
        self.assertTrue(self.calls(log, "apt-get")[1].endswith(" -y libcmocka-dev"))
        self.assertIn("-DES_TESTS=ON", self.calls(log, "cmake")[0])

    def test_the_full_run_needs_still_more(self):
        for purpose, packages_then in (("run", ""), ("test", "libcmocka-dev"), ("full", "libcmocka-dev libmpich-dev")):
            self.log.write_text("")
            log = self.run_script("jobs/setup.sh", purpose, missing="libcmocka-dev libmpich-dev", sudo=True)
            self.assertEqual([call.partition(" -y ")[2] for call in self.calls(log, "apt-get")[1:]], [packages_then] * bool(packages_then))
        self.run_script("jobs/setup.sh", "full", missing="libmpich-dev")  # never required where it cannot be installed
        log = self.run_script("tests/run.sh", "--full", missing="libmpich-dev", sudo=True)
        self.assertTrue(self.calls(log, "apt-get")[-1].endswith(" -y libmpich-dev"))

    def test_help_and_misspelt_words_do_nothing(self):
        for name, argument, code in (("jobs/setup.sh", "--help", 0), ("jobs/setup.sh", "tests", 1), ("jobs/setup.sh", "--chek", 1),
                                     ("jobs/quickstart.sh", "--help", 0), ("tests/run.sh", "--help", 0)):
            self.assertEqual(self.run_script(name, argument, expect=code, missing="libyaml-dev", sudo=True), [])
            self.assertRegex(self.done.stdout + self.done.stderr, f"^usage: {name} ")

    def test_failed_installation_stops(self):
        log = self.run_script("jobs/setup.sh", missing="libyaml-dev", sudo=True, CODE_apt_get="100", expect=100)
        self.assertEqual(self.calls(log, "cmake"), [])

    def check_names(self, script, names):
        """Without root: all names of missing packages are printed on stderr, and nothing else happens."""
        rows = {row[0]: row for row in packages()}
        log = self.run_script(script, missing=" ".join(names), expect=1)
        self.assertEqual(log, [])
        for name in names:
            self.assertRegex(self.done.stderr, rf"(?m)^  {name} +{rows[name][2]} +{rows[name][3]} +{rows[name][4]}$")
        return self.done.stderr

    def test_without_root_missing_packages_are_named(self):
        stderr = self.check_names("jobs/quickstart.sh", ["libhdf5-dev", "libyaml-dev"])
        self.assertNotIn("cmocka", stderr)
        self.check_names("tests/run.sh", ["libhdf5-dev", "libcmocka-dev"])
        self.check_names(".ci/run", ["libhdf5-dev"])

    def test_without_root_what_a_module_brought_counts(self):
        log = self.run_script("jobs/setup.sh", missing="cmake ninja-build openmpi-bin")
        self.assertEqual(len(self.calls(log, "cmake")), 2)

    def test_without_debian_everything_is_looked_for(self):
        (self.folder / "bin/dpkg-query").unlink()
        (self.folder / "bin/apt-get").unlink()
        self.tool("gcc", "exit 0")
        self.tool("mpicc", "exit 0")
        self.tool("pkg-config", '[ "$2" != yaml-0.1 ]')
        data = self.folder / "data"
        data.mkdir(mode=0o755)
        (data / "train-images-idx3-ubyte.gz").touch()
        self.run_script("jobs/setup.sh", expect=1, FASHION_MNIST=str(data))
        self.assertRegex(self.done.stderr, r"(?m)^  libyaml-dev +libyaml +libyaml +yaml$")
        self.assertEqual(self.done.stderr.count("\n  "), 2, self.done.stderr)  # the heading and this one
        self.tool("pkg-config", "exit 0")
        log = self.run_script("jobs/setup.sh", FASHION_MNIST=str(data))
        self.assertEqual(len(self.calls(log, "cmake")), 2)
        self.tool("pkg-config", 'case $2 in hdf5*) false;; esac')  # HDF5 built by autotools has no .pc file
        self.run_script("jobs/setup.sh", expect=1, FASHION_MNIST=str(data))
        self.assertRegex(self.done.stderr, r"(?m)^  libhdf5-dev +HDF5 +hdf5 +hdf5$")
        self.tool("h5cc", "exit 0")
        self.run_script("jobs/setup.sh", FASHION_MNIST=str(data))

    def test_check_only_names_what_is_missing(self):
        for sudo in (False, True):
            log = self.run_script("jobs/setup.sh", "--check", missing="libdnnl-dev libyaml-dev libcmocka-dev", sudo=sudo, expect=1)
            self.assertEqual(log, [])
            for line in ("libdnnl-dev +oneDNN +onednn@2.6:3 +onednn-cpu-omp", "libyaml-dev +libyaml +libyaml +yaml"):
                self.assertRegex(self.done.stdout, f"(?m)^  {line}$")
            self.assertNotIn("cmocka", self.done.stdout)
        self.run_script("jobs/setup.sh", "--check", "test", missing="libcmocka-dev", expect=1)
        self.assertRegex(self.done.stdout, "(?m)^  libcmocka-dev +cmocka +cmocka +cmocka$")
        self.assertEqual(self.run_script("jobs/setup.sh", "--check", missing="libcmocka-dev python3-h5py cmake", sudo=True), [])
        self.assertEqual(self.done.stdout, "Nothing is missing.\n")
        self.assertEqual(self.run_script("jobs/setup.sh", "--check", "run", "folder", sudo=True, expect=1), [])
        self.assertRegex(self.done.stderr, "^usage: ")

    def test_check_finds_what_conda_brought(self):
        include = self.folder / "conda/include/oneapi/dnnl"
        include.mkdir(parents=True)
        (include / "dnnl.h").touch()
        for folder in (include, *include.parents[:3]):
            folder.chmod(0o755)
        self.tool("gcc", f'case "$*" in *-I{self.folder}/conda/include*dnnl.h*) ;; *) exit 1 ;; esac', log=False)
        self.run_script("jobs/setup.sh", "--check", missing="libdnnl-dev", expect=1)
        self.run_script("jobs/setup.sh", "--check", missing="libdnnl-dev", CONDA_PREFIX=str(self.folder / "conda"))

    # commands that run, and the exit code

    def test_run_leaves_out_long_tests(self):
        log = self.run_script("tests/run.sh", "-R", "unit")
        self.assertEqual(self.calls(log, "ctest"),
                         [f"ctest --output-on-failure --no-tests=error {AT_ONCE} --test-dir build -LE long -R unit"])
        self.assertIn("-DES_WERROR=ON", self.calls(log, "cmake")[0])

    def test_full_runs_everything_cheap_things_first(self):
        log = self.run_script("tests/run.sh", "--full")
        self.assertEqual([line.replace(f"ctest --output-on-failure {AT_ONCE} --test-dir ", "") for line in log
                          if line.startswith(("ctest --output", "coverage"))],
                         ["build -L style", "build -LE style|long", "build -L valgrind", "build -L long -LE valgrind",
                          "coverage.py build-sanitize --reset", "build-sanitize --no-tests=error -LE style|lint",
                          "coverage.py build-sanitize --least 90"])
        self.assertTrue(any("-B build-sanitize" in call and "-DES_WERROR=ON -DES_SANITIZE=ON -DES_COVERAGE=ON" in call
                            for call in self.calls(log, "cmake")))
        self.assertEqual(self.done.stdout.count("\npassed "), 8)
        self.assertTrue(any("build-mpich" in call for call in self.calls(log, "ctest")))

    def test_some_tests_do_not_tell_the_coverage(self):
        log = self.run_script("tests/run.sh", "--full", "-R", "a|b")
        self.assertEqual(len(self.calls(log, "ctest")), 5)
        for call in self.calls(log, "ctest"):
            self.assertIn("-R a|b --test-dir build", call)
        self.assertEqual(self.calls(log, "coverage.py"), ["coverage.py build-sanitize --reset"])

    def test_mpich_beside_another_mpi(self):
        configure, build = self.calls(self.run_script("tests/mpich.sh"), "cmake")
        place = self.folder / "bin"
        self.assertIn(f"-DMPI_C_COMPILER={place}/mpicc.mpich -DMPIEXEC_EXECUTABLE={place}/mpirun.mpich", configure)
        self.assertTrue(build.endswith(" --target eigenscope eigenscope_faults mpi_tests"))
        self.log.write_text("")
        self.assertFalse(any("mpich" in call for call in self.run_script("tests/run.sh", "--full", "-R", "unit")))
        (place / "mpicc.mpich").unlink()
        self.log.write_text("")
        self.assertEqual(self.run_script("tests/mpich.sh"), [])
        self.assertIn("nothing is tested", self.done.stdout)

    def test_failing_tests_fail_the_scripts(self):
        for script in ["tests/run.sh", "tests/mpich.sh", ".ci/run"]:
            self.run_script(script, expect=8, CODE_ctest="8")

    def test_one_failing_step_fails_and_is_named(self):
        for tool, body, heading in (("ctest", 'case "$*" in *sanitize*) exit 8 ;; esac', "all tests with sanitizers"),
                                    ("ctest", 'case "$*" in *"-L style"*) exit 8 ;; esac', "form of the sources"),
                                    ("../tree/tests/coverage.py", 'case "$*" in *least*) exit 8 ;; esac', "lines of src/")):
            with self.subTest(heading):
                self.tool("ctest", "exit 0")
                self.tool(tool, body)
                self.log.write_text("")
                log = self.run_script("tests/run.sh", "--full", expect=8)
                self.assertEqual(len(self.calls(log, "ctest")), 6)
                self.assertRegex(self.done.stdout, rf"(?m)^FAILED +\d+ s  {heading}")
                self.assertEqual(self.done.stdout.count("\npassed "), 7)

    def test_no_step_begins_too_late(self):
        log = self.run_script("tests/run.sh", "--full", TESTS_MINUTES="-1")
        self.assertEqual(self.calls(log, "ctest"), [])
        self.assertIn("not run: too late for 'long tests' after -1 minutes", self.done.stdout)

    def test_what_does_not_build_with_sanitizers_is_not_tested_so(self):
        self.tool("cmake", 'case "$*" in *sanitize*) exit 5 ;; esac')
        log = self.run_script("tests/run.sh", "--full", expect=5)
        self.assertEqual(len(self.calls(log, "ctest")), 5)
        self.assertRegex(self.done.stdout, r"(?m)^FAILED +\d+ s  building with sanitizers")

    def test_failing_build_fails_the_scripts(self):
        for script in SCRIPTS:
            log = self.run_script(script, expect=5, CODE_cmake="5")
            self.assertEqual(self.calls(log, "ctest") + self.calls(log, "mpirun"), [])

    def test_ci_wants_every_tool(self):
        for tool in CI_TOOLS:
            (self.folder / "bin" / tool).unlink()
            log = self.run_script(".ci/run", expect=1)
            self.assertIn(f"{tool} is missing", self.done.stderr)
            self.tool(tool, "exit 0")
        self.assertEqual(self.calls(log, "ctest"), [])

    def test_quickstart_runs_two_ranks(self):
        log = self.run_script("jobs/quickstart.sh", "--verbose")
        self.assertEqual(self.calls(log, "mpirun"),
                         ["mpirun -n 2 build/eigenscope run jobs/quickstart.yaml --verbose"])
        self.assertEqual(self.calls(log, "eigenscope"),
                         ["eigenscope status jobs/quickstart.yaml",
                          "eigenscope merge jobs/quickstart.yaml --to results/quickstart/all.h5",
                          "eigenscope report results/quickstart/all.h5 --to results/quickstart/report"])
        self.assertEqual(self.done.stdout.count("the table"), 2)  # run printed its own table, status none

    def test_quickstart_decides_by_status(self):
        self.run_script("jobs/quickstart.sh", CODE_mpirun="1")
        for code in ["2", "3"]:
            self.run_script("jobs/quickstart.sh", CODE_status=code, expect=int(code))
            self.assertEqual(self.done.stdout.count("the table"), 1)

    def test_quickstart_asks_for_the_results_that_were_meant(self):
        log = self.run_script("jobs/quickstart.sh", "--output", "here", "--quiet", "--set=train.epochs=1",
                              FASHION_MNIST="/data")
        meant = "jobs/quickstart.yaml --set datasets.fashion-mnist.path=/data --output here --set=train.epochs=1"
        self.assertEqual(self.calls(log, "mpirun"),
                         [f"mpirun -n 2 build/eigenscope run {meant} --quiet"])
        self.assertEqual(self.calls(log, "eigenscope"),
                         [f"eigenscope status {meant}", f"eigenscope merge {meant} --to here/all.h5",
                          "eigenscope report here/all.h5 --to here/report"])
        log = self.run_script("jobs/quickstart.sh", "--output=there")
        self.assertEqual(self.calls(log, "eigenscope")[-1], "eigenscope report there/all.h5 --to there/report")

    def test_quickstart_is_complete_without_its_report(self):
        """Its packages may be missing where nothing can be installed; scripts then do not require them, tests do."""
        log = self.run_script("jobs/quickstart.sh", missing="python3-matplotlib", CODE_report="1")
        self.assertEqual(len(self.calls(log, "eigenscope")), 3)
        self.assertIn("but the report was not", self.done.stderr)
        log = self.run_script("jobs/setup.sh", missing="python3-matplotlib", sudo=True)
        self.assertTrue(self.calls(log, "apt-get")[1].endswith(" -y python3-matplotlib"))

    def test_dry_run_has_no_results(self):
        log = self.run_script("jobs/quickstart.sh", "--dry-run", CODE_mpirun="1", expect=1)
        self.assertEqual(self.calls(log, "eigenscope"), [])

    def test_scripts_are_sound(self):
        if shutil.which("shellcheck") is None:
            self.skipTest("shellcheck is not installed")
        subprocess.run(["shellcheck", *SCRIPTS, "tests/sanitized.sh", "tests/valgrind.sh", "tests/fresh.sh", "tests/venv.sh", "tests/arm.sh"],
                       cwd=harness.SOURCE, check=True)


if __name__ == "__main__":
    harness.main()
