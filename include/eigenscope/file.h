/** Files and folders. Not collective. Relative paths start at the working directory. */
#ifndef EIGENSCOPE_FILE_H
#define EIGENSCOPE_FILE_H

#include "eigenscope/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Replaces the content of `path` atomically: writes a part, which is a new file named
 * `<path>.<machine>.<process>.<random>.part` that no other process of the cluster writes, fsyncs, renames, fsyncs the
 * folder. On failure the part is removed and `path` is
 * unchanged. ES_SYSTEM with path and reason (disk full, read-only). A file size limit (EFBIG) is reported only while
 * SIGXFSZ is ignored; otherwise that signal ends the process. */
es_code_t es_file_write_atomic(const char *path, const void *data, size_t size, es_status_t *status);
/** Atomic writing of content that does not fit into memory: a part is open for reading and writing at
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
/** Gives the file `path` a second name, which replaces a file of that name atomically. False if the file system refuses
 * links. */
bool es_file_link(const char *path, const char *second);
/** Removes parts that killed writers of `path` left. Keeps a part whose writer may still run: writers on this machine
 * are asked for by their process number, writers on others count as ended when the part is a week old. */
void es_file_remove_parts(const char *path);
/** Reads a whole file; *data is owned by the caller (es_free), one zero byte follows it. ES_SYSTEM with the reason;
 * errno then holds it, too. */
es_code_t es_file_read(const char *path, char **data, size_t *size, es_status_t *status);
/** es_file_read for a file that should be small: ES_INPUT if it has more than `most` bytes, which then are not read. */
es_code_t es_file_read_most(const char *path, size_t most, char **data, size_t *size, es_status_t *status);
/** Identity and time of change of a file, to find out later if another process has replaced it. All zero: no file. */
typedef struct es_file_stamp {
  uint64_t device, number;
  int64_t seconds, nanoseconds;
} es_file_stamp_t;
es_file_stamp_t es_file_stamp(const char *path);
/** True if the stamp is that of a file. */
bool es_file_stamp_exists(es_file_stamp_t stamp);
/** True if the file was not replaced or changed between the two stamps. */
bool es_file_stamp_equal(es_file_stamp_t a, es_file_stamp_t b);
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
