/** Files and folders. Nothing here is collective. Paths are as given, relative to the working directory. */
#ifndef EIGENSCOPE_FILE_H
#define EIGENSCOPE_FILE_H

#include "eigenscope/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Makes `path` hold exactly these bytes, or leaves it as it was: writes `<path>.<pid>.part` beside it, which is always
 * a new file (a link by that name is replaced, not followed), fsyncs, renames, fsyncs the folder. On failure the part
 * is removed. ES_SYSTEM with path and reason (disk full, read-only). A file size limit (EFBIG) is reported only while
 * SIGXFSZ is ignored; otherwise that signal ends the process. */
es_code_t es_file_write_atomic(const char *path, const void *data, size_t size, es_status_t *status);
/** Writes what does not fit into memory: `<path>.<pid>.part` is open for writing and reading at `descriptor`
 * until it is committed or discarded. */
typedef struct es_file_part {
  int descriptor;   /**< −1 when there is none */
  const char *path; /**< borrowed */
  char *name;       /**< owned */
} es_file_part_t;
/** ES_SYSTEM when it cannot be created, with the reason in errno, too. */
es_code_t es_file_part_open(es_file_part_t *out, const char *path, es_status_t *status);
/** fsyncs, closes, renames, fsyncs the folder. On failure the part is removed. As es_file_part_open. */
es_code_t es_file_part_commit(es_file_part_t *part, es_status_t *status);
/** Closes and removes the part; nothing when there is none. */
void es_file_part_discard(es_file_part_t *part);
/** Removes parts (`<path>.<digits>.part`) that killed writers of `path` left beside it. */
void es_file_remove_parts(const char *path);
/** Reads a whole file; *data is owned by the caller (es_free), one zero byte follows it. ES_SYSTEM with the reason,
 * which is then in errno, too. */
es_code_t es_file_read(const char *path, char **data, size_t *size, es_status_t *status);
/** es_file_read for a file that should be small: ES_INPUT when it has more than `most` bytes, of which no more are
 * read. */
es_code_t es_file_read_most(const char *path, size_t most, char **data, size_t *size, es_status_t *status);
/** True for a regular file (or a link to one). */
bool es_file_exists(const char *path);
/** True where there is nothing by that name; false also where the machine does not tell. */
bool es_file_is_missing(const char *path);
/** True for a folder (or a link to one). */
bool es_directory_exists(const char *path);
/** mkdir -p. With the path that could not be made and the reason: ES_INPUT where no folder can be by that name (below a
 * file, too long a name), ES_SYSTEM where the machine does not let it (read-only, full, forbidden). */
es_code_t es_directory_create(const char *path, es_status_t *status);
/** xxh3 (64 bit) of a block; `seed` chains blocks: pass the hash so far. */
uint64_t es_hash(const void *data, size_t size, uint64_t seed);

#endif
