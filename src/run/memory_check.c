/* Checks before a run that memory suffices for the points that run at the same time. */
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include "run_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The points to run, and the number of ranks that run them on this node. */
typedef struct check {
  const es_plan_t *plan;
  const int64_t *pending;
  int64_t n;
  int ranks, here; /* ranks of a point; ranks of this node */
} check_t;

static int descending(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x < y) - (x > y);
}

/* The images of a run: each dataset is held in memory once per resolution. */
typedef struct images {
  int64_t bytes;
  int n;
  struct {
    char name[ES_NAME_MAX];
    int32_t resolution;
  } seen[64];
} images_t;

/* With `stream`, a dataset that supports it stays in its file; each rank then needs two open files with their HDF5
 * caches, one stored image and one resized image. */
static void add_images(images_t *images, const es_dataset_spec_t *spec, const es_dataset_info_t *info,
                       int32_t resolution, int here, bool stream) {
  const int64_t stored = (int64_t)info->height * info->width * info->channels;
  const int64_t wanted = (int64_t)resolution * resolution * info->channels;
  for (int i = 0; i < images->n; i++) {
    if (images->seen[i].resolution == resolution && strcmp(images->seen[i].name, spec->name) == 0) return;
  }
  if (images->n < (int)(sizeof images->seen / sizeof *images->seen)) { /* any more are counted repeatedly */
    memcpy(images->seen[images->n].name, spec->name, sizeof images->seen->name);
    images->seen[images->n++].resolution = resolution;
  }
  images->bytes += stream && es_dataset_streams(spec) ? here * ((4 << 20) + 8 * stored + wanted)
                                                      : es_dataset_bytes(info, resolution);
}

/* Bytes needed on the node at `ranks` ranks per point: the points that need most memory, one per group, and the images.
 * *largest: index in `pending` of the point that needs most. -1 when out of memory. */
static int64_t node_need(const check_t *c, int ranks, bool stream, int64_t *largest) {
  int64_t *needs = es_allocate_zero((size_t)c->n, sizeof *needs), sum = 0;
  images_t images = {0};
  es_memory_prediction_t prediction = {0};
  if (!needs) return -1;
  *largest = 0;
  for (int64_t i = 0; i < c->n; i++) {
    es_point_t point;
    es_plan_point(c->plan, c->pending[i], &point);
    const es_dataset_info_t *info = es_plan_info(c->plan, &point);
    if (es_memory_predict_next(&prediction, &point, info, ranks, &(es_status_t){0}) != ES_OK) {
      es_free(needs);
      return -1;
    }
    needs[i] = prediction.need.rank;
    add_images(&images, &point.dataset, info, point.resolution, c->here, stream);
    for (int k = 0; k < es_probe_others(&point.probe); k++) {
      const es_dataset_spec_t *other = point.probe.datasets[k].spec;
      add_images(&images, other, es_plan_info_of(c->plan, other->name), point.resolution, c->here, stream);
    }
    if (needs[i] > needs[*largest]) *largest = i;
  }
  qsort(needs, (size_t)c->n, sizeof *needs, descending);
  for (int rank = 0; rank < c->here; rank++) sum += rank / ranks < c->n ? needs[rank / ranks] : 0;
  es_free(needs);
  return sum + images.bytes;
}

/* Checks points that train: first for certain, then within the 25 % by which predictions may be wrong. */
static es_code_t check_node(const check_t *c, bool *stream, es_status_t *status) {
  static const struct {
    double share;
    bool stream;
  } attempts[] = {{1.0, false}, {1.0, true}, {0.8, false}, {0.8, true}};
  const int64_t available = es_memory_available();
  int64_t largest = 0, need = 0, other, fits = 0;
  for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
    *stream = attempts[i].stream;
    need = node_need(c, c->ranks, *stream, &largest);
    if (need < 0) return es_out_of_memory(status, "run", "%lld points", (long long)c->n);
    if (attempts[i].share * (double)need <= (double)available) return ES_OK;
  }
  es_point_t point;
  es_plan_point(c->plan, c->pending[largest], &point);
  for (int64_t more = 2 * c->ranks; more <= point.train.lanes && fits == 0; more *= 2) {
    const int64_t with_more = node_need(c, (int)more, *stream, &other);
    if (with_more >= 0 && 0.8 * (double)with_more <= (double)available) fits = more;
  }
  char advice[160];
  if (fits > 0)
    snprintf(advice, sizeof advice, "use --ranks-per-point %lld", (long long)fits);
  else
    snprintf(advice, sizeof advice, "distribute the ranks over more nodes%s",
             c->here > c->ranks ? ", or start fewer on each" : "");
  return es_fail(status, ES_INPUT, "run",
                 "%s: point %lld would need about %s on this node (%d rank%s, %d per point), but %s are free; %s",
                 es_job_path(c->plan->job), (long long)c->pending[largest], es_bytes(need).text, c->here,
                 c->here == 1 ? "" : "s", c->ranks, es_bytes(available).text, advice);
}

/* Checks points of files by the one that needs most: each rank of the node works on such a point, or on a smaller one.
 */
static es_code_t check_activations(const check_t *c, es_status_t *status) {
  es_external_info_t info;
  int64_t most = 0, largest = c->pending[0];
  for (int64_t i = 0; i < c->n; i++) {
    const int64_t bytes = c->n > 1 ? es_plan_external_bytes(c->plan, c->pending[i], c->ranks) : 0;
    if (bytes > most) largest = c->pending[i];
    if (bytes > most) most = bytes;
  }
  ES_TRY(es_plan_external(c->plan, largest, &info, status));
  const int64_t available = es_memory_available();
  const int64_t need = c->here * es_plan_activations_bytes(c->plan, largest, &info, c->ranks);
  const int more = es_plan_activations_fit(c->plan, largest, &info, c->ranks, c->here, available);
  es_external_info_destroy(&info);
  if (more == c->ranks) return ES_OK;
  char advice[80] = "start fewer on each node";
  if (more > 0 && c->n > 1)
    snprintf(advice, sizeof advice, "use --ranks-per-point %d", more);
  else if (more > 0)
    snprintf(advice, sizeof advice, "use %d ranks in all, %d on each node", more, c->here);
  return es_fail(status, ES_INPUT, "run", "%s: would need about %s on this node (%d of %d rank%s), but %s are free; %s",
                 es_job_path(c->plan->job), es_bytes(need).text, c->here, c->ranks, c->ranks == 1 ? "" : "s",
                 es_bytes(available).text, advice);
}

es_code_t es_run_check_memory(const es_plan_t *plan, const int64_t *pending, int64_t n, int ranks, bool *stream,
                              es_status_t *status) {
  check_t check = {plan, pending, n, ranks, 0};
  MPI_Comm node;
  int rank;
  *stream = false;
  if (n == 0) return ES_OK;
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  ES_MPI(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node));
  ES_MPI(MPI_Comm_size(node, &check.here));
  ES_MPI(MPI_Comm_rank(node, &rank));
  /* Nodes may differ, so the first rank of each node checks its own. */
  if (rank == 0 && !es_source_has_network(es_job_base(plan->job)->source))
    check_activations(&check, status);
  else if (rank == 0)
    check_node(&check, stream, status);
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, stream, 1, MPI_C_BOOL, MPI_LOR, MPI_COMM_WORLD));
  ES_MPI(MPI_Comm_free(&node));
  return es_agree(MPI_COMM_WORLD, status);
}
