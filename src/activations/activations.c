/* Activations computed by other programs: code shared by all readers. */
#include "activations_internal.h"
#include "eigenscope/file.h"
#include "eigenscope/fingerprint.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include <assert.h>
#include <string.h>

static const char STAGE[] = "data";

enum { SHAPE_TEXT = 128, LABELS_AT_ONCE = 1 << 16, SAMPLES_MOST = 64, SAMPLES_BYTES = 16 << 20 };

/* ---- checks of arrays ---- */

static es_code_t check_names(const es_activations_t *file, es_status_t *status) {
  for (int i = 0; i < file->n_arrays; i++) {
    const es_array_t *array = file->arrays + i;
    if (array->name[0] == '\0' || !es_text_is_plain(array->name)) {
      char shown[64] = ""; /* shortened for the message */
      for (size_t n = 0; n < sizeof shown - 1 && array->name[n] != '\0'; n++)
        shown[n] = array->name[n] < 0x20 || array->name[n] > 0x7e ? '?' : array->name[n];
      return es_fail(status, ES_INPUT, STAGE,
                     "%s: an array has the name %s, which must be UTF-8 text without control characters", file->path,
                     shown);
    }
    for (int k = 0; k < i; k++) {
      if (strcmp(file->arrays[k].name, array->name) != 0) continue;
      return es_fail(status, ES_INPUT, STAGE,
                     "%s: two arrays have the name %s (\"/\" in a name counts as \".\"); rename one of them",
                     array->where, array->name);
    }
  }
  return ES_OK;
}

/* Moves the array of labels behind the layers, which keep their order. */
static void part_labels(es_activations_t *file) {
  file->n_layers = file->n_arrays;
  for (int i = 0; i < file->n_arrays; i++) {
    if (strcmp(file->arrays[i].name, file->labels_name) != 0) continue;
    es_array_t labels = file->arrays[i];
    file->n_layers--;
    memmove(file->arrays + i, file->arrays + i + 1, (size_t)(file->n_layers - i) * sizeof labels);
    file->arrays[file->n_layers] = labels;
    return;
  }
}

static es_code_t check_type(const es_activations_t *file, const es_array_t *array, es_status_t *status) {
  if (array->number.kind <= ES_NUMBER_FLOAT64) return ES_OK;
  bool like_labels = array->number.kind == ES_NUMBER_INTEGER && array->rank == 1;
  return es_fail(status, ES_INPUT, STAGE, "%s: holds %s, but a layer must hold float16, float32 or float64; %s",
                 array->where, array->number.text,
                 like_labels ? "if this array holds the labels, set `activations: {labels: ...}` in the job to its name"
                             : file->reader->otherwise);
}

static es_code_t check_shape(const es_array_t *array, es_status_t *status) {
  char text[SHAPE_TEXT];
  int64_t size = (int64_t)es_number_memory(&array->number);
  bool right = array->rank == 2 || array->rank == 4, empty = false, large = false;
  es_text_shape(text, sizeof text, array->shape, array->rank);
  if (!right)
    return es_fail(
        status, ES_INPUT, STAGE,
        "%s: has the shape %s, but must have the shape (samples, channels) or (samples, height, width, channels)",
        array->where, text);
  for (int i = 0; i < array->rank; i++) {
    empty = empty || array->shape[i] < 1;
    large = large || (i > 0 && array->shape[i] > INT32_MAX) || __builtin_mul_overflow(size, array->shape[i], &size);
  }
  if (empty)
    return es_fail(status, ES_INPUT, STAGE, "%s: has the shape %s, which is empty; every length must be at least 1",
                   array->where, text);
  if (large) return es_fail(status, ES_INPUT, STAGE, "%s: has the shape %s, which is too large", array->where, text);
  return ES_OK;
}

static es_code_t check_layers(const es_activations_t *file, es_status_t *status) {
  const es_array_t *first = file->arrays;
  for (int i = 0; i < file->n_layers; i++) {
    es_array_t *array = file->arrays + i;
    ES_TRY(check_type(file, array, status));
    ES_TRY(check_shape(array, status));
    if (array->shape[0] != first->shape[0])
      return es_fail(
          status, ES_INPUT, STAGE,
          "%s: the number of samples is %lld, but in layer %s it is %lld; all layers must have the same number",
          array->where, (long long)array->shape[0], first->name, (long long)first->shape[0]);
    ES_TRY(file->reader->check(file, array, status));
  }
  return ES_OK;
}

static es_code_t check_labels(const es_activations_t *file, es_status_t *status) {
  char text[SHAPE_TEXT];
  if (!es_activations_has_labels(file)) return ES_OK;
  es_array_t *labels = file->arrays + file->n_layers;
  int64_t n = file->arrays[0].shape[0];
  if (labels->number.kind != ES_NUMBER_INTEGER)
    return es_fail(status, ES_INPUT, STAGE, "%s: holds %s, but labels must be integers", labels->where,
                   labels->number.text);
  es_text_shape(text, sizeof text, labels->shape, labels->rank);
  if (labels->rank != 1)
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: has the shape %s, but must have one label for each sample: the shape (%lld)", labels->where,
                   text, (long long)n);
  if (labels->shape[0] != n)
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: the number of labels is %lld, but the number of samples is %lld; the two must be equal",
                   labels->where, (long long)labels->shape[0], (long long)n);
  return file->reader->check(file, labels, status);
}

/* ---- opening ---- */

static es_code_t describe_layers(es_activations_t *file, es_status_t *status) {
  file->layers = es_allocate((size_t)file->n_layers, sizeof *file->layers);
  if (file->layers == NULL) return es_out_of_memory(status, STAGE, "the layers of %s", file->path);
  for (int i = 0; i < file->n_layers; i++) {
    const es_array_t *array = file->arrays + i;
    bool flat = array->rank == 2;
    file->layers[i] = (es_activation_layer_t){.name = array->name,
                                              .h = flat ? 1 : (int32_t)array->shape[1],
                                              .w = flat ? 1 : (int32_t)array->shape[2],
                                              .c = (int32_t)array->shape[array->rank - 1],
                                              .is_double = array->number.kind == ES_NUMBER_FLOAT64,
                                              .samples = array->shape[0],
                                              .chunk = array->chunk};
  }
  return ES_OK;
}

static es_code_t open_checked(es_activations_t *file, es_status_t *status) {
  ES_TRY(file->reader->open(file, status));
  ES_TRY(check_names(file, status));
  part_labels(file);
  if (file->n_layers == 0)
    return es_fail(status, ES_INPUT, STAGE, "%s: holds no layer; a layer is an array of float16, float32 or float64",
                   file->path);
  ES_TRY(check_layers(file, status));
  ES_TRY(check_labels(file, status));
  return describe_layers(file, status);
}

/* The first reader that recognises the path opens it; the last reader accepts all other paths. */
static const es_activations_reader_t *const readers[] = {&es_activations_npy, &es_activations_hdf5};

es_code_t es_activations_open(es_activations_t **out, const char *path, const char *labels_name, es_status_t *status) {
  es_activations_t *file = *out = es_allocate_zero(1, sizeof *file);
  if (file == NULL) return es_out_of_memory(status, STAGE, "reading %s", path);
  int r = 0;
  while (readers[r]->found != NULL && !readers[r]->found(path)) r++;
  *file = (es_activations_t){
      .reader = readers[r], .path = es_duplicate(path), .labels_name = es_name_dotted(labels_name), .handle = -1};
  const bool good = file->path != NULL && file->labels_name != NULL;
  const es_code_t code = good ? open_checked(file, status) : es_out_of_memory(status, STAGE, "reading %s", path);
  if (code == ES_OK) return ES_OK;
  es_activations_close(file);
  *out = NULL;
  return code;
}

void es_activations_close(es_activations_t *file) {
  if (file == NULL) return;
  file->reader->close(file);
  for (int i = 0; i < file->n_arrays; i++) {
    es_free(file->arrays[i].name);
    es_free(file->arrays[i].where);
  }
  es_free(file->arrays);
  es_free(file->layers);
  es_free(file->labels_name);
  es_free(file->path);
  es_free(file);
}

/* ---- contents ---- */

int es_activations_count(const es_activations_t *file) {
  return file->n_layers;
}

const es_activation_layer_t *es_activations_layer(const es_activations_t *file, int i) {
  assert(i >= 0 && i < file->n_layers);
  return file->layers + i;
}

int64_t es_activations_samples(const es_activations_t *file) {
  return file->arrays[0].shape[0];
}

static size_t row_values(const es_activation_layer_t *layer) {
  return (size_t)layer->h * (size_t)layer->w * (size_t)layer->c;
}

size_t es_activations_row_size(const es_activations_t *file, int i) {
  return row_values(es_activations_layer(file, i)) * es_number_memory(&file->arrays[i].number);
}

es_code_t es_activations_read(const es_activations_t *file, int i, int64_t first, int64_t count, void *out,
                              es_status_t *status) {
  const es_activation_layer_t *layer = es_activations_layer(file, i);
  const es_array_t *array = file->arrays + i;
  assert(first >= 0 && count >= 0 && first <= layer->samples - count);
  size_t n = (size_t)count * row_values(layer);
  if (count == 0) return ES_OK;
  ES_TRY(file->reader->read(file, array, first, count, es_number_stage(&array->number, out, n), status));
  es_number_unpack(&array->number, out, n);
  return ES_OK;
}

/* ---- labels ---- */

bool es_activations_has_labels(const es_activations_t *file) {
  return file->n_layers < file->n_arrays;
}

es_code_t es_activations_labels(const es_activations_t *file, int64_t first, int64_t count, int32_t *out,
                                es_status_t *status) {
  const es_array_t *array = file->arrays + file->n_layers;
  assert(es_activations_has_labels(file));
  assert(first >= 0 && count >= 0 && first <= es_activations_samples(file) - count);
  int64_t *values = es_allocate(LABELS_AT_ONCE, sizeof *values);
  es_code_t code = values != NULL ? ES_OK : es_out_of_memory(status, STAGE, "the labels of %s", file->path);
  for (int64_t n; code == ES_OK && count > 0; first += n, count -= n) {
    n = count < LABELS_AT_ONCE ? count : LABELS_AT_ONCE;
    /* Read stored values into the end of the buffer, so that wider results never overwrite unread values. */
    void *stored = (char *)(values + n) - n * array->number.size;
    code = file->reader->read(file, array, first, n, stored, status);
    if (code == ES_OK) es_number_integers(&array->number, stored, values, (size_t)n);
    for (int64_t i = 0; code == ES_OK && i < n; i++) {
      if (values[i] < 0 || values[i] >= ES_ACTIVATION_CLASSES_MAX)
        code = es_fail(status, ES_INPUT, STAGE,
                       "%s: label %lld of sample %lld is out of range; labels must be from 0 to %d", array->where,
                       (long long)values[i], (long long)(first + i), ES_ACTIVATION_CLASSES_MAX - 1);
      *out++ = (int32_t)values[i];
    }
  }
  es_free(values);
  return code;
}

/* Reads all labels: *classes becomes the largest + 1, `fingerprint` gets the labels; each may be NULL. */
static es_code_t pass_labels(const es_activations_t *file, int32_t *classes, es_fingerprint_t *fingerprint,
                             es_status_t *status) {
  int64_t left = es_activations_samples(file), first = 0;
  int32_t *labels = es_allocate(LABELS_AT_ONCE, sizeof *labels);
  es_code_t code = labels != NULL ? ES_OK : es_out_of_memory(status, STAGE, "the labels of %s", file->path);
  for (int64_t n; code == ES_OK && left > 0; first += n, left -= n) {
    n = left < LABELS_AT_ONCE ? left : LABELS_AT_ONCE;
    code = es_activations_labels(file, first, n, labels, status);
    for (int64_t i = 0; code == ES_OK && classes != NULL && i < n; i++) {
      if (labels[i] >= *classes) *classes = labels[i] + 1;
    }
    if (code == ES_OK && fingerprint != NULL) es_fingerprint_add(fingerprint, labels, (size_t)n * sizeof *labels);
  }
  es_free(labels);
  return code;
}

es_code_t es_activations_classes(const es_activations_t *file, int32_t *out, es_status_t *status) {
  *out = 0;
  return pass_labels(file, out, NULL, status);
}

/* ---- the fingerprint ---- */

static es_code_t hash_layer(es_fingerprint_t *fingerprint, const es_activations_t *file, int i, es_status_t *status) {
  const es_activation_layer_t *layer = es_activations_layer(file, i);
  const es_array_t *array = file->arrays + i;
  const int64_t shape[] = {layer->samples, layer->h, layer->w, layer->c};
  size_t row = es_activations_row_size(file, i);
  int64_t most = (int64_t)(SAMPLES_BYTES / row);
  most = most > SAMPLES_MOST ? SAMPLES_MOST : most < 2 ? 2 : most;
  const int64_t n = layer->samples < most ? layer->samples : most; /* number of samples to hash */
  void *values = es_allocate(row, 1);
  if (values == NULL) return es_out_of_memory(status, STAGE, "a sample of %s", file->path);
  es_fingerprint_add(fingerprint, layer->name, strlen(layer->name) + 1);
  es_fingerprint_add(fingerprint, array->number.text, strlen(array->number.text) + 1);
  es_fingerprint_add(fingerprint, shape, sizeof shape);
  es_code_t code = ES_OK;
  for (int64_t k = 0; code == ES_OK && k < n; k++) {
    /* In 128 bits, because the number of samples may be large. */
    const int64_t sample = n == 1 ? 0 : (int64_t)((__int128)k * (layer->samples - 1) / (n - 1));
    code = es_activations_read(file, i, sample, 1, values, status);
    if (code == ES_OK) es_fingerprint_add(fingerprint, values, row);
  }
  es_free(values);
  return code;
}

es_code_t es_activations_fingerprint(const es_activations_t *file, char out[ES_ID_SIZE], es_status_t *status) {
  es_fingerprint_t fingerprint;
  ES_TRY(es_fingerprint_create(&fingerprint, file->path, status));
  es_code_t code = ES_OK;
  for (int i = 0; code == ES_OK && i < file->n_layers; i++) code = hash_layer(&fingerprint, file, i, status);
  if (code == ES_OK && es_activations_has_labels(file)) code = pass_labels(file, NULL, &fingerprint, status);
  if (code == ES_OK) es_fingerprint_finish(&fingerprint, out);
  es_fingerprint_destroy(&fingerprint);
  return code;
}
