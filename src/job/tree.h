/* The YAML text as a checked tree; each node has its line. All memory is in one arena and is freed with it. The tree
 * contains only scalars, lists and mappings. Parsing refuses aliases, tags, several documents, duplicate keys, keys
 * that are not plain text, control characters, and sizes above the limits below. */
#ifndef ES_JOB_TREE_H
#define ES_JOB_TREE_H

#include "eigenscope/faults.h"
#include "eigenscope/status.h"
#include <stdbool.h>
#include <stddef.h>

enum {
  ES_TREE_SCALAR_MAX = 1000,  /* bytes of one value: a path */
  ES_TREE_DEPTH_MAX = 48,     /* a description of a network has three levels for each group of layers */
  ES_TREE_KEYS_MAX = 1000,    /* of one mapping */
  ES_TREE_NODES_MAX = 300000, /* enough for a list of 100,000 seeds */
  ES_EXCERPT_MAX = 88
};

typedef enum es_node_kind { ES_NODE_SCALAR, ES_NODE_LIST, ES_NODE_MAP } es_node_kind_t;

typedef struct es_yaml {
  es_node_kind_t kind;
  bool plain;      /* a scalar without quotes: may be a number */
  int line;        /* from 1; for a --set value the line of the node that it replaces or extends */
  const char *set; /* the --set argument that created the node; NULL: the file */
  const char *key; /* in a mapping, else NULL */
  int key_line;
  const char *text;                    /* of a scalar; zero-terminated UTF-8 without control characters */
  int n;                               /* children */
  struct es_yaml *first, *last, *next; /* children of a list or mapping; next sibling */
} es_yaml_t;

typedef struct es_tree_block es_tree_block_t;
typedef struct es_tree {
  const char *path; /* borrowed; for messages */
  es_yaml_t *root;  /* a mapping */
  int n_nodes;
  es_tree_block_t *blocks; /* the arena, owned */
  es_faults_t *faults; /* borrowed; collects faults of single values (es_tree_take); NULL: the first one ends reading */
} es_tree_t;

/* Reads one document, which must be a mapping. `path` must outlive the tree. Call es_tree_destroy also after a
 * failure. */
es_code_t es_tree_parse(es_tree_t *tree, const char *text, size_t size, const char *path, es_status_t *status);
/* Like es_tree_parse, but the document may be any value; the root is NULL for an empty text. */
es_code_t es_tree_read(es_tree_t *tree, const char *text, size_t size, const char *path, es_status_t *status);
/* Reads one YAML value into the arena; its nodes get `line` and `set`. */
es_code_t es_tree_value(es_tree_t *tree, const char *text, int line, const char *set, es_yaml_t **out,
                        es_status_t *status);
/* Applies one "key=value" to the tree: replaces or adds the node that the dotted key names. */
es_code_t es_tree_set(es_tree_t *tree, const char *argument, es_status_t *status);
void es_tree_destroy(es_tree_t *tree);

/* Allocates zeroed memory in the arena; NULL if out of memory. */
void *es_tree_allocate(es_tree_t *tree, size_t count, size_t size);
es_code_t es_tree_no_memory(const es_tree_t *tree, es_status_t *status);

/* Keeps a fault of the file for later, so that reading continues with the next value (es_faults_take). */
static inline es_code_t es_tree_take(const es_tree_t *tree, es_status_t *status) {
  return es_faults_take(tree->faults, status);
}
/* Evaluates a call that may fail, and returns only if its failure is not a kept fault. */
#define ES_TRY_ALL(tree, call, status)                                                                                 \
  do {                                                                                                                 \
    if ((call) != ES_OK) ES_TRY(es_tree_take(tree, status));                                                           \
  } while (0)

/* The child of a mapping with that key, or NULL. */
es_yaml_t *es_yaml_find(const es_yaml_t *map, const char *key);
/* Appends a child. */
void es_yaml_add(es_yaml_t *parent, es_yaml_t *child);
/* True for a scalar without quotes that is null in YAML: "", "~", "null". */
bool es_yaml_is_empty(const es_yaml_t *node);
/* "a list of 3", "an empty mapping", "nothing" or the text in quotes, for "…, not %s"; truncated to fit a message. */
const char *es_yaml_describe(const es_yaml_t *node, char out[ES_EXCERPT_MAX]);
/* Describes a node that should be a name, for messages such as "unknown dataset %s": a scalar as its text in quotes,
 * whether the file has quotes or not, and any other node as es_yaml_describe does. */
const char *es_yaml_describe_name(const es_yaml_t *node, char out[ES_EXCERPT_MAX]);

/* Fails with ES_INPUT and the position of a node: "<path>:<line>: ..." or "--set <argument>: ...". es_yaml_fail_key:
 * position of its key. */
es_code_t es_yaml_fail(const es_tree_t *tree, const es_yaml_t *node, es_status_t *status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
#define es_yaml_fail_key(tree, node, status, ...)                                                                      \
  es_yaml_fail(tree, &(es_yaml_t){.set = (node)->set, .line = (node)->key_line}, status, __VA_ARGS__)

#endif
