/* eigenscope export JOB --ro-crate FOLDER: starts the Python package, which packs the results of a job. */
#include "cli_internal.h"
#include "eigenscope/memory.h"
#include <string.h>

static const char usage[] =
    "eigenscope export JOB --ro-crate FOLDER|FILE.zip [options] | eigenscope export --check FOLDER|FILE.zip\n\n"
    "Packs a job for publication as an RO-Crate 1.1 (w3id.org/ro/crate): the job file as written and with all "
    "settings, "
    "the\n"
    "results of its points with their features, the merged file, and ro-crate-metadata.json with the versions of "
    "program\n"
    "and libraries and the SHA-256 of every file, which checksums.sha256 has, too. Names an existing folder or file "
    "only\n"
    "to refuse it. Exit code: that of status, 3 if points are missing. With --check, names each file of a crate that "
    "has\n"
    "changed, is missing, or is not listed; exit code 2 then. Needs the Python of report.";
static const es_option_t options[] = {
    {"--ro-crate", "FOLDER|FILE.zip", false, "the crate to write"},
    {"--check", "FOLDER|FILE.zip", false, "compare the files of a crate with its checksums"},
    {"--license", "URL|SPDX", false,
     "licence of the data, as https://creativecommons.org/licenses/by/4.0/ or CC-BY-4.0"},
    {"--author", "NAME", true, "author of the data"},
    {"--output", "DIR", false, "folder of the results (default: the job's `output`)"},
    {"--set", "KEY=VALUE", true, "the same changes of the job file as in run"},
};
const es_page_t es_page_export = {"export", usage, options, sizeof options / sizeof *options};

static const char STAGE[] = "report";

/* Appends an option as often as it was given. */
static int pass(const es_arguments_t *arguments, const char *name, const char **all, int n) {
  const char *const *values;
  const int count = es_arguments_all(arguments, name, &values);
  for (int i = 0; i < count; i++) {
    all[n++] = name;
    all[n++] = values[i];
  }
  return n;
}

static int export(const es_arguments_t *arguments, es_status_t *status) {
  const char *job = es_arguments_positional(arguments, 0), *check = es_arguments_option(arguments, "--check");
  const char *to = es_arguments_option(arguments, "--ro-crate");
  const char *const *given;
  char program[ES_PATH_MAX];
  if (check != NULL && (job != NULL || to != NULL))
    return es_fail(status, ES_INPUT, STAGE, "--check needs neither a job nor --ro-crate; it only reads a crate");
  if (check == NULL && job == NULL)
    return es_fail(status, ES_INPUT, STAGE,
                   "a job is missing; usage: eigenscope export JOB --ro-crate FOLDER|FILE.zip");
  if (check == NULL && (to == NULL || to[0] == '\0'))
    return es_fail(status, ES_INPUT, STAGE, "--ro-crate FOLDER|FILE.zip is missing");
  ES_TRY(es_cli_own_path(program, status));
  const int repeated = es_arguments_all(arguments, "--set", &given) + es_arguments_all(arguments, "--author", &given);
  const char **all = es_allocate_zero((size_t)(ES_CLI_OWN_ARGUMENTS + 16 + 2 * repeated), sizeof *all);
  if (all == NULL) return es_out_of_memory(status, STAGE, "%d arguments", repeated);
  int n = ES_CLI_OWN_ARGUMENTS;
  all[n++] = check != NULL ? "check-crate" : "export";
  if (check == NULL) {
    const char *const first[] = {"--ro-crate", to, "--program", program};
    memcpy(all + n, first, sizeof first);
    n += 4;
    n = pass(arguments, "--license", all, n);
    n = pass(arguments, "--author", all, n);
  }
  all[n++] = "--";
  all[n++] = check != NULL ? check : job;
  if (check == NULL) n = pass(arguments, "--output", all, n);
  if (check == NULL) (void)pass(arguments, "--set", all, n);
  es_cli_start_package(all, status); /* returns only if it fails */
  es_free(all);
  return status->code;
}

int es_cli_export(int argc, char **argv) {
  return es_cli_command(argc, argv, &es_page_export, 0, 1, export);
}
