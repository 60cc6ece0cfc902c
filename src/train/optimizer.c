/* Optimizers in PyTorch's order of operations: SGD with momentum, Nesterov's too; Adam (Kingma and Ba, arXiv 1412.6980,
 * algorithm 1); AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2); RAdam (Liu et al., arXiv 1908.03265,
 * algorithm 2). */
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "eigenscope/train.h"
#include <math.h>

es_code_t es_optimizer_create(es_optimizer_state_t *out, const es_train_settings_t *settings, int64_t n,
                              es_status_t *status) {
  const bool adaptive = es_optimizer_moments(settings) > 1;
  *out = (es_optimizer_state_t){.settings = *settings, .n = n};
  es_plateau_start(&out->plateau, settings);
  out->first = es_allocate_zero((size_t)n, sizeof *out->first);
  if (adaptive) out->second = es_allocate_zero((size_t)n, sizeof *out->second);
  if (out->first && (out->second || !adaptive)) return ES_OK;
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

ES_KERNEL
static void nesterov(float *parameters, float *velocity, const float *gradients, int64_t n, float rate, float momentum,
                     float decay) {
  for (int64_t i = 0; i < n; i++) {
    float g = gradients[i] + decay * parameters[i];
    velocity[i] = momentum * velocity[i] + g;
    parameters[i] -= rate * (g + momentum * velocity[i]);
  }
}

typedef struct adam_factors {
  float beta1, beta2, rest1, rest2;              /* rest: 1 − β, rounded once */
  float decay, step_size, epsilon, inverse_root; /* 1/√(1 − β₂^t) */
  float kept;                                    /* AdamW: share of the weights that decay leaves */
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

ES_KERNEL
static void adamw(float *parameters, float *first, float *second, const float *gradients, int64_t n, adam_factors_t f) {
  for (int64_t i = 0; i < n; i++) {
    float g = gradients[i];
    first[i] = f.beta1 * first[i] + f.rest1 * g;
    second[i] = f.beta2 * second[i] + f.rest2 * (g * g);
    parameters[i] =
        f.kept * parameters[i] - f.step_size * first[i] / (__builtin_sqrtf(second[i]) * f.inverse_root + f.epsilon);
  }
}

/* RAdam's step where the second moment is an estimate good enough to divide by. ε is added to the root
 * before the root is corrected for its bias. */
ES_KERNEL
static void rectified(float *parameters, float *first, float *second, const float *gradients, int64_t n,
                      adam_factors_t f) {
  for (int64_t i = 0; i < n; i++) {
    float g = gradients[i] + f.decay * parameters[i];
    first[i] = f.beta1 * first[i] + f.rest1 * g;
    second[i] = f.beta2 * second[i] + f.rest2 * (g * g);
    parameters[i] -= f.step_size * first[i] / (__builtin_sqrtf(second[i]) + f.epsilon);
  }
}

/* RAdam's first steps. */
ES_KERNEL
static void unrectified(float *parameters, float *first, float *second, const float *gradients, int64_t n,
                        adam_factors_t f) {
  for (int64_t i = 0; i < n; i++) {
    float g = gradients[i] + f.decay * parameters[i];
    first[i] = f.beta1 * first[i] + f.rest1 * g;
    second[i] = f.beta2 * second[i] + f.rest2 * (g * g);
    parameters[i] -= f.step_size * first[i];
  }
}

/* RAdam's factor √(1 − β₂^t)·r_t of the step, or 0 if the variance of the step cannot be estimated (ρ_t ≤ 5). */
static double rectification(double beta2, int64_t step) {
  const double power = pow(beta2, (double)step), correction = 1.0 - power;
  const double limit = 2.0 / (1.0 - beta2) - 1.0, length = limit - 2.0 * (double)step * power / correction;
  if (length <= 5.0) return 0.0;
  const double square = (length - 4.0) * (length - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * length);
  return sqrt(correction) * sqrt(square);
}

void es_optimizer_step(es_optimizer_state_t *optimizer, float *parameters, const float *gradients, double learning_rate,
                       int64_t step) {
  const es_train_settings_t *s = &optimizer->settings;
  if (s->optimizer == ES_SGD) {
    (s->nesterov == ES_ON ? nesterov : sgd)(parameters, optimizer->first, gradients, optimizer->n, (float)learning_rate,
                                            (float)s->momentum, (float)s->weight_decay);
    return;
  }
  const double correction1 = 1.0 - pow(s->beta1, (double)step), correction2 = 1.0 - pow(s->beta2, (double)step);
  adam_factors_t f = {.beta1 = (float)s->beta1,
                      .beta2 = (float)s->beta2,
                      .rest1 = (float)(1.0 - s->beta1),
                      .rest2 = (float)(1.0 - s->beta2),
                      .decay = (float)s->weight_decay,
                      .step_size = (float)(learning_rate / correction1),
                      .epsilon = (float)s->epsilon,
                      .inverse_root = (float)(1.0 / sqrt(correction2)),
                      .kept = (float)(1.0 - learning_rate * s->weight_decay)};
  void (*update)(float *, float *, float *, const float *, int64_t, adam_factors_t) = adam;
  if (s->optimizer == ES_ADAMW) update = adamw;
  if (s->optimizer == ES_RADAM) {
    const double factor = rectification(s->beta2, step);
    update = factor > 0.0 ? rectified : unrectified;
    if (factor > 0.0) f.step_size = (float)(learning_rate / correction1 * factor);
  }
  update(parameters, optimizer->first, optimizer->second, gradients, optimizer->n, f);
}

/* Σ x² in double. The order of the additions is fixed. */
ES_KERNEL
static double sum_of_squares(const float *x, int64_t n) {
  enum { PARTS = 16 };
  double parts[PARTS] = {0.0}, sum = 0.0;
  int64_t i = 0;
  for (; i + PARTS <= n; i += PARTS) {
    for (int k = 0; k < PARTS; k++) parts[k] += (double)x[i + k] * (double)x[i + k];
  }
  for (; i < n; i++) sum += (double)x[i] * (double)x[i];
  for (int k = 0; k < PARTS; k++) sum += parts[k];
  return sum;
}

ES_KERNEL
static void scale(float *x, int64_t n, float factor) {
  for (int64_t i = 0; i < n; i++) x[i] *= factor;
}

double es_clip_gradients(float *gradients, int64_t n, double most) {
  const double norm = sqrt(sum_of_squares(gradients, n)), factor = most / (norm + 1e-6);
  if (factor < 1.0) scale(gradients, n, (float)factor);
  return norm;
}
