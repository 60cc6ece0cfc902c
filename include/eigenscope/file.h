/** Files and folders. Not collective. Relative paths start at the working directory. */
#ifndef EIGENSCOPE_FILE_H
#define EIGENSCOPE_FILE_H

#include "eigenscope/status.h"
#include "eigenscope/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Replaces the content of `path` atomically: writes a part, which is a new file named
 * `<path>.<machine>.<process>.<random>.part` that no other process of the cluster writes, fsyncs, renames, fsyncs the
 * folder. On failure the part is removed and `path` is
 * unchanged. ES_SYSTEM with path and reason (disk full, read-only). A file size limit (EFBIG) is reported only while
 * SIGXFSZ is ignored; otherwise that signal ends the process. */
es_code_t es_file_write_atomic(const char *path, const void *data, size_t size, es_status_t *status);
/** As es_file_write_atomic without fsync, for a file that tells others what happens at present: after a crash of the
 * machine the file may be empty. False if it cannot be written. */
bool es_file_replace(const char *path, const void *data, size_t size);
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
/** Creates a new file `<path>.<machine>.<process>.<random>.<extension>`, open for writing, under a name that no other
 * process of the cluster uses, and syncs the folder. `name` gets the path. ES_SYSTEM; then there is no file. */
es_code_t es_file_create_unique(int *descriptor, es_text_t *name, const char *path, const char *extension,
                                es_status_t *status);
/** Writes bytes at an offset of a file, and to the disk, which es_file_sync confirms. `path` is for the message.
 * ES_SYSTEM.
 */
es_code_t es_file_write_at(int descriptor, const char *path, uint64_t offset, const void *data, size_t size,
                           es_status_t *status);
es_code_t es_file_sync(int descriptor, const char *path, es_status_t *status);
/** Calls `visit` with the path of every file `<path>.*.<extension>`. */
void es_file_each(const char *path, const char *extension, void (*visit)(const char *name));
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
/** The stamp of a new file beside `path`, which is removed at once: the present time by the clock of the file system,
 * which may differ from this machine's. No file if none can be made there. */
es_file_stamp_t es_file_stamp_now(const char *path);
/** True if the stamp is that of a file. */
bool es_file_stamp_exists(es_file_stamp_t stamp);
/** True if the file was not replaced or changed between the two stamps. */
bool es_file_stamp_equal(es_file_stamp_t a, es_file_stamp_t b);
/** True for a regular file (or a link to one). */
bool es_file_exists(const char *path);
/** Says what a file is by its first bytes ("a pointer of Git LFS; fetch ..."), for a message that it is not what was
 * expected; NULL if they do not tell, or if the file cannot be read. */
const char *es_file_kind(const char *path);
/** es_file_kind for a file whose first bytes were read: 512, or all if the file is shorter. */
const char *es_file_kind_of(const void *data, size_t size);
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
