/** A network that a user describes: a tree of items, each an operation or a group of items. src/job/description.c reads
 * it from YAML and checks words and types; src/network/description.c builds the graph, which checks names and shapes.
 * jobs/README.md has the grammar. Pure data, in the arena of a job; contains no YAML. */
#ifndef EIGENSCOPE_DESCRIPTION_H
#define EIGENSCOPE_DESCRIPTION_H

#include "eigenscope/graph.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include "eigenscope/text.h"

enum {
  ES_PARAMETERS_MAX = 32,    /**< parameters of a description */
  ES_FACTORS_MAX = 4,        /**< names in one product */
  ES_TERMS_MAX = 8,          /**< products in one sum */
  ES_ITEM_TENSORS = 4,       /**< tensors of one item */
  ES_ITEMS_READ_MAX = 20000, /**< items of a description as written */
  ES_ITEMS_RUN_MAX = 65536,  /**< items with repetitions written out */
  ES_NODES_MAX = 4096,       /**< nodes of a graph */
  ES_LAYERS_MAX = 512,       /**< convolutions and linear layers */
  ES_LEVELS_MAX = 12         /**< items inside items */
};
/** Factors that are no parameters: the number of classes, and the number of the repetition from 0. */
enum { ES_FACTOR_CLASSES = -1, ES_FACTOR_REPETITION = -2 };

/** A constant times parameters. */
typedef struct es_term {
  double value;
  int32_t n;
  int32_t factors[ES_FACTORS_MAX]; /**< index of a parameter, or ES_FACTOR_... */
} es_term_t;

/** A number: a sum of terms. */
typedef struct es_amount {
  int32_t n;
  const es_term_t *terms;
} es_amount_t;

typedef enum es_item_setting {
  ES_SET_CHANNELS,
  ES_SET_FEATURES,
  ES_SET_TIMES,
  ES_SET_KERNEL,
  ES_SET_STRIDE,
  ES_SET_PADDING,
  ES_SET_DILATION,
  ES_SET_GROUPS,
  ES_SET_HEADS,
  ES_SET_SIZE,
  ES_SET_FIRST,
  ES_SET_TOKEN,
  ES_SET_RATE,
  ES_SET_SLOPE,
  ES_SET_EPSILON,
  ES_SET_MOMENTUM,
  ES_SET_INITIAL,
  ES_SET_APPROXIMATE,
  ES_SET_JOIN,
  ES_SET_BIAS,
  ES_SET_EACH,
  ES_SET_CEIL,
  ES_SET_COUNT_PADDING,
  ES_SET_FIXED,
  ES_SET_SCALED,
  ES_SET_LEAST,
  ES_SET_SKIP,
  ES_SET_INIT,
  ES_SET_BIAS_INIT,
  ES_ITEM_SETTINGS
} es_item_setting_t;

/** How a setting is written. */
typedef enum es_setting_form {
  ES_FORM_WHOLE, /**< a whole number, or one of `words` */
  ES_FORM_PAIR,  /**< a whole number, [vertical, horizontal], or one of `words` */
  ES_FORM_REAL,
  ES_FORM_FLAG, /**< true or false */
  ES_FORM_WORD  /**< one of `words` */
} es_setting_form_t;

typedef struct es_item_setting_row {
  const char *word;
  es_setting_form_t form;
  double least, most;
  const char *const *words; /**< ends with NULL */
} es_item_setting_row_t;

/** Kinds of items: operations, and those that contain others. */
typedef enum es_item_kind {
  ES_ITEM_OPERATION,
  ES_ITEM_SELF_ATTENTION, /**< linear, attention, linear */
  ES_ITEM_REPEAT,
  ES_ITEM_SCOPE,
  ES_ITEM_RESIDUAL, /**< lists: layers, shortcut */
  ES_ITEM_PARALLEL  /**< lists: the branches */
} es_item_kind_t;

typedef struct es_item_row {
  const char *word;
  es_item_kind_t kind;
  es_op_t op;
  uint32_t settings, required;          /**< bit i: es_item_setting_t i */
  const char *tensors[ES_ITEM_TENSORS]; /**< keys of `tensors`; the default name is that of the item, a dot and this */
  bool joins;                           /**< `from` is a list of two or more names */
  const char *example;                  /**< for messages and documentation */
} es_item_row_t;

typedef struct es_item_value {
  es_item_setting_t setting;
  int32_t line;
  int32_t word;          /**< index into `words`; flags: 0 or 1; −1: a number */
  es_amount_t amount[2]; /**< the second is the first unless a pair was given */
} es_item_value_t;

typedef struct es_item es_item_t;
typedef struct es_item_list {
  es_item_t *first, *last;
  int32_t n, line;
} es_item_list_t;

struct es_item {
  const es_item_row_t *row;
  int32_t line;
  const char *name; /**< may contain {i} and {i+1}; NULL: a running number */
  int32_t n_from;
  const char *const *from;
  const char *tensors[ES_ITEM_TENSORS]; /**< full names, or NULL */
  int32_t n_values;
  const es_item_value_t *values; /**< in the order of es_item_setting_t */
  int32_t n_lists;
  const es_item_list_t *lists;
  es_item_t *next;
};

typedef struct es_parameter {
  char name[ES_NAME_MAX];
  double value;
} es_parameter_t;

/** Hashes of graphs that were built before; an id needs one for each point of a grid. */
enum { ES_HASHES_KEPT = 64 };
typedef struct es_kept_hash {
  uint64_t key, hash; /**< key 0: empty */
} es_kept_hash_t;

struct es_description {
  const char *path; /**< file of the lines */
  int32_t line;
  const char *job; /**< file of `base`, whose parameters may be at fault; NULL: none */
  int32_t job_line;
  bool inlined; /**< in the job file itself */
  int32_t n_parameters;
  es_parameter_t parameters[ES_PARAMETERS_MAX];
  es_item_list_t layers;
  es_kept_hash_t *kept; /**< ES_HASHES_KEPT */
};

/** Rows of the table of words, in the order of the documentation; NULL after the last. */
const es_item_row_t *es_item_row(int index);
const es_item_row_t *es_item_find(const char *word);
const es_item_setting_row_t *es_item_setting(es_item_setting_t setting);
/** True if the setting can have this number. */
bool es_item_setting_accepts(const es_item_setting_row_t *row, double value);
enum { ES_SETTING_FORM_MAX = 160 };
/** Accepted values in words: "a whole number from 1 to 512". */
const char *es_item_setting_form(const es_item_setting_row_t *row, char out[ES_SETTING_FORM_MAX]);
/** If {i} or {i+N} stands at `at`, returns the position after it, and N or 0 in *plus; else NULL. */
const char *es_item_name_index(const char *at, int *plus);
/** True if {i} and {i+N} are the only braces, and the rest are letters, digits, '.', '_' and '-'. */
bool es_item_name_is_good(const char *name);

/** Appends parameters and layers as canonical YAML, each line after `indent` spaces. */
void es_description_print(const es_description_t *description, int indent, es_text_t *out);
/** The axis "model.depth" sets the parameter `depth`. NULL if the name is no such axis. */
const char *es_description_axis(const char *axis);
/** True if the number depends on this factor. */
bool es_amount_has(const es_amount_t *amount, int32_t factor);
/** Index of a parameter, or −1. */
int es_description_parameter(const es_description_t *description, const char *name);

/** Like es_graph_create for a point with a description, but the network may have any number of outputs. */
es_code_t es_description_graph(es_graph_t **out, const es_point_t *point, es_status_t *status);
/** Hash of the network of a point with a description, for ids. It is that of the graph, without the names of file and
 * model. Classes and widths that the point leaves to data or files are replaced by fixed numbers. If the graph cannot
 * be built, the hash is that of the text. */
uint64_t es_description_hash(const es_point_t *point);

#endif
