/* Steps that all commands share: start, read options, print, and map failures to exit codes. */
#include "cli_internal.h"
#include "eigenscope/blas.h"
#include "eigenscope/comm.h"
#include "eigenscope/file.h"
#include "eigenscope/model.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int es_cli_exit_code(const es_status_t *status) {
  switch (status->code) {
  case ES_OK:
    return ES_EXIT_OK;
  case ES_STOPPED:
    return ES_EXIT_UNFINISHED;
  case ES_INPUT:
    return ES_EXIT_USAGE;
  case ES_DIVERGED:
  case ES_SYSTEM:
  case ES_NUMERIC:
    return ES_EXIT_FAILED;
  case ES_BUG:
    break;
  }
  return ES_EXIT_BUG;
}

int es_cli_report(const es_status_t *status) {
  if (status->code != ES_OK) fprintf(stderr, "eigenscope: %s\n", status->message);
  return es_cli_exit_code(status);
}

int es_cli_command(int argc, char **argv, const es_page_t *page, int least, int most, es_cli_work_t *work) {
  es_arguments_t *arguments = NULL;
  es_status_t status = {0};
  int result = ES_EXIT_OK;
  if (es_arguments_parse(&arguments, argc, argv, page, least, most, &status) == ES_OK)
    result = work(arguments, &status);
  es_arguments_destroy(arguments);
  /* No point is run here, so every failure means that the command could not be done. */
  if (status.code == ES_SYSTEM) status.code = ES_INPUT;
  return status.code == ES_OK ? result : es_cli_report(&status);
}

int es_cli_command_mpi(int argc, char **argv, const es_page_t *page, int least, int most, es_cli_work_t *work) {
  es_arguments_t *arguments = NULL;
  es_status_t status = {0};
  int rank, result = ES_EXIT_OK;
  es_model_engine_single_thread();
  es_blas_single_thread();
  es_mpi_start(&argc, &argv);
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  es_arguments_parse(&arguments, argc, argv, page, least, most, &status);
  if (status.code == ES_SYSTEM) status.code = ES_INPUT; /* no point was run */
  if (es_agree(MPI_COMM_WORLD, &status) == ES_OK)
    result = work(arguments, &status); /* collective because one rank alone may be out of memory */
  if (status.code != ES_OK) result = rank == 0 ? es_cli_report(&status) : es_cli_exit_code(&status);
  es_arguments_destroy(arguments);
  fflush(stdout); /* the launcher may drop output of other ranks once one rank exits with a code above 0 */
  ES_MPI(MPI_Finalize());
  return result;
}

es_plan_request_t es_cli_request(const es_arguments_t *arguments, int index) {
  es_plan_request_t request = {.path = es_arguments_positional(arguments, index),
                               .output = es_arguments_option(arguments, "--output"),
                               .points = es_arguments_option(arguments, "--points")};
  request.n_sets = es_arguments_all(arguments, "--set", &request.sets);
  return request;
}

es_code_t es_cli_integer(const es_arguments_t *arguments, const char *name, int64_t least, int64_t most, int64_t *out,
                         es_status_t *status) {
  const char *text = es_arguments_option(arguments, name);
  if (text == NULL || (es_text_to_int(text, out) && *out >= least && *out <= most)) return ES_OK;
  return es_fail(status, ES_INPUT, "arguments", "%s %.100s: must be an integer from %lld to %lld", name, text,
                 (long long)least, (long long)most);
}

es_code_t es_cli_check_target(const char *to, bool (*is_ours)(const char *path), const char *what, const char *stage,
                              es_status_t *status) {
  struct stat facts;
  if (to == NULL || to[0] == '\0') return es_fail(status, ES_INPUT, stage, "--to FILE.h5 is missing");
  if (stat(to, &facts) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return ES_OK;
    return es_fail(status, ES_INPUT, stage, "--to %s: cannot be examined: %s", to, strerror(errno));
  }
  if (is_ours(to)) return ES_OK;
  return es_fail(status, ES_INPUT, stage, "--to %s: exists but is not %s; choose another name or remove the file", to,
                 what);
}

es_code_t es_cli_format(const es_arguments_t *arguments, bool *json, es_status_t *status) {
  const char *text = es_arguments_option(arguments, "--format");
  *json = text != NULL && strcmp(text, "json") == 0;
  if (text == NULL || *json || strcmp(text, "table") == 0) return ES_OK;
  return es_fail(status, ES_INPUT, "arguments", "--format %.100s: must be table or json", text);
}

es_code_t es_cli_print(es_text_t *text, const char *what, es_status_t *status) {
  if (text->failed) es_out_of_memory(status, "arguments", "%s", what);
  if (status->code == ES_OK) es_text_print(stdout, text);
  es_text_destroy(text);
  return status->code;
}

es_code_t es_cli_refuse_job(const char *path, const char *stage, es_status_t *status) {
  static const char *const keys[] = {"\nname:", "\ngrid:", "\nsource:"};
  char text[4097] = "\n";
  bool is_job = false;
  if (!es_file_exists(path)) return ES_OK;
  FILE *file = fopen(path, "rb");
  const size_t n = file != NULL ? fread(text + 1, 1, sizeof text - 2, file) : 0;
  if (file != NULL) fclose(file);
  if (strlen(text) < n + 1) return ES_OK; /* a zero byte: no text */
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) is_job = is_job || strstr(text, keys[i]) != NULL;
  if (!is_job) return ES_OK;
  return es_fail(
      status, ES_INPUT, stage,
      "%s: is a job file, not a file of results; eigenscope status %s lists its results, and eigenscope merge "
      "%s --to FILE.h5 writes them into one file for show and report",
      path, path, path);
}

int es_cli_results_code(const es_results_t *results) {
  if (results->missing.n > 0) return ES_EXIT_UNFINISHED;
  return results->counts[ES_OUTCOME_DIVERGED] > 0 ? ES_EXIT_FAILED : ES_EXIT_OK;
}

const char *es_cli_creator(void) {
  static char creator[160];
  const es_provenance_t *facts;
  es_run_provenance(&facts); /* the first two entries are version and revision */
  snprintf(creator, sizeof creator, "eigenscope %s (%s)", facts[0].value, facts[1].value);
  return creator;
}

int es_cli_launched_rank(void) {
  static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK",
                                      "PALS_RANKID"}; /* Open MPI, PMIx, MPICH and Intel MPI, Cray */
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *rank = getenv(names[i]);
    if (rank != NULL) return atoi(rank);
  }
  return -1;
}
