/** The readers of datasets. A reader is one file of src/data that ends with its row, which says all that the program
 * knows of the format. To add a reader, write the file and name it in formats.h; a reader with settings of its own also
 * adds a member to es_dataset_spec_t. */
#ifndef EIGENSCOPE_DATASET_READER_H
#define EIGENSCOPE_DATASET_READER_H

#include "eigenscope/data.h"
#include "eigenscope/key.h"

/** The images of one split, being read. */
typedef struct es_images {
  const es_dataset_spec_t *spec; /**< borrowed */
  const es_dataset_info_t *info; /**< borrowed; as `inspect` filled it */
  es_split_t split;
  void *state; /**< owned; the reader's */
} es_images_t;

typedef struct es_dataset_reader {
  /** What `path` names, as in "it needs the HDF5 file". NULL when nothing is read from disk: no path. */
  const char *hint;
  /** A file, plain or .gz, that shows its folder to be of this format; NULL: none does. */
  const char *mark;
  /** True if the first bytes of this file show that it is of this format. NULL: a format of folders. */
  bool (*found)(const char *path);
  /** Keys that only these datasets have in a job file: sections "datasets.*" and below, targets es_dataset_spec_t. */
  const es_key_t *keys;
  int n_keys;
  /** Appends which settings `data info` shows: ", name value" each, or as JSON "\"name\": value, ". May be NULL. */
  void (*describe)(const es_dataset_spec_t *spec, bool json, es_text_t *out);
  /** True: every rank may read any images. False: one process reads them all, in order. */
  bool anywhere;
  /** True: images may be read in any order, by several processes, for as long as they are open, so that they can stay
   * in their file while a network is trained on them. */
  bool streams;
  /** Fills all of `info` (zeroed) and allocates labels[split] (info->count[split] values), also freed by the caller on
   * failure. Checks everything that does not need the pixels. Its message names the file first. */
  es_code_t (*inspect)(es_dataset_info_t *info, uint16_t *labels[ES_SPLITS], const es_dataset_spec_t *spec,
                       es_status_t *status);
  size_t state_size; /**< of images->state, which is zeroed before `open` */
  /** Starts a split. Whatever it returns, `close` follows. Both may be NULL. */
  es_code_t (*open)(es_images_t *images, es_status_t *status);
  /** Images first … first+count−1 as stored: (count, height, width, channels). Reading up to the last image also checks
   * that nothing follows it. */
  es_code_t (*read)(es_images_t *images, int64_t first, int64_t count, uint8_t *out, es_status_t *status);
  void (*close)(es_images_t *images);
} es_dataset_reader_t;

/** The words of formats in job files, as es_format_t; ends with NULL. */
extern const char *const es_format_words[ES_FORMATS_COUNT + 1];
/** The format of that word; false when there is none. */
bool es_format_find(es_format_t *out, const char *word);

/** The row of a format; never NULL. */
const es_dataset_reader_t *es_reader_of(es_format_t format);
/** The key of that name in section "datasets.*" that this reader has and not every reader, or NULL. */
const es_key_t *es_reader_key(const es_dataset_reader_t *reader, const char *name);

enum { ES_FORMATS_TEXT = 160 };
/** "idx, cifar10 or hdf5": the formats whose readers have the key, or a path where the key is "path". Returns how many
 * there are. */
int es_formats_with(const char *key, char out[ES_FORMATS_TEXT]);

#endif
