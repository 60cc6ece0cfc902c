/** Reader of activations that other programs wrote: one array per layer. Any number of ranks may read its rows.
 *
 * Two forms are read. The path decides which: a file is HDF5, a folder holds .npy files.
 *
 *   HDF5    a file whose datasets are the layers. Groups are searched, and a dataset's path becomes the layer's name
 *           with "." for "/". The root attribute `layers` (a list of names, in either spelling) lists all layers in
 *           order; other datasets are then ignored. Without it, the members of a group are in creation order if the
 *           file records it, else in natural order of names (conv2 before conv10). Any layout, chunks and filters that
 *           the library reads. A root attribute `complete` of 0 marks an unfinished dump
 *           (analysis/dump_activations.py); it is refused.
 *   .npy    a folder with one file per layer, <name>.npy (versions 1 to 3), in natural order of names. Files that do
 *           not end in .npy, or start with a dot, are ignored.
 *
 * A layer is float16, float32 or float64 of either byte order, (N, C) or (N, H, W, C), channels last, N equal for all
 * layers. Labels are integers of any size, (N). NaN and infinity are valid values. Without the attribute `layers`, what
 * netCDF and xarray store beside arrays is left out: single values, lists of texts, and dimension scales (coordinates
 * of one axis). Every other array is an error: no array is skipped silently.
 *
 * Each rank opens the file itself, read-only and without locks, because network file systems often refuse locks. No
 * function is collective or needs MPI. Only one thread at a time may use a file. */
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
  int32_t h, w, c;  /**< shape of one sample; 1, 1, C for (N, C) */
  bool is_double;   /**< stored as float64: rows are read as double; else as float */
  int64_t samples;  /**< N */
  int64_t chunk; /**< samples in one chunk of the file: read multiples of it, so that each chunk is unpacked only once;
                    1 if the file has no chunks */
} es_activation_layer_t;

/** Opens a file or folder and checks everything that needs no values: at least one layer, types, shapes, equal N, no
 * missing file or chunk. labels_name: path of the labels within the HDF5 file, or <name>.npy; labels are optional.
 * ES_INPUT names the file, the array, the error and the correction; ES_SYSTEM if the machine fails; then *out is
 * NULL. */
es_code_t es_activations_open(es_activations_t **out, const char *path, const char *labels_name, es_status_t *status);
/** NULL is allowed. */
void es_activations_close(es_activations_t *file);

/** Number of layers, at least 1. */
int es_activations_count(const es_activations_t *file);
/** Layer i in order; borrowed from the file. */
const es_activation_layer_t *es_activations_layer(const es_activations_t *file, int i);
/** N, at least 1. */
int64_t es_activations_samples(const es_activations_t *file);
/** Bytes of one sample of layer i as es_activations_read returns it. */
size_t es_activations_row_size(const es_activations_t *file, int i);

/** Reads samples first … first+count−1 of layer i, row-major (count, H, W, C): float for float16 (exact) and float32,
 * double for float64, in the byte order of this machine. `out` holds count × es_activations_row_size bytes. The only
 * other buffer is the library's chunk cache (64 MB for all layers together, or 1 MB per layer). ES_INPUT (a damaged
 * chunk, a truncated file) or ES_SYSTEM (the disk; a file that changed since it was opened), naming file, array and
 * samples. */
es_code_t es_activations_read(const es_activations_t *file, int i, int64_t first, int64_t count, void *out,
                              es_status_t *status);

bool es_activations_has_labels(const es_activations_t *file);
/** Reads labels of samples first … first+count−1. Only if the file has labels. ES_INPUT for a label that is negative or
 * not below ES_ACTIVATION_CLASSES_MAX; else as es_activations_read. */
es_code_t es_activations_labels(const es_activations_t *file, int64_t first, int64_t count, int32_t *out,
                                es_status_t *status);
/** The largest label + 1; reads all labels. Only if the file has labels. Fails as es_activations_labels. */
es_code_t es_activations_classes(const es_activations_t *file, int32_t *out, es_status_t *status);

/** Fingerprint of the activations, 16 hexadecimal digits: xxh3 of each layer's name, type and shape and of some of its
 * samples, then of all labels. Hashing terabytes would take as long as measuring them, so only 2 to 64 samples of a
 * layer are hashed: evenly spread, always with the first and the last, as many as fit into 16 MB. A file that differs
 * only in other samples has the same fingerprint; a network that was trained further has another one. Independent of
 * HDF5 or .npy, byte order, chunks and compression. Fails as es_activations_read. */
es_code_t es_activations_fingerprint(const es_activations_t *file, char out[ES_ID_SIZE], es_status_t *status);

#endif
