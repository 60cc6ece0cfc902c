/* The layers of a network: the outputs that measure.kinds and measure.layers choose, and their names. */
#include "eigenscope/graph.h"
#include "eigenscope/memory.h"
#include "network_internal.h"
#include <stdio.h>
#include <string.h>

const char *const es_layer_kind_words[] = {"conv", "linear", "block", "attention", "activation", "norm", NULL};
_Static_assert(sizeof es_layer_kind_words / sizeof *es_layer_kind_words == (int)ES_LAYER_KINDS + 1,
               "every kind has a word");

/* ---- kinds ---- */

/* Kind of an operation, blocks aside; ES_LAYER_KINDS if it cannot be measured. */
static es_layer_kind_t kind_of(es_op_t op) {
  switch (op) {
  case ES_OP_CONV:
    return ES_LAYER_CONV;
  case ES_OP_LINEAR:
    return ES_LAYER_LINEAR;
  case ES_OP_ATTENTION:
    return ES_LAYER_ATTENTION;
  case ES_OP_BATCHNORM:
  case ES_OP_LAYERNORM:
  case ES_OP_GROUPNORM:
    return ES_LAYER_NORM;
  case ES_OP_RELU:
  case ES_OP_RELU6:
  case ES_OP_LEAKY_RELU:
  case ES_OP_GELU:
  case ES_OP_GELU_TANH:
  case ES_OP_SILU:
  case ES_OP_SIGMOID:
  case ES_OP_HARD_SIGMOID:
  case ES_OP_HARD_SWISH:
  case ES_OP_TANH:
    return ES_LAYER_ACTIVATION;
  default:
    return ES_LAYER_KINDS;
  }
}

static bool joins(const es_node_t *node) {
  return node->op == ES_OP_ADD || node->op == ES_OP_MULTIPLY || node->op == ES_OP_CONCAT;
}

/* The only node that reads node i; −1 if there are none or several. */
static int32_t only_reader(const es_graph_t *g, int32_t i) {
  int32_t reader = -1, readers = 0;
  for (int32_t k = i + 1; k < g->n_nodes; k++) {
    if (g->nodes[k].input != i && g->nodes[k].other != i) continue;
    reader = k;
    readers += (g->nodes[k].input == i) + (g->nodes[k].other == i);
  }
  return readers == 1 ? reader : -1;
}

/* ---- names ---- */

/* Length of the scope of a name, without its point: 8 of "layer1.0.add"; 0 if there is none. */
static int scope_length(const char *name) {
  const char *point = strrchr(name, '.');
  return point ? (int)(point - name) : 0;
}

static bool is_scope(const char *scope, int length, const char *name) {
  return strncmp(name, scope, (size_t)length) == 0 && name[length] == '.';
}

static bool is_number(const char *text) {
  return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* True if the last part of a name is that of a function: of torch.fx (add, mul, cat), as in the built-in families and
 * in descriptions without a name, or of the exporter (sum, product, concat); also with a number, as add_1. */
static bool is_function(const char *part) {
  static const char *const names[] = {"add", "mul", "cat", "sum", "product", "concat"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const size_t length = strlen(names[i]);
    if (strncmp(part, names[i], length) != 0) continue;
    if (part[length] == '\0' || (part[length] == '_' && is_number(part + length + 1))) return true;
  }
  return false;
}

/* Name of the block whose join is node `join` and whose output is node `end`: PyTorch's module, if the join is a
 * function of the module and no later node is in the module; else the name of the join. */
static void name_block(const es_graph_t *g, int32_t join, int32_t end, char out[ES_NAME_MAX]) {
  const char *joined = g->nodes[join].name;
  const int length = scope_length(joined);
  bool whole = length > 0 && is_function(joined + length + 1);
  for (int32_t k = 0; k < g->n_nodes && whole; k++) {
    const char *other = g->nodes[k].name;
    const bool taken = strncmp(other, joined, (size_t)length) == 0 && other[length] == '\0';
    whole = !taken && (k <= end || !is_scope(joined, length, other));
  }
  snprintf(out, ES_NAME_MAX, "%.*s", whole ? length : ES_NAME_MAX - 1, joined);
}

/* Name of node i; PyTorch's modules may run several times, and later outputs then get a number, as in
 * torchvision.models.feature_extraction: relu, relu_1, relu_2. */
static void name_node(const es_graph_t *g, int32_t i, char out[ES_NAME_MAX]) {
  int earlier = 0;
  for (int32_t k = 0; k < i; k++) earlier += strcmp(g->nodes[k].name, g->nodes[i].name) == 0;
  if (earlier > 0)
    snprintf(out, ES_NAME_MAX, "%.*s_%d", ES_NAME_MAX - 12, g->nodes[i].name, earlier);
  else
    snprintf(out, ES_NAME_MAX, "%s", g->nodes[i].name);
}

/* ---- choosing ---- */

/* True if a node joins two of more inputs of a later join: cat.0 before cat. */
static bool is_part(const es_graph_t *g, int32_t i) {
  const char *name = g->nodes[i].name;
  const int length = scope_length(name);
  if (!is_number(name + length + 1)) return false;
  for (int32_t k = i + 1; k < g->n_nodes; k++) {
    const char *other = g->nodes[k].name;
    if (g->nodes[k].op == g->nodes[i].op && strncmp(other, name, (size_t)length) == 0 && other[length] == '\0')
      return true;
  }
  return false;
}

/* `join_of` (nodes): the join of the block whose output the node is, or −1. A block ends with its join, or with the
 * activation that is the only reader of the join. */
static void find_blocks(const es_graph_t *g, int32_t *join_of) {
  for (int32_t i = 1; i < g->n_nodes; i++) {
    if (!joins(&g->nodes[i]) || is_part(g, i)) continue;
    const int32_t reader = only_reader(g, i);
    join_of[reader >= 0 && kind_of(g->nodes[reader].op) == ES_LAYER_ACTIVATION ? reader : i] = i;
  }
}

/* Marks node i as a layer, if it is one: sets kind, name, and `layer` to any index. Returns true if its kind is
 * measured. Every convolution and linear layer is a layer, which measure.layers chooses from later; other outputs only
 * if a pattern matches, because each one costs memory and time. */
static bool mark(es_graph_t *g, int32_t i, int32_t join, const es_measure_settings_t *measure) {
  es_node_t *node = &g->nodes[i];
  char name[ES_NAME_MAX];
  const bool block = join >= 0 && es_measure_has_kind(measure, ES_LAYER_BLOCK);
  const es_layer_kind_t kind = block ? ES_LAYER_BLOCK : kind_of(node->op);
  if (kind == ES_LAYER_KINDS || !es_measure_has_kind(measure, kind)) return false;
  if (!es_node_is_layer(node)) {
    if (block)
      name_block(g, join, i, name);
    else
      name_node(g, i, name);
    if (!es_measure_takes(measure, name)) return true;
    memcpy(node->name, name, sizeof name);
  }
  node->kind = kind;
  node->layer = 0;
  return true;
}

static es_code_t refuse(const es_graph_t *g, int32_t *join_of, bool any, es_status_t *status) {
  char words[128] = "";
  if (any)
    return es_fail(status, ES_INPUT, "measure", "no output of the kinds in measure.kinds matches measure.layers");
  find_blocks(g, join_of);
  for (int kind = 0; kind < ES_LAYER_KINDS; kind++) {
    bool has = false;
    for (int32_t i = 0; i < g->n_nodes; i++)
      has = has || (int)kind_of(g->nodes[i].op) == kind || (kind == ES_LAYER_BLOCK && join_of[i] >= 0);
    const size_t length = strlen(words);
    if (has) snprintf(words + length, sizeof words - length, "%s%s", length > 0 ? ", " : "", es_layer_kind_words[kind]);
  }
  return es_fail(status, ES_INPUT, "measure", "the network has no output of the kinds in measure.kinds; it has %s",
                 words);
}

int32_t es_graph_output(const es_graph_t *g) {
  int32_t node = g->n_nodes - 1;
  while (node > 0 && !es_node_is_layer(&g->nodes[node])) node--;
  return node;
}

/* ---- nodes that are shown, but not measured ---- */

/* In inference, the output is the input, number by number. */
static bool passes_on(es_op_t op) {
  return op == ES_OP_DROPOUT || op == ES_OP_DROP_PATH || op == ES_OP_TOKENS;
}

int32_t es_graph_features(const es_graph_t *g) {
  const es_node_t *output = &g->nodes[es_graph_output(g)];
  if (output->op != ES_OP_LINEAR || output->each) return -1;
  int32_t i = output->input;
  while (i > 0 && passes_on(g->nodes[i].op)) i = g->nodes[i].input;
  return i > 0 ? i : -1;
}

int32_t es_graph_activation(const es_graph_t *g, int32_t node) {
  while (node >= 0 && kind_of(g->nodes[node].op) != ES_LAYER_ACTIVATION) {
    const int32_t reader = only_reader(g, node);
    const bool follows = reader >= 0 && (kind_of(g->nodes[reader].op) == ES_LAYER_ACTIVATION ||
                                         kind_of(g->nodes[reader].op) == ES_LAYER_NORM ||
                                         g->nodes[reader].op == ES_OP_SCALE || passes_on(g->nodes[reader].op));
    node = follows ? reader : -1;
  }
  return node;
}

/* Shows a node to observers. */
static void show(es_graph_t *g, int32_t i) {
  if (i < 0 || g->nodes[i].layer >= 0) return;
  g->nodes[i].kind = ES_LAYER_KINDS;
  g->nodes[i].layer = 0;
}

static void show_others(es_graph_t *g, const es_measure_settings_t *measure) {
  if (measure->classes == ES_ON) show(g, es_graph_features(g));
  for (int32_t i = 1; measure->units == ES_ON && i < g->n_nodes; i++) {
    const es_node_t *node = &g->nodes[i];
    if (node->layer >= 0 && node->kind != ES_LAYER_KINDS && es_measure_takes(measure, node->name))
      show(g, es_graph_activation(g, i));
  }
}

es_code_t es_graph_choose(es_graph_t *g, const es_measure_settings_t *measure, es_status_t *status) {
  int32_t *join_of = es_allocate((size_t)g->n_nodes, sizeof *join_of);
  g->layers = es_allocate((size_t)g->n_nodes, sizeof *g->layers);
  if (!join_of || !g->layers) {
    es_free(join_of);
    return es_out_of_memory(status, "model", "the layers of a network");
  }
  bool any = false;
  for (int32_t i = 0; i < g->n_nodes; i++) join_of[i] = -1;
  if (es_measure_has_kind(measure, ES_LAYER_BLOCK)) find_blocks(g, join_of);
  for (int32_t i = g->n_nodes - 1; i > 0; i--)
    any |= mark(g, i, join_of[i], measure); /* names depend on earlier ones */
  bool measured = false;
  for (int32_t i = 1; i < g->n_nodes; i++) measured = measured || g->nodes[i].layer >= 0;
  if (measured) show_others(g, measure);
  for (int32_t i = 1; i < g->n_nodes; i++) {
    if (g->nodes[i].layer < 0) continue;
    g->nodes[i].layer = g->n_layers;
    g->layers[g->n_layers++] = i;
  }
  const es_code_t code = measured ? ES_OK : refuse(g, join_of, any, status);
  es_free(join_of);
  return code;
}
