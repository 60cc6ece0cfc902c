/* Networks by name or by their figures, and what a step of training takes on them.
 *
 * A training step of b images on G ranks (traffic.h has the messages; batches are cut by lanes, so the busiest rank has
 * ⌈b/G⌉ images):
 *
 *   T(G) = 2·⌈b/G⌉·m / rate + u·P + time of the sums by traffic.h
 *
 * m multiply-adds of one image (three times forward, and the covariances of the layers that are measured: plan.c), rate
 * the floating-point operations of a core in a second, P parameters, which every rank updates and packs for the
 * kernels, in u seconds each. A point stops gaining at the first G where twice as many ranks make a step less than
 * ES_GAIN_LEAST times as fast. */
#ifndef ES_PLAN_INTERCONNECT_H
#define ES_PLAN_INTERCONNECT_H

#include "eigenscope/plan.h"
#include "eigenscope/traffic.h"

#define ES_GAIN_LEAST 1.5

typedef struct es_interconnect {
  char name[64];      /* as it was asked for */
  const char *source; /* of its figures; static */
  es_link_t link;
  double rate; /* floating-point operations of one core in a second */
} es_interconnect_t;

/* Reads "NAME" or "LATENCY,BANDWIDTH" (as 20us,10Gbit/s), and behind either ",rate=GFLOP/s". ES_INPUT. */
es_code_t es_interconnect_parse(es_interconnect_t *out, const char *text, es_status_t *status);

/* Appends what a step of the selected points takes on 1, 2, 4 … ranks, up to their lanes, and where they stop gaining;
 * points that differ only in what changes none of this share a row. As a table or as JSON. */
es_code_t es_plan_interconnect(const es_plan_t *plan, const es_selection_t *selection,
                               const es_interconnect_t *interconnect, bool json, es_text_t *out, es_status_t *status);

#endif
