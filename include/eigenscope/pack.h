/** Folders of JPEG and PNG files packed into one HDF5 file that format hdf5 reads.
 *
 * Layouts (the class is the name of a folder, labels follow the order of the names' bytes):
 *
 *   FOLDER/train/CLASS/...      folders within a class are searched, too, as in TinyImageNet's train/CLASS/images/
 *   FOLDER/val/CLASS/...        or eval, valid, validation, test: the first of these that is there
 *   FOLDER/val/val_annotations.txt and FOLDER/val/images/...   TinyImageNet: lines "file TAB class TAB ..."
 *
 * Files that end in .jpg, .jpeg or .png in any case are images, and what they are is told by their first bytes; other
 * files and names that start with a dot are left out. Links are followed. Within a class, images are in the order of
 * their paths' bytes. */
#ifndef EIGENSCOPE_PACK_H
#define EIGENSCOPE_PACK_H

#include "eigenscope/data.h"
#include <stdbool.h>

/** A request to pack a folder. Borrowed pointers. */
typedef struct es_pack_request {
  const char *folder, *path; /**< from, to */
  const char *creator;       /**< noted in the file */
  int32_t size;              /**< of the square that images become; 0: as they are, all of one size */
  int32_t shorter;           /**< the shorter side is brought to this before the square is cut out; 0: to `size` */
  int32_t channels;          /**< 3, or 1 for grey */
  bool skip_broken;
  /** First rank only; may be NULL: one image that cannot be used, and why. In the order of the file, all of them. */
  void (*broken)(void *context, const char *message);
  void *context;
} es_pack_request_t;

/** The outcome of es_pack. Pointer-free. */
typedef struct es_pack_result {
  es_dataset_info_t info;
  int64_t n_broken;
  int64_t n_left_out;                /**< files that are no images by their names */
  char left_out[ES_PATH_MAX];        /**< the first of them */
  char fingerprint[ES_ID_SIZE];      /**< as es_dataset_fingerprint */
  char eval_folder[ES_VARIABLE_MAX]; /**< what the eval split was made of */
} es_pack_result_t;

/** Writes train/images, train/labels, eval/images, eval/labels (images (n, height, width, channels) in chunks of whole
 * images, compressed where that saves a quarter), class_names, and as root attributes what made them. Images are
 * resized as torchvision's Resize(shorter) and CenterCrop(size) do with PIL (bit for bit, given the same pixels),
 * enlarged ones too.
 *
 * Ranks read, decode, resize and compress; the first of them, which alone looks into the folders, writes. The same
 * bytes on any number of ranks. The file appears whole or not at all. Broken images (unreadable, damaged, of another
 * size where none was asked for) are all reported; then it is ES_INPUT, or with `skip_broken` the file has the others.
 *
 * Collective over comm (MPI_COMM_NULL: this process alone); all ranks return the same code. `out` is filled on the
 * first rank. ES_INPUT for folders that are laid out in no such way, ES_SYSTEM when the machine fails. */
es_code_t es_pack(es_pack_result_t *out, const es_pack_request_t *request, MPI_Comm comm, es_status_t *status);

#endif
