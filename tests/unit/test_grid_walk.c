/* Points resolved in a walk equal points resolved alone, in any order and across blocks. Text appended in pieces. */
#include "unit/jobs.h"
#include <stdlib.h>

#define JOB                                                                                                            \
  "name: x\ngrid:\n"                                                                                                   \
  "- {dataset: shapes, model: [vgg11, late], width: [1/16, 1/8], classes: [2, all], train.batch: [8, 16]}\n"           \
  "- {train.epochs: [1, 2, 3], seed: [0, 1, 7], model: mlp, dataset: [shapes, others],\n"                              \
  "   measure.method: [mean, max]}\n"
#define REST                                                                                                           \
  "models: {late: {vgg: [64, M, 32]}}\n"                                                                               \
  "datasets: {shapes: {format: synthetic, classes: 3}, others: {format: synthetic, classes: 4}}\n"

static void describe(const es_point_t *point, es_text_t *out) {
  char id[ES_ID_SIZE];
  es_point_id(point, id);
  es_text_append(out, "%s %d\n", id, point->line_width);
  for (int i = 0; i < point->n_axes; i++)
    es_text_append(out, "%s=%s %.17g\n", point->axes[i].name, point->axes[i].text, point->axes[i].number);
  es_point_describe(point, "x", out);
}

static void check_walk(const es_grid_t *grid, es_grid_walk_t *walk, int64_t index) {
  es_text_t alone = {0}, walked = {0};
  es_point_t point;
  es_grid_point(grid, index, &point);
  describe(&point, &alone);
  describe(es_grid_walk(walk, index), &walked);
  assert_string_equal(es_text_get(&alone), es_text_get(&walked));
  es_text_destroy(&alone);
  es_text_destroy(&walked);
}

TEST(walk) {
  job_grid_t g = grid_open(JOB REST);
  const int64_t n = es_grid_count(g.grid);
  assert_true(n > 20);
  es_grid_walk_t walk = {.grid = g.grid};
  for (int64_t i = 0; i < n; i++) check_walk(g.grid, &walk, i);
  for (int64_t i = n - 1; i >= 0; i--) check_walk(g.grid, &walk, i);
  srand(1);
  for (int i = 0; i < 200; i++) check_walk(g.grid, &walk, rand() % n);
  grid_close(&g);
}

/* Appends pieces of every length at every fill level of the buffer. */
TEST(append) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
  es_text_t text = {0};
  char expected[60000];
  size_t length = 0;
  for (int i = 0; i < 2000; i++) {
    const int n = i * 7 % 27;
    if (i % 3 == 0)
      es_text_append_bytes(&text, letters, (size_t)n);
    else
      es_text_append(&text, "%.*s", n, letters);
    memcpy(expected + length, letters, (size_t)n);
    length += (size_t)n;
    assert_int_equal(text.length, length);
    assert_int_equal(strlen(es_text_get(&text)), length);
  }
  assert_memory_equal(es_text_get(&text), expected, length);
  es_text_append_bytes(&text, "a\0b", 3);
  assert_int_equal(text.length, length + 3);
  assert_memory_equal(text.data + length, "a\0b", 4);
  es_text_destroy(&text);
}
