/** The epochs of a point and which of them are measured. `plan` and `run` both use these functions, so they agree. Pure
 * functions of the point; they cannot fail.
 *
 * An epoch is given by its index on the epoch axis of the result, 0 … es_point_epochs() − 1. Training has the epochs 0
 * (as initialised) … train.epochs; other sources have one epoch per file. Training may end before the last epoch
 * (train.stop_when_stable), which is known only during the run. */
#ifndef EIGENSCOPE_EPOCHS_H
#define EIGENSCOPE_EPOCHS_H

#include "eigenscope/point.h"
#include <stdbool.h>
#include <stdint.h>

/** Length of the epoch axis; at least 1. */
int32_t es_point_epochs(const es_point_t *point);
/** Index of the last epoch. */
int32_t es_point_last_epoch(const es_point_t *point);
/** Value of the epoch axis at this index: the index itself for training, else the epoch number of the file. */
int32_t es_point_epoch_number(const es_point_t *point, int32_t epoch);

/** True if the point measures this split: by measure.splits, or for activations if the split has files. */
bool es_point_has_split(const es_point_t *point, es_split_t split);
/** True if the activations of this split are measured in this epoch. Training measures epoch 0 (eval only), every
 * measure.every-th and the last; other sources measure every epoch. */
bool es_point_is_measured(const es_point_t *point, es_split_t split, int32_t epoch);
/** Number of epochs for which es_point_is_measured holds. */
int32_t es_point_measured_count(const es_point_t *point, es_split_t split);

/** Writes the numbers (not the indices) of the probed epochs to `out`, ascending, and returns their count. `out` has
 * space for es_point_epochs(); if NULL, only counts. */
int32_t es_point_probe_epochs(const es_point_t *point, int32_t *out);

/** Training steps that the point measures (measure.steps), for a train split of `samples` samples: writes them to
 * `out`, ascending, and returns their count; if `out` is NULL, only counts. Steps beyond the last one, which is
 * E·⌈samples/batch⌉ or INT32_MAX, are left out. {every: N}: 0, N, 2N, …. {log: N}: 0, then for i = 0 … N−2 the integer
 * nearest to T^(i/(N−2)), T the last step, but at least 1 more than the step before; all steps if there are not more.
 */
int64_t es_point_steps(const es_point_t *point, int64_t samples, int32_t *out);
/** The last training step, as es_point_steps counts it. */
int32_t es_point_last_step(const es_point_t *point, int64_t samples);
/** Most steps that a point may measure. */
enum { ES_STEPS_MAX = 1 << 20 };

#endif
