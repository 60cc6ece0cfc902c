/* Turns nodes into steps, and assigns buffers by the lifetime of values.
 *
 * Backward runs the steps in reverse. For the gradient of a step's output, the last step that read the output writes it
 * first, earlier readers add to it, and the step itself consumes it. Two gradients may share a buffer unless both are
 * alive at one step. In a whole buffer each slice has its own part, so slices may be at different steps. */
#include "layout.h"
#include "eigenscope/memory.h"
#include <assert.h>

/* ---- steps ---- */

static es_activation_t activation_of(es_op_t op) {
  return op == ES_OP_RELU ? ES_RELU : op == ES_OP_RELU6 ? ES_RELU6 : ES_NO_ACTIVATION;
}

/* True if the next node may join the step of `class`: it reads this node, no other node does, and if this node is a
 * layer, the unit can show its output. */
static bool leads_on(const es_graph_t *graph, int32_t i, const es_unit_class_t *class) {
  int readers = 0;
  if (graph->nodes[i].layer >= 0 && !class->stage) return false;
  for (int32_t k = 1; k < graph->n_nodes; k++) readers += (graph->nodes[k].input == i) + (graph->nodes[k].other == i);
  return readers == 1 && i + 1 < graph->n_nodes && graph->nodes[i + 1].input == i;
}

static void note_use(es_layout_t *layout, int32_t step, int32_t by) {
  es_step_t *s = &layout->steps[step];
  if (s->first_use < 0) s->first_use = by;
  s->last_use = by;
}

/* `step_of` (nodes): the step that computes the node's output. */
static void list_steps(es_layout_t *layout, const es_graph_t *graph, int32_t *step_of) {
  for (int32_t i = 0; i < graph->n_nodes; i++) {
    const es_node_t *node = &graph->nodes[i];
    /* A batch norm or a sum and the ReLU that is its only reader become one step; after a batch norm, the max pooling
     * that is the only reader of both joins the step. */
    const es_unit_class_t *class = es_unit_class(node);
    if (class->identity) {
      step_of[i] = step_of[node->input];
      continue;
    }
    const bool fuses = class->activates && leads_on(graph, i, class) && activation_of(node[1].op) != ES_NO_ACTIVATION;
    const int32_t k = layout->n_steps++, activated = i + fuses;
    const bool pools =
        class->pools && leads_on(graph, activated, class) && es_node_halves(&graph->nodes[activated + 1]);
    const int32_t last = activated + pools;
    layout->steps[k] =
        (es_step_t){.node = node,
                    .last = &graph->nodes[last],
                    .class = class,
                    .activation = activation_of(graph->nodes[activated].op),
                    .pools = pools,
                    .shape = graph->nodes[last].out,
                    .in = {node->input >= 0 ? step_of[node->input] : -1, node->other >= 0 ? step_of[node->other] : -1},
                    .first_use = -1,
                    .last_use = -1,
                    .out = -1,
                    .gradient = -1,
                    .in_gradient = {-1, -1}};
    for (int j = 0; j < 2; j++) {
      if (layout->steps[k].in[j] >= 0) note_use(layout, layout->steps[k].in[j], k);
    }
    for (; i < last; i++) step_of[i] = k;
    step_of[i] = k;
  }
  note_use(layout, layout->n_steps - 1, layout->n_steps);
  for (int32_t k = 0; k < layout->n_steps; k++) assert(layout->steps[k].first_use > k);
}

static int64_t size_of(const es_layout_t *layout, int32_t step) {
  return es_shape_size(layout->steps[step].shape);
}

/* ---- buffers ---- */

/* `free_from[b]`: first step at which buffer b is free, counted in the order of the pass that fills it. */
typedef struct planner {
  es_layout_t *layout;
  int32_t *free_from;
  int32_t buffers_max;
} planner_t;

/* Finds a buffer for values of `size` alive from step `begin` to step `end`: the best fit among free buffers, or a new
 * one. */
static int32_t find_buffer(planner_t *p, int64_t size, bool whole, int32_t begin, int32_t end, int32_t from) {
  es_layout_t *layout = p->layout;
  int32_t best = -1;
  for (int32_t b = from; b < layout->n_buffers; b++) {
    const es_buffer_t *buffer = &layout->buffers[b];
    if (buffer->whole != whole || p->free_from[b] > begin) continue;
    const int64_t have = buffer->size, best_has = best >= 0 ? layout->buffers[best].size : 0;
    if (best < 0 || (best_has < size ? have > best_has : have >= size && have < best_has)) best = b;
  }
  if (best < 0) {
    assert(layout->n_buffers < p->buffers_max);
    best = layout->n_buffers++;
    layout->buffers[best] = (es_buffer_t){0, whole};
  }
  if (layout->buffers[best].size < size) layout->buffers[best].size = size;
  p->free_from[best] = end + 1;
  return best;
}

/* True if the output is consumed before the next barrier, slice by slice, and backward can recompute it from the input,
 * which is stored anyway. */
static bool is_passing(const es_layout_t *layout, int32_t k) {
  const es_step_t *s = &layout->steps[k];
  if (!s->class->renew || s->last_use >= layout->n_steps) return false;
  for (int32_t i = k + 1; i <= s->last_use; i++) {
    if (es_step_waits(&layout->steps[i])) return false;
  }
  return true;
}

/* Returns the buffer of an input that no later step reads, so that the sum can overwrite it; −1 if there is none. */
static int32_t buffer_of_sum(const es_layout_t *layout, int32_t k, bool training) {
  const es_step_t *steps = layout->steps;
  if (!steps[k].class->adds) return -1;
  for (int i = 0; i < 2; i++) {
    const int32_t v = steps[k].in[i];
    if (v == 0 || steps[v].last_use != k) continue;
    if (training && !layout->buffers[steps[v].out].whole) continue;
    /* Backward reads the output of the step again, for the mask of its ReLU. */
    const bool reads_again = steps[v].activation != ES_NO_ACTIVATION && !steps[v].class->renew;
    if (!training || (steps[v].first_use == k && !reads_again)) return steps[v].out;
  }
  return -1;
}

/* Assigns output buffers. Training keeps an output for backward unless it is recomputed; inference keeps it until the
 * last read. */
static void assign_outputs(planner_t *p, bool training) {
  es_layout_t *layout = p->layout;
  for (int32_t k = 0; k < layout->n_steps; k++) {
    es_step_t *s = &layout->steps[k];
    const bool kept = training && !is_passing(layout, k);
    const int32_t end = kept ? INT32_MAX - 1 : s->last_use;
    s->out = buffer_of_sum(layout, k, training);
    if (s->out < 0)
      s->out = find_buffer(p, size_of(layout, k), kept, k, end, 0);
    else
      p->free_from[s->out] = end + 1;
    for (int i = 0; training && i < 2; i++) {
      if (s->in[i] >= 0 && s->class->reads_input && !layout->buffers[layout->steps[s->in[i]].out].whole)
        layout->steps[s->in[i]].renewed = true;
    }
  }
}

/* ---- gradients: time runs from the last step to the first, so times are counted from the end ---- */

/* Returns the step at which backward first changes the gradient of step v after its first write: a reader that adds to
 * it, or v itself if v is a sum, because a sum masks it or shares the buffer with its inputs; −1 if there is none. */
static int32_t first_change(const es_layout_t *layout, int32_t v) {
  const es_step_t *s = &layout->steps[v];
  int32_t first = s->class->adds ? v : -1;
  for (int32_t k = v + 1; k < s->last_use && k < layout->n_steps; k++) {
    if (layout->steps[k].in[0] == v || layout->steps[k].in[1] == v) first = k;
  }
  return first;
}

/* True if the gradient of input i can use the buffer of the sum's gradient: the input's gradient is first written here,
 * and if the other input shares the buffer too, no input changes the gradient before the other has consumed it. */
static bool hands_on(const es_layout_t *layout, int32_t k, int i) {
  const es_step_t *s = &layout->steps[k];
  if (!s->class->adds || s->in[i] == 0 || layout->steps[s->in[i]].last_use != k) return false;
  if (i == 0 || !hands_on(layout, k, 0)) return true;
  const int32_t a = s->in[0], b = s->in[1];
  return first_change(layout, a) < b && first_change(layout, b) < a;
}

/* Returns the earliest step until which the gradient of v is alive in its buffer, since sums pass the buffer to their
 * inputs. */
static int32_t reach(const es_layout_t *layout, int32_t v) {
  int32_t least = v;
  for (int i = 0; i < 2; i++) {
    if (!hands_on(layout, v, i)) continue;
    const int32_t down = reach(layout, layout->steps[v].in[i]);
    if (down < least) least = down;
  }
  return least;
}

/* True if the gradient is alive at a batch norm's barrier. It must then be stored for all samples. */
static bool crosses_wait(const es_layout_t *layout, int32_t least, int32_t begin) {
  for (int32_t k = least; k < begin && k < layout->n_steps; k++) {
    if (es_step_waits(&layout->steps[k])) return true;
  }
  return false;
}

static void assign_gradients(planner_t *p) {
  es_layout_t *layout = p->layout;
  const int32_t n = layout->n_steps, from = layout->n_buffers;
  es_step_t *last = &layout->steps[n - 1];
  /* The forward pass writes the gradient of the loss. */
  last->gradient = find_buffer(p, size_of(layout, n - 1), true, 0, n - reach(layout, n - 1), from);
  for (int32_t k = n - 1; k > 0; k--) {
    es_step_t *s = &layout->steps[k];
    for (int i = 0; i < 2; i++) {
      const int32_t v = s->in[i];
      if (v <= 0) continue; /* the gradient of the images is not needed */
      es_step_t *source = &layout->steps[v];
      s->adds[i] = source->gradient >= 0;
      if (s->class->adds && (s->adds[i] || hands_on(layout, k, i))) {
        s->in_gradient[i] = s->gradient;
      } else if (s->adds[i]) {
        s->in_gradient[i] = find_buffer(p, size_of(layout, v), false, n - k, n - k, from);
      } else {
        const int32_t least = reach(layout, v);
        s->in_gradient[i] = find_buffer(p, size_of(layout, v), crosses_wait(layout, least, k), n - k, n - least, from);
      }
      if (!s->adds[i]) source->gradient = s->in_gradient[i];
    }
  }
}

es_code_t es_layout_create(es_layout_t *out, const es_graph_t *graph, bool training, es_status_t *status) {
  const size_t most = 4 * (size_t)graph->n_nodes;
  int32_t *numbers = es_allocate_zero(most + (size_t)graph->n_nodes, sizeof *numbers);
  *out = (es_layout_t){.steps = es_allocate_zero((size_t)graph->n_nodes, sizeof *out->steps),
                       .buffers = es_allocate_zero(most, sizeof *out->buffers)};
  planner_t planner = {.layout = out, .free_from = numbers, .buffers_max = (int32_t)most};
  if (!numbers || !out->steps || !out->buffers) {
    es_free(numbers);
    es_layout_destroy(out);
    return es_out_of_memory(status, "model", "the plan of a network");
  }
  list_steps(out, graph, numbers + most);
  assign_outputs(&planner, training);
  if (training) assign_gradients(&planner);
  es_free(numbers);
  return ES_OK;
}

void es_layout_destroy(es_layout_t *layout) {
  es_free(layout->steps);
  es_free(layout->buffers);
  *layout = (es_layout_t){0};
}

int64_t es_layout_bytes(const es_layout_t *layout, int64_t samples, es_precision_t precision) {
  int64_t numbers = 0;
  for (int32_t b = 0; b < layout->n_buffers; b++)
    numbers += layout->buffers[b].size * (layout->buffers[b].whole ? samples : ES_SLICE_MAX);
  return numbers * (int64_t)es_precision_bytes(precision);
}

int64_t es_layout_hidden(const es_layout_t *layout) {
  int64_t most = 0;
  for (int32_t k = 0; k < layout->n_steps; k++) {
    for (const es_node_t *node = layout->steps[k].node; node < layout->steps[k].last; node++) {
      if (node->layer >= 0 && es_shape_size(node->out) > most) most = es_shape_size(node->out);
    }
  }
  return most;
}
