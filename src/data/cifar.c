/* CIFAR-10 and CIFAR-100 in their binary version (https://www.cs.toronto.edu/~kriz/cifar.html): files without a header,
 * one record after the other, each a byte or two of labels and three planes of 32 × 32 pixels. As labels stand between
 * the pixels, inspecting reads whole files. */
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "labels.h"
#include "reader.h"
#include "stream.h"
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "data";

enum { SIDE = 32, PLANE = SIDE * SIDE, IMAGE = 3 * PLANE, LABELS_MAX = 2, RECORD_MAX = LABELS_MAX + IMAGE, BLOCK = 64 };

/* What the two have in different ways. */
typedef struct layout {
  const char *title, *folder, *python; /* python: a file of the other version of this dataset */
  int n_files[ES_SPLITS];
  const char *files[ES_SPLITS][5];
  int n_labels;            /* bytes before the pixels */
  int classes[LABELS_MAX]; /* what each of them is below */
  const char *kinds[LABELS_MAX];
} layout_t;

static const layout_t CIFAR10 = {
    .title = "CIFAR-10",
    .folder = "data_batch_1.bin to data_batch_5.bin and test_batch.bin",
    .python = "data_batch_1",
    .n_files = {5, 1},
    .files = {{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
              {"test_batch.bin"}},
    .n_labels = 1,
    .classes = {10},
    .kinds = {"label"},
};
static const layout_t CIFAR100 = {
    .title = "CIFAR-100",
    .folder = "train.bin and test.bin",
    .python = "train",
    .n_files = {1, 1},
    .files = {{"train.bin"}, {"test.bin"}},
    .n_labels = 2,
    .classes = {20, 100},
    .kinds = {"coarse label", "fine label"},
};

static const layout_t *layout_of(const es_dataset_spec_t *spec) {
  return spec->format == ES_FORMAT_CIFAR10 ? &CIFAR10 : &CIFAR100;
}

/* Which of a record's bytes is the label. */
static int label_byte(const es_dataset_spec_t *spec) {
  return spec->format == ES_FORMAT_CIFAR100 && spec->labels == ES_LABELS_FINE ? 1 : 0;
}

/* Opens a file; one that is not there may be of the Python version, which others of its folder tell. */
static es_code_t open_file(es_stream_t *out, const es_dataset_spec_t *spec, const char *name, es_status_t *status) {
  const layout_t *layout = layout_of(spec);
  char found[ES_PATH_MAX], python[ES_STREAM_PATH_MAX];
  snprintf(python, sizeof python, "%s/%s", spec->path, layout->python);
  if (!es_stream_found(spec->path, name, found) && es_file_exists(python)) {
    return es_fail(status, ES_INPUT, STAGE,
                   "%s/%s: there is no such file, but %s of the Python version; fetch the binary version of %s",
                   spec->path, name, layout->python, layout->title);
  }
  return es_stream_open(out, spec->path, name, status);
}

/* ---- labels ---- */

/* The labels of a split while its files are read. */
typedef struct labels {
  uint16_t *data; /* owned */
  int64_t count, capacity;
} label_list_t;

static es_code_t append(label_list_t *labels, const es_dataset_spec_t *spec, const uint8_t *records, int64_t n,
                        const es_stream_t *file, int64_t first, es_status_t *status) {
  const layout_t *layout = layout_of(spec);
  if (labels->count + n > labels->capacity) {
    int64_t capacity = 2 * labels->capacity + 8 * BLOCK;
    uint16_t *data = es_reallocate(labels->data, (size_t)capacity, sizeof *data);
    if (data == NULL) {
      return es_fail(status, ES_SYSTEM, STAGE, "%s: not enough memory for %lld labels", file->path,
                     (long long)capacity);
    }
    labels->data = data;
    labels->capacity = capacity;
  }
  for (int64_t i = 0; i < n; i++) {
    const uint8_t *record = records + i * (layout->n_labels + IMAGE);
    for (int b = 0; b < layout->n_labels; b++) {
      if (record[b] < layout->classes[b]) continue;
      return es_fail(status, ES_INPUT, STAGE,
                     "%s: image %lld has %s %d, where %s has 0 … %d: damaged, or of another format", file->path,
                     (long long)(first + i), layout->kinds[b], record[b], layout->title, layout->classes[b] - 1);
    }
    labels->data[labels->count++] = record[label_byte(spec)];
  }
  return ES_OK;
}

/* Whole records to the end of the file. */
static es_code_t check_end(const es_stream_t *file, const layout_t *layout, es_status_t *status) {
  int record = layout->n_labels + IMAGE;
  if (file->cut) {
    return es_fail(status, ES_INPUT, STAGE, "%s: truncated: the gzip data break off after %lld unpacked bytes",
                   file->path, (long long)file->done);
  }
  if (file->done > 0 && file->done % record == 0) return ES_OK;
  return es_fail(status, ES_INPUT, STAGE,
                 "%s: truncated or too long: %lld bytes%s, where a file of %s is a number of whole images of %d bytes",
                 file->path, (long long)file->done, gzdirect(file->file) ? "" : " unpacked", layout->title, record);
}

static es_code_t read_file(label_list_t *labels, const es_dataset_spec_t *spec, es_stream_t *file,
                           es_status_t *status) {
  const layout_t *layout = layout_of(spec);
  int64_t record = layout->n_labels + IMAGE, got = 0;
  uint8_t *block = es_allocate(BLOCK, RECORD_MAX);
  if (block == NULL) return es_fail(status, ES_SYSTEM, STAGE, "%s: not enough memory to read it", file->path);
  es_code_t code;
  do {
    int64_t first = file->done / record;
    code = es_stream_read(file, block, BLOCK * record, &got, status);
    if (code == ES_OK) code = append(labels, spec, block, got / record, file, first, status);
  } while (code == ES_OK && got == BLOCK * record);
  es_free(block);
  return code == ES_OK ? check_end(file, layout, status) : code;
}

/* All files of a split, which hold equally many images: one that ends between two images is found by that. */
static es_code_t read_split(label_list_t *labels, const es_dataset_spec_t *spec, es_split_t split,
                            es_status_t *status) {
  const layout_t *layout = layout_of(spec);
  int64_t each = 0;
  for (int f = 0; f < layout->n_files[split]; f++) {
    es_stream_t file;
    int64_t before = labels->count;
    ES_TRY(open_file(&file, spec, layout->files[split][f], status));
    es_code_t code = read_file(labels, spec, &file, status);
    es_stream_close(&file);
    if (code != ES_OK) return code;
    if (f == 0) each = labels->count;
    if (labels->count - before != each) {
      return es_fail(status, ES_INPUT, STAGE, "%s: %lld images where %s has %lld; all must have the same number",
                     file.path, (long long)(labels->count - before), layout->files[split][0], (long long)each);
    }
  }
  return ES_OK;
}

static es_code_t inspect(es_dataset_info_t *info, uint16_t *labels[ES_SPLITS], const es_dataset_spec_t *spec,
                         es_status_t *status) {
  const layout_t *layout = layout_of(spec);
  if (!es_directory_exists(spec->path)) {
    return es_fail(status, ES_INPUT, STAGE, "%s: there is no such folder; it should hold %s, plain or .gz", spec->path,
                   layout->folder);
  }
  info->height = info->width = SIDE;
  info->channels = 3;
  es_code_t code = ES_OK;
  for (es_split_t split = ES_TRAIN; code == ES_OK && split < ES_SPLITS; split++) {
    char where[ES_STREAM_PATH_MAX];
    label_list_t read = {0};
    int last = layout->n_files[split] - 1;
    snprintf(where, sizeof where, "%s/%s%s%s", spec->path, layout->files[split][0], last > 0 ? " to " : "",
             last > 0 ? layout->files[split][last] : "");
    code = read_split(&read, spec, split, status);
    info->count[split] = read.count;
    if (code == ES_OK) code = es_labels_count(info, split, read.data, where, status);
    code = es_labels_keep(labels, split, read.data, code);
  }
  return code;
}

/* ---- pixels ---- */

typedef struct state {
  es_stream_t file;
  int n_opened;
  int64_t left; /* images of the file */
  uint8_t records[BLOCK * RECORD_MAX];
} state_t;

static void close_images(es_images_t *images) {
  state_t *state = images->state;
  es_stream_close(&state->file);
  es_free(state);
  images->state = NULL;
}

static es_code_t open_images(es_images_t *images, es_status_t *status) {
  images->state = es_allocate_zero(1, sizeof(state_t));
  if (images->state != NULL) return ES_OK;
  return es_fail(status, ES_SYSTEM, STAGE, "%s: not enough memory to read it", images->spec->path);
}

/* The file holds no more than was inspected; reading on is also what makes zlib compare the checksum. */
static es_code_t end_file(state_t *state, es_status_t *status) {
  int64_t got;
  ES_TRY(es_stream_read(&state->file, state->records, 1, &got, status));
  if (got != 0) return es_fail(status, ES_SYSTEM, STAGE, "%s: changed while it was read", state->file.path);
  es_stream_close(&state->file);
  return ES_OK;
}

static es_code_t next_file(es_images_t *images, es_status_t *status) {
  state_t *state = images->state;
  const layout_t *layout = layout_of(images->spec);
  ES_TRY(open_file(&state->file, images->spec, layout->files[images->split][state->n_opened], status));
  state->n_opened++;
  state->left = images->info->count[images->split] / layout->n_files[images->split];
  return ES_OK;
}

/* Planes to pixels. */
static void interleave(const uint8_t *restrict planes, uint8_t *restrict out) {
  for (int p = 0; p < PLANE; p++) {
    for (int c = 0; c < 3; c++) out[3 * p + c] = planes[c * PLANE + p];
  }
}

static es_code_t read_images(es_images_t *images, int64_t first, int64_t count, uint8_t *out, es_status_t *status) {
  (void)first; /* in order: where the files stand */
  state_t *state = images->state;
  int n_labels = layout_of(images->spec)->n_labels;
  int64_t record = n_labels + IMAGE, got;
  while (count > 0) {
    if (state->left == 0) ES_TRY(next_file(images, status));
    int64_t n = count < BLOCK ? count : BLOCK;
    if (n > state->left) n = state->left;
    ES_TRY(es_stream_read(&state->file, state->records, n * record, &got, status));
    if (got < n * record) {
      return es_fail(status, ES_SYSTEM, STAGE, "%s: changed while it was read", state->file.path);
    }
    for (int64_t i = 0; i < n; i++, out += IMAGE) interleave(state->records + i * record + n_labels, out);
    state->left -= n;
    count -= n;
    if (state->left == 0) ES_TRY(end_file(state, status));
  }
  return ES_OK;
}

static bool found10(const char *path, char out[ES_PATH_MAX]) {
  return es_stream_found(path, CIFAR10.files[ES_TRAIN][0], out);
}

static bool found100(const char *path, char out[ES_PATH_MAX]) {
  return es_stream_found(path, CIFAR100.files[ES_TRAIN][0], out);
}

const es_reader_t es_reader_cifar10 = {.anywhere = false,
                                       .inspect = inspect,
                                       .open = open_images,
                                       .read = read_images,
                                       .close = close_images,
                                       .found = found10};
const es_reader_t es_reader_cifar100 = {.anywhere = false,
                                        .inspect = inspect,
                                        .open = open_images,
                                        .read = read_images,
                                        .close = close_images,
                                        .found = found100};
