#define _GNU_SOURCE
#include "support/files.h"
#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <zlib.h>

void require(bool condition, const char *what) {
  if (condition) return;
  perror(what);
  abort();
}

void *allocated(size_t size) {
  void *out = malloc(size);
  require(out != NULL, "malloc");
  return out;
}

void folder_make(char out[256]) {
  const char *base = getenv("TMPDIR");
  snprintf(out, 256, "%s/eigenscope-test-XXXXXX", base != NULL ? base : "/tmp");
  require(mkdtemp(out) != NULL, out);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place) {
  (void)info;
  (void)kind;
  (void)place;
  return remove(path);
}

void folder_remove(const char *path) {
  require(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0, path);
}

int folder_count(void) {
  int count = -2;
  DIR *directory = opendir(".");
  require(directory != NULL, ".");
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

void file_size_limit(long size) {
  struct rlimit limit;
  signal(SIGXFSZ, SIG_IGN);
  require(getrlimit(RLIMIT_FSIZE, &limit) == 0, "getrlimit");
  limit.rlim_cur = size < 0 ? limit.rlim_max : (rlim_t)size;
  require(setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit");
}

void file_write(const char *path, const void *data, size_t size) {
  FILE *out = fopen(path, "wb");
  require(out != NULL && fwrite(data, 1, size, out) == size && fclose(out) == 0, path);
}

void file_write_packed(const char *path, const char *mode, const void *data, size_t size) {
  gzFile out = gzopen(path, mode);
  require(out != NULL && gzwrite(out, data, (unsigned)size) == (int)size && gzclose(out) == Z_OK, path);
}
