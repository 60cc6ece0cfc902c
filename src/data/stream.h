/** A file read from front to back, unpacked on the way when it is gzip. Not collective. */
#ifndef EIGENSCOPE_DATA_STREAM_H
#define EIGENSCOPE_DATA_STREAM_H

#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include <stdbool.h>
#include <stdint.h>
#include <zlib.h>

enum { ES_STREAM_PATH_MAX = ES_PATH_MAX + 64 };

enum { ES_STREAM_EXCESS = 1 << 20 }; /**< bytes behind the end that is due after which nobody reads on */

typedef struct es_stream {
  char path[ES_STREAM_PATH_MAX];
  gzFile file;  /**< owned; reads plain files as they are */
  int64_t done; /**< unpacked bytes read so far */
  bool cut;     /**< the gzip data ended before their end mark: known once reading came there */
} es_stream_t;

/** Opens folder/name, or folder/name.gz when the plain file is not there. ES_INPUT when neither is, ES_SYSTEM when what
 * is there cannot be opened. Close with es_stream_close. */
es_code_t es_stream_open(es_stream_t *out, const char *folder, const char *name, es_status_t *status);

/** True if folder/name exists, plain or as .gz; `out` gets the name found. */
bool es_stream_found(const char *folder, const char *name, char out[ES_PATH_MAX]);

/** Reads size bytes, fewer only where the (unpacked) file ends or is cut off; *got says how many. ES_INPUT for damaged
 * gzip, ES_SYSTEM when the machine fails. */
es_code_t es_stream_read(es_stream_t *stream, void *out, int64_t size, int64_t *got, es_status_t *status);

/** Finds the unpacked length of the whole file, which is `due` if all is well. Plain: asked of the file system. gzip:
 * taken from the trailer when that agrees with `due`, else counted by unpacking the rest, but not much further than due
 * (then *length is above due + ES_STREAM_EXCESS): a few MB may unpack to anything. The stream is spent. */
es_code_t es_stream_length(es_stream_t *stream, int64_t due, int64_t *length, es_status_t *status);

/** NULL in `file` is fine. */
void es_stream_close(es_stream_t *stream);

#endif
