/* Shared by the fuzz targets. A target, fuzz_X.c, defines fuzz_one; its seeds are the files of seeds/X. The option
 * ES_FUZZ of CMake builds it for libFuzzer (clang); otherwise replay.c runs it as a test over its seeds and some
 * mutations. */
#ifndef ES_FUZZ_H
#define ES_FUZZ_H

#include "eigenscope/memory.h"
#include "eigenscope/status.h"
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fuzz_one(const uint8_t *data, size_t size);

static inline void fuzz_require(int condition, const char *what) {
  if (condition) return;
  fprintf(stderr, "fuzz: %s\n", what);
  abort();
}

static char fuzz_path[256]; /* the folder of test files, in memory if possible */

static inline int fuzz_remove(const char *path, const struct stat *facts, int kind, struct FTW *place) {
  (void)facts;
  (void)kind;
  (void)place;
  return remove(path);
}

static inline void fuzz_clean(void) {
  nftw(fuzz_path, fuzz_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static inline const char *fuzz_folder(void) {
  if (fuzz_path[0] != '\0') return fuzz_path;
  snprintf(fuzz_path, sizeof fuzz_path, "%s/eigenscope-fuzz-XXXXXX",
           access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  fuzz_require(mkdtemp(fuzz_path) != NULL, "no folder");
  atexit(fuzz_clean);
  return fuzz_path;
}

/* Writes a file into the folder; returns its path, which is valid until the next call. */
static inline const char *fuzz_file(const char *name, const void *data, size_t size) {
  static char path[512];
  snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
  FILE *file = fopen(path, "wb");
  fuzz_require(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0, "a file cannot be written");
  return path;
}

/* Checks that the message of a failure is one sentence that starts with the path. */
static inline void fuzz_expect(es_code_t code, const es_status_t *status, const char *place) {
  if (code == ES_OK) return;
  fuzz_require(code == ES_INPUT || code == ES_SYSTEM, "another code than that of a wrong input");
  fuzz_require(code == status->code && strncmp(status->message, place, strlen(place)) == 0, status->message);
  fuzz_require(strlen(status->message) > strlen(place) + 4 && strchr(status->message, '\n') == NULL, status->message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const int64_t before = es_memory_balance();
  fuzz_one(data, size);
  fuzz_require(es_memory_balance() == before, "memory is left behind");
  return 0;
}

#endif
