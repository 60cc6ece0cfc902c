#include "eigenscope/file.h"
#include "eigenscope/json.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include "safetensors.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A tensor and the range of its data, in bytes from the end of the header. */
typedef struct entry {
  es_tensor_view_t view;
  int64_t begin, end;
  int order;  /* position in the header */
  void *copy; /* owned; aligned copy of the data if the file does not align them to their elements, else NULL */
} entry_t;

struct es_safetensors {
  char *path;   /* owned */
  char *header; /* owned; strings decoded in place */
  int descriptor;
  size_t data_begin, data_size; /* within the file */
  char *data;                   /* owned; NULL until loaded */
  int n_tensors;
  entry_t *tensors; /* owned; ordered by their data */
  const entry_t **by_name;
  int n_metadata;
  es_metadata_t *metadata; /* owned; strings borrowed from bytes */
};

/* State of reading one file. */
typedef struct reader {
  es_safetensors_t *file;
  const char *path; /* borrowed */
  es_json_t json;
  es_status_t *status;
} reader_t;

static es_code_t out_of_memory(const reader_t *reader) {
  return es_out_of_memory(reader->status, FORMAT_STAGE, "%s", reader->path);
}

/* Fails because the file is wrong. */
__attribute__((format(printf, 2, 3))) static es_code_t refuse(const reader_t *reader, const char *format, ...) {
  char message[sizeof reader->status->message];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  return es_fail(reader->status, ES_INPUT, FORMAT_STAGE, "%s: %s", reader->path, message);
}

static es_code_t bad_json(const reader_t *reader) {
  return refuse(reader, "the header is wrong at byte %zu: %s", FORMAT_LENGTH_BYTES + reader->json.at,
                reader->json.error);
}

static es_code_t read_metadata(reader_t *reader) {
  es_safetensors_t *file = reader->file;
  es_json_t *json = &reader->json;
  bool first = true;
  es_json_expect(json, '{');
  while (es_json_next(json, '}', &first)) {
    es_metadata_t *grown = es_make_room(file->metadata, file->n_metadata, sizeof *grown);
    if (grown == NULL) return out_of_memory(reader);
    file->metadata = grown;
    const char *key = es_json_string(json);
    es_json_expect(json, ':');
    const char *value = es_json_string(json);
    if (json->error != NULL) break;
    file->metadata[file->n_metadata++] = (es_metadata_t){key, value};
  }
  return json->error != NULL ? bad_json(reader) : ES_OK;
}

static es_code_t read_shape(reader_t *reader, es_tensor_view_t *view) {
  es_json_t *json = &reader->json;
  bool first = true;
  es_json_expect(json, '[');
  while (es_json_next(json, ']', &first)) {
    int64_t length;
    if (!es_json_whole(json, &length)) break;
    if (view->rank == ES_TENSOR_RANK_MAX)
      return refuse(reader, "tensor \"%s\" has more than %d dimensions; such tensors are not read", view->name,
                    ES_TENSOR_RANK_MAX);
    view->shape[view->rank++] = length;
  }
  return json->error != NULL ? bad_json(reader) : ES_OK;
}

/* Reads {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}, each exactly once. */
static es_code_t read_tensor(reader_t *reader, entry_t *entry) {
  enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4, ALL = 7 };
  es_json_t *json = &reader->json;
  int seen = 0;
  bool first = true;
  es_json_expect(json, '{');
  while (es_json_next(json, '}', &first)) {
    const char *key = es_json_string(json);
    if (key == NULL || !es_json_expect(json, ':')) break;
    int field = strcmp(key, "dtype") == 0          ? DTYPE
                : strcmp(key, "shape") == 0        ? SHAPE
                : strcmp(key, "data_offsets") == 0 ? OFFSETS
                                                   : 0;
    if (field == 0 || (seen & field) != 0)
      return refuse(
          reader,
          "tensor \"%s\" has %s key \"%s\"; a tensor must have the keys dtype, shape and data_offsets, each only once",
          entry->view.name, field == 0 ? "the unknown" : "twice the", key);
    seen |= field;
    if (field == DTYPE) {
      const char *dtype = es_json_string(json);
      if (dtype == NULL) break;
      entry->view.dtype = es_format_dtype(dtype);
      if (entry->view.dtype == ES_DTYPES)
        return refuse(
            reader,
            "tensor \"%s\" has the dtype \"%s\"; dtypes that can be read are F64, F32, F16, BF16, integers and BOOL",
            entry->view.name, dtype);
    }
    if (field == SHAPE) ES_TRY(read_shape(reader, &entry->view));
    if (field == OFFSETS) {
      bool good = es_json_expect(json, '[') && es_json_whole(json, &entry->begin) && es_json_expect(json, ',') &&
                  es_json_whole(json, &entry->end);
      if (good && !es_json_accept(json, ']')) json->error = "two offsets and ] were expected";
    }
  }
  if (json->error != NULL) return bad_json(reader);
  if (seen == ALL) return ES_OK;
  return refuse(reader, "tensor \"%s\" has no %s", entry->view.name,
                (seen & DTYPE) == 0   ? "dtype"
                : (seen & SHAPE) == 0 ? "shape"
                                      : "data_offsets");
}

static es_code_t read_header(reader_t *reader) {
  es_safetensors_t *file = reader->file;
  es_json_t *json = &reader->json;
  bool first = true, metadata_seen = false;
  es_json_expect(json, '{');
  while (es_json_next(json, '}', &first)) {
    const char *name = es_json_string(json);
    if (name == NULL || !es_json_expect(json, ':')) break;
    if (strcmp(name, FORMAT_METADATA_KEY) == 0) {
      if (metadata_seen) return refuse(reader, "the header has the key \"%s\" twice", name);
      metadata_seen = true;
      ES_TRY(read_metadata(reader));
      continue;
    }
    if (strlen(name) >= ES_TENSOR_NAME_MAX)
      return refuse(reader, "the tensor name \"%.40s...\" has %zu bytes; at most %d are allowed", name, strlen(name),
                    ES_TENSOR_NAME_MAX - 1);
    if (file->n_tensors == FORMAT_TENSORS_MAX)
      return refuse(reader, "has more than %d tensors; such files are not read", FORMAT_TENSORS_MAX);
    entry_t *grown = es_make_room(file->tensors, file->n_tensors, sizeof *grown);
    if (grown == NULL) return out_of_memory(reader);
    file->tensors = grown;
    entry_t *entry = &file->tensors[file->n_tensors];
    *entry = (entry_t){.order = file->n_tensors};
    file->n_tensors++;
    memcpy(entry->view.name, name, strlen(name) + 1);
    ES_TRY(read_tensor(reader, entry));
  }
  return es_json_end(json) ? ES_OK : bad_json(reader);
}

static int compare_offsets(const void *left, const void *right) {
  const entry_t *a = left, *b = right;
  if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
  if (a->end != b->end) return a->end < b->end ? -1 : 1;
  return a->order - b->order;
}

static int compare_names(const void *left, const void *right) {
  return strcmp((*(const entry_t *const *)left)->view.name, (*(const entry_t *const *)right)->view.name);
}

static int compare_keys(const void *left, const void *right) {
  return strcmp((*(const es_metadata_t *const *)left)->key, (*(const es_metadata_t *const *)right)->key);
}

/* Sorts the names; each name must occur once. */
static es_code_t order_names(const reader_t *reader) {
  es_safetensors_t *file = reader->file;
  for (int i = 0; i < file->n_tensors; i++) file->by_name[i] = &file->tensors[i];
  qsort(file->by_name, (size_t)file->n_tensors, sizeof *file->by_name, compare_names);
  for (int i = 1; i < file->n_tensors; i++) {
    if (compare_names(&file->by_name[i - 1], &file->by_name[i]) == 0)
      return refuse(reader, "the header has the tensor \"%s\" twice", file->by_name[i]->view.name);
  }
  return ES_OK;
}

/* Orders the tensors by their data, and by their names in by_name. */
static es_code_t order_tensors(const reader_t *reader) {
  es_safetensors_t *file = reader->file;
  if (file->n_tensors > 0) qsort(file->tensors, (size_t)file->n_tensors, sizeof *file->tensors, compare_offsets);
  file->by_name = es_allocate((size_t)file->n_tensors, sizeof *file->by_name);
  if (file->by_name == NULL) return out_of_memory(reader);
  return order_names(reader);
}

static es_code_t check_keys(const reader_t *reader) {
  const es_safetensors_t *file = reader->file;
  const es_metadata_t **sorted = es_allocate((size_t)file->n_metadata, sizeof *sorted);
  if (sorted == NULL) return out_of_memory(reader);
  es_code_t code = ES_OK;
  for (int i = 0; i < file->n_metadata; i++) sorted[i] = &file->metadata[i];
  qsort(sorted, (size_t)file->n_metadata, sizeof *sorted, compare_keys);
  for (int i = 1; code == ES_OK && i < file->n_metadata; i++) {
    if (compare_keys(&sorted[i - 1], &sorted[i]) == 0)
      code = refuse(reader, "the metadata has the key \"%s\" twice", sorted[i]->key);
  }
  es_free(sorted);
  return code;
}

/* Checks that data cover the rest of the file, each byte once. Tensors are ordered by their data. */
static es_code_t check_layout(const reader_t *reader) {
  const es_safetensors_t *file = reader->file;
  int64_t at = 0;
  for (int i = 0; i < file->n_tensors; i++) {
    const entry_t *entry = &file->tensors[i];
    const char *name = entry->view.name;
    size_t bytes;
    if (entry->begin != at || entry->end < entry->begin)
      return refuse(reader,
                    "tensor \"%s\" is at bytes %lld-%lld, but must start at %lld, where the tensor before it ends",
                    name, (long long)entry->begin, (long long)entry->end, (long long)at);
    if (!es_format_tensor_bytes(&entry->view, &bytes))
      return refuse(reader, "the shape of tensor \"%s\" is too large: the tensor would have 2^63 bytes or more", name);
    if ((size_t)(entry->end - entry->begin) != bytes)
      return refuse(reader, "tensor \"%s\" has %lld byte%s, but its shape and dtype need %zu", name,
                    (long long)(entry->end - entry->begin), es_plural(entry->end - entry->begin), bytes);
    at = entry->end;
  }
  if ((size_t)at == file->data_size) return ES_OK;
  return refuse(reader, "%s: the header describes %lld byte%s of data, but the file has %zu",
                (size_t)at > file->data_size ? "the file is cut off"
                                             : "the file has bytes at its end that belong to no tensor",
                (long long)at, es_plural(at), file->data_size);
}

/* Points every view to its data, or to an aligned copy. */
static es_code_t place_data(const reader_t *reader) {
  es_safetensors_t *file = reader->file;
  for (int i = 0; i < file->n_tensors; i++) {
    entry_t *entry = &file->tensors[i];
    size_t bytes = (size_t)(entry->end - entry->begin);
    entry->view.data = file->data + entry->begin;
    if ((uintptr_t)entry->view.data % es_dtype_size(entry->view.dtype) == 0) continue;
    entry->copy = es_allocate(bytes, 1);
    if (entry->copy == NULL) return out_of_memory(reader);
    memcpy(entry->copy, entry->view.data, bytes);
    entry->view.data = entry->copy;
  }
  return ES_OK;
}

/* The part of the seal that covers the metadata. */
static uint64_t seal_metadata(const es_safetensors_t *file) {
  const char *expected = es_safetensors_metadata(file, FORMAT_SEAL_KEY);
  uint64_t sum = 0;
  for (int i = 0; i < file->n_metadata; i++) {
    if (file->metadata[i].value != expected) sum = es_format_seal_metadata(sum, &file->metadata[i]);
  }
  return sum;
}

/* Computes the seal of the loaded content. */
static void compute_seal(const es_safetensors_t *file, char out[FORMAT_SEAL_SIZE]) {
  uint64_t sum = seal_metadata(file);
  for (int i = 0; i < file->n_tensors; i++) {
    const entry_t *entry = &file->tensors[i];
    sum = es_format_seal_tensor(sum, &entry->view, (size_t)(entry->end - entry->begin));
  }
  es_format_seal_text(sum, out);
}

static bool has_seal(const es_safetensors_t *file) {
  const char *writer = es_safetensors_metadata(file, FORMAT_WRITER_KEY);
  return es_safetensors_metadata(file, FORMAT_SEAL_KEY) != NULL ||
         (writer != NULL && strcmp(writer, FORMAT_WRITER_VALUE) == 0);
}

static es_code_t compare_seal(const reader_t *reader, const char *found) {
  const char *expected = es_safetensors_metadata(reader->file, FORMAT_SEAL_KEY);
  if (expected != NULL && strcmp(found, expected) == 0) return ES_OK;
  return refuse(reader, "the file is damaged: its content has the xxh3 %s, the header says %.40s", found,
                expected != NULL ? expected : "none");
}

static es_code_t check_seal(const reader_t *reader) {
  char found[FORMAT_SEAL_SIZE];
  if (!has_seal(reader->file)) return ES_OK;
  compute_seal(reader->file, found);
  return compare_seal(reader, found);
}

/* Reads exactly `size` bytes from `at` on; returns 0 or an errno (ENODATA if the file ends too early). */
static int read_bytes(int descriptor, size_t at, char *out, size_t size) {
  while (size > 0) {
    ssize_t got = pread(descriptor, out, size, (off_t)at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return ENODATA;
    out += got;
    at += (size_t)got;
    size -= (size_t)got;
  }
  return 0;
}

static es_code_t cannot_read(const reader_t *reader, int reason) {
  return es_fail(reader->status, ES_SYSTEM, FORMAT_STAGE, "%s: cannot be read: %s", reader->path,
                 reason == ENODATA ? "the file became shorter while it was read" : strerror(reason));
}

/* O_NONBLOCK: opening a pipe without a writer must not block. */
static es_code_t open_file(reader_t *reader, size_t *size) {
  struct stat facts;
  int descriptor = reader->file->descriptor = open(reader->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0 || fstat(descriptor, &facts) != 0) return cannot_read(reader, errno);
  if (!S_ISREG(facts.st_mode))
    return refuse(reader, "is %s, but must be a safetensors file",
                  S_ISDIR(facts.st_mode) ? "a folder" : "a device or pipe");
  *size = (size_t)facts.st_size;
  return ES_OK;
}

/* Reads the header as text and finds the start of the data. */
static es_code_t read_start(reader_t *reader, size_t size) {
  es_safetensors_t *file = reader->file;
  unsigned char start[FORMAT_LENGTH_BYTES];
  if (size < FORMAT_LENGTH_BYTES)
    return refuse(reader, "is not a safetensors file: it has %zu byte%s, but a safetensors file has at least %d", size,
                  es_plural((int64_t)size), FORMAT_LENGTH_BYTES);
  int reason = read_bytes(file->descriptor, 0, (char *)start, sizeof start);
  if (reason != 0) return cannot_read(reader, reason);
  uint64_t length = 0;
  for (int i = FORMAT_LENGTH_BYTES - 1; i >= 0; i--) length = length << 8 | start[i];
  size_t rest = size - FORMAT_LENGTH_BYTES;
  const bool fits = length <= FORMAT_HEADER_MAX && length <= rest;
  const char *kind = fits ? NULL : es_file_kind(reader->path);
  if (kind != NULL && strcmp(kind, "a safetensors file") != 0)
    return refuse(reader, "is not a safetensors file but %s", kind);
  if (!fits)
    return refuse(reader,
                  "is cut off or not a safetensors file: its first %d bytes say that the header has %llu bytes, but at "
                  "most %zu are possible",
                  FORMAT_LENGTH_BYTES, (unsigned long long)length,
                  rest < FORMAT_HEADER_MAX ? rest : (size_t)FORMAT_HEADER_MAX);
  file->header = es_allocate((size_t)length + 1, 1);
  if (file->header == NULL) return out_of_memory(reader);
  reason = read_bytes(file->descriptor, FORMAT_LENGTH_BYTES, file->header, (size_t)length);
  if (reason != 0) return cannot_read(reader, reason);
  file->header[length] = '\0';
  reader->json = (es_json_t){.text = file->header, .size = (size_t)length};
  file->data_begin = FORMAT_LENGTH_BYTES + (size_t)length;
  file->data_size = rest - (size_t)length;
  return ES_OK;
}

es_code_t es_safetensors_open(es_safetensors_t **out, const char *path, es_status_t *status) {
  reader_t reader = {.file = es_allocate_zero(1, sizeof *reader.file), .path = path, .status = status};
  size_t size = 0;
  *out = NULL;
  if (reader.file == NULL) return out_of_memory(&reader);
  reader.file->descriptor = -1;
  reader.file->path = es_duplicate(path);
  es_code_t code = reader.file->path != NULL ? open_file(&reader, &size) : out_of_memory(&reader);
  if (code == ES_OK) code = read_start(&reader, size);
  if (code == ES_OK) code = read_header(&reader);
  if (code == ES_OK) code = order_tensors(&reader);
  if (code == ES_OK) code = check_keys(&reader);
  if (code == ES_OK) code = check_layout(&reader);
  if (code == ES_OK)
    *out = reader.file;
  else
    es_safetensors_destroy(reader.file);
  return code;
}

static void unload(es_safetensors_t *file) {
  for (int i = 0; i < file->n_tensors; i++) {
    es_free(file->tensors[i].copy);
    file->tensors[i].copy = NULL;
    file->tensors[i].view.data = NULL;
  }
  es_free(file->data);
  file->data = NULL;
}

es_code_t es_safetensors_load(es_safetensors_t *file, es_status_t *status) {
  const reader_t reader = {.file = file, .path = file->path, .status = status};
  if (file->data != NULL) return ES_OK;
  file->data = es_allocate(file->data_size, 1);
  if (file->data == NULL) return out_of_memory(&reader);
  const int reason = read_bytes(file->descriptor, file->data_begin, file->data, file->data_size);
  es_code_t code = reason == 0 ? place_data(&reader) : cannot_read(&reader, reason);
  if (code == ES_OK) code = check_seal(&reader);
  if (code != ES_OK) unload(file);
  return code;
}

/* Adds a tensor to the seal; its data are read for that and freed. */
static es_code_t seal_entry(const reader_t *reader, const entry_t *entry, uint64_t *sum) {
  const size_t bytes = (size_t)(entry->end - entry->begin);
  es_tensor_view_t view = entry->view;
  void *data = es_allocate(bytes, 1);
  view.data = data;
  if (data == NULL) return out_of_memory(reader);
  const int reason = read_bytes(reader->file->descriptor, reader->file->data_begin + (size_t)entry->begin, data, bytes);
  if (reason == 0) *sum = es_format_seal_tensor(*sum, &view, bytes);
  es_free(data);
  return reason == 0 ? ES_OK : cannot_read(reader, reason);
}

es_code_t es_safetensors_check(es_safetensors_t *file, es_status_t *status) {
  const reader_t reader = {.file = file, .path = file->path, .status = status};
  char found[FORMAT_SEAL_SIZE];
  if (!has_seal(file)) return ES_OK;
  uint64_t sum = seal_metadata(file);
  for (int i = 0; i < file->n_tensors; i++) ES_TRY(seal_entry(&reader, &file->tensors[i], &sum));
  es_format_seal_text(sum, found);
  return compare_seal(&reader, found);
}

es_code_t es_safetensors_read_doubles(const es_safetensors_t *file, const es_tensor_view_t *tensor, int64_t first,
                                      int64_t n, double *out, es_status_t *status) {
  enum { CHUNK = 8192 };
  const reader_t reader = {.file = (es_safetensors_t *)file, .path = file->path, .status = status};
  const entry_t *entry = (const entry_t *)tensor; /* its first member */
  const size_t size = es_dtype_size(entry->view.dtype);
  size_t at = file->data_begin + (size_t)entry->begin + (size_t)first * size;
  double chunk[CHUNK]; /* aligned for any dtype */
  while (n > 0) {
    const size_t count = n < CHUNK ? (size_t)n : CHUNK;
    const int reason = read_bytes(file->descriptor, at, (char *)chunk, count * size);
    if (reason != 0) return cannot_read(&reader, reason);
    es_dtype_to_double(entry->view.dtype, chunk, count, out);
    out += count;
    at += count * size;
    n -= (int64_t)count;
  }
  return ES_OK;
}

es_code_t es_safetensors_read(es_safetensors_t **out, const char *path, es_status_t *status) {
  ES_TRY(es_safetensors_open(out, path, status));
  es_code_t code = es_safetensors_load(*out, status);
  if (code == ES_OK) return code;
  es_safetensors_destroy(*out);
  *out = NULL;
  return code;
}

es_code_t es_safetensors_strip(es_safetensors_t *file, const char *prefix, es_status_t *status) {
  const reader_t reader = {.file = file, .path = file->path, .status = status};
  const size_t length = strlen(prefix);
  for (int i = 0; i < file->n_tensors; i++) {
    char *name = file->tensors[i].view.name;
    if (strncmp(name, prefix, length) == 0) memmove(name, name + length, strlen(name) - length + 1);
  }
  return order_names(&reader);
}

es_code_t es_safetensors_add(es_safetensors_t *file, const es_tensor_view_t *tensors, int n, es_status_t *status) {
  const reader_t reader = {.file = file, .path = file->path, .status = status};
  const size_t all = (size_t)file->n_tensors + (size_t)n;
  entry_t *grown = es_reallocate(file->tensors, all, sizeof *grown);
  if (grown != NULL) file->tensors = grown;
  const entry_t **by_name = grown != NULL ? es_reallocate(file->by_name, all, sizeof *by_name) : NULL;
  if (by_name == NULL) {
    for (int i = 0; i < n; i++) es_free((void *)tensors[i].data);
    return out_of_memory(&reader);
  }
  file->by_name = by_name;
  for (int i = 0; i < n; i++)
    file->tensors[file->n_tensors++] = (entry_t){.view = tensors[i], .copy = (void *)tensors[i].data};
  return order_names(&reader);
}

void es_safetensors_destroy(es_safetensors_t *file) {
  if (file == NULL) return;
  unload(file);
  es_free(file->tensors);
  es_free(file->by_name);
  es_free(file->metadata);
  es_free(file->header);
  es_free(file->path);
  if (file->descriptor >= 0) close(file->descriptor);
  es_free(file);
}

int es_safetensors_count(const es_safetensors_t *file) {
  return file->n_tensors;
}

const es_tensor_view_t *es_safetensors_tensor(const es_safetensors_t *file, int index) {
  return index >= 0 && index < file->n_tensors ? &file->tensors[index].view : NULL;
}

const es_tensor_view_t *es_safetensors_find(const es_safetensors_t *file, const char *name) {
  int low = 0, high = file->n_tensors;
  while (low < high) {
    int middle = low + (high - low) / 2;
    int order = strcmp(name, file->by_name[middle]->view.name);
    if (order == 0) return &file->by_name[middle]->view;
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return NULL;
}

const char *es_safetensors_metadata(const es_safetensors_t *file, const char *key) {
  for (int i = 0; i < file->n_metadata; i++) {
    if (strcmp(file->metadata[i].key, key) == 0) return file->metadata[i].value;
  }
  return NULL;
}

const es_metadata_t *es_safetensors_entry(const es_safetensors_t *file, int index) {
  return index >= 0 && index < file->n_metadata ? &file->metadata[index] : NULL;
}

const char *es_safetensors_path(const es_safetensors_t *file) {
  return file->path;
}

es_code_t es_safetensors_fingerprint(es_safetensors_t *file, char out[FORMAT_SEAL_SIZE], es_status_t *status) {
  const char *stored = es_safetensors_metadata(file, FORMAT_SEAL_KEY);
  if (stored != NULL && strlen(stored) == FORMAT_SEAL_SIZE - 1) {
    memcpy(out, stored, FORMAT_SEAL_SIZE);
    return ES_OK;
  }
  ES_TRY(es_safetensors_load(file, status));
  compute_seal(file, out);
  return ES_OK;
}
