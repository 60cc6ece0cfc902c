/* Builds the graph of a description: repetitions, scopes and branches become a plain list of nodes. */
#include "description_internal.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- failures ---- */

/* Moves a failure of the builder, which does not know lines. */
static void take_failure(es_walk_t *w, int32_t line) {
  if (w->own.code == ES_OK) return;
  if (w->own.code != ES_INPUT) {
    es_fail(w->status, w->own.code, "model", "%s", w->own.message);
    return;
  }
  w->b->code = ES_OK;
  es_walk_fail(w, line, "%s", w->own.message);
}

/* ---- names ---- */

/* Replaces {i}. False if the name does not fit into `size` bytes. */
static bool write_name(const es_walk_t *w, const char *pattern, char *out, size_t size) {
  size_t length = 0;
  out[0] = '\0';
  for (const char *at = pattern; *at != '\0';) {
    int plus;
    const char *end = es_item_name_index(at, &plus);
    if (end)
      length += (size_t)snprintf(out + length, size - length, "%d", w->repetition + plus);
    else
      length += (size_t)snprintf(out + length, size - length, "%c", *at);
    if (length >= size) return false;
    at = end ? end : at + 1;
  }
  return true;
}

/* Writes the full name of a tensor; one that begins with a dot belongs to the scope. False if it does not fit. */
static bool write_tensor(const es_walk_t *w, const char *pattern, char out[ES_NAME_MAX]) {
  const size_t length = pattern[0] == '.' ? strlen(w->scope) : 0;
  memcpy(out, w->scope, length);
  return write_name(w, pattern + (pattern[0] == '.'), out + length, ES_NAME_MAX - length);
}

enum { PARTS_MOST = 47 }; /* bytes of a name that the names of parts follow */

/* Writes the full name of an item that has none of its own: `fallback`, or the running number of the scope. */
static bool full_name(es_walk_t *w, const es_item_t *item, const char *fallback, char out[ES_NAME_MAX]) {
  char own[ES_NAME_MAX] = "";
  bool fits = true;
  if (item->name)
    fits = write_name(w, item->name, own, sizeof own);
  else if (fallback)
    snprintf(own, sizeof own, "%s", fallback);
  else
    snprintf(own, sizeof own, "%d", w->index++);
  if (strcmp(own, "input") == 0) es_walk_fail(w, item->line, "the name input is that of the image; choose another one");
  const int length = snprintf(out, ES_NAME_MAX, "%s%s", w->scope, own);
  size_t most = ES_NAME_MAX - 1;
  for (int i = 0; i < ES_ITEM_TENSORS && item->row->tensors[i]; i++) { /* a dot and the longest of these follow */
    const bool long_word = item->row->op == ES_OP_CLASS_TOKEN || item->row->op == ES_OP_POSITION;
    const size_t own_most = ES_NAME_MAX - 2 - (long_word ? sizeof "pos_embedding" - 1 : strlen(item->row->tensors[i]));
    if (!item->tensors[i] && own_most < most) most = own_most;
  }
  if (item->row->kind == ES_ITEM_SELF_ATTENTION && most > PARTS_MOST) most = PARTS_MOST;
  if (fits && length <= (int)most) return true;
  es_walk_fail(w, item->line, "the name %s is longer than %zu bytes", out, most);
  return false;
}

static int32_t *slot_of(es_walk_t *w, const char *name) {
  uint64_t at = es_hash(name, strlen(name), 0) % SLOTS;
  while (w->slots[at] != 0 && strcmp(w->names[w->slots[at] - 1].name, name) != 0) at = (at + 1) % SLOTS;
  return &w->slots[at];
}

/* Notes the name of a node, or of the last node of a group. */
static void note_name(es_walk_t *w, const char *name, int32_t node, int32_t line, bool group) {
  const es_node_t *n = &w->b->graph->nodes[node];
  const bool weighted = !group && (n->weight >= 0 || n->mean >= 0);
  int32_t *slot = slot_of(w, name);
  if (w->b->code != ES_OK) return;
  if (*slot == 0) {
    if (w->n_names == NAMES_MAX) {
      es_walk_fail(w, line, "the network has more than %d names", NAMES_MAX);
      return;
    }
    es_named_t *entry = &w->names[w->n_names++];
    *slot = w->n_names;
    *entry = (es_named_t){.node = node, .line = line, .weighted = weighted, .group = group};
    snprintf(entry->name, sizeof entry->name, "%s", name);
    return;
  }
  es_named_t *entry = &w->names[*slot - 1];
  if (group && !entry->group) return; /* the name of a node comes first */
  if (weighted || (entry->weighted && !group))
    es_walk_fail(w, line,
                 "the name %s is used twice: line %d has it too; a layer with weights needs a name of its own%s", name,
                 entry->line, w->levels > 0 ? ", in a repeat one with {i}" : "");
  entry->repeated = !group && !entry->group;
  entry->node = node;
  entry->group = group;
}

/* Line of an item whose name, as written, is this; 0 if there is none. */
static int32_t find_item(const es_item_list_t *list, const char *name) {
  int32_t line = 0;
  for (const es_item_t *item = list->first; item && line == 0; item = item->next) {
    const size_t length = item->name ? strlen(item->name) : 0, whole = strlen(name);
    const bool ends = length > 0 && whole >= length && strcmp(name + whole - length, item->name) == 0;
    if (ends && (whole == length || name[whole - length - 1] == '.')) line = item->line;
    for (int32_t i = 0; i < item->n_lists && line == 0; i++) line = find_item(&item->lists[i], name);
  }
  return line;
}

static void refuse_name(es_walk_t *w, const es_item_t *item, const char *name) {
  enum { SHOWN = 1000 };
  const char *known[SHOWN];
  int n = 0;
  for (int32_t i = 0; i < w->n_names && n < SHOWN; i++) known[n++] = w->names[i].name;
  const char *nearest = es_text_nearest(name, known, n);
  const int32_t line = find_item(&w->description->layers, name);
  if (line >= item->line)
    es_walk_fail(w, item->line,
                 "from: %s is the item on line %d, which does not come before this one; a network has no cycles", name,
                 line);
  else if (nearest)
    es_walk_fail(w, item->line, "from: no earlier item has the name %s; did you mean %s?", name, nearest);
  else
    es_walk_fail(w, item->line, "from: no earlier item has the name %s; give the item that you mean a name", name);
}

/* Finds the node that `from` names: in this scope, or in one around it. −1 if there is none. */
static int32_t find_node(es_walk_t *w, const es_item_t *item, const char *pattern) {
  char name[ES_NAME_MAX], full[2 * ES_NAME_MAX];
  if (strcmp(pattern, "input") == 0) return 0;
  if (!write_name(w, pattern, name, sizeof name)) name[0] = '\0';
  for (size_t length = strlen(w->scope);;) {
    snprintf(full, sizeof full, "%.*s%s", (int)length, w->scope, name);
    const int32_t slot = *slot_of(w, full);
    if (slot != 0 && w->names[slot - 1].repeated)
      es_walk_fail(w, item->line, "from: %s is the name of several items; give the one that you mean another name",
                   full);
    if (slot != 0) return w->names[slot - 1].node;
    if (length == 0) break;
    length--;
    while (length > 0 && w->scope[length - 1] != '.') length--;
  }
  refuse_name(w, item, name);
  return -1;
}

/* ---- nodes ---- */

void es_walk_node(es_walk_t *w, const es_item_t *item, const char *name, es_op_t op, const es_settings_t *settings) {
  enum { SIZE_MOST = 1 << 30, CHANNELS_MOST = 1 << 24 };
  const int64_t weights_most = (int64_t)1 << 40;
  es_builder_t *b = w->b;
  if (b->code != ES_OK) return;
  if (b->graph->n_nodes == ES_NODES_MAX) {
    es_walk_fail(w, item->line, "the network has more than %d operations", ES_NODES_MAX - 1);
    return;
  }
  es_add_operation(b, name, op, settings);
  take_failure(w, item->line);
  if (b->code != ES_OK) return;
  const es_shape_t shape = es_last_shape(b);
  if (shape.c > CHANNELS_MOST || es_shape_size(shape) > SIZE_MOST)
    es_walk_fail(w, item->line, "layer %s has an output of %d x %d x %d, which is too large", name, shape.h, shape.w,
                 shape.c);
  if (b->graph->parameter_count > weights_most) es_walk_fail(w, item->line, "layer %s has too many weights", name);
  w->n_layers += es_node_is_layer(&b->graph->nodes[b->last]);
  if (w->n_layers > ES_LAYERS_MAX)
    es_walk_fail(w, item->line, "the network has more than %d convolutions and linear layers", ES_LAYERS_MAX);
  w->lines[b->last] = item->line;
  note_name(w, name, b->last, item->line, false);
}

static const char *const join_names[] = {"add", "mul", "cat"};
static const es_op_t join_ops[] = {ES_OP_ADD, ES_OP_MULTIPLY, ES_OP_CONCAT};

/* A concatenation of these two nodes that exists; −1 if there is none. Networks such as DenseNet concatenate the same
 * nodes and one more again and again. */
static int32_t find_concatenation(const es_graph_t *g, int32_t first, int32_t second) {
  for (int32_t i = g->n_nodes - 1; i > 0; i--) {
    if (g->nodes[i].op == ES_OP_CONCAT && g->nodes[i].input == first && g->nodes[i].other == second) return i;
  }
  return -1;
}

/* Joins n ≥ 2 nodes, two at a time. */
static void join(es_walk_t *w, const es_item_t *item, const char *name, es_op_t op, const int32_t *nodes, int32_t n) {
  es_builder_t *b = w->b;
  b->last = nodes[0];
  for (int32_t i = 1; i < n && b->code == ES_OK; i++) {
    char part[ES_NAME_MAX];
    int32_t other = nodes[i];
    const es_shape_t x = es_last_shape(b), y = b->graph->nodes[other].out;
    const int32_t known = op == ES_OP_CONCAT && i < n - 1 ? find_concatenation(b->graph, b->last, other) : -1;
    if (known >= 0) {
      b->last = known;
      continue;
    }
    if (op == ES_OP_MULTIPLY && x.h * x.w == 1 && y.h * y.w > 1) { /* the vector is the second factor */
      other = b->last;
      b->last = nodes[i];
    }
    snprintf(part, sizeof part, i < n - 1 ? "%.48s.%d" : "%.63s", name, i - 1);
    es_walk_node(w, item, part, op, &(es_settings_t){.other = other});
  }
}

/* ---- items ---- */

static void walk_list(es_walk_t *w, const es_item_list_t *list);

static void walk_join(es_walk_t *w, const es_item_t *item) {
  char name[ES_NAME_MAX];
  int32_t *nodes = es_allocate((size_t)item->n_from, sizeof *nodes);
  if (!nodes) {
    w->b->code = es_out_of_memory(w->status, "model", "the description of a network");
    return;
  }
  for (int32_t i = 0; i < item->n_from && w->b->code == ES_OK; i++) nodes[i] = find_node(w, item, item->from[i]);
  if (w->b->code == ES_OK && full_name(w, item, NULL, name)) join(w, item, name, item->row->op, nodes, item->n_from);
  es_free(nodes);
}

static void walk_operation(es_walk_t *w, const es_item_t *item) {
  char name[ES_NAME_MAX], tensors[ES_ITEM_TENSORS][ES_NAME_MAX];
  es_settings_t settings;
  if (!full_name(w, item, NULL, name) || !es_walk_settings(w, item, name, &settings)) return;
  for (int i = 0; i < ES_ITEM_TENSORS; i++) {
    if (!item->tensors[i]) continue;
    if (!write_tensor(w, item->tensors[i], tensors[i]))
      es_walk_fail(w, item->line, "the tensor name %s is longer than %d bytes", item->tensors[i], ES_NAME_MAX - 1);
    settings.tensors[i] = tensors[i];
  }
  es_walk_node(w, item, name, es_walk_op(item), &settings);
}

static void walk_self_attention(es_walk_t *w, const es_item_t *item) {
  char name[ES_NAME_MAX], part[ES_NAME_MAX], tensors[ES_ITEM_TENSORS][ES_NAME_MAX];
  es_settings_t s;
  if (!full_name(w, item, NULL, name) || !es_walk_settings(w, item, name, &s)) return;
  const es_node_t *input = &w->b->graph->nodes[w->b->last];
  const int32_t features = input->out.c;
  if (!input->tokens) es_walk_fail(w, item->line, "layer %s needs tokens; put tokens before it", name);
  for (int i = 0; i < ES_ITEM_TENSORS && w->b->code == ES_OK; i++) {
    if (!item->tensors[i])
      snprintf(tensors[i], ES_NAME_MAX, "%.47s.%.15s", name, item->row->tensors[i]);
    else if (!write_tensor(w, item->tensors[i], tensors[i]))
      es_walk_fail(w, item->line, "the tensor name %s is longer than %d bytes", item->tensors[i], ES_NAME_MAX - 1);
  }
  /* Initialised as torch.nn.MultiheadAttention. */
  snprintf(part, sizeof part, "%.50s.in_proj", name);
  es_walk_node(w, item, part, ES_OP_LINEAR,
               &(es_settings_t){.channels = 3 * (int64_t)features,
                                .each = true,
                                .biased = s.biased,
                                .weight = ES_INIT_XAVIER,
                                .bias = ES_INIT_ZERO,
                                .tensors = {tensors[0], tensors[1]}});
  snprintf(part, sizeof part, "%.50s.attention", name);
  es_walk_node(w, item, part, ES_OP_ATTENTION, &(es_settings_t){.groups = s.groups});
  snprintf(part, sizeof part, "%.50s.out_proj", name);
  es_walk_node(w, item, part, ES_OP_LINEAR,
               &(es_settings_t){.channels = features,
                                .each = true,
                                .biased = s.biased,
                                .weight = ES_INIT_UNIFORM_FAN_IN,
                                .bias = ES_INIT_ZERO,
                                .tensors = {tensors[2], tensors[3]}});
  if (w->b->code == ES_OK) note_name(w, name, w->b->last, item->line, true);
}

static void walk_repeat(es_walk_t *w, const es_item_t *item) {
  const int32_t outer = w->repetition;
  int64_t times = 0;
  if (!es_walk_whole(w, item, ES_SET_TIMES, 0, 0, &times)) return;
  w->levels++;
  for (int64_t i = 0; i < times && w->b->code == ES_OK; i++) {
    w->repetition = (int32_t)i;
    walk_list(w, &item->lists[i == 0 && item->n_lists > 1 ? 1 : 0]);
  }
  w->levels--;
  w->repetition = outer;
}

static void walk_scope(es_walk_t *w, const es_item_t *item) {
  char outer[ES_NAME_MAX], name[ES_NAME_MAX];
  const int32_t before = w->b->graph->n_nodes;
  if (!full_name(w, item, NULL, name)) return;
  const int32_t index = w->index;
  memcpy(outer, w->scope, sizeof outer);
  snprintf(w->scope, sizeof w->scope, "%.62s.", name);
  w->index = 0;
  walk_list(w, &item->lists[0]);
  memcpy(w->scope, outer, sizeof outer);
  w->index = index;
  if (w->b->code == ES_OK && w->b->graph->n_nodes > before) note_name(w, name, w->b->last, item->line, true);
}

static void walk_residual(es_walk_t *w, const es_item_t *item) {
  char name[ES_NAME_MAX];
  const int32_t x = w->b->last;
  walk_list(w, &item->lists[0]);
  const int32_t main = w->b->last;
  int64_t skip = 1;
  if (!es_walk_whole(w, item, ES_SET_SKIP, 0, 1, &skip) || skip <= 0) return;
  w->b->last = x;
  if (w->b->code == ES_OK && item->n_lists > 1) walk_list(w, &item->lists[1]);
  if (w->b->code != ES_OK || !full_name(w, item, join_names[0], name)) return;
  join(w, item, name, ES_OP_ADD, (int32_t[]){w->b->last, main}, 2);
}

static void walk_parallel(es_walk_t *w, const es_item_t *item) {
  char name[ES_NAME_MAX];
  const int32_t x = w->b->last, kind = es_walk_value(item, ES_SET_JOIN)->word;
  int32_t *nodes = es_allocate((size_t)item->n_lists, sizeof *nodes);
  if (!nodes) {
    w->b->code = es_out_of_memory(w->status, "model", "the description of a network");
    return;
  }
  for (int32_t i = 0; i < item->n_lists && w->b->code == ES_OK; i++) {
    w->b->last = x;
    walk_list(w, &item->lists[i]);
    nodes[i] = w->b->last;
  }
  if (w->b->code == ES_OK && full_name(w, item, join_names[kind], name))
    join(w, item, name, join_ops[kind], nodes, item->n_lists);
  es_free(nodes);
}

static void walk_item(es_walk_t *w, const es_item_t *item) {
  if (++w->n_items > ES_ITEMS_RUN_MAX) {
    es_walk_fail(w, item->line, "the network has more than %d items when its repetitions are written out",
                 ES_ITEMS_RUN_MAX);
    return;
  }
  if (item->row->joins) {
    walk_join(w, item);
    return;
  }
  if (item->n_from > 0) {
    const int32_t from = find_node(w, item, item->from[0]);
    if (w->b->code != ES_OK) return;
    w->b->last = from;
  }
  switch (item->row->kind) {
  case ES_ITEM_OPERATION:
    walk_operation(w, item);
    break;
  case ES_ITEM_SELF_ATTENTION:
    walk_self_attention(w, item);
    break;
  case ES_ITEM_REPEAT:
    walk_repeat(w, item);
    break;
  case ES_ITEM_SCOPE:
    walk_scope(w, item);
    break;
  case ES_ITEM_RESIDUAL:
    walk_residual(w, item);
    break;
  case ES_ITEM_PARALLEL:
    walk_parallel(w, item);
    break;
  }
}

static void walk_list(es_walk_t *w, const es_item_list_t *list) {
  for (const es_item_t *item = list->first; item && w->b->code == ES_OK; item = item->next) walk_item(w, item);
}

/* ---- the whole network ---- */

/* Refuses outputs that nothing reads: backward would have no gradient for them. */
static void check_uses(es_walk_t *w) {
  const es_graph_t *g = w->b->graph;
  bool used[ES_NODES_MAX] = {false};
  for (int32_t i = 1; i < g->n_nodes; i++) {
    used[g->nodes[i].input] = true;
    if (g->nodes[i].other >= 0) used[g->nodes[i].other] = true;
  }
  for (int32_t i = 1; i < g->n_nodes - 1; i++) {
    if (!used[i])
      es_walk_fail(w, w->lines[i], "the output of layer %s is never used; remove it, or name it in a from",
                   g->nodes[i].name);
  }
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const es_tensor_t *const *)a)[0]->name, ((const es_tensor_t *const *)b)[0]->name);
}

/* Refuses two tensors of one name: a file of weights could not hold both. */
static void check_tensors(es_walk_t *w) {
  const es_graph_t *g = w->b->graph;
  const es_tensor_t **sorted = es_allocate((size_t)(g->n_parameters + g->n_buffers) + 1, sizeof *sorted);
  int32_t n = 0;
  if (!sorted) {
    w->b->code = es_out_of_memory(w->status, "model", "the description of a network");
    return;
  }
  for (int32_t i = 0; i < g->n_parameters; i++) sorted[n++] = &g->parameters[i];
  for (int32_t i = 0; i < g->n_buffers; i++) sorted[n++] = &g->buffers[i];
  qsort(sorted, (size_t)n, sizeof *sorted, by_name);
  for (int32_t i = 1; i < n; i++) {
    if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
      es_walk_fail(w, w->description->line, "two layers have the tensor %s; shared weights are not possible",
                   sorted[i]->name);
  }
  es_free(sorted);
}

static void check_end(es_walk_t *w, int32_t classes) {
  const es_graph_t *g = w->b->graph;
  const es_node_t *last = &g->nodes[g->n_nodes - 1];
  const int32_t line = g->n_nodes > 1 ? w->lines[g->n_nodes - 1] : w->description->line;
  const es_shape_t s = last->out;
  if (g->n_nodes == 1)
    es_walk_fail(w, line, "the network has no operations");
  else if (s.h * s.w != 1)
    es_walk_fail(w, line,
                 "the network ends in layer %s with an output of %d x %d x %d (height, width, channels), but needs one "
                 "number for each class; end with linear: {features: classes}",
                 last->name, s.h, s.w, s.c);
  else if (s.c != classes)
    es_walk_fail(w, line,
                 "the network ends in layer %s with %d numbers, but there are %d classes; end with linear: {features: "
                 "classes}",
                 last->name, s.c, classes);
  else if (w->n_layers == 0)
    es_walk_fail(w, line, "the network has no convolution and no linear layer");
}

static void start_parameters(es_walk_t *w) {
  const es_point_t *point = w->b->point;
  for (int32_t i = 0; i < w->description->n_parameters; i++) w->parameters[i] = w->description->parameters[i].value;
  for (int32_t i = 0; i < point->n_axes; i++) {
    const char *name = es_description_axis(point->axes[i].name);
    const int k = name ? es_description_parameter(w->description, name) : -1;
    if (k >= 0) w->parameters[k] = point->axes[i].number;
  }
}

static void build(es_builder_t *b, const es_model_spec_t *spec, int32_t classes, bool loose) {
  es_status_t *status = b->status;
  es_walk_t *w = es_allocate_zero(1, sizeof *w);
  if (!w) {
    b->code = es_out_of_memory(status, "model", "the description of a network");
    return;
  }
  w->b = b, w->status = status, w->description = spec->description, w->classes = classes;
  b->status = &w->own;
  start_parameters(w);
  walk_list(w, &w->description->layers);
  if (b->code == ES_OK && !loose) check_end(w, classes);
  if (b->code == ES_OK) b->last = b->graph->n_nodes - 1;
  if (b->code == ES_OK) check_uses(w);
  if (b->code == ES_OK) check_tensors(w);
  b->status = status;
  es_free(w);
}

void es_build_description(es_builder_t *b, const es_model_spec_t *spec, int32_t classes) {
  build(b, spec, classes, false);
}

void es_build_description_loose(es_builder_t *b, const es_model_spec_t *spec, int32_t classes) {
  build(b, spec, classes, true);
}
