/* Accuracy of the network with outputs of layers projected onto their own leading eigenspaces, and onto as many random
 * directions: how much of what a layer puts out the rest of the network needs. */
#include "context.h"
#include "eigenscope/clock.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <string.h>

/* What is known after the last measured epoch; the same on every rank. */
struct flow_projection {
  es_projector_t *projector;
  double *means;  /* of the measured layers, one after the other */
  int32_t *k;     /* (layers, deltas); −1 for a layer that is not projected */
  int32_t *place; /* measured layer of each captured one, or −1 */
  bool ready;     /* all layers of an epoch were taken */
};

enum { ALL = -1 };

static int32_t width_of(const flow_t *f, int layer) {
  return es_result_layer(f->result, layer)->width;
}

/* ---- made and destroyed ---- */

static es_code_t create(flow_t *f, es_status_t *status) {
  const size_t n = (size_t)f->n_layers, captured = (size_t)f->graph->n_layers;
  size_t total = 0;
  flow_projection_t *p = f->projection = es_allocate_zero(1, sizeof *p);
  int32_t *widths = es_allocate(n, sizeof *widths);
  for (int i = 0; widths && i < f->n_layers; i++) total += (size_t)(widths[i] = width_of(f, i));
  if (p && widths) {
    p->means = es_allocate_zero(total, sizeof *p->means);
    p->k = es_allocate_zero(n * (size_t)f->point->measure.n_deltas, sizeof *p->k);
    p->place = es_allocate(captured, sizeof *p->place);
  }
  if (!p || !widths || !p->means || !p->k || !p->place) {
    es_out_of_memory(status, "pipeline", "projections");
  } else {
    for (size_t i = 0; i < captured; i++) p->place[i] = -1;
    for (int i = 0; i < f->n_layers; i++) p->place[es_capture_node(f->capture, i)->layer] = i;
    es_projector_create(&p->projector, widths, f->n_layers, status);
  }
  es_free(widths);
  return status->code;
}

es_code_t flow_projection_open(flow_t *f, es_status_t *status) {
  if (f->point->measure.projection) create(f, status);
  return es_agree(f->group.comm, status);
}

void flow_projection_close(flow_t *f) {
  if (!f->projection) return;
  es_projector_destroy(f->projection->projector);
  es_free(f->projection->means);
  es_free(f->projection->k);
  es_free(f->projection->place);
  es_free(f->projection);
}

/* ---- vectors ---- */

bool flow_projection_wants(const flow_t *f, es_split_t split, int32_t epoch) {
  const bool may_be_last = flow_is_last(f, epoch) || f->point->train.stop_when_stable.patience > 0;
  return f->projection && split == (f->point->measure.splits[ES_TRAIN] ? ES_TRAIN : ES_EVAL) && may_be_last;
}

static double *mean_of(const flow_t *f, int layer) {
  double *mean = f->projection->means;
  for (int i = 0; i < layer; i++) mean += width_of(f, i);
  return mean;
}

static int32_t most_of(const flow_t *f, int layer) {
  const int deltas = f->point->measure.n_deltas;
  int32_t most = -1;
  for (int d = 0; d < deltas; d++)
    most = f->projection->k[layer * deltas + d] > most ? f->projection->k[layer * deltas + d] : most;
  return most;
}

es_code_t flow_projection_take(flow_t *f, const flow_solved_t *s, const int32_t *k, es_status_t *status) {
  flow_projection_t *p = f->projection;
  const int deltas = f->point->measure.n_deltas;
  const int32_t width = width_of(f, s->layer);
  memcpy(p->k + s->layer * deltas, k, (size_t)deltas * sizeof *k);
  p->ready = s->layer == f->n_layers - 1;
  const int32_t most = most_of(f, s->layer);
  if (most < 0) return ES_OK;
  memcpy(mean_of(f, s->layer), s->merged->mean, (size_t)width * sizeof(double));
  return es_projector_set(p->projector, s->layer, s->problem->vectors.rows, most, s->merged->mean, status);
}

static es_code_t take_random(flow_t *f, es_status_t *status) {
  for (int layer = 0; layer < f->n_layers && status->code == ES_OK; layer++) {
    const int32_t most = most_of(f, layer);
    if (most < 0) continue;
    es_projector_set_random(f->projection->projector, layer, f->point->seed, most, mean_of(f, layer), status);
  }
  return es_agree(f->group.comm, status);
}

/* ---- passes ---- */

static void edit(void *context, int layer, float *out, int64_t samples, es_shape_t shape) {
  const flow_projection_t *p = context;
  if (p->place[layer] >= 0) es_projector_apply(p->projector, p->place[layer], out, samples * shape.h * shape.w);
}

/* Projects one layer or ALL; false if nothing would be. */
static bool choose(const flow_t *f, int which, int delta) {
  const flow_projection_t *p = f->projection;
  bool any = false;
  for (int layer = 0; layer < f->n_layers; layer++) {
    const int32_t k = p->k[layer * f->point->measure.n_deltas + delta];
    const bool chosen = k >= 0 && (which == ALL || which == layer);
    es_projector_choose(p->projector, layer, chosen ? k : ES_PROJECT_NOTHING);
    any = any || chosen;
  }
  return any;
}

/* A network whose loss is not finite when it is projected has no accuracy; that is no failure of the point. */
static es_code_t evaluate(flow_t *f, double *accuracy, es_status_t *status) {
  es_epoch_stats_t stats;
  es_status_t own = {0};
  const int32_t number = es_result_epoch(f->result, f->last);
  const es_code_t code = es_trainer_evaluate(f->trainer, ES_EVAL, number, NULL, &stats, &own);
  *accuracy = code == ES_OK ? stats.accuracy : (double)NAN;
  if (code == ES_OK || code == ES_DIVERGED) return ES_OK;
  *status = own;
  return code;
}

static es_code_t run(flow_t *f, es_projection_t onto, es_status_t *status) {
  for (int which = ALL; which < f->n_layers; which++) {
    for (int delta = 0; delta < f->point->measure.n_deltas; delta++) {
      double *accuracy = es_result_f64(f->result, ES_FIELD_PROJECTED_ACCURACY, onto, which + 1, delta, 0);
      if (choose(f, which, delta)) ES_TRY(evaluate(f, accuracy, status));
    }
  }
  return ES_OK;
}

es_code_t flow_projection(flow_t *f, es_status_t *status) {
  const es_editor_t editor = {edit, f->projection};
  const double start = es_clock();
  if (!f->projection || !f->projection->ready) return ES_OK;
  es_trainer_edit(f->trainer, &editor);
  es_code_t code = run(f, ES_ONTO_EIGENSPACE, status);
  if (code == ES_OK) code = take_random(f, status);
  if (code == ES_OK) code = run(f, ES_ONTO_RANDOM, status);
  es_trainer_edit(f->trainer, NULL);
  flow_charge(f, ES_STAGE_EVALUATE, start);
  return code;
}
