/* The gradient of the weights with AMX, slice by slice, some rows of the map at a time (conv_amx_weights.h). */
#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#include "conv_amx_weights.h"

static ptrdiff_t all_sums(const es_amx_shape_t *s) {
  return s->out_blocks * s->in_blocks * es_amx_sums(s);
}

static size_t scratch_floats(const es_node_t *node) {
  const es_amx_shape_t s = es_amx_shape_of(node);
  const ptrdiff_t packed = s.ring * s.in_blocks * s.x_line + s.band * s.out_blocks * s.dy_line;
  return (size_t)(all_sums(&s) + s.out_blocks * AMX_TILE_FLOATS + packed / 2);
}

static void run(const es_conv_task_t *task) {
  const es_amx_shape_t s = es_amx_shape_of(task->node);
  const es_node_t *n = task->node;
  float *sums = task->scratch, *bias = sums + all_sums(&s);
  uint16_t *x = (void *)(bias + s.out_blocks * AMX_TILE_FLOATS), *dy = x + s.ring * s.in_blocks * s.x_line;
  es_amx_band_t band = {x, dy, s.in_blocks * s.x_line, s.x_line, s.out_blocks * s.dy_line, s.dy_line, 0, 0, s.ring};
  int packed = 0; /* input rows so far */
  tiles_open(es_amx_few(&s), s.rows);
  for (; band.first < n->out.h; band.first += band.rows) {
    band.rows = n->out.h - band.first < s.band ? n->out.h - band.first : s.band;
    for (int r = 0; r < band.rows; r++) {
      const uint16_t *row = (const uint16_t *)task->dy + (ptrdiff_t)(band.first + r) * n->out.w * n->out.c;
      es_amx_pack_dy(&s, dy + r * band.dy_row, s.dy_line, row, task->count);
    }
    int last = (band.first + band.rows - 1) * n->stride - n->padding + n->kernel;
    if (last > n->in.h) last = n->in.h;
    const int needed = band.first * n->stride - n->padding; /* a wide stride skips rows */
    if (packed < needed) packed = needed;
    for (; packed < last; packed++) {
      const uint16_t *row = (const uint16_t *)task->x + (ptrdiff_t)packed * n->in.w * n->in.c;
      es_amx_pack_x(&s, x + packed % s.ring * band.x_row, s.x_line, row, task->count);
    }
    tiles_fence();
    for (int o = 0, tall; o < s.out_blocks; o += tall) {
      tall = es_amx_together(o, s.out_blocks, s.in_blocks);
      for (int i = 0, across; i < s.in_blocks; i += across) {
        across = es_amx_together(i, s.in_blocks, 2);
        float *to = sums + (o * s.in_blocks + i) * es_amx_sums(&s);
        es_amx_multiply(&s, &band, to, s.in_blocks, o, i, band.first == 0, tall, across);
      }
    }
    if (task->db) {
      for (int o = 0; o < s.out_blocks; o++) es_amx_add_bias(&s, &band, bias + o * AMX_TILE_FLOATS, o, band.first == 0);
    }
    tiles_fence();
  }
  tiles_close();
  for (int o = 0; o < s.out_blocks; o++) {
    for (int i = 0; i < s.in_blocks; i++)
      es_amx_write_block(&s, task->dw, sums + (o * s.in_blocks + i) * es_amx_sums(&s), o, i, task->first);
    if (task->db) es_amx_write_bias(&s, task->db, bias + o * AMX_TILE_FLOATS, o, task->first);
  }
}

/* The kernel for all lanes at once is used for gradients of many weights over few positions: there, adding the gradient
 * of each slice would take longer than the products. */
bool es_conv_amx_lanes_applies(const es_node_t *node, ES_UNUSED es_conv_direction_t direction, es_conv_isa_t isa) {
  const int positions = node->out.h * node->out.w, channels = node->in.c * node->out.c;
  return isa == CONV_AMX && node->groups == 1 && node->in.c >= 16 &&
         (positions <= 16 || (positions <= 64 && channels <= 128 * 256));
}

bool es_conv_amx_weights_applies(const es_node_t *node, ES_UNUSED es_conv_direction_t direction, es_conv_isa_t isa) {
  return isa == CONV_AMX && node->groups == 1;
}

const es_conv_algorithm_t es_conv_amx_lanes = {.run = NULL};
const es_conv_algorithm_t es_conv_amx_weights = {.scratch_floats = scratch_floats, .run = run};

#endif
