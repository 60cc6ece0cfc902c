/* Memory that runs out at any moment of loading and selecting: a status, and nothing left behind. */
#include "../idx_files.h"
#include "check.h"
#include "eigenscope/data.h"
#include <errno.h>
#include <stdlib.h>

/* Stands before libc's for es_allocate: the allocation numbered `refused` fails. */
static int64_t asked, refused = -1;

int posix_memalign(void **out, size_t alignment, size_t size) {
  if (asked++ == refused) return ENOMEM;
  *out = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  return *out != NULL ? 0 : ENOMEM;
}

/* All that a point needs of its dataset; ES_OK, or the first failure with its sentence in status. */
static es_code_t prepare(const es_dataset_spec_t *spec, es_status_t *status) {
  es_dataset_t *dataset;
  es_samples_t samples[ES_SPLITS] = {{0}};
  es_point_t point = {.dataset = *spec, .classes = 2};
  point.dataset.limit[ES_TRAIN] = 4;
  ES_TRY(es_dataset_load(&dataset, spec, 7, MPI_COMM_NULL, status));
  es_code_t code = es_samples_select(&samples[ES_TRAIN], dataset, &point, ES_TRAIN, status);
  if (code == ES_OK) code = es_samples_select(&samples[ES_EVAL], dataset, &point, ES_EVAL, status);
  for (int split = 0; split < ES_SPLITS; split++) es_samples_destroy(&samples[split]);
  es_dataset_destroy(dataset);
  return code;
}

/* Refuses one allocation after the other until none is left to refuse. */
static void check_every_allocation(const es_dataset_spec_t *spec, int least) {
  int failures = 0;
  for (;; failures++) {
    es_status_t status = {0};
    asked = 0;
    refused = failures;
    es_code_t code = prepare(spec, &status);
    refused = -1;
    assert_int_equal(es_memory_balance(), 0);
    if (code == ES_OK) break;
    assert_int_equal(code, ES_SYSTEM);
    assert_int_equal(status.code, ES_SYSTEM);
    assert_non_null(strstr(status.message, "not enough memory"));
  }
  assert_true(failures >= least);
}

static void test_idx(void **state) {
  (void)state;
  char folder[IDX_PATH];
  idx_folder_create(folder);
  idx_write_all(folder, true, 10, 5, 5, 6, 2);
  es_dataset_spec_t spec = idx_spec(folder);
  check_every_allocation(&spec, 20);
  idx_folder_destroy(folder);
}

static void test_synthetic(void **state) {
  (void)state;
  es_dataset_spec_t spec = {.name = "synthetic", .format = ES_FORMAT_SYNTHETIC};
  spec.synthetic = (es_synthetic_t){.classes = 2, .complexity = 1, .size = 8, .channels = 3, .train = 6, .eval = 4};
  check_every_allocation(&spec, 16);
}

int main(void) {
  const struct CMUnitTest tests[] = {balanced_test(test_idx), balanced_test(test_synthetic)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
