/* Runs epochs: orders samples, passes batches through the model, updates weights, and sums statistics. */
#include "eigenscope/clock.h"
#include "eigenscope/memory.h"
#include "eigenscope/random.h"
#include "eigenscope/train.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

struct es_trainer {
  es_trainer_setup_t setup; /* borrowed */
  es_model_t *model;
  es_optimizer_state_t optimizer;
  const es_editor_t *editor; /* borrowed; or NULL */
  int32_t *order;            /* sample order of this epoch */
  int32_t *labels;           /* of one batch */
  int64_t *confusion;        /* [label][prediction]; of this rank during an epoch, of all ranks after it */
};

/* Context of es_feed_t.fetch: one batch. */
typedef struct batch {
  const es_samples_t *samples;
  const int32_t *positions;
  const es_augment_t *augment;
} batch_t;

static void fetch(void *context, int64_t first, int64_t count, float *out) {
  const batch_t *batch = context;
  es_samples_fetch(batch->samples, batch->positions + first, count, batch->augment, out);
}

static int64_t classes_of(const es_trainer_t *t) {
  return t->setup.point->classes;
}

static es_code_t build(es_trainer_t *t, es_status_t *status) {
  const es_trainer_setup_t *p = &t->setup;
  const int64_t batch = p->point->train.batch;
  enum { SETS = ES_SPLITS * (1 + ES_PROBE_DATASETS_MAX) };
  int64_t batches[2 * SETS + 1], most = 0; /* sizes that occur: full batches, and shorter last ones of sets and part */
  int n = 0;
  if (p->part % batch) batches[n++] = p->part % batch;
  for (int set = 0; set < ES_SPLITS + p->n_others; set++) {
    const int64_t samples = set < ES_SPLITS ? p->samples[set]->n : p->others[set - ES_SPLITS];
    if (samples >= batch) batches[n++] = batch;
    if (samples % batch) batches[n++] = samples % batch;
    if (samples > most) most = samples;
  }
  t->order = es_allocate((size_t)most, sizeof *t->order);
  t->labels = es_allocate((size_t)batch, sizeof *t->labels);
  t->confusion = es_allocate_zero((size_t)(classes_of(t) * classes_of(t)), sizeof *t->confusion);
  if (!t->order || !t->labels || !t->confusion) return es_out_of_memory(status, "train", "the order of the samples");
  const es_model_setup_t setup = {batches, n, !p->inference, p->point->train.precision};
  ES_TRY(es_model_create(&t->model, p->graph, p->group, &setup, status));
  if (p->inference) return ES_OK;
  es_model_initialise(t->model, p->point->seed);
  return es_optimizer_create(&t->optimizer, &p->point->train, p->graph->parameter_count, status);
}

es_code_t es_trainer_create(es_trainer_t **out, const es_trainer_setup_t *setup, es_status_t *status) {
  *out = NULL;
  es_trainer_t *t = es_allocate_zero(1, sizeof *t);
  if (t) {
    t->setup = *setup;
    build(t, status);
  } else {
    es_out_of_memory(status, "train", "the trainer");
  }
  const es_code_t code = es_agree(setup->group->comm, status);
  if (code == ES_OK)
    *out = t;
  else
    es_trainer_destroy(t);
  return code;
}

void es_trainer_destroy(es_trainer_t *t) {
  if (!t) return;
  es_model_destroy(t->model);
  es_optimizer_destroy(&t->optimizer);
  es_free(t->order);
  es_free(t->labels);
  es_free(t->confusion);
  es_free(t);
}

const int64_t *es_trainer_confusion(const es_trainer_t *t) {
  return t->confusion;
}
int64_t es_trainer_batches(const es_trainer_t *t) {
  const int64_t batch = t->setup.point->train.batch;
  return (t->setup.samples[ES_TRAIN]->n + batch - 1) / batch;
}
es_model_t *es_trainer_model(es_trainer_t *t) {
  return t->model;
}
void es_trainer_edit(es_trainer_t *t, const es_editor_t *editor) {
  t->editor = editor;
}
es_optimizer_state_t *es_trainer_optimizer(es_trainer_t *t) {
  return &t->optimizer;
}

/* Gorodkin's R_K from a confusion matrix c[label][prediction]: the covariance of label and prediction, divided by both
 * standard deviations. */
static double matthews(const int64_t *c, int64_t classes) {
  double samples = 0.0, correct = 0.0, product = 0.0, labels = 0.0, predictions = 0.0;
  for (int64_t k = 0; k < classes; k++) {
    double label = 0.0, prediction = 0.0;
    for (int64_t j = 0; j < classes; j++) {
      label += (double)c[k * classes + j];
      prediction += (double)c[j * classes + k];
    }
    correct += (double)c[k * classes + k];
    samples += label;
    product += label * prediction;
    labels += label * label;
    predictions += prediction * prediction;
  }
  const double norm = sqrt(samples * samples - labels) * sqrt(samples * samples - predictions);
  return norm > 0.0 ? (correct * samples - product) / norm : 0.0;
}

/* Sums over the batches of an epoch, and the settings of the loop. */
typedef struct epoch {
  const es_samples_t *samples; /* of which n run */
  int64_t n;
  const int32_t *order;
  int64_t *confusion; /* or NULL */
  int32_t number;
  bool training;
  bool unlabelled; /* the labels are not those of the network: its loss means nothing */
  const es_observer_t *observer;
  es_augment_t augment;
  double rate;
  es_loss_t sum;
} epoch_t;

static es_code_t diverged(es_trainer_t *t, const epoch_t *e, const es_pass_t *pass, int64_t batch,
                          es_status_t *status) {
  const char *layer = es_model_first_nonfinite(t->model, pass);
  char advice[64] = "";
  if (!t->setup.inference) snprintf(advice, sizeof advice, " (learning rate %g; try a smaller one)", e->rate);
  return es_fail(
      status, ES_DIVERGED, "train",
      "the %s loss is not finite in epoch %d, batch %lld; the first output that is not finite is that of %s%s",
      e->training ? "training" : "evaluation", e->number, (long long)batch + 1, layer, advice);
}

/* Ranks add this to a summed signal. A sum of at least `lost` means that some rank could not read its images. */
static const double lost = 0x1p40;

static double signal_of(const es_trainer_t *t, const es_samples_t *samples) {
  if (es_dataset_failure(samples->dataset, &(es_status_t){0}) != ES_OK) return lost;
  return es_watch_must_stop(&t->setup.watch) ? 1.0 : 0.0;
}

/* Reports the failure of the lowest rank that failed. Collective. */
static es_code_t agree_on_images(const es_trainer_t *t, const es_samples_t *samples, es_status_t *status) {
  (void)es_dataset_failure(samples->dataset, status);
  return es_agree(t->setup.group->comm, status);
}

/* Runs one batch: forward; in training also backward and update. */
static es_code_t run_batch(es_trainer_t *t, epoch_t *e, int64_t index, int64_t first, int64_t n, es_status_t *status) {
  const es_trainer_setup_t *p = &t->setup;
  const es_samples_t *samples = e->samples;
  const int64_t step = (int64_t)(e->number - 1) * es_trainer_batches(t) + index;
  batch_t batch = {samples, e->order + first, e->training ? &e->augment : NULL};
  for (int64_t i = 0; i < n; i++) t->labels[i] = e->unlabelled ? 0 : samples->label[batch.positions[i]];
  const es_pass_t pass = {.n = n,
                          .training = e->training,
                          .seed = p->point->seed,
                          .step = (uint64_t)(e->training ? step : 0),
                          .smoothing = e->training ? p->point->train.label_smoothing : 0.0,
                          .feed = {fetch, &batch, t->labels},
                          .observer = e->observer,
                          .editor = e->training ? NULL : t->editor,
                          .profile = e->training ? p->profile : NULL,
                          .confusion = e->confusion};
  es_loss_t loss;
  es_model_forward(t->model, &pass, signal_of(t, samples), &loss);
  if (loss.signal >= lost) return agree_on_images(t, samples, status);
  if (loss.signal > 0.0) return es_fail(status, ES_STOPPED, "train", "stopped in epoch %d", e->number);
  if (!isfinite(loss.loss) && !e->unlabelled) return diverged(t, e, &pass, index, status);
  if (e->observer && p->after_forward) ES_TRY(p->after_forward(p->after_context, status));
  e->sum.loss += loss.loss;
  e->sum.correct += loss.correct;
  e->sum.top5 += loss.top5;
  if (!e->training) return ES_OK;
  es_model_backward(t->model, &pass);
  if (p->after_backward) p->after_backward(p->after_context);
  const double start = es_clock(), most = p->point->train.clip_norm;
  if (most > 0.0) es_clip_gradients(es_model_gradients(t->model), t->optimizer.n, most);
  es_optimizer_step(&t->optimizer, es_model_parameters(t->model), es_model_gradients(t->model), e->rate, step + 1);
  es_model_changed(t->model);
  if (p->profile) p->profile[ES_KIND_UPDATE] += es_clock() - start;
  return p->after_step ? p->after_step(p->step_context, step + 1, status) : ES_OK;
}

static es_code_t run_epoch(es_trainer_t *t, epoch_t *e, es_epoch_stats_t *stats, es_status_t *status) {
  const double start = es_clock();
  const es_trainer_setup_t *p = &t->setup;
  const int64_t batch = p->point->train.batch, classes = classes_of(t);
  int64_t n = e->n;
  if (p->most_batches > 0 && n > p->most_batches * batch) n = p->most_batches * batch;
  if (e->confusion) memset(e->confusion, 0, (size_t)(classes * classes) * sizeof *e->confusion);
  for (int64_t first = 0; first < n; first += batch)
    ES_TRY(run_batch(t, e, first / batch, first, n - first < batch ? n - first : batch, status));
  if (es_dataset_is_streamed(e->samples->dataset)) /* failures of the last batch */
    ES_TRY(agree_on_images(t, e->samples, status));
  if (e->confusion && p->group->size > 1)
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, e->confusion, (int)(classes * classes), MPI_INT64_T, MPI_SUM, p->group->comm));
  *stats = (es_epoch_stats_t){.loss = e->sum.loss / (double)n,
                              .accuracy = e->sum.correct / (double)n,
                              .top5_accuracy = e->sum.top5 / (double)n,
                              .mcc = e->confusion ? matthews(e->confusion, classes) : NAN,
                              .learning_rate = e->rate,
                              .seconds = es_clock() - start,
                              .images = n};
  return ES_OK;
}

es_code_t es_trainer_epoch(es_trainer_t *t, int32_t number, const es_observer_t *observer, es_epoch_stats_t *stats,
                           es_status_t *status) {
  const es_point_t *point = t->setup.point;
  const int64_t n = t->setup.samples[ES_TRAIN]->n;
  epoch_t e = {.samples = t->setup.samples[ES_TRAIN],
               .n = n,
               .order = t->order,
               .confusion = t->confusion,
               .number = number,
               .training = true,
               .observer = observer};
  e.augment = (es_augment_t){point->train.augment, point->seed, (uint64_t)number};
  e.rate = es_learning_rate(&point->train, number, &t->optimizer.plateau);
  es_random_permutation(point->seed, (uint64_t)number, n, t->order);
  if (number == 1 && t->setup.after_step) ES_TRY(t->setup.after_step(t->setup.step_context, 0, status));
  return run_epoch(t, &e, stats, status);
}

/* Runs samples of a split in inference mode. */
static es_code_t evaluate(es_trainer_t *t, epoch_t *e, es_epoch_stats_t *stats, es_status_t *status) {
  e->rate = e->number > 0 && !t->setup.inference
                ? es_learning_rate(&t->setup.point->train, e->number, &t->optimizer.plateau)
                : NAN;
  return run_epoch(t, e, stats, status);
}

/* All samples of a set, in file order. */
static epoch_t all_of(es_trainer_t *t, const es_samples_t *samples, int32_t number, const es_observer_t *observer) {
  for (int64_t i = 0; i < samples->n; i++) t->order[i] = (int32_t)i;
  return (epoch_t){.samples = samples, .n = samples->n, .order = t->order, .number = number, .observer = observer};
}

es_code_t es_trainer_evaluate(es_trainer_t *t, es_split_t split, int32_t number, const es_observer_t *observer,
                              es_epoch_stats_t *stats, es_status_t *status) {
  epoch_t e = all_of(t, t->setup.samples[split], number, observer);
  e.confusion = t->confusion;
  return evaluate(t, &e, stats, status);
}

es_code_t es_trainer_show(es_trainer_t *t, const es_samples_t *samples, int32_t number, const es_observer_t *observer,
                          es_status_t *status) {
  es_epoch_stats_t stats;
  epoch_t e = all_of(t, samples, number, observer);
  e.unlabelled = true;
  return evaluate(t, &e, &stats, status);
}

es_code_t es_trainer_evaluate_part(es_trainer_t *t, const es_trainer_part_t *part, int32_t number,
                                   const es_observer_t *observer, es_epoch_stats_t *stats, es_status_t *status) {
  return evaluate(t,
                  &(epoch_t){.samples = t->setup.samples[part->split],
                             .n = part->n,
                             .order = part->positions,
                             .number = number,
                             .observer = observer},
                  stats, status);
}

void es_trainer_observe(es_trainer_t *t, int32_t epoch, const es_epoch_stats_t *eval) {
  const es_train_settings_t *s = &t->setup.point->train;
  if (s->schedule != ES_SCHEDULE_PLATEAU || epoch <= s->warmup) return;
  es_plateau_observe(&t->optimizer.plateau, s, s->plateau.monitor == ES_MONITOR_LOSS ? eval->loss : eval->accuracy);
}
