/* Learning rates over the epochs, as PyTorch's schedulers stepped once an epoch. */
#include "eigenscope/train.h"
#include <math.h>

/* Changes of the learning rate before epoch 1, 2, ... of the schedule. */
static int32_t changes_before(const es_train_settings_t *settings, int32_t epoch) {
  int32_t changes = 0;
  if (settings->schedule == ES_SCHEDULE_STEP) return (epoch - 1) / settings->schedule_step;
  while (changes < settings->n_milestones && settings->milestones[changes] < epoch) changes++;
  return changes;
}

double es_learning_rate(const es_train_settings_t *settings, int32_t epoch, const es_plateau_t *plateau) {
  const double full = settings->learning_rate, start = settings->warmup_start;
  const int32_t warmup = settings->warmup;
  if (epoch <= warmup) return full * (start + (1.0 - start) * (double)(epoch - 1) / (double)warmup);
  epoch -= warmup; /* the schedule begins after the warm-up */
  switch (settings->schedule) {
  case ES_SCHEDULE_STEP:
  case ES_SCHEDULE_MILESTONES:
    return full * pow(settings->schedule_gamma, (double)changes_before(settings, epoch));
  case ES_SCHEDULE_COSINE:
    return full * 0.5 * (1.0 + cos(M_PI * (double)(epoch - 1) / (double)(settings->epochs - warmup)));
  case ES_SCHEDULE_PLATEAU:
    return plateau->rate;
  case ES_SCHEDULE_NONE:
    break;
  }
  return full;
}

void es_plateau_start(es_plateau_t *plateau, const es_train_settings_t *settings) {
  const double worst = settings->plateau.monitor == ES_MONITOR_LOSS ? (double)INFINITY : -(double)INFINITY;
  *plateau = (es_plateau_t){.rate = settings->learning_rate, .best = worst};
}

void es_plateau_observe(es_plateau_t *plateau, const es_train_settings_t *settings, double value) {
  static const double smallest_change = 1e-8; /* ReduceLROnPlateau's eps */
  const es_plateau_settings_t *p = &settings->plateau;
  const bool better = p->monitor == ES_MONITOR_LOSS ? value < plateau->best * (1.0 - p->threshold)
                                                    : value > plateau->best * (1.0 + p->threshold);
  if (better) plateau->best = value;
  plateau->waited = better ? 0.0 : plateau->waited + 1.0;
  if (plateau->cooldown > 0.0) {
    plateau->cooldown -= 1.0;
    plateau->waited = 0.0;
  }
  if (plateau->waited <= (double)p->patience) return;
  const double rate = fmax(plateau->rate * settings->schedule_gamma, p->least);
  if (plateau->rate - rate > smallest_change) plateau->rate = rate;
  plateau->cooldown = (double)p->cooldown;
  plateau->waited = 0.0;
}
