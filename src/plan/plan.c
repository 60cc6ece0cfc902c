/* Turns a job into work: checks its points against datasets and networks, and estimates their costs. */
#include "eigenscope/capture.h"
#include "eigenscope/description.h"
#include "eigenscope/epochs.h"
#include "eigenscope/faults.h"
#include "eigenscope/file.h"
#include "eigenscope/forecast.h"
#include "eigenscope/graph.h"
#include "eigenscope/memory.h"
#include "eigenscope/spectrum.h"
#include "eigenscope/store.h"
#include "plan_internal.h"
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "plan";

enum { WIDEST = 46340 }; /* the largest order whose number of matrix elements fits an int */

/* The description of a network. Points that differ only in seeds or training share one. */
typedef struct network {
  uint64_t key;
  es_forecast_t forecast; /* without layers and graph */
  es_other_groups_t other_groups;
} network_t;

struct es_plan_work {
  network_t *networks;
  int32_t n_networks, capacity;
  int32_t *slots; /* hash table used while points are checked: network + 1, 0 is free */
  uint64_t mask;
  int32_t *network; /* network of each point */
  double *cost;     /* cost of each point */
  int32_t lanes;    /* the fewest lanes of any point */
};

/* Refuses axes whose names would clash with those of results. */
static es_code_t check_names(const es_job_t *job, es_status_t *status) {
  for (int b = 0; es_job_base(job)->source == ES_SOURCE_MOMENTS && b < es_job_n_blocks(job); b++) {
    for (int a = 0; a < es_job_n_axes(job, b); a++) {
      const es_job_axis_t axis = es_job_axis(job, b, a);
      if (es_result_name_is_taken(axis.name))
        return es_fail(status, ES_INPUT, STAGE,
                       "%s:%d: grid.%s: results have something else of this name; call the "
                       "axis otherwise, as in my_%s",
                       es_job_path(job), axis.line, axis.name, axis.name);
    }
  }
  return ES_OK;
}

es_code_t es_plan_open(es_plan_t *out, const es_plan_request_t *request, es_status_t *status) {
  *out = (es_plan_t){0};
  es_code_t code = request->text != NULL
                       ? es_job_parse_with(&out->job, request->text, request->size, request->path, request->sets,
                                           request->n_sets, request->files, status)
                       : es_job_load(&out->job, request->path, request->sets, request->n_sets, status);
  if (code == ES_OK) code = check_names(out->job, status);
  if (code == ES_OK) code = es_grid_create(&out->grid, out->job, status);
  if (code == ES_OK) {
    const char *output = request->output != NULL ? request->output : es_job_output(out->job);
    if (output[0] == '\0') code = es_fail(status, ES_INPUT, STAGE, "--output is empty; name a folder");
    int length = snprintf(out->output, sizeof out->output, "%s", output);
    while (length > 1 && length < ES_PATH_MAX && out->output[length - 1] == '/') out->output[--length] = '\0';
    if (length > ES_PATH_MAX - 64)
      code = es_fail(status, ES_INPUT, STAGE, "--output is longer than %d bytes", ES_PATH_MAX - 64);
  }
  if (code != ES_OK) es_plan_destroy(out);
  return code;
}

void es_plan_destroy(es_plan_t *plan) {
  es_free(plan->infos);
  es_free(plan->weights);
  es_free(plan->moments);
  if (plan->work != NULL) {
    es_free(plan->work->networks);
    es_free(plan->work->slots);
    es_free(plan->work->network);
    es_free(plan->work->cost);
    es_free(plan->work);
  }
  es_grid_destroy(plan->grid);
  es_job_destroy(plan->job);
  *plan = (es_plan_t){0};
}

/* ---- datasets ---- */

/* Keeps an earlier failure in the status. */
static void inspect_dataset(es_plan_t *plan, int i, es_status_t *status) {
  const es_dataset_spec_t *spec = es_job_dataset(plan->job, i);
  es_status_t own = {0};
  if (spec->format == ES_FORMAT_IDX && !es_directory_exists(spec->path)) {
    const bool package = strcmp(spec->path, "/usr/share/datasets/fashion-mnist") == 0;
    es_fail(status, ES_INPUT, STAGE,
            "%s:%d: dataset %s: the folder %s does not exist; %sthe folder must hold train-images-idx3-ubyte, "
            "train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, plain or .gz",
            es_job_path(plan->job), spec->line, spec->name, spec->path,
            package ? "install Debian's package dataset-fashion-mnist, or set the path of the dataset: " : "");
  } else if (es_dataset_inspect(&plan->infos[i], spec, &own) != ES_OK) {
    plan->infos[i] = (es_dataset_info_t){0};
    /* No point was run yet, so an unreadable file is reported as a wrong job too. */
    es_fail(status, ES_INPUT, STAGE, "%s:%d: dataset %s: %s", es_job_path(plan->job), spec->line, spec->name,
            own.message);
  }
}

/* `faults`: collects what is wrong with each dataset; NULL: only the first fault is kept, in the status. */
static es_code_t inspect_datasets(es_plan_t *plan, const es_dataset_info_t *infos, es_faults_t *faults,
                                  es_status_t *status) {
  plan->n_datasets = es_job_n_datasets(plan->job);
  plan->infos = es_allocate_zero((size_t)plan->n_datasets, sizeof *plan->infos);
  bool *used = es_allocate_zero((size_t)plan->n_datasets, sizeof *used);
  es_code_t code = ES_OK;
  if (plan->infos == NULL || used == NULL) code = es_out_of_memory(status, STAGE, "the datasets");
  for (int b = 0; b < es_job_n_blocks(plan->job) && code == ES_OK; b++) {
    for (int a = 0; a < es_job_n_axes(plan->job, b); a++) {
      const es_job_axis_t axis = es_job_axis(plan->job, b, a);
      for (int v = 0; strcmp(axis.name, "dataset") == 0 && v < axis.n_values; v++)
        used[es_plan_dataset(plan, axis.values[v])] = true;
    }
  }
  const es_probe_settings_t *probe = &es_job_base(plan->job)->probe;
  for (int i = 0; i < es_probe_others(probe) && code == ES_OK; i++)
    used[es_plan_dataset(plan, probe->datasets[i].spec->name)] = true;
  for (int i = 0; i < plan->n_datasets && code == ES_OK; i++) {
    if (used[i] && infos != NULL) plan->infos[i] = infos[i];
    if (used[i] && infos == NULL) inspect_dataset(plan, i, status);
    es_faults_take(faults, status);
  }
  es_free(used);
  return status->code;
}

es_code_t es_plan_inspect(es_plan_t *plan, es_status_t *status) {
  return inspect_datasets(plan, NULL, NULL, status);
}

bool es_plan_says_all(const es_point_t *point) {
  return point->source == ES_SOURCE_CHECKPOINT && strcmp(es_point_axis(point, "classes"), "all") == 0;
}

void es_plan_inspect_for_all(es_plan_t *plan) {
  es_grid_walk_t walk = {.grid = plan->grid};
  if (plan->infos != NULL || es_job_base(plan->job)->source != ES_SOURCE_CHECKPOINT) return;
  for (int64_t i = 0; i < es_grid_count(plan->grid) && plan->infos == NULL; i++) {
    if (es_plan_says_all(es_grid_walk(&walk, i))) es_plan_inspect(plan, &(es_status_t){0});
  }
}

int32_t es_plan_dataset_classes(const es_plan_t *plan, const es_point_t *point) {
  return plan->infos != NULL ? es_plan_info(plan, point)->classes : 0;
}

/* Binds the datasets of a point. */
static es_code_t bind(const es_plan_t *plan, es_point_t *point, es_status_t *status) {
  const es_probe_settings_t *probe = &point->probe;
  ES_TRY(es_point_bind(point, es_plan_info(plan, point), es_job_path(plan->job), status));
  for (int i = 0; i < es_probe_others(probe); i++) {
    const es_dataset_info_t *info = es_plan_info_of(plan, probe->datasets[i].spec->name);
    ES_TRY(es_point_bind_probe(point, i, info, es_job_path(plan->job), status));
  }
  return ES_OK;
}

void es_plan_point(const es_plan_t *plan, int64_t index, es_point_t *out) {
  es_plan_walk(plan, &(es_grid_walk_t){.grid = plan->grid}, index, out);
}

void es_plan_walk(const es_plan_t *plan, es_grid_walk_t *walk, int64_t index, es_point_t *out) {
  *out = *es_grid_walk(walk, index);
  es_plan_moments_apply(plan, index, out);
  if (!es_source_has_network(out->source)) return; /* there is no network to bind */
  es_plan_weights_apply(plan, index, out);
  (void)bind(plan, out, &(es_status_t){0}); /* cannot fail: es_plan_create bound it before */
}

/* ---- networks ---- */

/* Finds the job line to report for an impossible network: resolution or width if it alone is wrong, else 0. */
static int culprit_line(const es_point_t *point) {
  for (int attempt = 0; attempt < 2; attempt++) {
    es_point_t other = *point;
    es_graph_t *graph = NULL;
    if (attempt == 0)
      other.resolution = 512;
    else
      other.width = (es_ratio_t){16, 1};
    const es_code_t code = es_graph_create(&graph, &other, &(es_status_t){0});
    es_graph_destroy(graph);
    if (code == ES_OK) return attempt == 0 ? point->line_resolution : point->line_width;
  }
  return 0;
}

static es_code_t describe_network(const es_plan_t *plan, const es_point_t *point, network_t *out, es_status_t *status) {
  es_graph_t *graph = NULL;
  es_status_t own = {0};
  const bool vectors = es_measure_vectors(&point->measure);
  const es_method_t *method = es_method(point->measure.method);
  if (es_graph_create(&graph, point, &own) != ES_OK) {
    const int line = culprit_line(point);
    const bool said = point->model.family == ES_FAMILY_DESCRIPTION && strcmp(own.stage, "model") == 0;
    if (said && line == 0) /* the message has file and line */
      return es_fail(status, own.code, STAGE, "%s (model %s, width %s, resolution %d)", own.message, point->model.name,
                     es_point_axis(point, "width"), point->resolution);
    return es_fail(status, own.code, STAGE, "%s:%d: %s (model %s, width %s, resolution %d)", es_job_path(plan->job),
                   line > 0 ? line : point->line_model, own.message, point->model.name, es_point_axis(point, "width"),
                   point->resolution);
  }
  for (int i = 0; i < graph->n_layers; i++) {
    const es_node_t *node = &graph->nodes[graph->layers[i]];
    if (!es_capture_takes(&point->measure, node)) continue;
    const int32_t columns = es_method_of(point->measure.method, node)->width(node->out, point->measure.method_size);
    if (columns > WIDEST)
      es_fail(&own, ES_INPUT, STAGE,
              "%s:%d: layer %s of model %s has %d columns with measure.method %s: the covariance would need %.1f GB, "
              "and at most %d columns can be measured; choose another method (such as channelwise or {pool: 2}) or "
              "fewer layers (measure.layers)",
              es_job_path(plan->job), point->line_model, node->name, point->model.name, columns, method->name,
              8e-9 * columns * columns, WIDEST);
    else if (vectors && columns > ES_VECTORS_ORDER_MOST)
      es_fail(&own, ES_INPUT, STAGE, /* workspaces of eigenvectors have a lower limit than covariances */
              "%s:%d: layer %s of model %s has %d columns with measure.method %s, but eigenvectors "
              "(measure.eigenspace, measure.projection) can be computed for at most %d; choose another method (such as "
              "channelwise or {pool: 2}) or fewer layers (measure.layers)",
              es_job_path(plan->job), point->line_model, node->name, point->model.name, columns, method->name,
              ES_VECTORS_ORDER_MOST);
  }
  if (es_forecast_network(&out->forecast, point, graph, &own) == ES_OK) es_forecast_destroy(&out->forecast);
  out->forecast.graph = NULL;
  out->other_groups = graph->other_groups;
  es_graph_destroy(graph);
  if (point->measure.projection && !es_measure_positions(&point->measure))
    es_fail(&own, ES_INPUT, STAGE,
            "%s: measure.projection projects each position separately, so it needs measure.method channelwise or "
            "{nearest: K}, not %s",
            es_job_path(plan->job), method->name);
  if (own.code != ES_OK) return es_fail(status, own.code, STAGE, "%s", own.message);
  if (out->forecast.n_layers > 0) return ES_OK;
  return es_fail(
      status, ES_INPUT, STAGE,
      "%s:%d: no layer of model %s matches measure.layers; `eigenscope model show` prints the names of layers",
      es_job_path(plan->job), point->line_model, point->model.name);
}

static uint64_t network_key(const es_point_t *point) {
  const bool described = point->model.family == ES_FAMILY_DESCRIPTION;
  const int64_t facts[] = {point->model.family,
                           point->model.head,
                           point->model.n_items,
                           point->width.numerator,
                           point->width.denominator,
                           point->classes,
                           point->resolution,
                           point->measure.method,
                           point->measure.method_size,
                           point->model.stem,
                           point->model.skip,
                           point->model.batch_norm,
                           es_measure_vectors(&point->measure),
                           point->measure.projection,
                           point->probe.pool,
                           described ? (int64_t)es_description_hash(point) : 0};
  return es_hash(point->model.items, (size_t)point->model.n_items * sizeof *point->model.items,
                 es_hash(facts, sizeof facts, 0));
}

/* Finds the network of a point, or describes and stores a new one. */
static es_code_t find_network(const es_plan_t *plan, const es_point_t *point, int32_t *out, es_status_t *status) {
  struct es_plan_work *work = plan->work;
  const uint64_t key = network_key(point);
  uint64_t slot = key & work->mask;
  for (; work->slots[slot] != 0; slot = (slot + 1) & work->mask) {
    *out = work->slots[slot] - 1;
    if (work->networks[*out].key == key) return ES_OK;
  }
  if (work->n_networks == work->capacity) {
    const int32_t capacity = work->capacity == 0 ? 16 : 2 * work->capacity;
    network_t *more = es_reallocate(work->networks, (size_t)capacity, sizeof *more);
    if (more == NULL) return es_out_of_memory(status, STAGE, "%d networks", capacity);
    work->networks = more;
    work->capacity = capacity;
  }
  *out = work->n_networks;
  ES_TRY(describe_network(plan, point, &work->networks[*out], status));
  work->networks[*out].key = key;
  work->slots[slot] = ++work->n_networks;
  return ES_OK;
}

/* Checks the number of measured training steps, which depends on the dataset. */
static es_code_t check_steps(const es_plan_t *plan, const es_point_t *point, es_status_t *status) {
  const int64_t samples = es_point_samples(point, es_plan_info(plan, point), ES_TRAIN);
  const int64_t n = es_point_steps(point, samples, NULL);
  if (point->source != ES_SOURCE_TRAIN || point->measure.steps.kind == ES_STEPS_NONE) return ES_OK;
  if (n == 0)
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: measure.steps begins with step %d, but training ends after step %d; use smaller steps",
                   es_job_path(plan->job), point->measure.steps.list[0], es_point_last_step(point, samples));
  if (n <= ES_STEPS_MAX) return ES_OK;
  return es_fail(
      status, ES_INPUT, STAGE,
      "%s: measure.steps would measure %lld steps of a point, but may measure at most %d; use every: %lld or "
      "more",
      es_job_path(plan->job), (long long)n, (int)ES_STEPS_MAX,
      (long long)es_point_last_step(point, samples) / (ES_STEPS_MAX - 1) + 1);
}

/* Binds a point, and finds its network. */
static es_code_t check_point(es_plan_t *plan, int64_t i, es_point_t *point, es_status_t *status) {
  es_plan_weights_apply(plan, i, point);
  ES_TRY(bind(plan, point, status));
  ES_TRY(check_steps(plan, point, status));
  return find_network(plan, point, &plan->work->network[i], status);
}

/* Binds every point, describes every network, and sums the work. */
static es_code_t check_points(es_plan_t *plan, es_faults_t *faults, es_status_t *status) {
  const int64_t n = es_grid_count(plan->grid);
  const es_point_t *base = es_job_base(plan->job);
  es_grid_walk_t walk = {.grid = plan->grid};
  enum { REFUSED_MAX = 1000 }; /* points with the same few faults need not be tried all */
  int refused = 0;
  uint64_t slots = 16;
  while (slots < 2 * (uint64_t)n) slots *= 2;
  struct es_plan_work *work = plan->work = es_allocate_zero(1, sizeof *work);
  if (work == NULL) return es_out_of_memory(status, STAGE, "%lld points", (long long)n);
  work->mask = slots - 1;
  work->slots = es_allocate_zero(slots, sizeof *work->slots);
  work->network = es_allocate_zero((size_t)n, sizeof *work->network);
  work->cost = es_allocate_zero((size_t)n, sizeof *work->cost);
  if (work->slots == NULL || work->network == NULL || work->cost == NULL)
    return es_out_of_memory(status, STAGE, "%lld points", (long long)n);
  if (!es_source_has_network(base->source)) { /* es_plan_external or es_plan_moments_find checks the files */
    work->lanes = base->train.lanes;
    for (int64_t i = 0; i < n; i++) work->cost[i] = plan->moments != NULL ? plan->moments[i].cost : 1.0;
    return ES_OK;
  }
  for (int64_t i = 0; i < n; i++) {
    es_point_t point = *es_grid_walk(&walk, i);
    if (i == 0 || point.train.lanes < work->lanes) work->lanes = point.train.lanes;
    if (plan->weights != NULL && !plan->weights[i].known) continue;
    if (check_point(plan, i, &point, status) != ES_OK) {
      ES_TRY(es_faults_take(faults, status));
      if (faults->more > 0 || ++refused == REFUSED_MAX) break;
      continue;
    }
    const es_dataset_info_t *info = es_plan_info(plan, &point);
    es_forecast_t forecast = work->networks[work->network[i]].forecast;
    forecast.point = &point;
    for (int split = 0; split < ES_SPLITS; split++)
      forecast.samples[split] = es_point_samples(&point, info, (es_split_t)split);
    work->cost[i] = es_forecast_cost(&forecast);
  }
  es_free(work->slots);
  work->slots = NULL;
  return es_faults_conclude(faults, STAGE, status);
}

es_code_t es_plan_create(es_plan_t *out, const es_plan_request_t *request, es_status_t *status) {
  ES_TRY(es_plan_open(out, request, status));
  es_faults_t faults = {0};
  es_code_t code = inspect_datasets(out, request->infos, &faults, status);
  if (code == ES_OK) code = es_faults_conclude(&faults, STAGE, status);
  if (code == ES_OK) code = es_plan_weights_find(out, request, status);
  if (code == ES_OK) code = es_plan_moments_find(out, request, status);
  if (code == ES_OK) code = check_points(out, &faults, status);
  if (code != ES_OK) es_plan_destroy(out);
  return code;
}

double es_plan_cost(const es_plan_t *plan, int64_t index) {
  return plan->work->cost[index];
}

int64_t es_plan_macs(const es_plan_t *plan, int64_t index) {
  return plan->work->networks[plan->work->network[index]].forecast.macs;
}

int64_t es_plan_parameters(const es_plan_t *plan, int64_t index) {
  return plan->work->networks[plan->work->network[index]].forecast.parameters;
}

int32_t es_plan_network(const es_plan_t *plan, int64_t index) {
  return plan->work->network[index];
}

es_other_groups_t es_plan_other_groups(const es_plan_t *plan, int64_t index) {
  return plan->work->networks[plan->work->network[index]].other_groups;
}

double es_plan_image_cost(const es_plan_t *plan, int64_t index, const es_point_t *point) {
  const es_forecast_t *network = &plan->work->networks[plan->work->network[index]].forecast;
  const bool training = point->source == ES_SOURCE_TRAIN;
  const double covariance = !training || point->measure.splits[ES_TRAIN] ? network->covariance : 0.0;
  return (training ? 3 : 1) * (double)network->macs * es_forecast_weight(point->train.precision) + covariance;
}

int32_t es_plan_lanes(const es_plan_t *plan) {
  return plan->work->lanes;
}
