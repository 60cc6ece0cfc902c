/* What the flows of one point share: everything that it owns while it is under way, and the steps that every source of
 * activations takes in the same way. Functions are collective over the group, and all ranks return the same code,
 * unless they say otherwise. */
#ifndef ES_FLOW_H
#define ES_FLOW_H

#include "eigenscope/capture.h"
#include "eigenscope/eigenspace.h"
#include "eigenscope/external.h"
#include "eigenscope/graph.h"
#include "eigenscope/pipeline.h"
#include "eigenscope/probe.h"
#include "eigenscope/spectrum.h"
#include "eigenscope/state.h"

typedef struct flow_projection flow_projection_t;

typedef struct flow {
  es_pipeline_t *pipeline;     /* borrowed */
  const es_point_t *point;     /* borrowed */
  const char *id;              /* borrowed */
  const es_dataset_t *dataset; /* borrowed */
  es_group_t group;
  es_traffic_t traffic;          /* of this rank so far: of the group */
  es_effort_t efforts[ES_WORKS]; /* of this rank in the epoch under way */
  es_samples_t samples[ES_SPLITS];
  es_graph_t *graph;
  es_trainer_t *trainer;
  es_capture_t *capture;
  es_result_t *result;
  es_eigenspaces_t *spaces;      /* NULL unless they are followed */
  int *owners;                   /* with `spaces`: rank that has a layer's vectors */
  flow_projection_t *projection; /* NULL unless measure.projection */
  es_state_key_t key;
  char training[ES_ID_SIZE], network[256]; /* of the key */
  const char *files, *hashes;              /* borrowed; of the weights that are measured, or NULL */
  es_tensor_view_t *probes; /* owned by the leader; weights of the probes so far (probe_fit.c), their data too */
  int n_probes;
  bool probing; /* a pass is under way that gathers features for probes, and measures nothing */
  int n_layers;
  int32_t last; /* index of the last epoch, as far as is known: flow_is_last */
  char start[32];
  double started;
} flow_t;

bool flow_is_leader(const flow_t *f);
/* Whether the network is trained here; else its weights come from files, or only its activations. */
bool flow_is_trained(const flow_t *f);
/* Whether an epoch (an index) is the last of the point. Of an epoch that may end the training early this is known once
 * it is measured (flow_settle). Not collective. */
bool flow_is_last(const flow_t *f, int32_t epoch);
/* Adds the time since `since` to a stage. Not collective. */
void flow_charge(flow_t *f, es_stage_t stage, double since);

/* effort.c: where an effort begins. */
typedef struct flow_mark {
  double clock;
  es_traffic_t traffic;
} flow_mark_t;
flow_mark_t flow_mark(const flow_t *f);
/* Adds what has been done since the mark to the efforts of the epoch. Not collective. */
void flow_effort(flow_t *f, es_work_t work, const flow_mark_t *since, int64_t steps, int64_t images);
/* Ends an epoch: the leader reports it, with the efforts of all ranks, which start anew. */
void flow_report(flow_t *f, es_epoch_report_t *report);

/* Tells the user, on the leader. Not collective. */
void flow_warn(const flow_t *f, const char *message);

/* Where the rows of layers are. */
typedef struct flow_rows {
  int32_t (*order)(void *context, int layer); /* of the eigenproblem to come; not collective */
  es_code_t (*finish)(void *context, int layer, es_reduced_t *out, es_status_t *status);
  void *context;
} flow_rows_t;

/* measure.c: from rows to numbers in the result, for layers first … first+n−1. `epoch` is an index. */
es_code_t flow_measure(flow_t *f, es_split_t split, int32_t epoch, const flow_rows_t *rows, int first, int n,
                       es_status_t *status);

/* A layer of a measured epoch (an index) whose eigenproblem was solved. Borrowed pointers. */
typedef struct flow_solved {
  es_split_t split;
  int32_t epoch;
  int layer;
  es_layer_problem_t *problem;
  const es_reduced_t *merged;
} flow_solved_t;

/* spaces.c: eigenspaces over the epochs (measure.eigenspace). flow_resume opens, es_pipeline_point closes. flow_measure
 * asks for vectors of that share of the variance (0: none; not collective), hands over each solved
 * layer after its numbers are stored, and commits the split. flow_write_result compares all epochs with the last. */
es_code_t flow_spaces_open(flow_t *f, es_status_t *status);
void flow_spaces_close(flow_t *f);
double flow_spaces_share(const flow_t *f, es_split_t split, int32_t epoch);
es_code_t flow_spaces_take(flow_t *f, const flow_solved_t *solved, es_status_t *status);
es_code_t flow_spaces_commit(flow_t *f, es_split_t split, int32_t epoch, es_status_t *status);
es_code_t flow_spaces_last(flow_t *f, es_status_t *status);
/* Takes what es_eigenspaces_tensors put into a state; `context` is the flow. The leader alone. */
es_code_t flow_spaces_restore(void *context, const es_safetensors_t *file, es_status_t *status);

/* projection.c: accuracies with outputs projected (measure.projection), onto eigenspaces of the train split if that is
 * measured, else of the eval split. Opened and closed as above. flow_projection_take gets vectors that every rank has,
 * and k of each delta (−1: the layer is not projected); not collective, the caller agrees. flow_projection runs the
 * passes after the last epoch. */
es_code_t flow_projection_open(flow_t *f, es_status_t *status);
void flow_projection_close(flow_t *f);
bool flow_projection_wants(const flow_t *f, es_split_t split, int32_t epoch);
es_code_t flow_projection_take(flow_t *f, const flow_solved_t *solved, const int32_t *k, es_status_t *status);
es_code_t flow_projection(flow_t *f, es_status_t *status);

/* stability.c: the pattern of saturation over the layers, one epoch against another, into the leader's result. Epochs
 * are indices. flow_measure calls flow_stability for each epoch that it measured, flow_write_result the other. Not
 * collective. */
void flow_stability(flow_t *f, es_split_t split, int32_t epoch);
void flow_stability_last(flow_t *f);
/* Makes an epoch, measured in all splits, the last one if the pattern has settled (train.stop_when_stable). */
es_code_t flow_settle(flow_t *f, int32_t epoch, es_status_t *status);

/* probe_fit.c: the steps of probes that every source takes. Their epochs, ascending, at most as many as the point has
 * (`epochs`, or 0 … n−1 where that is NULL); returns how many. Not collective. */
int flow_probe_epochs(const flow_t *f, const int32_t *epochs, int n, int32_t *out);
/* Whether probes are fitted after an epoch (an index of the epoch axis); *at is its place on the axis of probe epochs.
 * Not collective. */
bool flow_probes_due(flow_t *f, int32_t epoch, int64_t *at);
/* The samples among n that probes are fitted on (probe.samples): slot[i] counts them from 0, −1 for the others; returns
 * their number. Not collective. */
int64_t flow_probe_choose(const flow_t *f, const int32_t *labels, int64_t n, int32_t classes, int32_t *slot);
/* Fits the probe of a layer, from the solution of its last one, and puts the numbers of the fit into the result.
 * *weights is the caller's to free; NULL where features were not finite: then the layer has no probe. */
es_code_t flow_probe_fit(flow_t *f, int64_t at, int layer, const es_probe_problem_t *problem, double **weights,
                         es_status_t *status);
/* What the eval split says of it: counts of this rank's share of `samples`, which are summed over the ranks. Nothing is
 * stored where some had features that were not finite. */
void flow_probe_store_eval(flow_t *f, int64_t at, int layer, int64_t *confusion, int32_t classes, int64_t samples);
/* Marks the tail of the layers by the probes at `at`. Not collective. */
void flow_probe_mark_tail(flow_t *f, int64_t at);
/* Takes the weights of probes from a state. On the leader alone; not collective. */
es_code_t flow_probe_restore(void *flow, const es_safetensors_t *file, es_status_t *status);
void flow_probe_close(flow_t *f);

/* probes.c: probes of the network as it stands, for epoch `epoch` (an index) if the point wants any then. */
es_code_t flow_probes(flow_t *f, int32_t epoch, es_status_t *status);
/* probe_files.c: the same from the files of source: activations. `layers`: of the files, for each measured one. */
es_code_t flow_probe_files(flow_t *f, const es_external_info_t *info, const int *layers, int32_t epoch,
                           es_status_t *status);

/* disk.c: a state, weights, the result. flow_resume: called when the result is made; the last epoch of a saved state,
 * −1 without one; also removes what a killed run left beside this point's files. */
es_code_t flow_resume(flow_t *f, int32_t *done, es_status_t *status);
es_code_t flow_save(flow_t *f, int32_t epoch, es_status_t *status);
es_code_t flow_write_result(flow_t *f, const char *outcome, const char *reason, es_status_t *status);

/* activations.c: others trained, and wrote what the layers put out. */
es_code_t flow_activations(flow_t *f, es_status_t *status);

/* checkpoint.c: others trained it, or we did; weights in files. */
es_code_t flow_checkpoint(flow_t *f, es_status_t *status);

/* train.c: the network is trained here. */
es_code_t flow_train(flow_t *f, es_status_t *status);
/* Samples, network, capture, result and trainer of a point. */
es_code_t flow_network_open(flow_t *f, es_status_t *status);
void flow_network_close(flow_t *f);
/* Epochs after `done` (indices) one after the other, each saved; then projections and the result. One that diverged
 * ends the point with the epochs so far. */
typedef es_code_t flow_epoch_t(flow_t *f, int32_t epoch, es_status_t *status);
es_code_t flow_epochs(flow_t *f, int32_t done, flow_epoch_t *run, es_status_t *status);
/* One pass over a split, measured if its epoch (an index) and split are. */
es_code_t flow_split(flow_t *f, es_split_t split, int32_t epoch, es_epoch_stats_t *stats, es_status_t *status);

#endif
