/** Description of a key of the job file: section, type, range, default and documentation. The table of keys is
 * src/job/keys.c; dataset readers add their own keys (dataset_reader.h). */
#ifndef EIGENSCOPE_KEY_H
#define EIGENSCOPE_KEY_H

#include "eigenscope/point.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum es_key_type {
  ES_KEY_TEXT,  /* const char *, in the arena */
  ES_KEY_INT32, /* least … most */
  ES_KEY_INT64,
  ES_KEY_COUNT32, /* an integer, or `all`, stored as 0 */
  ES_KEY_COUNT64,
  ES_KEY_POWER,        /* int32, a power of two */
  ES_KEY_REAL,         /* double between the bounds of `bounds` */
  ES_KEY_REAL_OR_NONE, /* such a double, or `none`, stored as 0 */
  ES_KEY_RANGE,        /* double[2], ascending, each between the bounds of `bounds` */
  ES_KEY_CHOICE,       /* int32 or enum: index into `choices` */
  ES_KEY_RATIO,        /* es_ratio_t */
  ES_KEY_NAME,         /* name of a dataset or model, resolved by the job */
  ES_KEY_SCHEDULE,     /* es_train_settings_t */
  ES_KEY_MILESTONES,   /* es_train_settings_t */
  ES_KEY_STOP,         /* es_stop_settings_t */
  ES_KEY_AUGMENT,      /* es_augment_settings_t */
  ES_KEY_METHOD,       /* es_measure_settings_t */
  ES_KEY_DELTAS,       /* es_measure_settings_t */
  ES_KEY_SPLITS,       /* es_measure_settings_t */
  ES_KEY_PATTERNS,     /* es_measure_settings_t */
  ES_KEY_KINDS,        /* es_measure_settings_t */
  ES_KEY_EPOCHS,       /* es_epochs_t */
  ES_KEY_STEPS,        /* es_steps_t */
  ES_KEY_L2,           /* es_probe_settings_t */
  ES_KEY_DATASETS,     /* es_probe_settings_t; names that the job resolves (src/job/datasets.c) */
  ES_KEY_FAMILY,       /* es_model_spec_t: an architecture, described by a row of src/network/families.c */
  ES_KEY_DESCRIPTION,  /* part of a description of a network, which the job reads (src/job/description.c) */
  ES_KEY_OTHER,        /* read by the file of its section */
  ES_KEY_LIMIT,        /* es_dataset_entry_t */
  ES_KEY_NORMALIZE,    /* es_dataset_entry_t */
  ES_KEY_SECTION,      /* a mapping whose keys belong to section "<section>.<name>" */
  ES_KEY_VARIABLE,     /* char[ES_VARIABLE_MAX] in a spec */
  ES_KEY_CHANNELS      /* double[3], one value or three */
} es_key_type_t;

/* Bounds of real numbers that occur. */
typedef enum es_bounds {
  ES_ANY,
  ES_POSITIVE,
  ES_NOT_NEGATIVE,
  ES_BELOW_ONE,
  ES_UP_TO_ONE,
  ES_ZERO_TO_ONE,
  ES_BOUNDS
} es_bounds_t;

typedef struct es_key {
  const char *section; /* "" for the top level; "train", "datasets.*", "datasets.*.limit", ... */
  const char *name;
  es_key_type_t type;
  size_t offset;              /* offset of the value in the struct of its section */
  int64_t least, most;        /* integers */
  int64_t step;               /* integers: only every step-th value from the least; 0: all */
  es_bounds_t bounds;         /* real numbers */
  const char *const *choices; /* ends with NULL */
  const char *fallback;       /* the default as canonical YAML; an example if there is none (`required`) */
  bool required;
  bool (*in_id)(const es_point_t *point); /* true if the key changes results of this point; NULL: never */
  const char *form;                       /* accepted values, in words; NULL: generated from the range */
  const char *doc;
} es_key_t;

#endif
