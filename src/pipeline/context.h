/* The state that all steps of one point share. Sources (source.h) and analyses (analysis.h) own everything else. */
#ifndef ES_PIPELINE_CONTEXT_H
#define ES_PIPELINE_CONTEXT_H

#include "eigenscope/epochs.h"
#include "eigenscope/file.h"
#include "eigenscope/journal.h"
#include "eigenscope/pipeline.h"
#include "timing.h"

typedef struct es_context {
  es_pipeline_t *settings; /* settings of the run; borrowed */
  const es_point_t *point; /* borrowed */
  const char *id;          /* of the point; borrowed */
  es_group_t group;        /* ranks and lanes that share the point */
  es_result_t *result;     /* owned; created by the source; complete only on the leader */
  int32_t last;            /* index of the last epoch; train.stop_when_stable may lower it */
  es_timing_t timing;
  es_file_stamp_t state; /* of the state file as this run last read or wrote it */
  es_journal_t journal;  /* of the state; on the leader */
  bool shared;           /* true once another run of the same point was noticed */
} es_context_t;

static inline bool es_context_is_leader(const es_context_t *c) {
  return c->group.rank == 0;
}
static inline int es_context_layers(const es_context_t *c) {
  return (int)es_result_extent(c->result, ES_DIM_LAYER);
}
static inline int32_t es_context_width(const es_context_t *c, int layer) {
  return es_result_layer(c->result, layer)->width;
}
/* True if the split is measured in this epoch. The last epoch is always measured, even if training ended early. */
static inline bool es_context_is_measured(const es_context_t *c, es_split_t split, int32_t epoch) {
  return es_point_is_measured(c->point, split, epoch) ||
         (epoch > 0 && epoch == c->last && c->point->measure.splits[split]);
}
/* True once this rank has been told to stop. Not collective. */
static inline bool es_context_must_stop(const es_context_t *c) {
  return es_watch_must_stop(&c->settings->watch);
}
/* The path of the point's result if it exists, else the path where it will be written. Not collective. */
static inline void es_context_result_path(const es_context_t *c, char out[ES_PATH_MAX]) {
  if (!es_result_find(out, c->settings->output, c->id))
    es_result_path(out, c->settings->output, c->id, c->settings->n_points);
}
/* Shows a warning to the user, if this rank is the leader. Not collective. */
static inline void es_context_warn(const es_context_t *c, const char *message) {
  if (es_context_is_leader(c) && c->settings->warn) c->settings->warn(c->settings->report_context, message);
}

#endif
