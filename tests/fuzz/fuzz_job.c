/* Input: a job file; arguments of --set follow after zero bytes. */
#include "eigenscope/grid.h"
#include "eigenscope/job.h"
#include "fuzz.h"

enum { SETS_MAX = 4 };

/* A text ends where the next begins, or at the end of the data; the zero after the last one is the target's own. */
static int find_sets(char *text, size_t size, const char *sets[SETS_MAX]) {
  int n = 0;
  for (size_t i = strlen(text); n < SETS_MAX && i < size; i += 1 + strlen(text + i + 1)) sets[n++] = text + i + 1;
  return n;
}

/* Fills braces in paths with the values of a point. */
static void fill_paths(const es_point_t *point, const char *id) {
  static const char *const more[] = {"w/{model}-{width}-{seed}.safetensors", "{dataset}/{id}-{epoch:03}", "{"};
  char path[ES_PATH_MAX];
  for (int split = 0; split < ES_SPLITS; split++)
    es_point_path(path, point->external.file[split], point, id, 7, &(es_status_t){0});
  for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
    if (es_point_path(path, more[i], point, id, 7, &(es_status_t){0}) == ES_OK)
      fuzz_require(strstr(path, "../") == NULL && path[0] != '/', path);
  }
}

static void fuzz_one(const uint8_t *data, size_t size) {
  es_job_t *job = NULL;
  es_grid_t *grid = NULL;
  es_status_t status = {0};
  const char *sets[SETS_MAX];
  char *text = malloc(size + 1);
  fuzz_require(text != NULL, "malloc");
  memcpy(text, data, size);
  text[size] = '\0';
  const int n_sets = find_sets(text, size, sets);
  es_code_t code = es_job_parse(&job, text, strlen(text), "job.yaml", sets, n_sets, &status);
  if (code == ES_OK) code = es_grid_create(&grid, job, &status);
  fuzz_expect(code, &status, strncmp(status.message, "--set ", 6) == 0 ? "--set " : "job.yaml:");
  if (code == ES_OK) {
    es_point_t point;
    const int64_t last = es_grid_count(grid) - 1;
    es_grid_point(grid, last, &point);
    fill_paths(&point, es_grid_id(grid, last));
  }
  es_grid_destroy(grid);
  es_job_destroy(job);
  free(text);
}
