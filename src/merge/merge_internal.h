/* Declarations shared by the files of this module. merge.c surveys all points and writes the file, labels.c handles the
 * attributes of points, copy.c their numbers. */
#ifndef ES_MERGE_INTERNAL_H
#define ES_MERGE_INTERNAL_H

#include "eigenscope/merge.h"
#include "reader.h"
#include "writer.h"

/* Type of a root attribute in the merged file, by generality: two kinds combine to the higher one. */
typedef enum label_kind { LABEL_WHOLE, LABEL_REAL, LABEL_VECTOR, LABEL_TEXT } label_kind_t;

/* Texts of consecutive rows, which are written together, because HDF5 needs long for each call. */
typedef struct es_merge_texts {
  char **list; /* owned; `width` texts for each row; NULL for none */
  int64_t first, n;
  int64_t width;
} es_merge_texts_t;

/* True if the next row must be preceded by writing those held. */
bool es_merge_texts_full(const es_merge_texts_t *texts, int64_t row);
/* Adds copies of the texts of a row; those that are NULL stay NULL. False when out of memory. */
bool es_merge_texts_add(es_merge_texts_t *texts, int64_t row, const char *const *words);
/* Frees the texts of all rows; `width` stays. */
void es_merge_texts_clear(es_merge_texts_t *texts);

/* One attribute of the points: a variable over `point`, or an attribute if it is no axis and all are equal. */
typedef struct label {
  char *name, *first; /* owned; name and first value */
  label_kind_t kind;
  bool axis, varies;
  int64_t seen; /* number of points that have it */
  hid_t object; /* the open variable; −1 for an attribute */
  es_merge_texts_t held;
} es_merge_label_t;

typedef struct labels {
  es_merge_label_t *list; /* owned; in the order of discovery */
  int n;
} es_merge_labels_t;

/* The union of one axis over all points: ascending values; a double holds every epoch exactly. */
typedef struct values {
  double *list; /* owned */
  int64_t n;
} es_merge_values_t;

/* Buffers for blocks of numbers that are copied from one file to the other. */
typedef struct es_merge_copy_buffer {
  void *from, *to, *blank; /* owned */
  size_t from_size, to_size;
} es_merge_copy_buffer_t;

/* Rows of a variable of the merged file that are written together. */
typedef struct es_merge_rows {
  char *data; /* owned */
  size_t row_bytes;
  int64_t first, n; /* rows held */
} es_merge_rows_t;

struct es_merge {
  const char *output;     /* borrowed, like `ids` */
  const char *const *ids; /* of all points of the grid */
  int64_t n_points, n_merged;
  bool spectra;
  bool careful;      /* the survey reads all numbers */
  bool damaged;      /* without it, writing found damaged numbers */
  uint8_t *outcomes; /* owned; es_outcome_t of each point of the grid */
  uint8_t *kind;     /* owned; index in `kinds` of each merged point */
  es_kinds_t kinds;
  bool fields[ES_FIELDS];        /* fields that any point has and that are requested */
  int64_t extent[ES_DIMENSIONS]; /* the largest extent of any point; for axes with values, of the union */
  es_merge_values_t values[ES_DIMENSIONS];
  int64_t n_datasets;
  char (*datasets)[ES_NAME_MAX]; /* owned; the union of the datasets of probes, in the order of discovery */
  es_merge_labels_t labels;
  es_merge_copy_buffer_t blocks;
  es_merge_rows_t rows[ES_FIELDS];
};

/* Index of a value, −1 if it is not found. */
int64_t es_merge_values_find(const es_merge_values_t *values, double value);
/* Adds a value unless it exists already. False when out of memory. */
bool es_merge_values_add(es_merge_values_t *values, double value);

/* Adds the datasets of probes of a point to the union. False when out of memory. */
bool es_merge_datasets_add(es_merge_t *merge, const es_result_t *result);
/* Index of a dataset in the union, −1 if it is not found. */
int64_t es_merge_datasets_find(const es_merge_t *merge, const char *name);

/* Collects the attributes of a point. False when out of memory. */
bool es_merge_labels_collect(es_merge_labels_t *labels, const es_reader_t *reader);
void es_merge_labels_destroy(es_merge_labels_t *labels);
/* Creates the variables over `point` (the given scale), and attributes for values that all points share; appends the
 * names of the variables to `coordinates`. */
void es_merge_labels_create(es_merge_labels_t *labels, es_writer_t *writer, int64_t n_points, hid_t point,
                            es_text_t *coordinates);
/* Adds the attributes of one point at index `row`; writes those of many points at once. */
void es_merge_labels_write(es_merge_labels_t *labels, es_writer_t *writer, const es_reader_t *reader, int64_t row);
/* Writes those that are left. */
void es_merge_labels_flush(es_merge_labels_t *labels, es_writer_t *writer);
void es_merge_labels_close(es_merge_labels_t *labels);

/* Position of a point in a variable of the merged file. */
typedef struct es_merge_target {
  es_writer_t *writer; /* borrowed, as `object` */
  hid_t object;
  int64_t row;
} es_merge_target_t;

/* Reads all numbers of a field of an open point, and writes them to the target unless it is NULL. ES_INPUT if the file
 * of the point is damaged; failures of the target are stored in its writer. */
es_code_t es_merge_copy_field(es_merge_t *merge, es_reader_t *point, es_field_t field, const es_merge_target_t *target);
/* Writes the rows of a field that es_merge_copy_field holds. */
void es_merge_flush(es_merge_t *merge, es_field_t field, es_writer_t *writer, hid_t object);
/* Frees the rows of all fields. */
void es_merge_rows_destroy(es_merge_t *merge);
void es_merge_copy_buffer_destroy(es_merge_copy_buffer_t *blocks);

#endif
