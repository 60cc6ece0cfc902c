/* Merging: what the files of this stage share. merge.c looks at all points and writes the file, labels.c is about
 * what each point says of itself, copy.c about its numbers. */
#ifndef ES_MERGE_INTERNAL_H
#define ES_MERGE_INTERNAL_H

#include "eigenscope/merge.h"
#include "reader.h"
#include "writer.h"

/* What becomes of a root attribute of the points. The order is that of generality: two kinds make the higher one. */
typedef enum label_kind { LABEL_WHOLE, LABEL_REAL, LABEL_VECTOR, LABEL_TEXT } label_kind_t;

/* One attribute of the points: a variable over `point`, or, where it is the same for all and no axis, an attribute. */
typedef struct label {
  char *name, *first; /* owned; its first value */
  label_kind_t kind;
  bool axis, varies;
  int64_t seen; /* points that have it */
  hid_t object; /* while written; −1 for an attribute */
} es_merge_label_t;

typedef struct labels {
  es_merge_label_t *list; /* owned; in the order in which they were found */
  int n;
} es_merge_labels_t;

/* The union of one axis over all points: ascending values, as doubles, which hold every epoch. */
typedef struct values {
  double *list; /* owned */
  int64_t n;
} es_merge_values_t;

/* Room for blocks of numbers on their way from one file to the other. */
typedef struct es_merge_copy_buffer {
  void *from, *to, *blank; /* owned */
  size_t from_size, to_size;
} es_merge_copy_buffer_t;

struct es_merge {
  const char *output;     /* borrowed, as the ids */
  const char *const *ids; /* of the grid */
  int64_t n_points, n_merged;
  bool spectra;
  uint8_t *outcomes;             /* owned; es_outcome_t of each point of the grid */
  bool fields[ES_FIELDS];        /* that any point has, and that are asked for */
  int64_t extent[ES_DIMENSIONS]; /* most of any point; of the unions for axes with values */
  es_merge_values_t values[ES_DIMENSIONS];
  es_merge_labels_t labels;
  es_merge_copy_buffer_t blocks;
};

/* Where a value is, −1 when it is not there. */
int64_t es_merge_values_find(const es_merge_values_t *values, double value);
/* Adds a value unless it is there. False when memory is out. */
bool es_merge_values_add(es_merge_values_t *values, double value);

/* Takes note of the attributes of a point. False when memory is out. */
bool es_merge_labels_collect(es_merge_labels_t *labels, const es_reader_t *reader);
void es_merge_labels_destroy(es_merge_labels_t *labels);
/* Creates the variables over `point` (whose scale is given), and the attributes of what is the same for all points;
 * appends the names of the variables to `coordinates`. */
void es_merge_labels_create(es_merge_labels_t *labels, es_writer_t *writer, int64_t n_points, hid_t point,
                            es_text_t *coordinates);
/* What one point says, at place `row`. */
void es_merge_labels_write(es_merge_labels_t *labels, es_writer_t *writer, const es_reader_t *reader, int64_t row);
void es_merge_labels_close(es_merge_labels_t *labels);

/* Place of a point in a variable of the merged file. */
typedef struct es_merge_target {
  es_writer_t *writer; /* borrowed, as `object` */
  hid_t object;
  int64_t row;
} es_merge_target_t;

/* Reads all numbers of a field of an open point, and writes them to the target unless that is NULL. ES_INPUT when the
 * file of the point is damaged; what goes wrong with the target is in its writer. */
es_code_t es_merge_copy_field(es_merge_t *merge, const es_reader_t *point, es_field_t field,
                              const es_merge_target_t *target);
void es_merge_copy_buffer_destroy(es_merge_copy_buffer_t *blocks);

#endif
