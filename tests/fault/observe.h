/* Observes the effects of a command: its output, its files, and resources that it did not release. */
#ifndef ES_TEST_FAULT_OBSERVE_H
#define ES_TEST_FAULT_OBSERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_MOST = 1 << 16 };

/* One run of a command on this rank. */
typedef struct run {
  int code;
  char out[TEXT_MOST], err[TEXT_MOST]; /* zero-terminated, truncated */
} run_t;

/* Runs `eigenscope argv[0] argv[1]...` in this process. */
void observe_run(run_t *run, int argc, char **argv);

/* A file below a folder with its content; files are in alphabetical order. */
typedef struct seen_file {
  char name[300]; /* path relative to the folder */
  uint64_t hash;
} seen_file_t;
typedef struct seen {
  int n;
  seen_file_t files[256];
} seen_t;
void observe_files(seen_t *out, const char *folder);
void observe_remove(const char *folder);
void observe_copy(const char *from, const char *to);
/* Returns the file of that name, or NULL. */
const seen_file_t *observe_find(const seen_t *seen, const char *name);

/* Resources in use. The difference before and after a command is its leak. */
typedef struct held {
  int64_t blocks, descriptors, hdf5, mpi;
} held_t;
void observe_held(held_t *out);

#endif
