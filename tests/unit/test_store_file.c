/* Content of a result file, read with HDF5's own C functions, and the effects of a failed write. */
#include "eigenscope/file.h"
#include "store_example.h"
#include <errno.h>
#include <hdf5.h>
#include <hdf5_hl.h>
#include <math.h>

/* Reads a variable-length UTF-8 attribute and compares it. */
static void check_text(hid_t object, const char *name, const char *expected) {
  hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) fail_msg("no attribute %s", name);
  hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  assert_true(H5Tis_variable_str(type) > 0);
  assert_int_equal(H5Tget_cset(type), H5T_CSET_UTF8);
  assert_int_equal(H5Sget_simple_extent_type(space), H5S_SCALAR);
  char *value = NULL;
  assert_true(H5Aread(attribute, type, &value) >= 0);
  assert_string_equal(value, expected);
  H5Dvlen_reclaim(type, space, H5P_DEFAULT, &value);
  H5Sclose(space);
  H5Tclose(type);
  H5Aclose(attribute);
}

/* Checks type in the file, number of values, and the values. */
static void check_numbers(hid_t object, const char *name, hid_t type, H5S_class_t shape, const double *expected,
                          int count) {
  double values[8] = {0};
  hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) fail_msg("no attribute %s", name);
  hid_t stored = H5Aget_type(attribute), space = H5Aget_space(attribute);
  if (H5Tequal(stored, type) <= 0) fail_msg("attribute %s has another type", name);
  assert_int_equal(H5Sget_simple_extent_type(space), shape);
  assert_int_equal(H5Sget_simple_extent_npoints(space), count);
  assert_true(H5Aread(attribute, H5T_NATIVE_DOUBLE, values) >= 0);
  for (int i = 0; i < count; i++) assert_true(values[i] == expected[i] || (isnan(values[i]) && isnan(expected[i])));
  H5Sclose(space);
  H5Tclose(stored);
  H5Aclose(attribute);
}

static void check_number(hid_t object, const char *name, hid_t type, double expected) {
  check_numbers(object, name, type, H5S_SCALAR, &expected, 1);
}

TEST_IN_FOLDER(root_attributes) {
  static const double mean[3] = {0.1, 0.2, 0.3}, deviation[3] = {1, 2, 0.5};
  example_write("r.h5");
  hid_t file = H5Fopen("r.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
  check_text(file, "schema", "eigenscope");
  check_number(file, "schema_version", H5T_STD_I32LE, ES_SCHEMA_VERSION);
  check_text(file, "outcome", "complete");
  check_text(file, "reason", "");
  check_text(file, "point_id", "0123456789abcdef");
  check_text(file, "job_name", "t\xc3\xa9st");
  check_text(file, "job", "name: t\ngrid: {dataset: toy}\n");
  check_text(file, "axes", "dataset model width classes resolution seed train_learning_rate");
  check_text(file, "dataset", "toy");
  check_text(file, "model", "vgg11");
  check_number(file, "width", H5T_IEEE_F64LE, 1);
  check_number(file, "classes", H5T_STD_I64LE, 3);
  check_number(file, "resolution", H5T_STD_I64LE, 16);
  check_number(file, "train_learning_rate", H5T_IEEE_F64LE, 0.05);
  check_text(file, "train_mode", "training");
  check_text(file, "dataset_fingerprint", "fedcba9876543210");
  check_numbers(file, "normalize_mean", H5T_IEEE_F64LE, H5S_SIMPLE, mean, 3);
  check_numbers(file, "normalize_std", H5T_IEEE_F64LE, H5S_SIMPLE, deviation, 3);
  check_text(file, "version", "0.1.0");
  check_text(file, "ranks", "2");
  int64_t seed = 0; /* 2^53 + 1, which double cannot hold */
  hid_t attribute = H5Aopen(file, "seed", H5P_DEFAULT);
  assert_true(H5Aread(attribute, H5T_NATIVE_INT64, &seed) >= 0);
  assert_int_equal(seed, INT64_C(9007199254740993));
  H5Aclose(attribute);
  H5Fclose(file);
}

static void check_creation_order(hid_t list) {
  unsigned order = 0;
  assert_true(H5Pget_attr_creation_order(list, &order) >= 0);
  assert_int_equal(order, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
  H5Pclose(list);
}

/* In creation order: dimension scales first, then the variables in the order of the table. */
TEST_IN_FOLDER(order_of_variables) {
  example_write("r.h5");
  hid_t file = H5Fopen("r.h5", H5F_ACC_RDONLY, H5P_DEFAULT), root = H5Gopen2(file, "/", H5P_DEFAULT);
  hid_t list = H5Gget_create_plist(root);
  unsigned order = 0;
  assert_true(H5Pget_link_creation_order(list, &order) >= 0);
  assert_int_equal(order, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
  check_creation_order(list);
  H5G_info_t group;
  assert_true(H5Gget_info(root, &group) >= 0);
  assert_int_equal(group.nlinks, ES_DIMENSIONS + ES_FIELDS);
  for (int i = 0; i < ES_DIMENSIONS + ES_FIELDS; i++) {
    char name[64] = "";
    H5Lget_name_by_idx(file, "/", H5_INDEX_CRT_ORDER, H5_ITER_INC, (hsize_t)i, name, sizeof name, H5P_DEFAULT);
    assert_string_equal(name, i < ES_DIMENSIONS ? EXAMPLE_DIMENSION[i]
                                                : es_field_info((es_field_t)(i - ES_DIMENSIONS))->name);
    hid_t object = H5Dopen2(file, name, H5P_DEFAULT);
    check_creation_order(H5Dget_create_plist(object));
    H5Dclose(object);
  }
  H5Gclose(root);
  H5Fclose(file);
}

static void check_strings(hid_t file, const char *name, const char *const *expected, int count) {
  char *values[8] = {0};
  hid_t object = H5Dopen2(file, name, H5P_DEFAULT), type = H5Dget_type(object), space = H5Dget_space(object);
  assert_true(H5Tis_variable_str(type) > 0);
  assert_int_equal(H5Tget_cset(type), H5T_CSET_UTF8);
  assert_int_equal(H5Sget_simple_extent_npoints(space), count);
  assert_true(H5Dread(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
  for (int i = 0; i < count; i++) assert_string_equal(values[i], expected[i]);
  H5Dvlen_reclaim(type, space, H5P_DEFAULT, values);
  H5Sclose(space);
  H5Tclose(type);
  H5Dclose(object);
}

TEST_IN_FOLDER(coordinates) {
  static const char *const splits[] = {"train", "eval"}, *const layers[] = {"features.0", "features.4", "classifier.6"},
                           *const kinds[] = {"conv", "conv", "linear"};
  int32_t epochs[EXAMPLE_EPOCHS], components[EXAMPLE_COMPONENTS];
  double deltas[EXAMPLE_DELTAS];
  example_write("r.h5");
  hid_t file = H5Fopen("r.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
  for (int i = 0; i < ES_DIMENSIONS; i++) {
    char name[64] = "";
    hid_t object = H5Dopen2(file, EXAMPLE_DIMENSION[i], H5P_DEFAULT);
    assert_true(H5DSis_scale(object) > 0);
    assert_int_equal(H5DSget_scale_name(object, name, sizeof name), strlen(EXAMPLE_DIMENSION[i]));
    assert_string_equal(name, EXAMPLE_DIMENSION[i]);
    assert_true(H5Aexists(object, "long_name") > 0);
    check_text(object, "units", "1");
    H5Dclose(object);
  }
  check_strings(file, "split", splits, 2);
  check_strings(file, "layer", layers, 3);
  check_strings(file, "layer_kind", kinds, 3);
  assert_true(H5LTread_dataset(file, "epoch", H5T_NATIVE_INT32, epochs) >= 0);
  assert_true(H5LTread_dataset(file, "component", H5T_NATIVE_INT32, components) >= 0);
  assert_true(H5LTread_dataset(file, "delta", H5T_NATIVE_DOUBLE, deltas) >= 0);
  for (int i = 0; i < EXAMPLE_EPOCHS; i++) assert_int_equal(epochs[i], i);
  static const char *const references[] = {"previous", "last"}, *const projections[] = {"eigenspace", "random"},
                           *const parts[] = {"all", "features.0", "features.4", "classifier.6"};
  int32_t classes[2][EXAMPLE_CLASSES], probes[EXAMPLE_PROBES], features[EXAMPLE_COMPONENTS];
  check_strings(file, "reference", references, 2);
  check_strings(file, "projection", projections, 2);
  check_strings(file, "layer_or_all", parts, 4);
  assert_true(H5LTread_dataset(file, "class", H5T_NATIVE_INT32, classes[0]) >= 0);
  assert_true(H5LTread_dataset(file, "predicted_class", H5T_NATIVE_INT32, classes[1]) >= 0);
  assert_true(H5LTread_dataset(file, "probe_epoch", H5T_NATIVE_INT32, probes) >= 0);
  assert_true(H5LTread_dataset(file, "feature", H5T_NATIVE_INT32, features) >= 0);
  for (int i = 0; i < EXAMPLE_CLASSES; i++) assert_true(classes[0][i] == i && classes[1][i] == i);
  assert_true(probes[0] == 0 && probes[1] == 2);
  for (int i = 0; i < EXAMPLE_COMPONENTS; i++) assert_int_equal(features[i], i);
  for (int i = 0; i < EXAMPLE_COMPONENTS; i++) assert_int_equal(components[i], i);
  assert_true(deltas[0] == 0.9 && deltas[1] == 0.99);
  H5Fclose(file);
}

/* Checks type, extents, attached scales, names and fill value of a variable against its row in the table. */
static void check_variable(hid_t file, hid_t object, es_field_t field) {
  const es_field_info_t *info = es_field_info(field);
  hid_t type = H5Dget_type(object), space = H5Dget_space(object);
  hid_t expected = info->type == ES_TYPE_F64   ? H5T_IEEE_F64LE
                   : info->type == ES_TYPE_F32 ? H5T_IEEE_F32LE
                   : info->type == ES_TYPE_I32 ? H5T_STD_I32LE
                   : info->type == ES_TYPE_I64 ? H5T_STD_I64LE
                                               : H5T_STD_U8LE;
  if (info->type != ES_TYPE_STRING) assert_true(H5Tequal(type, expected) > 0);
  hsize_t shape[ES_RANK_MAX];
  assert_int_equal(H5Sget_simple_extent_dims(space, shape, NULL), info->rank);
  for (int i = 0; i < info->rank; i++) {
    assert_int_equal(shape[i], EXAMPLE_EXTENT[info->dimensions[i]]);
    hid_t scale = H5Dopen2(file, EXAMPLE_DIMENSION[info->dimensions[i]], H5P_DEFAULT);
    assert_true(H5DSis_attached(object, scale, (unsigned)i) > 0);
    H5Dclose(scale);
  }
  check_text(object, "long_name", info->long_name);
  check_text(object, "units", info->units);
  bool missing = field >= ES_FIELD_LOSS && (info->type != ES_TYPE_U8 || info->unmeasured == 255);
  assert_int_equal(H5Aexists(object, "_FillValue") > 0, missing);
  double fill = info->type == ES_TYPE_U8                                 ? 255
                : info->type == ES_TYPE_F64 || info->type == ES_TYPE_F32 ? (double)NAN
                                                                         : -1;
  if (missing) check_numbers(object, "_FillValue", expected, H5S_SIMPLE, &fill, 1);
  H5Sclose(space);
  H5Tclose(type);
}

/* Checks all values of a variable by index: spectra are NaN beyond the width of their layer. */
static void check_values(hid_t object, es_result_t *result, es_field_t field) {
  const es_field_info_t *info = es_field_info(field);
  size_t size = example_type_size(info->type), count = 1;
  for (int i = 0; i < info->rank; i++) count *= (size_t)EXAMPLE_EXTENT[info->dimensions[i]];
  hid_t type = H5Dget_type(object);
  char *data = es_allocate(count, size);
  assert_true(H5Dread(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
  for (size_t n = 0; n < count; n++) {
    int64_t index[ES_RANK_MAX], width = INT64_MAX;
    size_t rest = n;
    for (int i = info->rank - 1; i >= 0; i--) {
      index[i] = (int64_t)(rest % (size_t)EXAMPLE_EXTENT[info->dimensions[i]]);
      rest /= (size_t)EXAMPLE_EXTENT[info->dimensions[i]];
    }
    bool padding = false;
    for (int i = 0; i < info->rank; i++) {
      if (info->dimensions[i] == ES_DIM_LAYER) width = EXAMPLE_LAYER[index[i]].width;
      bool of_width = info->dimensions[i] == ES_DIM_COMPONENT || info->dimensions[i] == ES_DIM_FEATURE;
      padding = padding || (of_width && index[i] >= width);
    }
    if (!padding)
      assert_memory_equal(data + n * size, es_result_at(result, field, index), size);
    else
      assert_true(size == 4 ? isnan(((const float *)(void *)data)[n]) : isnan(((const double *)(void *)data)[n]));
  }
  es_free(data);
  H5Tclose(type);
}

TEST_IN_FOLDER(variables) {
  es_result_t *result = example_result();
  example_write("r.h5");
  hid_t file = H5Fopen("r.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
  for (int i = 0; i < ES_FIELDS; i++) {
    const es_field_info_t *info = es_field_info((es_field_t)i);
    hid_t object = H5Dopen2(file, info->name, H5P_DEFAULT);
    assert_true(object >= 0);
    check_variable(file, object, (es_field_t)i);
    if (info->type != ES_TYPE_STRING) check_values(object, result, (es_field_t)i);
    H5Dclose(object);
  }
  H5Fclose(file);
  es_result_destroy(result);
}

TEST_IN_FOLDER(flag_attributes) {
  static const double masks[] = {ES_FLAG_DEAD,     ES_FLAG_UNDERSAMPLED, ES_FLAG_NONFINITE,
                                 ES_FLAG_FALLBACK, ES_FLAG_UNSOLVED,     ES_FLAG_ROUNDING},
                      values[] = {0, 1, 2, 3};
  example_write("r.h5");
  hid_t file = H5Fopen("r.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
  hid_t flags = H5Dopen2(file, "flags", H5P_DEFAULT), solver = H5Dopen2(file, "solver", H5P_DEFAULT);
  check_numbers(flags, "flag_masks", H5T_STD_U8LE, H5S_SIMPLE, masks, 6);
  check_text(flags, "flag_meanings", "dead undersampled nonfinite fallback unsolved rounding");
  check_numbers(solver, "flag_values", H5T_STD_U8LE, H5S_SIMPLE, values, 4);
  check_text(solver, "flag_meanings", "none lapack scalapack elpa");
  H5Dclose(flags);
  H5Dclose(solver);
  H5Fclose(file);
}

/* Chunks of a result with `epochs` epochs and three layers of `width`. */
static void chunk_of(int32_t epochs, int32_t width, hsize_t chunk[4]) {
  es_point_t point = *example_point();
  es_layer_info_t layers[3] = {EXAMPLE_LAYER[0], EXAMPLE_LAYER[1], EXAMPLE_LAYER[2]};
  point.train.epochs = epochs - 1;
  layers[0].width = width;
  es_result_t *result;
  es_result_header_t header = example_header();
  const es_result_shape_t shape = {.point = &point, .layers = layers, .n_layers = 3};
  assert_ok(es_result_create(&result, &shape, fresh()));
  assert_ok(es_result_write("chunk.h5", result, &header, fresh()));
  es_result_destroy(result);
  hid_t file = H5Fopen("chunk.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
  hid_t object = H5Dopen2(file, "eigenvalues", H5P_DEFAULT), list = H5Dget_create_plist(object);
  assert_int_equal(H5Pget_chunk(list, 4, chunk), 4);
  unsigned flags, filter[8];
  size_t n = 8;
  assert_true(H5Pget_filter_by_id2(list, H5Z_FILTER_SHUFFLE, &flags, &n, filter, 0, NULL, NULL) >= 0);
  n = 8;
  assert_true(H5Pget_filter_by_id2(list, H5Z_FILTER_DEFLATE, &flags, &n, filter, 0, NULL, NULL) >= 0);
  H5Pclose(list);
  H5Dclose(object);
  H5Fclose(file);
}

TEST_IN_FOLDER(chunks_of_spectra) {
  hsize_t chunk[4];
  chunk_of(3, 8, chunk); /* all epochs of one split */
  assert_true(chunk[0] == 1 && chunk[1] == 3 && chunk[2] == 3 && chunk[3] == 8);
  chunk_of(40, 1024, chunk); /* 24 KiB an epoch */
  assert_true(chunk[0] == 1 && chunk[1] == 10 && chunk[2] == 3 && chunk[3] == 1024);
  chunk_of(2, 30000, chunk); /* 703 KiB an epoch, 234 KiB a layer */
  assert_true(chunk[0] == 1 && chunk[1] == 1 && chunk[2] == 1 && chunk[3] == 30000);
  chunk_of(2, 14000, chunk);
  assert_true(chunk[0] == 1 && chunk[1] == 1 && chunk[2] == 2 && chunk[3] == 14000);
}

TEST_IN_FOLDER(same_result_same_bytes) {
  char *first, *second;
  size_t first_size, second_size;
  example_write("first.h5");
  sleep(1); /* stored times would differ */
  example_write("second.h5");
  assert_ok(es_file_read("first.h5", &first, &first_size, fresh()));
  assert_ok(es_file_read("second.h5", &second, &second_size, fresh()));
  assert_int_equal(first_size, second_size);
  assert_memory_equal(first, second, first_size);
  es_free(first);
  es_free(second);
}

/* Simulates a full disk. */
TEST_IN_FOLDER(full_disk) {
  es_result_t *result = example_result();
  es_result_header_t header = example_header();
  header.outcome = "diverged";
  for (int existing = 0; existing < 2; existing++) {
    if (existing == 1) example_write("r.h5");
    file_size_limit(8192);
    const es_code_t code = es_result_write("r.h5", result, &header, fresh());
    file_size_limit(-1);
    assert_int_equal(code, ES_SYSTEM);
    assert_int_equal(strncmp(said.message, "r.h5: ", 6), 0);
    assert_non_null(strstr(said.message, strerror(EFBIG)));
    assert_int_equal(folder_count(), existing);
  }
  es_result_destroy(result);
  es_result_summary_t summary;
  es_result_summarize(&summary, "r.h5");
  assert_int_equal(summary.outcome, ES_OUTCOME_COMPLETE);
}

TEST_IN_FOLDER(folder_that_is_not_there) {
  es_result_t *result = example_result();
  es_result_header_t header = example_header();
  assert_fails_with(es_result_write("no/r.h5", result, &header, fresh()), ES_SYSTEM, strerror(ENOENT));
  es_result_destroy(result);
}

/* Two attributes of one name: HDF5 refuses, the message contains its reason, and nothing is written. */
TEST_IN_FOLDER(failure_inside_hdf5) {
  static const es_provenance_t twice[] = {{"host", "a"}, {"host", "b"}};
  es_result_t *result = example_result();
  es_result_header_t header = example_header();
  header.provenance = twice;
  assert_int_equal(es_result_write("r.h5", result, &header, fresh()), ES_SYSTEM);
  assert_string_equal(said.stage, "store");
  assert_non_null(strstr(said.message, "r.h5: cannot be written: HDF5 failed at host: "));
  assert_non_null(strstr(said.message, "exists"));
  assert_int_equal(folder_count(), 0);
  assert_int_equal(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
  es_result_destroy(result);
}

/* Counts open ids up to `newest`; HDF5 numbers ids in sequence. */
static int open_before(hid_t newest) {
  int count = 0;
  for (hid_t id = newest - 20000; id < newest; id++) count += H5Iis_valid(id) > 0;
  return count;
}

/* Counts all open objects of HDF5. */
static int open_ids(void) {
  hid_t space = H5Screate(H5S_SCALAR), list = H5Pcreate(H5P_DATASET_CREATE);
  int count = open_before(space) + open_before(list) + (int)H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL);
  H5Sclose(space);
  H5Pclose(list);
  return count;
}

TEST_IN_FOLDER(no_ids_are_left) {
  es_result_summary_t summary;
  es_text_t text = {0};
  example_write("r.h5");
  es_result_summarize(&summary, "r.h5");
  hid_t forgotten = H5Screate(H5S_NULL);
  int before = open_ids();
  H5Sclose(forgotten);
  assert_int_equal(open_ids(), before - 1); /* the count works */
  before--;
  example_write("r.h5");
  es_result_summarize(&summary, "r.h5");
  assert_ok(es_result_show(&text, "r.h5", ES_SHOW_TABLE, ES_DELTA_ANY, NULL, fresh()));
  assert_ok(es_file_write_atomic("bad.h5", "text", 4, fresh()));
  es_result_summarize(&summary, "bad.h5");
  assert_int_equal(open_ids(), before);
  es_text_destroy(&text);
}

static herr_t count_errors(hid_t stack, void *data) {
  (void)stack;
  ++*(int *)data;
  return 0;
}

/* HDF5 prints no errors while the store works, and its old setting is restored afterwards. */
TEST_IN_FOLDER(error_printing_is_restored) {
  int count = 0;
  es_result_summary_t summary;
  assert_ok(es_file_write_atomic("r.h5", "text", 4, fresh()));
  H5Eset_auto2(H5E_DEFAULT, count_errors, &count);
  es_result_summarize(&summary, "r.h5");
  assert_int_equal(count, 0);
  assert_int_equal(summary.outcome, ES_OUTCOME_DAMAGED);
  assert_true(H5Fopen("missing.h5", H5F_ACC_RDONLY, H5P_DEFAULT) < 0);
  assert_int_equal(count, 1);
  H5Eset_auto2(H5E_DEFAULT, (H5E_auto2_t)H5Eprint2, NULL);
}
