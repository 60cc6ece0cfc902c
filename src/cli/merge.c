/* eigenscope merge JOB --to FILE.h5: writes all finished results of a grid into one file. */
#include "eigenscope/merge.h"
#include "cli_internal.h"
#include "eigenscope/memory.h"
#include "eigenscope/search.h"
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char usage[] =
    "eigenscope merge JOB --to FILE.h5 [--output DIR] [--no-spectra] [--set KEY=VALUE]...\n\n"
    "Writes the results of all points of a job into one file: its variables have the additional first dimension "
    "point.\n"
    "Complete and diverged points are merged; missing, damaged and unfit (see status) points are listed. Runs may\n"
    "continue at the same time.\n"
    "Exit code: 0 all points complete, 1 the file cannot be written, 2 some diverged, 3 some missing (a damaged or\n"
    "unreadable file counts as missing; run the job again to complete it, then merge again).";

static const es_option_t options[] = {
    {"--to", "FILE.h5", false, "file to write; an existing merged file is replaced when the new one is complete"},
    {"--output", "DIR", false, "folder of the results (default: the job's `output`)"},
    {"--no-spectra", NULL, false, "leave out eigenvalues and eigenvectors, which are most of the bytes"},
    {"--set", "KEY=VALUE", true, "the same changes of the job file as in run"},
};
const es_page_t es_page_merge = {"merge", usage, options, sizeof options / sizeof *options};

static void print_refused(ES_UNUSED void *context, const char *path, const char *reason) {
  fprintf(stderr, "eigenscope: %s: is not merged and counts as missing: %s\n", path, reason);
}

static es_code_t write_merged(const es_plan_t *plan, es_merge_t *merge, const char *to, const char *missing,
                              es_status_t *status) {
  es_text_t job = {0};
  const es_provenance_t *own;
  es_run_provenance(&own);
  es_grid_describe(plan->grid, plan->job, &job);
  const es_merge_header_t header = {.job_name = es_job_name(plan->job),
                                    .job = es_text_get(&job),
                                    .missing = missing,
                                    .provenance = own,
                                    .n_provenance = 2}; /* version and revision; each point has its own */
  if (job.failed)
    es_out_of_memory(status, "merge", "the description of the job");
  else
    es_merge_write(merge, to, &header, status);
  es_text_destroy(&job);
  return status->code;
}

static void print_survey(const es_results_t *results, int64_t n, const char *to, const char *missing) {
  const int64_t complete = results->counts[ES_OUTCOME_COMPLETE], diverged = results->counts[ES_OUTCOME_DIVERGED];
  const int64_t stopped = results->counts[ES_OUTCOME_STOPPED];
  struct stat facts;
  if (complete + diverged + stopped == 0) {
    printf("nothing to merge: none of %lld point%s is complete or diverged\n", (long long)n, n == 1 ? "" : "s");
  } else {
    printf("merged %lld of %lld point%s (%lld complete, %lld diverged", (long long)(complete + diverged + stopped),
           (long long)n, n == 1 ? "" : "s", (long long)complete, (long long)diverged);
    if (stopped > 0) printf(", %lld stopped early", (long long)stopped);
    printf(") into %s", to);
    const int reason = stat(to, &facts) == 0 ? 0 : errno;
    if (reason == 0) printf(", %.1f MB", (double)facts.st_size * 1e-6);
    putchar('\n');
    if (reason != 0) fprintf(stderr, "eigenscope: warning: %s: the size is unknown: %s\n", to, strerror(reason));
  }
  if (results->left_out > 0)
    printf("left out by the search: %lld point%s\n", (long long)results->left_out, es_plural(results->left_out));
  if (results->missing.n > 0) printf("missing: %s\n", missing);
}

/* Prints which points each instruction set computed, if there are several. */
static es_code_t print_kinds(const es_merge_t *merge, int64_t n, es_status_t *status) {
  const es_kinds_t *kinds = es_merge_kinds(merge);
  es_selection_t points = {.index = es_allocate((size_t)n, sizeof(int64_t))};
  es_text_t text = {0};
  if (points.index == NULL) return es_out_of_memory(status, "merge", "%lld points", (long long)n);
  es_text_append(&text, "mixed: computed with %d instruction sets or libraries, so last bits may differ:\n", kinds->n);
  for (int k = 0; k < kinds->n; k++) {
    points.n = 0;
    for (int64_t i = 0; i < n; i++) {
      const es_outcome_t outcome = es_merge_outcome(merge, i);
      if (es_outcome_is_sound(outcome) && es_merge_kind(merge, i) == k) points.index[points.n++] = i;
    }
    es_text_append(&text, "  %s: points ", kinds->name[k]);
    es_selection_print(&points, &text);
    es_text_append(&text, "\n");
  }
  es_selection_destroy(&points);
  return es_cli_print(&text, "the list of instruction sets", status);
}

/* Returns the id of a point, or NULL if its result is not of this job. */
static const char *fit_id(const es_plan_t *plan, int64_t index) {
  const char *id = es_grid_id(plan->grid, index);
  char path[ES_PATH_MAX];
  es_result_summary_t summary;
  const bool may_differ = plan->infos != NULL && es_job_base(plan->job)->source == ES_SOURCE_CHECKPOINT;
  if (!may_differ || !es_result_find(path, plan->output, id)) return id;
  es_result_glance(&summary, path);
  es_results_compare(plan, index, &summary);
  if (summary.outcome != ES_OUTCOME_UNFIT) return id;
  print_refused(NULL, path, summary.reason);
  return NULL;
}

/* Merges the points of these ids. *again: damage was found while writing, so nothing was written. */
static es_code_t merge_ids(const es_plan_t *plan, const es_search_t *search, const char *const *ids, const char *to,
                           unsigned how, es_results_t *results, bool *again, es_status_t *status) {
  const int64_t n = es_grid_count(plan->grid);
  int64_t left = 0;
  es_selection_t *missing = &results->missing;
  es_merge_t *merge = NULL;
  es_text_t list = {0};
  ES_TRY(es_merge_create(&merge, plan->output, ids, n, how, print_refused, NULL, status));
  for (int64_t i = 0; i < n; i++) {
    const es_outcome_t outcome = es_merge_outcome(merge, i);
    results->counts[outcome]++;
    const bool over = search != NULL && es_search_is_over(search, i), needed = !over && outcome == ES_OUTCOME_STOPPED;
    left += es_outcome_is_sound(outcome);
    results->left_out += over && outcome == ES_OUTCOME_MISSING;
    if ((!es_outcome_is_sound(outcome) && !(over && outcome == ES_OUTCOME_MISSING)) || needed)
      missing->index[missing->n++] = i;
  }
  es_selection_print(missing, &list);
  if (list.failed) es_out_of_memory(status, "merge", "the list of missing points");
  if (status->code == ES_OK && left > 0) write_merged(plan, merge, to, es_text_get(&list), status);
  if (status->code == ES_OK) print_survey(results, n, to, es_text_get(&list));
  if (status->code == ES_OK && es_merge_kinds(merge)->n > 1) print_kinds(merge, n, status);
  *again = es_merge_is_damaged(merge);
  es_text_destroy(&list);
  es_merge_destroy(merge);
  return status->code;
}

static es_code_t merge_plan(const es_plan_t *plan, const char *to, bool spectra, int *result, es_status_t *status) {
  const int64_t n = es_grid_count(plan->grid);
  const unsigned how = spectra ? ES_MERGE_SPECTRA : 0;
  bool again = false;
  es_search_t *search = NULL;
  const char **ids = es_allocate((size_t)n, sizeof *ids);
  es_results_t results = {.missing = {.index = es_allocate((size_t)n, sizeof(int64_t))}};
  if (ids == NULL || results.missing.index == NULL) {
    es_out_of_memory(status, "merge", "%lld points", (long long)n);
    goto out;
  }
  for (int64_t i = 0; i < n; i++) ids[i] = fit_id(plan, i);
  if (es_job_search(plan->job)->kind != ES_SEARCH_NONE && es_search_create(&search, plan, status) == ES_OK)
    es_search_look(search, status);
  if (status->code == ES_OK) merge_ids(plan, search, ids, to, how, &results, &again, status);
  if (again) { /* rare: read all numbers first, to learn which points are damaged */
    results = (es_results_t){.missing = {.index = results.missing.index}};
    *status = (es_status_t){0};
    merge_ids(plan, search, ids, to, how | ES_MERGE_CAREFUL, &results, &again, status);
  }
  *result = es_cli_results_code(&results);
out:
  es_search_destroy(search);
  es_results_destroy(&results);
  es_free(ids);
  return status->code;
}

static int merge(const es_arguments_t *arguments, es_status_t *status) {
  const char *to = es_arguments_option(arguments, "--to");
  const es_plan_request_t request = es_cli_request(arguments, 0);
  es_plan_t plan;
  int result = ES_EXIT_OK;
  ES_TRY(es_cli_check_target(to, es_merged_check, "a merged file", "merge", status));
  ES_TRY(es_plan_open(&plan, &request, status));
  es_plan_inspect_for_all(&plan);
  merge_plan(&plan, to, es_arguments_option(arguments, "--no-spectra") == NULL, &result, status);
  es_plan_destroy(&plan);
  return result;
}

int es_cli_merge(int argc, char **argv) {
#ifdef __GLIBC__ /* HDF5 allocates and frees half a MiB for each opened file; without these settings libc would get it \
                    from the kernel each time, which takes half of the total time. */
  mallopt(M_TRIM_THRESHOLD, 128 << 20);
  mallopt(M_TOP_PAD, 16 << 20);
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
#endif
  signal(SIGXFSZ, SIG_IGN); /* a write past the size limit then fails instead of killing us */
  return es_cli_command(argc, argv, &es_page_merge, 1, 1, merge);
}
