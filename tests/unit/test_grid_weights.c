/* Points whose weights come from files: their ids, the id of a training, and paths with values in braces. */
#include "unit/jobs.h"
#include <stdio.h>

#define GRID  "name: x\ngrid: {dataset: fashion-mnist, model: vgg11, width: 1/16, seed: 7}\n"
#define FILES "source: checkpoint\ncheckpoints: {files: \"w/{model}.safetensors\"}\n"
#define FROM  "source: checkpoint\ncheckpoints: {from: out}\n"

static void ids(const char *text, char id[ES_ID_SIZE], char training[ES_ID_SIZE]) {
  es_point_t point;
  only_point(text, &point, id);
  es_point_training_id(&point, training);
}

TEST(training) {
  char id[4][ES_ID_SIZE], training[4][ES_ID_SIZE];
  ids(GRID, id[0], training[0]);
  ids(GRID "measure: {delta: [0.5], every: 3}\nprobe: {epochs: last}\n", id[1], training[1]);
  ids(GRID FROM "measure: {method: mean}\n", id[2], training[2]);
  ids(GRID "train: {learning_rate: 0.2}\n", id[3], training[3]);
  assert_string_equal(training[0], training[1]);
  assert_string_equal(training[0], training[2]);
  assert_string_not_equal(training[0], training[3]);
  for (int i = 1; i < 4; i++) assert_string_not_equal(id[0], id[i]);
}

/* With `from`, training settings identify the weights, so ids contain them; with `files` they do not matter. */
TEST(what_is_in_an_id) {
  char plain[ES_ID_SIZE], other[ES_ID_SIZE], training[ES_ID_SIZE];
  ids(GRID FILES, plain, training);
  ids(GRID FILES "train: {learning_rate: 0.2, epochs: 3}\nmeasure: {every: 2}\n", other, training);
  assert_string_equal(plain, other);
  ids(GRID FILES "measure: {splits: [eval]}\n", other, training);
  assert_string_not_equal(plain, other);
  ids(GRID FROM, other, training);
  assert_string_not_equal(plain, other);
  ids(GRID FROM, plain, training);
  ids(GRID FROM "train: {learning_rate: 0.2}\n", other, training);
  assert_string_not_equal(plain, other);
}

/* Weights are found by the precision in which they were trained, and measured in that of train.precision. */
TEST(precisions) {
  static const char *const jobs[] = {GRID,
                                     GRID "train: {precision: bfloat16}\n",
                                     GRID FROM,
                                     GRID FROM "train: {precision: bfloat16}\n",
                                     GRID "source: checkpoint\ncheckpoints: {from: out, precision: bfloat16}\n",
                                     GRID "source: checkpoint\ncheckpoints: {from: out, precision: float32}\n"
                                          "train: {precision: bfloat16}\n",
                                     GRID FILES,
                                     GRID FILES "train: {precision: bfloat16}\n"};
  enum { N = sizeof jobs / sizeof *jobs };
  char id[N][ES_ID_SIZE], training[N][ES_ID_SIZE], again[ES_ID_SIZE], its[ES_ID_SIZE];
  for (int i = 0; i < N; i++) {
    es_point_t point;
    es_text_t text = {0};
    ids(jobs[i], id[i], training[i]);
    for (int k = 0; k < i; k++) assert_string_not_equal(id[i], id[k]);
    only_point(jobs[i], &point, again);
    es_point_describe(&point, "x", &text);
    ids(es_text_get(&text), again, its);
    assert_string_equal(again, id[i]);
    assert_string_equal(its, training[i]);
    es_text_destroy(&text);
  }
  assert_string_equal(training[2], training[0]);
  assert_string_equal(training[3], training[1]);
  assert_string_equal(training[4], training[1]);
  assert_string_equal(training[5], training[0]);
  ids(GRID "source: checkpoint\ncheckpoints: {from: out, precision: float32}\n", again, its); /* as in training */
  assert_string_equal(again, id[2]);
}

/* Without `width` and `classes`, they are those of the files; the id is the same before and after they are known. */
TEST(left_to_files) {
  static const char left_out[] = "name: x\ngrid: {dataset: fashion-mnist, model: vgg11}\n" FILES;
  char before[ES_ID_SIZE], after[ES_ID_SIZE], training[ES_ID_SIZE];
  es_point_t point, again;
  es_text_t text = {0};
  only_point(left_out, &point, before);
  assert_int_equal(point.width.numerator, 0);
  point.width = (es_ratio_t){3, 16};
  point.classes = 10;
  es_point_id(&point, after);
  assert_string_equal(before, after);
  es_point_describe(&point, "x", &text);
  only_point(es_text_get(&text), &again, after);
  assert_int_equal(again.width.numerator, 0);
  assert_true(es_point_axis_is_of_files(&again, "classes"));
  es_text_destroy(&text);
  ids("name: x\ngrid: {dataset: fashion-mnist, model: vgg11, width: 1}\n" FILES, after, training);
  assert_string_not_equal(before, after);
  only_point("name: x\nsource: checkpoint\ncheckpoints: {files: \"w-{width}\"}\n"
             "grid: {dataset: fashion-mnist, model: vgg11}\n",
             &point, after);
  assert_int_equal(point.width.numerator, 1); /* the path contains it */
}

/* Classes left to the files have the id that they always had, which is that of `all`. With {classes} in the path and
 * with `from`, classes are `all`, as in training. */
TEST(classes_of_files) {
  static const char head[] =
      "name: x\nsource: checkpoint\ngrid: {dataset: fashion-mnist, model: vgg11, width: 1/16%s}\n";
  static const struct {
    const char *axis, *files, *value;
  } cases[] = {{"", "checkpoints: {files: w}\n", "auto"},
               {", classes: all", "checkpoints: {files: w}\n", "all"},
               {", classes: 10", "checkpoints: {files: w}\n", "10"},
               {"", "checkpoints: {files: 'w-{classes:02}'}\n", "all"},
               {"", "checkpoints: {from: w}\n", "all"}};
  char text[512], id[5][ES_ID_SIZE], number[32];
  es_point_t point;
  for (size_t i = 0; i < 5; i++) {
    int length = snprintf(text, sizeof text, head, cases[i].axis);
    snprintf(text + length, sizeof text - (size_t)length, "%s", cases[i].files);
    only_point(text, &point, id[i]);
    assert_string_equal(es_point_axis(&point, "classes"), cases[i].value);
    point.classes = 10;
    assert_string_equal(es_point_axis_value(&point, "classes", number),
                        strcmp(cases[i].value, "all") == 0 ? "all (10)" : "10");
  }
  assert_string_equal(id[0], "47134bdd50380880");
  assert_string_equal(id[1], id[0]);
  assert_string_not_equal(id[2], id[0]);
}

TEST(paths) {
  static const char *const cases[][2] = {
      {"w/{model}-{width}-{epoch:03}.safetensors", "w/vgg11-0.0625-005.safetensors"},
      {"{id}/{epoch}/{seed:04}/{classes}", "0123/5/0007/all"},
      {"{nothing}{ {epoch {epoch:3} {width:02}", "{nothing}{ {epoch {epoch:3} 0.0625"},
      {"", ""},
  };
  char out[ES_PATH_MAX], longest[ES_PATH_MAX + 16];
  es_point_t point;
  only_point(GRID, &point, out);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_ok(es_point_path(out, cases[i][0], &point, "0123", 5, fresh()));
    assert_string_equal(out, cases[i][1]);
  }
  memset(longest, 'w', sizeof longest);
  strcpy(longest + ES_PATH_MAX - 8, "{model}");
  assert_ok(es_point_path(out, longest, &point, "", 0, fresh())); /* fits, because vgg11 is shorter */
  strcpy(longest + ES_PATH_MAX - 5, "{model}");
  assert_int_equal(es_point_path(out, longest, &point, "", 0, fresh()), ES_INPUT);
}
