/** Images and labels: readers, one uint8 copy per node, selection for a point, conversion and augmentation.
 *
 * Labels are 0 … k−1, every one of them in the train split. All images of a dataset have one size, and one channel
 * (grey) or three (red, green, blue). formats.h lists the formats; the file of src/data that reads a format begins with
 * what it looks like. */
#ifndef EIGENSCOPE_DATA_H
#define EIGENSCOPE_DATA_H

#include "eigenscope/fingerprint.h"
#include "eigenscope/memory.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

/** Facts of a dataset that are known before its pixels are read. Pointer-free. */
typedef struct es_dataset_info {
  int32_t classes;          /**< largest label of the train split + 1 */
  int32_t height, width;    /**< of the stored images */
  int32_t channels;         /**< 1 or 3 */
  int64_t count[ES_SPLITS]; /**< images */
  int32_t class_count[ES_SPLITS][ES_CLASSES_MAX];
} es_dataset_info_t;

/** Reads headers and labels (no pixels, where they are apart from labels) and checks them: file there, magic,
 * dimensions, lengths agree, labels in range, no class without train samples. Not collective. ES_INPUT naming the file,
 * ES_SYSTEM when the machine fails. */
es_code_t es_dataset_inspect(es_dataset_info_t *out, const es_dataset_spec_t *spec, es_status_t *status);

/** Finds the format of a file or folder by its names and first bytes; `found` gets what gave it away (the name of a
 * file). False when no format reads it. Not collective. */
bool es_dataset_guess(const char *path, es_format_t *format, char found[ES_PATH_MAX]);

/** The fingerprint of a dataset: of its shape, then of each split's pixels as stored and its labels (uint16_t). This
 * adds the shape. */
static inline void es_fingerprint_shape(es_fingerprint_t *fingerprint, const es_dataset_info_t *info) {
  const int64_t shape[] = {info->count[ES_TRAIN], info->count[ES_EVAL], info->height, info->width, info->channels};
  es_fingerprint_add(fingerprint, shape, sizeof shape);
}

/** Counts info->count[split] labels, all below ES_CLASSES_MAX, into info->class_count. The train split comes first and
 * defines the classes: the largest label + 1, each with a sample; labels of the eval split must be among them.
 * ES_INPUT, with `where` (the file, and the variable within) before what is wrong. */
es_code_t es_labels_count(es_dataset_info_t *info, es_split_t split, const uint16_t *labels, const char *where,
                          es_status_t *status);

/** A dataset in numbers, without any selection, limit or fit. Pointer-free. */
typedef struct es_dataset_summary {
  es_dataset_info_t info;
  double mean[ES_SPLITS][3], deviation[ES_SPLITS][3]; /**< by channel, 0 … 1 scale, 1/n; grey fills all three */
  char fingerprint[ES_ID_SIZE];                       /**< as es_dataset_fingerprint */
} es_dataset_summary_t;

/** Reads all of a dataset once, some images at a time. Not collective, works before MPI_Init. Codes as
 * es_dataset_inspect. */
es_code_t es_dataset_summarize(es_dataset_summary_t *out, const es_dataset_spec_t *spec, es_status_t *status);

/** Puts the dataset's class count in where the point says `all`, and checks that the dataset has that many, each with
 * samples in both splits, and that limits leave at least one sample a class. job_path is for "<file>:<line>:". */
es_code_t es_point_bind(es_point_t *point, const es_dataset_info_t *info, const char *job_path, es_status_t *status);

/** Images that a point uses of a split: limit or all of the classes' samples. */
int64_t es_point_samples(const es_point_t *point, const es_dataset_info_t *info, es_split_t split);

/** All images of one dataset at one resolution: uint8, NHWC, in memory shared by the ranks of a node. */
typedef struct es_dataset es_dataset_t;

/** Reads, decompresses, fits (resize: antialiased triangle filter as PIL's and torchvision's bilinear with antialias;
 * pad: centred zeros, centred crop when larger). Collective over `comm` (any communicator; nodes are found inside); the
 * ranks of a node share the work and one copy. Only one rank of a node reads files; nodes that read different data
 * fail. MPI_COMM_NULL loads for this process alone, without MPI. All ranks return the same code: ES_INPUT naming the
 * file, or ES_SYSTEM (a file that cannot be read, no room for shared memory). */
es_code_t es_dataset_load(es_dataset_t **out, const es_dataset_spec_t *spec, int32_t resolution, MPI_Comm comm,
                          es_status_t *status);
/** True if the images of this format can stay in their file. */
bool es_dataset_streams(const es_dataset_spec_t *spec);
/** As es_dataset_load for images that do not fit into memory: they are all read once, for the fingerprint, and then
 * stay in their file, where each rank reads what it fetches. The same numbers in every bit, only later. Only where
 * es_dataset_streams. */
es_code_t es_dataset_stream(es_dataset_t **out, const es_dataset_spec_t *spec, int32_t resolution, MPI_Comm comm,
                            es_status_t *status);
/** True if the images of this dataset stayed in their file. */
bool es_dataset_is_streamed(const es_dataset_t *dataset);
/** The failure of the first image that could not be fetched from its file, else ES_OK. Not collective. */
es_code_t es_dataset_failure(const es_dataset_t *dataset, es_status_t *status);
/** Collective over the communicator of es_dataset_load. NULL is fine (on all ranks). */
void es_dataset_destroy(es_dataset_t *dataset);

/** xxh3 of everything read (dimensions, pixels as stored, labels, of both splits), 16 hexadecimal digits; borrowed.
 * Independent of compression, resolution and fit. */
const char *es_dataset_fingerprint(const es_dataset_t *dataset);
const es_dataset_info_t *es_dataset_info(const es_dataset_t *dataset);

/** The samples of one split that a point uses, in file order. */
typedef struct es_samples {
  const es_dataset_t *dataset; /**< borrowed */
  es_split_t split;
  int32_t resolution;
  int64_t n;
  es_owned_t memory;
  int32_t *index;      /**< of each sample in the dataset's split */
  int32_t *label;      /**< 0 … classes−1 */
  double mean[3];      /**< what is subtracted, on the 0 … 1 scale */
  double deviation[3]; /**< what divides; 1 where it would be 0 */
  float *table;        /**< (256, 4): (v/255 − mean)/deviation of raw value v by channel, rounded once; [3] unused */
} es_samples_t;

/** Class filter (labels < classes), then the balanced limit: n/k for each class in file order, the first n mod k
 * classes one more, all of a class that has fewer. Normalisation: as given, else mean and deviation (1/n, exact integer
 * sums) of the point's own train samples after fit. Not collective. The point must be bound.
 * ES_INPUT when the dataset has fewer classes than the point was bound to, ES_SYSTEM when memory is out; then nothing
 * is left to destroy. */
es_code_t es_samples_select(es_samples_t *out, const es_dataset_t *dataset, const es_point_t *point, es_split_t split,
                            es_status_t *status);
void es_samples_destroy(es_samples_t *samples);
/** Samples that class c may give to a balanced limit: limit/classes, the first limit mod classes one more; INT64_MAX
 * for no limit (0). */
int64_t es_class_quota(int64_t limit, int32_t classes, int32_t c);

/** How train images are moved about; all off for eval. First cropped, then flipped. Random numbers: ES_RANDOM_AUGMENT
 * at (epoch, position in es_samples_t), so neither batches nor ranks matter. */
typedef struct es_augment {
  bool crop; /**< pad by resolution/8 raw zeros on each side, crop back at a random place */
  bool flip; /**< left-right with probability 1/2 */
  int64_t seed;
  uint64_t epoch;
} es_augment_t;

/** Converts samples positions[0 … n−1] into out: float (n, resolution, resolution, 3) NHWC, (x/255 − mean)/deviation by
 * channel, grey repeated three times. `augment` may be NULL. Not collective, allocates nothing. An image that cannot be
 * read from its file is zeros from then on, and es_dataset_failure says so. */
void es_samples_fetch(const es_samples_t *samples, const int32_t *positions, int64_t n, const es_augment_t *augment,
                      float *out);

/** One image of the synthetic generator: uint8 (size, size, channels). A pure function of (spec, split, sample), the
 * same bytes on every machine. The class of sample i is i mod classes. Difficulty grows with the number of classes and
 * with `complexity`: 1 is learnt by a small network within an epoch, 4 in a few, 16 is hard (src/data/synthetic.c says
 * what it adds). */
void es_synthetic_image(const es_synthetic_t *spec, es_split_t split, int64_t sample, uint8_t *out);

/** Writes all images of the generator as an HDF5 file that format hdf5 reads: images uint8 (n, size, size, channels),
 * labels int64 (n), both contiguous; root attributes say what made them (creator, which is given; generator
 * "synthetic"; every number of the spec; the fingerprint). The same spec and creator give the same bytes. Appears whole
 * or not at all: written beside, synced, renamed over what was there. Holds some images at a time. Not collective.
 * ES_INPUT for a spec that the generator refuses, ES_SYSTEM with path and reason. */
es_code_t es_synthetic_write(const char *path, const es_synthetic_t *spec, const char *creator, es_status_t *status);

#endif
