/* Real data: Fashion-MNIST from Debian's package dataset-fashion-mnist; the test is skipped if it is missing. */
#include "eigenscope/data.h"
#include "eigenscope/file.h"
#include "support/unit.h"
#include <math.h>
#include <string.h>

static const char FOLDER[] = "/usr/share/datasets/fashion-mnist";

static es_dataset_spec_t fashion(es_fit_t fit) {
  es_dataset_spec_t spec = {.name = "fashion-mnist", .format = ES_FORMAT_IDX, .fit = fit};
  strcpy(spec.path, FOLDER);
  return spec;
}

static void skip_without_data(void) {
  if (es_directory_exists(FOLDER)) return;
  print_message("skipped: no %s (Debian package dataset-fashion-mnist)\n", FOLDER);
  skip();
}

TEST(info) {
  skip_without_data();
  es_dataset_spec_t spec = fashion(ES_FIT_RESIZE);
  es_dataset_info_t info;
  assert_ok(es_dataset_inspect(&info, &spec, fresh()));
  assert_int_equal(info.classes, 10);
  assert_int_equal(info.height, 28);
  assert_int_equal(info.width, 28);
  assert_int_equal(info.count[ES_TRAIN], 60000);
  assert_int_equal(info.count[ES_EVAL], 10000);
  for (int c = 0; c < 10; c++) {
    assert_int_equal(info.class_count[ES_TRAIN][c], 6000);
    assert_int_equal(info.class_count[ES_EVAL][c], 1000);
  }
}

/* Published mean and deviation of the train images: 0.2860 and 0.3530. */
TEST(pixels) {
  skip_without_data();
  es_point_t point = {.dataset = fashion(ES_FIT_PAD), .resolution = 28};
  es_dataset_t *dataset;
  es_samples_t samples;
  assert_ok(es_dataset_load(&dataset, &point.dataset, 28, MPI_COMM_NULL, fresh()));
  assert_ok(es_point_bind(&point, es_dataset_info(dataset), "job.yaml", fresh()));
  assert_ok(es_samples_select(&samples, dataset, &point, ES_TRAIN, fresh()));
  assert_int_equal(samples.n, 60000);
  for (int c = 0; c < 3; c++) {
    assert_true(fabs(samples.mean[c] - 0.2860) < 5e-5);
    assert_true(fabs(samples.deviation[c] - 0.3530) < 5e-5);
  }
  const int32_t labels[] = {9, 0, 0, 3, 0, 2, 7, 2, 5, 5}; /* the first ten: ankle boot, T-shirt, T-shirt, dress, ... */
  assert_memory_equal(samples.label, labels, sizeof labels);
  assert_string_equal(es_dataset_fingerprint(dataset), "8ec99946dc1f73b8");
  es_samples_destroy(&samples);
  es_dataset_destroy(dataset);
}
