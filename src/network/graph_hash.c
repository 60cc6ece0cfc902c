/* Hashes a graph, for the ids of points whose network is described. */
#include "eigenscope/description.h"
#include "eigenscope/file.h"
#include "network_internal.h"
#include <string.h>

static void add_tensor(uint64_t *hash, const es_tensor_t *tensors, int32_t index) {
  if (index < 0) return;
  const es_tensor_t *t = &tensors[index];
  const int64_t numbers[] = {t->rank, t->shape[0], t->shape[1], t->shape[2], t->shape[3], t->init, t->fan};
  const double value = (double)t->value;
  *hash = es_hash(t->name, strlen(t->name) + 1, *hash);
  *hash = es_hash(numbers, sizeof numbers, *hash);
  *hash = es_hash(&value, sizeof value, *hash);
}

/* Changes to this function change ids: add a number only where it is not 0. */
static uint64_t hash_graph(const es_graph_t *g) {
  uint64_t hash = 0;
  for (int32_t i = 0; i < g->n_nodes; i++) {
    const es_node_t *n = &g->nodes[i];
    const int64_t numbers[] = {n->op,        n->input,      n->other,   n->out.h,    n->out.w,    n->out.c,
                               n->kernel,    n->stride,     n->padding, n->dilation, n->kernel_w, n->stride_w,
                               n->padding_w, n->dilation_w, n->groups,  n->first,    n->each,     n->counts_padding};
    const double reals[] = {n->rate, n->momentum};
    hash = es_hash(n->name, strlen(n->name) + 1, hash);
    hash = es_hash(numbers, sizeof numbers, hash);
    hash = es_hash(reals, sizeof reals, hash);
    add_tensor(&hash, g->parameters, n->weight);
    add_tensor(&hash, g->parameters, n->bias);
    add_tensor(&hash, g->buffers, n->mean);
    add_tensor(&hash, g->buffers, n->variance);
  }
  return hash;
}

es_code_t es_description_graph(es_graph_t **out, const es_point_t *point, es_status_t *status) {
  return es_graph_build(out, point, es_build_description_loose, status);
}

static uint64_t hash_text(const es_point_t *point) {
  es_text_t text = {0};
  es_description_print(point->model.description, 0, &text);
  uint64_t hash = es_hash(es_text_get(&text), text.length, 0);
  es_text_destroy(&text);
  for (int32_t i = 0; i < point->n_axes; i++) {
    if (es_description_axis(point->axes[i].name)) hash = es_hash(&point->axes[i].number, sizeof(double), hash);
  }
  return hash;
}

/* Stands for a number of classes that the job leaves to the dataset. A prime that descriptions hardly contain, so that
 * networks which differ for some number of classes have different graphs. */
enum { STAND_IN_CLASSES = 1021 };

uint64_t es_description_hash(const es_point_t *point) {
  es_point_t copy = *point;
  es_kept_hash_t *kept = point->model.description->kept;
  es_graph_t *graph = NULL;
  copy.measure.kinds = 0; /* what is measured changes names of nodes */
  if (copy.classes == 0) copy.classes = STAND_IN_CLASSES;
  if (copy.width.numerator == 0) copy.width = (es_ratio_t){1, 1};
  const int64_t numbers[] = {copy.classes, copy.resolution, copy.width.numerator, copy.width.denominator};
  uint64_t key = es_hash(numbers, sizeof numbers, 0);
  for (int32_t i = 0; i < copy.n_axes; i++) {
    const es_axis_value_t *axis = &copy.axes[i];
    if (!es_description_axis(axis->name)) continue;
    key = es_hash(axis->name, strlen(axis->name), key);
    key = es_hash(&axis->number, sizeof axis->number, key);
  }
  key = key != 0 ? key : 1;
  kept += key % ES_HASHES_KEPT;
  if (kept->key == key) return kept->hash;
  const es_code_t code = es_description_graph(&graph, &copy, &(es_status_t){0});
  *kept = (es_kept_hash_t){.key = key, .hash = code == ES_OK ? hash_graph(graph) : hash_text(&copy)};
  es_graph_destroy(graph);
  return kept->hash;
}
