/* Eigenspaces of an invented point over its epochs. The vectors of a layer are a function of layer and epoch alone.
 * Shared by the unit and the MPI test of es_eigenspaces_t. */
#ifndef ES_TEST_EIGENSPACE_STORY_H
#define ES_TEST_EIGENSPACE_STORY_H

#include "eigenscope/eigenspace.h"
#include "eigenscope/memory.h"
#include "support/draw.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { STORY_LAYERS = 6, STORY_WIDEST = 33, STORY_ANGLES = 79, STORY_DELTAS = 3, STORY_EPOCHS = 7 };
static const int32_t story_widths[STORY_LAYERS] = {1, 5, 12, STORY_WIDEST, 8, 20};

/* Measures every second epoch; epoch 0 only of eval. */
static inline bool story_measures(int split, int32_t epoch) {
  return epoch % 2 == 0 && (split == ES_EVAL || epoch > 0);
}

static inline uint32_t story_word(int split, int32_t epoch, int layer, int32_t i) {
  return draw_word(91, (uint64_t)(split * 100 + epoch), (uint64_t)(layer * 1000 + i));
}

/* Layer 4 is dead from epoch 4 on, and not finite at epoch 2 of eval. Epoch 2 of train has no layer at all. */
static inline void story_k(int32_t k[STORY_DELTAS], int split, int32_t epoch, int layer) {
  for (int d = 0; d < STORY_DELTAS; d++) {
    k[d] = 1 + (int32_t)es_random_below(story_word(split, epoch, layer, d), (uint32_t)story_widths[layer]);
    if (layer == 4 && epoch == 4) k[d] = 0;
    if (layer == 4 && epoch == 2 && split == ES_EVAL) k[d] = -1;
    if (epoch == 2 && split == ES_TRAIN) k[d] = layer % 2 ? 0 : -1;
  }
}

/* Writes vectors for the largest k and one more: those of the layer, each rotated towards the next with time. */
static inline int32_t story_vectors(double *out, int split, int32_t epoch, int layer) {
  float rows[STORY_WIDEST * STORY_WIDEST];
  const int32_t width = story_widths[layer];
  int32_t k[STORY_DELTAS], most = -1;
  story_k(k, split, epoch, layer);
  for (int d = 0; d < STORY_DELTAS; d++) most = k[d] > most ? k[d] : most;
  if (es_directions_random(rows, 92, layer, width, width, &(es_status_t){0}) != ES_OK) return -1;
  for (int32_t i = 0; i < width * width; i++) out[i] = (double)rows[i];
  for (int32_t r = 0; r + 1 < width; r++) {
    const double angle = 0.3 * (double)es_random_unit(story_word(split, epoch, layer, 100 + r));
    for (double *x = out + r * width, *y = x + width, *end = y; x < end; x++, y++) {
      const double turned = cos(angle) * *x + sin(angle) * *y;
      *y = cos(angle) * *y - sin(angle) * *x;
      *x = turned;
    }
  }
  return most < 0 ? 0 : most < width ? most + 1 : width;
}

/* All outputs of a tracker: by reference (previous, last), split and epoch. */
typedef struct story {
  double overlap[2][ES_SPLITS][STORY_EPOCHS][STORY_LAYERS * STORY_DELTAS];
  double angles[2][ES_SPLITS][STORY_EPOCHS][STORY_ANGLES];
} story_t;

static inline void story_note(story_t *story, const es_eigenspaces_t *s, int reference, int split, int32_t epoch) {
  double *angles = story->angles[reference][split][epoch];
  for (int layer = 0; layer < STORY_LAYERS; angles += story_widths[layer++]) {
    memcpy(&story->overlap[reference][split][epoch][layer * STORY_DELTAS], es_eigenspaces_overlap(s, layer),
           STORY_DELTAS * sizeof(double));
    memcpy(angles, es_eigenspaces_angles(s, layer), (size_t)story_widths[layer] * sizeof(double));
  }
}

static inline es_code_t story_create(es_eigenspaces_t **out, const es_group_t *group, const int *owners) {
  const es_eigenspaces_shape_t shape = {group, STORY_LAYERS, story_widths, owners, STORY_DELTAS, STORY_EPOCHS};
  return es_eigenspaces_create(out, &shape, &(es_status_t){0});
}

/* Puts and commits epochs first … last. */
static inline es_code_t story_run(story_t *story, es_eigenspaces_t *s, const es_group_t *group, const int *owners,
                                  int32_t first, int32_t last, es_status_t *status) {
  static double rows[STORY_WIDEST * STORY_WIDEST];
  for (int32_t epoch = first; epoch <= last; epoch++) {
    for (int split = 0; split < ES_SPLITS; split++) {
      if (!story_measures(split, epoch)) continue;
      for (int layer = 0; layer < STORY_LAYERS; layer++) {
        int32_t k[STORY_DELTAS];
        story_k(k, split, epoch, layer);
        if (owners[layer] != group->rank || k[0] < 0) continue; /* a layer without vectors need not be put */
        const int32_t n = story_vectors(rows, split, epoch, layer);
        es_eigenspaces_put(s, layer, k, rows, n, status);
      }
      ES_TRY(es_eigenspaces_commit(s, (es_split_t)split, epoch, status));
      story_note(story, s, 0, split, epoch);
    }
  }
  return ES_OK;
}

/* Compares every epoch with the last one. */
static inline es_code_t story_end(story_t *story, es_eigenspaces_t *s, es_status_t *status) {
  for (int split = 0; split < ES_SPLITS; split++) {
    for (int32_t epoch = 0; epoch < STORY_EPOCHS; epoch++) {
      if (!es_eigenspaces_has(s, (es_split_t)split, epoch)) continue;
      ES_TRY(es_eigenspaces_compare_last(s, (es_split_t)split, epoch, status));
      story_note(story, s, 1, split, epoch);
    }
  }
  return ES_OK;
}

/* The content of a state file: copies of a tracker's tensors. */
typedef struct story_state {
  int n;
  es_tensor_view_t tensors[1 + ES_SPLITS * STORY_EPOCHS];
  void *copies[1 + ES_SPLITS * STORY_EPOCHS];
} story_state_t;

static inline int64_t story_size(const es_tensor_view_t *tensor) {
  int64_t size = 4; /* I32, F32 */
  for (int i = 0; i < tensor->rank; i++) size *= tensor->shape[i];
  return size;
}

static inline bool story_save(story_state_t *state, es_eigenspaces_t *s) {
  const es_tensor_view_t *tensors;
  *state = (story_state_t){.n = es_eigenspaces_tensors(s, &tensors)};
  for (int i = 0; i < state->n; i++) {
    state->tensors[i] = tensors[i];
    state->tensors[i].data = state->copies[i] = es_allocate((size_t)story_size(&tensors[i]), 1);
    if (!state->copies[i]) return false;
    memcpy(state->copies[i], tensors[i].data, (size_t)story_size(&tensors[i]));
  }
  return true;
}

static inline void story_state_free(story_state_t *state) {
  for (int i = 0; i < state->n; i++) es_free(state->copies[i]);
  state->n = 0;
}

/* Collective. The leader has the state. */
static inline es_code_t story_resume(es_eigenspaces_t *s, const es_group_t *group, const story_state_t *state,
                                     es_status_t *status) {
  for (int i = 0; group->rank == 0 && i < state->n; i++) es_eigenspaces_take(s, &state->tensors[i], status);
  return es_eigenspaces_resume(s, status);
}

#endif
