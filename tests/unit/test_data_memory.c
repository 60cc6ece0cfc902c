/* Memory that runs out at any moment of loading and selecting: a status, and nothing left behind. */
#include "../data_files.h"
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

/* The file that test_synthetic_write makes. */
static char written[IDX_PATH + 64];

static es_code_t summarize(const es_dataset_spec_t *spec, es_status_t *status) {
  es_dataset_summary_t summary;
  return es_dataset_summarize(&summary, spec, status);
}

static es_code_t write_file(const es_dataset_spec_t *spec, es_status_t *status) {
  return es_synthetic_write(written, &spec->synthetic, "a test", status);
}

/* Refuses one allocation after the other until none is left to refuse. Some can be done without. */
static void check_every_allocation(es_code_t (*work)(const es_dataset_spec_t *, es_status_t *),
                                   const es_dataset_spec_t *spec, int least) {
  int failures = 0;
  for (;; failures++) {
    es_status_t status = {0};
    asked = 0;
    refused = failures;
    es_code_t code = work(spec, &status);
    refused = -1;
    assert_int_equal(es_memory_balance(), 0);
    if (asked <= failures) break;
    if (code == ES_OK) continue;
    assert_int_equal(code, ES_SYSTEM);
    assert_int_equal(status.code, ES_SYSTEM);
    assert_non_null(strstr(status.message, "memory"));
  }
  assert_true(failures >= least);
}

static void test_idx(void **state) {
  (void)state;
  char folder[IDX_PATH];
  idx_folder_create(folder);
  idx_write_all(folder, true, 10, 5, 5, 6, 2);
  es_dataset_spec_t spec = idx_spec(folder);
  check_every_allocation(prepare, &spec, 20);
  check_every_allocation(summarize, &spec, 5);
  idx_folder_destroy(folder);
}

static void test_synthetic(void **state) {
  (void)state;
  es_dataset_spec_t spec = {.name = "synthetic", .format = ES_FORMAT_SYNTHETIC};
  spec.synthetic = (es_synthetic_t){.classes = 2, .complexity = 1, .size = 8, .channels = 3, .train = 6, .eval = 4};
  check_every_allocation(prepare, &spec, 16);
  check_every_allocation(summarize, &spec, 3);
}

static void test_cifar(void **state) {
  (void)state;
  char folder[IDX_PATH];
  idx_folder_create(folder);
  cifar10_write(folder, 4, 6, 2);
  es_dataset_spec_t spec = data_spec(ES_FORMAT_CIFAR10, folder);
  check_every_allocation(prepare, &spec, 16);
  check_every_allocation(summarize, &spec, 5);
  data_folder_destroy(folder);
}

static void test_hdf5(void **state) {
  (void)state;
  char folder[IDX_PATH], path[IDX_PATH + 64];
  idx_folder_create(folder);
  data_path(path, folder, "images.h5");
  h5_layout_t layout = h5_layout(10, 5, 5, 6, 3, 2);
  h5_write(path, &layout, NULL);
  es_dataset_spec_t spec = data_spec(ES_FORMAT_HDF5, path);
  check_every_allocation(prepare, &spec, 16);
  check_every_allocation(summarize, &spec, 6);
  data_folder_destroy(folder);
}

/* Only what is whole gets the name. */
static void test_synthetic_write(void **state) {
  (void)state;
  char folder[IDX_PATH];
  es_dataset_spec_t spec = {
      .synthetic = {.classes = 2, .complexity = 1, .size = 8, .channels = 3, .train = 6, .eval = 4}};
  idx_folder_create(folder);
  data_path(written, folder, "images.h5");
  check_every_allocation(write_file, &spec, 5);
  assert_int_equal(unlink(written), 0);
  assert_int_equal(rmdir(folder), 0); /* no part was left */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      balanced_test(test_idx),  balanced_test(test_synthetic),       balanced_test(test_cifar),
      balanced_test(test_hdf5), balanced_test(test_synthetic_write),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
