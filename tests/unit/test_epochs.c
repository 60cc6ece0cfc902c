/* The measured and probed epochs of a point, compared with a walk over all epochs. */
#include "eigenscope/epochs.h"
#include "support/unit.h"

/* The rule of the job file: epoch 0 (eval only), every measure.every-th epoch, and the last. */
static bool expected(int32_t epochs, int32_t every, es_split_t split, int32_t epoch) {
  bool measured = epoch == epochs;
  for (int32_t e = every; e <= epochs; e += every) measured |= e == epoch;
  return measured || (epoch == 0 && split == ES_EVAL);
}

static void check_count(const es_point_t *point) {
  for (int split = 0; split < ES_SPLITS; split++) {
    int32_t n = 0;
    for (int32_t e = 0; e < es_point_epochs(point); e++) n += es_point_is_measured(point, (es_split_t)split, e);
    assert_int_equal(es_point_measured_count(point, (es_split_t)split), n);
    if (!es_point_has_split(point, (es_split_t)split)) assert_int_equal(n, 0);
  }
}

TEST(training) {
  for (int32_t i = 0; i < 12 * 14 * 4; i++) {
    es_point_t point = {.source = ES_SOURCE_TRAIN, .train.epochs = 1 + i / 4 % 12, .measure.every = 1 + i / 48};
    const int32_t epochs = point.train.epochs;
    point.measure.splits[ES_TRAIN] = i & 1;
    point.measure.splits[ES_EVAL] = i & 2;
    assert_int_equal(es_point_epochs(&point), epochs + 1);
    assert_int_equal(es_point_last_epoch(&point), epochs);
    for (int32_t e = 0; e <= epochs; e++) {
      assert_int_equal(es_point_epoch_number(&point, e), e);
      for (int split = 0; split < ES_SPLITS; split++)
        assert_int_equal(es_point_is_measured(&point, (es_split_t)split, e),
                         point.measure.splits[split] && expected(epochs, point.measure.every, (es_split_t)split, e));
    }
    check_count(&point);
  }
}

TEST(files) {
  es_point_t point = {.source = ES_SOURCE_CHECKPOINT, .measure = {.every = 7, .splits = {[ES_EVAL] = true}}};
  point.external.epoch = 5;
  assert_int_equal(es_point_epochs(&point), 1);
  assert_int_equal(es_point_epoch_number(&point, 0), 5);
  point.external.epochs = (es_epochs_t){ES_EPOCHS_LIST, 3, {2, 3, 9}};
  assert_int_equal(es_point_epochs(&point), 3);
  assert_int_equal(es_point_epoch_number(&point, 2), 9);
  assert_int_equal(es_point_measured_count(&point, ES_TRAIN), 0);
  assert_int_equal(es_point_measured_count(&point, ES_EVAL), 3);
  check_count(&point);
  point.source = ES_SOURCE_ACTIVATIONS; /* the files decide, not measure.splits */
  point.external.file[ES_TRAIN][0] = '/';
  assert_int_equal(es_point_measured_count(&point, ES_TRAIN), 3);
  assert_int_equal(es_point_measured_count(&point, ES_EVAL), 0);
  check_count(&point);
}

static void check_probes(es_point_t *point, es_epochs_t wanted, int32_t n, const int32_t *numbers) {
  int32_t found[8];
  point->probe.epochs = wanted;
  assert_int_equal(es_point_probe_epochs(point, NULL), n);
  assert_int_equal(es_point_probe_epochs(point, found), n);
  for (int32_t i = 0; i < n; i++) assert_int_equal(found[i], numbers[i]);
}

TEST(probes) {
  const es_epochs_t none = {.kind = ES_EPOCHS_NONE}, last = {.kind = ES_EPOCHS_LAST}, all = {.kind = ES_EPOCHS_ALL};
  const es_epochs_t list = {ES_EPOCHS_LIST, 4, {0, 2, 3, 8}}; /* 8 is past the end: axes may shorten training */
  es_point_t point = {.source = ES_SOURCE_TRAIN, .train.epochs = 3};
  check_probes(&point, none, 0, NULL);
  check_probes(&point, last, 1, (const int32_t[]){3});
  check_probes(&point, all, 4, (const int32_t[]){0, 1, 2, 3});
  check_probes(&point, list, 3, (const int32_t[]){0, 2, 3});
  point.source = ES_SOURCE_CHECKPOINT;
  point.external.epochs = (es_epochs_t){ES_EPOCHS_LIST, 3, {2, 5, 8}};
  check_probes(&point, last, 1, (const int32_t[]){8});
  check_probes(&point, all, 3, (const int32_t[]){2, 5, 8});
  check_probes(&point, list, 2, (const int32_t[]){2, 8});
}

static void check_steps(es_point_t *point, es_steps_t wanted, int64_t samples, int64_t n, const int32_t *numbers) {
  int32_t found[32];
  point->measure.steps = wanted;
  assert_int_equal(es_point_steps(point, samples, NULL), n);
  assert_int_equal(es_point_steps(point, samples, found), n);
  for (int64_t i = 0; i < n; i++) assert_int_equal(found[i], numbers[i]);
}

TEST(steps) {
  const es_steps_t list = {ES_STEPS_LIST, 4, {0, 2, 12, 13}, 0};
  es_point_t point = {.source = ES_SOURCE_TRAIN, .train = {.epochs = 3, .batch = 16}};
  assert_int_equal(es_point_last_step(&point, 64), 12); /* 4 steps an epoch, the last of which is full */
  assert_int_equal(es_point_last_step(&point, 65), 15);
  check_steps(&point, (es_steps_t){0}, 64, 0, NULL);
  check_steps(&point, list, 64, 3, (const int32_t[]){0, 2, 12});
  check_steps(&point, list, 1, 2, (const int32_t[]){0, 2});
  check_steps(&point, (es_steps_t){.kind = ES_STEPS_EVERY, .n = 5}, 64, 3, (const int32_t[]){0, 5, 10});
  check_steps(&point, (es_steps_t){.kind = ES_STEPS_EVERY, .n = 6}, 64, 3, (const int32_t[]){0, 6, 12});
  check_steps(&point, (es_steps_t){.kind = ES_STEPS_EVERY, .n = 13}, 64, 1, (const int32_t[]){0});
  /* 12^(i/3) is 1, 2.29, 5.24, 12; 12^(i/8) begins with 1, 1.36, 1.86, 2.54, 3.46, 4.73, 6.45, 8.80. */
  check_steps(&point, (es_steps_t){.kind = ES_STEPS_LOG, .n = 3}, 64, 3, (const int32_t[]){0, 1, 12});
  check_steps(&point, (es_steps_t){.kind = ES_STEPS_LOG, .n = 5}, 64, 5, (const int32_t[]){0, 1, 2, 5, 12});
  check_steps(&point, (es_steps_t){.kind = ES_STEPS_LOG, .n = 10}, 64, 10,
              (const int32_t[]){0, 1, 2, 3, 4, 5, 6, 7, 9, 12});
  check_steps(&point, (es_steps_t){.kind = ES_STEPS_LOG, .n = 20}, 16, 4, (const int32_t[]){0, 1, 2, 3});
  for (int32_t n = 3; n < 32;
       n++) { /* as many steps as wanted, ascending, from 0 to the last one, if there are so many */
    int32_t found[32];
    point.measure.steps = (es_steps_t){.kind = ES_STEPS_LOG, .n = n};
    for (int64_t batches = 1; batches < 2000; batches = 2 * batches + 1) {
      const int32_t last = (int32_t)(3 * batches);
      const int64_t count = es_point_steps(&point, 16 * batches, found);
      assert_int_equal(count, n <= last + 1 ? n : last + 1);
      assert_int_equal(found[0], 0);
      assert_int_equal(found[count - 1], last);
      for (int64_t i = 1; i < count; i++) assert_true(found[i] > found[i - 1]);
    }
  }
  point.train.epochs = 100000;
  assert_int_equal(es_point_last_step(&point, INT32_MAX), INT32_MAX);
  point.source = ES_SOURCE_CHECKPOINT;
  check_steps(&point, list, 64, 0, NULL);
}
