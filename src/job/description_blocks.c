/* Blocks of a description: lists of items with a name and with numbers of their own, which items call. A call is
 * replaced by the items of the block while the description is read, so nothing else knows of blocks. */
#include "description_internal.h"
#include <stdio.h>
#include <string.h>

es_code_t es_items_block(const es_items_reader_t *r, const es_yaml_t *node, es_items_block_t *out,
                         es_status_t *status) {
  char excerpt[ES_EXCERPT_MAX];
  if (es_item_find(node->key))
    return es_yaml_fail_key(r->tree, node, status, "blocks.%.60s has the name of an operation; choose another name",
                            node->key);
  if (node->kind != ES_NODE_MAP || !es_yaml_find(node, "layers"))
    return es_yaml_fail(r->tree, node, status,
                        "blocks.%.60s must be a mapping with layers, as in {parameters: {planes: 64}, layers: [conv: "
                        "{channels: planes, kernel: 3}]}, not %s",
                        node->key, es_yaml_describe(node, excerpt));
  for (const es_yaml_t *key = node->first; key; key = key->next) {
    if (strcmp(key->key, "layers") != 0 && strcmp(key->key, "parameters") != 0)
      return es_yaml_fail_key(r->tree, key, status,
                              "blocks.%.60s has no key \"%.60s\"; it has the keys parameters and layers", node->key,
                              key->key);
  }
  *out = (es_items_block_t){node, es_yaml_find(node, "parameters"), es_yaml_find(node, "layers")};
  if (out->parameters && es_yaml_is_empty(out->parameters)) out->parameters = NULL;
  if (out->parameters && (out->parameters->kind != ES_NODE_MAP || out->parameters->n > ES_PARAMETERS_MAX))
    return es_yaml_fail(r->tree, out->parameters, status,
                        "blocks.%.60s.parameters must be a mapping from at most %d names to numbers, not %s", node->key,
                        ES_PARAMETERS_MAX, es_yaml_describe(out->parameters, excerpt));
  return ES_OK;
}

const es_items_block_t *es_items_called(const es_items_reader_t *r, const es_yaml_t *item) {
  const char *name = item->kind == ES_NODE_SCALAR                ? item->text
                     : item->kind == ES_NODE_MAP && item->n == 1 ? item->first->key
                                                                 : NULL;
  for (int i = 0; name && i < r->n_blocks; i++) {
    if (strcmp(r->blocks[i].node->key, name) == 0) return &r->blocks[i];
  }
  return NULL;
}

static es_code_t refuse_argument(const es_items_reader_t *r, const es_items_block_t *block, const es_yaml_t *node,
                                 es_status_t *status) {
  const char *names[ES_PARAMETERS_MAX + 1];
  char known[400] = "";
  size_t length = 0;
  int n = 0;
  for (const es_yaml_t *key = block->parameters ? block->parameters->first : NULL; key; key = key->next)
    names[n++] = key->key;
  names[n++] = "name";
  const char *nearest = es_text_nearest(node->key, names, n);
  for (int i = 0; i < n && length < sizeof known; i++)
    length += (size_t)snprintf(known + length, sizeof known - length, "%s%.60s", i > 0 ? ", " : "", names[i]);
  if (nearest)
    return es_yaml_fail_key(r->tree, node, status, "block %.60s has no parameter %.60s; did you mean \"%.60s\"?",
                            block->node->key, node->key, nearest);
  return es_yaml_fail_key(r->tree, node, status, "block %.60s has no parameter %.60s; it has %s", block->node->key,
                          node->key, known);
}

es_code_t es_items_arguments(const es_items_reader_t *r, const es_items_block_t *block, const es_yaml_t *map,
                             es_items_frame_t *out, es_status_t *status) {
  char excerpt[ES_EXCERPT_MAX];
  out->n = 0;
  for (const es_yaml_t *key = block->parameters ? block->parameters->first : NULL; key; key = key->next) {
    const es_yaml_t *given = map ? es_yaml_find(map, key->key) : NULL, *node = given ? given : key;
    char what[200];
    snprintf(what, sizeof what, "%.60s.%.60s", block->node->key, key->key);
    if (node->kind != ES_NODE_SCALAR || es_yaml_is_empty(node))
      return es_yaml_fail(r->tree, node, status, "%s must be a number, not %s", what, es_yaml_describe(node, excerpt));
    out->names[out->n] = key->key;
    ES_TRY(es_items_sum(r, node, what, &out->values[out->n], status));
    out->n++;
  }
  for (const es_yaml_t *node = map ? map->first : NULL; node; node = node->next) {
    const bool known = block->parameters && es_yaml_find(block->parameters, node->key);
    if (!known && strcmp(node->key, "name") != 0) return refuse_argument(r, block, node, status);
  }
  return ES_OK;
}
