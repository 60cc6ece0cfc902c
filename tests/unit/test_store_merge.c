/* Merging results of all groups: numbers, and full disks. tests/system/test_merge.py merges real sweeps. */
#include "eigenscope/file.h"
#include "eigenscope/merge.h"
#include "store_example.h"
#include <hdf5.h>
#include <math.h>
#include <sys/stat.h>

BEFORE_TESTS {
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

static const char *const IDS[] = {"00000000000000aa", "00000000000000bb", "00000000000000cc"};
enum { POINTS = 3 };

static void put_result(int point, es_result_t *result) {
  char path[ES_PATH_MAX];
  es_result_header_t header = example_header();
  header.point_id = IDS[point];
  es_result_path(path, "o", IDS[point], POINTS);
  assert_ok(es_result_write(path, result, &header, fresh()));
  es_result_destroy(result);
}

/* A merged file of more kinds than the table holds still counts every point. */
TEST(more_kinds_than_are_named) {
  es_kinds_t kinds = {0};
  es_text_t text = {0};
  char name[ES_KIND_SIZE];
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 20; i++) {
      snprintf(name, sizeof name, "kind %d", i);
      assert_int_equal(es_kinds_add(&kinds, name), i < ES_KINDS_MAX - 1 ? i : ES_KINDS_MAX - 1);
    }
  }
  assert_int_equal(kinds.n, ES_KINDS_MAX);
  assert_int_equal(kinds.count[3], 2);
  es_kinds_print(&kinds, &text);
  assert_non_null(strstr(es_text_get(&text), " 16 instruction sets or libraries"));
  assert_non_null(strstr(es_text_get(&text), "; 2 with kind 14; 10 with others\n"));
  es_text_destroy(&text);
  es_kind_name(name, "a\nb", "");
  assert_string_equal(name, "a?b and an unknown BLAS");
}

/* Point 0 has all groups; point 1 is missing; point 2 has two layers, later epochs, another delta and no groups. */
static es_result_t *plain(void) {
  static const int32_t epochs[] = {1, 2, 7};
  es_point_t point = *example_point();
  es_result_t *result;
  point.measure.n_deltas = 1;
  point.measure.delta[0] = 0.95;
  const es_result_shape_t shape = {
      .point = &point, .layers = EXAMPLE_LAYER, .n_layers = 2, .epochs = epochs, .n_epochs = 3};
  assert_ok(es_result_create(&result, &shape, fresh()));
  example_fill(result);
  return result;
}

static void put_points(void) {
  assert_ok(es_directory_create("o/points", fresh()));
  put_result(0, example_result());
  put_result(2, plain());
}

static es_code_t merge_to(const char *to, es_status_t *status) {
  static const es_provenance_t provenance[] = {{"version", "1"}};
  const es_merge_header_t header = {"job", "name: job\n", "1", provenance, 1};
  es_merge_t *merge;
  ES_TRY(es_merge_create(&merge, "o", IDS, POINTS, ES_MERGE_SPECTRA | ES_MERGE_CAREFUL, NULL, NULL, status));
  const es_code_t code = es_merge_write(merge, to, &header, status);
  es_merge_destroy(merge);
  return code;
}

static void merge_well(const char *to) {
  assert_ok(merge_to(to, fresh()));
}

/* Reads one number of the merged file as double. */
static double number(hid_t file, const char *name, int rank, const hsize_t *at) {
  static const hsize_t one[ES_RANK_MAX + 1] = {1, 1, 1, 1, 1, 1};
  double value = 0;
  hid_t object = H5Dopen2(file, name, H5P_DEFAULT), space = H5Dget_space(object);
  hid_t memory = H5Screate_simple(rank, one, NULL);
  assert_int_equal(H5Sget_simple_extent_ndims(space), rank);
  assert_true(H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, one, NULL) >= 0);
  assert_true(H5Dread(object, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, &value) >= 0);
  H5Sclose(memory);
  H5Sclose(space);
  H5Dclose(object);
  return value;
}

static double stored(const es_result_t *result, es_field_t field, const int64_t *at) {
  const void *value = es_result_at((es_result_t *)result, field, at);
  switch (es_field_info(field)->type) {
  case ES_TYPE_F64:
    return *(const double *)value;
  case ES_TYPE_F32:
    return (double)*(const float *)value;
  case ES_TYPE_I32:
    return *(const int32_t *)value;
  case ES_TYPE_I64:
    return (double)*(const int64_t *)value;
  default:
    return *(const uint8_t *)value;
  }
}

/* Epochs 0, 1, 2 and 1, 2, 7 make 0, 1, 2, 7; deltas 0.9, 0.99 and 0.95 make 0.9, 0.95, 0.99. */
static int64_t moved(es_dimension_t dimension, int point, int64_t index) {
  static const int64_t epochs[2][3] = {{0, 1, 2}, {1, 2, 3}}, deltas[2][2] = {{0, 2}, {1, 0}};
  if (dimension == ES_DIM_EPOCH) return epochs[point][index];
  return dimension == ES_DIM_DELTA ? deltas[point][index] : index;
}

/* Checks that the merged file has every number of a result in row `row`. */
static void check_point(hid_t file, const es_result_t *result, int row) {
  for (int i = ES_FIELD_LAYER_WIDTH; i < ES_FIELDS; i++) {
    const es_field_t field = (es_field_t)i;
    const es_field_info_t *info = es_field_info(field);
    if (!es_result_has(result, info->group)) continue;
    int64_t at[ES_RANK_MAX] = {0};
    for (bool more = true; more;) {
      hsize_t place[ES_RANK_MAX + 1] = {(hsize_t)row};
      int64_t width = INT64_MAX;
      bool padding = false;
      for (int k = 0; k < info->rank; k++) {
        const es_dimension_t dimension = info->dimensions[k];
        place[k + 1] = (hsize_t)moved(dimension, row, at[k]);
        if (dimension == ES_DIM_LAYER) width = es_result_layer(result, (int)at[k])->width;
        padding = padding || ((dimension == ES_DIM_COMPONENT || dimension == ES_DIM_FEATURE) && at[k] >= width);
      }
      const double found = number(file, info->name, info->rank + 1, place);
      const double expected = padding ? (double)NAN : stored(result, field, at);
      if (found != expected && !(isnan(found) && isnan(expected)))
        fail_msg("%s of row %d: %g, not %g", info->name, row, found, expected);
      more = false;
      for (int k = info->rank - 1; k >= 0 && !more; k--) {
        more = ++at[k] < es_result_extent(result, info->dimensions[k]);
        if (!more) at[k] = 0;
      }
    }
  }
}

TEST_IN_FOLDER(every_number) {
  put_points();
  merge_well("all.h5");
  es_result_t *first = example_result(), *second = plain();
  hid_t file = H5Fopen("all.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
  assert_true(file >= 0);
  check_point(file, first, 0);
  check_point(file, second, 1);
  /* Elements that the second point lacks. */
  static const hsize_t layer[] = {1, 2}, epoch[] = {1, 1, 0}, vector[] = {1, 0, 0, 0, 0, 0}, tail[] = {1, 0};
  assert_true(number(file, "layer_width", 2, layer) == -1);
  assert_true(isnan(number(file, "loss", 3, epoch)));
  assert_true(isnan(number(file, "eigenvectors", 6, vector)));
  assert_true(number(file, "layer_tail", 2, tail) == 255);
  assert_true(number(file, "point", 1, (const hsize_t[]){1}) == 2);
  assert_true(number(file, "layer_or_all", 1, (const hsize_t[]){0}) == -1);
  H5Fclose(file);
  es_result_destroy(first);
  es_result_destroy(second);
}

/* Points with other lists of datasets: the merged file has their union, and each number at its dataset. */
TEST_IN_FOLDER(lists_of_datasets) {
  static const es_dataset_spec_t others[] = {{.name = "svhn"}, {.name = "cifar10"}};
  es_result_t *first = example_result(), *second;
  es_point_t point;
  es_result_shape_t shape = example_shape();
  point = *shape.point;
  shape.point = &point;
  for (int i = 0; i < 2; i++) point.probe.datasets[i] = (es_probe_dataset_t){.spec = &others[i], .classes = 3 + i};
  assert_ok(es_result_create(&second, &shape, fresh()));
  *es_result_f64(second, ES_FIELD_PROBE_DATASET_ACCURACY, 1, ES_EVAL, 1, 2) = 0.125;
  *es_result_f64(second, ES_FIELD_PROBE_DATASET_ACCURACY, 0, ES_TRAIN, 0, 0) = 0.75;
  assert_ok(es_directory_create("o/points", fresh()));
  put_result(0, example_result());
  put_result(2, second);
  merge_well("all.h5");
  hid_t file = H5Fopen("all.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
  for (int64_t i = 0; i < 2; i++) {
    for (int64_t k = 0; k < ES_SPLITS * EXAMPLE_PROBES * EXAMPLE_LAYERS; k++) {
      const int64_t at[ES_RANK_MAX] = {i, k / (EXAMPLE_PROBES * EXAMPLE_LAYERS), k / EXAMPLE_LAYERS % EXAMPLE_PROBES,
                                       k % EXAMPLE_LAYERS};
      const hsize_t place[] = {0, (hsize_t)at[0], (hsize_t)at[1], (hsize_t)at[2], (hsize_t)at[3]};
      assert_true(number(file, "probe_dataset_accuracy", 5, place) ==
                  stored(first, ES_FIELD_PROBE_DATASET_ACCURACY, at));
    }
  }
  static const hsize_t cifar10[] = {1, 0, 1, 1, 2}, svhn[] = {1, 2, 0, 0, 0}, noise[] = {1, 1, 0, 0, 0},
                       lacks[] = {0, 2, 0, 0, 0}, classes[] = {1, 2};
  assert_true(number(file, "probe_dataset_accuracy", 5, cifar10) == 0.125);
  assert_true(number(file, "probe_dataset_accuracy", 5, svhn) == 0.75);
  assert_true(isnan(number(file, "probe_dataset_accuracy", 5, noise)));
  assert_true(isnan(number(file, "probe_dataset_accuracy", 5, lacks)));
  assert_true(number(file, "probe_dataset_classes", 2, classes) == 3);
  char *names[3] = {NULL};
  hid_t object = H5Dopen2(file, "probe_dataset", H5P_DEFAULT), type = H5Dget_type(object), space = H5Dget_space(object);
  assert_true(H5Dread(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, names) >= 0);
  assert_string_equal(names[0], "cifar10");
  assert_string_equal(names[1], "noise-2");
  assert_string_equal(names[2], "svhn");
  H5Dvlen_reclaim(type, space, H5P_DEFAULT, names);
  H5Sclose(space);
  H5Tclose(type);
  H5Dclose(object);
  H5Fclose(file);
  es_result_destroy(first);
}

/* A layer so wide that layers are copied one by one. */
TEST_IN_FOLDER(wide_layers) {
  static es_layer_info_t layers[20];
  es_point_t point = *example_point();
  es_result_t *result;
  for (int i = 0; i < 20; i++) {
    snprintf(layers[i].name, sizeof layers[i].name, "layer%d", i);
    layers[i].width = i == 7 ? 30000 : 3;
  }
  point.train.epochs = 0;
  const es_result_shape_t shape = {.point = &point, .layers = layers, .n_layers = 20};
  assert_ok(es_result_create(&result, &shape, fresh()));
  *es_result_f64(result, ES_FIELD_EIGENVALUES, ES_EVAL, 0, 7, 29999) = 0.5;
  *es_result_f64(result, ES_FIELD_EIGENVALUES, ES_TRAIN, 0, 19, 2) = 0.25;
  put_points();
  put_result(2, result);
  merge_well("all.h5");
  hid_t file = H5Fopen("all.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
  static const hsize_t wide[] = {1, 1, 0, 7, 29999}, last[] = {1, 0, 0, 19, 2}, none[] = {1, 1, 0, 7, 29998};
  assert_true(number(file, "eigenvalues", 5, wide) == 0.5);
  assert_true(number(file, "eigenvalues", 5, last) == 0.25);
  assert_true(isnan(number(file, "eigenvalues", 5, none)));
  H5Fclose(file);
}

static void count_refused(void *context, const char *path, const char *reason) {
  ++*(int *)context;
  assert_string_equal(path, "o/points/00000000000000bb.h5");
  assert_string_equal(reason, "is damaged or not an HDF5 file: file signature not found");
}

TEST_IN_FOLDER(outcomes) {
  int count = 0;
  es_merge_t *merge;
  put_points();
  assert_ok(es_file_write_atomic("o/points/00000000000000bb.h5", "text", 4, fresh()));
  assert_ok(
      es_merge_create(&merge, "o", IDS, POINTS, ES_MERGE_SPECTRA | ES_MERGE_CAREFUL, count_refused, &count, fresh()));
  assert_int_equal(count, 1);
  assert_int_equal(es_merge_outcome(merge, 0), ES_OUTCOME_COMPLETE);
  assert_int_equal(es_merge_outcome(merge, 1), ES_OUTCOME_DAMAGED);
  assert_int_equal(es_merge_outcome(merge, 2), ES_OUTCOME_COMPLETE);
  es_merge_destroy(merge);
}

/* A result is replaced by one with other axes between survey and writing. */
TEST_IN_FOLDER(changed_meanwhile) {
  const es_merge_header_t header = {.job_name = "job", .job = "", .missing = ""};
  es_merge_t *merge;
  put_points();
  put_result(0, plain());
  assert_ok(es_merge_create(&merge, "o", IDS, POINTS, ES_MERGE_SPECTRA | ES_MERGE_CAREFUL, NULL, NULL, fresh()));
  put_result(2, example_result());
  assert_fails(es_merge_write(merge, "all.h5", &header, fresh()), ES_SYSTEM,
               "o/points/00000000000000cc.h5: changed while it was merged; run merge again");
  assert_false(es_file_exists("all.h5"));
  es_merge_destroy(merge);
}

typedef struct seen {
  int points;
  double accuracy[POINTS], saturation[POINTS];
  double delta; /* expected; 0: any */
} seen_t;

static void see(void *context, const es_merged_info_t *info, const es_merged_point_t *point) {
  seen_t *seen = context;
  assert_true(seen->delta == 0 || info->delta == seen->delta);
  if (point == NULL) return;
  assert_string_equal(info->names[0], "point");
  assert_string_equal(point->cells[0], seen->points == 0 ? "0" : "2");
  assert_string_equal(point->cells[info->n_names - 2], "complete");
  seen->accuracy[seen->points] = point->accuracy;
  seen->saturation[seen->points++] = point->saturation;
}

/* Summaries equal those of the points' own files. All points are shown at one delta: point 0 has 0.9 and 0.99, point 2
 * only 0.95. */
TEST_IN_FOLDER(read_back) {
  put_points();
  merge_well("all.h5");
  assert_true(es_merged_check("all.h5"));
  assert_false(es_merged_check("o/points/00000000000000aa.h5"));
  assert_false(es_merged_check("none.h5"));
  for (int i = 0; i < 2; i++) {
    seen_t seen = {.delta = i == 0 ? 0.99 : 0.95};
    es_result_summary_t summary;
    char path[ES_PATH_MAX];
    assert_ok(es_merged_read("all.h5", i == 0 ? ES_DELTA_ANY : 0.95, NULL, see, &seen, fresh()));
    assert_int_equal(seen.points, 2);
    es_result_path(path, "o", IDS[2 * i], POINTS);
    es_result_summarize(&summary, path);
    assert_true(seen.accuracy[i] == summary.accuracy);
    assert_true(seen.saturation[i] == summary.mean_saturation);
    assert_true(isnan(seen.saturation[1 - i]));
  }
  seen_t seen = {0};
  assert_fails(es_merged_read("all.h5", 0.5, NULL, see, &seen, fresh()), ES_INPUT,
               "all.h5: delta 0.5 was not measured; it was measured at 0.9, 0.95 and 0.99");
  assert_fails_with(es_merged_read("o/points/00000000000000aa.h5", ES_DELTA_ANY, NULL, see, &seen, fresh()), ES_INPUT,
                    "is not a merged file");
}

static void see_layer(void *context, const es_merged_info_t *info, const es_merged_point_t *point) {
  assert_true(info->layers_chosen);
  if (point == NULL) return;
  es_text_append(context, "%s %s %s\n", point->cells[0], point->layer, isnan(point->saturation) ? "-" : "+");
}

/* Layers are chosen by name in each point; a point without such a layer is visited once. Points have other epochs and
 * deltas, so only one of them has a number at a delta. */
TEST_IN_FOLDER(layers) {
  es_text_t text = {0};
  put_points();
  merge_well("all.h5");
  assert_ok(es_merged_read("all.h5", 0.95, EXAMPLE_LAYER[0].name, see_layer, &text, fresh()));
  assert_string_equal(es_text_get(&text), "0 features.0 -\n2 features.0 +\n");
  es_text_destroy(&text);
  assert_ok(es_merged_read("all.h5", ES_DELTA_ANY, EXAMPLE_LAYER[2].name, see_layer, &text, fresh()));
  char expected[2 * ES_NAME_MAX];
  snprintf(expected, sizeof expected, "0 %s +\n2  -\n", EXAMPLE_LAYER[2].name);
  assert_string_equal(es_text_get(&text), expected);
  es_text_destroy(&text);
  assert_fails_with(es_merged_read("all.h5", ES_DELTA_ANY, "conv3", see_layer, &text, fresh()), ES_INPUT,
                    "all.h5: no layer matches \"conv3\"; the first layer is \"features.0\"");
  assert_int_equal(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
  hid_t file = H5Fopen("all.h5", H5F_ACC_RDWR, H5P_DEFAULT);
  assert_true(H5Ldelete(file, "layer_name", H5P_DEFAULT) >= 0);
  assert_true(H5Fclose(file) >= 0);
  assert_int_equal(es_merged_read("all.h5", ES_DELTA_ANY, "*", see_layer, &text, fresh()), ES_INPUT);
  assert_int_equal(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
  es_text_destroy(&text);
}

/* A disk that fills at any point of the file. */
TEST_IN_FOLDER(full_disk) {
  struct stat facts;
  put_points();
  merge_well("whole.h5");
  assert_int_equal(stat("whole.h5", &facts), 0);
  for (long limit = 0; limit < (long)facts.st_size; limit += 1 + (long)facts.st_size / 20) {
    file_size_limit(limit);
    const es_code_t code = merge_to("all.h5", fresh());
    file_size_limit(-1);
    assert_int_equal(code, ES_SYSTEM);
    assert_string_equal(said.message, "all.h5: cannot be written: File too large");
    assert_false(es_file_exists("all.h5"));
  }
}

TEST_IN_FOLDER(nothing_of_hdf5_is_left) {
  put_points();
  merge_well("all.h5");
  seen_t seen = {0};
  assert_ok(es_merged_read("all.h5", ES_DELTA_ANY, NULL, see, &seen, fresh()));
  assert_int_equal(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}
