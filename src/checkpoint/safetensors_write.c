#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include "safetensors.h"
#include <string.h>

/* A tensor and the range of its data in the file. */
typedef struct placed {
  const es_tensor_view_t *tensor;
  size_t begin, bytes;
} placed_t;

static bool is_utf8(const char *text) {
  for (size_t length; *text != '\0'; text += length) {
    length = es_text_utf8_length(text);
    if (length == 0) return false;
  }
  return true;
}

/* Fails if our own reader would refuse the file, which is a bug of the caller. */
static es_code_t check(const char *path, const es_tensor_view_t *tensors, int n_tensors, const es_metadata_t *metadata,
                       int n_metadata, es_status_t *status) {
  for (int i = 0; i < n_tensors; i++) {
    const es_tensor_view_t *tensor = &tensors[i];
    size_t bytes;
    bool known = (unsigned)tensor->dtype < ES_DTYPES && tensor->rank >= 0 && tensor->rank <= ES_TENSOR_RANK_MAX;
    bool named = memchr(tensor->name, '\0', sizeof tensor->name) != NULL && is_utf8(tensor->name) &&
                 strcmp(tensor->name, FORMAT_METADATA_KEY) != 0;
    for (int j = 0; named && j < i; j++) named = strcmp(tensor->name, tensors[j].name) != 0;
    if (!known || !named || !es_format_tensor_bytes(tensor, &bytes) || (bytes > 0 && tensor->data == NULL))
      return es_fail(status, ES_BUG, FORMAT_STAGE,
                     "%s: tensor %d (\"%.*s\") must have a unique name, a known dtype, lengths >= 0 and data", path, i,
                     ES_TENSOR_NAME_MAX - 1, tensor->name);
  }
  for (int i = 0; i < n_metadata; i++) {
    const char *key = metadata[i].key;
    bool good = is_utf8(key) && is_utf8(metadata[i].value) && strcmp(key, FORMAT_SEAL_KEY) != 0 &&
                strcmp(key, FORMAT_WRITER_KEY) != 0;
    for (int j = 0; good && j < i; j++) good = strcmp(key, metadata[j].key) != 0;
    if (!good)
      return es_fail(status, ES_BUG, FORMAT_STAGE,
                     "%s: metadata entry \"%s\" must have a unique key in UTF-8, and not \"%s\" or \"%s\"", path, key,
                     FORMAT_WRITER_KEY, FORMAT_SEAL_KEY);
  }
  return ES_OK;
}

/* Orders tensors by element size, largest first, and otherwise as given. The format allows no gaps; this order aligns
 * each tensor to its elements. Returns the bytes of all tensors. */
static size_t place(placed_t *placed, const es_tensor_view_t *tensors, int n_tensors) {
  size_t begin = 0;
  int n = 0;
  for (size_t size = 8; size > 0; size /= 2) {
    for (int i = 0; i < n_tensors; i++) {
      if (es_dtype_size(tensors[i].dtype) != size) continue;
      placed[n].tensor = &tensors[i];
      placed[n].begin = begin;
      es_format_tensor_bytes(&tensors[i], &placed[n].bytes);
      begin += placed[n++].bytes;
    }
  }
  return begin;
}

static void append_entry(es_text_t *header, const es_metadata_t *entry, uint64_t *seal) {
  *seal = es_format_seal_metadata(*seal, entry);
  es_text_append_quoted(header, entry->key);
  es_text_append(header, ":");
  es_text_append_quoted(header, entry->value);
  es_text_append(header, ",");
}

static void append_header(es_text_t *header, const placed_t *placed, int n_tensors, const es_metadata_t *metadata,
                          int n_metadata) {
  char text[FORMAT_SEAL_SIZE];
  uint64_t seal = 0;
  es_text_append(header, "{\"" FORMAT_METADATA_KEY "\":{");
  for (int i = 0; i < n_metadata; i++) append_entry(header, &metadata[i], &seal);
  append_entry(header, &(es_metadata_t){FORMAT_WRITER_KEY, FORMAT_WRITER_VALUE}, &seal);
  for (int i = 0; i < n_tensors; i++) seal = es_format_seal_tensor(seal, placed[i].tensor, placed[i].bytes);
  es_format_seal_text(seal, text);
  es_text_append(header, "\"" FORMAT_SEAL_KEY "\":\"%s\"}", text);
  for (int i = 0; i < n_tensors; i++) {
    const es_tensor_view_t *tensor = placed[i].tensor;
    es_text_append(header, ",");
    es_text_append_quoted(header, tensor->name);
    es_text_append(header, ":{\"dtype\":\"%s\",\"shape\":[", es_dtype_name(tensor->dtype));
    for (int32_t d = 0; d < tensor->rank; d++)
      es_text_append(header, "%s%lld", d > 0 ? "," : "", (long long)tensor->shape[d]);
    es_text_append(header, "],\"data_offsets\":[%zu,%zu]}", placed[i].begin, placed[i].begin + placed[i].bytes);
  }
  es_text_append(header, "}");
  while (!header->failed && (FORMAT_LENGTH_BYTES + header->length) % FORMAT_ALIGNMENT != 0) es_text_append(header, " ");
}

es_code_t es_safetensors_write(const char *path, const es_tensor_view_t *tensors, int n_tensors,
                               const es_metadata_t *metadata, int n_metadata, es_status_t *status) {
  ES_TRY(check(path, tensors, n_tensors, metadata, n_metadata, status));
  es_code_t code = ES_OK;
  es_text_t header = {0};
  char *image = NULL;
  placed_t *placed = es_allocate((size_t)n_tensors, sizeof *placed);
  if (placed == NULL) goto out;
  const size_t data_bytes = place(placed, tensors, n_tensors);
  append_header(&header, placed, n_tensors, metadata, n_metadata);
  if (header.failed) goto out;
  if (header.length > FORMAT_HEADER_MAX) {
    code = es_fail(status, ES_INPUT, FORMAT_STAGE,
                   "%s: names and metadata need %zu bytes, but the format allows a header of at most %d", path,
                   header.length, FORMAT_HEADER_MAX);
    goto out;
  }
  const size_t data_begin = FORMAT_LENGTH_BYTES + header.length;
  image = es_allocate(data_begin + data_bytes, 1);
  if (image == NULL) goto out;
  for (int i = 0; i < FORMAT_LENGTH_BYTES; i++) image[i] = (char)(header.length >> (8 * i) & 0xff);
  memcpy(image + FORMAT_LENGTH_BYTES, header.data, header.length);
  for (int i = 0; i < n_tensors; i++) {
    if (placed[i].bytes > 0) memcpy(image + data_begin + placed[i].begin, placed[i].tensor->data, placed[i].bytes);
  }
  code = es_file_write_atomic(path, image, data_begin + data_bytes, status);
out:
  if (image == NULL && code == ES_OK) code = es_out_of_memory(status, FORMAT_STAGE, "%s", path);
  es_free(image);
  es_free(placed);
  es_text_destroy(&header);
  return code;
}
