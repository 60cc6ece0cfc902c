/* Writes the resolved job of a plan. */
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "plan_internal.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char STAGE[] = "plan";

/* Returns a path that the resolved job does not hold unchanged, because it is not UTF-8; NULL if there is none. */
static const char *changed_path(const es_job_t *job, const es_job_t *again, const char *output) {
  const es_external_t *a = &es_job_base(job)->external, *b = &es_job_base(again)->external;
  if (strcmp(es_job_output(again), output) != 0) return output;
  for (int split = 0; split < ES_SPLITS; split++) {
    if (strcmp(a->file[split], b->file[split]) != 0) return a->file[split];
  }
  for (int i = 0; i < es_job_n_datasets(again); i++) {
    const es_dataset_spec_t *found = es_job_dataset(again, i), *spec = NULL;
    for (int k = 0; k < es_job_n_datasets(job) && spec == NULL; k++) {
      if (strcmp(es_job_dataset(job, k)->name, found->name) == 0) spec = es_job_dataset(job, k);
    }
    if (spec != NULL && strcmp(spec->path, found->path) != 0) return spec->path;
  }
  return NULL;
}

/* Reads the resolved job again, and checks that it defines the same points with the same paths. */
static es_code_t check(const es_plan_t *plan, const es_text_t *text, const char *output, es_status_t *status) {
  es_job_t *job = NULL;
  es_grid_t *grid = NULL;
  es_status_t own = {0};
  const int64_t n = es_grid_count(plan->grid);
  if (es_job_parse(&job, es_text_get(text), text->length, "the resolved job", NULL, 0, &own) != ES_OK ||
      es_grid_create(&grid, job, &own) != ES_OK) {
    es_fail(status, own.code, STAGE, "%s: cannot be resolved: %s", es_job_path(plan->job), own.message);
    goto out;
  }
  const char *path = changed_path(plan->job, job, output);
  if (path != NULL)
    es_fail(status, ES_INPUT, STAGE,
            "%s: cannot be resolved: a job file cannot hold this path, which is not UTF-8 text: %s",
            es_job_path(plan->job), path);
  bool same = es_grid_count(grid) == n;
  for (int64_t i = 0; i < n && same; i++) same = strcmp(es_grid_id(grid, i), es_grid_id(plan->grid, i)) == 0;
  if (!same) es_fail(status, ES_BUG, STAGE, "%s: the resolved job has other points", es_job_path(plan->job));
out:
  es_grid_destroy(grid);
  es_job_destroy(job);
  return status->code;
}

/* True if the file has exactly this content. */
static bool holds(const char *path, const es_text_t *text) {
  char *data = NULL;
  size_t size = 0;
  const bool equal = es_file_read_most(path, text->length, &data, &size, &(es_status_t){0}) == ES_OK &&
                     size == text->length && memcmp(data, es_text_get(text), size) == 0;
  es_free(data);
  return equal;
}

es_code_t es_plan_resolve(const es_plan_t *plan, const es_plan_request_t *request, const char *folder, es_text_t *out,
                          es_status_t *status) {
  es_text_t text = {0}, output = {0}, path = {0};
  char here[ES_PATH_MAX] = "";
  if (plan->output[0] != '/' && getcwd(here, sizeof here) == NULL) {
    es_fail(status, ES_INPUT, STAGE, "the working directory is unknown, so the folder %s cannot be found later",
            plan->output);
    goto out;
  }
  es_text_append(&output, "%s%s%s", here, here[0] != '\0' && strcmp(here, "/") != 0 ? "/" : "", plan->output);
  es_job_print_origin(plan->job, request->sets, request->n_sets, &text);
  es_grid_resolve(plan->grid, plan->job, es_text_get(&output), &text);
  es_text_append(&path, "%s/job-%016llx.yaml", folder, (unsigned long long)es_hash(es_text_get(&text), text.length, 0));
  if (text.failed || output.failed || path.failed) {
    es_out_of_memory(status, STAGE, "the resolved job");
    goto out;
  }
  if (check(plan, &text, es_text_get(&output), status) != ES_OK) goto out;
  if (es_directory_create(folder, status) != ES_OK) goto out;
  es_file_remove_parts(es_text_get(&path));
  if (!holds(es_text_get(&path), &text))
    es_file_write_atomic(es_text_get(&path), es_text_get(&text), text.length, status);
  es_text_append(out, "file: %s\noutput: %s\n", es_text_get(&path), es_text_get(&output));
out:
  es_text_destroy(&text);
  es_text_destroy(&output);
  es_text_destroy(&path);
  return status->code;
}
