/* A job file of any bytes. */
#include "eigenscope/grid.h"
#include "eigenscope/job.h"
#include "fuzz.h"

static void fuzz_one(const uint8_t *data, size_t size) {
  es_job_t *job = NULL;
  es_grid_t *grid = NULL;
  es_status_t status = {0};
  es_code_t code = es_job_parse(&job, (const char *)data, size, "job.yaml", NULL, 0, &status);
  if (code == ES_OK) code = es_grid_create(&grid, job, &status);
  fuzz_expect(code, &status, "job.yaml:");
  if (code == ES_OK) {
    es_point_t point;
    es_grid_point(grid, es_grid_count(grid) - 1, &point);
  }
  es_grid_destroy(grid);
  es_job_destroy(job);
}
