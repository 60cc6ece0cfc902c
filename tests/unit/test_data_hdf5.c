/* HDF5 files: content of valid files, and the message for each kind of invalid file. */
#include "support/hdf5_leaks.h"
#include "unit/data_checks.h"
#include <sys/stat.h>

enum { TRAIN = 40, EVAL = 20, HEIGHT = 6, WIDTH = 5, CLASSES = 4 };

static const char *path = "images.h5";

static h5_layout_t good(void) {
  return h5_layout(TRAIN, EVAL, HEIGHT, WIDTH, 3, CLASSES);
}

/* Loads a file of square images and compares every pixel and label. */
static void check_content(const h5_layout_t *l, char fingerprint[ES_ID_SIZE]) {
  int channels = l->channels == 0 ? 1 : l->channels;
  h5_write(path, l, NULL);
  es_dataset_t *dataset = load(ES_FORMAT_HDF5, path, l->height);
  const es_dataset_info_t *info = es_dataset_info(dataset);
  assert_int_equal(info->channels, channels);
  assert_int_equal(info->classes, l->classes);
  for (int split = 0; split < ES_SPLITS; split++) {
    int32_t expected[ES_CLASSES_MAX] = {0};
    int64_t pixels = l->count[split] * l->height * l->width * channels;
    assert_int_equal(info->count[split], l->count[split]);
    for (int64_t i = 0; i < l->count[split]; i++) {
      assert_int_equal(dataset->labels[split][i], idx_label(i, l->classes));
      expected[idx_label(i, l->classes)]++;
    }
    assert_memory_equal(info->class_count[split], expected, sizeof expected);
    for (int64_t p = 0; p < pixels; p++) assert_int_equal(dataset->pixels[split][p], idx_pixel(split, p));
  }
  snprintf(fingerprint, ES_ID_SIZE, "%s", es_dataset_fingerprint(dataset));
  es_dataset_destroy(dataset);
}

/* Colour, grey with and without a channel axis; contiguous and in compressed chunks; labels of all integer types. */
TEST_IN_FOLDER(layouts) {
  char first[ES_ID_SIZE], other[ES_ID_SIZE];
  h5_layout_t l = h5_layout(TRAIN, EVAL, 8, 8, 3, CLASSES);
  check_content(&l, first);
  for (hsize_t chunk = 1; chunk <= 20; chunk += 6) {
    l.chunk = chunk;
    check_content(&l, other);
    assert_string_equal(other, first);
  }
  const hid_t types[] = {H5T_STD_U8LE, H5T_STD_I8BE, H5T_STD_U16BE, H5T_STD_I32LE, H5T_STD_U64LE, H5T_STD_I64BE};
  for (int i = 0; i < 6; i++) {
    l.label_type = types[i];
    check_content(&l, other);
    assert_string_equal(other, first);
  }
  l = h5_layout(TRAIN, EVAL, 8, 8, 0, CLASSES);
  check_content(&l, first);
  l.channels = 1;
  check_content(&l, other);
  assert_string_equal(other, first);
}

/* Several parts of 8 MB. Chunks do not end with parts, exceed HDF5's default cache, and are cut along every axis. */
TEST_IN_FOLDER(many) {
  char plain[ES_ID_SIZE], chunked[ES_ID_SIZE], cut[ES_ID_SIZE];
  h5_layout_t l = h5_layout(3000, 4, 64, 64, 1, CLASSES);
  check_content(&l, plain);
  l.chunk = 4;
  l.count[ES_TRAIN] = 3000;
  check_content(&l, chunked);
  assert_string_equal(chunked, plain);
  h5_variable_t images = h5_images_of(&l, ES_TRAIN);
  const hsize_t chunk[4] = {1100, 30, 64, 1};
  memcpy(images.chunk, chunk, sizeof chunk);
  uint8_t *pixels = h5_pixels(ES_TRAIN, 3000 * 64 * 64);
  images.values = pixels;
  h5_write(path, &l, &images);
  free(pixels);
  es_dataset_t *dataset = load(ES_FORMAT_HDF5, path, 64);
  snprintf(cut, sizeof cut, "%s", es_dataset_fingerprint(dataset));
  es_dataset_destroy(dataset);
  assert_string_equal(cut, plain);
}

/* The fingerprint depends on the images, not on the file format. */
TEST_IN_FOLDER(same_fingerprint_as_idx) {
  idx_write_all(folder, true, TRAIN, EVAL, HEIGHT, WIDTH, CLASSES);
  es_dataset_t *a = load(ES_FORMAT_IDX, folder, 8);
  h5_layout_t l = h5_layout(TRAIN, EVAL, HEIGHT, WIDTH, 0, CLASSES);
  h5_write(path, &l, NULL);
  es_dataset_t *b = load(ES_FORMAT_HDF5, path, 8);
  assert_string_equal(es_dataset_fingerprint(a), es_dataset_fingerprint(b));
  assert_memory_equal(a->pixels[ES_TRAIN], b->pixels[ES_TRAIN], TRAIN * 64);
  es_dataset_destroy(a);
  es_dataset_destroy(b);
}

TEST_IN_FOLDER(other_names) {
  es_dataset_info_t info;
  es_dataset_spec_t spec = data_spec(ES_FORMAT_HDF5, path);
  h5_layout_t l = good();
  l.names[ES_TRAIN][ES_VARIABLE_IMAGES] = "x_train";
  l.names[ES_EVAL][ES_VARIABLE_LABELS] = "a/b/c/y";
  h5_write(path, &l, NULL);
  assert_int_equal(es_dataset_inspect(&info, &spec, fresh()), ES_INPUT);
  strcpy(spec.variables[ES_TRAIN][ES_VARIABLE_IMAGES], "x_train");
  strcpy(spec.variables[ES_EVAL][ES_VARIABLE_LABELS], "/a/b/c/y");
  assert_ok(es_dataset_inspect(&info, &spec, fresh()));
  es_dataset_t *dataset;
  assert_ok(es_dataset_load(&dataset, &spec, 8, MPI_COMM_NULL, fresh()));
  es_dataset_destroy(dataset);
}

/* ---- invalid files ---- */

static int printed; /* number of times that HDF5 would have printed its error stack */

static herr_t count_print(hid_t stack, void *data) {
  (void)stack;
  (void)data;
  printed++;
  return 0;
}

/* The message is "<path>: <expected>", and HDF5 prints nothing itself. */
static void assert_refused(const char *expected) {
  char message[1024];
  H5E_auto2_t function;
  void *data;
  H5Eset_auto2(H5E_DEFAULT, count_print, &printed);
  printed = 0;
  snprintf(message, sizeof message, "%s: %s", path, expected);
  assert_string_equal(refusal(ES_FORMAT_HDF5, path), message);
  assert_int_equal(printed, 0);
  H5Eget_auto2(H5E_DEFAULT, &function, &data);
  assert_true(function == count_print && data == &printed);               /* unchanged */
  assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0); /* nothing left open */
}

/* Replaces one variable of a valid file and expects a refusal. */
static void refuse_variable(const h5_variable_t *other, const char *expected) {
  h5_layout_t l = good();
  h5_write(path, &l, other);
  assert_refused(expected);
}

TEST_IN_FOLDER(no_file) {
  assert_refused("this file does not exist");
  path = folder;
  assert_refused("is a folder, but format hdf5 reads one file");
  path = "text.h5";
  file_write("text.h5", "no HDF5", 7);
  assert_refused("is not an HDF5 file");
  file_write("text.h5", "", 0);
  assert_refused("is not an HDF5 file but empty");
  file_write("text.h5", "CDF\1", 4);
  assert_refused("is not an HDF5 file but a netCDF-3 file; rewrite it as netCDF-4: nccopy -k nc4 OLD NEW");
  path = "images.h5";
}

TEST_IN_FOLDER(truncated) {
  struct stat facts;
  h5_layout_t l = good();
  h5_write(path, &l, NULL);
  assert_int_equal(stat(path, &facts), 0);
  for (off_t size = facts.st_size - 1; size > 600; size -= 700) {
    es_status_t status;
    char start[512];
    assert_int_equal(truncate(path, size), 0);
    assert_int_equal(inspect(ES_FORMAT_HDF5, path, &status), ES_INPUT);
    snprintf(start, sizeof start, "%s: is damaged or truncated, according to HDF5: truncated file: eof = %lld", path,
             (long long)size);
    if (strncmp(status.message, start, strlen(start)) != 0) fail_msg("%s", status.message);
  }
}

/* Damages bytes all over a file, one at a time: either a message that names the file, or images. (Files have checksums,
 * because without them HDF5 itself may crash.) */
TEST_IN_FOLDER(damaged) {
  h5_layout_t l = h5_layout(12, 8, 3, 3, 1, 2);
  l.chunk = 5;
  l.modern = true;
  h5_write(path, &l, NULL);
  FILE *file = fopen(path, "rb");
  static uint8_t bytes[1 << 16];
  size_t size = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  assert_true(size > 2000 && size < sizeof bytes);
  int refused = 0;
  for (size_t i = 0; i < size; i += 7) {
    es_dataset_t *dataset = NULL;
    es_dataset_spec_t spec = data_spec(ES_FORMAT_HDF5, path);
    bytes[i] ^= 0x41;
    file_write("images.h5", bytes, size);
    bytes[i] ^= 0x41;
    es_code_t code = es_dataset_load(&dataset, &spec, 3, MPI_COMM_NULL, fresh());
    if (code != ES_OK) {
      refused++;
      assert_int_equal(strncmp(said.message, path, strlen(path)), 0);
    }
    es_dataset_destroy(dataset);
  }
  assert_true(refused > 50);
}

TEST_IN_FOLDER(missing_variables) {
  static const char *const names[] = {"train/images", "train/labels", "eval/images", "eval/labels"};
  for (int i = 0; i < 4; i++) {
    char expected[256];
    h5_variable_t none = {.name = names[i]};
    snprintf(expected, sizeof expected,
             "has no dataset %s; format hdf5 reads train/images, train/labels, eval/images and eval/labels, or the "
             "names in `variables`",
             names[i]);
    refuse_variable(&none, expected);
  }
  h5_layout_t l = good();
  l.names[ES_EVAL][ES_VARIABLE_IMAGES] = "eval/images/inner";
  h5_write(path, &l, NULL);
  assert_refused("eval/images must be a dataset with values, not a group");
}

TEST_IN_FOLDER(wrong_types) {
  h5_layout_t l = good();
  h5_variable_t v = h5_images_of(&l, ES_TRAIN);
  v.type = H5T_IEEE_F32LE;
  refuse_variable(&v, "train/images holds float32, but images must be uint8 from 0 to 255");
  v.type = H5T_STD_I8LE;
  refuse_variable(&v, "train/images holds int8, but images must be uint8 from 0 to 255");
  v = h5_images_of(&l, ES_EVAL);
  v.type = H5T_STD_U16LE;
  refuse_variable(&v, "eval/images holds uint16, but images must be uint8 from 0 to 255");
  v.type = H5T_C_S1;
  refuse_variable(&v, "eval/images holds text, but images must be uint8 from 0 to 255");
  v = h5_labels_of(&l, ES_TRAIN);
  v.type = H5T_IEEE_F64LE;
  refuse_variable(&v, "train/labels holds float64, but labels must be integers");
  v.type = H5T_STD_B8LE;
  refuse_variable(&v, "train/labels holds values that are not numbers, but labels must be integers");
}

TEST_IN_FOLDER(wrong_shapes) {
  static const char due[] = ", but must have the shape (images, height, width) or (images, height, width, 1 or 3 "
                            "channels), with 1 to 2147483647 images of at most 8192 x 8192";
  static const struct {
    int rank;
    hsize_t shape[5];
    const char *text;
  } wrong[] = {{2, {TRAIN, 30}, "(40, 30)"},
               {5, {TRAIN, 1, 6, 5, 3}, "(40, 1, 6, 5, 3)"},
               {4, {TRAIN, 3, 6, 5}, "(40, 3, 6, 5)"},
               {4, {TRAIN, 6, 5, 2}, "(40, 6, 5, 2)"},
               {4, {0, 6, 5, 3}, "(0, 6, 5, 3)"},
               {4, {TRAIN, 6, 0, 3}, "(40, 6, 0, 3)"},
               {3, {1, 8193, 5}, "(1, 8193, 5)"},
               {1, {TRAIN}, "(40)"},
               {0, {0}, "()"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char expected[512];
    h5_layout_t l = good();
    h5_variable_t v = h5_images_of(&l, ES_TRAIN);
    v.rank = wrong[i].rank;
    memcpy(v.shape, wrong[i].shape, sizeof v.shape);
    memset(v.chunk, 0, sizeof v.chunk);
    snprintf(expected, sizeof expected, "train/images has the shape %s%s", wrong[i].text, due);
    if (v.rank > 0) {
      refuse_variable(&v, expected);
      continue;
    }
    h5_variable_t none = {.name = v.name};
    h5_write(path, &l, &none);
    hid_t file = h5_require(H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT)), space = h5_require(H5Screate(H5S_SCALAR));
    H5Dclose(h5_require(H5Dcreate2(file, v.name, v.type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)));
    H5Sclose(space);
    H5Fclose(file);
    assert_refused(expected);
  }
}

TEST_IN_FOLDER(shapes_that_differ) {
  h5_layout_t l = good();
  h5_variable_t v = h5_labels_of(&l, ES_EVAL);
  int64_t *labels = h5_labels(EVAL + 1, CLASSES);
  v.values = labels;
  v.shape[0] = EVAL + 1;
  refuse_variable(&v, "the number of labels in eval/labels is 21, but the number of images is 20 in eval/images; the "
                      "two must be equal");
  v.shape[0] = EVAL - 1;
  refuse_variable(&v, "the number of labels in eval/labels is 19, but the number of images is 20 in eval/images; the "
                      "two must be equal");
  v.rank = 2;
  v.shape[0] = EVAL / 2;
  v.shape[1] = 2;
  refuse_variable(&v, "eval/labels has the shape (10, 2), but must have one label for each image: the shape (20)");
  free(labels);
  uint8_t *pixels = h5_pixels(ES_EVAL, EVAL * HEIGHT * WIDTH * 3);
  v = h5_images_of(&l, ES_EVAL);
  v.values = pixels;
  v.shape[1] = WIDTH;
  v.shape[2] = HEIGHT;
  refuse_variable(&v, "has images of 5 x 6 x 3 in eval/images, but the train images are 6 x 5 x 3; both must be equal");
  v = h5_images_of(&l, ES_EVAL);
  v.values = pixels;
  v.rank = 3;
  refuse_variable(&v, "has images of 6 x 5 x 1 in eval/images, but the train images are 6 x 5 x 3; both must be equal");
  free(pixels);
}

TEST_IN_FOLDER(never_written) {
  h5_layout_t l = good();
  for (int chunk = 0; chunk < 2; chunk++) {
    h5_variable_t v = h5_images_of(&l, ES_EVAL);
    v.chunk[0] = chunk == 0 ? 0 : 5;
    refuse_variable(&v, "eval/images was never written: it has a shape but no values");
  }
  h5_variable_t v = h5_labels_of(&l, ES_TRAIN);
  refuse_variable(&v, "train/labels was never written: it has a shape but no values");
}

TEST_IN_FOLDER(labels) {
  h5_layout_t l = good();
  int64_t *labels = h5_labels(TRAIN, CLASSES);
  h5_variable_t v = h5_labels_of(&l, ES_TRAIN);
  v.values = labels;
  labels[11] = -1;
  refuse_variable(&v, "train/labels: label -1 of sample 11 is out of range; labels must be from 0 to 1023");
  labels[11] = 1024;
  refuse_variable(&v, "train/labels: label 1024 of sample 11 is out of range; labels must be from 0 to 1023");
  labels[11] = INT64_MIN;
  refuse_variable(
      &v, "train/labels: label -9223372036854775808 of sample 11 is out of range; labels must be from 0 to 1023");
  labels[11] = 5;
  refuse_variable(&v, "train/labels: class 4 has no sample, but sample 11 has label 5; every class from 0 to the "
                      "largest label needs train samples");
  free(labels);
  labels = h5_labels(EVAL, CLASSES);
  v = h5_labels_of(&l, ES_EVAL);
  v.values = labels;
  labels[3] = 4;
  refuse_variable(&v, "eval/labels: label 4 of sample 3 is out of range; the train labels are from 0 to 3");
  free(labels);
}

/* A flipped bit in a compressed chunk is found when the pixels are read. */
TEST_IN_FOLDER(damaged_chunk) {
  h5_layout_t l = good();
  l.chunk = EVAL;
  h5_write(path, &l, NULL);
  hid_t file = h5_require(H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT));
  hid_t id = h5_require(H5Dopen2(file, "train/images", H5P_DEFAULT));
  haddr_t address;
  hsize_t size, offset[4];
  unsigned mask;
  hid_t space = h5_require(H5Dget_space(id));
  assert_true(H5Dget_chunk_info(id, space, 0, offset, &mask, &address, &size) >= 0);
  H5Sclose(space);
  H5Dclose(id);
  H5Fclose(file);
  FILE *raw = fopen(path, "r+b");
  assert_int_equal(fseek(raw, (long)(address + size - 2), SEEK_SET), 0);
  int byte = fgetc(raw);
  assert_int_equal(fseek(raw, (long)(address + size - 2), SEEK_SET), 0);
  fputc(byte ^ 4, raw);
  fclose(raw);
  es_status_t status;
  es_dataset_t *dataset;
  char expected[512];
  es_dataset_spec_t spec = data_spec(ES_FORMAT_HDF5, path);
  assert_int_equal(inspect(ES_FORMAT_HDF5, path, &status), ES_OK);
  assert_int_equal(es_dataset_load(&dataset, &spec, 8, MPI_COMM_NULL, &status), ES_INPUT);
  const int start = snprintf(expected, sizeof expected, "%s: train/images cannot be read from 0 to 39: ", path);
  assert_memory_equal(status.message, expected, (size_t)start);
  const char *reason = status.message + start; /* HDF5's own words: of 1.10 or of 1.14 */
  assert_true(strcmp(reason, "inflate() failed") == 0 || strcmp(reason, "filter returned failure during read") == 0);
}
