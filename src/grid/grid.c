/* The points of a job: expands the blocks, computes ids, removes duplicates. */
#include "eigenscope/grid.h"
#include "eigenscope/memory.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char STAGE[] = "grid";

enum { POINTS_MAX = 1000000 };

typedef struct cell {
  char id[ES_ID_SIZE];
  int32_t block;
  uint32_t position; /* position in the product of the block, last axis fastest */
} cell_t;
_Static_assert(sizeof(cell_t) <= 32, "a point takes 32 bytes");

struct es_grid {
  const es_job_t *job; /* borrowed */
  int64_t n;
  cell_t *cells;
};

/* Hash table of cells by id while the grid is created: open addressing, a power of two of slots, at most half full. */
typedef struct table {
  int64_t mask;
  int32_t *slots; /* cell index + 1; 0 is free */
} table_t;

/* Slot of this id, or the free slot for it. */
static int32_t *find_slot(const table_t *table, const cell_t *cells, const char *id) {
  const uint64_t hash = strtoull(id, NULL, 16);
  for (int64_t slot = (int64_t)(hash & (uint64_t)table->mask);; slot = (slot + 1) & table->mask) {
    int32_t *at = &table->slots[slot];
    if (*at == 0 || memcmp(cells[*at - 1].id, id, ES_ID_SIZE) == 0) return at;
  }
}

/* Counts the cells of all blocks, including duplicates. */
static es_code_t count_cells(const es_job_t *job, int64_t *total, es_status_t *status) {
  *total = 0;
  for (int block = 0; block < es_job_n_blocks(job); block++) {
    int64_t size = 1;
    int line = 0;
    for (int a = 0; a < es_job_n_axes(job, block) && size <= POINTS_MAX; a++) {
      const es_job_axis_t axis = es_job_axis(job, block, a);
      line = axis.line;
      size *= axis.n_values;
    }
    *total += size;
    if (*total <= POINTS_MAX) continue;
    return es_fail(status, ES_INPUT, STAGE, "%s:%d: the grid has more than %d points; divide it into several jobs",
                   es_job_path(job), size > POINTS_MAX ? line : es_job_axis(job, block, 0).line, POINTS_MAX);
  }
  return ES_OK;
}

/* Sets in `point` the values of the changed axes, or of all axes if `changed` is NULL. */
static void apply(const es_job_t *job, int block, const int *value, const bool *changed, es_point_t *point) {
  for (int a = 0; a < es_job_n_axes(job, block); a++) {
    if (changed != NULL && !changed[a]) continue;
    const es_code_t code = es_job_apply(job, block, a, value[a], point, &(es_status_t){0});
    assert(code == ES_OK); /* es_job_parse has applied every value */
    (void)code;
  }
}

/* Advances to the next combination, last axis fastest; false after the last. Sets changed[a] for changed axes. */
static bool advance(const es_job_t *job, int block, int *value, bool *changed) {
  memset(changed, 0, ES_AXES_MAX * sizeof *changed);
  for (int a = es_job_n_axes(job, block) - 1; a >= 0; a--) {
    changed[a] = true;
    if (++value[a] < es_job_axis(job, block, a).n_values) return true;
    value[a] = 0;
  }
  return false;
}

static void add_block(es_grid_t *grid, const table_t *table, int block) {
  es_point_t point;
  int value[ES_AXES_MAX] = {0};
  bool changed[ES_AXES_MAX];
  es_job_start(grid->job, block, &point);
  apply(grid->job, block, value, NULL, &point);
  for (uint32_t position = 0;; position++) {
    cell_t *cell = &grid->cells[grid->n];
    *cell = (cell_t){.block = block, .position = position};
    es_point_id(&point, cell->id);
    int32_t *slot = find_slot(table, grid->cells, cell->id);
    if (*slot == 0) *slot = (int32_t)++grid->n;
    if (!advance(grid->job, block, value, changed)) return;
    apply(grid->job, block, value, changed, &point);
  }
}

es_code_t es_grid_create(es_grid_t **out, const es_job_t *job, es_status_t *status) {
  int64_t total, slots = 16;
  *out = NULL;
  ES_TRY(count_cells(job, &total, status));
  while (slots < 2 * total) slots *= 2;
  es_code_t code = ES_OK;
  es_grid_t *grid = es_allocate_zero(1, sizeof *grid);
  table_t table = {slots - 1, es_allocate_zero((size_t)slots, sizeof *table.slots)};
  if (grid != NULL) grid->cells = es_allocate((size_t)total, sizeof *grid->cells);
  if (grid == NULL || grid->cells == NULL || table.slots == NULL) {
    code = es_out_of_memory(status, STAGE, "%lld points of %s", (long long)total, es_job_path(job));
    goto out;
  }
  grid->job = job;
  for (int block = 0; block < es_job_n_blocks(job); block++) add_block(grid, &table, block);
  *out = grid;
out:
  es_free(table.slots);
  if (code != ES_OK) es_grid_destroy(grid);
  return code;
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

/* Finds the value of each axis of its block for point `index`. */
static void find_values(const es_grid_t *grid, int64_t index, int value[ES_AXES_MAX]) {
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
  int value[ES_AXES_MAX] = {0};
  find_values(grid, index, value);
  es_job_start(grid->job, block, out);
  apply(grid->job, block, value, NULL, out);
}

const es_point_t *es_grid_walk(es_grid_walk_t *walk, int64_t index) {
  const es_grid_t *grid = walk->grid;
  assert(index >= 0 && index < grid->n);
  const int block = grid->cells[index].block;
  if (walk->begun && block == grid->cells[walk->index].block) {
    int value[ES_AXES_MAX] = {0}, before[ES_AXES_MAX] = {0};
    bool changed[ES_AXES_MAX] = {false};
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
