/* Optimizers, learning rates and clipping against PyTorch (numbers by fixtures/torch/make_training.py). */
#include "eigenscope/checkpoint.h"
#include "eigenscope/train.h"
#include "support/unit.h"
#include <math.h>
#include <string.h>

enum { N = 37, STEPS = 12, EPOCHS = 20 };

static es_safetensors_t *golden;

static void set_up(void) {
  assert_ok(es_safetensors_read(&golden, ES_FIXTURES "/torch/training.safetensors", fresh()));
}

static void tear_down(void) {
  es_safetensors_destroy(golden);
}

static const void *find(const char *prefix, const char *name, es_dtype_t dtype) {
  char full[ES_TENSOR_NAME_MAX];
  snprintf(full, sizeof full, "%s%s", prefix, name);
  const es_tensor_view_t *view = es_safetensors_find(golden, full);
  if (view == NULL) fail_msg("%s is not in the file", full);
  assert_int_equal(view->dtype, dtype);
  return view->data;
}

#define ADAM .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8
#define SGD  .optimizer = ES_SGD, .momentum = 0.9

static const struct {
  const char *name;
  es_train_settings_t settings;
} optimizers[] = {
    {"sgd", {SGD, .learning_rate = 0.1, .weight_decay = 5e-4}},
    {"nesterov", {SGD, .learning_rate = 0.1, .weight_decay = 5e-4, .nesterov = ES_ON}},
    {"still", {SGD, .learning_rate = 0.0, .weight_decay = 5e-4}},
    {"clipped", {SGD, .learning_rate = 0.1, .clip_norm = 1.8}},
    {"adam", {ADAM, .optimizer = ES_ADAM, .weight_decay = 5e-4}},
    {"adamw", {ADAM, .optimizer = ES_ADAMW, .weight_decay = 0.1}},
    {"radam", {ADAM, .optimizer = ES_RADAM, .weight_decay = 5e-4}},
    {"radam_short", {.optimizer = ES_RADAM, .learning_rate = 0.01, .beta1 = 0.8, .beta2 = 0.9, .epsilon = 1e-8}},
    {"radam_never", {.optimizer = ES_RADAM, .learning_rate = 0.01, .beta1 = 0.8, .beta2 = 0.5, .epsilon = 1e-8}},
};

TEST_WITH(set_up, tear_down, optimizers_as_pytorch) {
  for (size_t c = 0; c < sizeof optimizers / sizeof *optimizers; c++) {
    const es_train_settings_t *s = &optimizers[c].settings;
    const double *expected = find("trajectory/", optimizers[c].name, ES_F64);
    const float *gradients = find("", "gradients", ES_F32);
    es_optimizer_state_t optimizer;
    float parameters[N], gradient[N];
    memcpy(parameters, find("", "start", ES_F32), sizeof parameters);
    assert_ok(es_optimizer_create(&optimizer, s, N, fresh()));
    assert_int_equal(optimizer.second != NULL, s->optimizer != ES_SGD);
    for (int64_t step = 0; step < STEPS; step++) {
      memcpy(gradient, gradients + step * N, sizeof gradient);
      if (s->clip_norm > 0.0) es_clip_gradients(gradient, N, s->clip_norm);
      es_optimizer_step(&optimizer, parameters, gradient, s->learning_rate, step + 1);
      for (int i = 0; i < N; i++) {
        const double error = fabs((double)parameters[i] - expected[step * N + i]);
        if (!(error <= 2e-6)) fail_msg("%s, step %d, parameter %d: off by %g", optimizers[c].name, (int)step, i, error);
      }
    }
    es_optimizer_destroy(&optimizer);
  }
}

/* Rate 0 leaves every bit. */
TEST(rate_zero) {
  static const es_optimizer_t all[] = {ES_SGD, ES_ADAM, ES_ADAMW, ES_RADAM};
  for (int k = 0; k < 4; k++) {
    const es_train_settings_t s = {ADAM, .optimizer = all[k], .momentum = 0.9, .weight_decay = 0.1,
                                   .nesterov = k == 0 ? ES_ON : ES_OFF};
    float parameters[5] = {1.5f, -2.0f, 1e-30f, 3e30f, 0.1f};
    const float start[5] = {1.5f, -2.0f, 1e-30f, 3e30f, 0.1f}, gradient[5] = {1.0f, -2.0f, 3.0f, 0.0f, 1e-20f};
    es_optimizer_state_t optimizer;
    assert_ok(es_optimizer_create(&optimizer, &s, 5, fresh()));
    for (int64_t step = 1; step < 9; step++) es_optimizer_step(&optimizer, parameters, gradient, 0.0, step);
    assert_memory_equal(parameters, start, sizeof start);
    es_optimizer_destroy(&optimizer);
  }
}

TEST(clipping) {
  float gradient[100];
  for (int i = 0; i < 100; i++) gradient[i] = i % 2 == 0 ? 0.3f : -0.4f;
  const double norm = sqrt(50.0 * ((double)0.3f * (double)0.3f + (double)0.4f * (double)0.4f));
  assert_true(fabs(es_clip_gradients(gradient, 100, 4.0) - norm) <= 1e-14 * norm); /* too short to be clipped */
  assert_true(gradient[0] == 0.3f && gradient[99] == -0.4f);
  assert_true(fabs(es_clip_gradients(gradient, 100, 2.0) - norm) <= 1e-14 * norm);
  assert_true(fabs(es_clip_gradients(gradient, 100, 4.0) - 2.0) <= 1e-5);
  for (int i = 0; i < 100; i++) gradient[i] = 3e25f; /* the squares are beyond float */
  assert_true(fabs(es_clip_gradients(gradient, 100, 1.0) / 3e26 - 1.0) <= 1e-6);
  assert_true(fabs((double)gradient[7] - 0.1) <= 1e-6);
}

static const struct {
  const char *name;
  es_train_settings_t settings;
} schedules[] = {
    {"step", {.schedule = ES_SCHEDULE_STEP, .schedule_step = 7, .schedule_gamma = 0.1}},
    {"cosine", {.schedule = ES_SCHEDULE_COSINE}},
    {"milestones",
     {.schedule = ES_SCHEDULE_MILESTONES, .schedule_gamma = 0.2, .n_milestones = 3, .milestones = {3, 4, 11}}},
    {"warmup", {.warmup = 5}},
    {"warmup_step", {.schedule = ES_SCHEDULE_STEP, .schedule_step = 4, .schedule_gamma = 0.1, .warmup = 5}},
    {"warmup_cosine", {.schedule = ES_SCHEDULE_COSINE, .warmup = 5}},
    {"warmup_milestones",
     {.schedule = ES_SCHEDULE_MILESTONES,
      .schedule_gamma = 0.2,
      .n_milestones = 3,
      .milestones = {3, 4, 11},
      .warmup = 2}},
};

TEST_WITH(set_up, tear_down, schedules_as_pytorch) {
  for (size_t c = 0; c < sizeof schedules / sizeof *schedules; c++) {
    es_train_settings_t s = schedules[c].settings;
    s.epochs = EPOCHS;
    s.learning_rate = 0.1;
    s.warmup_start = 0.01;
    const double *expected = find("schedule/", schedules[c].name, ES_F64);
    for (int32_t epoch = 1; epoch <= EPOCHS; epoch++) {
      const double rate = es_learning_rate(&s, epoch, NULL), error = fabs(rate - expected[epoch - 1]);
      if (!(error <= 1e-12 * 0.1))
        fail_msg("%s, epoch %d: rate %.17g is off by %g", schedules[c].name, epoch, rate, error);
    }
  }
}

TEST_WITH(set_up, tear_down, plateaus_as_pytorch) {
  static const struct {
    const char *name;
    double gamma;
    es_plateau_settings_t settings;
  } cases[] = {{"loss", 0.5, {1, ES_MONITOR_LOSS, 0.05, 2, 0.04}},
               {"accuracy", 0.1, {0, ES_MONITOR_ACCURACY, 1e-4, 0, 0}}};
  for (int c = 0; c < 2; c++) {
    const es_train_settings_t s = {.learning_rate = 0.1,
                                   .schedule = ES_SCHEDULE_PLATEAU,
                                   .schedule_gamma = cases[c].gamma,
                                   .plateau = cases[c].settings};
    const double *numbers = find("plateau/", cases[c].name, ES_F64), *rates = numbers + EPOCHS;
    es_plateau_t plateau;
    es_plateau_start(&plateau, &s);
    for (int32_t epoch = 1; epoch <= EPOCHS; epoch++) {
      const double rate = es_learning_rate(&s, epoch, &plateau);
      if (!(fabs(rate - rates[epoch - 1]) <= 1e-15)) fail_msg("%s, epoch %d: rate %g", cases[c].name, epoch, rate);
      es_plateau_observe(&plateau, &s, numbers[epoch - 1]);
    }
  }
}
