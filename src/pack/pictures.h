/** Finds the image files of a dataset in folders, with their order and labels. Not collective. */
#ifndef EIGENSCOPE_PACK_PICTURES_H
#define EIGENSCOPE_PACK_PICTURES_H

#include "eigenscope/names.h"
#include "eigenscope/pack.h"
#include "eigenscope/text.h"

typedef struct es_picture {
  size_t path; /**< offset of its path in es_pictures_t.paths */
  uint16_t label;
} es_picture_t;

typedef struct es_pictures {
  es_text_t paths;                /**< owned; zero-terminated, consecutive */
  es_picture_t *items[ES_SPLITS]; /**< owned; by label, then by path */
  int64_t count[ES_SPLITS];
  es_names_t classes; /**< owned; sorted */
  int64_t n_left_out;
  char left_out[ES_PATH_MAX]; /**< the first file whose name is not of an image */
  char eval_folder[ES_VARIABLE_MAX];
} es_pictures_t;

/** Searches a folder as pack.h describes. ES_INPUT naming the folder or file, ES_SYSTEM if a folder cannot be read. The
 * caller destroys *out also on failure. */
es_code_t es_pictures_find(es_pictures_t *out, const char *folder, es_status_t *status);
void es_pictures_destroy(es_pictures_t *pictures);

static inline const char *es_picture_path(const es_pictures_t *pictures, es_split_t split, int64_t index) {
  return pictures->paths.data + pictures->items[split][index].path;
}

/** Removes the pictures of a split whose entry in `drop` is true. */
void es_pictures_drop(es_pictures_t *pictures, es_split_t split, const bool *drop);

#endif
