#define _GNU_SOURCE
#include "observe.h"
#include "eigenscope/cli.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "fault.h"
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- a command ---- */

static int dispatch(int argc, char **argv) {
  static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
  } commands[] = {{"run", es_cli_run},
                  {"plan", es_cli_plan},
                  {"status", es_cli_status},
                  {"show", es_cli_show},
                  {"merge", es_cli_merge},
                  {"data", es_cli_data},
                  {"checkpoint", es_cli_checkpoint},
                  {"weights", es_cli_weights},
                  {"similarity", es_cli_similarity}};
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    if (strcmp(argv[0], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
  }
  fprintf(stderr, "unknown command %s\n", argv[0]);
  return 99;
}

/* Redirects a stream to an unnamed file; returns the old descriptor. */
static int redirect(int stream, int *file) {
  const int held = dup(stream);
  *file = memfd_create("output", 0);
  dup2(*file, stream);
  return held;
}

static void restore(int stream, int held, int file, char *out) {
  dup2(held, stream);
  close(held);
  const ssize_t n = pread(file, out, TEXT_MOST - 1, 0);
  out[n > 0 ? n : 0] = '\0';
  close(file);
}

void observe_run(run_t *run, int argc, char **argv) {
  int out, err;
  fflush(NULL);
  const int held_out = redirect(STDOUT_FILENO, &out), held_err = redirect(STDERR_FILENO, &err);
  run->code = dispatch(argc, argv);
  fault_disarm();
  fflush(NULL);
  restore(STDOUT_FILENO, held_out, out, run->out);
  restore(STDERR_FILENO, held_err, err, run->err);
}

/* ---- files ---- */

static seen_t *filling;
static size_t prefix;

static int take(const char *path, const struct stat *facts, int kind, struct FTW *where) {
  (void)facts;
  (void)where;
  if (kind != FTW_F || filling->n == (int)(sizeof filling->files / sizeof *filling->files)) return 0;
  seen_file_t *file = &filling->files[filling->n++];
  char *data = NULL;
  size_t size = 0;
  snprintf(file->name, sizeof file->name, "%s", path + prefix);
  if (es_file_read(path, &data, &size, &(es_status_t){0}) == ES_OK) file->hash = es_hash(data, size, 0);
  es_free(data);
  return 0;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const seen_file_t *)a)->name, ((const seen_file_t *)b)->name);
}

void observe_files(seen_t *out, const char *folder) {
  *out = (seen_t){0};
  filling = out;
  prefix = strlen(folder) + 1;
  nftw(folder, take, 16, FTW_PHYS);
  qsort(out->files, (size_t)out->n, sizeof *out->files, by_name);
}

static int drop(const char *path, const struct stat *facts, int kind, struct FTW *where) {
  (void)facts;
  (void)kind;
  (void)where;
  return remove(path);
}

void observe_remove(const char *folder) {
  nftw(folder, drop, 16, FTW_PHYS | FTW_DEPTH);
}

static const char *copying_to;

static int copy(const char *path, const struct stat *facts, int kind, struct FTW *where) {
  char to[4096], *data = NULL;
  size_t size = 0;
  (void)facts;
  (void)where;
  snprintf(to, sizeof to, "%s%s", copying_to, path + prefix);
  if (kind == FTW_D) return mkdir(to, 0777);
  FILE *file = fopen(to, "w");
  const bool good =
      file && es_file_read(path, &data, &size, &(es_status_t){0}) == ES_OK && fwrite(data, 1, size, file) == size;
  es_free(data);
  return file && fclose(file) == 0 && good ? 0 : 1;
}

void observe_copy(const char *from, const char *to) {
  copying_to = to;
  prefix = strlen(from);
  if (nftw(from, copy, 16, FTW_PHYS) != 0) abort();
}

const seen_file_t *observe_find(const seen_t *seen, const char *name) {
  for (int i = 0; i < seen->n; i++) {
    if (strcmp(seen->files[i].name, name) == 0) return &seen->files[i];
  }
  return NULL;
}

/* ---- open resources ---- */

void observe_held(held_t *out) {
  *out = (held_t){.blocks = es_memory_balance(), .hdf5 = fault_open_hdf5(), .mpi = fault_open_mpi()};
  DIR *folder = opendir("/proc/self/fd");
  while (folder && readdir(folder)) out->descriptors++;
  if (folder) closedir(folder);
}
