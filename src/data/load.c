/* Loading: the leader of each node reads chunks of images into memory that its ranks share (or all ranks generate
 * them), then each rank fits its part of the chunk into its final place. Only fitted images and one chunk are held.
 * Images that stay in their file pass by in the same way, for the fingerprint and what normalises them. */
#include "dataset.h"
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include "fit.h"
#include "moments.h"
#include "reader.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "data";

enum { ALIGNMENT = 64 };

/* What is needed while loading only. */
typedef struct loader {
  const es_dataset_spec_t *spec;
  const es_reader_t *reader;
  es_dataset_t *dataset;
  MPI_Comm comm;
  bool leader, stream;
  uint16_t *labels[ES_SPLITS]; /* owned, on the leader */
  int64_t chunk_images;
  es_shared_t chunk;            /* owned */
  es_fitter_t fitter;           /* owned */
  es_fingerprint_t fingerprint; /* owned, on the leader */
  es_moments_t moments;         /* of the train images that this rank fitted, where they are not kept */
} loader_t;

static int64_t aligned(int64_t size) {
  return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* The leader's findings, brought to all ranks of its node once all nodes agree that they are good. */
static es_code_t inspect(loader_t *loader, es_status_t *status) {
  es_dataset_t *dataset = loader->dataset;
  if (loader->leader) (void)loader->reader->inspect(&dataset->info, loader->labels, loader->spec, status);
  ES_TRY(es_agree(loader->comm, status));
  if (dataset->node.size > 1) {
    ES_MPI(MPI_Bcast(&dataset->info, (int)sizeof dataset->info, MPI_BYTE, 0, dataset->node.comm));
  }
  return ES_OK;
}

static es_code_t open_streamed(loader_t *loader, es_status_t *status) {
  es_dataset_t *dataset = loader->dataset;
  loader->moments.channels = dataset->info.channels;
  dataset->streamed = es_allocate_zero(1, sizeof *dataset->streamed);
  if (dataset->streamed == NULL) return es_fail(status, ES_SYSTEM, STAGE, "%s: not enough memory", dataset->path);
  return es_streamed_open(dataset->streamed, loader->spec, &dataset->info, dataset->resolution, status);
}

/* Memory for pixels, labels and a chunk; pointers into it. */
static es_code_t allocate(loader_t *loader, es_status_t *status) {
  es_dataset_t *dataset = loader->dataset;
  const es_dataset_info_t *info = &dataset->info;
  int64_t stored = es_info_image_size(info), size = 0, most = 0;
  int64_t pixels[ES_SPLITS], labels[ES_SPLITS];
  for (int split = 0; split < ES_SPLITS; split++) {
    pixels[split] = size;
    if (!loader->stream) size += aligned(info->count[split] * es_dataset_image_size(dataset));
    labels[split] = size;
    size += aligned(info->count[split] * (int64_t)sizeof(uint16_t));
    if (info->count[split] > most) most = info->count[split];
  }
  loader->chunk_images = es_info_chunk(info);
  if (loader->chunk_images > most) loader->chunk_images = most;

  if (es_shared_create(&dataset->memory, &dataset->node, size, status) == ES_OK &&
      es_shared_create(&loader->chunk, &dataset->node, loader->chunk_images * stored, status) == ES_OK) {
    if (loader->stream)
      (void)open_streamed(loader, status);
    else
      (void)es_fitter_create(&loader->fitter, loader->spec->fit, info, dataset->resolution, status);
  }
  if (loader->leader) (void)es_fingerprint_create(&loader->fingerprint, dataset->path, status);
  ES_TRY(es_agree(loader->comm, status));
  for (int split = 0; split < ES_SPLITS; split++) {
    if (!loader->stream) dataset->pixels[split] = dataset->memory.data + pixels[split];
    dataset->labels[split] = (uint16_t *)(void *)(dataset->memory.data + labels[split]);
  }
  return ES_OK;
}

/* The part of n images that falls to this rank of the node. */
static void share(const loader_t *loader, int64_t n, int64_t *first, int64_t *count) {
  es_lane_range(n, loader->dataset->node.size, loader->dataset->node.rank, first, count);
}

/* Fills the chunk with images first … first+count−1. Collective over the node. */
static es_code_t read_chunk(loader_t *loader, es_images_t *images, int64_t first, int64_t count, es_status_t *status) {
  const es_node_t *node = &loader->dataset->node;
  int64_t size = es_info_image_size(images->info), mine_first = 0, mine = count;
  if (loader->reader->anywhere) share(loader, count, &mine_first, &mine);
  if (loader->reader->anywhere || loader->leader) {
    (void)loader->reader->read(images, first + mine_first, mine, loader->chunk.data + mine_first * size, status);
  }
  ES_TRY(es_agree(node->comm, status));
  es_shared_fence(&loader->chunk, node);
  return ES_OK;
}

/* An image that is not kept. */
static void pass_by(loader_t *loader, es_split_t split, const uint8_t *image) {
  es_streamed_t *s = loader->dataset->streamed;
  if (split != ES_TRAIN || loader->spec->normalize_given) return;
  es_fitter_apply(&s->fitter, image, s->fitted);
  es_moments_add(&loader->moments, s->fitted, es_dataset_image_size(loader->dataset) / loader->moments.channels);
}

/* Mean and deviation of the whole train split, of which each rank of the node saw a part: exact sums of integers. */
static void settle_moments(loader_t *loader) {
  es_dataset_t *dataset = loader->dataset;
  es_moments_t *m = &loader->moments;
  if (loader->spec->normalize_given) return;
  if (dataset->node.size > 1) {
    uint64_t sums[7] = {m->count, m->sum[0], m->sum[1], m->sum[2], m->squares[0], m->squares[1], m->squares[2]};
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, sums, 7, MPI_UINT64_T, MPI_SUM, dataset->node.comm));
    m->count = sums[0];
    memcpy(m->sum, sums + 1, sizeof m->sum);
    memcpy(m->squares, sums + 4, sizeof m->squares);
  }
  es_moments_finish(m, dataset->streamed->mean, dataset->streamed->deviation);
  dataset->streamed->classes = dataset->info.classes;
}

/* Reads and fits the images of a split. Collective over the node, whose ranks return the same code. */
static es_code_t load_split(loader_t *loader, es_split_t split, es_status_t *status) {
  es_dataset_t *dataset = loader->dataset;
  es_images_t images = {.spec = loader->spec, .info = &dataset->info, .split = split};
  int64_t stored = es_info_image_size(&dataset->info), fitted = es_dataset_image_size(dataset);
  int64_t n = dataset->info.count[split];
  bool reads = loader->reader->anywhere || loader->leader;
  bool opened = reads && loader->reader->open(&images, status) == ES_OK;
  es_code_t code = es_agree(dataset->node.comm, status);
  for (int64_t done = 0, count; code == ES_OK && done < n; done += count) {
    count = n - done < loader->chunk_images ? n - done : loader->chunk_images;
    code = read_chunk(loader, &images, done, count, status);
    if (code != ES_OK) break;
    int64_t first, mine;
    share(loader, count, &first, &mine);
    for (int64_t i = first; i < first + mine; i++) {
      const uint8_t *image = loader->chunk.data + i * stored;
      if (loader->stream)
        pass_by(loader, split, image);
      else
        es_fitter_apply(&loader->fitter, image, dataset->pixels[split] + (done + i) * fitted);
    }
    if (loader->leader) es_fingerprint_add(&loader->fingerprint, loader->chunk.data, (size_t)(count * stored));
    es_shared_fence(&loader->chunk, &dataset->node); /* the chunk is free again */
  }
  if (opened) loader->reader->close(&images);
  return code;
}

static void place_labels(loader_t *loader, es_split_t split) {
  int64_t count = loader->dataset->info.count[split];
  memcpy(loader->dataset->labels[split], loader->labels[split], (size_t)count * sizeof(uint16_t));
  es_fingerprint_add(&loader->fingerprint, loader->labels[split], (size_t)count * sizeof(uint16_t));
}

/* Gives every rank the fingerprint of its own node and makes sure that all nodes read the same data. */
static es_code_t settle_fingerprint(loader_t *loader, es_status_t *status) {
  es_dataset_t *dataset = loader->dataset;
  if (loader->leader) es_fingerprint_finish(&loader->fingerprint, dataset->fingerprint);
  if (dataset->node.size > 1) {
    ES_MPI(MPI_Bcast(dataset->fingerprint, ES_ID_SIZE, MPI_CHAR, 0, dataset->node.comm));
  }
  if (loader->comm == MPI_COMM_NULL) return ES_OK;
  char first[ES_ID_SIZE], host[MPI_MAX_PROCESSOR_NAME] = "";
  memcpy(first, dataset->fingerprint, sizeof first);
  ES_MPI(MPI_Bcast(first, ES_ID_SIZE, MPI_CHAR, 0, loader->comm));
  if (memcmp(first, dataset->fingerprint, sizeof first) != 0) {
    int length;
    ES_MPI(MPI_Get_processor_name(host, &length));
    es_fail(
        status, ES_INPUT, STAGE,
        "%s: the files on node %s (fingerprint %s) differ from those on the first node (%s); all nodes must read the "
        "same data",
        dataset->path, host, dataset->fingerprint, first);
  }
  return es_agree(loader->comm, status);
}

/* Everything between creation and clean-up. Collective over comm; all its ranks return the same code. */
static es_code_t load(loader_t *loader, es_status_t *status) {
  es_dataset_t *dataset = loader->dataset;
  ES_TRY(inspect(loader, status));
  ES_TRY(allocate(loader, status));
  if (loader->leader) es_fingerprint_shape(&loader->fingerprint, &dataset->info);
  es_code_t code = ES_OK;
  for (es_split_t split = ES_TRAIN; code == ES_OK && split < ES_SPLITS; split++) {
    code = load_split(loader, split, status);
    if (code == ES_OK && loader->leader) place_labels(loader, split);
  }
  es_shared_fence(&dataset->memory, &dataset->node);
  if (loader->stream && code == ES_OK) settle_moments(loader);
  ES_TRY(es_agree(loader->comm, status)); /* here the nodes meet again */
  return settle_fingerprint(loader, status);
}

static void loader_destroy(loader_t *loader) {
  for (int split = 0; split < ES_SPLITS; split++) es_free(loader->labels[split]);
  es_shared_destroy(&loader->chunk);
  es_fitter_destroy(&loader->fitter);
  es_fingerprint_destroy(&loader->fingerprint);
}

static es_code_t load_on(es_dataset_t **out, const es_dataset_spec_t *spec, int32_t resolution, MPI_Comm comm,
                         es_node_t node, bool stream, es_status_t *status) {
  *out = NULL;
  es_status_t own = {0}; /* agreements need one, whatever the caller passed */
  const char *path = spec->path[0] != '\0' ? spec->path : spec->name;
  es_dataset_t *dataset = es_allocate_zero(1, sizeof *dataset);
  if (dataset == NULL) es_fail(&own, ES_SYSTEM, STAGE, "%s: not enough memory to read it", path);
  if (resolution < 1 || resolution > ES_RESOLUTION_MAX) {
    es_fail(&own, ES_INPUT, STAGE, "%s: resolution %d, must be 1 … %d", path, resolution, ES_RESOLUTION_MAX);
  }
  es_code_t code = es_agree(comm, &own);
  if (code != ES_OK) {
    es_free(dataset);
    es_node_destroy(&node);
    if (status != NULL && status->code == ES_OK) *status = own;
    return code;
  }
  dataset->resolution = resolution;
  dataset->node = node;
  snprintf(dataset->path, sizeof dataset->path, "%s", path);
  loader_t loader = {.spec = spec,
                     .reader = es_reader_of(spec->format),
                     .dataset = dataset,
                     .comm = comm,
                     .leader = node.rank == 0,
                     .stream = stream};
  code = load(&loader, &own);
  loader_destroy(&loader);
  if (code != ES_OK) {
    es_dataset_destroy(dataset);
    if (status != NULL && status->code == ES_OK) *status = own;
    return code;
  }
  *out = dataset;
  return ES_OK;
}

es_code_t es_dataset_load_on(es_dataset_t **out, const es_dataset_spec_t *spec, int32_t resolution, MPI_Comm comm,
                             es_node_t node, es_status_t *status) {
  return load_on(out, spec, resolution, comm, node, false, status);
}

bool es_dataset_streams(const es_dataset_spec_t *spec) {
  return es_reader_of(spec->format)->streams;
}

es_code_t es_dataset_stream(es_dataset_t **out, const es_dataset_spec_t *spec, int32_t resolution, MPI_Comm comm,
                            es_status_t *status) {
  es_node_t node;
  assert(es_dataset_streams(spec));
  es_node_create(&node, comm);
  return load_on(out, spec, resolution, comm, node, true, status);
}

bool es_dataset_is_streamed(const es_dataset_t *dataset) {
  return dataset->streamed != NULL;
}

es_code_t es_dataset_failure(const es_dataset_t *dataset, es_status_t *status) {
  if (dataset->streamed == NULL || dataset->streamed->failure.code == ES_OK) return ES_OK;
  if (status != NULL && status->code == ES_OK) *status = dataset->streamed->failure;
  return dataset->streamed->failure.code;
}

es_code_t es_dataset_load(es_dataset_t **out, const es_dataset_spec_t *spec, int32_t resolution, MPI_Comm comm,
                          es_status_t *status) {
  es_node_t node;
  es_node_create(&node, comm);
  return es_dataset_load_on(out, spec, resolution, comm, node, status);
}

void es_dataset_destroy(es_dataset_t *dataset) {
  if (dataset == NULL) return;
  if (dataset->streamed != NULL) es_streamed_close(dataset->streamed);
  es_free(dataset->streamed);
  es_shared_destroy(&dataset->memory);
  es_node_destroy(&dataset->node);
  es_free(dataset);
}

const char *es_dataset_fingerprint(const es_dataset_t *dataset) {
  return dataset->fingerprint;
}

const es_dataset_info_t *es_dataset_info(const es_dataset_t *dataset) {
  return &dataset->info;
}
