/* The result in memory, and the path of its file. */
#include "eigenscope/file.h"
#include "store_example.h"
#include <math.h>

TEST(table) {
  for (int i = 0; i < ES_FIELDS; i++) {
    const es_field_info_t *info = es_field_info((es_field_t)i);
    assert_true(info->name != NULL && info->name[0] != '\0');
    assert_true(info->long_name != NULL && info->long_name[0] != '\0');
    assert_true(info->units != NULL && info->units[0] != '\0');
    assert_in_range(info->rank, 1, ES_RANK_MAX);
    assert_in_range(info->group, 0, ES_FIELD_GROUPS - 1);
    assert_in_range(info->type, 0, ES_TYPES - 1);
    for (int j = 0; j < i; j++) assert_string_not_equal(info->name, es_field_info((es_field_t)j)->name);
    for (int j = 0; j < ES_DIMENSIONS; j++) assert_string_not_equal(info->name, EXAMPLE_DIMENSION[j]);
  }
}

TEST(fresh_result) {
  es_result_t *result;
  const es_result_shape_t shape = example_shape();
  assert_ok(es_result_create(&result, &shape, fresh()));
  for (int i = 0; i < ES_DIMENSIONS; i++)
    assert_int_equal(es_result_extent(result, (es_dimension_t)i), EXAMPLE_EXTENT[i]);
  for (int i = 0; i < ES_FIELD_GROUPS; i++) assert_true(es_result_has(result, (es_field_group_t)i));
  for (int field = ES_FIELD_LOSS; field < ES_FIELDS; field++) {
    const void *data = es_result_data(result, (es_field_t)field);
    for (size_t i = 0; i < es_result_size(result, (es_field_t)field); i++) {
      es_type_t type = es_field_info((es_field_t)field)->type;
      bool told_apart = field == ES_FIELD_LAYER_TAIL || field == ES_FIELD_PROBE_CONVERGED ||
                        field == ES_FIELD_PROBE_PATH_CONVERGED || field == ES_FIELD_PROBE_DATASET_CONVERGED;
      if (field == ES_FIELD_PROBE_DATASET_CLASSES) continue; /* known from the start */
      if (type == ES_TYPE_F32) assert_true(isnan(((const float *)data)[i]));
      if (type == ES_TYPE_F64 && field != ES_FIELD_STEP_EPOCH) assert_true(isnan(((const double *)data)[i]));
      if (type == ES_TYPE_I32 && field != ES_FIELD_LAYER_STRIDE) assert_int_equal(((const int32_t *)data)[i], -1);
      if (type == ES_TYPE_I64) assert_int_equal(((const int64_t *)data)[i], -1);
      if (type == ES_TYPE_U8) assert_int_equal(((const uint8_t *)data)[i], told_apart ? 255 : 0);
    }
  }
  assert_string_equal(((const char **)es_result_data(result, ES_FIELD_LAYER_KIND))[2], "linear");
  assert_int_equal(((int32_t *)es_result_data(result, ES_FIELD_LAYER_WIDTH))[1], 8);
  assert_int_equal(((int64_t *)es_result_data(result, ES_FIELD_LAYER_MACS))[1], INT64_C(5000000000));
  assert_int_equal(((int32_t *)es_result_data(result, ES_FIELD_LAYER_STRIDE))[1], 2);
  assert_int_equal(((uint8_t *)es_result_data(result, ES_FIELD_LAYER_BORDER))[1], 1);
  assert_int_equal(((uint8_t *)es_result_data(result, ES_FIELD_LAYER_OUTPUT))[2], 1);
  assert_int_equal(((int32_t *)es_result_data(result, ES_FIELD_PROBE_DATASET_CLASSES))[1], 11);
  assert_string_equal(es_result_layer(result, 1)->name, "features.4");
  es_result_destroy(result);
  es_result_destroy(NULL);
}

TEST(addresses_are_row_major) {
  es_result_t *result = example_result();
  double *values = es_result_data(result, ES_FIELD_SATURATION);
  assert_int_equal(es_result_size(result, ES_FIELD_SATURATION), 2 * 3 * 3 * 2);
  assert_ptr_equal(es_result_f64(result, ES_FIELD_SATURATION, 1, 2, 1, 1), values + ((1 * 3 + 2) * 3 + 1) * 2 + 1);
  static const int64_t overlap[] = {1, 0, 2, 1, 1}, confusion[] = {1, 2, 3, 0};
  assert_ptr_equal(es_result_at(result, ES_FIELD_EIGENSPACE_OVERLAP, overlap),
                   (double *)es_result_data(result, ES_FIELD_EIGENSPACE_OVERLAP) + (((1 * 2 + 0) * 3 + 2) * 3 + 1) * 2 +
                       1);
  assert_ptr_equal(es_result_at(result, ES_FIELD_PROBE_CONFUSION, confusion),
                   (int64_t *)es_result_data(result, ES_FIELD_PROBE_CONFUSION) + ((1 * 3 + 2) * 4 + 3) * 4 + 0);
  assert_ptr_equal(es_result_f64(result, ES_FIELD_SECONDS, 2, 9, 9, 9),
                   (double *)es_result_data(result, ES_FIELD_SECONDS) + 2);
  assert_ptr_equal(es_result_f64(result, ES_FIELD_LOSS, 1, 2, 0, 0),
                   (double *)es_result_data(result, ES_FIELD_LOSS) + 5);
  es_result_destroy(result);
}

/* Layers of 4, 8 and 3 components are contiguous: 15 values, and 16 + 64 + 9 elements of vectors. */
TEST(spectra_are_packed) {
  es_result_t *result = example_result();
  double *values = es_result_data(result, ES_FIELD_EIGENVALUES);
  assert_int_equal(es_result_size(result, ES_FIELD_EIGENVALUES), 2 * 3 * 15);
  assert_ptr_equal(es_result_f64(result, ES_FIELD_EIGENVALUES, 1, 2, 1, 5), values + (1 * 3 + 2) * 15 + 4 + 5);
  assert_ptr_equal(es_result_f64(result, ES_FIELD_EIGENVALUES, 0, 1, 2, 2), values + 1 * 15 + 4 + 8 + 2);
  static const int64_t angle[] = {1, 1, 0, 2, 1}, vector[] = {1, 2, 1, 3, 7};
  assert_int_equal(es_result_size(result, ES_FIELD_PRINCIPAL_ANGLES), 2 * 2 * 3 * 15);
  assert_ptr_equal(es_result_at(result, ES_FIELD_PRINCIPAL_ANGLES, angle),
                   (double *)es_result_data(result, ES_FIELD_PRINCIPAL_ANGLES) + ((1 * 2 + 1) * 3 + 0) * 15 + 12 + 1);
  assert_int_equal(es_result_size(result, ES_FIELD_EIGENVECTORS), 2 * 3 * 89);
  assert_ptr_equal(es_result_at(result, ES_FIELD_EIGENVECTORS, vector),
                   (float *)es_result_data(result, ES_FIELD_EIGENVECTORS) + (1 * 3 + 2) * 89 + 16 + 3 * 8 + 7);
  es_result_destroy(result);
}

/* 48 layers of a transformer and one flattened output, 100 epochs: each layer uses its own width. */
TEST(one_wide_layer) {
  static es_layer_info_t layers[49];
  es_point_t point = *example_point();
  es_result_t *result;
  for (int i = 0; i < 49; i++) {
    snprintf(layers[i].name, sizeof layers[i].name, "layer%d", i);
    layers[i].width = i == 20 ? 30000 : 768;
  }
  point.train.epochs = 99;
  const es_result_shape_t shape = {.point = &point, .layers = layers, .n_layers = 49};
  assert_ok(es_result_create(&result, &shape, fresh()));
  assert_int_equal(es_result_size(result, ES_FIELD_EIGENVALUES), 2 * 100 * (48 * 768 + 30000)); /* 107 MB, not 2.4 GB */
  es_result_destroy(result);
}

TEST(groups) {
  es_result_t *result = example_plain_result();
  for (int i = 0; i < ES_FIELD_GROUPS; i++) {
    assert_int_equal(es_result_has(result, (es_field_group_t)i),
                     i == ES_GROUP_CORE || i == ES_GROUP_STABILITY || i == ES_GROUP_GEOMETRY);
  }
  for (int i = 0; i < ES_FIELDS; i++) {
    bool has = es_result_has(result, es_field_info((es_field_t)i)->group);
    assert_int_equal(es_result_data(result, (es_field_t)i) != NULL, has);
    assert_int_equal(es_result_size(result, (es_field_t)i) > 0, has);
  }
  assert_int_equal(es_result_extent(result, ES_DIM_CLASS), 0);
  assert_int_equal(es_result_extent(result, ES_DIM_REFERENCE), 2);
  assert_int_equal(es_result_probe_epoch_index(result, 0), -1);
  es_result_destroy(result);
}

TEST(epochs) {
  static const int32_t given[] = {1, 5, 10};
  es_result_shape_t shape = example_shape();
  es_result_t *result;
  shape.epochs = given;
  shape.n_epochs = 3;
  assert_ok(es_result_create(&result, &shape, fresh()));
  assert_int_equal(es_result_extent(result, ES_DIM_EPOCH), 3);
  assert_int_equal(es_result_epoch(result, 1), 5);
  assert_int_equal(es_result_probe_epoch_index(result, 2), 1);
  es_result_destroy(result);
}

TEST(no_layers) {
  es_result_t *result;
  const es_result_shape_t shape = example_plain_shape(0);
  assert_int_equal(es_result_create(&result, &shape, fresh()), ES_INPUT);
  assert_null(result);
  assert_non_null(strstr(said.message, "measure.layers"));
}

TEST(mean_saturation) {
  es_result_t *result = example_plain_result();
  assert_true(isnan(es_result_mean_saturation(result, ES_EVAL, 1, 0)));
  *es_result_f64(result, ES_FIELD_SATURATION, ES_EVAL, 1, 0, 1) = 0.5;
  *es_result_f64(result, ES_FIELD_SATURATION, ES_EVAL, 1, 1, 1) = 0.25;
  *es_result_f64(result, ES_FIELD_SATURATION, ES_EVAL, 1, 2, 1) = 1; /* the output layer */
  assert_true(es_result_mean_saturation(result, ES_EVAL, 1, 1) == 0.375);
  uint8_t *flags = (uint8_t *)es_result_data(result, ES_FIELD_FLAGS) + (ES_EVAL * EXAMPLE_EPOCHS + 1) * EXAMPLE_LAYERS;
  *flags = ES_FLAG_FALLBACK; /* another solver is not excluded */
  assert_true(es_result_mean_saturation(result, ES_EVAL, 1, 1) == 0.375);
  *flags = ES_FLAG_DEAD | ES_FLAG_FALLBACK;
  assert_true(es_result_mean_saturation(result, ES_EVAL, 1, 1) == 0.25);
  es_result_destroy(result);
}

TEST(path) {
  char path[ES_PATH_MAX];
  es_result_path(path, "results/x", "0123456789abcdef", ES_FLAT_POINTS);
  assert_string_equal(path, "results/x/points/0123456789abcdef.h5");
  es_result_path(path, "results/x", "0123456789abcdef", ES_FLAT_POINTS + 1);
  assert_string_equal(path, "results/x/points/01/0123456789abcdef.h5");
}

/* The longest allowed output folder still gives complete paths. */
TEST(longest_path) {
  char output[ES_OUTPUT_MAX + 1], path[ES_PATH_MAX];
  memset(output, 'x', ES_OUTPUT_MAX);
  output[ES_OUTPUT_MAX] = '\0';
  es_result_path(path, output, "0123456789abcdef", ES_FLAT_POINTS + 1);
  assert_string_equal(path + strlen(path) - 19, "0123456789abcdef.h5");
}

/* A grid that grows beyond 1,000 points, or shrinks, finds its existing results. */
TEST_IN_FOLDER(find) {
  char path[ES_PATH_MAX];
  assert_ok(es_directory_create("o/points/ab", fresh()));
  assert_false(es_result_find(path, "o", "abcdef0123456789"));
  assert_string_equal(path, "o/points/abcdef0123456789.h5");
  example_write("o/points/ab/abcdef0123456789.h5");
  assert_true(es_result_find(path, "o", "abcdef0123456789"));
  assert_string_equal(path, "o/points/ab/abcdef0123456789.h5");
  example_write("o/points/abcdef0123456789.h5");
  assert_true(es_result_find(path, "o", "abcdef0123456789"));
  assert_string_equal(path, "o/points/abcdef0123456789.h5");
}
