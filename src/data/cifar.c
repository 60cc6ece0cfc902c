/* Reads the binary version of CIFAR-10 and CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html).
 *
 * - cifar10: a folder of data_batch_1.bin to data_batch_5.bin (train) and test_batch.bin (eval), each plain or .gz, all
 *   batches of one length.
 * - cifar100: a folder of train.bin and test.bin.
 *
 * The files have no header, only records: one byte of label (cifar100: two, the coarse one of 20 classes and the fine
 * one of 100), then 1,024 bytes each of red, green and blue, 32 × 32 by rows. Labels lie between the pixels, so
 * inspecting reads whole files. */
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "images.h"
#include "stream.h"
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "data";

enum { SIDE = 32, PLANE = SIDE * SIDE, IMAGE = 3 * PLANE, LABELS_MAX = 2, RECORD_MAX = LABELS_MAX + IMAGE };
enum { BLOCK = 64, LABELS_AT_ONCE = 16 /* images */ };

/* The differences between the two formats. */
typedef struct layout {
  const char *title, *folder, *python; /* used in messages; python: a file of the Python version of this dataset */
  int n_files[ES_SPLITS];
  const char *files[ES_SPLITS][5];
  int n_labels;            /* label bytes before the pixels */
  int classes[LABELS_MAX]; /* exclusive upper bound of each label */
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

/* Opens a file. If it is missing, says so if the folder holds the Python version instead. */
static es_code_t open_file(es_stream_t *out, const es_dataset_spec_t *spec, const char *name, es_status_t *status) {
  const layout_t *layout = layout_of(spec);
  char found[ES_PATH_MAX], python[ES_STREAM_PATH_MAX];
  snprintf(python, sizeof python, "%s/%s", spec->path, layout->python);
  if (!es_stream_found(spec->path, name, found) && es_file_exists(python)) {
    return es_fail(status, ES_INPUT, STAGE,
                   "%s/%s: does not exist, but %s of the Python version does; download the binary version of %s",
                   spec->path, name, layout->python, layout->title);
  }
  return es_stream_open(out, spec->path, name, status);
}

/* ---- labels ---- */

/* The labels of a split, collected while its files are read. */
typedef struct labels {
  uint16_t *data; /* owned by the caller of inspect */
  int64_t count;
} label_list_t;

/* Appends the labels of one file, which must end with a whole record. */
static es_code_t read_labels(label_list_t *labels, const es_dataset_spec_t *spec, es_stream_t *file,
                             es_status_t *status) {
  const layout_t *layout = layout_of(spec);
  const int chosen = layout->n_labels == 2 && spec->labels == ES_LABELS_FINE ? 1 : 0;
  const int64_t record = layout->n_labels + IMAGE;
  uint8_t block[LABELS_AT_ONCE * RECORD_MAX];
  int64_t got;
  do {
    const int64_t first = file->done / record;
    ES_TRY(es_stream_read(file, block, LABELS_AT_ONCE * record, &got, status));
    for (int64_t i = 0; i < got / record; i++) {
      const uint8_t *bytes = block + i * record;
      for (int b = 0; b < layout->n_labels; b++) {
        if (bytes[b] < layout->classes[b]) continue;
        return es_fail(
            status, ES_INPUT, STAGE,
            "%s: image %lld has %s %d, but labels of %s are from 0 to %d; the file is damaged or has another format",
            file->path, (long long)(first + i), layout->kinds[b], bytes[b], layout->title, layout->classes[b] - 1);
      }
      uint16_t *data = es_make_room(labels->data, labels->count, sizeof *data);
      if (data == NULL) return es_out_of_memory(status, STAGE, "the labels of %s", file->path);
      labels->data = data;
      data[labels->count++] = bytes[chosen];
    }
  } while (got == LABELS_AT_ONCE * record);
  if (file->cut) {
    return es_fail(status, ES_INPUT, STAGE, "%s: is truncated: the gzip data end after %lld unpacked byte%s",
                   file->path, (long long)file->done, es_plural(file->done));
  }
  if (file->done > 0 && file->done % record == 0) return ES_OK;
  return es_fail(
      status, ES_INPUT, STAGE,
      "%s: is truncated or too long: it has %lld byte%s%s, but a file of %s must hold whole images of %d bytes",
      file->path, (long long)file->done, es_plural(file->done), gzdirect(file->file) ? "" : " unpacked", layout->title,
      (int)record);
}

/* Reads all files of a split. They must hold equally many images, which detects a file cut between two images. */
static es_code_t read_split(label_list_t *labels, const es_dataset_spec_t *spec, es_split_t split,
                            es_status_t *status) {
  const layout_t *layout = layout_of(spec);
  int64_t each = 0;
  for (int f = 0; f < layout->n_files[split]; f++) {
    es_stream_t file;
    const int64_t before = labels->count;
    ES_TRY(open_file(&file, spec, layout->files[split][f], status));
    const es_code_t code = read_labels(labels, spec, &file, status);
    es_stream_close(&file);
    ES_TRY(code);
    if (f == 0) each = labels->count;
    if (labels->count - before != each) {
      return es_fail(status, ES_INPUT, STAGE,
                     "%s: the number of images is %lld, but in %s it is %lld; all files must have the same number",
                     file.path, (long long)(labels->count - before), layout->files[split][0], (long long)each);
    }
  }
  return ES_OK;
}

static es_code_t inspect(es_dataset_info_t *info, uint16_t *labels[ES_SPLITS], const es_dataset_spec_t *spec,
                         es_status_t *status) {
  const layout_t *layout = layout_of(spec);
  if (!es_directory_exists(spec->path)) {
    return es_fail(status, ES_INPUT, STAGE, "%s: this folder does not exist; it must hold %s, plain or .gz", spec->path,
                   layout->folder);
  }
  info->height = info->width = SIDE;
  info->channels = 3;
  for (es_split_t split = ES_TRAIN; split < ES_SPLITS; split++) {
    char where[ES_STREAM_PATH_MAX];
    label_list_t read = {0};
    const int last = layout->n_files[split] - 1;
    snprintf(where, sizeof where, "%s/%s%s%s", spec->path, layout->files[split][0], last > 0 ? " to " : "",
             last > 0 ? layout->files[split][last] : "");
    const es_code_t code = read_split(&read, spec, split, status);
    labels[split] = read.data;
    ES_TRY(code);
    info->count[split] = read.count;
    ES_TRY(es_labels_count(info, split, read.data, where, status));
  }
  return ES_OK;
}

/* ---- pixels ---- */

typedef struct state {
  es_stream_t file;
  int n_opened;
  int64_t left; /* images left in the current file */
  uint8_t records[BLOCK * RECORD_MAX];
} state_t;

static void close_images(es_images_t *images) {
  es_stream_close(&((state_t *)images->state)->file);
}

/* Converts planes of colours to interleaved pixels. */
static void interleave(const uint8_t *restrict planes, uint8_t *restrict out) {
  for (int p = 0; p < PLANE; p++) {
    for (int c = 0; c < 3; c++) out[3 * p + c] = planes[c * PLANE + p];
  }
}

/* Images are read in order. */
static es_code_t read_images(es_images_t *images, ES_UNUSED int64_t first, int64_t count, uint8_t *out,
                             es_status_t *status) {
  state_t *state = images->state;
  const layout_t *layout = layout_of(images->spec);
  const int64_t record = layout->n_labels + IMAGE;
  while (count > 0) {
    int64_t n = count < BLOCK ? count : BLOCK, got;
    if (state->left == 0) {
      ES_TRY(open_file(&state->file, images->spec, layout->files[images->split][state->n_opened], status));
      state->n_opened++;
      state->left = images->info->count[images->split] / layout->n_files[images->split];
    }
    if (n > state->left) n = state->left;
    ES_TRY(es_stream_read(&state->file, state->records, n * record, &got, status));
    if (got < n * record) return es_images_changed(state->file.path, status);
    for (int64_t i = 0; i < n; i++, out += IMAGE) interleave(state->records + i * record + layout->n_labels, out);
    state->left -= n;
    count -= n;
    if (state->left > 0) continue;
    /* The file must end here. Reading to the end also makes zlib compare the checksum. */
    ES_TRY(es_stream_read(&state->file, state->records, 1, &got, status));
    if (got != 0) return es_images_changed(state->file.path, status);
    es_stream_close(&state->file);
  }
  return ES_OK;
}

/* ---- the rows ---- */

static const char *const label_words[] = {"fine", "coarse", NULL}; /* in the order of es_labels_t */
static const es_key_t keys100[] = {
    {"datasets.*", "labels", ES_KEY_CHOICE, offsetof(es_dataset_spec_t, labels), .choices = label_words,
     .fallback = "fine", .doc = "cifar100: use the 100 fine classes or the 20 coarse classes"},
};

static void describe100(const es_dataset_spec_t *spec, bool json, es_text_t *out) {
  es_text_append(out, json ? "\"labels\": \"%s\", " : ", %s labels", label_words[spec->labels]);
}

const es_dataset_reader_t es_reader_cifar10 = {
    .hint = "the folder of data_batch_1.bin and the others",
    .mark = "data_batch_1.bin",
    .other = {"cifar-10-batches-py", "data_batch_1"},
    .other_said = "the Python version of CIFAR-10; download the binary version, cifar-10-binary.tar.gz",
    .inspect = inspect,
    .state_size = sizeof(state_t),
    .read = read_images,
    .close = close_images};
const es_dataset_reader_t es_reader_cifar100 = {
    .hint = "the folder of train.bin and test.bin",
    .mark = "train.bin",
    .keys = keys100,
    .n_keys = 1,
    .describe = describe100,
    .other = {"cifar-100-python", "train"},
    .other_said = "the Python version of CIFAR-100; download the binary version, cifar-100-binary.tar.gz",
    .inspect = inspect,
    .state_size = sizeof(state_t),
    .read = read_images,
    .close = close_images};
