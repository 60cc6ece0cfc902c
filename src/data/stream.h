/** Reads a file from start to end, and unpacks gzip on the way. Not collective. */
#ifndef EIGENSCOPE_DATA_STREAM_H
#define EIGENSCOPE_DATA_STREAM_H

#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include <stdbool.h>
#include <stdint.h>
#include <zlib.h>

enum { ES_STREAM_PATH_MAX = ES_PATH_MAX + 64 };

enum { ES_STREAM_EXCESS = 1 << 20 }; /**< most bytes to read beyond the expected end */

typedef struct es_stream {
  char path[ES_STREAM_PATH_MAX];
  gzFile file;  /**< owned; also reads plain files */
  int64_t done; /**< unpacked bytes read so far */
  bool cut;     /**< the gzip data ended without their end mark; known at the end of reading */
} es_stream_t;

/** Opens folder/name, or folder/name.gz if the plain file does not exist. ES_INPUT if neither exists, ES_SYSTEM if the
 * file cannot be opened. Close with es_stream_close. */
es_code_t es_stream_open(es_stream_t *out, const char *folder, const char *name, es_status_t *status);

/** True if folder/name exists, plain or as .gz; `out` receives the name found. */
bool es_stream_found(const char *folder, const char *name, char out[ES_PATH_MAX]);

/** Reads size bytes, fewer only at the end of the (unpacked or truncated) file; *got is their number. ES_INPUT for
 * damaged gzip, ES_SYSTEM when the machine fails. */
es_code_t es_stream_read(es_stream_t *stream, void *out, int64_t size, int64_t *got, es_status_t *status);

/** Finds the unpacked length of the whole file; `due` is the expected length. Plain files: from the file system. gzip:
 * from the trailer if it agrees with `due`, else by unpacking the rest, at most ES_STREAM_EXCESS bytes beyond `due`
 * (then *length is above that), because a few MB may unpack to any size. The stream cannot be read afterwards. */
es_code_t es_stream_length(es_stream_t *stream, int64_t due, int64_t *length, es_status_t *status);

/** NULL in `file` is allowed. */
void es_stream_close(es_stream_t *stream);

#endif
