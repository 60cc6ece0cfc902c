/* Loads a dataset. The leader of each node reads chunks of images into memory shared by its ranks (or all ranks
 * generate them); then each rank fits its part of the chunk into the final array. Only fitted images and one chunk are
 * held. Streamed images are read once in the same way, for the fingerprint and the normalisation. */
#include "dataset.h"
#include "eigenscope/comm.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "data";

enum { ALIGNMENT = 64 };

static int64_t aligned(int64_t size) {
  return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* State used only while loading. */
typedef struct loader {
  const es_dataset_spec_t *spec;
  es_dataset_t *dataset;
  MPI_Comm comm;
  bool leader, stream;
  bool anywhere;               /* each rank can read any image; else the leader reads all images */
  uint16_t *labels[ES_SPLITS]; /* owned, on the leader */
  int64_t chunk_images;
  es_shared_t chunk;            /* owned */
  es_fitter_t fitter;           /* owned */
  es_fingerprint_t fingerprint; /* owned, on the leader */
  es_moments_t moments;         /* of the train images that this rank fitted, if streamed */
} loader_t;

/* Allocates pixels, labels and a chunk, and sets the pointers into them. */
static es_code_t allocate(loader_t *loader, es_status_t *status) {
  es_dataset_t *dataset = loader->dataset;
  const es_dataset_info_t *info = &dataset->info;
  int64_t size = 0, most = 0, pixels[ES_SPLITS], labels[ES_SPLITS];
  for (int split = 0; split < ES_SPLITS; split++) {
    const int64_t n = info->count[split];
    pixels[split] = size;
    if (!loader->stream) size += aligned(n * es_dataset_image_size(dataset));
    labels[split] = size;
    size += aligned(n * (int64_t)sizeof(uint16_t));
    if (n > most) most = n;
  }
  loader->chunk_images = es_info_chunk(info) < most ? es_info_chunk(info) : most;
  const int64_t chunk = loader->chunk_images * es_info_image_size(info);
  if (es_shared_create(&dataset->memory, &dataset->node, size, status) == ES_OK &&
      es_shared_create(&loader->chunk, &dataset->node, chunk, status) == ES_OK) {
    if (loader->stream)
      es_streamed_open(&dataset->streamed, loader->spec, info, dataset->resolution, status);
    else
      es_fitter_create(&loader->fitter, loader->spec->fit, info, dataset->resolution, status);
  }
  if (loader->leader) es_fingerprint_create(&loader->fingerprint, dataset->path, status);
  ES_TRY(es_agree(loader->comm, status));
  for (int split = 0; split < ES_SPLITS; split++) {
    if (!loader->stream) dataset->pixels[split] = dataset->memory.data + pixels[split];
    dataset->labels[split] = (uint16_t *)(void *)(dataset->memory.data + labels[split]);
  }
  return ES_OK;
}

/* The part of n images that belongs to this rank of the node. */
static void share(const loader_t *loader, int64_t n, int64_t *first, int64_t *count) {
  es_lane_range(n, loader->dataset->node.size, loader->dataset->node.rank, first, count);
}

/* Fills the chunk with images first … first+count−1. Collective over the node. */
static es_code_t read_chunk(loader_t *loader, es_images_t *images, int64_t first, int64_t count, es_status_t *status) {
  const es_node_t *node = &loader->dataset->node;
  int64_t mine_first = 0, mine = count;
  if (loader->anywhere) share(loader, count, &mine_first, &mine);
  if (loader->anywhere || loader->leader) {
    uint8_t *out = loader->chunk.data + mine_first * es_info_image_size(images->info);
    es_reader_of(loader->spec->format)->read(images, first + mine_first, mine, out, status);
  }
  ES_TRY(es_agree(node->comm, status));
  es_shared_fence(&loader->chunk, node);
  return ES_OK;
}

/* Fits image `index` of the chunk: into its final position, or for streamed images only into the moments. */
static void fit_image(loader_t *loader, es_split_t split, int64_t index, const uint8_t *image) {
  es_dataset_t *dataset = loader->dataset;
  es_streamed_t *s = dataset->streamed;
  const int64_t fitted = es_dataset_image_size(dataset);
  if (!loader->stream) {
    es_fitter_apply(&loader->fitter, split, index, image, dataset->pixels[split] + index * fitted);
  } else if (split == ES_TRAIN && !loader->spec->normalize_given) {
    es_fitter_apply(&s->fitter, split, index, image, s->fitted);
    es_moments_add(&loader->moments, s->fitted, fitted / loader->moments.channels);
  }
}

/* Reads and fits the images of a split. Collective over the node; its ranks return the same code. */
static es_code_t load_split(loader_t *loader, es_split_t split, es_status_t *status) {
  es_dataset_t *dataset = loader->dataset;
  es_images_t images = {.spec = loader->spec, .info = &dataset->info, .split = split};
  const int64_t stored = es_info_image_size(&dataset->info), n = dataset->info.count[split];
  if (loader->anywhere || loader->leader) es_images_open(&images, status);
  es_code_t code = es_agree(dataset->node.comm, status);
  for (int64_t done = 0, count; code == ES_OK && done < n; done += count) {
    int64_t first, mine;
    count = n - done < loader->chunk_images ? n - done : loader->chunk_images;
    code = read_chunk(loader, &images, done, count, status);
    if (code != ES_OK) break;
    share(loader, count, &first, &mine);
    for (int64_t i = first; i < first + mine; i++) fit_image(loader, split, done + i, loader->chunk.data + i * stored);
    if (loader->leader) es_fingerprint_add(&loader->fingerprint, loader->chunk.data, (size_t)(count * stored));
    es_shared_fence(&loader->chunk, &dataset->node); /* no rank reads the chunk any more */
  }
  es_images_close(&images);
  if (code == ES_OK && loader->leader) {
    memcpy(dataset->labels[split], loader->labels[split], (size_t)n * sizeof(uint16_t));
    es_fingerprint_add(&loader->fingerprint, loader->labels[split], (size_t)n * sizeof(uint16_t));
  }
  return code;
}

/* Combines the moments of the whole train split from the ranks of the node: exact integer sums. */
static void finish_moments(loader_t *loader) {
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

/* Gives every rank the fingerprint from its node, and checks that all nodes read the same data. */
static es_code_t finish_fingerprint(loader_t *loader, es_status_t *status) {
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
    es_fail(status, ES_INPUT, STAGE,
            "%s: the files on node %s (fingerprint %s) differ from those on the first node (%s); all nodes must read "
            "the same data",
            dataset->path, host, dataset->fingerprint, first);
  }
  return es_agree(loader->comm, status);
}

/* Does everything between creation and clean-up. Collective over comm; all ranks return the same code. */
static es_code_t load(loader_t *loader, es_status_t *status) {
  es_dataset_t *dataset = loader->dataset;
  const es_node_t *node = &dataset->node;
  if (loader->leader) es_labels_inspect(&dataset->info, loader->labels, loader->spec, status);
  ES_TRY(es_agree(loader->comm, status));
  if (node->size > 1) ES_MPI(MPI_Bcast(&dataset->info, (int)sizeof dataset->info, MPI_BYTE, 0, node->comm));
  loader->moments.channels = dataset->info.channels;
  ES_TRY(allocate(loader, status));
  if (loader->leader) es_fingerprint_shape(&loader->fingerprint, &dataset->info);
  es_code_t code = ES_OK;
  for (es_split_t split = ES_TRAIN; code == ES_OK && split < ES_SPLITS; split++)
    code = load_split(loader, split, status);
  es_shared_fence(&dataset->memory, node);
  if (loader->stream && code == ES_OK) finish_moments(loader);
  ES_TRY(es_agree(loader->comm, status)); /* joins the nodes again */
  return finish_fingerprint(loader, status);
}

static es_code_t load_on(es_dataset_t **out, loader_t loader, int32_t resolution, es_node_t node, es_status_t *status) {
  const es_dataset_spec_t *spec = loader.spec;
  const char *path = spec->path[0] != '\0' ? spec->path : spec->name;
  es_dataset_t *dataset = loader.dataset = es_allocate_zero(1, sizeof *dataset);
  *out = NULL;
  if (dataset == NULL) es_out_of_memory(status, STAGE, "reading %s", path);
  if (resolution < 1 || resolution > ES_RESOLUTION_MAX) {
    es_fail(status, ES_INPUT, STAGE, "%s: resolution is %d, but must be from 1 to %d", path, resolution,
            ES_RESOLUTION_MAX);
  }
  es_code_t code = es_agree(loader.comm, status);
  if (dataset != NULL) {
    dataset->resolution = resolution;
    dataset->fit = spec->fit;
    dataset->node = node;
    snprintf(dataset->path, sizeof dataset->path, "%s", path);
  } else {
    es_node_destroy(&node);
  }
  loader.leader = node.rank == 0;
  loader.anywhere = es_reader_of(spec->format)->anywhere;
  if (code == ES_OK) code = load(&loader, status);
  for (int split = 0; split < ES_SPLITS; split++) es_free(loader.labels[split]);
  es_shared_destroy(&loader.chunk);
  es_fitter_destroy(&loader.fitter);
  es_fingerprint_destroy(&loader.fingerprint);
  if (code == ES_OK)
    *out = dataset;
  else
    es_dataset_destroy(dataset);
  return code;
}

es_code_t es_dataset_load_on(es_dataset_t **out, const es_dataset_spec_t *spec, int32_t resolution, MPI_Comm comm,
                             es_node_t node, es_status_t *status) {
  return load_on(out, (loader_t){.spec = spec, .comm = comm}, resolution, node, status);
}

es_code_t es_dataset_load(es_dataset_t **out, const es_dataset_spec_t *spec, int32_t resolution, MPI_Comm comm,
                          es_status_t *status) {
  es_node_t node;
  es_node_create(&node, comm);
  return es_dataset_load_on(out, spec, resolution, comm, node, status);
}

bool es_dataset_streams(const es_dataset_spec_t *spec) {
  return es_reader_of(spec->format)->streams;
}

es_code_t es_dataset_stream(es_dataset_t **out, const es_dataset_spec_t *spec, int32_t resolution, MPI_Comm comm,
                            es_status_t *status) {
  es_node_t node;
  assert(es_dataset_streams(spec));
  es_node_create(&node, comm);
  return load_on(out, (loader_t){.spec = spec, .comm = comm, .stream = true}, resolution, node, status);
}

bool es_dataset_is_streamed(const es_dataset_t *dataset) {
  return dataset->streamed != NULL;
}

es_code_t es_dataset_failure(const es_dataset_t *dataset, es_status_t *status) {
  if (dataset->streamed == NULL || dataset->streamed->failure.code == ES_OK) return ES_OK;
  if (status->code == ES_OK) *status = dataset->streamed->failure;
  return dataset->streamed->failure.code;
}

void es_dataset_destroy(es_dataset_t *dataset) {
  if (dataset == NULL) return;
  es_streamed_close(dataset->streamed);
  es_shared_destroy(&dataset->memory);
  es_node_destroy(&dataset->node);
  es_free(dataset);
}

void es_dataset_chain_fingerprints(char out[ES_ID_SIZE], const char *first, const char *const *others, int n) {
  uint64_t hash = es_hash(first, strlen(first), 0);
  for (int i = 0; i < n; i++) hash = es_hash(others[i], strlen(others[i]), hash);
  if (n > 0)
    snprintf(out, ES_ID_SIZE, "%016llx", (unsigned long long)hash);
  else
    snprintf(out, ES_ID_SIZE, "%s", first);
}

const char *es_dataset_fingerprint(const es_dataset_t *dataset) {
  return dataset->fingerprint;
}

const es_dataset_info_t *es_dataset_info(const es_dataset_t *dataset) {
  return &dataset->info;
}
