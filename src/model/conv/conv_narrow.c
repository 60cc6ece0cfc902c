/* 3 × 3 convolutions of narrow layers, stride 1, padding 1, in planes (conv_planar.h). oneDNN's kernels fill their
 * vectors with channels, which leaves the vectors mostly empty if channels are few. */
#include "conv_planar.h"
#include "eigenscope/kernel.h"
#include "eigenscope/model.h"
#include <string.h>

/* A panel has as many rows as fit into the first-level cache, but enough to make the start and the end of a panel
 * cheap. */
enum { PANEL_FLOATS = 8192, PANEL_ROWS = 16 };
enum { TAPS = 9, CHANNELS_MOST = 16 };

static ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t to) {
  return (n + to - 1) / to * to;
}

static ptrdiff_t tall(int32_t channels) {
  return round_up(channels, CONV_TALL);
}

/* Returns the loops for an instruction set, or for the best weaker one that was compiled. */
static const es_conv_planar_t *loops_of(ES_UNUSED es_conv_isa_t isa) {
#ifdef ES_KERNEL_TARGETS
  if (isa >= CONV_AVX512) return &es_conv_planar_avx512;
  if (isa == CONV_AVX2) return &es_conv_planar_avx2;
#endif
#ifdef ES_KERNEL_NEON
  if (isa == CONV_NEON) return &es_conv_planar_neon;
#endif
  return &es_conv_planar_baseline;
}

/* ---- panels: some rows of a sample, or several small samples, so that their planes stay in the cache ---- */

typedef struct panels {
  const es_conv_planar_t *loops;
  es_conv_map_t map;
  ptrdiff_t h;
  int64_t samples;  /* samples per panel */
  ptrdiff_t bands;  /* bands of rows per sample */
  ptrdiff_t sample; /* floats between two samples in a plane */
} panels_t;

/* Contents of one panel. */
typedef struct panel {
  int64_t first, samples;
  ptrdiff_t row, rows; /* of each sample */
} panel_t;

static ptrdiff_t most_rows(const panels_t *p) {
  return (p->h + p->bands - 1) / p->bands;
}

static ptrdiff_t vectors_of_row(const panels_t *p) {
  return (p->map.w + p->loops->vector - 1) / p->loops->vector;
}

/* `channels`: number of planes. */
static panels_t panels_of(const es_node_t *node, ptrdiff_t channels) {
  panels_t p = {.loops = loops_of(es_conv_isa()),
                .map = {.w = node->in.w, .row = round_up(node->in.w + 1, CONV_LINE)},
                .h = node->in.h,
                .samples = 1,
                .bands = 1};
  const ptrdiff_t room = PANEL_FLOATS / (channels * p.map.row), rows = room > PANEL_ROWS ? room : PANEL_ROWS;
  if (rows > p.h)
    p.samples = rows / (p.h + 1);
  else
    p.bands = (p.h + rows - 1) / rows;
  if (p.samples > ES_SLICE_MAX) p.samples = ES_SLICE_MAX;
  p.sample = (most_rows(&p) + 1) * p.map.row;
  p.map.plane = 2 * CONV_LINE + p.map.row + p.samples * p.sample;
  /* Planes whose distance is a multiple of a page would evict each other from the cache. */
  if (p.map.plane % 1024 == 0) p.map.plane += CONV_LINE;
  return p;
}

/* Floats of `planes` planes and the list of vectors. */
static size_t panels_scratch(const panels_t *p, ptrdiff_t planes) {
  const ptrdiff_t vectors = p->samples * most_rows(p) * vectors_of_row(p);
  return (size_t)(planes * p->map.plane) + (size_t)vectors * sizeof(es_conv_vector_t) / sizeof(float);
}

/* Clears the planes at the start of `scratch` and puts the list of vectors after them. Returns the first position,
 * which has zeros on all sides. */
static float *panels_place(panels_t *p, ptrdiff_t planes, float *scratch) {
  memset(scratch, 0, (size_t)(planes * p->map.plane) * sizeof *scratch);
  p->map.vectors = (es_conv_vector_t *)(scratch + planes * p->map.plane);
  return scratch + CONV_LINE + p->map.row;
}

/* Gets the i-th panel of a slice; returns false after the last panel. */
static bool panel_at(panels_t *p, int64_t count, int64_t i, panel_t *out) {
  const int64_t first = i / p->bands * p->samples, band = i % p->bands;
  if (first >= count) return false;
  *out = (panel_t){.first = first,
                   .samples = count - first < p->samples ? count - first : p->samples,
                   .row = p->h * band / p->bands};
  out->rows = p->h * (band + 1) / p->bands - out->row;
  const ptrdiff_t vectors = out->samples * out->rows * vectors_of_row(p);
  if (p->map.n_vectors == vectors) return true; /* all panels except the last one or two are equal */
  p->map.n_vectors = vectors;
  es_conv_vector_t *v = p->map.vectors;
  for (ptrdiff_t row = 0; row < out->samples * out->rows; row++) {
    for (ptrdiff_t j = 0; j < p->map.w; j += p->loops->vector)
      *v++ = (es_conv_vector_t){.plane = row / out->rows * p->sample + row % out->rows * p->map.row + j,
                                .position = row * p->map.w + j,
                                .count = p->map.w - j < p->loops->vector ? p->map.w - j : p->loops->vector};
  }
  return true;
}

/* Copies a panel from NHWC to planes, with up to `border` rows above and below if the sample has them. */
static void panel_spread(const panels_t *p, const panel_t *panel, float *planes, const float *from, int32_t channels,
                         int border) {
  const es_conv_map_t *map = &p->map;
  const ptrdiff_t last = panel->row + panel->rows;
  const ptrdiff_t above = panel->row > 0 ? border : 0, below = last < p->h ? border : 0;
  for (int64_t i = 0; i < panel->samples; i++)
    p->loops->spread(planes + i * p->sample - above * map->row, map,
                     from + ((panel->first + i) * p->h + panel->row - above) * map->w * channels,
                     panel->rows + above + below, channels);
  if (p->bands == 1 || border == 0) return;
  for (int32_t c = 0; c < channels; c++) {
    float *plane = planes + c * map->plane;
    if (!above) memset(plane - map->row, 0, (size_t)map->w * sizeof *plane);
    if (!below) memset(plane + panel->rows * map->row, 0, (size_t)map->w * sizeof *plane);
  }
}

/* Lists the input offsets for output position 0, by tap: channel, row, column. */
static void list_offsets(ptrdiff_t *offsets, const es_conv_map_t *map, int32_t channels) {
  for (int32_t c = 0; c < channels; c++) {
    for (int32_t t = 0; t < TAPS; t++) offsets[c * TAPS + t] = c * map->plane + (t / 3 - 1) * map->row + t % 3 - 1;
  }
}

/* ---- forward and the gradient of the input, which differ only in the weights ---- */

static void product(const es_conv_task_t *task, float *to, int32_t to_channels, const float *from,
                    int32_t from_channels, const float *bias) {
  panels_t p = panels_of(task->node, from_channels);
  panel_t panel;
  ptrdiff_t offsets[TAPS * CHANNELS_MOST];
  float biases[CHANNELS_MOST] = {0}, *x = panels_place(&p, from_channels, task->scratch);
  if (bias) memcpy(biases, bias, (size_t)to_channels * sizeof *bias);
  list_offsets(offsets, &p.map, from_channels);
  for (int64_t i = 0; panel_at(&p, task->count, i, &panel); i++) {
    panel_spread(&p, &panel, x, from, from_channels, 1);
    p.loops->multiply(to + (panel.first * p.h + panel.row) * p.map.w * to_channels, &p.map, to_channels, x, offsets,
                      from_channels * TAPS, task->weights, biases);
  }
}

static size_t forward_scratch(const es_node_t *node) {
  const panels_t p = panels_of(node, node->in.c);
  return panels_scratch(&p, node->in.c);
}

static size_t data_scratch(const es_node_t *node) {
  const panels_t p = panels_of(node, node->out.c);
  return panels_scratch(&p, node->out.c);
}

static size_t forward_packed(const es_node_t *node) {
  return (size_t)(tall(node->out.c) * node->in.c * TAPS);
}

static size_t data_packed(const es_node_t *node) {
  return (size_t)(tall(node->in.c) * node->out.c * TAPS);
}

static void forward_pack(float *packed, const float *weights, const es_node_t *node) {
  const ptrdiff_t taps = node->in.c * TAPS;
  for (ptrdiff_t o = 0; o < node->out.c; o++) {
    float *to = packed + o / CONV_TALL * CONV_TALL * taps + o % CONV_TALL;
    for (ptrdiff_t t = 0; t < taps; t++) to[t * CONV_TALL] = weights[o * taps + t];
  }
}

static void forward(const es_conv_task_t *task) {
  product(task, task->y, task->node->out.c, task->x, task->node->in.c, task->bias);
}

/* Flips the kernels and swaps inputs with outputs. */
static void data_pack(float *packed, const float *weights, const es_node_t *node) {
  const ptrdiff_t taps = node->out.c * TAPS;
  for (ptrdiff_t i = 0; i < node->in.c; i++) {
    float *to = packed + i / CONV_TALL * CONV_TALL * taps + i % CONV_TALL;
    for (ptrdiff_t o = 0; o < node->out.c; o++) {
      for (ptrdiff_t t = 0; t < TAPS; t++)
        to[(o * TAPS + TAPS - 1 - t) * CONV_TALL] = weights[(o * node->in.c + i) * TAPS + t];
    }
  }
}

static void data(const es_conv_task_t *task) {
  product(task, task->dx, task->node->in.c, task->dy, task->node->out.c, NULL);
}

/* ---- the gradient of the weights ---- */

static ptrdiff_t sums_of(const es_node_t *node) {
  return round_up(tall(node->out.c) * (node->in.c * TAPS + 1), CONV_LINE) + CONV_LINE;
}

static ptrdiff_t weights_planes(const es_node_t *node) {
  return node->in.c + tall(node->out.c);
}

static size_t weights_scratch(const es_node_t *node) {
  const panels_t p = panels_of(node, weights_planes(node));
  return panels_scratch(&p, weights_planes(node)) + (size_t)sums_of(node);
}

static void set_or_add(float *to, const float *from, ptrdiff_t n, bool set) {
  for (ptrdiff_t i = 0; i < n; i++) to[i] = set ? from[i] : to[i] + from[i];
}

static void weights(const es_conv_task_t *task) {
  const es_node_t *node = task->node;
  panels_t p = panels_of(node, weights_planes(node));
  panel_t panel;
  const ptrdiff_t taps = node->in.c * TAPS, channels = tall(node->out.c), n = sums_of(node);
  ptrdiff_t offsets[TAPS * CHANNELS_MOST];
  float *sums = task->scratch, *x = panels_place(&p, weights_planes(node), sums + n);
  float *dy = x + node->in.c * p.map.plane;
  memset(sums, 0, (size_t)n * sizeof *sums);
  list_offsets(offsets, &p.map, node->in.c);
  for (int64_t i = 0; panel_at(&p, task->count, i, &panel); i++) {
    panel_spread(&p, &panel, x, task->x, node->in.c, 1);
    panel_spread(&p, &panel, dy, task->dy, node->out.c, 0);
    p.loops->correlate(sums, &p.map, channels, dy, x, offsets, taps);
  }
  set_or_add(task->dw, sums, node->out.c * taps, task->first);
  if (task->db) set_or_add(task->db, sums + channels * taps, node->out.c, task->first);
}

/* ---- limits: vectors must not be much wider than a row ---- */

bool es_conv_narrow_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa) {
  static const struct {
    int32_t in, out;
  } most[CONV_DIRECTIONS][CONV_ISAS] = {[CONV_FORWARD] = {{16, 16}, {16, 16}, {8, 8}, {8, 16}, {8, 16}},
                                        [CONV_BACKWARD_DATA] = {{16, 16}, {16, 16}, {4, 8}, {8, 16}, {8, 16}},
                                        [CONV_BACKWARD_WEIGHTS] = {{16, 16}, {16, 16}, {4, 4}, {8, 8}, {8, 8}}};
  return node->kernel == 3 && node->stride == 1 && node->padding == 1 && node->groups == 1 &&
         node->in.c <= most[direction][isa].in && node->out.c <= most[direction][isa].out && node->in.w >= 16 &&
         3 * round_up(node->in.w, loops_of(isa)->vector) <= 4 * (ptrdiff_t)node->in.w;
}

const es_conv_algorithm_t es_conv_narrow_forward = {forward_packed, forward_pack, forward_scratch, forward};
const es_conv_algorithm_t es_conv_narrow_data = {data_packed, data_pack, data_scratch, data};
const es_conv_algorithm_t es_conv_narrow_weights = {.scratch_floats = weights_scratch, .run = weights};
