/* One part of a moments file (part.c), and what survey.c asks it. */
#ifndef ES_MOMENTS_INTERNAL_H
#define ES_MOMENTS_INTERNAL_H

#include "eigenscope/hdf5.h"
#include "eigenscope/moments.h"

#define ES_MOMENTS_STAGE "moments"

typedef struct es_moments_row {
  int32_t epoch;
  uint8_t split;
} es_moments_row_t;

struct es_moments_part {
  char path[ES_PATH_MAX];
  hid_t file;
  int32_t part, parts, n_layers;
  char run[64];
  int64_t n_rows;         /* records in the file, complete or not */
  es_moments_row_t *rows; /* owned; split is ES_SPLITS for records that do not count */
  hid_t *groups;          /* owned; one for each layer */
};

es_code_t es_moments_open_part(es_moments_part_t **out, const char *path, es_status_t *status);
/* Index of the record that counts for an epoch and split, or −1. */
int64_t es_moments_find_row(const es_moments_part_t *p, es_split_t split, int32_t epoch);
/* Reads the `count` values of a vector. */
es_code_t es_moments_vector(const es_moments_part_t *p, const char *name, hid_t type, int64_t count, void *out,
                            es_status_t *status);
es_code_t es_moments_layer_facts(const es_moments_part_t *p, int layer, es_moments_layer_t *out, es_status_t *status);
/* Checks that a layer has its second moments, without reading them. */
es_code_t es_moments_check(const es_moments_part_t *p, int layer, int32_t width, es_status_t *status);
/* Check that sums of classes, and of lanes, have the shapes of the layer, and give their number: 0 if there are none.
 */
es_code_t es_moments_check_classes(const es_moments_part_t *p, int layer, int32_t width, int32_t *classes,
                                   es_status_t *status);
es_code_t es_moments_check_lanes(const es_moments_part_t *p, int layer, int32_t width, int32_t *lanes,
                                 es_status_t *status);
/* Checks that the classes of a layer have no more rows in a record than the layer. */
es_code_t es_moments_check_class_rows(const es_moments_part_t *p, int layer, const es_moments_record_t *record,
                                      int64_t rows, es_status_t *status);
/* Number of samples for probes that a record may have; 0 for files without. */
es_code_t es_moments_samples(const es_moments_part_t *p, int64_t *out, es_status_t *status);

#endif
