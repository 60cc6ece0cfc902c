/** The readers of datasets. A reader is one file of src/data; its es_dataset_reader_t, at the end of the file, holds
 * everything that the program knows of the format. To add a reader, write the file and name it in formats.h; a reader
 * with its own settings also adds a member to es_dataset_spec_t. */
#ifndef EIGENSCOPE_DATASET_READER_H
#define EIGENSCOPE_DATASET_READER_H

#include "eigenscope/data.h"
#include "eigenscope/key.h"

/** State of reading the images of one split. */
typedef struct es_images {
  const es_dataset_spec_t *spec; /**< borrowed */
  const es_dataset_info_t *info; /**< borrowed; filled by `inspect` */
  es_split_t split;
  void *state; /**< owned; state of the reader */
} es_images_t;

typedef struct es_dataset_reader {
  /** Description of `path` for messages, as in "it needs the HDF5 file". NULL if the format has no path. */
  const char *hint;
  /** Name of a file, plain or .gz, that exists only in folders of this format; NULL: none. */
  const char *mark;
  /** A file, {folder below the path, name}, that shows another version of this dataset, and the end of a message that
   * says which version to get. NULL: none. */
  const char *other[2], *other_said;
  /** True if the first bytes of the file identify this format. NULL: the format is a folder. */
  bool (*found)(const char *path);
  /** Keys in a job file that only this format has: sections "datasets.*" and below, stored in es_dataset_spec_t. */
  const es_key_t *keys;
  int n_keys;
  /** Appends the settings for `data info`: ", name value" each, or as JSON "\"name\": value, ". May be NULL. */
  void (*describe)(const es_dataset_spec_t *spec, bool json, es_text_t *out);
  /** True: every rank may read any images. False: one process reads all images in order. */
  bool anywhere;
  /** True: several processes may read images in any order while training runs (es_dataset_stream). */
  bool streams;
  /** Fills `info` (zeroed by the caller) and allocates labels[split] (info->count[split] values); the caller frees
   * them, also on failure. Checks everything that does not need the pixels. Messages begin with the file. */
  es_code_t (*inspect)(es_dataset_info_t *info, uint16_t *labels[ES_SPLITS], const es_dataset_spec_t *spec,
                       es_status_t *status);
  size_t state_size; /**< bytes of images->state, which is zeroed before `open` */
  /** Starts a split. The caller then calls `close`, also after a failure. Both may be NULL. */
  es_code_t (*open)(es_images_t *images, es_status_t *status);
  /** Reads images first … first+count−1 as stored: (count, height, width, channels). Reading the last image also checks
   * that the file ends there. */
  es_code_t (*read)(es_images_t *images, int64_t first, int64_t count, uint8_t *out, es_status_t *status);
  void (*close)(es_images_t *images);
} es_dataset_reader_t;

/** Names of the formats in job files, indexed by es_format_t; ends with NULL. */
extern const char *const es_format_words[ES_FORMATS_COUNT + 1];
/** The format of that name; false if unknown. */
bool es_format_find(es_format_t *out, const char *word);

/** The reader of a format; never NULL. */
const es_dataset_reader_t *es_reader_of(es_format_t format);
/** The key of that name in section "datasets.*" that belongs to this reader's own keys, or NULL. */
const es_key_t *es_reader_key(const es_dataset_reader_t *reader, const char *name);

enum { ES_FORMATS_TEXT = 160 };
/** Writes the formats whose readers have the key (for "path": that have a path), as "idx, cifar10 or hdf5". Returns
 * their number. */
int es_formats_with(const char *key, char out[ES_FORMATS_TEXT]);

#endif
