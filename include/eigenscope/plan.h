/** A job turned into work: its points checked against the data and the networks, and what each of them takes. `plan`
 * prints it, `run` executes it. */
#ifndef EIGENSCOPE_PLAN_H
#define EIGENSCOPE_PLAN_H

#include "eigenscope/data.h"
#include "eigenscope/external.h"
#include "eigenscope/grid.h"
#include "eigenscope/job.h"
#include "eigenscope/status.h"
#include "eigenscope/table.h"
#include "eigenscope/text.h"
#include "eigenscope/traffic.h"

/** What the files of weights say of a point with source: checkpoint. Without pointers. */
typedef struct es_plan_weights {
  bool known; /**< looked at: the point is in the selection of the request */
  es_ratio_t width;
  int32_t classes;
  char trained[ES_ID_SIZE]; /**< as in es_external_t */
  bool each;
  int32_t epoch;
} es_plan_weights_t;

/** What every command that takes JOB starts from: the parsed job, its grid, and what is known of its datasets. */
typedef struct es_plan {
  es_job_t *job;            /**< owned */
  es_grid_t *grid;          /**< owned */
  char output[ES_PATH_MAX]; /**< --output or the job's */
  int n_datasets;
  es_dataset_info_t *infos;   /**< owned; as es_job_dataset; only those that the grid uses are inspected, else zeros */
  es_plan_weights_t *weights; /**< owned; of each point with source: checkpoint, else NULL */
  struct es_plan_work *work;  /**< owned; networks and costs, behind the functions below */
} es_plan_t;

/** What a plan is made from. All borrowed. */
typedef struct es_plan_request {
  const char *path; /**< of the job file, for messages and relative paths */
  const char *text; /**< its bytes; NULL: es_plan_create reads the file */
  size_t size;
  const char *const *sets; /**< --set */
  int n_sets;
  const char *output;               /**< --output, or NULL */
  const char *points;               /**< --points, or NULL; source: checkpoint: only their files are looked at */
  const es_dataset_info_t *infos;   /**< what another rank found (copied), or NULL: inspect the datasets here */
  const es_plan_weights_t *weights; /**< the same of weights */
} es_plan_request_t;

/** Parses, resolves, inspects the datasets that the grid uses (unless infos are given), and checks every point: classes
 * and samples there, every layer with channels. Files of weights must be there and fit: all that are missing, and every
 * mismatch, are named on stderr before the one sentence of the status. Not collective. ES_INPUT. */
es_code_t es_plan_create(es_plan_t *out, const es_plan_request_t *request, es_status_t *status);
void es_plan_destroy(es_plan_t *plan);
/** Resolved and bound point `index` (es_point_bind done). */
void es_plan_point(const es_plan_t *plan, int64_t index, es_point_t *out);
/** The same, cheaper for many points in ascending order; `walk` starts from {.grid = plan->grid}. */
void es_plan_walk(const es_plan_t *plan, es_grid_walk_t *walk, int64_t index, es_point_t *out);
const es_dataset_info_t *es_plan_info(const es_plan_t *plan, const es_point_t *point);
/** Multiply-adds of one sample forward, and trained parameters, of the network of a point. */
int64_t es_plan_macs(const es_plan_t *plan, int64_t index);
int64_t es_plan_parameters(const es_plan_t *plan, int64_t index);
/** Work of a point in multiply-adds: 3 × forward for training, 1 × for evaluation, plus covariances and eigenproblems
 * (src/plan/plan.c says how). */
double es_plan_cost(const es_plan_t *plan, int64_t index);
/** Multiply-adds of an image of the bound point: in training, with the backward pass and the covariances of all layers
 * if they are measured; of weights from files the forward pass instead. */
double es_plan_image_cost(const es_plan_t *plan, int64_t index, const es_point_t *point);
/** The fewest lanes of any point: at most so many ranks can share each point. */
int32_t es_plan_lanes(const es_plan_t *plan);
/** Looks at the files of a job of activations. ES_INPUT with file and line. *out is the caller's. */
es_code_t es_plan_external(const es_plan_t *plan, es_external_info_t *out, es_status_t *status);
/** A plan without a look at datasets and networks: job, grid and output only. For commands that read results, which
 * need not have the data at hand. */
es_code_t es_plan_open(es_plan_t *out, const es_plan_request_t *request, es_status_t *status);

/** The points of `points` (as "0-3,7"), of them share I of N where `task` is "I/N"; all where both are NULL. Shares are
 * of equal cost, so `task` needs a plan that es_plan_create made. */
es_code_t es_plan_select(const es_plan_t *plan, const char *points, const char *task, es_selection_t *out,
                         es_status_t *status);

/** Appends layers, strategies, time and memory of a job of activations on `ranks` ranks. */
void es_plan_activations_table(const es_plan_t *plan, const es_external_info_t *info, int ranks, es_text_t *out);
/** Bytes of the busiest rank; 0 when there is no memory to find out. */
int64_t es_plan_activations_bytes(const es_plan_t *plan, const es_external_info_t *info, int ranks);
/** The least number of ranks, doubled from `ranks`, of which `here` on each node find room in `available` bytes; 0 for
 * none. Predictions are good to 25 %. */
int es_plan_activations_fit(const es_plan_t *plan, const es_external_info_t *info, int ranks, int here,
                            int64_t available);

/** The axes that tell the points of a grid apart; what is the same for all points is said once above a table. */
typedef struct es_varying {
  int n;
  char names[ES_COLUMNS_MAX][ES_NAME_MAX];
} es_varying_t;

/** Looks at the axes of all blocks. */
void es_varying_find(const es_plan_t *plan, es_varying_t *out);
/** Appends "job: dataset fashion-mnist, seed 0" with all other axes, and an empty line: what stands above a table. */
void es_varying_heading(const es_varying_t *varying, const es_plan_t *plan, es_text_t *out);
void es_varying_columns(const es_varying_t *varying, es_table_t *table);
void es_varying_cells(const es_varying_t *varying, const es_point_t *point, es_table_t *table);

/** Peak memory of a point. */
typedef struct es_memory_need {
  int64_t rank;   /**< bytes that each rank of the point needs for itself */
  int64_t shared; /**< bytes that a node holds once: the images */
} es_memory_need_t;

/** Peak memory of a bound point on groups of `ranks` ranks. ES_SYSTEM when there is no memory to find out. */
es_code_t es_memory_predict(es_memory_need_t *out, const es_point_t *point, const es_dataset_info_t *info, int ranks,
                            es_status_t *status);

/** The prediction of one point after the other: those that differ only in what changes no prediction (as their seed)
 * are looked at once. Start from {0}. */
typedef struct es_memory_prediction {
  es_memory_need_t need; /**< of the last point */
  int ranks;             /**< 0 before the first */
  es_point_t key;
} es_memory_prediction_t;
es_code_t es_memory_predict_next(es_memory_prediction_t *prediction, const es_point_t *point,
                                 const es_dataset_info_t *info, int ranks, es_status_t *status);

/** How many ranks, `ranks` or more, must share the bound point so that one of them, alone on its node, finds room in
 * `available` bytes; 0 when the point has not so many lanes, -1 when there is no memory to find out. */
int es_memory_fit(const es_point_t *point, const es_dataset_info_t *info, int ranks, int64_t available);
/** Peak of this process so far without what it shares with others of its node, in bytes; 0 where the system does not
 * tell. */
int64_t es_memory_peak(void);
/** Bytes that processes here may still take together: what the node has free, or less if a cgroup (as SLURM makes) or
 * RLIMIT_AS says so. */
int64_t es_memory_available(void);

/** A cluster and what is assumed of it. */
typedef struct es_cluster {
  int64_t nodes, cores; /**< cores of each node: ranks, since every rank has one thread */
  double rate;          /**< floating-point operations of one core in a second */
  double efficiency;    /**< kept by each doubling of the ranks that share a point, 0 … 1 */
} es_cluster_t;

/** Reads "nodes=4,cores=32[,rate=GFLOP/s][,efficiency=E]". ES_INPUT. */
es_code_t es_cluster_parse(es_cluster_t *out, const char *text, es_status_t *status);
/** Appends the simulated schedules of the selected points for 1, 2, 4 and 8 ranks per point, as a table or as JSON. */
es_code_t es_plan_cluster(const es_plan_t *plan, const es_selection_t *selection, const es_cluster_t *cluster,
                          bool json, es_text_t *out, es_status_t *status);

/** Appends the selected points in shares of about equal cost, one line for each, as lists for --points; lines that
 * start with "# " before them give name, output, points and tasks. As many shares as each needs to hold
 * `points_per_task` points, at most `tasks`. */
es_code_t es_plan_tasks(const es_plan_t *plan, const es_selection_t *selection, int64_t tasks, int64_t points_per_task,
                        es_text_t *out, es_status_t *status);

/** A network between nodes, and the cores it joins. */
typedef struct es_interconnect {
  char name[64];      /**< as it was asked for */
  const char *source; /**< of its figures; static */
  es_link_t link;
  double rate; /**< floating-point operations of one core in a second */
} es_interconnect_t;

/** Reads "NAME" or "LATENCY,BANDWIDTH" (as 20us,10Gbit/s), and behind either ",rate=GFLOP/s". ES_INPUT. */
es_code_t es_interconnect_parse(es_interconnect_t *out, const char *text, es_status_t *status);

/** Appends what a step of the selected points takes on 1, 2, 4 … ranks, up to their lanes, and where they stop gaining;
 * points that differ only in what changes none of this share a row. As a table or as JSON. */
es_code_t es_plan_interconnect(const es_plan_t *plan, const es_selection_t *selection,
                               const es_interconnect_t *interconnect, bool json, es_text_t *out, es_status_t *status);

#endif
