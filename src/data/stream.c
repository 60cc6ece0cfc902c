#include "stream.h"
#include "eigenscope/file.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char STAGE[] = "data";

enum { BUFFER = 1 << 18 };

es_code_t es_stream_open(es_stream_t *out, const char *folder, const char *name, es_status_t *status) {
  char found[ES_PATH_MAX];
  *out = (es_stream_t){0};
  if (!es_stream_found(folder, name, found))
    return es_fail(status, ES_INPUT, STAGE, "%s/%s: this file does not exist, neither plain nor with .gz", folder,
                   name);
  snprintf(out->path, sizeof out->path, "%s/%s", folder, found);
  errno = 0;
  out->file = gzopen(out->path, "rbe");
  if (out->file == NULL) {
    return es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be opened: %s", out->path,
                   errno != 0 ? strerror(errno) : "out of memory");
  }
  gzbuffer(out->file, BUFFER);
  return ES_OK;
}

bool es_stream_found(const char *folder, const char *name, char out[ES_PATH_MAX]) {
  char path[ES_STREAM_PATH_MAX];
  for (int packed = 0; packed < 2; packed++) {
    snprintf(out, ES_PATH_MAX, "%s%s", name, packed ? ".gz" : "");
    snprintf(path, sizeof path, "%s/%s", folder, out);
    if (es_file_exists(path)) return true;
  }
  return false;
}

/* Called when no more bytes come: at the end, or on an error of zlib. A truncated gzip file is no failure here, because
 * the caller knows how much is missing. */
static es_code_t end_of_reading(es_stream_t *stream, es_status_t *status) {
  int reason = Z_OK;
  const char *text = gzerror(stream->file, &reason);
  stream->cut = reason == Z_BUF_ERROR;
  if (reason == Z_OK || reason == Z_STREAM_END || reason == Z_BUF_ERROR) return ES_OK;
  if (reason == Z_ERRNO) {
    return es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be read: %s", stream->path, strerror(errno));
  }
  if (reason == Z_MEM_ERROR) return es_out_of_memory(status, STAGE, "unpacking %s", stream->path);
  const char *colon = strrchr(text, ':'); /* zlib puts the path first */
  return es_fail(status, ES_INPUT, STAGE,
                 "%s: has damaged gzip data after %lld unpacked bytes (%s); download the file again", stream->path,
                 (long long)stream->done, colon != NULL ? colon + 2 : text);
}

es_code_t es_stream_read(es_stream_t *stream, void *out, int64_t size, int64_t *got, es_status_t *status) {
  *got = 0;
  while (*got < size) {
    int64_t left = size - *got;
    unsigned step = left < 1 << 30 ? (unsigned)left : 1u << 30; /* gzread counts in int */
    int read = gzread(stream->file, (char *)out + *got, step);
    if (read <= 0) return end_of_reading(stream, status);
    *got += read;
    stream->done += read;
  }
  return ES_OK;
}

/* Reads the last four bytes of a gzip file: the length of its last member modulo 2³². False if they cannot be read. */
static bool trailer_length(const char *path, uint32_t *length) {
  FILE *file = fopen(path, "rbe");
  if (file == NULL) return false;
  uint8_t bytes[4];
  bool read = fseeko(file, -4, SEEK_END) == 0 && fread(bytes, 1, 4, file) == 4;
  fclose(file);
  if (read)
    *length = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
  return read;
}

es_code_t es_stream_length(es_stream_t *stream, int64_t due, int64_t *length, es_status_t *status) {
  if (gzdirect(stream->file)) {
    struct stat info;
    if (stat(stream->path, &info) != 0) {
      return es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be read: %s", stream->path, strerror(errno));
    }
    *length = info.st_size;
    return ES_OK;
  }
  uint32_t trailer = 0;
  if (trailer_length(stream->path, &trailer) && trailer == (uint32_t)due) {
    *length = due;
    return ES_OK;
  }
  /* Truncated, too long, or several members: only unpacking shows the length. */
  char scratch[16384];
  int64_t got;
  do {
    ES_TRY(es_stream_read(stream, scratch, sizeof scratch, &got, status));
  } while (got > 0 && stream->done <= due + ES_STREAM_EXCESS);
  *length = stream->done;
  return ES_OK;
}

void es_stream_close(es_stream_t *stream) {
  if (stream->file != NULL) gzclose(stream->file);
  stream->file = NULL;
}
