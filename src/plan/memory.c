#include "memory.h"
#include "eigenscope/capture.h"
#include "eigenscope/comm.h"
#include "eigenscope/eigenspace.h"
#include "eigenscope/graph.h"
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include "eigenscope/probe.h"
#include "eigenscope/spectrum.h"
#include "plan_internal.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* What a process with MPI, HDF5, OpenBLAS and oneDNN takes before it has data: measured, Debian 12. Kernels that oneDNN
 * writes come on top, for each convolution. */
static const int64_t process_bytes = 40 << 20, kernel_bytes = 400 << 10;
/* Of a layer at the largest delta, where nothing is known yet. */
static const double EXPECTED_SATURATION = 0.5;

enum { LAYERS_MOST = 2048 };

/* Columns of the measured layers. */
typedef struct measured {
  int n;
  int32_t widths[LAYERS_MOST], widest;
  double squares; /* Σ width² */
} measured_t;

static void find_measured(const es_point_t *point, const es_graph_t *graph, measured_t *out) {
  int32_t chosen[LAYERS_MOST];
  *out = (measured_t){.n = es_capture_select(graph, &point->measure, chosen), .widest = 1};
  for (int i = 0; i < out->n; i++) {
    const es_shape_t shape = graph->nodes[graph->layers[chosen[i]]].out;
    const int32_t width = out->widths[i] = es_method(point->measure.method)->width(shape, point->measure.method_size);
    out->squares += (double)width * width;
    out->widest = width > out->widest ? width : out->widest;
  }
}

/* Results, and the images of files under way: a state (weights, momenta, results) or a result file. Eigenvectors that
 * are stored are in the result, those that are followed in a state. */
static int64_t store_bytes(const es_point_t *point, const es_graph_t *graph, const measured_t *layers, int64_t spaces) {
  const es_measure_settings_t *m = &point->measure;
  const bool trained = point->source == ES_SOURCE_TRAIN;
  const int64_t epochs = trained ? point->train.epochs + 1 : es_external_epochs(&point->external);
  const int64_t numbers = m->eigenspace != ES_EIGENSPACE_NO ? 3 : 1;
  int64_t results = ES_SPLITS * epochs * layers->n * (8 * numbers * layers->widest + m->n_deltas * 12 + 64);
  if (m->eigenspace == ES_EIGENSPACE_STORE) results += ES_SPLITS * epochs * (int64_t)(4 * layers->squares);
  const int64_t vectors = !trained ? 1 : point->train.optimizer == ES_ADAM ? 3 : 2;
  const int64_t weights = 4 * (graph->parameter_count * vectors + graph->buffer_count);
  return results + results + weights + spaces;
}

/* Passes of a point that are measured, of both splits. */
static int64_t measured_passes(const es_point_t *point) {
  const int32_t epochs = point->train.epochs, every = point->measure.every;
  const bool trained = point->source == ES_SOURCE_TRAIN, *splits = point->measure.splits;
  const int64_t each = trained ? epochs / every + (epochs % every != 0) : es_external_epochs(&point->external);
  return (splits[ES_TRAIN] ? each : 0) + (splits[ES_EVAL] ? each + trained : 0);
}

/* Eigenvectors of all measured epochs, as the leader of a group keeps them, if they are followed. */
static int64_t spaces_bytes(const es_point_t *point, const measured_t *layers, int ranks) {
  const es_eigenspaces_plan_t plan = {.widths = layers->widths,
                                      .n_layers = layers->n,
                                      .measured = measured_passes(point),
                                      .share = EXPECTED_SATURATION,
                                      .ranks = ranks};
  return point->measure.eigenspace != ES_EIGENSPACE_NO ? es_eigenspaces_bytes(&plan) : 0;
}

/* Merged covariances while a split is measured: one on its way, and those that the rank solves itself, with their
 * leading eigenvectors where those are asked for. */
static int64_t measure_bytes(const es_point_t *point, const measured_t *layers, int ranks) {
  const bool vectors = es_measure_vectors(&point->measure);
  int64_t bytes = 0, held = 0;
  for (int i = 0; i < layers->n; i++) {
    const int32_t width = layers->widths[i];
    const bool whole = es_accumulator_strategy(width, INT64_MAX) == ES_STRATEGY_LANES;
    if (whole) bytes += 8 * (int64_t)es_cov_moments_size(width);
    if (whole && 16 * (int64_t)es_cov_moments_size(width) > held) held = 16 * (int64_t)es_cov_moments_size(width);
    if (es_spectrum_bytes(width, ranks, vectors) > held) held = es_spectrum_bytes(width, ranks, vectors);
    if (vectors) bytes += (int64_t)(8 * EXPECTED_SATURATION * width) * width;
  }
  if (point->measure.projection) held += es_projector_bytes(layers->widths, layers->n, EXPECTED_SATURATION);
  return bytes / ranks + held;
}

/* Probes: the features of a round on the busiest rank, and the fit of the widest layer. Lanes differ by a sample or
 * two. */
static int64_t probe_bytes(const es_point_t *point, const es_graph_t *graph, int64_t samples, int ranks) {
  const int lanes = point->train.lanes;
  const es_group_t group = {.size = ranks, .lanes = lanes, .lane_count = lanes / ranks};
  int32_t chosen[2048], widest = 1;
  int64_t all = 0, round = (int64_t)point->probe.memory << 20;
  if (point->probe.epochs.kind == ES_EPOCHS_NONE) return 0;
  if (point->probe.samples > 0 && point->probe.samples < samples) samples = point->probe.samples;
  for (int i = 0, n = es_capture_select(graph, &point->measure, chosen); i < n; i++) {
    const es_shape_t shape = graph->nodes[graph->layers[chosen[i]]].out;
    const int32_t width = es_probe_width(shape.h, shape.w, shape.c, point->probe.pool);
    all += width;
    widest = width > widest ? width : widest;
  }
  const int64_t rows = (samples + ranks - 1) / ranks;
  const es_probe_problem_t problem = {.n = samples, .width = widest, .classes = point->classes};
  if (round < 4 * rows * widest) round = 4 * rows * widest;
  return (4 * rows * all < round ? 4 * rows * all : round) + es_probe_bytes(&problem, &group);
}

es_code_t es_memory_predict(es_memory_need_t *out, const es_point_t *point, const es_dataset_info_t *info, int ranks,
                            es_status_t *status) {
  es_graph_t *graph;
  ES_TRY(es_graph_create(&graph, point, status));
  measured_t layers;
  find_measured(point, graph, &layers);
  const int64_t spaces = spaces_bytes(point, &layers, ranks);
  const int64_t samples = es_point_samples(point, info, ES_TRAIN) + es_point_samples(point, info, ES_EVAL);
  const int64_t most_samples = es_point_samples(point, info, ES_TRAIN);
  const bool trained = point->source == ES_SOURCE_TRAIN;
  int64_t rank = process_bytes + kernel_bytes * graph->n_layers;
  const int64_t model = es_model_bytes(graph, point->train.batch, point->train.lanes, ranks, trained);
  rank += model;
  if (trained) rank += 4 * graph->parameter_count * (point->train.optimizer == ES_ADAM ? 2 : 1);
  const int64_t capture = es_capture_bytes(graph, &point->measure, most_samples, point->train.lanes, ranks);
  rank += capture;
  rank += measure_bytes(point, &layers, ranks);
  rank += store_bytes(point, graph, &layers, spaces) + spaces;
  rank += probe_bytes(point, graph, most_samples, ranks);
  rank += 12 * samples;
  es_graph_destroy(graph);
  const int64_t image = (int64_t)point->resolution * point->resolution * info->channels;
  if (model == 0 || capture == 0) return es_out_of_memory(status, "memory", "the prediction of memory");
  *out = (es_memory_need_t){rank, (info->count[ES_TRAIN] + info->count[ES_EVAL]) * (image + 2)};
  return ES_OK;
}

void es_memory_key(es_point_t *out, const es_point_t *point) {
  *out = *point;
  out->seed = 0;
  out->n_axes = 0;
  memset(out->axes, 0, sizeof out->axes);
  es_train_settings_t *t = &out->train;
  t->learning_rate = t->momentum = t->weight_decay = t->schedule_gamma = 0.0;
}

int es_memory_fit(const es_point_t *point, const es_dataset_info_t *info, int ranks, int64_t available) {
  for (; ranks <= point->train.lanes; ranks *= 2) {
    es_memory_need_t need = {0};
    if (es_memory_predict(&need, point, info, ranks, &(es_status_t){0}) != ES_OK) return -1;
    if (0.8 * (double)need.rank <= (double)available) return ranks;
  }
  return 0;
}

/* VmHWM counts shared memory that was touched; RssShmem is what of it is there now, which for us only grows. */
int64_t es_memory_peak(void) {
  FILE *file = fopen("/proc/self/status", "r");
  long long peak = 0, shared = 0;
  char line[256];
  while (file && fgets(line, sizeof line, file)) {
    sscanf(line, "VmHWM: %lld", &peak);
    sscanf(line, "RssShmem: %lld", &shared);
  }
  if (file) fclose(file);
  return (peak - shared) * 1024;
}

/* ---- does it fit? ---- */

/* A number of bytes in a file of one line; INT64_MAX where there is none ("max"). */
static int64_t read_bytes(const char *path) {
  FILE *file = fopen(path, "r");
  long long bytes = INT64_MAX;
  if (!file) return bytes;
  if (fscanf(file, "%lld", &bytes) != 1) bytes = INT64_MAX;
  fclose(file);
  return bytes;
}

/* What is left below memory.max of this process's cgroup (version 2) and those above it. */
static int64_t cgroup_available(void) {
  char path[512] = "", file[640];
  int64_t least = INT64_MAX;
  FILE *own = fopen("/proc/self/cgroup", "r");
  while (own && fgets(path, sizeof path, own) && strncmp(path, "0::", 3) != 0) path[0] = '\0';
  if (own) fclose(own);
  path[strcspn(path, "\n")] = '\0';
  if (strncmp(path, "0::/", 4) != 0) return least;
  for (char *end = path + strlen(path); end > path + 3; *(end = strrchr(path, '/')) = '\0') {
    snprintf(file, sizeof file, "/sys/fs/cgroup%s/memory.max", path + 3);
    const int64_t most = read_bytes(file);
    snprintf(file, sizeof file, "/sys/fs/cgroup%s/memory.current", path + 3);
    const int64_t now = read_bytes(file);
    if (most != INT64_MAX && now != INT64_MAX && most - now < least) least = most - now;
  }
  return least;
}

/* What this process has of RLIMIT_AS already. */
static int64_t address_space(void) {
  FILE *file = fopen("/proc/self/statm", "r");
  long long pages = 0;
  if (!file) return 0;
  if (fscanf(file, "%lld", &pages) != 1) pages = 0;
  fclose(file);
  return pages * sysconf(_SC_PAGESIZE);
}

int64_t es_memory_available(void) {
  char line[256];
  long long kib = 0;
  int64_t least = cgroup_available();
  struct rlimit limit;
  FILE *file = fopen("/proc/meminfo", "r");
  while (file && fgets(line, sizeof line, file) && sscanf(line, "MemAvailable: %lld", &kib) != 1) continue;
  if (file) fclose(file);
  if (kib > 0 && kib * 1024 < least) least = kib * 1024;
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    const int64_t left = (int64_t)limit.rlim_cur - address_space();
    if (left < least) least = left > 0 ? left : 0;
  }
  return least;
}

static int descending(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x < y) - (x > y);
}

/* The images of a run: each dataset is held once at each resolution. */
typedef struct images {
  bool stream; /* those that can stay in their file do */
  int here;    /* ranks of the node */
  int64_t bytes;
  int n;
  struct {
    char name[ES_NAME_MAX];
    int32_t resolution;
  } seen[64];
} images_t;

/* A rank that reads images as it needs them: two files, each with what HDF5 keeps of it, and an image as stored and as
 * wanted. */
static int64_t stream_bytes(const es_point_t *point, const es_dataset_info_t *info) {
  const int64_t stored = (int64_t)info->height * info->width * info->channels;
  return (4 << 20) + 8 * stored + (int64_t)point->resolution * point->resolution * info->channels;
}

static void add_images(images_t *images, const es_point_t *point, const es_dataset_info_t *info, int64_t bytes) {
  for (int i = 0; i < images->n; i++) {
    if (images->seen[i].resolution == point->resolution && strcmp(images->seen[i].name, point->dataset.name) == 0)
      return;
  }
  if (images->n < (int)(sizeof images->seen / sizeof *images->seen)) { /* any more are counted too often */
    memcpy(images->seen[images->n].name, point->dataset.name, sizeof images->seen->name);
    images->seen[images->n++].resolution = point->resolution;
  }
  const bool stream = images->stream && es_dataset_streams(&point->dataset);
  images->bytes += stream ? images->here * stream_bytes(point, info) : bytes;
}

/* Bytes on a node of `here` ranks: the hungriest points at once, one a group, and the images. *largest: the place in
 * `pending` of the hungriest. -1 when memory is out. */
static int64_t node_need(const es_plan_t *plan, const int64_t *pending, int64_t n, int ranks, int here, bool stream,
                         int64_t *largest) {
  int64_t *needs = es_allocate_zero((size_t)n, sizeof *needs), sum = 0;
  images_t images = {.stream = stream, .here = here};
  es_memory_need_t need = {0};
  es_point_t point, key, last = {0};
  if (!needs) return -1;
  *largest = 0;
  for (int64_t i = 0; i < n; i++) {
    es_plan_point(plan, pending[i], &point);
    es_memory_key(&key, &point);
    /* Where padding differs it is computed again.
     * NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c) */
    const bool new = i == 0 || memcmp(&key, &last, sizeof key) != 0;
    if (new &&es_memory_predict(&need, &point, es_plan_info(plan, &point), ranks, &(es_status_t){0}) != ES_OK) {
      es_free(needs);
      return -1;
    }
    last = key;
    needs[i] = need.rank;
    add_images(&images, &point, es_plan_info(plan, &point), need.shared);
    if (needs[i] > needs[*largest]) *largest = i;
  }
  qsort(needs, (size_t)n, sizeof *needs, descending);
  for (int rank = 0; rank < here; rank++) sum += rank / ranks < n ? needs[rank / ranks] : 0;
  es_free(needs);
  return sum + images.bytes;
}

static es_code_t refuse(const es_plan_t *plan, const int64_t *pending, int64_t n, int ranks, int here, bool stream,
                        int64_t need, int64_t available, int64_t largest, es_status_t *status) {
  const double gib = 1 << 30;
  int64_t other, fits = 0;
  es_point_t point;
  es_plan_point(plan, pending[largest], &point);
  for (int64_t more = 2 * ranks; more <= point.train.lanes && fits == 0; more *= 2) {
    const int64_t with_more = node_need(plan, pending, n, (int)more, here, stream, &other);
    if (with_more >= 0 && 0.8 * (double)with_more <= (double)available) fits = more;
  }
  char advice[160];
  if (fits > 0)
    snprintf(advice, sizeof advice, "--ranks-per-point %lld would do", (long long)fits);
  else
    snprintf(advice, sizeof advice, "spread the ranks over more nodes%s",
             here > ranks ? ", or start fewer on each" : "");
  return es_fail(
      status, ES_INPUT, "run",
      "%s: point %lld would need about %.1f GiB on this node for %d rank%s at %d a point; %.1f GiB are free: %s",
      es_job_path(plan->job), (long long)pending[largest], (double)need / gib, here, here == 1 ? "" : "s", ranks,
      (double)available / gib, advice);
}

/* Activations: one point on all ranks, of which `here` share this node. */
static es_code_t check_activations(const es_plan_t *plan, int ranks, int here, es_status_t *status) {
  es_external_info_t info;
  const double gib = 1 << 30;
  ES_TRY(es_plan_external(plan, &info, status));
  const int64_t available = es_memory_available(), need = here * es_plan_activations_bytes(plan, &info, ranks);
  const int more = es_plan_activations_fit(plan, &info, ranks, here, available);
  es_external_info_destroy(&info);
  if (more == ranks) return ES_OK;
  char advice[80] = "start fewer on each node";
  if (more > 0) snprintf(advice, sizeof advice, "%d ranks in all, %d to a node, would do", more, here);
  return es_fail(status, ES_INPUT, "run",
                 "%s: would need about %.1f GiB on this node for %d of %d ranks; %.1f GiB are free: %s",
                 es_job_path(plan->job), (double)need / gib, here, ranks, (double)available / gib, advice);
}

/* Points that train, on this node. What fits for certain comes first; then what may fit, as predictions are good to
 * 25 %. */
static void check_node(const es_plan_t *plan, const int64_t *pending, int64_t n, int ranks, int here, bool *stream,
                       es_status_t *status) {
  static const struct {
    double share;
    bool stream;
  } attempts[] = {{1.0, false}, {1.0, true}, {0.8, false}, {0.8, true}};
  int64_t largest = 0, need = 0, available = es_memory_available();
  for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
    *stream = attempts[i].stream;
    need = node_need(plan, pending, n, ranks, here, *stream, &largest);
    if (need < 0) {
      es_out_of_memory(status, "run", "%lld points", (long long)n);
      return;
    }
    if (attempts[i].share * (double)need <= (double)available) return;
  }
  refuse(plan, pending, n, ranks, here, *stream, need, available, largest, status);
}

es_code_t es_memory_check(const es_plan_t *plan, const int64_t *pending, int64_t n, int ranks, bool *stream,
                          es_status_t *status) {
  MPI_Comm node;
  int rank, here, leader;
  *stream = false;
  if (n == 0) return ES_OK;
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  ES_MPI(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node));
  ES_MPI(MPI_Comm_size(node, &here));
  ES_MPI(MPI_Comm_rank(node, &leader));
  const bool activations = es_job_base(plan->job)->source == ES_SOURCE_ACTIVATIONS;
  if (leader == 0 && activations) check_activations(plan, ranks, here, status);
  /* Nodes may differ: the first rank of each looks at its own. */
  if (leader == 0 && !activations) check_node(plan, pending, n, ranks, here, stream, status);
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, stream, 1, MPI_C_BOOL, MPI_LOR, MPI_COMM_WORLD));
  ES_MPI(MPI_Comm_free(&node));
  return es_agree(MPI_COMM_WORLD, status);
}
