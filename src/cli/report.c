/* eigenscope report SWEEP.h5 --to FOLDER and eigenscope watch JOB --to FOLDER: start the Python package in analysis/,
 * which reads results through their schema. */
#include "cli_internal.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char STAGE[] = "report";

static const char usage[] =
    "eigenscope report SWEEP.h5 --to FOLDER [--similarity FILE.h5]...\n\n"
    "Writes a report about a merged file (from eigenscope merge) or the file of one point: the page FOLDER/index.html, "
    "which\n"
    "needs no internet, the folders page/ and data/ that it loads, figures/*.svg, *.png and *.csv, and tables/*.csv. "
    "Runs\n"
    "`python3 -m eigenscope_analysis report`. The environment variable EIGENSCOPE_PYTHON names another Python,\n"
    "EIGENSCOPE_ANALYSIS the folder of the package.";

static const es_option_t options[] = {
    {"--to", "FOLDER", false, "folder to write; files of an earlier report are replaced"},
    {"--similarity", "FILE.h5", true, "also show this file of eigenscope similarity --to about points of the sweep"},
};
const es_page_t es_page_report = {"report", usage, options, sizeof options / sizeof *options};

/* Modules that the package needs (analysis/pyproject.toml). Only looked up, because importing them takes seconds. */
#define NEEDED "h5py h5netcdf jinja2 matplotlib numpy pandas xarray"
static const char probe[] = "import importlib.util, sys\n"
                            "needed = '" NEEDED " eigenscope_analysis'.split()\n"
                            "missing = [m for m in needed if importlib.util.find_spec(m) is None]\n"
                            "print(' '.join(missing), end='')\n";

/* Locations of the package, in this order: the environment variable, beside the installed program, the build folder (a
 * link to the source, made by CMake). Otherwise Python must find the package by itself. */
enum { FOLDER_MAX = ES_PATH_MAX + 32 };
static void find_package(char out[FOLDER_MAX]) {
  const char *named = getenv("EIGENSCOPE_ANALYSIS");
  char program[ES_PATH_MAX], installed[FOLDER_MAX], built[FOLDER_MAX], file[FOLDER_MAX + 32];
  const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  program[length > 0 ? length : 0] = '\0';
  char *slash = strrchr(program, '/');
  if (slash != NULL) *slash = '\0';
  snprintf(installed, sizeof installed, "%s/" ES_SHARE, program);
  snprintf(built, sizeof built, "%s/share/eigenscope", program);
  const char *const places[] = {named, installed, built};
  out[0] = '\0';
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    if (places[i] == NULL || places[i][0] == '\0') continue;
    snprintf(file, sizeof file, "%s/eigenscope_analysis", places[i]);
    if (!es_directory_exists(file)) continue;
    snprintf(out, FOLDER_MAX, "%s", places[i]);
    return;
  }
}

/* Prints the interpreter and its version, then each module with its version, or the modules that are missing. */
static const char versions[] = "import importlib.util, sys\n"
                               "from importlib.metadata import version\n"
                               "needed = '" NEEDED "'.split()\n"
                               "missing = [m for m in needed if importlib.util.find_spec(m) is None]\n"
                               "def of(m):\n"
                               "    try: v = version(m)\n"
                               "    except Exception: v = ''\n"
                               "    if v in ('', '999'): v = getattr(__import__(m), '__version__', '')\n" /* Debian */
                               "    return m + ' ' + v\n"
                               "print('%s %s: ' % (sys.executable, sys.version.split()[0]) +\n"
                               "      ('!' + ', '.join(missing) if missing else ', '.join(map(of, needed))), end='')\n";

/* Runs a Python program given as text and captures its output. True only if it ran and exited with 0. */
static bool ask(const char *python, const char *program, char *out, size_t size) {
  int ends[2], code = 0;
  size_t n = 0;
  if (pipe(ends) != 0) return false;
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    execlp(python, python, "-B", "-c", program, (char *)NULL);
    _exit(127);
  }
  close(ends[1]);
  for (ssize_t got = 1; pid > 0 && got > 0 && n + 1 < size; n += got > 0 ? (size_t)got : 0)
    got = read(ends[0], out + n, size - 1 - n);
  out[n] = '\0';
  close(ends[0]);
  return pid > 0 && waitpid(pid, &code, 0) == pid && WIFEXITED(code) && WEXITSTATUS(code) == 0;
}

/* Finds the first Python that has all needed modules; else reports what the Python with the shortest list is missing.
 */
static es_code_t find_python(const char **out, es_status_t *status) {
  const char *named = getenv("EIGENSCOPE_PYTHON");
  const char *const candidates[] = {named != NULL && named[0] != '\0' ? named : "python3", "/usr/bin/python3"};
  const size_t n = named != NULL && named[0] != '\0' ? 1 : 2;
  char missing[512], least[512] = "";
  const char *ran = NULL;
  for (size_t i = 0; i < n; i++) {
    if (!ask(candidates[i], probe, missing, sizeof missing)) continue;
    *out = candidates[i];
    if (missing[0] == '\0') return ES_OK;
    if (ran != NULL && strlen(missing) >= strlen(least)) continue;
    snprintf(least, sizeof least, "%s", missing);
    ran = candidates[i];
  }
  if (ran == NULL)
    return es_fail(status, ES_INPUT, STAGE,
                   "%s does not run; the report needs Python 3 (EIGENSCOPE_PYTHON can name another Python)",
                   candidates[0]);
  return es_fail(status, ES_INPUT, STAGE,
                 "%s lacks the modules %s; Debian has them as python3-h5py, -h5netcdf, -jinja2, -matplotlib, -numpy, "
                 "-pandas and -xarray, and eigenscope_analysis is in the folder analysis/ of the source "
                 "(EIGENSCOPE_PYTHON can name another Python, EIGENSCOPE_ANALYSIS another folder)",
                 ran, least);
}

bool es_cli_describe_python(char *out, size_t size) {
  const char *named = getenv("EIGENSCOPE_PYTHON");
  const bool has_name = named != NULL && named[0] != '\0';
  const char *const candidates[] = {has_name ? named : "python3", "/usr/bin/python3"};
  char found[512], first[512] = "";
  for (int i = 0; i < (has_name ? 1 : 2); i++) {
    const bool runs = ask(candidates[i], versions, found, sizeof found);
    if (runs && strchr(found, '!') == NULL) {
      snprintf(out, size, "%s", found);
      return true;
    }
    if (runs && first[0] == '\0') snprintf(first, sizeof first, "%s", found);
  }
  char *mark = strchr(first, '!');
  if (mark == NULL)
    snprintf(out, size, "%s does not run; only eigenscope report needs Python 3 (EIGENSCOPE_PYTHON can name another)",
             candidates[0]);
  else
    snprintf(out, size,
             "%.*slacks %s, so eigenscope report does not run; Debian has python3-%.*s and so on "
             "(EIGENSCOPE_PYTHON can name another Python)",
             (int)(mark - first), first, mark + 1, (int)strcspn(mark + 1, ","), mark + 1);
  return false;
}

enum { OWN_ARGUMENTS = ES_CLI_OWN_ARGUMENTS };
es_code_t es_cli_start_package(const char **arguments, es_status_t *status) {
  const char *python = NULL;
  char folder[FOLDER_MAX];
  find_package(folder);
  if (folder[0] != '\0') {
    const char *old = getenv("PYTHONPATH");
    char path[2 * ES_PATH_MAX];
    const bool more = old != NULL && old[0] != '\0';
    snprintf(path, sizeof path, "%s%s%s", folder, more ? ":" : "", more ? old : "");
    setenv("PYTHONPATH", path, 1);
  }
  ES_TRY(find_python(&python, status));
  fflush(stdout);
  /* -B: writes no byte code into the folder of the package. */
  memcpy(arguments, (const char *const[OWN_ARGUMENTS]){python, "-B", "-m", "eigenscope_analysis"},
         OWN_ARGUMENTS * sizeof *arguments);
  execvp(python, (char *const *)arguments);
  return es_fail(status, ES_INPUT, STAGE, "%s cannot be started", python);
}

static es_code_t find_target(const es_arguments_t *arguments, const char **to, es_status_t *status) {
  *to = es_arguments_option(arguments, "--to");
  return *to != NULL && (*to)[0] != '\0' ? ES_OK : es_fail(status, ES_INPUT, STAGE, "--to FOLDER is missing");
}

/* Appends an option with each of its values; returns the new number of arguments. */
static int add_repeated(const char **all, int n, const char *option, const char *const *values, int n_values) {
  for (int i = 0; i < n_values; i++) {
    all[n++] = option;
    all[n++] = values[i];
  }
  return n;
}

static int report(const es_arguments_t *arguments, es_status_t *status) {
  const char *file = es_arguments_positional(arguments, 0), *to, *const * similar;
  const int n_similar = es_arguments_all(arguments, "--similarity", &similar);
  ES_TRY(find_target(arguments, &to, status));
  ES_TRY(es_cli_refuse_job(file, STAGE, status));
  const char **all = es_allocate_zero((size_t)(OWN_ARGUMENTS + 6 + 2 * n_similar), sizeof *all);
  if (all == NULL) return es_out_of_memory(status, STAGE, "%d arguments", n_similar);
  int n = OWN_ARGUMENTS;
  const char *const first[] = {"report", "--to", to};
  for (size_t i = 0; i < sizeof first / sizeof *first; i++) all[n++] = first[i];
  n = add_repeated(all, n, "--similarity", similar, n_similar);
  all[n++] = "--";
  all[n++] = file;
  es_cli_start_package(all, status); /* returns only if it fails */
  es_free(all);
  return status->code;
}

/* ---- watch ---- */

static const char watch_usage[] =
    "eigenscope watch JOB --to FOLDER [--every S] [--output DIR] [--set KEY=VALUE]...\n\n"
    "Keeps a report up to date while the job runs, until each point has a result: the page FOLDER/index.html has the\n"
    "figures, tables and findings of the points that have one, and what runs at present (see status). A copy of the\n"
    "folder can be read anywhere. Computes nothing, so it may run on a login node. Takes at most a tenth of the time\n"
    "for new reports. Exit code: that of status. Needs the Python of report.";

static const es_option_t watch_options[] = {
    {"--to", "FOLDER", false, "folder to write: the report, and the merged file results.h5"},
    {"--every", "S", false, "seconds between two looks (default 10)"},
    {"--output", "DIR", false, "folder of the results (default: the job's `output`)"},
    {"--set", "KEY=VALUE", true, "the same changes of the job file as in run"},
};
const es_page_t es_page_watch = {"watch", watch_usage, watch_options, sizeof watch_options / sizeof *watch_options};

es_code_t es_cli_own_path(char out[ES_PATH_MAX], es_status_t *status) {
  const ssize_t length = readlink("/proc/self/exe", out, ES_PATH_MAX - 1);
  if (length < 0) return es_fail(status, ES_SYSTEM, STAGE, "/proc/self/exe: cannot be read");
  out[length] = '\0';
  return ES_OK;
}

static int watch(const es_arguments_t *arguments, es_status_t *status) {
  const char *const *sets, *to, *output = es_arguments_option(arguments, "--output");
  const int n_sets = es_arguments_all(arguments, "--set", &sets);
  int64_t every = 10;
  char program[ES_PATH_MAX], seconds[32];
  ES_TRY(find_target(arguments, &to, status));
  ES_TRY(es_cli_integer(arguments, "--every", 1, 86400, &every, status));
  ES_TRY(es_cli_own_path(program, status));
  snprintf(seconds, sizeof seconds, "%lld", (long long)every);
  const char **all = es_allocate_zero((size_t)(OWN_ARGUMENTS + 12 + 2 * n_sets), sizeof *all);
  if (all == NULL) return es_out_of_memory(status, STAGE, "%d arguments", n_sets);
  int n = OWN_ARGUMENTS;
  const char *const first[] = {
      "watch", "--to", to, "--every", seconds, "--program", program, "--", es_arguments_positional(arguments, 0)};
  for (size_t i = 0; i < sizeof first / sizeof *first; i++) all[n++] = first[i];
  if (output != NULL) all[n++] = "--output";
  if (output != NULL) all[n++] = output;
  add_repeated(all, n, "--set", sets, n_sets);
  es_cli_start_package(all, status); /* returns only if it fails */
  es_free(all);
  return status->code;
}

int es_cli_watch(int argc, char **argv) {
  return es_cli_command(argc, argv, &es_page_watch, 1, 1, watch);
}

int es_cli_report_command(int argc, char **argv) {
  return es_cli_command(argc, argv, &es_page_report, 1, 1, report);
}
