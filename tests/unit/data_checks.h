/* Checks for tests of datasets: loading succeeds, or fails as expected. */
#ifndef ES_TEST_UNIT_DATA_CHECKS_H
#define ES_TEST_UNIT_DATA_CHECKS_H

#include "../../src/data/dataset.h"
#include "support/datasets.h"
#include "support/unit.h"

static inline es_dataset_t *load(es_format_t format, const char *path, int32_t resolution) {
  es_dataset_t *dataset = NULL;
  const es_dataset_spec_t spec = data_spec(format, path);
  assert_ok(es_dataset_load(&dataset, &spec, resolution, MPI_COMM_NULL, fresh()));
  return dataset;
}

static inline es_code_t inspect(es_format_t format, const char *path, es_status_t *status) {
  es_dataset_info_t info;
  const es_dataset_spec_t spec = data_spec(format, path);
  *status = (es_status_t){0};
  return es_dataset_inspect(&info, &spec, status);
}

/* Checks that inspecting and loading fail with one message; returns it, valid until the next call. */
static inline const char *refusal(es_format_t format, const char *path) {
  static es_status_t status;
  es_status_t again = {0};
  es_dataset_t *dataset;
  const es_dataset_spec_t spec = data_spec(format, path);
  assert_int_equal(inspect(format, path, &status), ES_INPUT);
  assert_string_equal(status.stage, "data");
  assert_int_equal(es_dataset_load(&dataset, &spec, 8, MPI_COMM_NULL, &again), ES_INPUT);
  assert_string_equal(again.message, status.message);
  assert_null(dataset);
  return status.message;
}

#endif
