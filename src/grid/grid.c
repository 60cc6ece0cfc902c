/* The points of a job: blocks multiplied out, named, without repetitions. */
#include "eigenscope/grid.h"
#include "eigenscope/memory.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char STAGE[] = "grid";

enum { POINTS_MAX = 1000000, BLOCK_AXES_MAX = ES_AXES_MAX };

typedef struct cell {
  char id[ES_ID_SIZE];
  int32_t block;
  uint32_t position; /* within the product of the block, last axis fastest */
} cell_t;
_Static_assert(sizeof(cell_t) <= 32, "a point takes 32 bytes");

struct es_grid {
  const es_job_t *job; /* borrowed */
  int64_t n;
  cell_t *cells;
};

/* Cells by id while the grid is made: open addressing, a power of two of slots, at most half of them full. */
typedef struct table {
  int64_t mask;
  int32_t *slots; /* cell index + 1; 0 is free */
} table_t;

/* Slot of this id, or the free one where it goes. */
static int32_t *find_slot(const table_t *table, const cell_t *cells, const char *id) {
  const uint64_t hash = strtoull(id, NULL, 16);
  for (int64_t slot = (int64_t)(hash & (uint64_t)table->mask);; slot = (slot + 1) & table->mask) {
    int32_t *at = &table->slots[slot];
    if (*at == 0 || memcmp(cells[*at - 1].id, id, ES_ID_SIZE) == 0) return at;
  }
}

static es_code_t block_size(const es_job_t *job, int block, int64_t *size, es_status_t *status) {
  *size = 1;
  for (int a = 0; a < es_job_n_axes(job, block); a++) {
    const es_job_axis_t axis = es_job_axis(job, block, a);
    *size *= axis.n_values;
    if (*size > POINTS_MAX)
      return es_fail(status, ES_INPUT, STAGE, "%s:%d: the grid has more than %d points; split the job",
                     es_job_path(job), axis.line, POINTS_MAX);
  }
  return ES_OK;
}

/* Applies to `point` the values at `position` of axes first … last of a block; `changed` says which, all when NULL. */
static void apply(const es_job_t *job, int block, const int *value, const bool *changed, es_point_t *point) {
  for (int a = 0; a < es_job_n_axes(job, block); a++) {
    if (changed != NULL && !changed[a]) continue;
    const es_code_t code = es_job_apply(job, block, a, value[a], point, &(es_status_t){0});
    assert(code == ES_OK); /* es_job_parse has applied every value */
    (void)code;
  }
}

/* Counts on to the next combination, last axis fastest; changed[a] for every digit that moved. */
static void advance(const es_job_t *job, int block, int *value, bool *changed) {
  int a = es_job_n_axes(job, block) - 1;
  memset(changed, 0, BLOCK_AXES_MAX * sizeof *changed);
  for (; a >= 0; a--) {
    changed[a] = true;
    if (++value[a] < es_job_axis(job, block, a).n_values) return;
    value[a] = 0;
  }
}

static void add_block(es_grid_t *grid, const table_t *table, int block, int64_t size) {
  es_point_t point;
  int value[BLOCK_AXES_MAX] = {0};
  bool changed[BLOCK_AXES_MAX];
  es_job_start(grid->job, block, &point);
  apply(grid->job, block, value, NULL, &point);
  for (int64_t position = 0; position < size; position++) {
    cell_t *cell = &grid->cells[grid->n];
    *cell = (cell_t){.block = block, .position = (uint32_t)position};
    es_point_id(&point, cell->id);
    int32_t *slot = find_slot(table, grid->cells, cell->id);
    if (*slot == 0) *slot = (int32_t)++grid->n;
    advance(grid->job, block, value, changed);
    apply(grid->job, block, value, changed, &point);
  }
}

/* Room for all cells, as many as there are before repetitions are left out. */
static es_code_t make_room(es_grid_t *grid, table_t *table, int64_t *total, es_status_t *status) {
  *total = 0;
  for (int block = 0; block < es_job_n_blocks(grid->job); block++) {
    int64_t size;
    ES_TRY(block_size(grid->job, block, &size, status));
    *total += size;
    if (*total > POINTS_MAX)
      return es_fail(status, ES_INPUT, STAGE, "%s:%d: the grid has more than %d points; split the job",
                     es_job_path(grid->job), es_job_axis(grid->job, block, 0).line, POINTS_MAX);
  }
  int64_t slots = 16;
  while (slots < 2 * *total) slots *= 2;
  table->mask = slots - 1;
  table->slots = es_allocate_zero((size_t)slots, sizeof *table->slots);
  grid->cells = es_allocate((size_t)*total + 1, sizeof *grid->cells);
  if (table->slots != NULL && grid->cells != NULL) return ES_OK;
  return es_fail(status, ES_SYSTEM, STAGE, "%s: out of memory for %lld points", es_job_path(grid->job),
                 (long long)*total);
}

es_code_t es_grid_create(es_grid_t **out, const es_job_t *job, es_status_t *status) {
  *out = NULL;
  es_grid_t *grid = es_allocate_zero(1, sizeof *grid);
  if (grid == NULL) return es_fail(status, ES_SYSTEM, STAGE, "%s: out of memory for the grid", es_job_path(job));
  grid->job = job;
  table_t table = {0};
  int64_t total;
  es_code_t code = make_room(grid, &table, &total, status);
  for (int block = 0; block < es_job_n_blocks(job) && code == ES_OK; block++) {
    int64_t size;
    code = block_size(job, block, &size, status);
    add_block(grid, &table, block, size);
  }
  es_free(table.slots);
  if (code == ES_OK && grid->n == 0)
    code = es_fail(status, ES_INPUT, STAGE, "%s: the grid has no points", es_job_path(job));
  if (code != ES_OK) {
    es_grid_destroy(grid);
    return code;
  }
  *out = grid;
  return ES_OK;
}

void es_grid_destroy(es_grid_t *grid) {
  if (grid == NULL) return;
  es_free(grid->cells);
  es_free(grid);
}

int64_t es_grid_count(const es_grid_t *grid) {
  return grid->n;
}

const char *es_grid_id(const es_grid_t *grid, int64_t index) {
  assert(index >= 0 && index < grid->n);
  return grid->cells[index].id;
}

/* Which value each axis of its block has at point `index`. */
static void find_values(const es_grid_t *grid, int64_t index, int value[BLOCK_AXES_MAX]) {
  const int block = grid->cells[index].block;
  uint32_t rest = grid->cells[index].position;
  for (int a = es_job_n_axes(grid->job, block) - 1; a >= 0; a--) {
    const uint32_t n = (uint32_t)es_job_axis(grid->job, block, a).n_values;
    value[a] = (int)(rest % n);
    rest /= n;
  }
}

void es_grid_point(const es_grid_t *grid, int64_t index, es_point_t *out) {
  assert(index >= 0 && index < grid->n);
  const int block = grid->cells[index].block;
  int value[BLOCK_AXES_MAX] = {0};
  find_values(grid, index, value);
  es_job_start(grid->job, block, out);
  apply(grid->job, block, value, NULL, out);
}

const es_point_t *es_grid_walk(es_grid_walk_t *walk, int64_t index) {
  const es_grid_t *grid = walk->grid;
  assert(index >= 0 && index < grid->n);
  const int block = grid->cells[index].block;
  if (walk->begun && block == grid->cells[walk->index].block) {
    int value[BLOCK_AXES_MAX] = {0}, before[BLOCK_AXES_MAX] = {0};
    bool changed[BLOCK_AXES_MAX] = {false};
    find_values(grid, index, value);
    find_values(grid, walk->index, before);
    for (int a = 0; a < es_job_n_axes(grid->job, block); a++) changed[a] = value[a] != before[a];
    apply(grid->job, block, value, changed, &walk->point);
  } else {
    es_grid_point(grid, index, &walk->point);
  }
  walk->begun = true;
  walk->index = index;
  return &walk->point;
}
