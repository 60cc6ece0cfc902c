/** Packs folders of JPEG and PNG files into one HDF5 file for format hdf5.
 *
 * Layouts (the class is the name of a folder, labels follow the order of the names' bytes):
 *
 *   FOLDER/train/CLASS/...      including sub-folders, as in TinyImageNet's train/CLASS/images/
 *   FOLDER/val/CLASS/...        or eval, valid, validation, test: the first that exists
 *   FOLDER/val/val_annotations.txt and FOLDER/val/images/...   TinyImageNet: lines "file TAB class TAB ..."
 *
 * Files that end in .jpg, .jpeg or .png (upper or lower case) are images; their first bytes decide the format. Other
 * files, and names that start with a dot, are ignored. Links are followed. Within a class, images are sorted by the
 * bytes of their paths. */
#ifndef EIGENSCOPE_PACK_H
#define EIGENSCOPE_PACK_H

#include "eigenscope/data.h"
#include <stdbool.h>

/** A request to pack a folder. Borrowed pointers. */
typedef struct es_pack_request {
  const char *folder, *path; /**< from, to */
  const char *creator;       /**< stored in the file */
  int32_t size;    /**< side of the square to which images are resized; 0: keep the size, which must be equal for all */
  int32_t shorter; /**< length of the shorter side before the square is cut out; 0: `size` */
  int32_t channels; /**< 3, or 1 for grey */
  bool stretch;     /**< resize both sides to `size` and cut out nothing, as torchvision's Resize((size, size)) */
  bool skip_broken;
  /** Called on the first rank for every image that cannot be used, with the reason, in file order, but only once for
   * images of another size than the first; may be NULL. */
  void (*broken)(void *context, const char *message);
  void *context;
} es_pack_request_t;

/** The outcome of es_pack. Pointer-free. */
typedef struct es_pack_result {
  es_dataset_info_t info;
  int64_t n_broken;
  int64_t n_other;                     /**< of them: sound images of another size than the first */
  int64_t shorter_least, shorter_most; /**< lengths of the shorter sides of these, in pixels */
  int64_t n_left_out;                  /**< number of files whose names are not those of images */
  char left_out[ES_PATH_MAX];          /**< the first of them */
  char fingerprint[ES_ID_SIZE];        /**< as es_dataset_fingerprint */
  char eval_folder[ES_VARIABLE_MAX];   /**< folder of the eval split */
} es_pack_result_t;

/** Writes train/images, train/labels, eval/images, eval/labels (images (n, height, width, channels) in chunks of whole
 * images, compressed where that saves a quarter), class_names, and root attributes with the origin. Images are resized,
 * and enlarged, as by torchvision's Resize(shorter) and CenterCrop(size) with PIL (equal bits for equal pixels).
 *
 * All ranks read, decode, resize and compress images; only the first rank lists the folders and writes the file. Any
 * number of ranks gives the same bytes. The file is written atomically. Broken images (unreadable, damaged, or of
 * another size if size is 0) are reported; then returns ES_INPUT, or with `skip_broken` writes the other images.
 *
 * Collective over comm (MPI_COMM_NULL: this process alone); all ranks return the same code. `out` is filled on the
 * first rank. ES_INPUT for folders with another layout, ES_SYSTEM if the machine fails. */
es_code_t es_pack(es_pack_result_t *out, const es_pack_request_t *request, MPI_Comm comm, es_status_t *status);

#endif
