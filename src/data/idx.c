/* Reads IDX, the format of MNIST and Fashion-MNIST (http://yann.lecun.com/exdb/mnist/): a folder of
 * train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each plain or
 * .gz. A file has a big-endian header (a magic number and the dimensions), then unsigned bytes. */
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "images.h"
#include "stream.h"
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "data";

static const char *const IMAGES[ES_SPLITS] = {"train-images-idx3-ubyte", "t10k-images-idx3-ubyte"};
static const char *const LABELS[ES_SPLITS] = {"train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"};

enum { MAGIC_LABELS = 0x00000801, MAGIC_IMAGES = 0x00000803, SIDE_MAX = 8192 };

typedef struct header {
  int64_t count;
  int dimensions;        /* 1: labels, 3: images */
  int32_t height, width; /* 1 for labels */
  int64_t size;          /* expected size of the whole file */
} header_t;

static uint32_t big_endian(const uint8_t *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | (uint32_t)bytes[3];
}

/* Reads a header with 1 (labels) or 3 (images) dimensions and checks its values. */
static es_code_t read_header(es_stream_t *file, int dimensions, header_t *out, es_status_t *status) {
  uint8_t bytes[16];
  int64_t size = 4 + 4 * dimensions, got;
  ES_TRY(es_stream_read(file, bytes, size, &got, status));
  if (got < size) {
    return es_fail(status, ES_INPUT, STAGE, "%s: has %lld byte%s, but an IDX header alone has %lld", file->path,
                   (long long)got, es_plural(got), (long long)size);
  }
  uint32_t magic = big_endian(bytes), due = dimensions == 1 ? MAGIC_LABELS : MAGIC_IMAGES;
  if (magic != due) {
    return es_fail(status, ES_INPUT, STAGE, "%s: starts with 0x%08x, but an IDX file of %s starts with 0x%08x",
                   file->path, magic, dimensions == 1 ? "labels" : "images", due);
  }
  uint32_t count = big_endian(bytes + 4);
  uint32_t height = dimensions == 1 ? 1 : big_endian(bytes + 8), width = dimensions == 1 ? 1 : big_endian(bytes + 12);
  if (count < 1 || count > INT32_MAX || height < 1 || height > SIDE_MAX || width < 1 || width > SIDE_MAX) {
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: the header says %u items of %u x %u, but a file must have 1 to %d items of at most %d x %d",
                   file->path, count, height, width, INT32_MAX, SIDE_MAX, SIDE_MAX);
  }
  *out = (header_t){.count = count, .dimensions = dimensions, .height = (int32_t)height, .width = (int32_t)width};
  out->size = size + out->count * out->height * out->width;
  return ES_OK;
}

/* Checks the unpacked length of the file against its header. */
static es_code_t check_length(const es_stream_t *file, const header_t *header, int64_t length, es_status_t *status) {
  if (length == header->size && !file->cut) return ES_OK;
  if (length == header->size) {
    return es_fail(status, ES_INPUT, STAGE, "%s: is truncated: the checksum at the end of the gzip data is missing",
                   file->path);
  }
  char size[48] = "";
  if (header->dimensions == 3) snprintf(size, sizeof size, " of %d x %d", header->height, header->width);
  return es_fail(status, ES_INPUT, STAGE, "%s: is %s: it has %s%lld byte%s%s, but the header (%lld %s%s%s) needs %lld",
                 file->path, length < header->size ? "truncated" : "too long",
                 length > header->size + ES_STREAM_EXCESS ? "at least " : "", (long long)length, es_plural(length),
                 gzdirect(file->file) ? "" : " unpacked", (long long)header->count,
                 header->dimensions == 3 ? "image" : "label", es_plural(header->count), size, (long long)header->size);
}

/* Reads the data announced by the header, and checks that the file ends there. */
static es_code_t read_body(es_stream_t *file, const header_t *header, uint8_t *out, int64_t size, es_status_t *status) {
  int64_t got;
  ES_TRY(es_stream_read(file, out, size, &got, status));
  if (got < size) return check_length(file, header, file->done, status);
  if (file->done < header->size) return ES_OK;
  /* Reading past the end also makes zlib compare the checksum. */
  uint8_t more[4096];
  do {
    ES_TRY(es_stream_read(file, more, sizeof more, &got, status));
  } while (got > 0 && file->done <= header->size + ES_STREAM_EXCESS);
  return check_length(file, header, file->done, status);
}

/* Reads all labels of a split, owned by the caller also on failure; there must be one per image. */
static es_code_t read_labels(const es_dataset_spec_t *spec, es_split_t split, int64_t images, uint16_t **out,
                             char path[ES_STREAM_PATH_MAX], es_status_t *status) {
  header_t header = {0};
  es_stream_t file;
  uint16_t *labels = NULL;
  ES_TRY(es_stream_open(&file, spec->path, LABELS[split], status));
  memcpy(path, file.path, sizeof file.path);
  es_code_t code = read_header(&file, 1, &header, status);
  if (code == ES_OK && header.count != images)
    code = es_fail(status, ES_INPUT, STAGE,
                   "%s: the number of labels is %lld, but the number of images is %lld in %s; the two must be equal",
                   path, (long long)header.count, (long long)images, IMAGES[split]);
  if (code == ES_OK) labels = *out = es_allocate((size_t)images, sizeof *labels);
  if (code == ES_OK && labels == NULL) code = es_out_of_memory(status, STAGE, "the labels of %s", path);
  const uint8_t *bytes = (const uint8_t *)labels;
  if (code == ES_OK) code = read_body(&file, &header, (uint8_t *)labels, images, status);
  es_stream_close(&file);
  /* Widen bytes to labels in place, from the last one, so that no byte is overwritten before it is read. */
  for (int64_t i = images - 1; code == ES_OK && i >= 0; i--) labels[i] = bytes[i];
  return code;
}

/* Reads the headers of both image files (counts and the common image size), and checks their lengths, without unpacking
 * the files if possible. */
static es_code_t inspect_images(es_dataset_info_t *info, const es_dataset_spec_t *spec, es_status_t *status) {
  info->channels = 1;
  for (es_split_t split = ES_TRAIN; split < ES_SPLITS; split++) {
    header_t header = {0};
    es_stream_t file;
    int64_t length = 0;
    ES_TRY(es_stream_open(&file, spec->path, IMAGES[split], status));
    es_code_t code = read_header(&file, 3, &header, status);
    if (code == ES_OK) code = es_stream_length(&file, header.size, &length, status);
    if (code == ES_OK) code = check_length(&file, &header, length, status);
    es_stream_close(&file);
    ES_TRY(code);
    info->count[split] = header.count;
    if (split == ES_TRAIN) {
      info->height = header.height;
      info->width = header.width;
    } else if (header.height != info->height || header.width != info->width) {
      return es_fail(status, ES_INPUT, STAGE,
                     "%s: has images of %d x %d, but %s has images of %d x %d; both must be equal", file.path,
                     header.height, header.width, IMAGES[ES_TRAIN], info->height, info->width);
    }
  }
  return ES_OK;
}

static es_code_t inspect(es_dataset_info_t *info, uint16_t *labels[ES_SPLITS], const es_dataset_spec_t *spec,
                         es_status_t *status) {
  if (!es_directory_exists(spec->path)) {
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: this folder does not exist; it must hold %s, %s, %s and %s, plain or .gz", spec->path,
                   IMAGES[ES_TRAIN], LABELS[ES_TRAIN], IMAGES[ES_EVAL], LABELS[ES_EVAL]);
  }
  ES_TRY(inspect_images(info, spec, status));
  for (es_split_t split = ES_TRAIN; split < ES_SPLITS; split++) {
    char path[ES_STREAM_PATH_MAX];
    ES_TRY(read_labels(spec, split, info->count[split], &labels[split], path, status));
    ES_TRY(es_labels_count(info, split, labels[split], path, status));
  }
  return ES_OK;
}

typedef struct state {
  es_stream_t file;
  header_t header;
} state_t;

static es_code_t open_images(es_images_t *images, es_status_t *status) {
  const es_dataset_info_t *info = images->info;
  state_t *state = images->state;
  const header_t *header = &state->header;
  ES_TRY(es_stream_open(&state->file, images->spec->path, IMAGES[images->split], status));
  ES_TRY(read_header(&state->file, 3, &state->header, status));
  if (header->count == info->count[images->split] && header->height == info->height && header->width == info->width)
    return ES_OK;
  return es_images_changed(state->file.path, status);
}

/* Images are read in order. */
static es_code_t read_images(es_images_t *images, ES_UNUSED int64_t first, int64_t count, uint8_t *out,
                             es_status_t *status) {
  state_t *state = images->state;
  return read_body(&state->file, &state->header, out, count * es_info_image_size(images->info), status);
}

static void close_images(es_images_t *images) {
  es_stream_close(&((state_t *)images->state)->file);
}

const es_dataset_reader_t es_reader_idx = {.hint = "the folder of the IDX files",
                                           .mark = "train-images-idx3-ubyte",
                                           .inspect = inspect,
                                           .state_size = sizeof(state_t),
                                           .open = open_images,
                                           .read = read_images,
                                           .close = close_images};
