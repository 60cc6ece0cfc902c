/* eigenscope report SWEEP.h5 --to FOLDER: starts the Python package in analysis/, which reads the file through its
 * schema. */
#include "cli_internal.h"
#include "eigenscope/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char STAGE[] = "report";

static const char usage[] =
    "eigenscope report SWEEP.h5 --to FOLDER\n\n"
    "Writes a report about a merged file (from eigenscope merge) or the file of one point: the page FOLDER/index.html, "
    "which\n"
    "needs no internet, and figures/*.svg and *.png, tables/*.csv. Runs `python3 -m eigenscope_analysis report`. The\n"
    "environment variable EIGENSCOPE_PYTHON names another Python, EIGENSCOPE_ANALYSIS the folder of the package.";

static const es_option_t options[] = {
    {"--to", "FOLDER", false, "folder to write; files of an earlier report are replaced"},
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

/* Runs a Python program given as text and captures its output. True only if it ran and exited with 0. */
static bool ask(const char *python, char *out, size_t size) {
  int ends[2], code = 0;
  size_t n = 0;
  if (pipe(ends) != 0) return false;
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    execlp(python, python, "-B", "-c", probe, (char *)NULL);
    _exit(127);
  }
  close(ends[1]);
  for (ssize_t got = 1; pid > 0 && got > 0 && n + 1 < size; n += got > 0 ? (size_t)got : 0)
    got = read(ends[0], out + n, size - 1 - n);
  out[n] = '\0';
  close(ends[0]);
  return pid > 0 && waitpid(pid, &code, 0) == pid && WIFEXITED(code) && WEXITSTATUS(code) == 0;
}

/* Finds the first Python that has all needed modules; else reports what the first Python that ran is missing. */
static es_code_t find_python(const char **out, es_status_t *status) {
  const char *named = getenv("EIGENSCOPE_PYTHON");
  const char *const candidates[] = {named != NULL && named[0] != '\0' ? named : "python3", "/usr/bin/python3"};
  const size_t n = named != NULL && named[0] != '\0' ? 1 : 2;
  char missing[512], first[512] = "";
  const char *ran = NULL;
  for (size_t i = 0; i < n; i++) {
    if (!ask(candidates[i], missing, sizeof missing)) continue;
    *out = candidates[i];
    if (missing[0] == '\0') return ES_OK;
    if (ran == NULL) snprintf(first, sizeof first, "%s", missing);
    if (ran == NULL) ran = candidates[i];
  }
  if (ran == NULL)
    return es_fail(status, ES_INPUT, STAGE,
                   "%s does not run; the report needs Python 3 (EIGENSCOPE_PYTHON can name another Python)",
                   candidates[0]);
  return es_fail(status, ES_INPUT, STAGE,
                 "%s lacks the modules %s; Debian has them as python3-h5py, -h5netcdf, -jinja2, -matplotlib, -numpy, "
                 "-pandas and -xarray, and eigenscope_analysis is in the folder analysis/ of the source "
                 "(EIGENSCOPE_PYTHON can name another Python, EIGENSCOPE_ANALYSIS another folder)",
                 ran, first);
}

static int report(const es_arguments_t *arguments, es_status_t *status) {
  const char *to = es_arguments_option(arguments, "--to"), *python = NULL;
  char folder[FOLDER_MAX];
  if (to == NULL || to[0] == '\0') return es_fail(status, ES_INPUT, STAGE, "--to FOLDER is missing");
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
  execlp(python, python, "-B", "-m", "eigenscope_analysis", "report", "--to", to, "--",
         es_arguments_positional(arguments, 0), (char *)NULL);
  return es_fail(status, ES_INPUT, STAGE, "%s cannot be started", python);
}

int es_cli_report_command(int argc, char **argv) {
  return es_cli_command(argc, argv, &es_page_report, 1, 1, report);
}
