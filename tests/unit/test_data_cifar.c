/* CIFAR files: content of valid files, and the message for each kind of invalid file. */
#include "unit/data_checks.h"
#include <sys/stat.h>

enum { EACH = 9, TRAIN = 5 * EACH, EVAL = 20, CLASSES = 10, FINE = 100, RECORD = 1 + CIFAR_IMAGE };

/* Checks every pixel at its NHWC position, every label, and counts by class. */
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

TEST_IN_FOLDER(cifar10) {
  cifar10_write(folder, EACH, EVAL, CLASSES);
  es_dataset_t *dataset = load(ES_FORMAT_CIFAR10, folder, 32);
  check_content(dataset, TRAIN, EVAL, CLASSES, 1);
  es_dataset_destroy(dataset);
}

/* More images than are read at once, and than a block holds; batches whose lengths differ from a block's. */
TEST_IN_FOLDER(many) {
  cifar10_write(folder, 601, 64, CLASSES);
  es_dataset_t *dataset = load(ES_FORMAT_CIFAR10, folder, 32);
  check_content(dataset, 5 * 601, 64, CLASSES, 1);
  es_dataset_destroy(dataset);
}

TEST_IN_FOLDER(cifar100) {
  es_dataset_spec_t spec = data_spec(ES_FORMAT_CIFAR100, folder);
  es_dataset_t *coarse;
  cifar100_write(folder, 250, 120, FINE);
  es_dataset_t *fine = load(ES_FORMAT_CIFAR100, folder, 32);
  check_content(fine, 250, 120, FINE, 1);
  spec.labels = ES_LABELS_COARSE;
  assert_ok(es_dataset_load(&coarse, &spec, 32, MPI_COMM_NULL, fresh()));
  check_content(coarse, 250, 120, FINE, 5);
  assert_string_not_equal(es_dataset_fingerprint(fine), es_dataset_fingerprint(coarse));
  es_dataset_destroy(fine);
  es_dataset_destroy(coarse);
}

TEST_IN_FOLDER(packed_is_the_same) {
  cifar10_write(folder, EACH, EVAL, CLASSES);
  es_dataset_t *plain = load(ES_FORMAT_CIFAR10, folder, 32);
  uint8_t *records = cifar_records(ES_TRAIN, EACH, EACH, 1, CLASSES);
  assert_int_equal(unlink(CIFAR10_NAMES[1]), 0);
  file_write_packed("data_batch_2.bin.gz", "wb", records, EACH * RECORD);
  free(records);
  es_dataset_t *packed = load(ES_FORMAT_CIFAR10, folder, 32);
  assert_string_equal(es_dataset_fingerprint(packed), es_dataset_fingerprint(plain));
  es_dataset_destroy(plain);
  es_dataset_destroy(packed);
}

/* The message is `folder`/`expected`. */
static void assert_refused(es_format_t format, const char *expected) {
  char message[1024];
  snprintf(message, sizeof message, "%s/%s", folder, expected);
  assert_string_equal(refusal(format, folder), message);
}

TEST_IN_FOLDER(missing) {
  cifar10_write(folder, EACH, EVAL, CLASSES);
  assert_int_equal(unlink("data_batch_4.bin"), 0);
  assert_refused(ES_FORMAT_CIFAR10, "data_batch_4.bin: this file does not exist, neither plain nor with .gz");
  assert_refused(ES_FORMAT_CIFAR100, "train.bin: this file does not exist, neither plain nor with .gz");
  file_write("data_batch_1", "", 0);
  file_write("train", "", 0);
  assert_refused(ES_FORMAT_CIFAR10, "data_batch_4.bin: does not exist, but data_batch_1 of the Python version does; "
                                    "download the binary version of CIFAR-10");
  assert_refused(ES_FORMAT_CIFAR100, "train.bin: does not exist, but train of the Python version does; download the "
                                     "binary version of CIFAR-100");
  assert_string_equal(refusal(ES_FORMAT_CIFAR100, "no/such/folder"),
                      "no/such/folder: this folder does not exist; it must hold train.bin and test.bin, plain or .gz");
}

/* Writes one file of CIFAR-10 with that many bytes of valid records. */
static void put(int file, int64_t bytes) {
  uint8_t *records = cifar_records(file < 5 ? ES_TRAIN : ES_EVAL, 0, bytes / RECORD + 1, 1, CLASSES);
  file_write(CIFAR10_NAMES[file], records, (size_t)bytes);
  free(records);
}

TEST_IN_FOLDER(truncated) {
  cifar10_write(folder, EACH, EVAL, CLASSES);
  put(2, EACH * RECORD - 1);
  assert_refused(ES_FORMAT_CIFAR10, "data_batch_3.bin: is truncated or too long: it has 27656 bytes, but a file of "
                                    "CIFAR-10 must hold whole images of 3073 bytes");
  put(2, (EACH - 1) * RECORD);
  assert_refused(ES_FORMAT_CIFAR10, "data_batch_3.bin: the number of images is 8, but in data_batch_1.bin it is 9; all "
                                    "files must have the same number");
  put(2, EACH * RECORD);
  put(5, 0);
  assert_refused(ES_FORMAT_CIFAR10, "test_batch.bin: is truncated or too long: it has 0 bytes, but a file of CIFAR-10 "
                                    "must hold whole images of 3073 bytes");
  cifar100_write(folder, 300, 120, FINE);
  uint8_t *records = cifar_records(ES_EVAL, 0, 120, 2, FINE);
  file_write("test.bin", records, 100 * (1 + RECORD) + 17);
  assert_refused(ES_FORMAT_CIFAR100, "test.bin: is truncated or too long: it has 307417 bytes, but a file of CIFAR-100 "
                                     "must hold whole images of 3074 bytes");
  free(records);
}

TEST_IN_FOLDER(too_long) {
  cifar10_write(folder, EACH, EVAL, CLASSES);
  put(5, EVAL * RECORD + 2);
  assert_refused(ES_FORMAT_CIFAR10, "test_batch.bin: is truncated or too long: it has 61462 bytes, but a file of "
                                    "CIFAR-10 must hold whole images of 3073 bytes");
  put(5, EVAL * RECORD);
  put(4, (EACH + 1) * RECORD);
  assert_refused(ES_FORMAT_CIFAR10, "data_batch_5.bin: the number of images is 10, but in data_batch_1.bin it is 9; "
                                    "all files must have the same number");
}

TEST_IN_FOLDER(packed_cut_off) {
  char start[512];
  struct stat facts;
  es_status_t status;
  cifar100_write(folder, 300, 120, FINE);
  uint8_t *records = cifar_records(ES_EVAL, 0, 120, 2, FINE);
  file_write_packed("test.bin.gz", "wb", records, 120 * (1 + RECORD));
  free(records);
  assert_int_equal(unlink("test.bin"), 0);
  assert_int_equal(inspect(ES_FORMAT_CIFAR100, folder, &status), ES_OK);
  assert_int_equal(stat("test.bin.gz", &facts), 0);
  snprintf(start, sizeof start, "%s/test.bin.gz: is truncated: the gzip data end after ", folder);
  for (off_t size = facts.st_size - 1; size > 1000; size -= 20011) { /* cut the checksum alone, then more and more */
    assert_int_equal(truncate("test.bin.gz", size), 0);
    assert_int_equal(inspect(ES_FORMAT_CIFAR100, folder, &status), ES_INPUT);
    if (strncmp(status.message, start, strlen(start)) != 0) fail_msg("%s", status.message);
  }
}

TEST_IN_FOLDER(labels_out_of_range) {
  cifar10_write(folder, EACH, EVAL, CLASSES);
  uint8_t *records = cifar_records(ES_TRAIN, 3 * EACH, EACH, 1, CLASSES);
  records[7 * RECORD] = 10;
  file_write("data_batch_4.bin", records, EACH * RECORD);
  assert_refused(ES_FORMAT_CIFAR10, "data_batch_4.bin: image 7 has label 10, but labels of CIFAR-10 are from 0 to 9; "
                                    "the file is damaged or has another format");
  free(records);
  for (int byte = 0; byte < 2; byte++) {
    cifar100_write(folder, 300, 120, FINE);
    records = cifar_records(ES_EVAL, 0, 120, 2, FINE);
    records[99 * (1 + RECORD) + byte] = byte == 0 ? 20 : 100;
    file_write("test.bin", records, 120 * (1 + RECORD));
    assert_refused(ES_FORMAT_CIFAR100, byte == 0 ? "test.bin: image 99 has coarse label 20, but labels of CIFAR-100 "
                                                   "are from 0 to 19; the file is damaged or has another format"
                                                 : "test.bin: image 99 has fine label 100, but labels of CIFAR-100 are "
                                                   "from 0 to 99; the file is damaged or has another format");
    free(records);
  }
}

/* The train split defines the classes: fewer than ten are allowed, a gap or an unknown class is an error. */
TEST_IN_FOLDER(classes) {
  es_dataset_info_t info;
  es_dataset_spec_t spec = data_spec(ES_FORMAT_CIFAR10, folder);
  cifar10_write(folder, EACH, EVAL, 4);
  assert_ok(es_dataset_inspect(&info, &spec, fresh()));
  assert_int_equal(info.classes, 4);
  uint8_t *records = cifar_records(ES_EVAL, 0, EVAL, 1, 4);
  records[6 * RECORD] = 4;
  file_write("test_batch.bin", records, EVAL * RECORD);
  assert_refused(ES_FORMAT_CIFAR10,
                 "test_batch.bin: label 4 of sample 6 is out of range; the train labels are from 0 to 3");
  for (int64_t i = 0; i < EACH; i++) records[i * RECORD] = (uint8_t)(i % 2 * 3);
  for (int f = 0; f < 5; f++) file_write(CIFAR10_NAMES[f], records, EACH * RECORD);
  assert_refused(ES_FORMAT_CIFAR10,
                 "data_batch_1.bin to data_batch_5.bin: class 1 has no sample, but sample 1 has label 3; every class "
                 "from 0 to the largest label needs train samples");
  free(records);
}
