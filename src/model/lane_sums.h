/* Gradients of vectors that a unit owns, such as the weight of a layer norm: sums over samples, in double within a
 * lane, then in float over the lanes in the fixed tree (comm.h). */
#ifndef ES_MODEL_LANE_SUMS_H
#define ES_MODEL_LANE_SUMS_H

#include "unit.h"

typedef struct es_lane_sums {
  size_t n;
  double *lane;     /* sums of the current lane, which the unit adds to; owned */
  es_stack_t stack; /* memory borrowed from the model */
} es_lane_sums_t;

/* n: numbers of the vectors together. */
es_code_t es_lane_sums_create(es_lane_sums_t *out, const es_unit_t *unit, size_t n, es_status_t *status);
void es_lane_sums_destroy(es_lane_sums_t *sums);
/* For scratch_floats and set_scratch of the unit. */
size_t es_lane_sums_floats(const es_lane_sums_t *sums, const es_group_t *group);
void es_lane_sums_place(es_lane_sums_t *sums, float *memory);
/* For es_unit_class_t.floats: what sums of n numbers need on a rank with `lanes` lanes. */
es_unit_floats_t es_lane_sums_forecast(int64_t n, int lanes);
/* Starts a pass. */
void es_lane_sums_begin(es_lane_sums_t *sums);
void es_lane_sums_end_lane(es_lane_sums_t *sums);
/* Total of this rank, after its last lane. */
const float *es_lane_sums_total(const es_lane_sums_t *sums);

#endif
