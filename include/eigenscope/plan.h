/** A plan: the points of a job, checked against data and networks, with predicted cost and memory. `plan` prints it,
 * `run` executes it. */
#ifndef EIGENSCOPE_PLAN_H
#define EIGENSCOPE_PLAN_H

#include "eigenscope/checkpoint.h"
#include "eigenscope/data.h"
#include "eigenscope/external.h"
#include "eigenscope/grid.h"
#include "eigenscope/job.h"
#include "eigenscope/status.h"
#include "eigenscope/table.h"
#include "eigenscope/text.h"
#include "eigenscope/traffic.h"

/** Properties that weight files determine for a point with source: checkpoint. Pointer-free. */
typedef struct es_plan_weights {
  bool known; /**< the files were read: the point is in the selection of the request */
  es_ratio_t width;
  int32_t classes;
  char trained[ES_ID_SIZE]; /**< as in es_external_t */
  bool each;
  int32_t epoch;
} es_plan_weights_t;

/** Numbers of a point that its files of moments determine. Pointer-free. */
typedef struct es_plan_moments {
  bool known; /**< the files were read: the point is in the selection of the request */
  bool has[ES_SPLITS];
  es_epochs_t epochs;
  int32_t n_layers, widest; /**< of the measured layers */
  double cost;
  char fingerprint[ES_ID_SIZE];
} es_plan_moments_t;

/** Parsed job, grid and dataset properties; every command that takes JOB creates a plan. */
typedef struct es_plan {
  es_job_t *job;            /**< owned */
  es_grid_t *grid;          /**< owned */
  char output[ES_PATH_MAX]; /**< --output or the job's */
  int n_datasets;
  es_dataset_info_t *infos;   /**< owned; indexed as es_job_dataset; zeros for datasets that the grid does not use */
  es_plan_weights_t *weights; /**< owned; one per point with source: checkpoint, else NULL */
  es_plan_moments_t *moments; /**< owned; one per point with source: moments, else NULL */
  struct es_plan_work *work;  /**< owned; networks and costs, private to the functions below */
} es_plan_t;

/** Arguments of es_plan_create. All borrowed. */
typedef struct es_plan_request {
  const char *path; /**< path of the job file, for messages and relative paths */
  const char *text; /**< content of the job file; NULL: es_plan_create reads it */
  size_t size;
  const es_text_t *files;  /**< es_job_files of another rank, or NULL: the job reads them */
  const char *const *sets; /**< --set */
  int n_sets;
  const char *output;             /**< --output, or NULL */
  const char *points;             /**< --points, or NULL; only the weights and moments of these points are inspected */
  const es_dataset_info_t *infos; /**< infos of another rank (copied), or NULL: inspect the datasets */
  const es_plan_weights_t *weights; /**< weights of another rank (copied), or NULL: inspect the files */
  const es_plan_moments_t *moments; /**< moments of another rank (copied), or NULL: inspect the files */
} es_plan_request_t;

/** Parses the job, resolves it, inspects the datasets that the grid uses (unless infos are given), and checks every
 * point: classes and samples exist, every layer has channels. Files of weights and of moments must exist and fit;
 * prints all missing files and all mismatches to stderr before it returns the status. Not collective. ES_INPUT. */
es_code_t es_plan_create(es_plan_t *out, const es_plan_request_t *request, es_status_t *status);
void es_plan_destroy(es_plan_t *plan);
/** Inspects the datasets of an opened plan (es_plan_open), so that points can be bound. ES_INPUT for the first dataset
 * that cannot be read; the others are inspected all the same. */
es_code_t es_plan_inspect(es_plan_t *plan, es_status_t *status);
/** True if the job measures weights from files and says `classes: all` for this point. */
bool es_plan_says_all(const es_point_t *point);
/** Inspects the datasets that are at hand, if the job says so for any point. For commands that only read results. */
void es_plan_inspect_for_all(es_plan_t *plan);
/** Number of classes of the point's dataset; 0 if the dataset was not inspected, or is not at hand. */
int32_t es_plan_dataset_classes(const es_plan_t *plan, const es_point_t *point);
/** Completes an unbound point by an opened file of weights: `classes: all` is the dataset's count, and width and
 * classes that the job leaves open are inferred. Without inspected datasets, does not check the classes. ES_INPUT if
 * the file does not say, or if the dataset has too few classes. */
es_code_t es_plan_complete(const es_plan_t *plan, const es_safetensors_t *file, es_point_t *point, es_status_t *status);
/** Resolves and binds point `index` (es_point_bind). */
void es_plan_point(const es_plan_t *plan, int64_t index, es_point_t *out);
/** Like es_plan_point, cheaper for many points in ascending order. Initialise `walk` with {.grid = plan->grid}. */
void es_plan_walk(const es_plan_t *plan, es_grid_walk_t *walk, int64_t index, es_point_t *out);
const es_dataset_info_t *es_plan_info(const es_plan_t *plan, const es_point_t *point);
/** That of the dataset `name`, which the grid or probe.datasets must use. */
const es_dataset_info_t *es_plan_info_of(const es_plan_t *plan, const char *name);
/** Multiply-adds of one sample forward, and number of trained parameters, of a point's network. */
int64_t es_plan_macs(const es_plan_t *plan, int64_t index);
int64_t es_plan_parameters(const es_plan_t *plan, int64_t index);
/** Cost of a point in multiply-adds: 3 × forward for training, 1 × for evaluation, plus covariances and eigenproblems
 * (formula in src/plan/plan.c). */
double es_plan_cost(const es_plan_t *plan, int64_t index);
/** Multiply-adds per image of the bound point: forward and backward pass in training, only the forward pass for weights
 * from files, plus the covariances of all layers if they are measured. */
double es_plan_image_cost(const es_plan_t *plan, int64_t index, const es_point_t *point);
/** The smallest number of lanes of any point, which limits the ranks per point. */
int32_t es_plan_lanes(const es_plan_t *plan);
/** Inspects the files of activations or moments of a point. ES_INPUT with file and line. *out is owned by the caller.
 */
es_code_t es_plan_external(const es_plan_t *plan, int64_t index, es_external_info_t *out, es_status_t *status);
/** Bytes on the rank that needs most of `ranks` ranks that work on such a point; 0 if memory is too short to compute
 * it.
 */
int64_t es_plan_external_bytes(const es_plan_t *plan, int64_t index, int ranks);
/** Creates a plan with job, grid and output only, without inspecting datasets and networks. For commands that only read
 * results and must work without the data. */
es_code_t es_plan_open(es_plan_t *out, const es_plan_request_t *request, es_status_t *status);

/** Selects the points of `points` (as "0-3,7"; NULL: all), and of them share I of N if `task` is "I/N" (NULL: all).
 * Shares have equal cost, so `task` needs a plan from es_plan_create. */
es_code_t es_plan_select(const es_plan_t *plan, const char *points, const char *task, es_selection_t *out,
                         es_status_t *status);

/** Appends a line, as "job.yaml:4: limit.train is 100000, but ...", for each number in the settings of these points
 * that is beyond what there is: limits, batches, and epochs after the last. Such jobs are run all the same. Equal lines
 * appear once, and at most about 20. Needs a plan from es_plan_create. */
void es_plan_notes(const es_plan_t *plan, const es_selection_t *selection, es_text_t *out);
/** Prints these lines on stderr, as "eigenscope: note: ...". */
void es_plan_print_notes(const es_plan_t *plan, const es_selection_t *selection);

/** Appends layers, strategies, time and memory of the first point of a job without a network on `ranks` ranks. */
void es_plan_activations_table(const es_plan_t *plan, const es_external_info_t *info, int ranks, es_text_t *out);
/** Bytes on the rank that needs most; 0 if memory is too short to compute it. */
int64_t es_plan_activations_bytes(const es_plan_t *plan, int64_t index, const es_external_info_t *info, int ranks);
/** The smallest number of ranks among `ranks`, 2·`ranks`, 4·`ranks`, … such that `here` ranks per node fit into
 * `available` bytes; 0 for none. Predictions are accurate to 25 %. */
int es_plan_activations_fit(const es_plan_t *plan, int64_t index, const es_external_info_t *info, int ranks, int here,
                            int64_t available);

/** The axes in which the points of a grid differ. Axes with one value are printed once, above the table. */
typedef struct es_varying {
  int32_t classes; /**< what `classes: all` means in every point, 0 if unknown or different */
  int n;
  char names[ES_COLUMNS_MAX][ES_NAME_MAX];
} es_varying_t;

/** Finds the varying axes of all blocks. */
void es_varying_find(const es_plan_t *plan, es_varying_t *out);
/** Appends the axes that do not vary, as "job: dataset fashion-mnist, seed 0", and an empty line. */
void es_varying_heading(const es_varying_t *varying, const es_plan_t *plan, es_text_t *out);
/** Appends the axes of a point as a JSON object, {"width": 0.0625, "classes": 10}; `all` stays text if the point does
 * not know its classes. */
void es_plan_append_axes(const es_point_t *point, es_text_t *out);
void es_varying_columns(const es_varying_t *varying, es_table_t *table);
void es_varying_cells(const es_varying_t *varying, const es_plan_t *plan, int64_t index, const es_point_t *point,
                      es_table_t *table);

/** Peak memory of a point, and its features on the disk. */
typedef struct es_memory_need {
  int64_t rank;     /**< private bytes of each rank of the point */
  int64_t shared;   /**< bytes that a node holds only once: the images of all datasets */
  int64_t features; /**< bytes of the file of features; 0 without measure.similarity */
} es_memory_need_t;

/** Predicts the peak memory of a bound point on groups of `ranks` ranks. ES_SYSTEM if out of memory. */
es_code_t es_memory_predict(es_memory_need_t *out, const es_point_t *point, const es_dataset_info_t *info, int ranks,
                            es_status_t *status);

/** Predicts the memory of one point after another; computes once for consecutive points that differ only in settings
 * without effect on memory (as the seed). Initialise with {0}. */
typedef struct es_memory_prediction {
  es_memory_need_t need; /**< need of the last point */
  int ranks;             /**< 0 before the first */
  es_point_t key;
} es_memory_prediction_t;
es_code_t es_memory_predict_next(es_memory_prediction_t *prediction, const es_point_t *point,
                                 const es_dataset_info_t *info, int ranks, es_status_t *status);

/** The number of ranks (`ranks` or more) that must share the bound point so that one rank, alone on its node, fits into
 * `available` bytes; 0 if the point has too few lanes, -1 if memory is too short to compute it. */
int es_memory_fit(const es_point_t *point, const es_dataset_info_t *info, int ranks, int64_t available);
/** Peak private memory of this process so far, without memory shared on the node, in bytes; 0 if unknown. */
int64_t es_memory_peak(void);
/** Bytes that the processes on this node may still allocate together: the free memory of the node, or less if a cgroup
 * (as SLURM makes) or RLIMIT_AS limits it. */
int64_t es_memory_available(void);

/** Writes the resolved job of an opened plan (all settings, changes of --set, absolute paths, the plan's output) to
 * <folder>/job-<hash of its text>.yaml, which defines the same points; creates the folder. An equal file is kept.
 * Appends the path of the file and of the output. ES_INPUT if a path of the job cannot be written in a job file. */
es_code_t es_plan_resolve(const es_plan_t *plan, const es_plan_request_t *request, const char *folder, es_text_t *out,
                          es_status_t *status);

/** A cluster and assumptions about it. */
typedef struct es_cluster {
  int64_t nodes, cores; /**< cores per node, which equal ranks, because a rank has one thread */
  double rate;          /**< floating-point operations of one core in a second */
  double efficiency;    /**< parallel efficiency of each doubling of the ranks per point, 0 … 1 */
} es_cluster_t;

/** Reads "nodes=4,cores=32[,rate=GFLOP/s][,efficiency=E]". ES_INPUT. */
es_code_t es_cluster_parse(es_cluster_t *out, const char *text, es_status_t *status);
/** Appends the simulated schedules of the selected points for 1, 2, 4 and 8 ranks per point, as a table or as JSON. */
es_code_t es_plan_cluster(const es_plan_t *plan, const es_selection_t *selection, const es_cluster_t *cluster,
                          bool json, es_text_t *out, es_status_t *status);

/** Appends the selected points in shares of about equal cost, one line per share, as lists for --points. Lines that
 * start with "# " before them give name, output, points and tasks. The number of shares is chosen so that each holds
 * about `points_per_task` points, but is at most `tasks`. */
es_code_t es_plan_tasks(const es_plan_t *plan, const es_selection_t *selection, int64_t tasks, int64_t points_per_task,
                        es_text_t *out, es_status_t *status);

/** A network between nodes, and the speed of their cores. */
typedef struct es_interconnect {
  char name[64];      /**< as given by the user */
  const char *source; /**< source of the numbers; static storage */
  es_link_t link;
  double rate; /**< floating-point operations of one core in a second */
} es_interconnect_t;

/** Reads "NAME" or "LATENCY,BANDWIDTH" (as 20us,10Gbit/s), each optionally followed by ",rate=GFLOP/s". ES_INPUT. */
es_code_t es_interconnect_parse(es_interconnect_t *out, const char *text, es_status_t *status);

/** Appends the predicted time of a step of the selected points on 1, 2, 4 … ranks, up to their lanes, and the number of
 * ranks beyond which more ranks gain too little; points with equal predictions share a row. As a table or as JSON. */
es_code_t es_plan_interconnect(const es_plan_t *plan, const es_selection_t *selection,
                               const es_interconnect_t *interconnect, bool json, es_text_t *out, es_status_t *status);

#endif
