/** Reader of files of moments: sums over activations that another program took while a network ran (the Python package
 * `eigenscope`, or any program that writes the format of analysis/README.md). Each process of that program writes a
 * part; the parts are partial covariances.
 *
 * A file named PATH has one part, or there are several, m.part0-of-2.h5 and m.part1-of-2.h5 for PATH = m.h5. A part
 * holds records, one for each split and epoch; of records of the same epoch and split the last counts. Only records
 * that are complete in all parts are used. Files that are still written, and files of killed writers, can be read.
 *
 * Not collective; needs no MPI. */
#ifndef EIGENSCOPE_MOMENTS_H
#define EIGENSCOPE_MOMENTS_H

#include "eigenscope/external.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include <stdbool.h>
#include <stdint.h>

enum { ES_MOMENTS_PARTS_MAX = 65536 };

typedef struct es_moments_layer {
  char name[ES_NAME_MAX];
  char kind[ES_NAME_MAX]; /**< type of the module, as in "Conv2d" */
  int32_t width;
} es_moments_layer_t;

/** A record that all parts have. */
typedef struct es_moments_record {
  int32_t epoch;
  es_split_t split;
  double loss, accuracy; /**< means over the parts that have them, else NaN */
} es_moments_record_t;

typedef struct es_moments_info {
  int32_t n_parts, n_layers, n_records;
  es_moments_layer_t *layers;   /**< owned */
  es_moments_record_t *records; /**< owned; by epoch, then split */
  int32_t classes;              /**< the largest label + 1 of the samples for probes; 0 without samples */
  int32_t class_sums;           /**< classes whose sums all layers of all parts have; 0 if they differ or have none */
  int32_t lanes;                /**< lanes whose second moments they have; 0 likewise */
  int32_t most_samples;         /**< most samples for probes in a part */
  int64_t most_rows;            /**< largest number of rows of a layer in a record, over all parts */
  char fingerprint[ES_ID_SIZE]; /**< of run, layers, records, rows and means */
} es_moments_info_t;

/** Inspects all parts of PATH. ES_INPUT names the file, what is wrong and what would be right: a missing part, parts of
 * different runs, no complete record, a file of another format. ES_SYSTEM if the machine fails. */
es_code_t es_moments_inspect(es_moments_info_t *out, const char *path, es_status_t *status);
void es_moments_info_destroy(es_moments_info_t *info);
/** Index of a record in info->records, or −1. */
int32_t es_moments_find(const es_moments_info_t *info, es_split_t split, int32_t epoch);
/** Sets the epochs of `external`, unless the job lists them, and its splits: files of splits without records become "".
 * ES_INPUT if a listed epoch has no record, or if there are more than ES_EPOCHS_MAX epochs. `path`: for messages. */
es_code_t es_moments_choose(const es_moments_info_t *info, const char *path, es_external_t *external,
                            es_status_t *status);

typedef struct es_moments_part es_moments_part_t;

/** Opens part `part` of info->n_parts of PATH. Codes as es_moments_inspect. */
es_code_t es_moments_open(es_moments_part_t **out, const es_moments_info_t *info, const char *path, int32_t part,
                          es_status_t *status);
/** NULL is allowed. */
void es_moments_close(es_moments_part_t *part);
/** Reads the sums of a layer in a record: rows, mean (width doubles), and elements `first` … first+count−1 of the
 * packed lower triangle of Σ (x − m)(x − m)ᵀ (covariance.h). mean may be NULL. */
es_code_t es_moments_read(es_moments_part_t *part, int layer, const es_moments_record_t *record, int64_t *rows,
                          double *mean, es_status_t *status);
es_code_t es_moments_read_triangle(es_moments_part_t *part, int layer, const es_moments_record_t *record, int64_t first,
                                   int64_t count, double *out, es_status_t *status);
/** Reads rows (classes) and means (classes, width) of info->class_sums classes of a layer in a record. Counts of rows
 * are integers. */
es_code_t es_moments_read_classes(es_moments_part_t *part, int layer, const es_moments_record_t *record,
                                  int32_t classes, double *rows, double *mean, es_status_t *status);
/** Reads the packed lower triangle of Σ (x − mᵢ)(x − mᵢ)ᵀ over the rows of one of info->lanes lanes, mᵢ their mean. */
es_code_t es_moments_read_lane(es_moments_part_t *part, int layer, const es_moments_record_t *record, int32_t lane,
                               double *out, es_status_t *status);
/** Reads the labels of the samples for probes in a record. `out` holds info->most_samples; *n is 0 without samples. */
es_code_t es_moments_labels(es_moments_part_t *part, const es_moments_record_t *record, int32_t *out, int32_t *n,
                            es_status_t *status);
/** Reads the features of samples first … first+count−1 of the record: (count, width) row-major. NaN where the writer
 * has none. */
es_code_t es_moments_features(es_moments_part_t *part, int layer, const es_moments_record_t *record, int64_t first,
                              int64_t count, float *out, es_status_t *status);

#endif
