/* SGD with momentum and Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1), in PyTorch's order of operations. */
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "eigenscope/train.h"
#include <math.h>

double es_learning_rate(const es_train_settings_t *settings, int32_t epoch) {
  int32_t steps;
  switch (settings->schedule) {
  case ES_SCHEDULE_STEP:
    steps = (epoch - 1) / settings->schedule_step;
    return settings->learning_rate * pow(settings->schedule_gamma, (double)steps);
  case ES_SCHEDULE_COSINE:
    return settings->learning_rate * 0.5 * (1.0 + cos(M_PI * (double)(epoch - 1) / (double)settings->epochs));
  case ES_SCHEDULE_NONE:
    break;
  }
  return settings->learning_rate;
}

es_code_t es_optimizer_create(es_optimizer_state_t *out, const es_train_settings_t *settings, int64_t n,
                              es_status_t *status) {
  const bool adam = settings->optimizer == ES_ADAM;
  *out = (es_optimizer_state_t){.settings = *settings, .n = n};
  out->first = es_allocate_zero((size_t)n, sizeof *out->first);
  if (adam) out->second = es_allocate_zero((size_t)n, sizeof *out->second);
  if (out->first && (out->second || !adam)) return ES_OK;
  es_optimizer_destroy(out);
  return es_out_of_memory(status, "train", "the optimizer of %lld parameters", (long long)n);
}

void es_optimizer_destroy(es_optimizer_state_t *optimizer) {
  es_free(optimizer->first);
  es_free(optimizer->second);
  optimizer->first = optimizer->second = NULL;
}

ES_KERNEL
static void sgd(float *parameters, float *velocity, const float *gradients, int64_t n, float rate, float momentum,
                float decay) {
  for (int64_t i = 0; i < n; i++) {
    float g = gradients[i] + decay * parameters[i];
    velocity[i] = momentum * velocity[i] + g;
    parameters[i] -= rate * velocity[i];
  }
}

typedef struct adam_factors {
  float beta1, beta2, rest1, rest2;              /* rest: 1 − β, rounded once */
  float decay, step_size, epsilon, inverse_root; /* 1/√(1 − β₂^t) */
} adam_factors_t;

ES_KERNEL
static void adam(float *parameters, float *first, float *second, const float *gradients, int64_t n, adam_factors_t f) {
  for (int64_t i = 0; i < n; i++) {
    float g = gradients[i] + f.decay * parameters[i];
    first[i] = f.beta1 * first[i] + f.rest1 * g;
    second[i] = f.beta2 * second[i] + f.rest2 * (g * g);
    parameters[i] -= f.step_size * first[i] / (__builtin_sqrtf(second[i]) * f.inverse_root + f.epsilon);
  }
}

void es_optimizer_step(es_optimizer_state_t *optimizer, float *parameters, const float *gradients, double learning_rate,
                       int64_t step) {
  const es_train_settings_t *s = &optimizer->settings;
  if (s->optimizer == ES_SGD) {
    sgd(parameters, optimizer->first, gradients, optimizer->n, (float)learning_rate, (float)s->momentum,
        (float)s->weight_decay);
    return;
  }
  const double correction1 = 1.0 - pow(s->beta1, (double)step), correction2 = 1.0 - pow(s->beta2, (double)step);
  adam(parameters, optimizer->first, optimizer->second, gradients, optimizer->n,
       (adam_factors_t){.beta1 = (float)s->beta1,
                        .beta2 = (float)s->beta2,
                        .rest1 = (float)(1.0 - s->beta1),
                        .rest2 = (float)(1.0 - s->beta2),
                        .decay = (float)s->weight_decay,
                        .step_size = (float)(learning_rate / correction1),
                        .epsilon = (float)s->epsilon,
                        .inverse_root = (float)(1.0 / sqrt(correction2))});
}
