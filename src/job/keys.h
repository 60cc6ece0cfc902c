/* Every key of the job file once: where it stands, its type, range, default, what it does, and where its value goes.
 * The reader, the "did you mean", the ids of points, jobs/reference.yaml and its test are all made from this table. */
#ifndef ES_JOB_KEYS_H
#define ES_JOB_KEYS_H

#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include "eigenscope/text.h"
#include "tree.h"
#include <stddef.h>

typedef enum es_key_type {
  ES_KEY_TEXT,  /* const char *, in the arena */
  ES_KEY_INT32, /* least … most */
  ES_KEY_INT64,
  ES_KEY_COUNT32, /* an integer, or `all`, kept as 0 */
  ES_KEY_COUNT64,
  ES_KEY_POWER,     /* int32, a power of two */
  ES_KEY_REAL,      /* double between the bounds of `bounds` */
  ES_KEY_CHOICE,    /* int32 or enum: index into `choices` */
  ES_KEY_RATIO,     /* es_ratio_t */
  ES_KEY_NAME,      /* a dataset or model by name: resolved by the job */
  ES_KEY_SCHEDULE,  /* es_train_settings_t */
  ES_KEY_STOP,      /* es_stop_settings_t */
  ES_KEY_AUGMENT,   /* es_train_settings_t */
  ES_KEY_METHOD,    /* es_measure_settings_t */
  ES_KEY_DELTAS,    /* es_measure_settings_t */
  ES_KEY_SPLITS,    /* es_measure_settings_t */
  ES_KEY_PATTERNS,  /* es_measure_settings_t */
  ES_KEY_EPOCHS,    /* es_epochs_t */
  ES_KEY_FAMILY,    /* es_model_spec_t: an architecture, by a row of network's table of families */
  ES_KEY_LIMIT,     /* es_dataset_entry_t */
  ES_KEY_NORMALIZE, /* es_dataset_entry_t */
  ES_KEY_VARIABLES, /* es_dataset_entry_t */
  ES_KEY_CHANNELS   /* double[3], one value or three */
} es_key_type_t;

/* Bounds of real numbers: what occurs, in words and as a test. */
typedef enum es_bounds { ES_ANY, ES_POSITIVE, ES_NOT_NEGATIVE, ES_BELOW_ONE, ES_UP_TO_ONE } es_bounds_t;

/* What a key is to a point. */
typedef enum es_role {
  ES_ROLE_NONE,    /* it is no part of a point by itself */
  ES_ROLE_GRID,    /* one of the six axes that every point has */
  ES_ROLE_NUMBERS, /* a setting that changes numbers: part of the id when not at its default */
  ES_ROLE_HABIT    /* a setting that does not */
} es_role_t;

typedef struct es_key {
  const char *section; /* "" for the top; "train", "datasets.*", "datasets.*.limit", ... */
  const char *name;
  es_key_type_t type;
  size_t offset;              /* of the value in the struct of its section */
  int64_t least, most;        /* integers */
  es_bounds_t bounds;         /* real numbers */
  const char *const *choices; /* ends with NULL */
  const char *fallback;       /* the default as canonical YAML; an example when there is none (`required`) */
  bool required;
  es_role_t role;
  const char *form; /* what is accepted, in words; NULL: made from the range */
  const char *doc;
} es_key_t;

enum { ES_FORM_MAX = 160 };

/* An entry of `datasets` while it is read: texts as written, in the arena, or NULL. */
typedef struct es_dataset_entry {
  es_dataset_spec_t spec;
  const char *path;
  const char *variables[ES_SPLITS][ES_VARIABLES];
} es_dataset_entry_t;

/* Structs of the sections that no point carries. */
typedef struct es_top_settings {
  const char *name, *output; /* in the arena */
  es_source_t source;
} es_top_settings_t;
typedef struct es_checkpoints_settings {
  const char *files, *from;
  es_epochs_t epochs;
} es_checkpoints_settings_t;
typedef struct es_activations_settings {
  const char *file, *eval, *labels;
  es_epochs_t epochs;
} es_activations_settings_t;

int es_keys_count(void);
const es_key_t *es_keys_get(int index);
/* The settings of a point (sections train, measure, probe, checkpoint) alone. */
int es_keys_settings(void);
const es_key_t *es_keys_setting(int index);
const es_key_t *es_keys_find(const char *section, const char *name);
/* The key "train.learning_rate", or NULL. */
const es_key_t *es_keys_find_dotted(const char *dotted);
/* "train.epochs"; "name" for the top. */
const char *es_key_dotted(const es_key_t *key, char out[ES_NAME_MAX]);
/* What it accepts: "an integer from 1 to 100000". */
const char *es_key_form(const es_key_t *key, char out[ES_FORM_MAX]);
/* Whether it may be an axis of the grid: the six of `grid`, and any scalar of train, measure and probe. */
bool es_key_is_axis(const es_key_t *key);

/* ES_INPUT at an unknown key of `section` (shown as `where`), with the nearest known one. */
es_code_t es_keys_unknown(const es_tree_t *tree, const es_yaml_t *node, const char *section, const char *where,
                          es_status_t *status);

/* Checks a node against the key and puts its value into target, the struct of the section. `where` is the key as
 * messages show it. */
es_code_t es_key_read(const es_tree_t *tree, const es_key_t *key, const es_yaml_t *node, const char *where,
                      void *target, es_status_t *status);
/* Reads all keys that a mapping has; ones that are missing stay as they are in target, or are ES_INPUT when required.
 * An empty section is a mapping without keys. `where` as messages show the section. */
es_code_t es_section_read(const es_tree_t *tree, const char *section, const es_yaml_t *map, const char *where,
                          void *target, es_status_t *status);
/* Fills the struct of a section with its defaults. */
es_code_t es_section_defaults(es_tree_t *tree, const char *section, void *target, es_status_t *status);

enum { ES_VALUE_MAX = 2048 };
/* The value that target holds, as canonical YAML: reads back as the same value (epochs: those of probes). Not for TEXT,
 * NAME, FAMILY, LIMIT, NORMALIZE, VARIABLES, CHANNELS. */
void es_key_print(const es_key_t *key, const void *target, char out[ES_VALUE_MAX]);
/* Whether target holds the default. */
bool es_key_is_default(const es_key_t *key, const void *target);

/* "1/16", "0.125" or "2" to lowest terms; false unless both parts are positive integers (decimals: up to 9 places). */
bool es_ratio_parse(const char *text, es_ratio_t *out);
bool es_ratio_in_range(es_ratio_t ratio);

#endif
