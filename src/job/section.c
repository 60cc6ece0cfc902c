/* Mappings of the job file as a whole: every key known, what is required there, defaults. */
#include "keys.h"
#include <stdio.h>
#include <string.h>

es_code_t es_section_read(const es_tree_t *tree, const char *section, const es_yaml_t *map, const char *where,
                          void *target, es_status_t *status) {
  char excerpt[ES_EXCERPT_MAX];
  if (map->kind != ES_NODE_MAP && !es_yaml_is_empty(map))
    return es_yaml_fail(tree, map, status, "%s must be a mapping of keys, not %s", where,
                        es_yaml_describe(map, excerpt));
  for (const es_yaml_t *node = map->first; node != NULL; node = node->next) {
    const es_key_t *key = es_keys_find(section, node->key);
    if (key == NULL) return es_keys_unknown(tree, node, section, where, status);
    char name[4 * ES_NAME_MAX];
    snprintf(name, sizeof name, "%s%s%s", where, where[0] != '\0' ? "." : "", key->name);
    ES_TRY(es_key_read(tree, key, node, name, target, status));
  }
  for (int i = 0; i < es_keys_count(); i++) {
    const es_key_t *key = es_keys_get(i);
    if (strcmp(key->section, section) != 0 || !key->required || es_yaml_find(map, key->name) != NULL) continue;
    return es_yaml_fail_key(tree, map, status, "%s has no %s; it needs one, as in %s: %s", where, key->name, key->name,
                            key->fallback);
  }
  return ES_OK;
}

es_code_t es_section_defaults(es_tree_t *tree, const char *section, void *target, es_status_t *status) {
  for (int i = 0; i < es_keys_count(); i++) {
    const es_key_t *key = es_keys_get(i);
    if (strcmp(key->section, section) != 0 || key->required) continue;
    es_yaml_t *node = NULL;
    ES_TRY(es_tree_value(tree, key->fallback, 1, NULL, &node, status));
    ES_TRY(es_key_read(tree, key, node, key->name, target, status));
  }
  return ES_OK;
}
