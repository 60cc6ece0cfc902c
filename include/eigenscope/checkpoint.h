/** safetensors, the file format of weights and states: 8 bytes little-endian header length, JSON header, raw tensors.
 * https://huggingface.co/docs/safetensors (format specification). Not collective. */
#ifndef EIGENSCOPE_CHECKPOINT_H
#define EIGENSCOPE_CHECKPOINT_H

#include "eigenscope/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum es_dtype {
  ES_F32,
  ES_F64,
  ES_I32,
  ES_I64,
  ES_U8,
  ES_F16,  /**< IEEE 754 binary16 */
  ES_BF16, /**< the upper half of a float */
  ES_I8,
  ES_I16,
  ES_U16,
  ES_U32,
  ES_U64,
  ES_BOOL,
  ES_DTYPES
} es_dtype_t;

size_t es_dtype_size(es_dtype_t dtype);
/** "F32", "BF16", ...: the name in the file format. */
const char *es_dtype_name(es_dtype_t dtype);
/** True for a dtype that can hold weights: F64, F32, F16, BF16. */
bool es_dtype_is_real(es_dtype_t dtype);

enum { ES_TENSOR_RANK_MAX = 8, ES_TENSOR_NAME_MAX = 256 };

typedef struct es_tensor_view {
  char name[ES_TENSOR_NAME_MAX];
  es_dtype_t dtype;
  int32_t rank;
  int64_t shape[ES_TENSOR_RANK_MAX];
  const void *data; /**< borrowed; row-major */
  int64_t row; /**< saving a state: the elements that change together, if the tensor goes into the journal; else 0 */
} es_tensor_view_t;

/** Elements of a tensor. */
int64_t es_tensor_count(const es_tensor_view_t *tensor);
/** Converts all elements to float. The dtype must be es_dtype_is_real: F32, F16 and BF16 exactly, F64 rounded to
 * nearest. */
void es_tensor_to_float(const es_tensor_view_t *tensor, float *out);
/** Converts `n` elements of a dtype that es_dtype_is_real to double, exactly. */
void es_dtype_to_double(es_dtype_t dtype, const void *data, size_t n, double *out);

/** A `__metadata__` entry. */
typedef struct es_metadata {
  const char *key, *value; /**< borrowed */
} es_metadata_t;

/** Writes tensors and metadata atomically. Tensors are sorted by element size, largest first, otherwise in the given
 * order, so that each tensor is aligned; the first starts at a multiple of 64 bytes (the header is padded with spaces).
 * Adds the entries "writer" ("eigenscope") and "xxh3": the hash, chained by es_hash from 0, of every other entry (key,
 * value), then of every tensor (name, dtype, each length in decimal, bytes) in file order, strings with their
 * terminator. Names and keys must be unique UTF-8, and none of them "__metadata__", "writer" or "xxh3" (else ES_BUG).
 * ES_SYSTEM with path and reason. */
es_code_t es_safetensors_write(const char *path, const es_tensor_view_t *tensors, int n_tensors,
                               const es_metadata_t *metadata, int n_metadata, es_status_t *status);

typedef struct es_safetensors es_safetensors_t;

/** Reads and checks the header only, so the cost does not depend on the file size: header length ≤ 100 MB and within
 * the file, JSON well-formed, no duplicate keys, known dtypes, shape × dtype = length without overflow, offsets
 * contiguous from 0 to the end of the file. Names are shorter than ES_TENSOR_NAME_MAX, tensors at most 65,536. Data of
 * tensors are NULL until es_safetensors_load. ES_SYSTEM if the file cannot be read; ES_INPUT if it is invalid, or a
 * folder or a pipe. *out is owned by the caller. */
es_code_t es_safetensors_open(es_safetensors_t **out, const char *path, es_status_t *status);
/** Reads the data and checks the xxh3 if the file has one or if "writer" requires one. Codes as es_safetensors_open. */
es_code_t es_safetensors_load(es_safetensors_t *file, es_status_t *status);
/** Checks the xxh3 as es_safetensors_load does, but holds only one tensor in memory at a time. Codes as
 * es_safetensors_open. */
es_code_t es_safetensors_check(es_safetensors_t *file, es_status_t *status);
/** Reads `n` elements of a tensor of the file from element `first` on, row-major, converted to double, which is exact.
 * The dtype must be es_dtype_is_real. Neither needs nor uses es_safetensors_load. ES_SYSTEM. */
es_code_t es_safetensors_read_doubles(const es_safetensors_t *file, const es_tensor_view_t *tensor, int64_t first,
                                      int64_t n, double *out, es_status_t *status);
/** Opens and loads a file. */
es_code_t es_safetensors_read(es_safetensors_t **out, const char *path, es_status_t *status);
/** Removes `prefix` from names that begin with it. Only after es_safetensors_load, because the hash includes the names.
 * ES_INPUT if two names become equal. */
es_code_t es_safetensors_strip(es_safetensors_t *file, const char *prefix, es_status_t *status);
/** Adds tensors that the file does not have; takes over their data (es_free), also after a failure. Only after
 * es_safetensors_load. ES_INPUT if a name exists twice, ES_SYSTEM. */
es_code_t es_safetensors_add(es_safetensors_t *file, const es_tensor_view_t *tensors, int n, es_status_t *status);
void es_safetensors_destroy(es_safetensors_t *file);
int es_safetensors_count(const es_safetensors_t *file);
/** Tensor `index` in data order, aligned to its element size; NULL if out of range. Borrowed. */
const es_tensor_view_t *es_safetensors_tensor(const es_safetensors_t *file, int index);
/** The tensor of that name, or NULL. Borrowed. */
const es_tensor_view_t *es_safetensors_find(const es_safetensors_t *file, const char *name);
/** Value of a metadata entry, or NULL. Borrowed. */
const char *es_safetensors_metadata(const es_safetensors_t *file, const char *key);
/** Entry `index` of the metadata in file order, NULL if out of range. Borrowed. */
const es_metadata_t *es_safetensors_entry(const es_safetensors_t *file, int index);
/** The path that was passed to es_safetensors_open. Borrowed. */
const char *es_safetensors_path(const es_safetensors_t *file);
/** Fingerprint of the content, 16 hexadecimal digits: the xxh3 in the header (which es_safetensors_load verifies), else
 * the xxh3 that es_safetensors_write would add, for which the data are read. ES_SYSTEM, ES_INPUT. */
es_code_t es_safetensors_fingerprint(es_safetensors_t *file, char out[17], es_status_t *status);

#endif
