/** Activations that other programs wrote: one array for each layer, its rows read by as many ranks as like to.
 *
 * Two forms are read, told apart by what the path is:
 *
 *   HDF5    a file whose datasets are the layers. Groups are searched, and a dataset's path becomes the layer's name
 *           with "." for "/". The order of the layers is that of the root attribute `layers` (a list of names, in
 *           either spelling), which also says that nothing else in the file is a layer. Without it, each group is in
 *           the order of creation where the file keeps one, else in natural order of names (conv2 before conv10). Any
 *           layout, chunks and filters that the library reads. A root attribute `complete` of 0 marks a dump that has
 *           not ended (analysis/dump_activations.py); it is refused.
 *   .npy    a folder with a file for each layer, <name>.npy (versions 1 to 3), in natural order of names. What does not
 *           end in .npy, or starts with a dot, is left alone.
 *
 * A layer is float16, float32 or float64 of either byte order, (N, C) or (N, H, W, C), channels last, N the same for
 * all. Labels are integers of any size, (N). NaN and infinity are values like others. Every other array is an error:
 * nothing is left out in silence.
 *
 * Each rank opens the file for itself, read-only and without locks, which network file systems often refuse. Nothing
 * here is collective, and nothing needs MPI. Functions for one file must not run at the same time in several threads.
 */
#ifndef EIGENSCOPE_ACTIVATIONS_H
#define EIGENSCOPE_ACTIVATIONS_H

#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ES_ACTIVATION_CLASSES_MAX = 1 << 20 /**< labels are below this */ };

typedef struct es_activations es_activations_t;

typedef struct es_activation_layer {
  const char *name; /**< borrowed from the file; UTF-8, no control characters, unique */
  int32_t h, w, c;  /**< of one sample; 1, 1, C for (N, C) */
  bool is_double;   /**< stored as float64: rows are double; else float */
  int64_t samples;  /**< N */
  int64_t chunk;    /**< samples that the file keeps together: parts that are multiples of it are unpacked only once; 1
                         where any part is as good */
} es_activation_layer_t;

/** Opens a file or folder and checks all that can be checked without reading values: at least one layer, types, shapes,
 * equal N, files and chunks that are all there. labels_name: of the labels, a path within the HDF5 file or <name>.npy;
 * there need not be any. ES_INPUT naming the file, the array, what is wrong and what would be right; ES_SYSTEM when the
 * machine fails; then *out is NULL. */
es_code_t es_activations_open(es_activations_t **out, const char *path, const char *labels_name, es_status_t *status);
/** NULL is fine. */
void es_activations_close(es_activations_t *file);

/** Layers, at least 1. */
int es_activations_count(const es_activations_t *file);
/** Layer i in order; borrowed from the file. */
const es_activation_layer_t *es_activations_layer(const es_activations_t *file, int i);
/** N, at least 1. */
int64_t es_activations_samples(const es_activations_t *file);
/** Bytes of one sample of layer i as es_activations_read gives it. */
size_t es_activations_row_size(const es_activations_t *file, int i);

/** Reads samples first … first+count−1 of layer i, row-major (count, H, W, C): float for float16 (exact) and float32,
 * double for float64, in the byte order of this machine. `out` holds count × es_activations_row_size bytes; no other
 * buffer is used but the library's for chunks (64 MB for all layers together, or 1 MB for each). ES_INPUT (a damaged
 * chunk, a file that ends early) or ES_SYSTEM (the disk; a file that changed since it was opened), naming file, array
 * and samples. */
es_code_t es_activations_read(const es_activations_t *file, int i, int64_t first, int64_t count, void *out,
                              es_status_t *status);

bool es_activations_has_labels(const es_activations_t *file);
/** Labels of samples first … first+count−1. Only with labels. ES_INPUT for one that is negative or not below
 * ES_ACTIVATION_CLASSES_MAX; else as es_activations_read. */
es_code_t es_activations_labels(const es_activations_t *file, int64_t first, int64_t count, int32_t *out,
                                es_status_t *status);
/** The largest label + 1, after a look at all of them. Only with labels. Fails as es_activations_labels. */
es_code_t es_activations_classes(const es_activations_t *file, int32_t *out, es_status_t *status);

/** A fingerprint of what is read, 16 hexadecimal digits: xxh3 of each layer's name, type and shape and of some of its
 * samples, then of all labels. Hashing terabytes would take as long as measuring them, so a layer has 2 to 64 samples
 * looked at: evenly spread, the first and the last always among them, as many as fit into 16 MB. A file that differs
 * elsewhere has the same fingerprint; a network that was trained further has not. Independent of HDF5 or .npy, byte
 * order, chunks and packing. Fails as es_activations_read. */
es_code_t es_activations_fingerprint(const es_activations_t *file, char out[ES_ID_SIZE], es_status_t *status);

#endif
