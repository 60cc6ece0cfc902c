/* State while the graph of a description is built. */
#ifndef ES_DESCRIPTION_INTERNAL_H
#define ES_DESCRIPTION_INTERNAL_H

#include "eigenscope/description.h"
#include "network_internal.h"

enum { NAMES_MAX = 2 * ES_NODES_MAX, SLOTS = 4 * NAMES_MAX };

/* A name and the node that it stands for. */
typedef struct es_named {
  char name[ES_NAME_MAX];
  int32_t node, line;
  bool weighted;
  bool group;    /* of a scope or self_attention: its last node */
  bool repeated; /* several nodes have this name */
} es_named_t;

typedef struct es_walk {
  es_builder_t *b;     /* borrowed; its status is `own` */
  es_status_t *status; /* borrowed: the caller's */
  es_status_t own;
  const es_description_t *description;
  double parameters[ES_PARAMETERS_MAX];
  int32_t classes;
  char scope[ES_NAME_MAX]; /* "layer1.", or "" */
  int32_t index;           /* number of the next item without a name in this scope */
  int32_t repetition;      /* {i} */
  int32_t levels;          /* repeats around the item */
  int32_t n_items;         /* items so far */
  int32_t n_layers;        /* convolutions and linear layers so far */
  int32_t lines[ES_NODES_MAX];
  int32_t n_names;
  es_named_t names[NAMES_MAX];
  int32_t slots[SLOTS]; /* hash table: index in names + 1; 0 is free */
} es_walk_t;

/* Adds one node after the last one. */
void es_walk_node(es_walk_t *w, const es_item_t *item, const char *name, es_op_t op, const es_settings_t *settings);

/* ---- description_settings.c ---- */

/* Stops the construction with "<file>:<line>: ...". */
void es_walk_fail(es_walk_t *w, int32_t line, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The setting as written, or NULL. */
const es_item_value_t *es_walk_value(const es_item_t *item, es_item_setting_t setting);
/* Computes a whole number: the first (axis 0) or second of a pair. `fallback`: if it is not written. False after a
 * failure. */
bool es_walk_whole(es_walk_t *w, const es_item_t *item, es_item_setting_t setting, int axis, int64_t fallback,
                   int64_t *out);
/* The operation of an item, which may depend on a setting. */
es_op_t es_walk_op(const es_item_t *item);
/* Computes the settings of an operation without its tensors' names. False after a failure. */
bool es_walk_settings(es_walk_t *w, const es_item_t *item, const char *name, es_settings_t *out);

#endif
