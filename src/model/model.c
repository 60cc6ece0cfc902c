/* The driver runs units in forward order. Batch norms split the units into segments; each slice runs through a whole
 * segment before the next slice does. The layout (layout.h) assigns storage and says which units add to a gradient. */
#include "eigenscope/model.h"
#include "eigenscope/clock.h"
#include "eigenscope/memory.h"
#include "kernels.h"
#include "layout.h"
#include "unit.h"
#include <assert.h>
#include <string.h>

enum { SUMS = ES_LOSS_SUMS };

struct es_model {
  const es_graph_t *graph; /* borrowed */
  es_group_t group;
  bool training;
  es_precision_t precision;
  int64_t samples; /* most samples stored on this rank */
  float *parameters, *gradients, *buffers, *scratch;
  es_layout_t layout;
  void **memory;  /* memory of each buffer of the layout */
  void *hidden;   /* one slice of a layer's output that is not stored (es_layout_hidden), or NULL */
  float *widened; /* bfloat16: one slice of images, of a layer's output, or of logits and their gradient; else NULL */
  es_storage_t input; /* images */
  es_unit_t *units;   /* units of the steps from 1 on */
  int n_units;
  int *segments; /* first unit of each segment, then n_units; the first is empty if the network starts with a barrier */
  int n_segments;
  es_slice_t *slices; /* of this rank, lane after lane */
  int *lane_slices;   /* first slice of each lane of this rank, then the number of slices */
  int slices_capacity;
  double *sums;        /* (lanes of this rank, SUMS) */
  float *unit_scratch; /* for the units of one segment; each segment reuses it */
  int *bad;            /* for es_model_first_nonfinite: first node with a value that is not finite; else NULL */
  es_owned_t owned;    /* owns everything except the blocks of `memory` */
};

/* Returns the number of slices of a lane: as few as ES_SLICE_MAX allows. Slices are as equal as possible. */
static int lane_cuts(int64_t count) {
  return (int)((count + ES_SLICE_MAX - 1) / ES_SLICE_MAX);
}

static int64_t cut_start(int64_t count, int cuts, int i) {
  return count * i / cuts;
}

static uint32_t slice_sizes(const int64_t *batches, int n_batches, int lanes) {
  uint32_t sizes = 0;
  for (int b = 0; b < n_batches; b++) {
    for (int lane = 0; lane < lanes; lane++) {
      int64_t first, count;
      es_lane_range(batches[b], lanes, lane, &first, &count);
      int cuts = lane_cuts(count);
      for (int i = 0; i < cuts; i++) sizes |= 1u << (cut_start(count, cuts, i + 1) - cut_start(count, cuts, i));
    }
  }
  return sizes;
}

/* Lists this rank's slices of a batch of n. Without training no values are kept, so all slices share one place. */
static void cut_batch(es_model_t *m, int64_t n, bool training) {
  int k = 0;
  int64_t rank_first, rank_count;
  es_group_range(&m->group, n, &rank_first, &rank_count);
  for (int lane = 0; lane < m->group.lane_count; lane++) {
    int64_t first, count;
    es_lane_range(n, m->group.lanes, m->group.lane_first + lane, &first, &count);
    m->lane_slices[lane] = k;
    int cuts = lane_cuts(count);
    for (int i = 0; i < cuts; i++) {
      assert(k < m->slices_capacity);
      int64_t start = first + cut_start(count, cuts, i), end = first + cut_start(count, cuts, i + 1);
      m->slices[k++] = (es_slice_t){
          .lane = lane, .count = (int32_t)(end - start), .first = start, .store = training ? start - rank_first : 0};
    }
  }
  m->lane_slices[m->group.lane_count] = k;
}

static float *allocate_floats(es_model_t *m, int64_t count) {
  return es_owned_allocate_zero(&m->owned, (size_t)count, sizeof(float));
}

/* Returns the storage of a value with the shape of the output of `step`; empty if buffer or step is −1. */
static es_storage_t storage(const es_model_t *m, int32_t buffer, int32_t step) {
  if (buffer < 0 || step < 0) return (es_storage_t){0};
  const es_buffer_t *b = &m->layout.buffers[buffer];
  return (es_storage_t){.data = m->memory[buffer],
                        .size = es_shape_size(m->layout.steps[step].shape),
                        .stride = b->size,
                        .precision = m->precision,
                        .whole = b->whole};
}

static void lay_out_unit(es_model_t *m, int32_t k) {
  const es_step_t *steps = m->layout.steps, *s = &steps[k];
  es_unit_t *unit = &m->units[k - 1];
  *unit = (es_unit_t){.class = es_node_widens(s->node, m->precision) ? &es_unit_emulated : s->class,
                      .graph = m->graph,
                      .group = &m->group,
                      .node = s->node,
                      .last = s->last,
                      .index = (int32_t)(s->node - m->graph->nodes),
                      .training = m->training,
                      .precision = m->precision,
                      .samples = m->training ? m->samples : ES_SLICE_MAX,
                      .activation = s->activation,
                      .pools = s->pools,
                      .renewed = s->renewed,
                      .parameters = m->parameters,
                      .gradients = m->gradients,
                      .buffers = m->buffers,
                      .out = storage(m, s->out, k),
                      .out_gradient = storage(m, s->gradient, k)};
  for (int i = 0; i < 2; i++) {
    const int32_t v = s->in[i];
    unit->in[i] = storage(m, v >= 0 ? steps[v].out : -1, v);
    unit->in_gradient[i] = storage(m, s->in_gradient[i], v);
    unit->total[i] = storage(m, s->adds[i] ? steps[v].gradient : -1, v);
  }
}

/* Floats of es_model.widened. */
static int64_t widened_size(const es_graph_t *graph, es_precision_t precision) {
  int64_t most = es_shape_size(graph->nodes[0].out);
  for (int32_t i = 0; i < graph->n_layers; i++) {
    const int64_t size = es_shape_size(graph->nodes[graph->layers[i]].out);
    most = size > most ? size : most;
  }
  return precision == ES_FLOAT32 ? 0 : ES_SLICE_MAX * (most + graph->classes);
}

static es_code_t allocate(es_model_t *m, const es_model_setup_t *setup, es_status_t *status) {
  const int lanes = m->group.lane_count;
  int64_t most = 0, first;
  for (int i = 0; i < setup->n_batches; i++) most = setup->batches[i] > most ? setup->batches[i] : most;
  es_group_range(&m->group, most, &first, &m->samples);
  if (m->samples < ES_SLICE_MAX) m->samples = ES_SLICE_MAX;
  ES_TRY(es_layout_create(&m->layout, m->graph, m->training, status));
  m->n_units = m->layout.n_steps - 1;
  m->slices_capacity = lanes * (lane_cuts(most / m->group.lanes + 1) + 1);
  es_owned_t *owned = &m->owned;
  m->parameters = allocate_floats(m, m->graph->parameter_count);
  m->buffers = allocate_floats(m, m->graph->buffer_count);
  m->gradients = allocate_floats(m, m->training ? m->graph->parameter_count : 1);
  m->scratch = allocate_floats(
      m, m->training && m->group.size > 1 ? (int64_t)es_ranks_sum_room((size_t)m->graph->parameter_count) : 1);
  if (m->precision != ES_FLOAT32) m->widened = allocate_floats(m, widened_size(m->graph, m->precision));
  const int64_t hidden = ES_SLICE_MAX * es_layout_hidden(&m->layout);
  if (hidden > 0) m->hidden = es_owned_allocate_zero(owned, (size_t)hidden, es_precision_bytes(m->precision));
  m->memory = es_owned_allocate_zero(owned, (size_t)m->layout.n_buffers, sizeof *m->memory);
  m->units = es_owned_allocate_zero(owned, (size_t)m->n_units, sizeof *m->units);
  m->segments = es_owned_allocate_zero(owned, (size_t)m->n_units + 2, sizeof *m->segments);
  m->slices = es_owned_allocate_zero(owned, (size_t)m->slices_capacity, sizeof *m->slices);
  m->lane_slices = es_owned_allocate_zero(owned, (size_t)lanes + 1, sizeof *m->lane_slices);
  m->sums = es_owned_allocate_zero(owned, (size_t)lanes * SUMS, sizeof *m->sums);
  bool fine = !owned->failed;
  for (int b = 0; fine && b < m->layout.n_buffers; b++) {
    const es_buffer_t *buffer = &m->layout.buffers[b];
    m->memory[b] = es_allocate_zero((size_t)(buffer->size * (buffer->whole ? m->samples : ES_SLICE_MAX)),
                                    es_precision_bytes(m->precision));
    fine = m->memory[b] != NULL;
  }
  if (!fine)
    return es_out_of_memory(status, "model", "a network of %lld parameters and batches of %lld",
                            (long long)m->graph->parameter_count, (long long)most);
  m->input = storage(m, m->layout.steps[0].out, 0);
  for (int32_t k = 1; k < m->layout.n_steps; k++) lay_out_unit(m, k);
  for (int u = 0; u < m->n_units; u++) {
    if (u == 0) m->segments[m->n_segments++] = u;
    if (m->units[u].class->synchronise) m->segments[m->n_segments++] = u;
  }
  m->segments[m->n_segments] = m->n_units;
  return ES_OK;
}

/* Units of one segment use scratch at the same time; segments run one after the other and share it. */
static es_code_t set_scratch(es_model_t *m, es_status_t *status) {
  size_t most = 0;
  for (int pass = 0; pass < 2; pass++) {
    for (int k = 0; k < m->n_segments; k++) {
      size_t used = 0;
      for (int u = m->segments[k]; u < m->segments[k + 1]; u++) {
        es_unit_t *unit = &m->units[u];
        if (!unit->class->scratch_floats) continue;
        if (pass == 1) unit->class->set_scratch(unit, m->unit_scratch + used);
        used += unit->class->scratch_floats(unit);
      }
      most = used > most ? used : most;
    }
    if (pass == 0) m->unit_scratch = allocate_floats(m, (int64_t)most);
    if (!m->unit_scratch) return es_out_of_memory(status, "model", "gradients");
  }
  return ES_OK;
}

es_code_t es_model_create(es_model_t **out, const es_graph_t *graph, const es_group_t *group,
                          const es_model_setup_t *setup, es_status_t *status) {
  *out = NULL;
  es_model_t *m = es_allocate_zero(1, sizeof *m);
  if (!m) return es_out_of_memory(status, "model", "the network");
  m->graph = graph;
  m->group = *group;
  m->training = setup->training;
  m->precision = setup->precision;
  es_code_t code = allocate(m, setup, status);
  const uint32_t sizes = slice_sizes(setup->batches, setup->n_batches, group->lanes);
  for (int u = 0; code == ES_OK && u < m->n_units; u++) {
    if (m->units[u].class->create) code = m->units[u].class->create(&m->units[u], sizes, status);
  }
  if (code == ES_OK && setup->training) code = set_scratch(m, status);
  if (code != ES_OK) {
    es_model_destroy(m);
    return code;
  }
  *out = m;
  return ES_OK;
}

void es_model_destroy(es_model_t *m) {
  if (!m) return;
  for (int u = 0; m->units && u < m->n_units; u++) {
    es_unit_t *unit = &m->units[u];
    if (unit->class && unit->class->destroy) unit->class->destroy(unit);
  }
  for (int b = 0; m->memory && b < m->layout.n_buffers; b++) es_free(m->memory[b]);
  es_layout_destroy(&m->layout);
  es_owned_free(&m->owned);
  es_free(m);
}

void es_model_initialise(es_model_t *m, int64_t seed) {
  es_tensors_initialise(m->graph, m->parameters, m->buffers, seed);
  es_model_changed(m);
}

float *es_model_parameters(es_model_t *m) {
  return m->parameters;
}
float *es_model_gradients(es_model_t *m) {
  return m->gradients;
}
float *es_model_buffers(es_model_t *m) {
  return m->buffers;
}

void es_model_changed(es_model_t *m) {
  for (int u = 0; u < m->n_units; u++) {
    if (m->units[u].class->pack) m->units[u].class->pack(&m->units[u]);
  }
}

static double profile_start(const es_pass_t *pass) {
  return pass->profile ? es_clock() : 0.0;
}

/* Charges the time since *since to `kind` and sets *since to now. */
static void profile_lap(const es_pass_t *pass, es_kind_t kind, double *since) {
  if (!pass->profile) return;
  const double now = es_clock();
  pass->profile[kind] += now - *since;
  *since = now;
}

static es_kind_t kind_of(const es_unit_t *unit) {
  return es_node_is_layer(unit->node) ? ES_KIND_LAYERS : ES_KIND_BETWEEN;
}

static void fetch(es_model_t *m, const es_pass_t *pass, const es_slice_t *slice) {
  void *images = es_storage_at(&m->input, slice);
  pass->feed.fetch(pass->feed.context, slice->first, slice->count, m->widened ? m->widened : images);
  if (m->widened) es_round(images, m->widened, (size_t)(slice->count * m->input.size), m->precision);
}

/* Shows the output `out` of a layer to the observer, then to the editor. */
static void show(es_model_t *m, const es_pass_t *pass, const es_node_t *node, const es_slice_t *slice, void *out) {
  const size_t n = (size_t)(slice->count * es_shape_size(node->out));
  if (m->widened) es_widen(m->widened, out, n, m->precision);
  float *values = m->widened ? m->widened : out;
  if (pass->observer)
    pass->observer->observe(pass->observer->context, node->layer, slice->lane, values, slice->count, node->out);
  if (!pass->editor) return;
  pass->editor->edit(pass->editor->context, node->layer, values, slice->count, node->out);
  if (m->widened) es_round(out, values, n, m->precision);
}

/* Shows the layers among the nodes of a unit. Nodes before the last one run again alone, because their outputs are not
 * stored; with an editor, all nodes do. So other outputs keep their bits, whatever is measured. */
static void show_unit(es_model_t *m, const es_pass_t *pass, es_unit_t *unit, const es_slice_t *slice) {
  const es_node_t *end = unit->last; /* the last hidden layer, and one */
  while (end > unit->node && end[-1].layer < 0) end--;
  for (const es_node_t *node = unit->node; node < end; node++) {
    unit->class->stage(unit, slice, node, m->hidden);
    if (node->layer >= 0) show(m, pass, node, slice, m->hidden);
  }
  for (const es_node_t *node = end; pass->editor && end > unit->node && node <= unit->last; node++)
    unit->class->stage(unit, slice, node, m->hidden);
  if (unit->last->layer >= 0) show(m, pass, unit->last, slice, es_storage_at(&unit->out, slice));
}

/* Computes the loss of a slice and, in training, the gradient of its logits. */
static void lose(es_model_t *m, const es_pass_t *pass, const es_slice_t *slice) {
  const es_unit_t *last = &m->units[m->n_units - 1];
  const int32_t classes = m->graph->classes;
  const size_t n = (size_t)slice->count * (size_t)classes;
  void *out = es_storage_at(&last->out, slice);
  void *out_gradient = pass->training ? es_storage_at(&last->out_gradient, slice) : NULL;
  float *logits = m->widened ? m->widened : out;
  float *gradient = m->widened && out_gradient ? m->widened + n : out_gradient;
  if (m->widened) es_widen(logits, out, n, m->precision);
  if (pass->logits) memcpy(pass->logits + slice->first * classes, logits, n * sizeof *logits);
  const es_criterion_t criterion = {classes, pass->n, pass->smoothing};
  es_loss_slice(&criterion, logits, pass->feed.labels + slice->first, slice->count,
                m->sums + (size_t)slice->lane * SUMS, gradient, pass->confusion);
  if (m->widened && out_gradient) es_round(out_gradient, gradient, n, m->precision);
}

/* `first`: the slice needs its images. */
static void forward_slice(es_model_t *m, const es_pass_t *pass, const es_slice_t *slice, bool first, int begin,
                          int end) {
  double time = profile_start(pass);
  if (first) fetch(m, pass, slice);
  profile_lap(pass, ES_KIND_DATA, &time);
  for (int u = begin; u < end; u++) {
    es_unit_t *unit = &m->units[u];
    time = profile_start(pass);
    unit->class->forward(unit, pass, slice);
    profile_lap(pass, kind_of(unit), &time);
    const void *out = es_storage_at(&unit->out, slice);
    const size_t n = (size_t)(slice->count * unit->out.size);
    if (pass->observer || pass->editor) show_unit(m, pass, unit, slice);
    if (m->bad && unit->index < *m->bad && es_first_nonfinite(out, n, m->precision) < n) *m->bad = unit->index;
  }
  time = profile_start(pass);
  if (end == m->n_units)
    lose(m, pass, slice);
  else
    m->units[end].class->gather(&m->units[end], slice);
  profile_lap(pass, ES_KIND_BETWEEN, &time);
}

void es_model_forward(es_model_t *m, const es_pass_t *pass, double signal, es_loss_t *out) {
  assert(m->training || !pass->training);
  assert(!pass->training || !pass->editor);
  cut_batch(m, pass->n, pass->training);
  const int n_slices = m->lane_slices[m->group.lane_count];
  memset(m->sums, 0, (size_t)m->group.lane_count * SUMS * sizeof *m->sums);
  m->sums[3] = signal;
  for (int u = 0; u < m->n_units; u++) {
    if (m->units[u].class->begin) m->units[u].class->begin(&m->units[u], pass);
  }
  if (!pass->training) {
    for (int i = 0; i < n_slices; i++) forward_slice(m, pass, &m->slices[i], true, 0, m->n_units);
  } else {
    for (int k = 0; k < m->n_segments; k++) {
      es_unit_t *head = &m->units[m->segments[k]];
      if (k > 0) head->class->synchronise(head, pass);
      for (int i = 0; i < n_slices; i++)
        forward_slice(m, pass, &m->slices[i], k == 0, m->segments[k], m->segments[k + 1]);
    }
  }
  es_tree_sum_f64(&m->group, m->sums, SUMS);
  *out = (es_loss_t){m->sums[0], m->sums[1], m->sums[2], m->sums[3]};
}

static void backward_unit(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  double time = profile_start(pass);
  unit->class->backward(unit, pass, slice);
  for (int i = 0; i < 2; i++) {
    void *total = es_storage_at(&unit->total[i], slice);
    if (total)
      es_gradient_add(total, es_storage_at(&unit->in_gradient[i], slice), (size_t)(slice->count * unit->total[i].size),
                      unit->precision);
  }
  profile_lap(pass, kind_of(unit), &time);
}

/* Runs backward through the units of a segment and the batch norm at the start of the next segment. */
static void backward_segment(es_model_t *m, const es_pass_t *pass, int segment) {
  const int begin = m->segments[segment], end = m->segments[segment + 1];
  es_unit_t *head = &m->units[begin], *next = end < m->n_units ? &m->units[end] : NULL;
  const bool waits = end > begin && head->class->backward_synchronise;
  const int stop = waits ? begin + 1 : begin;
  if (next) next->class->backward_synchronise(next, pass);
  for (int lane = 0; lane < m->group.lane_count; lane++) {
    for (int i = m->lane_slices[lane]; i < m->lane_slices[lane + 1]; i++) {
      const es_slice_t *slice = &m->slices[i];
      if (next) backward_unit(next, pass, slice);
      double time = profile_start(pass);
      if (waits && head->renewed) head->class->renew(head, slice);
      profile_lap(pass, ES_KIND_BETWEEN, &time);
      for (int u = end - 1; u >= stop; u--) backward_unit(&m->units[u], pass, slice);
      time = profile_start(pass);
      if (waits) head->class->backward_gather(head, slice);
      profile_lap(pass, ES_KIND_BETWEEN, &time);
    }
    double time = profile_start(pass);
    for (int u = stop; u < end; u++) {
      if (m->units[u].class->lane_end) m->units[u].class->lane_end(&m->units[u], lane);
    }
    profile_lap(pass, ES_KIND_LAYERS, &time);
  }
  double time = profile_start(pass);
  for (int u = stop; u < end; u++) {
    if (m->units[u].class->backward_end) m->units[u].class->backward_end(&m->units[u]);
  }
  profile_lap(pass, ES_KIND_LAYERS, &time);
}

void es_model_backward(es_model_t *m, const es_pass_t *pass) {
  assert(m->training && pass->training);
  for (int k = m->n_segments - 1; k >= 0; k--) backward_segment(m, pass, k);
  es_ranks_sum_f32(&m->group, m->gradients, m->scratch, (size_t)m->graph->parameter_count);
}

const char *es_model_first_nonfinite(es_model_t *m, const es_pass_t *pass) {
  int bad = m->graph->n_nodes;
  es_pass_t quiet = *pass;
  quiet.observer = NULL;
  quiet.confusion = NULL;
  quiet.logits = NULL;
  es_loss_t loss;
  m->bad = &bad;
  es_model_forward(m, &quiet, 0.0, &loss);
  m->bad = NULL;
  if (m->group.comm != MPI_COMM_NULL) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_MIN, m->group.comm));
  return bad < m->graph->n_nodes ? m->graph->nodes[bad].name : "the loss";
}

/* Must match the allocations above and those of the units. */
int64_t es_model_bytes(const es_graph_t *graph, int64_t batch, int lanes, int ranks, bool training,
                       es_precision_t precision) {
  const int64_t share = (batch + ranks - 1) / ranks, samples = share > ES_SLICE_MAX ? share : ES_SLICE_MAX;
  int64_t packed = 0, scratch = 0, segment = 0, kept = 0;
  es_layout_t layout;
  if (es_layout_create(&layout, graph, training, &(es_status_t){0}) != ES_OK) return 0;
  int64_t bytes = es_layout_bytes(&layout, samples, precision);
  int64_t floats = graph->buffer_count + widened_size(graph, precision);
  bytes += ES_SLICE_MAX * es_layout_hidden(&layout) * (int64_t)es_precision_bytes(precision);
  for (int32_t k = 1; k < layout.n_steps; k++) {
    const es_step_t *s = &layout.steps[k];
    if (s->class->kept_bytes) kept += samples * s->class->kept_bytes(s, precision);
    if (es_step_waits(s)) segment = 0;
    if (!s->class->floats) continue;
    const es_unit_floats_t weights = s->class->floats(graph, s->node, samples, lanes / ranks, precision);
    packed += weights.packed;
    segment += weights.scratch;
    scratch = segment > scratch ? segment : scratch;
  }
  es_layout_destroy(&layout);
  floats += graph->parameter_count * (training ? 2 : 1);
  if (!training) return bytes + floats * (int64_t)sizeof(float);
  if (ranks > 1) floats += (int64_t)es_ranks_sum_room((size_t)graph->parameter_count);
  return bytes + (floats + packed + scratch) * (int64_t)sizeof(float) + kept;
}
