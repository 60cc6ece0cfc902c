/* IDX files: content of valid files, and the message for each kind of invalid file. */
#include "unit/data_checks.h"
#include <sys/stat.h>

enum { TRAIN = 40, EVAL = 20, HEIGHT = 6, WIDTH = 5, CLASSES = 4 };

static void set_up(void) {
  enter_folder();
  idx_write_all(folder, false, TRAIN, EVAL, HEIGHT, WIDTH, CLASSES);
}

/* A test with a valid dataset in its folder. */
#define TEST_OF_FILES(name) TEST_WITH(set_up, leave_folder, name)

/* The message starts with the path of the file and contains `expected`. */
static void assert_refused(const char *file, const char *expected) {
  char start[512];
  snprintf(start, sizeof start, "%s/%s", folder, file);
  const char *message = refusal(ES_FORMAT_IDX, folder);
  if (strncmp(message, start, strlen(start)) != 0 || strstr(message, expected) == NULL)
    fail_msg("\"%s\" does not start with \"%s\" or lacks \"%s\"", message, start, expected);
}

/* Checks that the dataset loads; returns its fingerprint. */
static void assert_loads(char fingerprint[ES_ID_SIZE]) {
  es_dataset_t *dataset = load(ES_FORMAT_IDX, folder, WIDTH);
  snprintf(fingerprint, ES_ID_SIZE, "%s", es_dataset_fingerprint(dataset));
  es_dataset_destroy(dataset);
}

/* Replaces a file; frees `bytes`. */
static void put_raw(int file, const char *suffix, idx_bytes_t bytes, size_t size) {
  idx_remove(folder, file);
  idx_write_raw(folder, file, suffix, bytes.data, size);
  free(bytes.data);
}

static void put_packed(int file, idx_bytes_t bytes, size_t size) {
  idx_remove(folder, file);
  idx_write_packed(folder, file, "wb", bytes.data, size);
  free(bytes.data);
}

TEST_OF_FILES(info) {
  es_dataset_info_t info;
  es_dataset_spec_t spec = data_spec(ES_FORMAT_IDX, folder);
  assert_ok(es_dataset_inspect(&info, &spec, fresh()));
  assert_int_equal(info.classes, CLASSES);
  assert_int_equal(info.height, HEIGHT);
  assert_int_equal(info.width, WIDTH);
  assert_int_equal(info.channels, 1);
  const int64_t counts[ES_SPLITS] = {TRAIN, EVAL};
  for (int split = 0; split < ES_SPLITS; split++) {
    assert_int_equal(info.count[split], counts[split]);
    int32_t expected[CLASSES] = {0};
    for (int64_t i = 0; i < counts[split]; i++) expected[idx_label(i, CLASSES)]++;
    for (int c = 0; c < ES_CLASSES_MAX; c++) {
      assert_int_equal(info.class_count[split][c], c < CLASSES ? expected[c] : 0);
    }
  }
}

TEST_OF_FILES(packed_is_the_same) {
  char plain[ES_ID_SIZE], packed[ES_ID_SIZE], both[ES_ID_SIZE], members[ES_ID_SIZE];
  assert_loads(plain);
  /* If both exist, the plain file is read, whatever the other contains. */
  idx_write_packed(folder, IDX_TRAIN_IMAGES, "wb", "no images", 9);
  assert_loads(both);
  for (int file = 0; file < 4; file++) idx_remove(folder, file);
  idx_write_all(folder, true, TRAIN, EVAL, HEIGHT, WIDTH, CLASSES);
  assert_loads(packed);
  /* A gzip file may consist of several members. */
  idx_bytes_t images = idx_images(ES_TRAIN, TRAIN, HEIGHT, WIDTH);
  idx_write_packed(folder, IDX_TRAIN_IMAGES, "wb", images.data, 100);
  idx_write_packed(folder, IDX_TRAIN_IMAGES, "ab", images.data + 100, images.size - 100);
  free(images.data);
  assert_loads(members);
  assert_string_equal(packed, plain);
  assert_string_equal(both, plain);
  assert_string_equal(members, plain);
  assert_int_equal(strspn(plain, "0123456789abcdef"), 16);
}

/* The fingerprint depends on every pixel, every label, and the shape of the images. */
TEST_OF_FILES(fingerprint_tells_data_apart) {
  char before[ES_ID_SIZE], pixel[ES_ID_SIZE], label[ES_ID_SIZE], shape[ES_ID_SIZE];
  assert_loads(before);
  idx_bytes_t images = idx_images(ES_EVAL, EVAL, HEIGHT, WIDTH);
  images.data[images.size - 1] ^= 1;
  put_raw(IDX_EVAL_IMAGES, "", images, images.size);
  assert_loads(pixel);
  idx_bytes_t labels = idx_labels(EVAL, CLASSES);
  labels.data[labels.size - 1] ^= 1;
  put_raw(IDX_EVAL_LABELS, "", labels, labels.size);
  assert_loads(label);
  for (int file = 0; file < 4; file++) idx_remove(folder, file);
  idx_write_all(folder, false, TRAIN, EVAL, WIDTH, HEIGHT, CLASSES);
  assert_loads(shape);
  assert_string_not_equal(before, pixel);
  assert_string_not_equal(pixel, label);
  assert_string_not_equal(before, shape);
}

TEST_OF_FILES(missing) {
  for (int file = 0; file < 4; file++) {
    assert_int_equal(rename(IDX_NAMES[file], "aside"), 0);
    assert_refused(IDX_NAMES[file], ": this file does not exist, neither plain nor with .gz");
    assert_int_equal(rename("aside", IDX_NAMES[file]), 0);
  }
  assert_string_equal(refusal(ES_FORMAT_IDX, "no/such/folder"),
                      "no/such/folder: this folder does not exist; it must hold train-images-idx3-ubyte, "
                      "train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, plain or .gz");
}

TEST_OF_FILES(truncated) {
  enum { WHOLE = 16 + TRAIN * HEIGHT * WIDTH };
  put_raw(IDX_TRAIN_IMAGES, "", idx_images(ES_TRAIN, TRAIN, HEIGHT, WIDTH), WHOLE - 1);
  assert_refused(IDX_NAMES[IDX_TRAIN_IMAGES],
                 ": is truncated: it has 1215 bytes, but the header (40 images of 6 x 5) needs 1216");
  put_packed(IDX_TRAIN_IMAGES, idx_images(ES_TRAIN, TRAIN, HEIGHT, WIDTH), WHOLE - 100);
  assert_refused(IDX_NAMES[IDX_TRAIN_IMAGES],
                 ".gz: is truncated: it has 1116 bytes unpacked, but the header (40 images of 6 x 5)");
  put_raw(IDX_TRAIN_IMAGES, "", idx_images(ES_TRAIN, TRAIN, HEIGHT, WIDTH), 15);
  assert_refused(IDX_NAMES[IDX_TRAIN_IMAGES], ": has 15 bytes, but an IDX header alone has 16");
  put_raw(IDX_TRAIN_IMAGES, "", idx_images(ES_TRAIN, TRAIN, HEIGHT, WIDTH), 0);
  assert_refused(IDX_NAMES[IDX_TRAIN_IMAGES], ": has 0 bytes");
  put_raw(IDX_TRAIN_IMAGES, "", idx_images(ES_TRAIN, TRAIN, HEIGHT, WIDTH), WHOLE);
  put_raw(IDX_EVAL_LABELS, "", idx_labels(EVAL, CLASSES), 8 + EVAL - 3);
  assert_refused(IDX_NAMES[IDX_EVAL_LABELS], ": is truncated: it has 25 bytes, but the header (20 labels) needs 28");
}

/* An interrupted download: the compressed file itself ends early. */
TEST_OF_FILES(packed_cut_off) {
  static const char path[] = "train-images-idx3-ubyte.gz";
  idx_bytes_t images = idx_images(ES_TRAIN, TRAIN, HEIGHT, WIDTH);
  put_packed(IDX_TRAIN_IMAGES, images, images.size);
  struct stat info;
  assert_int_equal(stat(path, &info), 0);
  for (off_t size = info.st_size - 1; size > 60; size -= 97) {
    assert_int_equal(truncate(path, size), 0);
    assert_refused(IDX_NAMES[IDX_TRAIN_IMAGES], size >= info.st_size - 8 ? ".gz: is truncated: the checksum at the end"
                                                                         : ".gz: is truncated: it has ");
  }
}

TEST_OF_FILES(too_long) {
  idx_bytes_t images = idx_images(ES_EVAL, EVAL + 1, HEIGHT, WIDTH);
  images.data[7] = EVAL;
  put_raw(IDX_EVAL_IMAGES, "", images, images.size);
  assert_refused(IDX_NAMES[IDX_EVAL_IMAGES],
                 ": is too long: it has 646 bytes, but the header (20 images of 6 x 5) needs 616");
  idx_bytes_t labels = idx_labels(TRAIN + 5, CLASSES);
  labels.data[7] = TRAIN;
  idx_write_all(folder, false, TRAIN, EVAL, HEIGHT, WIDTH, CLASSES);
  put_packed(IDX_TRAIN_LABELS, labels, labels.size);
  assert_refused(IDX_NAMES[IDX_TRAIN_LABELS],
                 ".gz: is too long: it has 53 bytes unpacked, but the header (40 labels) needs 48");
}

TEST_OF_FILES(wrong_magic) {
  idx_bytes_t labels = idx_labels(TRAIN, CLASSES);
  put_raw(IDX_TRAIN_IMAGES, "", labels, labels.size);
  assert_refused(IDX_NAMES[IDX_TRAIN_IMAGES],
                 ": starts with 0x00000801, but an IDX file of images starts with 0x00000803");
  idx_write_all(folder, false, TRAIN, EVAL, HEIGHT, WIDTH, CLASSES);
  idx_bytes_t images = idx_images(ES_EVAL, EVAL, HEIGHT, WIDTH);
  put_packed(IDX_EVAL_LABELS, images, images.size);
  assert_refused(IDX_NAMES[IDX_EVAL_LABELS],
                 ".gz: starts with 0x00000803, but an IDX file of labels starts with 0x00000801");
}

TEST_OF_FILES(dimensions) {
  const uint32_t wrong[][3] = {{0, 6, 5}, {40, 0, 5}, {40, 6, 0}, {0x80000000u, 6, 5}, {40, 6, 8193}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    idx_bytes_t bytes = idx_bytes(0x803, 3, wrong[i], NULL, 0);
    put_raw(IDX_TRAIN_IMAGES, "", bytes, bytes.size);
    assert_refused(IDX_NAMES[IDX_TRAIN_IMAGES], "but a file must have 1 to 2147483647 items of at most 8192 x 8192");
  }
  idx_write_all(folder, false, TRAIN, EVAL, HEIGHT, WIDTH, CLASSES);
  idx_bytes_t images = idx_images(ES_EVAL, EVAL, HEIGHT, WIDTH + 1);
  put_raw(IDX_EVAL_IMAGES, "", images, images.size);
  assert_refused(IDX_NAMES[IDX_EVAL_IMAGES],
                 ": has images of 6 x 6, but train-images-idx3-ubyte has images of 6 x 5; both must be equal");
}

TEST_OF_FILES(counts_differ) {
  idx_bytes_t labels = idx_labels(TRAIN - 1, CLASSES);
  put_raw(IDX_TRAIN_LABELS, "", labels, labels.size);
  assert_refused(
      IDX_NAMES[IDX_TRAIN_LABELS],
      ": the number of labels is 39, but the number of images is 40 in train-images-idx3-ubyte; the two must be equal");
}

TEST_OF_FILES(labels_out_of_range) {
  idx_bytes_t labels = idx_labels(EVAL, CLASSES);
  labels.data[8 + 11] = CLASSES;
  put_raw(IDX_EVAL_LABELS, "", labels, labels.size);
  assert_refused(IDX_NAMES[IDX_EVAL_LABELS],
                 ": label 4 of sample 11 is out of range; the train labels are from 0 to 3");
}

TEST_OF_FILES(class_without_samples) {
  idx_bytes_t labels = idx_labels(TRAIN, CLASSES);
  for (size_t i = 8; i < labels.size; i++) {
    if (labels.data[i] == 2) labels.data[i] = 0;
  }
  put_raw(IDX_TRAIN_LABELS, "", labels, labels.size);
  assert_refused(IDX_NAMES[IDX_TRAIN_LABELS],
                 ": class 2 has no sample, but sample 7 has label 3; every class from 0 to the largest label needs "
                 "train samples");
}

/* A flipped bit that keeps the length is found when pixels are read. The file exceeds zlib's buffer. */
TEST_OF_FILES(damaged) {
  idx_write_all(folder, false, 300, EVAL, 64, 64, CLASSES);
  idx_bytes_t images = idx_images(ES_TRAIN, 300, 64, 64);
  put_packed(IDX_TRAIN_IMAGES, images, images.size);
  idx_damage_packed(folder, IDX_TRAIN_IMAGES, 6);
  es_status_t status;
  assert_int_equal(inspect(ES_FORMAT_IDX, folder, &status), ES_OK);
  es_dataset_spec_t spec = data_spec(ES_FORMAT_IDX, folder);
  es_dataset_t *dataset;
  char start[512];
  snprintf(start, sizeof start, "%s/%s.gz: has damaged gzip data after ", folder, IDX_NAMES[IDX_TRAIN_IMAGES]);
  assert_int_equal(es_dataset_load(&dataset, &spec, 8, MPI_COMM_NULL, &status), ES_INPUT);
  assert_int_equal(strncmp(status.message, start, strlen(start)), 0);
  assert_non_null(strstr(status.message, " unpacked bytes (incorrect data check); download the file again"));
}

TEST_OF_FILES(resolution) {
  es_dataset_spec_t spec = data_spec(ES_FORMAT_IDX, folder);
  const int32_t wrong[] = {-1, 0, 4097};
  for (int i = 0; i < 3; i++) {
    es_dataset_t *dataset;
    assert_fails_with(es_dataset_load(&dataset, &spec, wrong[i], MPI_COMM_NULL, fresh()), ES_INPUT,
                      "must be from 1 to 2048");
  }
}
