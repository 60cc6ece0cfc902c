/* --set key=value: finds the node that a dotted key names and sets its value. */
#include "tree.h"
#include <string.h>

/* The child with the longest key that is a prefix of `rest`; keys may contain dots (grid axes, names). *tail: the rest
 * after the key and its dot, or NULL. */
static es_yaml_t *find_beginning(const es_yaml_t *map, const char *rest, const char **tail) {
  es_yaml_t *best = NULL;
  size_t most = 0;
  for (es_yaml_t *child = map->first; child != NULL; child = child->next) {
    const size_t length = strlen(child->key);
    if (strncmp(rest, child->key, length) != 0 || (rest[length] != '\0' && rest[length] != '.')) continue;
    if (best != NULL && length <= most) continue;
    best = child;
    most = length;
    *tail = rest[length] == '.' ? rest + length + 1 : NULL;
  }
  return best;
}

static es_code_t add_empty(es_tree_t *tree, es_yaml_t *map, const char *key, size_t length, const char *set,
                           es_yaml_t **out, es_status_t *status) {
  es_yaml_t *child = es_tree_allocate(tree, 1, sizeof *child);
  char *copy = es_tree_allocate(tree, length + 1, 1);
  if (child == NULL || copy == NULL) return es_tree_no_memory(tree, status);
  memcpy(copy, key, length);
  *child = (es_yaml_t){.kind = ES_NODE_SCALAR,
                       .plain = true,
                       .text = "",
                       .set = set,
                       .key = copy,
                       .line = map->line,
                       .key_line = map->line};
  es_yaml_add(map, child);
  *out = child;
  return ES_OK;
}

/* Follows `rest` and creates missing nodes. */
static es_code_t find_place(es_tree_t *tree, const char *rest, const char *set, es_yaml_t **out, es_status_t *status) {
  es_yaml_t *node = tree->root;
  const es_yaml_t at = {.set = set};
  for (int depth = 0; rest != NULL; depth++) {
    if (depth == ES_TREE_DEPTH_MAX)
      return es_yaml_fail(tree, &at, status, "values are nested more than %d levels deep", ES_TREE_DEPTH_MAX);
    if (es_yaml_is_empty(node))
      *node = (es_yaml_t){.kind = ES_NODE_MAP,
                          .line = node->line,
                          .set = node->set,
                          .key = node->key,
                          .key_line = node->key_line,
                          .next = node->next};
    const bool blocks = depth == 1 && node->kind == ES_NODE_LIST && strcmp(node->key, "grid") == 0;
    if (node->kind != ES_NODE_MAP)
      return es_yaml_fail(
          tree, &at, status, "%s is %s in the job file, so a key inside it cannot be set; set the whole value%s%s%s",
          node->key, node->kind == ES_NODE_LIST ? "a list" : "a single value", blocks ? ", or change the key " : "",
          blocks ? rest : "", blocks ? " of each mapping of the list in the file" : "");
    /* Names of axes contain dots (grid.train.learning_rate), so everything after `grid` is one key. */
    const bool in_grid = depth == 1 && strcmp(node->key, "grid") == 0;
    const char *tail = NULL;
    es_yaml_t *child = in_grid ? es_yaml_find(node, rest) : find_beginning(node, rest, &tail);
    if (child == NULL) {
      const char *dot = in_grid ? NULL : strchr(rest, '.');
      size_t length = dot != NULL ? (size_t)(dot - rest) : strlen(rest);
      if (length == 0) return es_yaml_fail(tree, &at, status, "an empty key; write --set section.key=value");
      if (node->n >= ES_TREE_KEYS_MAX)
        return es_yaml_fail(tree, &at, status, "a mapping has more than %d keys", ES_TREE_KEYS_MAX);
      ES_TRY(add_empty(tree, node, rest, length, set, &child, status));
      tail = dot != NULL ? dot + 1 : NULL;
    }
    node = child;
    rest = tail;
  }
  *out = node;
  return ES_OK;
}

es_code_t es_tree_set(es_tree_t *tree, const char *argument, es_status_t *status) {
  size_t size = strlen(argument) + 1;
  char *copy = es_tree_allocate(tree, size, 1), *key = es_tree_allocate(tree, size, 1);
  if (copy == NULL || key == NULL) return es_tree_no_memory(tree, status);
  memcpy(copy, argument, size);
  const es_yaml_t at = {.set = copy};
  const char *equals = strchr(copy, '=');
  if (equals == NULL || equals == copy)
    return es_yaml_fail(tree, &at, status, "write --set key=value, as in --set train.epochs=2");
  for (const char *c = copy; c < equals; c++) {
    if ((unsigned char)*c < 0x20 || *c == 0x7f)
      return es_yaml_fail(tree, &at, status, "the key has a control character");
  }
  memcpy(key, copy, (size_t)(equals - copy));
  es_yaml_t *place = NULL, *value = NULL;
  ES_TRY(find_place(tree, key, copy, &place, status));
  ES_TRY(es_tree_value(tree, equals + 1, place->line, copy, &value, status));
  value->key = place->key;
  value->key_line = place->key_line;
  value->next = place->next;
  *place = *value;
  return ES_OK;
}
