#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#include "conv_amx_lanes.h"
#include "conv_amx_weights.h"

/* Panels of all lanes, with the sums of one group of blocks. */
typedef struct job {
  es_amx_shape_t shape;
  const float *panels;
  size_t panel; /* floats */
  const int64_t *ends;
  int lanes;
  es_stack_t sums;
} job_t;

static ptrdiff_t x_of(const es_amx_shape_t *s) {
  return s->n->in.h * s->in_blocks * s->x_line;
}

size_t es_amx_panel_floats(const es_node_t *node) {
  const es_amx_shape_t s = es_amx_shape_of(node);
  return (size_t)(x_of(&s) + node->out.h * s.out_blocks * s.dy_line) / 2;
}

size_t es_amx_group_floats(const es_node_t *node) {
  const es_amx_shape_t s = es_amx_shape_of(node);
  return (size_t)(es_amx_together(0, s.out_blocks, s.in_blocks) * es_amx_together(0, s.in_blocks, 2) * es_amx_sums(&s));
}

static es_amx_band_t band_of(const es_amx_shape_t *s, const float *panel) {
  const es_node_t *n = s->n;
  const uint16_t *x = (const void *)panel;
  return (es_amx_band_t){.x = x,
                         .dy = x + x_of(s),
                         .x_row = s->x_line,
                         .x_block = n->in.h * s->x_line,
                         .dy_row = s->dy_line,
                         .dy_block = n->out.h * s->dy_line,
                         .rows = n->out.h};
}

void es_amx_panel_pack(const es_node_t *node, float *panel, const uint16_t *x, const uint16_t *dy, int64_t count) {
  const es_amx_shape_t s = es_amx_shape_of(node);
  const es_amx_band_t b = band_of(&s, panel);
  uint16_t *packed = (void *)panel, *packed_dy = packed + x_of(&s);
  for (int row = 0; row < node->in.h; row++)
    es_amx_pack_x(&s, packed + row * b.x_row, b.x_block, x + (ptrdiff_t)row * node->in.w * node->in.c, count);
  for (int row = 0; row < node->out.h; row++)
    es_amx_pack_dy(&s, packed_dy + row * b.dy_row, b.dy_block, dy + (ptrdiff_t)row * node->out.w * node->out.c, count);
}

static int64_t start_of(const job_t *j, int lane) {
  return lane > 0 ? j->ends[lane - 1] : 0;
}

/* Tree sum over the lanes of a group of tall × across pairs of blocks. */
static const float *sum_group(job_t *j, int o, int i, int tall, int across) {
  const size_t n = (size_t)(tall * across * es_amx_sums(&j->shape));
  es_stack_place(&j->sums, j->sums.data, n);
  for (int lane = 0; lane < j->lanes; lane++) {
    float *sums = es_stack_next(&j->sums);
    if (start_of(j, lane) == j->ends[lane]) memset(sums, 0, n * sizeof *sums);
    for (int64_t k = start_of(j, lane); k < j->ends[lane]; k++) {
      const es_amx_band_t band = band_of(&j->shape, j->panels + (size_t)k * j->panel);
      es_amx_multiply(&j->shape, &band, sums, across, o, i, k == start_of(j, lane), tall, across);
    }
    tiles_fence();
    es_stack_push(&j->sums);
  }
  return es_stack_total(&j->sums);
}

static void sum_bias(job_t *j, float *bias, int o) {
  es_stack_place(&j->sums, j->sums.data, AMX_TILE_FLOATS);
  for (int lane = 0; lane < j->lanes; lane++) {
    float *sums = es_stack_next(&j->sums);
    memset(sums, 0, AMX_TILE_FLOATS * sizeof *sums);
    for (int64_t k = start_of(j, lane); k < j->ends[lane]; k++) {
      const es_amx_band_t band = band_of(&j->shape, j->panels + (size_t)k * j->panel);
      es_amx_add_bias(&j->shape, &band, sums, o, false);
    }
    tiles_fence();
    es_stack_push(&j->sums);
  }
  es_amx_write_bias(&j->shape, bias, es_stack_total(&j->sums), o, true);
}

void es_amx_lanes_finish(const es_node_t *node, const float *panels, float *sums, const int64_t *ends, int lanes,
                         float *gradient, float *bias) {
  job_t j = {.shape = es_amx_shape_of(node),
             .panels = panels,
             .panel = es_amx_panel_floats(node),
             .ends = ends,
             .lanes = lanes,
             .sums = {.data = sums}};
  const es_amx_shape_t *s = &j.shape;
  tiles_open(es_amx_few(s), s->rows);
  for (int o = 0, tall; o < s->out_blocks; o += tall) {
    tall = es_amx_together(o, s->out_blocks, s->in_blocks);
    for (int i = 0, across; i < s->in_blocks; i += across) {
      across = es_amx_together(i, s->in_blocks, 2);
      const float *total = sum_group(&j, o, i, tall, across);
      for (int k = 0; k < tall * across; k++)
        es_amx_write_block(s, gradient, total + k * es_amx_sums(s), o + k / across, i + k % across, true);
    }
  }
  for (int o = 0; bias && o < s->out_blocks; o++) sum_bias(&j, bias, o);
  tiles_close();
}

#endif
