/** Images and labels: readers, one uint8 copy per node, selection for a point, conversion and augmentation.
 *
 * Labels are 0 … k−1, every one of them in the train split. All images of a dataset have one size, and one channel
 * (grey) or three (red, green, blue). formats.h lists the formats; the reader in src/data describes its format at the
 * top of its file. */
#ifndef EIGENSCOPE_DATA_H
#define EIGENSCOPE_DATA_H

#include "eigenscope/fingerprint.h"
#include "eigenscope/memory.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

/** Properties of a dataset that are known before its pixels are read. Pointer-free. */
typedef struct es_dataset_info {
  int32_t classes;          /**< largest label of the train split + 1 */
  int32_t height, width;    /**< of the stored images */
  int32_t channels;         /**< 1 or 3 */
  int64_t count[ES_SPLITS]; /**< images */
  int32_t class_count[ES_SPLITS][ES_CLASSES_MAX];
} es_dataset_info_t;

/** Reads and checks headers and labels (and no pixels, if the format stores them apart from labels): file exists,
 * magic, dimensions, lengths agree, labels in range, every class has train samples. Not collective. ES_INPUT naming the
 * file, ES_SYSTEM if the machine fails. */
es_code_t es_dataset_inspect(es_dataset_info_t *out, const es_dataset_spec_t *spec, es_status_t *status);

/** Detects the format of a file or folder from file names and first bytes; `found` gets the name of the file that
 * decided. False if no format matches. Not collective. */
bool es_dataset_guess(const char *path, es_format_t *format, char found[ES_PATH_MAX]);

/** Refuses to write images to `path` if it exists and holds anything but images in the layout of format hdf5. */
es_code_t es_images_check_target(const char *path, es_status_t *status);

/** Adds the shape of a dataset to its fingerprint. The fingerprint covers the shape, then each split's pixels as stored
 * and its labels (uint16_t). */
static inline void es_fingerprint_shape(es_fingerprint_t *fingerprint, const es_dataset_info_t *info) {
  const int64_t shape[] = {info->count[ES_TRAIN], info->count[ES_EVAL], info->height, info->width, info->channels};
  es_fingerprint_add(fingerprint, shape, sizeof shape);
}

/** Counts info->count[split] labels, all below ES_CLASSES_MAX, into info->class_count. Call it for the train split
 * first, which defines the classes: the largest label + 1, each with a sample; the eval split may have no others.
 * ES_INPUT; the message begins with `where` (the file, and the variable in it). */
es_code_t es_labels_count(es_dataset_info_t *info, es_split_t split, const uint16_t *labels, const char *where,
                          es_status_t *status);

/** Statistics of a whole dataset, without selection, limit or fit. Pointer-free. */
typedef struct es_dataset_summary {
  es_dataset_info_t info;
  double mean[ES_SPLITS][3], deviation[ES_SPLITS][3]; /**< per channel, scale 0 … 1, 1/n; grey sets all three */
  char fingerprint[ES_ID_SIZE];                       /**< as es_dataset_fingerprint */
} es_dataset_summary_t;

/** Reads a whole dataset once, a few images at a time. Not collective, works before MPI_Init. Codes as
 * es_dataset_inspect. */
es_code_t es_dataset_summarize(es_dataset_summary_t *out, const es_dataset_spec_t *spec, es_status_t *status);

/** Sets point->classes to the dataset's class count if the job says `all`. Checks that the dataset has that many
 * classes, each with samples in both splits, and that limits leave at least one sample per class. job_path is for
 * messages. */
es_code_t es_point_bind(es_point_t *point, const es_dataset_info_t *info, const char *job_path, es_status_t *status);

/** Completes dataset `i` of the point's probe.datasets, of which all classes are used; a class may lack samples in the
 * eval split. Checks the limits like es_point_bind. ES_INPUT. */
es_code_t es_point_bind_probe(es_point_t *point, int i, const es_dataset_info_t *info, const char *job_path,
                              es_status_t *status);
/** The bound point with dataset `i` of its probe.datasets as its dataset, for es_samples_select. */
void es_point_of_probe(es_point_t *out, const es_point_t *point, int i);

/** Bytes of the images and labels of a dataset at a resolution, in the memory that the ranks of a node share. */
static inline int64_t es_dataset_bytes(const es_dataset_info_t *info, int32_t resolution) {
  return (info->count[ES_TRAIN] + info->count[ES_EVAL]) * ((int64_t)resolution * resolution * info->channels + 2);
}

/** Number of images of a split that a point uses: the limit, or all samples of its classes. */
int64_t es_point_samples(const es_point_t *point, const es_dataset_info_t *info, es_split_t split);

/** All images of one dataset at one resolution: uint8, NHWC, in memory shared by the ranks of a node. */
typedef struct es_dataset es_dataset_t;

/** Reads, decompresses and fits images (resize: antialiased triangle filter as PIL's and torchvision's bilinear with
 * antialias; pad: centred zeros, centred crop if larger). Collective over `comm` (any communicator; the function finds
 * the nodes); the ranks of a node share the work and one copy. Only one rank of a node reads files; fails if nodes read
 * different data. MPI_COMM_NULL loads for this process alone, without MPI. All ranks return the same code: ES_INPUT
 * naming the file, or ES_SYSTEM (a file cannot be read, too little shared memory). */
es_code_t es_dataset_load(es_dataset_t **out, const es_dataset_spec_t *spec, int32_t resolution, MPI_Comm comm,
                          es_status_t *status);
/** True if images of this format can be read from the file on demand (es_dataset_stream). */
bool es_dataset_streams(const es_dataset_spec_t *spec);
/** Like es_dataset_load, for images that do not fit into memory: reads all images once, for the fingerprint; later each
 * rank reads from the file the images that it fetches. Gives the same bits, but more slowly. Requires
 * es_dataset_streams. */
es_code_t es_dataset_stream(es_dataset_t **out, const es_dataset_spec_t *spec, int32_t resolution, MPI_Comm comm,
                            es_status_t *status);
/** True if the dataset was opened by es_dataset_stream. */
bool es_dataset_is_streamed(const es_dataset_t *dataset);
/** Returns the failure of the first image that could not be read from its file, else ES_OK. Not collective. */
es_code_t es_dataset_failure(const es_dataset_t *dataset, es_status_t *status);
/** Collective over the communicator of es_dataset_load. NULL is allowed (on all ranks). */
void es_dataset_destroy(es_dataset_t *dataset);

/** xxh3 of dimensions, pixels as stored and labels of both splits, 16 hexadecimal digits; borrowed. Independent of
 * compression, resolution and fit. */
const char *es_dataset_fingerprint(const es_dataset_t *dataset);
/** Chains the fingerprints of several datasets: `first`, or with n > 0 others the hash of all of them. */
void es_dataset_chain_fingerprints(char out[ES_ID_SIZE], const char *first, const char *const *others, int n);
const es_dataset_info_t *es_dataset_info(const es_dataset_t *dataset);

/** The samples of one split that a point uses, in file order. */
typedef struct es_samples {
  const es_dataset_t *dataset; /**< borrowed */
  es_split_t split;
  int32_t resolution;
  int64_t n;
  es_owned_t memory;
  int32_t *index;      /**< index of each sample in the dataset's split */
  int32_t *label;      /**< 0 … classes−1 */
  double mean[3];      /**< subtracted, on the scale 0 … 1 */
  double deviation[3]; /**< divisor; 1 where it would be 0 */
  float *table; /**< (256, 4): (v/255 − mean)/deviation for raw value v and channel, rounded once; [3] unused */
} es_samples_t;

/** Applies the class filter (labels < classes), then the balanced limit: the first n/k samples of each class in file
 * order, one more for the first n mod k classes, all samples of a class that has fewer. Normalisation: as given, else
 * mean and deviation (1/n, exact integer sums) of the point's own train samples after fit. Not collective. The point
 * must be bound. ES_INPUT if the dataset has fewer classes than the point was bound to, ES_SYSTEM if out of memory;
 * then nothing must be destroyed. */
es_code_t es_samples_select(es_samples_t *out, const es_dataset_t *dataset, const es_point_t *point, es_split_t split,
                            es_status_t *status);
void es_samples_destroy(es_samples_t *samples);
/** Most samples of class c under a balanced limit: limit/classes, one more for the first limit mod classes; INT64_MAX
 * for no limit (0). */
int64_t es_class_quota(int64_t limit, int32_t classes, int32_t c);

/** Augmentation of train images; all off for eval. Applied in this order:
 *   place         the image moves to a random place of the canvas, all places equally likely; for fit pad and place
 *   crop          pad by resolution/8 raw zeros on each side, crop to the old size at a random position
 *   resized_crop  a part of random area and shape becomes the image: torchvision's RandomResizedCrop. Bilinear, bit for
 *                 bit as torchvision and Pillow resize the part as an image of bytes (half-pixel centres, edges
 *                 repeated, each pass rounded to bytes; parts are not larger than the result, so antialiasing would
 *                 change nothing)
 *   flip          left-right with probability 1/2
 *   erase         a rectangle of random area and shape becomes 0 in the normalised image, with some probability:
 *                 torchvision's RandomErasing with value 0
 *   cutout        a square becomes 0 in the normalised image; its centre is anywhere in the image, so it may lie partly
 *                 outside (DeVries and Taylor, arXiv 1708.04552)
 * Random numbers: ES_RANDOM_AUGMENT and others at (epoch, position in es_samples_t), so they depend on neither batches
 * nor ranks. */
typedef struct es_augment {
  es_augment_settings_t settings;
  int64_t seed;
  uint64_t epoch;
} es_augment_t;

/** Converts samples positions[0 … n−1] into out: float (n, resolution, resolution, 3) NHWC, (x/255 − mean)/deviation by
 * channel, grey repeated three times. `augment` may be NULL. Not collective, allocates nothing. An image that cannot be
 * read from its file is replaced by zeros, and es_dataset_failure reports it. */
void es_samples_fetch(const es_samples_t *samples, const int32_t *positions, int64_t n, const es_augment_t *augment,
                      float *out);

/** Generates one synthetic image: uint8 (size, size, channels). A pure function of (spec, split, sample), with the same
 * bytes on every machine. The class of sample i is i mod classes. Difficulty grows with the number of classes and with
 * `complexity`: a small network learns 1 in one epoch, 4 in a few; 16 is hard (see src/data/synthetic.c). */
void es_synthetic_image(const es_synthetic_t *spec, es_split_t split, int64_t sample, uint8_t *out);

/** Writes all images of the generator as an HDF5 file that format hdf5 reads: images uint8 (n, size, size, channels),
 * labels int64 (n), both contiguous; root attributes hold the origin (`creator`; generator "synthetic"; every number of
 * the spec; the fingerprint). The same spec and creator give the same bytes. Atomic: writes another file, syncs it and
 * renames it to `path`. Holds a few images in memory at a time. Not collective. ES_INPUT for a spec that the generator
 * refuses, ES_SYSTEM with path and reason. */
es_code_t es_synthetic_write(const char *path, const es_synthetic_t *spec, const char *creator, es_status_t *status);

#endif
