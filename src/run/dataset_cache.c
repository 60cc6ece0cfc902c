#include "dataset_cache.h"
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include "eigenscope/run.h"
#include "eigenscope/text.h"
#include "eigenscope/weights.h"
#include <string.h>

enum { RESOLUTION_LEAST = 8 }; /* the least that a job file allows */

static int spec_of(const es_dataset_cache_t *loaded, const char *name) {
  int spec = 0;
  while (strcmp(es_job_dataset(loaded->plan->job, spec)->name, name) != 0) spec++;
  return spec;
}

/* The dataset of this name at a resolution, or NULL. */
static es_dataset_t *find(const es_dataset_cache_t *loaded, const char *name, int32_t resolution) {
  const int spec = spec_of(loaded, name);
  for (int i = 0; i < loaded->n; i++) {
    const es_dataset_cache_item_t *item = &loaded->items[i];
    if (item->spec == spec && item->resolution == resolution) return item->dataset;
  }
  return NULL;
}

es_dataset_t *es_dataset_cache_find(const es_dataset_cache_t *loaded, const es_point_t *point,
                                    const es_dataset_t *others[ES_PROBE_DATASETS_MAX]) {
  for (int i = 0; i < es_probe_others(&point->probe); i++)
    others[i] = find(loaded, point->probe.datasets[i].spec->name, point->resolution);
  return find(loaded, point->dataset.name, point->resolution);
}

/* Loads one dataset. */
static es_code_t add(es_dataset_cache_t *loaded, const es_dataset_spec_t *spec, int32_t resolution,
                     es_status_t *status) {
  if (find(loaded, spec->name, resolution)) return ES_OK;
  es_dataset_cache_item_t *more = es_reallocate(loaded->items, (size_t)loaded->n + 1, sizeof *more);
  if (more)
    loaded->items = more;
  else
    es_out_of_memory(status, "run", "the list of datasets");
  ES_TRY(es_agree(MPI_COMM_WORLD, status));
  es_dataset_cache_item_t *item = &loaded->items[loaded->n];
  *item = (es_dataset_cache_item_t){spec_of(loaded, spec->name), resolution, NULL};
  const bool stream = loaded->stream && es_dataset_streams(spec);
  ES_TRY((stream ? es_dataset_stream : es_dataset_load)(&item->dataset, spec, resolution, MPI_COMM_WORLD, status));
  loaded->n++;
  return ES_OK;
}

es_code_t es_dataset_cache_add(es_dataset_cache_t *loaded, const es_point_t *point, es_status_t *status) {
  ES_TRY(add(loaded, &point->dataset, point->resolution, status));
  for (int i = 0; i < es_probe_others(&point->probe); i++)
    ES_TRY(add(loaded, point->probe.datasets[i].spec, point->resolution, status));
  return ES_OK;
}

/* Stores the fingerprint of dataset `spec` in known[spec] unless it is known. Uses a loaded dataset of any resolution;
 * else loads the dataset at the least resolution, because the fingerprint does not depend on it. */
static es_code_t know_fingerprint(const es_dataset_cache_t *loaded, int spec, char known[][ES_ID_SIZE],
                                  es_status_t *status) {
  es_dataset_t *alone = NULL;
  const es_dataset_t *dataset = NULL;
  if (known[spec][0]) return ES_OK;
  for (int i = 0; i < loaded->n && !dataset; i++) {
    if (loaded->items[i].spec == spec) dataset = loaded->items[i].dataset;
  }
  if (!dataset) {
    const es_dataset_spec_t *description = es_job_dataset(loaded->plan->job, spec);
    ES_TRY(es_dataset_load(&alone, description, RESOLUTION_LEAST, MPI_COMM_NULL, status));
    dataset = alone;
  }
  memcpy(known[spec], es_dataset_fingerprint(dataset), ES_ID_SIZE);
  es_dataset_destroy(alone);
  return ES_OK;
}

/* Fingerprint of all datasets of a point. */
static es_code_t chain_fingerprints(const es_dataset_cache_t *loaded, const es_point_t *point, char known[][ES_ID_SIZE],
                                    char out[ES_ID_SIZE], es_status_t *status) {
  const char *others[ES_PROBE_DATASETS_MAX];
  const int own = spec_of(loaded, point->dataset.name), n = es_probe_others(&point->probe);
  ES_TRY(know_fingerprint(loaded, own, known, status));
  for (int i = 0; i < n; i++) {
    const int spec = spec_of(loaded, point->probe.datasets[i].spec->name);
    ES_TRY(know_fingerprint(loaded, spec, known, status));
    others[i] = known[spec];
  }
  es_dataset_chain_fingerprints(out, known[own], others, n);
  return ES_OK;
}

/* Refuses a result of other data. It has one fingerprint of all its datasets, so nothing says which changed. */
static es_code_t refuse_data(const char *path, const es_point_t *point, bool weights, const char *was, const char *now,
                             es_status_t *status) {
  const int n = es_probe_others(&point->probe);
  es_text_t names = {0};
  es_text_append(&names, "dataset%s \"%s\"", n > 0 ? "s" : "", point->dataset.name);
  for (int i = 0; i < n; i++)
    es_text_append(&names, "%s \"%s\"", i + 1 < n ? "," : " and", point->probe.datasets[i].spec->name);
  es_fail(status, ES_INPUT, "run",
          "%s: was measured on other data (fingerprint %s, but the %s%s now %s %s%s); use another --output, or remove "
          "this result",
          path, was, es_text_get(&names), weights ? " with these weights" : "", n > 0 ? "have" : "has", now,
          n > 0 ? ": one of them has changed, or several" : "");
  es_text_destroy(&names);
  return status->code;
}

/* Checks that the result of one point, if it exists, was made from the same data. */
static es_code_t check_point(const es_dataset_cache_t *loaded, int64_t index, const es_known_t *result,
                             char known[][ES_ID_SIZE], es_status_t *status) {
  char path[ES_PATH_MAX];
  es_point_t point;
  es_result_summary_t summary;
  es_plan_point(loaded->plan, index, &point);
  es_results_summarize(loaded->plan, index, result, path, &summary);
  es_results_compare(loaded->plan, index, &summary);
  if (summary.outcome == ES_OUTCOME_UNFIT) return es_fail(status, ES_INPUT, "run", "%s: %s", path, summary.reason);
  if (!es_outcome_is_sound(summary.outcome)) return ES_OK;
  char now[ES_ID_SIZE], data[ES_ID_SIZE];
  const bool weights = point.source == ES_SOURCE_CHECKPOINT;
  ES_TRY(chain_fingerprints(loaded, &point, known, data, status));
  memcpy(now, data, sizeof now);
  if (weights) ES_TRY(es_weights_fingerprint(&point, data, now, NULL, status));
  if (strcmp(summary.fingerprint, now) == 0) return ES_OK;
  return refuse_data(path, &point, weights, summary.fingerprint, now, status);
}

es_code_t es_dataset_cache_check(const es_dataset_cache_t *loaded, const es_selection_t *selection,
                                 const es_known_t *results, es_status_t *status) {
  int rank;
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  if (rank == 0) {
    char(*known)[ES_ID_SIZE] = es_allocate_zero((size_t)es_job_n_datasets(loaded->plan->job), sizeof *known);
    if (!known) es_out_of_memory(status, "run", "the fingerprints of datasets");
    for (int64_t i = 0; i < selection->n && status->code == ES_OK; i++)
      check_point(loaded, selection->index[i], &results[i], known, status);
    es_free(known);
  }
  return es_agree(MPI_COMM_WORLD, status);
}

void es_dataset_cache_destroy(es_dataset_cache_t *loaded) {
  for (int i = 0; i < loaded->n; i++) es_dataset_destroy(loaded->items[i].dataset);
  es_free(loaded->items);
  *loaded = (es_dataset_cache_t){0};
}
