/* Good jobs, their grids and points. */
#ifndef ES_TEST_UNIT_JOBS_H
#define ES_TEST_UNIT_JOBS_H

#include "eigenscope/grid.h"
#include "support/unit.h"

static inline es_job_t *parse(const char *text) {
  es_job_t *job = NULL;
  assert_ok(es_job_parse(&job, text, strlen(text), "/jobs/job.yaml", NULL, 0, fresh()));
  return job;
}

typedef struct job_grid {
  es_job_t *job;
  es_grid_t *grid;
} job_grid_t;

static inline job_grid_t grid_open(const char *text) {
  job_grid_t g = {.job = parse(text)};
  assert_ok(es_grid_create(&g.grid, g.job, fresh()));
  return g;
}

static inline void grid_close(job_grid_t *g) {
  es_grid_destroy(g->grid);
  es_job_destroy(g->job);
}

/* The only point of a job, with its id. */
static inline void only_point(const char *text, es_point_t *point, char id[ES_ID_SIZE]) {
  job_grid_t g = grid_open(text);
  assert_int_equal(es_grid_count(g.grid), 1);
  es_grid_point(g.grid, 0, point);
  memcpy(id, es_grid_id(g.grid, 0), ES_ID_SIZE);
  grid_close(&g);
}

#endif
