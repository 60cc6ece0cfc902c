#include "lane_sums.h"
#include "eigenscope/memory.h"
#include <string.h>

/* Floats of one vector on the stack, rounded up to whole cache lines. */
static size_t room_of(size_t n) {
  return (n + 15) / 16 * 16;
}

es_code_t es_lane_sums_create(es_lane_sums_t *out, const es_unit_t *unit, size_t n, es_status_t *status) {
  *out = (es_lane_sums_t){.n = n, .lane = es_allocate_zero(room_of(n), sizeof(double))};
  return out->lane ? ES_OK : es_out_of_memory(status, "model", "%s", unit->node->name);
}

void es_lane_sums_destroy(es_lane_sums_t *sums) {
  es_free(sums->lane);
  *sums = (es_lane_sums_t){0};
}

size_t es_lane_sums_floats(const es_lane_sums_t *sums, const es_group_t *group) {
  return es_stack_vectors(group) * room_of(sums->n);
}

void es_lane_sums_place(es_lane_sums_t *sums, float *memory) {
  es_stack_place(&sums->stack, memory, room_of(sums->n));
}

es_unit_floats_t es_lane_sums_forecast(int64_t n, int lanes) {
  const es_group_t group = {.lane_count = lanes};
  const int64_t room = (int64_t)room_of((size_t)n);
  return (es_unit_floats_t){.packed = 2 * room, .scratch = (int64_t)es_stack_vectors(&group) * room};
}

void es_lane_sums_begin(es_lane_sums_t *sums) {
  es_stack_reset(&sums->stack);
  memset(sums->lane, 0, sums->n * sizeof *sums->lane);
}

void es_lane_sums_end_lane(es_lane_sums_t *sums) {
  float *vector = es_stack_next(&sums->stack);
  for (size_t i = 0; i < sums->n; i++) vector[i] = (float)sums->lane[i];
  memset(vector + sums->n, 0, (sums->stack.n - sums->n) * sizeof *vector);
  memset(sums->lane, 0, sums->n * sizeof *sums->lane);
  es_stack_push(&sums->stack);
}

const float *es_lane_sums_total(const es_lane_sums_t *sums) {
  return es_stack_total(&sums->stack);
}
