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
  int64_t samples; /* most samples stored on this rank */
  float *parameters, *gradients, *buffers, *scratch;
  es_layout_t layout;
  float **memory;     /* memory of each buffer of the layout */
  es_storage_t input; /* images */
  es_unit_t *units;   /* units of the steps from 1 on */
  int n_units;
  int *segments; /* first unit of each segment, then n_units */
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
                        .whole = b->whole};
}

static void lay_out_unit(es_model_t *m, int32_t k) {
  const es_step_t *steps = m->layout.steps, *s = &steps[k];
  es_unit_t *unit = &m->units[k - 1];
  *unit = (es_unit_t){.class = s->class,
                      .graph = m->graph,
                      .group = &m->group,
                      .node = s->node,
                      .index = (int32_t)(s->node - m->graph->nodes),
                      .training = m->training,
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

static es_code_t allocate(es_model_t *m, const int64_t *batches, int n_batches, es_status_t *status) {
  const int lanes = m->group.lane_count;
  int64_t most = 0, first;
  for (int i = 0; i < n_batches; i++) most = batches[i] > most ? batches[i] : most;
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
  m->memory = es_owned_allocate_zero(owned, (size_t)m->layout.n_buffers, sizeof *m->memory);
  m->units = es_owned_allocate_zero(owned, (size_t)m->n_units, sizeof *m->units);
  m->segments = es_owned_allocate_zero(owned, (size_t)m->n_units + 1, sizeof *m->segments);
  m->slices = es_owned_allocate_zero(owned, (size_t)m->slices_capacity, sizeof *m->slices);
  m->lane_slices = es_owned_allocate_zero(owned, (size_t)lanes + 1, sizeof *m->lane_slices);
  m->sums = es_owned_allocate_zero(owned, (size_t)lanes * SUMS, sizeof *m->sums);
  bool fine = !owned->failed;
  for (int b = 0; fine && b < m->layout.n_buffers; b++) {
    const es_buffer_t *buffer = &m->layout.buffers[b];
    m->memory[b] =
        es_allocate_zero((size_t)(buffer->size * (buffer->whole ? m->samples : ES_SLICE_MAX)), sizeof(float));
    fine = m->memory[b] != NULL;
  }
  if (!fine)
    return es_out_of_memory(status, "model", "a network of %lld parameters and batches of %lld",
                            (long long)m->graph->parameter_count, (long long)most);
  m->input = storage(m, m->layout.steps[0].out, 0);
  for (int32_t k = 1; k < m->layout.n_steps; k++) lay_out_unit(m, k);
  for (int u = 0; u < m->n_units; u++) {
    if (u == 0 || m->units[u].class->synchronise) m->segments[m->n_segments++] = u;
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

es_code_t es_model_create(es_model_t **out, const es_graph_t *graph, const es_group_t *group, const int64_t *batches,
                          int n_batches, bool training, es_status_t *status) {
  *out = NULL;
  es_model_t *m = es_allocate_zero(1, sizeof *m);
  if (!m) return es_out_of_memory(status, "model", "the network");
  m->graph = graph;
  m->group = *group;
  m->training = training;
  es_code_t code = allocate(m, batches, n_batches, status);
  const uint32_t sizes = slice_sizes(batches, n_batches, group->lanes);
  for (int u = 0; code == ES_OK && u < m->n_units; u++) {
    if (m->units[u].class->create) code = m->units[u].class->create(&m->units[u], sizes, status);
  }
  if (code == ES_OK && training) code = set_scratch(m, status);
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
  return unit->node->layer >= 0 ? ES_KIND_LAYERS : ES_KIND_BETWEEN;
}

static void forward_slice(es_model_t *m, const es_pass_t *pass, const es_slice_t *slice, int begin, int end) {
  double time = profile_start(pass);
  if (begin == 0) pass->feed.fetch(pass->feed.context, slice->first, slice->count, es_storage_at(&m->input, slice));
  profile_lap(pass, ES_KIND_DATA, &time);
  for (int u = begin; u < end; u++) {
    es_unit_t *unit = &m->units[u];
    time = profile_start(pass);
    unit->class->forward(unit, pass, slice);
    profile_lap(pass, kind_of(unit), &time);
    float *out = es_storage_at(&unit->out, slice);
    const size_t n = (size_t)(slice->count * unit->out.size);
    const int32_t layer = unit->node->layer;
    if (layer >= 0 && pass->observer)
      pass->observer->observe(pass->observer->context, layer, slice->lane, out, slice->count, unit->node->out);
    if (layer >= 0 && pass->editor)
      pass->editor->edit(pass->editor->context, layer, out, slice->count, unit->node->out);
    if (m->bad && unit->index < *m->bad && es_first_nonfinite(out, n) < n) *m->bad = unit->index;
  }
  time = profile_start(pass);
  const es_unit_t *last = &m->units[end - 1];
  if (end == m->n_units)
    es_loss_slice(es_storage_at(&last->out, slice), pass->feed.labels + slice->first, slice->count, m->graph->classes,
                  pass->n, m->sums + (size_t)slice->lane * SUMS,
                  pass->training ? es_storage_at(&last->out_gradient, slice) : NULL, pass->confusion);
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
    for (int i = 0; i < n_slices; i++) forward_slice(m, pass, &m->slices[i], 0, m->n_units);
  } else {
    for (int k = 0; k < m->n_segments; k++) {
      es_unit_t *head = &m->units[m->segments[k]];
      if (head->class->synchronise) {
        /* Nothing would call `gather` for a network that starts with a batch norm; our networks start with a layer. */
        assert(k > 0);
        head->class->synchronise(head, pass);
      }
      for (int i = 0; i < n_slices; i++) forward_slice(m, pass, &m->slices[i], m->segments[k], m->segments[k + 1]);
    }
  }
  es_tree_sum_f64(&m->group, m->sums, SUMS);
  *out = (es_loss_t){m->sums[0], m->sums[1], m->sums[2], m->sums[3]};
}

static void backward_unit(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  double time = profile_start(pass);
  unit->class->backward(unit, pass, slice);
  for (int i = 0; i < 2; i++) {
    float *total = es_storage_at(&unit->total[i], slice);
    if (total)
      es_vector_add(total, es_storage_at(&unit->in_gradient[i], slice), (size_t)(slice->count * unit->total[i].size));
  }
  profile_lap(pass, kind_of(unit), &time);
}

/* Runs backward through the units of a segment and the batch norm at the start of the next segment. */
static void backward_segment(es_model_t *m, const es_pass_t *pass, int segment) {
  const int begin = m->segments[segment], end = m->segments[segment + 1];
  es_unit_t *head = &m->units[begin], *next = end < m->n_units ? &m->units[end] : NULL;
  const int stop = head->class->backward_synchronise ? begin + 1 : begin;
  if (next) next->class->backward_synchronise(next, pass);
  for (int lane = 0; lane < m->group.lane_count; lane++) {
    for (int i = m->lane_slices[lane]; i < m->lane_slices[lane + 1]; i++) {
      const es_slice_t *slice = &m->slices[i];
      if (next) backward_unit(next, pass, slice);
      double time = profile_start(pass);
      if (head->renewed) head->class->renew(head, slice);
      profile_lap(pass, ES_KIND_BETWEEN, &time);
      for (int u = end - 1; u >= stop; u--) backward_unit(&m->units[u], pass, slice);
      time = profile_start(pass);
      if (stop > begin) head->class->backward_gather(head, slice);
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
  es_loss_t loss;
  m->bad = &bad;
  es_model_forward(m, &quiet, 0.0, &loss);
  m->bad = NULL;
  if (m->group.comm != MPI_COMM_NULL) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_MIN, m->group.comm));
  return bad < m->graph->n_nodes ? m->graph->nodes[bad].name : "the loss";
}

/* Must match the allocations above and those of the units. */
int64_t es_model_bytes(const es_graph_t *graph, int64_t batch, int lanes, int ranks, bool training) {
  const int64_t share = (batch + ranks - 1) / ranks, samples = share > ES_SLICE_MAX ? share : ES_SLICE_MAX;
  int64_t packed = 0, scratch = 0, segment = 0, kept = 0;
  es_layout_t layout;
  if (es_layout_create(&layout, graph, training, &(es_status_t){0}) != ES_OK) return 0;
  int64_t floats = es_layout_floats(&layout, samples) + graph->buffer_count;
  for (int32_t k = 1; k < layout.n_steps; k++) {
    const es_step_t *s = &layout.steps[k];
    if (s->class->kept_bytes) kept += samples * s->class->kept_bytes(s);
    if (es_step_waits(s)) segment = 0;
    if (!s->class->floats) continue;
    const es_unit_floats_t weights = s->class->floats(graph, s->node, samples, lanes / ranks);
    packed += weights.packed;
    segment += weights.scratch;
    scratch = segment > scratch ? segment : scratch;
  }
  es_layout_destroy(&layout);
  floats += graph->parameter_count * (training ? 2 : 1);
  if (!training) return floats * (int64_t)sizeof(float);
  if (ranks > 1) floats += (int64_t)es_ranks_sum_room((size_t)graph->parameter_count);
  return (floats + packed + scratch) * (int64_t)sizeof(float) + kept;
}
