/* Formats of datasets and measuring methods: parsing, their part in ids, and that a resolved job gives its point. */
#include "eigenscope/dataset_reader.h"
#include "unit/jobs.h"
#include <stdio.h>

#define DATASET(text) "name: x\ngrid: {dataset: d, model: mlp}\ndatasets: {d: {" text "}}\n"

TEST(formats) {
  es_point_t p;
  char id[ES_ID_SIZE];
  only_point(DATASET("format: cifar10, path: c, fit: pad"), &p, id);
  assert_int_equal(p.dataset.format, ES_FORMAT_CIFAR10);
  assert_string_equal(p.dataset.path, "/jobs/c");
  assert_int_equal(p.dataset.fit, ES_FIT_PAD);
  only_point(DATASET("format: cifar100, path: /c"), &p, id);
  assert_int_equal(p.dataset.format, ES_FORMAT_CIFAR100);
  assert_int_equal(p.dataset.labels, ES_LABELS_FINE);
  only_point(DATASET("format: cifar100, path: /c, labels: coarse, limit: {train: 40}"), &p, id);
  assert_int_equal(p.dataset.labels, ES_LABELS_COARSE);
  assert_int_equal(p.dataset.limit[ES_TRAIN], 40);
  only_point(DATASET("format: hdf5, path: x.h5"), &p, id);
  assert_int_equal(p.dataset.format, ES_FORMAT_HDF5);
  for (int i = 0; i < ES_SPLITS * ES_VARIABLES; i++)
    assert_string_equal(p.dataset.variables[i / ES_VARIABLES][i % ES_VARIABLES], "");
  only_point(DATASET("format: hdf5, path: x.h5, variables: {train_images: x_train, eval_labels: test/y}"), &p, id);
  assert_string_equal(p.dataset.variables[ES_TRAIN][ES_VARIABLE_IMAGES], "x_train");
  assert_string_equal(p.dataset.variables[ES_TRAIN][ES_VARIABLE_LABELS], "");
  assert_string_equal(p.dataset.variables[ES_EVAL][ES_VARIABLE_IMAGES], "");
  assert_string_equal(p.dataset.variables[ES_EVAL][ES_VARIABLE_LABELS], "test/y");
}

TEST(names_of_formats) {
  for (es_format_t f = ES_FORMAT_IDX; f < ES_FORMATS_COUNT; f++) {
    es_format_t found;
    assert_true(es_format_find(&found, es_format_words[f]));
    assert_int_equal(found, f);
  }
  es_format_t none = ES_FORMAT_HDF5;
  assert_false(es_format_find(&none, "png"));
  assert_int_equal(none, ES_FORMAT_HDF5);
}

/* The container does not change the id; the choice of labels does. Ids of stored results must not change. */
TEST(ids_of_datasets) {
  static const char *const same[] = {
      DATASET("format: idx, path: a"),      DATASET("format: cifar10, path: b"),
      DATASET("format: cifar100, path: b"), DATASET("format: cifar100, path: c, labels: fine"),
      DATASET("format: hdf5, path: d"),     DATASET("format: hdf5, path: d, variables: {train_images: x}"),
  };
  es_point_t p;
  char first[ES_ID_SIZE], id[ES_ID_SIZE];
  only_point(same[0], &p, first);
  for (size_t i = 1; i < sizeof same / sizeof *same; i++) {
    only_point(same[i], &p, id);
    assert_string_equal(id, first);
  }
  only_point(DATASET("format: cifar100, path: b, labels: coarse"), &p, id);
  assert_string_not_equal(id, first);
}

TEST(ids_stay) {
  es_point_t p;
  char id[ES_ID_SIZE];
  only_point("name: quickstart\n"
             "grid: {dataset: fashion-mnist, model: vgg11, width: 1/16, classes: 2}\n"
             "datasets: {fashion-mnist: {format: idx, path: /x, fit: resize, limit: {train: 10000, eval: 2000}}}\n"
             "train: {epochs: 5, batch: 128, learning_rate: 0.1, schedule: cosine, augment: [crop, flip]}\n",
             &p, id);
  assert_string_equal(id, "a6c70451fe5d8304");
}

TEST(methods) {
  static const struct {
    const char *text;
    es_method_kind_t kind;
    int32_t size;
  } methods[] = {{"channelwise", ES_METHOD_CHANNELWISE, 0},
                 {"mean", ES_METHOD_MEAN, 0},
                 {"max", ES_METHOD_MAX, 0},
                 {"median", ES_METHOD_MEDIAN, 0},
                 {"flatten", ES_METHOD_FLATTEN, 0},
                 {"first", ES_METHOD_FIRST, 0},
                 {"last", ES_METHOD_LAST, 0},
                 {"{pool: 4}", ES_METHOD_POOL, 4},
                 {"{pool: 1}", ES_METHOD_POOL, 1},
                 {"{nearest: 64}", ES_METHOD_NEAREST, 64}};
  enum { N = sizeof methods / sizeof *methods };
  char ids[N][ES_ID_SIZE], plain[ES_ID_SIZE];
  es_point_t p;
  only_point("name: x\ngrid: {dataset: fashion-mnist, model: mlp}\n", &p, plain);
  for (int i = 0; i < N; i++) {
    char text[256];
    snprintf(text, sizeof text, "name: x\ngrid: {dataset: fashion-mnist, model: mlp}\nmeasure: {method: %s}\n",
             methods[i].text);
    only_point(text, &p, ids[i]);
    assert_int_equal(p.measure.method, methods[i].kind);
    assert_int_equal(p.measure.method_size, methods[i].size);
    for (int k = 0; k < i; k++) assert_string_not_equal(ids[k], ids[i]);
  }
  assert_string_equal(ids[0], plain);
}

/* The order of words does not matter; the default is no part of the id. */
TEST(kinds) {
  static const struct {
    const char *text;
    uint32_t kinds;
    const char *printed;
  } cases[] = {{"[linear, conv]", 1 << ES_LAYER_CONV | 1 << ES_LAYER_LINEAR, "[conv, linear]"},
               {"block", 1 << ES_LAYER_BLOCK, "[block]"},
               {"[norm, attention, activation]",
                1 << ES_LAYER_ATTENTION | 1 << ES_LAYER_ACTIVATION | 1 << ES_LAYER_NORM,
                "[attention, activation, norm]"}};
  char id[ES_ID_SIZE], plain[ES_ID_SIZE];
  es_point_t p;
  only_point("name: x\ngrid: {dataset: fashion-mnist, model: resnet18}\n", &p, plain);
  assert_int_equal(p.measure.kinds, cases[0].kinds);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[256];
    es_text_t description = {0};
    snprintf(text, sizeof text, "name: x\ngrid: {dataset: fashion-mnist, model: resnet18}\nmeasure: {kinds: %s}\n",
             cases[i].text);
    only_point(text, &p, id);
    assert_int_equal(p.measure.kinds, cases[i].kinds);
    assert_int_equal(strcmp(id, plain) == 0, i == 0);
    es_point_describe(&p, "x", &description);
    snprintf(text, sizeof text, "\n  kinds: %s\n", cases[i].printed);
    assert_non_null(strstr(es_text_get(&description), text));
    es_text_destroy(&description);
  }
}

/* An axis of methods replaces the method of section measure, with its size. */
TEST(methods_as_an_axis) {
  job_grid_t g = grid_open("name: x\n"
                           "grid:\n"
                           "- {dataset: fashion-mnist, model: mlp, measure.method: [mean, median, flatten]}\n"
                           "- {dataset: fashion-mnist, model: mlp}\n"
                           "measure: {method: {pool: 3}}\n");
  assert_int_equal(es_grid_count(g.grid), 4);
  static const es_method_kind_t kinds[] = {ES_METHOD_MEAN, ES_METHOD_MEDIAN, ES_METHOD_FLATTEN, ES_METHOD_POOL};
  for (int i = 0; i < 4; i++) {
    es_point_t p;
    es_grid_point(g.grid, i, &p);
    assert_int_equal(p.measure.method, kinds[i]);
    assert_int_equal(p.measure.method_size, i == 3 ? 3 : 0);
  }
  grid_close(&g);
}

static void check_described(const char *text) {
  es_point_t p, q;
  char id[ES_ID_SIZE], again[ES_ID_SIZE];
  es_text_t description = {0};
  only_point(text, &p, id);
  es_point_describe(&p, "x", &description);
  only_point(es_text_get(&description), &q, again);
  assert_string_equal(again, id);
  assert_int_equal(q.dataset.format, p.dataset.format);
  assert_int_equal(q.dataset.labels, p.dataset.labels);
  assert_string_equal(q.dataset.path, p.dataset.path);
  for (int i = 0; i < ES_SPLITS * ES_VARIABLES; i++)
    assert_string_equal(q.dataset.variables[i / ES_VARIABLES][i % ES_VARIABLES],
                        p.dataset.variables[i / ES_VARIABLES][i % ES_VARIABLES]);
  assert_int_equal(q.measure.method, p.measure.method);
  assert_int_equal(q.measure.method_size, p.measure.method_size);
  es_text_destroy(&description);
}

TEST(descriptions) {
  check_described(DATASET("format: cifar10, path: a, normalize: {mean: 0.5, std: 0.5}"));
  check_described(DATASET("format: cifar100, path: a$$b"));
  check_described(DATASET("format: cifar100, path: a, labels: coarse, limit: {eval: 60}"));
  check_described(DATASET("format: hdf5, path: a.h5"));
  check_described(DATASET("format: hdf5, path: a.h5, variables: {eval_images: \"a \\\"b\\\": c\", train_labels: y}"));
  static const char *const methods[] = {"mean", "flatten", "{pool: 7}", "{nearest: 2}"};
  for (int i = 0; i < 4; i++) {
    char text[256];
    snprintf(text, sizeof text, "name: x\ngrid: {dataset: fashion-mnist, model: mlp}\nmeasure: {method: %s}\n",
             methods[i]);
    check_described(text);
  }
}
