/* All keys of the job file: section, type, range, default, documentation and target of the value. The parser, "did you
 * mean", point ids, jobs/reference.yaml and its test use this table. */
#ifndef ES_JOB_KEYS_H
#define ES_JOB_KEYS_H

#include "eigenscope/job.h"
#include "eigenscope/key.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include "eigenscope/text.h"
#include "tree.h"
#include <stddef.h>

enum { ES_FORM_MAX = 200, ES_KEYS_MAX = 256 };

/* An entry of `datasets` during parsing. */
typedef struct es_dataset_entry {
  es_dataset_spec_t spec; /* must be first, because keys of readers have offsets in a spec */
  const char *path;       /* as written, in the arena, or NULL */
} es_dataset_entry_t;
_Static_assert(offsetof(es_dataset_entry_t, spec) == 0, "a pointer to an entry is one to its spec");

/* Structs of the sections that are not part of a point. */
typedef struct es_top_settings {
  const char *name, *output; /* in the arena */
  es_source_t source;
} es_top_settings_t;
typedef struct es_checkpoints_settings {
  const char *files, *from;
  es_epochs_t epochs;
  es_trained_precision_t precision;
} es_checkpoints_settings_t;
typedef struct es_activations_settings {
  const char *file, *eval, *labels;
  es_epochs_t epochs;
} es_activations_settings_t;
typedef struct es_moments_settings {
  const char *files;
  es_epochs_t epochs;
} es_moments_settings_t;

int es_keys_count(void);
const es_key_t *es_keys_get(int index);
const es_key_t *es_keys_find(const char *section, const char *name);
/* The key "train.learning_rate", or NULL. */
const es_key_t *es_keys_find_dotted(const char *dotted);
/* "train.epochs"; "name" at the top level. */
const char *es_key_dotted(const es_key_t *key, char out[ES_NAME_MAX]);
/* Accepted values in words: "an integer from 1 to 100000". */
const char *es_key_form(const es_key_t *key, char out[ES_FORM_MAX]);
/* True for the axes that every point has and for the settings of a point. */
bool es_key_is_of_point(const es_key_t *key);
/* True if the key may be an axis of the grid: the six of `grid`, and any scalar of train, measure and probe. */
bool es_key_is_axis(const es_key_t *key);

/* Fails with ES_INPUT for an unknown key of `section` (shown as `where`) and suggests the nearest known key. */
es_code_t es_keys_unknown(const es_tree_t *tree, const es_yaml_t *node, const char *section, const char *where,
                          es_status_t *status);

/* Checks a node against the key and stores its value in target, the struct of the section. `where`: the key as shown in
 * messages. */
es_code_t es_key_read(const es_tree_t *tree, const es_key_t *key, const es_yaml_t *node, const char *where,
                      void *target, es_status_t *status);
/* Reads all keys of a mapping; missing keys leave target unchanged, or are ES_INPUT if required. An empty section is a
 * mapping without keys. `where`: the section as shown in messages. */
es_code_t es_section_read(const es_tree_t *tree, const char *section, const es_yaml_t *map, const char *where,
                          void *target, es_status_t *status);
/* Fills the struct of a section with its defaults. */
es_code_t es_section_defaults(es_tree_t *tree, const char *section, void *target, es_status_t *status);

/* Writes the value in target as canonical YAML, which parses to the same value (epochs: those of probes). Not for TEXT,
 * NAME, FAMILY, LIMIT, NORMALIZE, SECTION, VARIABLE, CHANNELS. */
void es_key_print(const es_key_t *key, const void *target, char out[ES_SETTING_MAX]);
/* Names of the methods, by es_method_kind_t; methods from ES_METHOD_POOL on have a size. */
extern const char *const es_method_words[ES_METHODS];
extern const char *const es_monitor_words[ES_MONITORS + 1]; /* ends with NULL */
/* Augmentation with nothing on; the settings of each item are their defaults. */
extern const es_augment_settings_t es_augment_defaults;
/* True if target holds the default. */
bool es_key_is_default(const es_key_t *key, const void *target);

#endif
