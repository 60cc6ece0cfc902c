/* Shared by writer and reader of safetensors: limits, dtypes, and the seal, a hash that detects flipped bits. */
#ifndef ES_CHECKPOINT_SAFETENSORS_H
#define ES_CHECKPOINT_SAFETENSORS_H

#include "eigenscope/checkpoint.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FORMAT_STAGE        "checkpoint"
#define FORMAT_METADATA_KEY "__metadata__"
/* Every file of ours has this entry. It makes the seal compulsory: otherwise a flipped bit in the key "xxh3" would make
 * the file look like one that never had a seal. */
#define FORMAT_WRITER_KEY   "writer"
#define FORMAT_WRITER_VALUE "eigenscope"
#define FORMAT_SEAL_KEY     "xxh3"
enum {
  FORMAT_LENGTH_BYTES = 8, /* of the header's length, little-endian */
  FORMAT_ALIGNMENT = 64,   /* of the first tensor in files that we write */
  FORMAT_HEADER_MAX = 100000000,
  FORMAT_TENSORS_MAX = 65536, /* limits the memory that a false header can make us allocate */
  FORMAT_SEAL_SIZE = 17       /* 16 hexadecimal digits and the terminator */
};

/* Returns the dtype of that name, or ES_DTYPES. */
es_dtype_t es_format_dtype(const char *name);
/* Computes the bytes of a tensor; returns false on overflow or if a length is negative. */
bool es_format_tensor_bytes(const es_tensor_view_t *tensor, size_t *bytes);

/* The seal: xxh3 (64 bit) chained over every metadata entry except the seal, then over every tensor, in the order of
 * the file. Starts from 0. */
uint64_t es_format_seal_metadata(uint64_t seal, const es_metadata_t *entry);
uint64_t es_format_seal_tensor(uint64_t seal, const es_tensor_view_t *tensor, size_t bytes);
void es_format_seal_text(uint64_t seal, char out[FORMAT_SEAL_SIZE]);

#endif
