/* Runs a fuzz target as a test: every seed unchanged, then reproducible mutations of it.
 *
 *   fuzz_X FOLDER [MUTATIONS]    of each seed; default 200 */
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/random.h"
#include "support/hdf5_leaks.h"
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 1 << 20 };

static char current[512]; /* name of the current input */

static void on_crash(int number) {
  const char text[] = "fuzz: crashed on ";
  (void)!write(STDERR_FILENO, text, sizeof text - 1);
  (void)!write(STDERR_FILENO, current, strlen(current));
  signal(number, SIG_DFL);
  raise(number);
}

/* One edit: changes a byte, inserts a number of four or eight bytes, removes or repeats bytes, or cuts off the end. */
static size_t mutate(uint8_t *data, size_t size, const uint32_t words[4]) {
  static const uint64_t numbers[] = {0,         1,          0x7f,      0xff,       0x7fff,      0xffff,
                                     INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX, 100ULL << 30};
  const size_t at = size > 0 ? words[1] % size : 0, n = 1 + words[2] % 16;
  const uint64_t number = numbers[words[2] % (sizeof numbers / sizeof *numbers)];
  switch (words[0] % 6) {
  case 0:
    if (size > 0) data[at] ^= (uint8_t)(1U << words[2] % 8);
    return size;
  case 1:
    if (size > 0) data[at] = (uint8_t)words[2];
    return size;
  case 2:
    memcpy(data + at, &number, at + 8 <= size ? 8 : size - at);
    return size;
  case 3:
    if (at + n > size) return size;
    memmove(data + at, data + at + n, size - at - n);
    return size - n;
  case 4:
    if (at + n > size || size + n > ROOM) return size;
    memmove(data + at + n, data + at, size - at);
    return size + n;
  default:
    return words[3] % 4 == 0 ? at : size;
  }
}

static void try(const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size + 1); /* a separate block, so that sanitizers see a read past the end */
  if (copy == NULL) abort();
  memcpy(copy, data, size);
  LLVMFuzzerTestOneInput(copy, size);
  free(copy);
}

static void replay(const char *path, int mutations) {
  static uint8_t data[ROOM];
  char *seed;
  size_t length;
  if (es_file_read(path, &seed, &length, &(es_status_t){0}) != ES_OK || length > ROOM) abort();
  snprintf(current, sizeof current, "%s\n", path);
  try((const uint8_t *)seed, length);
  const uint64_t name = es_hash(seed, length, 0);
  for (int m = 0; m < mutations; m++) {
    uint32_t words[4];
    size_t size = length;
    memcpy(data, seed, length);
    snprintf(current, sizeof current, "%s, mutation %d\n", path, m);
    for (int edit = 0; edit <= m % 4; edit++) {
      es_random_block((int64_t)(name >> 1), ES_RANDOM_TEST, (uint64_t)m, (uint64_t)edit, words);
      size = mutate(data, size, words);
    }
    try(data, size);
  }
  es_free(seed);
}

int main(int argc, char **argv) {
  const int mutations = argc > 2 ? atoi(argv[2]) : 200;
  int seeds = 0;
  DIR *folder = argc > 1 ? opendir(argv[1]) : NULL;
  if (folder == NULL) return EXIT_FAILURE;
  signal(SIGSEGV, on_crash);
  signal(SIGABRT, on_crash);
  signal(SIGBUS, on_crash);
  signal(SIGFPE, on_crash);
  for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
    char path[400];
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%.140s/%s", argv[1], entry->d_name);
    replay(path, mutations);
    seeds++;
  }
  closedir(folder);
  return seeds > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
