/** Files and folders. Not collective. Relative paths start at the working directory. */
#ifndef EIGENSCOPE_FILE_H
#define EIGENSCOPE_FILE_H

#include "eigenscope/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Replaces the content of `path` atomically: writes `<path>.<pid>.part`, which is always a new file (a link of that
 * name is replaced, not followed), fsyncs, renames, fsyncs the folder. On failure the part is removed and `path` is
 * unchanged. ES_SYSTEM with path and reason (disk full, read-only). A file size limit (EFBIG) is reported only while
 * SIGXFSZ is ignored; otherwise that signal ends the process. */
es_code_t es_file_write_atomic(const char *path, const void *data, size_t size, es_status_t *status);
/** Atomic writing of content that does not fit into memory: `<path>.<pid>.part` is open for reading and writing at
 * `descriptor` until it is committed or discarded. */
typedef struct es_file_part {
  int descriptor;   /**< −1 if there is none */
  const char *path; /**< borrowed */
  char *name;       /**< owned */
} es_file_part_t;
/** ES_SYSTEM if the part cannot be created; errno then holds the reason, too. */
es_code_t es_file_part_open(es_file_part_t *out, const char *path, es_status_t *status);
/** fsyncs, closes, renames, fsyncs the folder. On failure the part is removed. Codes as es_file_part_open. */
es_code_t es_file_part_commit(es_file_part_t *part, es_status_t *status);
/** Closes and removes the part, if there is one. */
void es_file_part_discard(es_file_part_t *part);
/** Removes parts (`<path>.<digits>.part`) that killed writers of `path` left. */
void es_file_remove_parts(const char *path);
/** Reads a whole file; *data is owned by the caller (es_free), one zero byte follows it. ES_SYSTEM with the reason;
 * errno then holds it, too. */
es_code_t es_file_read(const char *path, char **data, size_t *size, es_status_t *status);
/** es_file_read for a file that should be small: ES_INPUT if it has more than `most` bytes, which then are not read. */
es_code_t es_file_read_most(const char *path, size_t most, char **data, size_t *size, es_status_t *status);
/** True for a regular file (or a link to one). */
bool es_file_exists(const char *path);
/** True only if the file certainly does not exist. */
bool es_file_is_missing(const char *path);
/** True for a folder (or a link to one). */
bool es_directory_exists(const char *path);
/** mkdir -p. On failure the message has the path and the reason: ES_INPUT if the name cannot be a folder (below a file,
 * name too long), ES_SYSTEM if the machine refuses (read-only, full, forbidden). */
es_code_t es_directory_create(const char *path, es_status_t *status);
/** xxh3 (64 bit) of a block. To chain blocks, pass the hash so far as `seed`. */
uint64_t es_hash(const void *data, size_t size, uint64_t seed);

#endif
