/* CIFAR files: what is read from good ones, and the sentence that each kind of bad one gets. */
#include "../../src/data/dataset.h"
#include "../data_files.h"
#include "check.h"
#include <sys/stat.h>

enum { EACH = 9, TRAIN = 5 * EACH, EVAL = 20, CLASSES = 10, FINE = 100, RECORD = 1 + CIFAR_IMAGE };

static char folder[IDX_PATH];

static int setup(void **state) {
  (void)state;
  idx_folder_create(folder);
  return 0;
}

static int teardown(void **state) {
  data_folder_destroy(folder);
  return check_balance(state);
}

static es_dataset_t *load(const es_dataset_spec_t *spec) {
  es_status_t status = {0};
  es_dataset_t *dataset = NULL;
  if (es_dataset_load(&dataset, spec, 32, MPI_COMM_NULL, &status) != ES_OK) fail_msg("%s", status.message);
  return dataset;
}

/* Every pixel where NHWC has it, every label, counts by class. */
static void check_content(const es_dataset_t *dataset, int64_t train, int64_t eval, int classes, int divisor) {
  const int64_t counts[ES_SPLITS] = {train, eval};
  const es_dataset_info_t *info = es_dataset_info(dataset);
  assert_int_equal(info->height, 32);
  assert_int_equal(info->width, 32);
  assert_int_equal(info->channels, 3);
  assert_int_equal(info->classes, classes / divisor);
  for (int split = 0; split < ES_SPLITS; split++) {
    int32_t expected[ES_CLASSES_MAX] = {0};
    assert_int_equal(info->count[split], counts[split]);
    for (int64_t i = 0; i < counts[split]; i++) {
      int label = idx_label(i, classes) / divisor;
      assert_int_equal(dataset->labels[split][i], label);
      expected[label]++;
      for (int64_t p = 0; p < CIFAR_IMAGE; p++) {
        assert_int_equal(dataset->pixels[split][i * CIFAR_IMAGE + p], idx_pixel(split, i * CIFAR_IMAGE + p));
      }
    }
    assert_memory_equal(info->class_count[split], expected, sizeof expected);
  }
}

static void test_cifar10(void **state) {
  (void)state;
  es_dataset_spec_t spec = data_spec(ES_FORMAT_CIFAR10, folder);
  cifar10_write(folder, EACH, EVAL, CLASSES);
  es_dataset_t *dataset = load(&spec);
  check_content(dataset, TRAIN, EVAL, CLASSES, 1);
  es_dataset_destroy(dataset);
}

/* More images than are read at once, and than a block has; batches of other lengths than blocks. */
static void test_many(void **state) {
  (void)state;
  es_dataset_spec_t spec = data_spec(ES_FORMAT_CIFAR10, folder);
  cifar10_write(folder, 601, 64, CLASSES);
  es_dataset_t *dataset = load(&spec);
  check_content(dataset, 5 * 601, 64, CLASSES, 1);
  es_dataset_destroy(dataset);
}

static void test_cifar100(void **state) {
  (void)state;
  es_dataset_spec_t spec = data_spec(ES_FORMAT_CIFAR100, folder);
  cifar100_write(folder, 250, 120, FINE);
  es_dataset_t *fine = load(&spec);
  check_content(fine, 250, 120, FINE, 1);
  spec.labels = ES_LABELS_COARSE;
  es_dataset_t *coarse = load(&spec);
  check_content(coarse, 250, 120, FINE, 5);
  assert_string_not_equal(es_dataset_fingerprint(fine), es_dataset_fingerprint(coarse));
  es_dataset_destroy(fine);
  es_dataset_destroy(coarse);
}

static void test_packed_is_the_same(void **state) {
  (void)state;
  char plain[ES_ID_SIZE], path[IDX_PATH + 64];
  es_dataset_spec_t spec = data_spec(ES_FORMAT_CIFAR10, folder);
  cifar10_write(folder, EACH, EVAL, CLASSES);
  es_dataset_t *dataset = load(&spec);
  snprintf(plain, sizeof plain, "%s", es_dataset_fingerprint(dataset));
  es_dataset_destroy(dataset);
  uint8_t *records = cifar_records(ES_TRAIN, EACH, EACH, 1, CLASSES);
  data_path(path, folder, CIFAR10_NAMES[1]);
  assert_int_equal(unlink(path), 0);
  data_write_packed(folder, "data_batch_2.bin.gz", records, EACH * RECORD);
  free(records);
  dataset = load(&spec);
  assert_string_equal(es_dataset_fingerprint(dataset), plain);
  es_dataset_destroy(dataset);
}

/* Inspecting and loading fail in the same words, which are `folder`/`expected`. */
static void assert_refused(es_format_t format, const char *expected) {
  char message[1024];
  es_dataset_info_t info;
  es_dataset_t *dataset;
  es_status_t status = {0}, again = {0};
  es_dataset_spec_t spec = data_spec(format, folder);
  snprintf(message, sizeof message, "%s/%s", folder, expected);
  assert_int_equal(es_dataset_inspect(&info, &spec, &status), ES_INPUT);
  assert_string_equal(status.message, message);
  assert_string_equal(status.stage, "data");
  assert_int_equal(es_dataset_load(&dataset, &spec, 8, MPI_COMM_NULL, &again), ES_INPUT);
  assert_string_equal(again.message, message);
  assert_null(dataset);
}

static void test_missing(void **state) {
  (void)state;
  char path[IDX_PATH + 64];
  cifar10_write(folder, EACH, EVAL, CLASSES);
  data_path(path, folder, "data_batch_4.bin");
  assert_int_equal(unlink(path), 0);
  assert_refused(ES_FORMAT_CIFAR10, "data_batch_4.bin: there is no such file, neither plain nor with .gz");
  assert_refused(ES_FORMAT_CIFAR100, "train.bin: there is no such file, neither plain nor with .gz");
  data_write(folder, "data_batch_1", "", 0);
  data_write(folder, "train", "", 0);
  assert_refused(ES_FORMAT_CIFAR10, "data_batch_4.bin: there is no such file, but data_batch_1 of the Python version; "
                                    "fetch the binary version of CIFAR-10");
  assert_refused(ES_FORMAT_CIFAR100, "train.bin: there is no such file, but train of the Python version; fetch the "
                                     "binary version of CIFAR-100");
  es_dataset_info_t info;
  es_status_t status = {0};
  es_dataset_spec_t spec = data_spec(ES_FORMAT_CIFAR100, "no/such/folder");
  assert_int_equal(es_dataset_inspect(&info, &spec, &status), ES_INPUT);
  assert_string_equal(status.message,
                      "no/such/folder: there is no such folder; it should hold train.bin and test.bin, plain or .gz");
}

/* One file of CIFAR-10 with so many bytes of sound records. */
static void put(int file, int64_t bytes) {
  uint8_t *records = cifar_records(file < 5 ? ES_TRAIN : ES_EVAL, 0, bytes / RECORD + 1, 1, CLASSES);
  data_write(folder, CIFAR10_NAMES[file], records, (size_t)bytes);
  free(records);
}

static void test_truncated(void **state) {
  (void)state;
  cifar10_write(folder, EACH, EVAL, CLASSES);
  put(2, EACH * RECORD - 1);
  assert_refused(ES_FORMAT_CIFAR10, "data_batch_3.bin: truncated or too long: 27656 bytes, where a file of CIFAR-10 is "
                                    "a number of whole images of 3073 bytes");
  put(2, (EACH - 1) * RECORD);
  assert_refused(ES_FORMAT_CIFAR10,
                 "data_batch_3.bin: 8 images where data_batch_1.bin has 9; all must have the same number");
  put(2, EACH * RECORD);
  put(5, 0);
  assert_refused(ES_FORMAT_CIFAR10, "test_batch.bin: truncated or too long: 0 bytes, where a file of CIFAR-10 is a "
                                    "number of whole images of 3073 bytes");
  cifar100_write(folder, 300, 120, FINE);
  uint8_t *records = cifar_records(ES_EVAL, 0, 120, 2, FINE);
  data_write(folder, "test.bin", records, 100 * (1 + RECORD) + 17);
  assert_refused(ES_FORMAT_CIFAR100, "test.bin: truncated or too long: 307417 bytes, where a file of CIFAR-100 is a "
                                     "number of whole images of 3074 bytes");
  free(records);
}

static void test_too_long(void **state) {
  (void)state;
  cifar10_write(folder, EACH, EVAL, CLASSES);
  put(5, EVAL * RECORD + 2);
  assert_refused(ES_FORMAT_CIFAR10, "test_batch.bin: truncated or too long: 61462 bytes, where a file of CIFAR-10 is a "
                                    "number of whole images of 3073 bytes");
  put(5, EVAL * RECORD);
  put(4, (EACH + 1) * RECORD);
  assert_refused(ES_FORMAT_CIFAR10,
                 "data_batch_5.bin: 10 images where data_batch_1.bin has 9; all must have the same number");
}

static void test_packed_cut_off(void **state) {
  (void)state;
  char path[IDX_PATH + 64], start[2 * IDX_PATH];
  struct stat facts;
  es_dataset_info_t info;
  es_dataset_spec_t spec = data_spec(ES_FORMAT_CIFAR100, folder);
  cifar100_write(folder, 300, 120, FINE);
  uint8_t *records = cifar_records(ES_EVAL, 0, 120, 2, FINE);
  data_write_packed(folder, "test.bin.gz", records, 120 * (1 + RECORD));
  free(records);
  data_path(path, folder, "test.bin");
  assert_int_equal(unlink(path), 0);
  data_path(path, folder, "test.bin.gz");
  assert_int_equal(es_dataset_inspect(&info, &spec, &(es_status_t){0}), ES_OK);
  assert_int_equal(stat(path, &facts), 0);
  snprintf(start, sizeof start, "%s: truncated: the gzip data break off after ", path);
  for (off_t size = facts.st_size - 1; size > 1000; size -= 20011) { /* the checksum alone, then more and more */
    es_status_t status = {0};
    assert_int_equal(truncate(path, size), 0);
    assert_int_equal(es_dataset_inspect(&info, &spec, &status), ES_INPUT);
    if (strncmp(status.message, start, strlen(start)) != 0) fail_msg("%s", status.message);
  }
}

static void test_labels_out_of_range(void **state) {
  (void)state;
  cifar10_write(folder, EACH, EVAL, CLASSES);
  uint8_t *records = cifar_records(ES_TRAIN, 3 * EACH, EACH, 1, CLASSES);
  records[7 * RECORD] = 10;
  data_write(folder, "data_batch_4.bin", records, EACH * RECORD);
  assert_refused(ES_FORMAT_CIFAR10,
                 "data_batch_4.bin: image 7 has label 10, where CIFAR-10 has 0 … 9: damaged, or of another format");
  free(records);
  for (int byte = 0; byte < 2; byte++) {
    cifar100_write(folder, 300, 120, FINE);
    records = cifar_records(ES_EVAL, 0, 120, 2, FINE);
    records[99 * (1 + RECORD) + byte] = byte == 0 ? 20 : 100;
    data_write(folder, "test.bin", records, 120 * (1 + RECORD));
    assert_refused(ES_FORMAT_CIFAR100,
                   byte == 0
                       ? "test.bin: image 99 has coarse label 20, where CIFAR-100 has 0 … 19: damaged, or of another "
                         "format"
                       : "test.bin: image 99 has fine label 100, where CIFAR-100 has 0 … 99: damaged, or of another "
                         "format");
    free(records);
  }
}

/* Classes are what the train split has: fewer than ten are fewer classes, a gap or an unknown one is a mistake. */
static void test_classes(void **state) {
  (void)state;
  es_dataset_info_t info;
  es_dataset_spec_t spec = data_spec(ES_FORMAT_CIFAR10, folder);
  cifar10_write(folder, EACH, EVAL, 4);
  assert_int_equal(es_dataset_inspect(&info, &spec, &(es_status_t){0}), ES_OK);
  assert_int_equal(info.classes, 4);
  uint8_t *records = cifar_records(ES_EVAL, 0, EVAL, 1, 4);
  records[6 * RECORD] = 4;
  data_write(folder, "test_batch.bin", records, EVAL * RECORD);
  assert_refused(ES_FORMAT_CIFAR10, "test_batch.bin: label 4 of sample 6 is out of range: the train labels are 0 … 3");
  for (int64_t i = 0; i < EACH; i++) records[i * RECORD] = (uint8_t)(i % 2 * 3);
  for (int f = 0; f < 5; f++) data_write(folder, CIFAR10_NAMES[f], records, EACH * RECORD);
  assert_refused(ES_FORMAT_CIFAR10,
                 "data_batch_1.bin to data_batch_5.bin: class 1 has no sample, while sample 1 has label 3; every class "
                 "from 0 to the largest label needs train samples");
  free(records);
}

#define folder_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      folder_test(test_cifar10),
      folder_test(test_many),
      folder_test(test_cifar100),
      folder_test(test_packed_is_the_same),
      folder_test(test_missing),
      folder_test(test_truncated),
      folder_test(test_too_long),
      folder_test(test_packed_cut_off),
      folder_test(test_labels_out_of_range),
      folder_test(test_classes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
