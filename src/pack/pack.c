/* Packs images in rounds: the first rank sends every rank the files of its block, all ranks decode and compress, and
 * the first rank writes the blocks in order. Chunk borders depend on positions in the split, not on ranks. */
#include "eigenscope/pack.h"
#include "crop.h"
#include "eigenscope/comm.h"
#include "eigenscope/hdf5_writer.h"
#include "eigenscope/memory.h"
#include "pictures.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

static const char STAGE[] = "data";

enum {
  CHUNK_BYTES = 1 << 16, /* few images, because training reads them in random order; or a single larger one */
  BLOCK_BYTES = 1 << 22,
  BLOCK_CHUNKS = 256,
  LEVEL = 1,       /* higher levels gain little on images */
  SIDE_MAX = 8192, /* the limit of format hdf5 */
  OVERHEAD = 1 << 16
};

/* Consecutive images of a split that one rank processes at a time. */
typedef struct block {
  int64_t count;
  bool wanted;                /* compress its chunks; else only check its images */
  es_text_t paths;            /* owned; zero-terminated */
  uint8_t *pixels;            /* whole chunks of images, the last one padded with zeros */
  uint8_t *packed;            /* compressed chunks, one after the other */
  int64_t size[BLOCK_CHUNKS]; /* of each compressed chunk; 0: stored uncompressed */
  es_text_t
      broken; /* owned; "index", "shorter side" (0 unless the size differs) and "message" in turn, zero-terminated */
} block_t;

typedef struct pack {
  const es_pack_request_t *request;
  es_pack_result_t *out;
  MPI_Comm comm;
  int rank, ranks;
  es_owned_t memory;       /* owns blocks and `drop` */
  es_crop_t crop;          /* owned */
  int64_t image;           /* bytes of an image */
  int64_t chunk, n_chunks; /* images per chunk; chunks per block */
  int64_t room;            /* most bytes of the pixels of a block */
  block_t block;           /* owned; of this rank */
  /* The members below are used on the first rank only. */
  block_t other;          /* owned; received from another rank */
  es_pictures_t pictures; /* owned */
  uint16_t *labels;       /* owned; of the current split */
  bool *drop[ES_SPLITS];  /* true for broken pictures */
  es_hdf5_writer_t writer;
  bool open, writing; /* the writer is open; no image was broken so far */
  hid_t images;
  es_fingerprint_t fingerprint; /* owned */
} pack_t;

static es_code_t no_memory(const pack_t *p, es_status_t *status) {
  return es_out_of_memory(status, STAGE, "packing %s", p->request->folder);
}

static es_code_t cannot_write(const pack_t *p, es_status_t *status) {
  return es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be written: %s", p->request->path, p->writer.reason);
}

/* ---- messages between the first rank and another ---- */

/* The other rank of a message, and the direction. */
typedef struct peer {
  int rank;
  bool sends; /* true: this rank sends; false: it receives */
} peer_t;

static void transfer(const pack_t *p, peer_t peer, void *bytes, int64_t size) {
  if (size > 0 && peer.sends)
    ES_MPI(MPI_Send(bytes, (int)size, MPI_BYTE, peer.rank, 0, p->comm));
  else if (size > 0)
    ES_MPI(MPI_Recv(bytes, (int)size, MPI_BYTE, peer.rank, 0, p->comm, MPI_STATUS_IGNORE));
}

/* Receives the whole text even if out of memory, because otherwise the sender would wait for ever. */
static void transfer_text(const pack_t *p, peer_t peer, es_text_t *text, int64_t size) {
  char part[4096];
  if (!peer.sends) text->length = 0;
  for (int64_t done = 0, n; done < size; done += n) {
    n = size - done < (int64_t)sizeof part ? size - done : (int64_t)sizeof part;
    transfer(p, peer, peer.sends ? text->data + done : part, n);
    if (!peer.sends) es_text_append_bytes(text, part, (size_t)n);
  }
}

/* ---- the work of every rank ---- */

static int64_t chunks_of(const pack_t *p, int64_t count) {
  return (count + p->chunk - 1) / p->chunk;
}

static es_code_t decode(pack_t *p, es_status_t *status) {
  block_t *b = &p->block;
  const char *path = b->paths.data;
  b->broken.length = 0;
  if (b->paths.failed) return no_memory(p, status);
  for (int64_t i = 0; i < b->count; i++, path += strlen(path) + 1) {
    es_status_t own = {0};
    char numbers[2][24];
    const es_code_t code = es_crop_read(&p->crop, path, b->pixels + i * p->image, &own);
    if (code == ES_OK) continue;
    if (code != ES_INPUT) return es_fail(status, code, STAGE, "%s", own.message);
    snprintf(numbers[0], sizeof numbers[0], "%lld", (long long)i);
    snprintf(numbers[1], sizeof numbers[1], "%d", p->crop.other);
    for (int n = 0; n < 2; n++) es_text_append_bytes(&b->broken, numbers[n], strlen(numbers[n]) + 1);
    es_text_append_bytes(&b->broken, own.message, strlen(own.message) + 1);
  }
  return b->broken.failed ? no_memory(p, status) : ES_OK;
}

/* Compresses a chunk if that saves at least a quarter of its bytes. Photographs lose only a tenth, and training in
 * random order would unpack them again and again. */
static es_code_t compress_chunks(pack_t *p, es_status_t *status) {
  block_t *b = &p->block;
  const int64_t size = p->chunk * p->image, n = chunks_of(p, b->count);
  uint8_t *at = b->packed;
  memset(b->pixels + b->count * p->image, 0, (size_t)(n * size - b->count * p->image));
  for (int64_t c = 0; c < n; c++) {
    uLongf length = compressBound((uLong)size);
    if (compress2(at, &length, b->pixels + c * size, (uLong)size, LEVEL) != Z_OK) return no_memory(p, status);
    b->size[c] = length < (uLongf)size / 4 * 3 ? (int64_t)length : 0;
    at += b->size[c];
  }
  return ES_OK;
}

static int64_t packed_size(const pack_t *p, const block_t *b) {
  int64_t size = 0;
  for (int64_t c = 0; c < chunks_of(p, b->count); c++) size += b->size[c];
  return size;
}

/* Transfers the outcome of a block: the broken images, or the pixels and chunks if they are wanted. */
static void transfer_block(const pack_t *p, peer_t peer, block_t *b) {
  int64_t broken = (int64_t)b->broken.length;
  const int64_t n = chunks_of(p, b->count);
  transfer(p, peer, &broken, sizeof broken);
  transfer_text(p, peer, &b->broken, broken);
  if (broken > 0 || !b->wanted) return;
  transfer(p, peer, b->size, n * (int64_t)sizeof *b->size);
  transfer(p, peer, b->pixels, n * p->chunk * p->image);
  transfer(p, peer, b->packed, packed_size(p, b));
}

/* ---- the work of the first rank ---- */

static int64_t block_count(const pack_t *p, int64_t first, int64_t total) {
  const int64_t most = p->n_chunks * p->chunk;
  return first >= total ? 0 : total - first < most ? total - first : most;
}

/* Sends each rank its block; the first rank lists its own last and keeps it. */
static void distribute(pack_t *p, es_split_t split, int64_t first, int64_t total) {
  const int64_t step = p->n_chunks * p->chunk;
  block_t *b = &p->block;
  for (int rank = p->ranks - 1; p->rank == 0 && rank >= 0; rank--) {
    const int64_t at = first + rank * step, count = block_count(p, at, total);
    b->paths.length = 0;
    for (int64_t i = at; i < at + count; i++) {
      const char *path = es_picture_path(&p->pictures, split, i);
      es_text_append_bytes(&b->paths, path, strlen(path) + 1);
    }
    int64_t head[3] = {count, p->writing, (int64_t)b->paths.length};
    b->count = count;
    b->wanted = p->writing;
    if (rank == 0) return;
    transfer(p, (peer_t){rank, true}, head, sizeof head);
    transfer_text(p, (peer_t){rank, true}, &b->paths, head[2]);
  }
  int64_t head[3];
  transfer(p, (peer_t){0, false}, head, sizeof head);
  transfer_text(p, (peer_t){0, false}, &b->paths, head[2]);
  b->count = head[0];
  b->wanted = head[1] != 0;
}

/* Counts an image of another size than the first. */
static void count_other(es_pack_result_t *out, int64_t shorter) {
  if (out->n_other == 0 || shorter < out->shorter_least) out->shorter_least = shorter;
  if (shorter > out->shorter_most) out->shorter_most = shorter;
  out->n_other++;
}

static void report_broken(pack_t *p, es_split_t split, int64_t first, const block_t *b) {
  const char *at = b->broken.data, *end = at + b->broken.length;
  while (at < end) {
    int64_t index = 0, shorter = 0;
    es_text_to_int(at, &index);
    at += strlen(at) + 1;
    es_text_to_int(at, &shorter);
    at += strlen(at) + 1;
    /* Only the first image of another size is named: a folder of photographs has thousands. */
    if (p->request->broken != NULL && (shorter == 0 || p->out->n_other == 0))
      p->request->broken(p->request->context, at);
    at += strlen(at) + 1;
    if (shorter > 0) count_other(p->out, shorter);
    p->drop[split][first + index] = true;
    p->out->n_broken++;
  }
  p->writing = false;
}

/* Writes a block to the file, or reports its broken images. */
static bool store_block(pack_t *p, es_split_t split, int64_t first, const block_t *b) {
  if (b->broken.length > 0) report_broken(p, split, first, b);
  if (!p->writing) return true;
  const int64_t size = p->chunk * p->image;
  const uint8_t *packed = b->packed;
  if (!es_hdf5_writer_ensure(&p->writer, chunks_of(p, b->count) * (size + 256))) return false;
  es_fingerprint_add(&p->fingerprint, b->pixels, (size_t)(b->count * p->image));
  for (int64_t c = 0; c < chunks_of(p, b->count); packed += b->size[c], c++) {
    const bool plain = b->size[c] == 0;
    if (!es_hdf5_writer_put_chunk(&p->writer, p->images, first + c * p->chunk, plain ? b->pixels + c * size : packed,
                                  plain ? size : b->size[c], plain))
      return false;
  }
  return true;
}

static void store_round(pack_t *p, es_split_t split, int64_t first, int64_t total, es_status_t *status) {
  const int64_t step = p->n_chunks * p->chunk;
  bool good = store_block(p, split, first, &p->block);
  for (int rank = 1; rank < p->ranks; rank++) {
    const int64_t at = first + rank * step;
    p->other.count = block_count(p, at, total);
    p->other.wanted = p->block.wanted;
    if (p->other.count == 0) break;
    transfer_block(p, (peer_t){rank, false}, &p->other); /* also after a failure, because it was sent */
    good = good && store_block(p, split, at, &p->other);
  }
  if (good && !p->other.broken.failed) return;
  if (!good)
    cannot_write(p, status);
  else
    no_memory(p, status);
}

/* Processes one block on every rank. Collective. */
static es_code_t run_round(pack_t *p, es_split_t split, int64_t first, int64_t total, es_status_t *status) {
  block_t *b = &p->block;
  distribute(p, split, first, total);
  if (b->count > 0 && decode(p, status) == ES_OK && b->broken.length == 0 && b->wanted) compress_chunks(p, status);
  ES_TRY(es_agree(p->comm, status));
  if (p->rank == 0)
    store_round(p, split, first, total, status);
  else if (b->count > 0)
    transfer_block(p, (peer_t){0, true}, b);
  return es_agree(p->comm, status);
}

/* ---- a split ---- */

static const char *const names[ES_SPLITS][ES_VARIABLES] = {{"train/images", "train/labels"},
                                                           {"eval/images", "eval/labels"}};

static es_code_t open_split(pack_t *p, es_split_t split, es_status_t *status) {
  const es_dataset_info_t *info = &p->out->info;
  const es_hdf5_variable_t v = {
      .name = names[split][ES_VARIABLE_IMAGES],
      .type = H5T_STD_U8LE,
      .rank = 4,
      .shape = {(hsize_t)info->count[split], (hsize_t)info->height, (hsize_t)info->width, (hsize_t)info->channels},
      .chunk = (hsize_t)p->chunk};
  if (!p->writing) return ES_OK;
  p->images = es_hdf5_writer_variable(&p->writer, &v);
  return p->images >= 0 ? ES_OK : cannot_write(p, status);
}

/* Collects, checks and counts the labels of a split, in order. */
static es_code_t read_labels(pack_t *p, es_split_t split, es_status_t *status) {
  es_dataset_info_t *info = &p->out->info;
  info->count[split] = p->pictures.count[split];
  if (info->count[split] == 0)
    return es_fail(status, ES_INPUT, STAGE, "%s: no image is left to %s with", p->request->folder,
                   split == ES_TRAIN ? "train" : "evaluate");
  es_free(p->labels);
  p->labels = es_allocate((size_t)info->count[split], sizeof *p->labels);
  if (p->labels == NULL) return no_memory(p, status);
  for (int64_t i = 0; i < info->count[split]; i++) p->labels[i] = p->pictures.items[split][i].label;
  return es_labels_count(info, split, p->labels, p->request->folder, status);
}

static es_code_t close_split(pack_t *p, es_split_t split, es_status_t *status) {
  const int64_t n = p->pictures.count[split];
  bool good = true;
  if (p->images >= 0) good = es_hdf5_writer_close(&p->writer, p->images);
  p->images = -1;
  if (!p->writing) return ES_OK;
  if (good) {
    ES_TRY(read_labels(p, split, status));
    es_fingerprint_add(&p->fingerprint, p->labels, (size_t)n * sizeof(uint16_t));
    good = es_hdf5_writer_labels(&p->writer, names[split][ES_VARIABLE_LABELS], p->labels, n);
  }
  return good ? ES_OK : cannot_write(p, status);
}

/* Packs a split. Collective. */
static es_code_t pack_split(pack_t *p, es_split_t split, es_status_t *status) {
  int64_t total = p->pictures.count[split];
  if (p->ranks > 1) ES_MPI(MPI_Bcast(&total, 1, MPI_INT64_T, 0, p->comm));
  p->chunk = CHUNK_BYTES / p->image;
  if (p->chunk > total) p->chunk = total;
  if (p->chunk < 1) p->chunk = 1;
  p->n_chunks = BLOCK_BYTES / (p->chunk * p->image);
  if (p->n_chunks > BLOCK_CHUNKS) p->n_chunks = BLOCK_CHUNKS;
  if (p->n_chunks < 1) p->n_chunks = 1;
  assert(p->n_chunks * p->chunk * p->image <= p->room);
  if (p->rank == 0) open_split(p, split, status);
  ES_TRY(es_agree(p->comm, status));
  const int64_t step = p->ranks * p->n_chunks * p->chunk;
  for (int64_t first = 0; first < total; first += step) ES_TRY(run_round(p, split, first, total, status));
  if (p->rank == 0) close_split(p, split, status);
  return es_agree(p->comm, status);
}

/* ---- the file ---- */

static es_code_t begin_file(pack_t *p, es_status_t *status) {
  es_dataset_info_t *info = &p->out->info;
  *info = (es_dataset_info_t){.height = p->crop.height, .width = p->crop.width, .channels = p->crop.channels};
  for (es_split_t split = ES_TRAIN; split < ES_SPLITS; split++) ES_TRY(read_labels(p, split, status));
  es_fingerprint_destroy(&p->fingerprint); /* of an earlier pass */
  ES_TRY(es_fingerprint_create(&p->fingerprint, p->request->path, status));
  es_fingerprint_shape(&p->fingerprint, info);
  memset(info->class_count, 0, sizeof info->class_count); /* counted again during writing */
  const int64_t labels = (info->count[ES_TRAIN] + info->count[ES_EVAL]) * (int64_t)sizeof(int64_t);
  p->open = p->writing = true;
  return es_hdf5_writer_create(&p->writer, p->request->path, labels + OVERHEAD) ? ES_OK : cannot_write(p, status);
}

static bool write_facts(pack_t *p) {
  es_hdf5_writer_t *w = &p->writer;
  es_fingerprint_finish(&p->fingerprint, p->out->fingerprint);
  return es_hdf5_writer_texts(w, "class_names", (const char *const *)p->pictures.classes.items,
                              p->pictures.classes.n) &&
         es_hdf5_writer_text(w, "creator", p->request->creator) && es_hdf5_writer_text(w, "generator", "data pack") &&
         es_hdf5_writer_number(w, "size", p->crop.size) && es_hdf5_writer_number(w, "shorter", p->crop.shorter) &&
         (!p->crop.stretch || es_hdf5_writer_number(w, "stretch", 1)) &&
         es_hdf5_writer_number(w, "broken", p->out->n_broken) &&
         es_hdf5_writer_text(w, "fingerprint", p->out->fingerprint);
}

static void end_file(pack_t *p, es_status_t *status) {
  if (!p->open) return;
  const bool whole = status->code == ES_OK && p->writing;
  if (p->images >= 0) H5Dclose(p->images);
  p->images = -1;
  es_hdf5_writer_finish(&p->writer, whole && write_facts(p), whole ? status : &(es_status_t){0});
  p->open = false;
}

/* Passes over all images once. Collective; *broken: number of newly found broken images. */
static es_code_t pass_over(pack_t *p, int64_t *broken, es_status_t *status) {
  const int64_t before = p->rank == 0 ? p->out->n_broken : 0;
  if (p->rank == 0) begin_file(p, status);
  es_agree(p->comm, status);
  for (es_split_t split = ES_TRAIN; status->code == ES_OK && split < ES_SPLITS; split++) pack_split(p, split, status);
  if (p->rank == 0) end_file(p, status);
  ES_TRY(es_agree(p->comm, status));
  *broken = p->rank == 0 ? p->out->n_broken - before : 0;
  if (p->ranks > 1) ES_MPI(MPI_Bcast(broken, 1, MPI_INT64_T, 0, p->comm));
  return ES_OK;
}

/* Says why nothing is packed. */
static es_code_t refuse(const pack_t *p, int64_t broken, int64_t total, es_status_t *status) {
  const es_pack_result_t *out = p->out;
  const int64_t first = p->crop.width < p->crop.height ? p->crop.width : p->crop.height;
  if (out->n_other == broken && broken > 1)
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: %lld of %lld images have another size than the first, %d x %d (their shorter sides are %lld to "
                   "%lld pixels); --size N cuts N x N pixels from each, as --size %lld",
                   p->request->folder, (long long)broken, (long long)total, p->crop.width, p->crop.height,
                   (long long)out->shorter_least, (long long)out->shorter_most,
                   (long long)(out->shorter_least < first ? out->shorter_least : first));
  char sizes[96] = "";
  if (out->n_other > 0)
    snprintf(sizes, sizeof sizes, " (%lld of them because of their size: give --size)", (long long)out->n_other);
  return es_fail(status, ES_INPUT, STAGE,
                 "%s: %lld of %lld images cannot be used, as listed above%s; repair or remove these images, or leave "
                 "them out with --skip-broken",
                 p->request->folder, (long long)broken, (long long)total, sizes);
}

static es_code_t pack_all(pack_t *p, es_status_t *status) {
  int64_t broken = 0, total = 0;
  for (int split = 0; split < ES_SPLITS; split++) total += p->pictures.count[split];
  ES_TRY(pass_over(p, &broken, status));
  if (broken == 0) return ES_OK;
  if (!p->request->skip_broken) return refuse(p, broken, total, status);
  for (es_split_t split = ES_TRAIN; p->rank == 0 && split < ES_SPLITS; split++) {
    es_pictures_drop(&p->pictures, split, p->drop[split]);
    memset(p->drop[split], 0, (size_t)p->pictures.count[split]);
  }
  ES_TRY(pass_over(p, &broken, status));
  if (broken == 0) return ES_OK;
  return es_fail(status, ES_SYSTEM, STAGE, "%s: images changed while they were packed", p->request->folder);
}

/* ---- start ---- */

/* If images keep their size, the first readable image sets the size of all. */
static es_code_t find_size(pack_t *p, es_status_t *status) {
  es_crop_t *f = &p->crop;
  f->height = f->width = f->size;
  if (f->size > 0) return ES_OK;
  es_status_t own = {0};
  for (int64_t i = 0; f->height == 0 && i < p->pictures.count[ES_TRAIN]; i++)
    es_crop_fit(f, es_picture_path(&p->pictures, ES_TRAIN, i), &own);
  if (f->height == 0) return es_fail(status, ES_INPUT, STAGE, "%s", own.message);
  if (f->height <= SIDE_MAX && f->width <= SIDE_MAX) return ES_OK;
  return es_fail(status, ES_INPUT, STAGE,
                 "%s: has images of %d x %d, but images without --size must be at most %d x %d; give a smaller --size",
                 p->request->folder, f->width, f->height, SIDE_MAX, SIDE_MAX);
}

static es_code_t look(pack_t *p, es_status_t *status) {
  ES_TRY(es_pictures_find(&p->pictures, p->request->folder, status));
  ES_TRY(find_size(p, status));
  for (int split = 0; split < ES_SPLITS; split++) {
    p->drop[split] = es_owned_allocate_zero(&p->memory, (size_t)p->pictures.count[split], sizeof *p->drop[split]);
    if (p->drop[split] == NULL) return no_memory(p, status);
  }
  p->out->n_left_out = p->pictures.n_left_out;
  memcpy(p->out->left_out, p->pictures.left_out, sizeof p->out->left_out);
  memcpy(p->out->eval_folder, p->pictures.eval_folder, sizeof p->out->eval_folder);
  return ES_OK;
}

/* Allocates whole chunks of the largest block, and room for chunks that grow when compressed. */
static void create_block(pack_t *p, block_t *b) {
  const size_t packed = (size_t)p->room / 256 + 64 * BLOCK_CHUNKS + compressBound((uLong)p->room);
  b->pixels = es_owned_allocate(&p->memory, (size_t)p->room, 1);
  b->packed = es_owned_allocate(&p->memory, packed, 1);
}

static es_code_t prepare(pack_t *p, es_status_t *status) {
  if (p->rank == 0) look(p, status);
  ES_TRY(es_agree(p->comm, status));
  int32_t sizes[2] = {p->crop.height, p->crop.width};
  if (p->ranks > 1) ES_MPI(MPI_Bcast(sizes, 2, MPI_INT32_T, 0, p->comm));
  p->crop.height = sizes[0];
  p->crop.width = sizes[1];
  p->image = (int64_t)sizes[0] * sizes[1] * p->crop.channels;
  p->room = p->image > BLOCK_BYTES ? p->image : BLOCK_BYTES;
  create_block(p, &p->block);
  if (p->rank == 0 && p->ranks > 1) create_block(p, &p->other);
  if (p->memory.failed) no_memory(p, status);
  return es_agree(p->comm, status);
}

static es_code_t check_request(const es_pack_request_t *r, es_status_t *status) {
  if (r->size < 0 || r->size > SIDE_MAX || r->shorter < 0 || r->shorter > SIDE_MAX)
    return es_fail(status, ES_INPUT, STAGE, "the size %d and the shorter side %d must be from 1 to %d", r->size,
                   r->shorter, SIDE_MAX);
  if (r->shorter > 0 && (r->size == 0 || r->shorter < r->size))
    return es_fail(status, ES_INPUT, STAGE,
                   "the shorter side is %d pixels, but must be at least the size %d, and a size must be given",
                   r->shorter, r->size);
  if (r->stretch && (r->size == 0 || r->shorter > 0))
    return es_fail(status, ES_INPUT, STAGE, "stretched images need a size, and no shorter side");
  if (r->channels == 1 || r->channels == 3) return ES_OK;
  return es_fail(status, ES_INPUT, STAGE, "%d channels: must be 1 (grey) or 3 (colour)", r->channels);
}

es_code_t es_pack(es_pack_result_t *out, const es_pack_request_t *request, MPI_Comm comm, es_status_t *status) {
  ES_HDF5_QUIET;
  pack_t p = {.request = request, .out = out, .comm = comm, .ranks = 1, .images = -1};
  *out = (es_pack_result_t){0};
  ES_TRY(check_request(request, status));
  p.crop = (es_crop_t){.size = request->size,
                       .shorter = request->shorter > 0 ? request->shorter : request->size,
                       .channels = request->channels,
                       .stretch = request->stretch};
  if (comm != MPI_COMM_NULL) {
    ES_MPI(MPI_Comm_rank(comm, &p.rank));
    ES_MPI(MPI_Comm_size(comm, &p.ranks));
  }
  es_code_t code = prepare(&p, status);
  if (code == ES_OK) code = pack_all(&p, status);
  es_pictures_destroy(&p.pictures);
  es_crop_destroy(&p.crop);
  es_fingerprint_destroy(&p.fingerprint);
  es_text_destroy(&p.block.paths);
  es_text_destroy(&p.block.broken);
  es_text_destroy(&p.other.broken);
  es_free(p.labels);
  es_owned_free(&p.memory);
  return code;
}
