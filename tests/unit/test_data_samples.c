/* Selecting samples of a dataset for a point: binding, the balanced limit, normalisation. */
#include "eigenscope/data.h"
#include "support/datasets.h"
#include "support/unit.h"
#include <math.h>

enum { TRAIN = 100, EVAL = 30, SIDE = 8, CLASSES = 4 };

static es_dataset_t *dataset;

static void set_up(void) {
  enter_folder();
  idx_write_all(folder, false, TRAIN, EVAL, SIDE, SIDE, CLASSES);
  es_dataset_spec_t spec = data_spec(ES_FORMAT_IDX, folder);
  assert_ok(es_dataset_load(&dataset, &spec, SIDE, MPI_COMM_NULL, fresh()));
}

static void tear_down(void) {
  es_dataset_destroy(dataset);
  leave_folder();
}

static es_point_t point_of(int32_t classes, int64_t limit_train, int64_t limit_eval) {
  es_point_t point = {.classes = classes, .resolution = SIDE, .line_classes = 12, .n_axes = 2};
  point.dataset = data_spec(ES_FORMAT_IDX, folder);
  point.dataset.line = 20;
  point.dataset.limit[ES_TRAIN] = limit_train;
  point.dataset.limit[ES_EVAL] = limit_eval;
  strcpy(point.axes[0].name, "width");
  strcpy(point.axes[1].name, "classes");
  strcpy(point.axes[1].text, "all");
  return point;
}

static void assert_bind_refused(es_point_t point, const es_dataset_info_t *info, const char *message) {
  int32_t classes = point.classes;
  assert_fails(es_point_bind(&point, info, "job.yaml", fresh()), ES_INPUT, message);
  assert_string_equal(said.stage, "data");
  assert_int_equal(point.classes, classes);
}

TEST_WITH(set_up, tear_down, bind) {
  const es_dataset_info_t *info = es_dataset_info(dataset);
  es_point_t all = point_of(0, 0, 0), some = point_of(3, 3, 3);
  assert_ok(es_point_bind(&all, info, "job.yaml", fresh()));
  assert_int_equal(all.classes, CLASSES);
  assert_true(all.axes[1].is_number && all.axes[1].number == CLASSES);
  assert_string_equal(all.axes[1].text, "all");
  assert_false(all.axes[0].is_number);
  assert_ok(es_point_bind(&some, info, "job.yaml", fresh()));
  assert_int_equal(some.classes, 3);

  assert_bind_refused(point_of(5, 0, 0), info,
                      "job.yaml:12: classes: 5, but dataset \"tiny\" has only 4; use 2 to 4, or all");
  assert_bind_refused(point_of(1, 0, 0), info,
                      "job.yaml:12: classes: 1, but a problem needs at least 2 classes; dataset \"tiny\" has 4");
  assert_bind_refused(
      point_of(0, 3, 0), info,
      "job.yaml:20: limit.train: 3, but each of the 4 classes of dataset \"tiny\" needs a sample; use at least 4");
  assert_bind_refused(
      point_of(3, 0, 2), info,
      "job.yaml:20: limit.eval: 2, but each of the 3 classes of dataset \"tiny\" needs a sample; use at least 3");
  es_point_t unknown_line = point_of(5, 0, 0);
  unknown_line.line_classes = 0;
  assert_bind_refused(unknown_line, info, "job.yaml: classes: 5, but dataset \"tiny\" has only 4; use 2 to 4, or all");
}

TEST_WITH(set_up, tear_down, bind_class_without_eval) {
  es_dataset_info_t info = *es_dataset_info(dataset);
  info.class_count[ES_EVAL][2] = 0;
  assert_bind_refused(
      point_of(0, 0, 0), &info,
      "job.yaml:12: classes: 4, but class 2 of dataset \"tiny\" has no eval sample; use at most 2 classes");
  es_point_t two = point_of(2, 0, 0);
  assert_ok(es_point_bind(&two, &info, "job.yaml", fresh()));
}

/* The definition written out: walk the file, and take a sample while its class has not reached its share. */
static void check_selection(int32_t classes, int64_t limit, es_split_t split) {
  es_point_t point = point_of(classes, limit, limit);
  es_samples_t samples;
  assert_ok(es_point_bind(&point, es_dataset_info(dataset), "job.yaml", fresh()));
  assert_ok(es_samples_select(&samples, dataset, &point, split, fresh()));
  int64_t taken[CLASSES] = {0}, n = 0;
  for (int64_t i = 0; i < (split == ES_TRAIN ? TRAIN : EVAL); i++) {
    int label = idx_label(i, CLASSES);
    if (label >= classes) continue;
    int64_t share = limit == 0 ? TRAIN : limit / classes + (label < limit % classes ? 1 : 0);
    if (taken[label] == share) continue;
    taken[label]++;
    assert_true(n < samples.n);
    assert_int_equal(samples.index[n], i);
    assert_int_equal(samples.label[n], label);
    n++;
  }
  assert_int_equal(samples.n, n);
  assert_int_equal(es_point_samples(&point, es_dataset_info(dataset), split), n);
  assert_ptr_equal(samples.dataset, dataset);
  assert_int_equal(samples.split, split);
  assert_int_equal(samples.resolution, SIDE);
  es_samples_destroy(&samples);
  assert_null(samples.index);
}

TEST_WITH(set_up, tear_down, select) {
  for (int32_t classes = 2; classes <= CLASSES; classes++) {
    for (int split = 0; split < ES_SPLITS; split++) {
      check_selection(classes, 0, split);
      check_selection(classes, classes, split);
      check_selection(classes, 14, split); /* 4 classes: shares of 4, 4, 3, 3 */
      check_selection(classes, 98, split); /* more than some classes have */
      check_selection(classes, 1000000, split);
    }
  }
}

/* The limit is balanced: 14 of 4 classes. */
TEST_WITH(set_up, tear_down, limit_is_balanced) {
  es_point_t point = point_of(0, 14, 0);
  es_samples_t samples;
  assert_ok(es_point_bind(&point, es_dataset_info(dataset), "job.yaml", fresh()));
  assert_ok(es_samples_select(&samples, dataset, &point, ES_TRAIN, fresh()));
  int counts[CLASSES] = {0};
  for (int64_t i = 0; i < samples.n; i++) counts[samples.label[i]]++;
  const int expected[CLASSES] = {4, 4, 3, 3};
  assert_memory_equal(counts, expected, sizeof counts);
  es_samples_destroy(&samples);
}

/* Mean and deviation are those of the chosen train samples for any requested split. Reference: two passes. */
TEST_WITH(set_up, tear_down, normalisation) {
  enum { PIXELS = SIDE * SIDE };
  es_point_t point = point_of(3, 20, 9);
  es_samples_t train, eval;
  assert_ok(es_samples_select(&train, dataset, &point, ES_TRAIN, fresh()));
  assert_ok(es_samples_select(&eval, dataset, &point, ES_EVAL, fresh()));
  double sum = 0, squares = 0, total = (double)(train.n * PIXELS);
  for (int64_t i = 0; i < train.n * PIXELS; i++) {
    sum += idx_pixel(ES_TRAIN, train.index[i / PIXELS] * (int64_t)PIXELS + i % PIXELS) / 255.0;
  }
  for (int64_t i = 0; i < train.n * PIXELS; i++) {
    double value = idx_pixel(ES_TRAIN, train.index[i / PIXELS] * (int64_t)PIXELS + i % PIXELS) / 255.0;
    squares += (value - sum / total) * (value - sum / total);
  }
  for (int c = 0; c < 3; c++) {
    assert_true(fabs(train.mean[c] - sum / total) < 1e-13);
    assert_true(fabs(train.deviation[c] - sqrt(squares / total)) < 1e-13);
  }
  assert_memory_equal(eval.mean, train.mean, sizeof eval.mean);
  assert_memory_equal(eval.deviation, train.deviation, sizeof eval.deviation);
  es_samples_destroy(&train);
  es_samples_destroy(&eval);
}

TEST_WITH(set_up, tear_down, normalisation_given) {
  es_point_t point = point_of(3, 0, 0);
  point.dataset.normalize_given = true;
  for (int c = 0; c < 3; c++) {
    point.dataset.mean[c] = 0.1 * c;
    point.dataset.deviation[c] = c == 2 ? 0 : 0.5 - 0.1 * c;
  }
  es_samples_t samples;
  assert_ok(es_samples_select(&samples, dataset, &point, ES_EVAL, fresh()));
  const double deviation[3] = {0.5, 0.4, 1}; /* a deviation of 0 is replaced by 1 */
  assert_memory_equal(samples.mean, point.dataset.mean, sizeof samples.mean);
  for (int c = 0; c < 3; c++) assert_true(samples.deviation[c] == deviation[c]);
  es_samples_destroy(&samples);
}

/* Constant images: a deviation of exactly 0 (integer arithmetic) is replaced by 1. Three colours, each alone. */
TEST_WITH(set_up, tear_down, normalisation_of_constants) {
  idx_bytes_t images = idx_images(ES_TRAIN, TRAIN, SIDE, SIDE);
  memset(images.data + 16, 51, images.size - 16);
  idx_write_raw(folder, IDX_TRAIN_IMAGES, "", images.data, images.size);
  free(images.data);
  es_dataset_spec_t spec = data_spec(ES_FORMAT_IDX, folder);
  es_dataset_t *constant;
  es_samples_t samples;
  es_point_t point = point_of(4, 0, 0);
  assert_ok(es_dataset_load(&constant, &spec, 33, MPI_COMM_NULL, fresh()));
  assert_ok(es_samples_select(&samples, constant, &point, ES_TRAIN, fresh()));
  for (int c = 0; c < 3; c++) {
    assert_true(samples.mean[c] == 51 / 255.0);
    assert_true(samples.deviation[c] == 1);
  }
  es_samples_destroy(&samples);
  es_dataset_destroy(constant);
}

TEST_WITH(set_up, tear_down, normalisation_of_colours) {
  es_dataset_spec_t spec = {.name = "colours", .format = ES_FORMAT_SYNTHETIC};
  spec.synthetic = (es_synthetic_t){.classes = 2, .complexity = 2, .size = 9, .channels = 3, .train = 6, .eval = 2};
  es_point_t point = {.classes = 2, .dataset = spec};
  es_dataset_t *colours;
  es_samples_t samples;
  assert_ok(es_dataset_load(&colours, &spec, 9, MPI_COMM_NULL, fresh()));
  assert_ok(es_samples_select(&samples, colours, &point, ES_TRAIN, fresh()));
  double sum[3] = {0}, squares[3] = {0};
  uint8_t image[9 * 9 * 3];
  for (int64_t i = 0; i < 6; i++) {
    es_synthetic_image(&spec.synthetic, ES_TRAIN, i, image);
    for (size_t k = 0; k < sizeof image; k++) {
      sum[k % 3] += image[k];
      squares[k % 3] += image[k] * image[k];
    }
  }
  for (int c = 0; c < 3; c++) {
    double mean = sum[c] / (6 * 81), variance = squares[c] / (6 * 81) - mean * mean;
    assert_true(fabs(samples.mean[c] - mean / 255) < 1e-12);
    assert_true(fabs(samples.deviation[c] - sqrt(variance) / 255) < 1e-12);
  }
  es_samples_destroy(&samples);
  es_dataset_destroy(colours);
}

/* The files changed after the plan was made. */
TEST_WITH(set_up, tear_down, fewer_classes_than_bound) {
  es_point_t point = point_of(CLASSES + 1, 0, 0);
  es_samples_t samples;
  assert_int_equal(es_samples_select(&samples, dataset, &point, ES_TRAIN, fresh()), ES_INPUT);
  assert_int_equal(strncmp(said.message, folder, strlen(folder)), 0);
  assert_non_null(
      strstr(said.message, ": changed during the run: it has 4 classes now, and had 5 when the run started"));
}
