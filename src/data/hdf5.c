/* Reads one HDF5 file with train/images, train/labels, eval/images and eval/labels (or the names in key `variables`).
 * Images are uint8 (n, height, width) or (n, height, width, channels), channels last; labels are integers (n) of any
 * size. Supports any layout, chunks and filters that HDF5 reads. */
#include "eigenscope/hdf5.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "images.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char STAGE[] = "data";

enum { SIDE_MAX = 8192, LABELS_AT_ONCE = 1 << 16, TEXT = 96, CACHE_MOST = 64 << 20 /* bytes */ };

#define NAME(split, variable) offsetof(es_dataset_spec_t, variables[split][variable])
/* The keys after the first name variables, ordered by es_split_t, then es_variable_t. */
static const es_key_t keys[] = {
    {"datasets.*", "variables", ES_KEY_SECTION, 0, .fallback = "{}", .form = "a mapping",
     .doc = "hdf5: names of the HDF5 datasets of images and labels in the file"},
    {"datasets.*.variables", "train_images", ES_KEY_VARIABLE, NAME(ES_TRAIN, ES_VARIABLE_IMAGES),
     .fallback = "train/images", .form = "a path within the file", .doc = "uint8 (images, height, width, channels)"},
    {"datasets.*.variables", "train_labels", ES_KEY_VARIABLE, NAME(ES_TRAIN, ES_VARIABLE_LABELS),
     .fallback = "train/labels", .form = "a path within the file", .doc = "integers (images)"},
    {"datasets.*.variables", "eval_images", ES_KEY_VARIABLE, NAME(ES_EVAL, ES_VARIABLE_IMAGES),
     .fallback = "eval/images", .form = "a path within the file", .doc = "like train_images"},
    {"datasets.*.variables", "eval_labels", ES_KEY_VARIABLE, NAME(ES_EVAL, ES_VARIABLE_LABELS),
     .fallback = "eval/labels", .form = "a path within the file", .doc = "like train_labels"},
};

static const char *name_of(const es_dataset_spec_t *spec, es_split_t split, es_variable_t variable) {
  const char *other = spec->variables[split][variable];
  return other[0] != '\0' ? other : keys[1 + ES_VARIABLES * split + variable].fallback;
}

/* ---- the file ---- */

es_code_t es_images_check_target(const char *path, es_status_t *status) {
  char reason[ES_HDF5_REASON_SIZE];
  struct stat facts;
  if (stat(path, &facts) != 0 || (S_ISREG(facts.st_mode) && facts.st_size == 0)) return ES_OK;
  ES_HDF5_QUIET;
  ES_HDF5_ID file = -1;
  if (es_hdf5_open(&file, path, reason) == ES_OK && H5Lexists(file, "train", H5P_DEFAULT) > 0) return ES_OK;
  return es_fail(status, ES_INPUT, STAGE,
                 "--to %s: exists but is not a file of images; choose another name or remove the file", path);
}

static es_code_t open_file(const char *path, hid_t *out, es_status_t *status) {
  if (es_directory_exists(path)) {
    return es_fail(status, ES_INPUT, STAGE, "%s: is a folder, but format hdf5 reads one file", path);
  }
  return es_hdf5_open_input(out, path, STAGE, status);
}

/* ---- its variables ---- */

typedef struct variable {
  const char *path, *name; /* borrowed; path of the file, name within it */
  hid_t id, type;          /* owned; ≥ 0 if open */
  int rank;
  int64_t shape[H5S_MAX_RANK];
} variable_t;

static void close_variable(variable_t *v) {
  es_hdf5_close(&v->type);
  es_hdf5_close(&v->id);
  v->id = v->type = -1;
}

/* Describes a type as "float32", "int64", "uint8". */
static void describe_type(hid_t type, char out[TEXT]) {
  size_t bits = 8 * H5Tget_size(type); /* a damaged file may give any size */
  switch (H5Tget_class(type)) {
  case H5T_INTEGER:
    snprintf(out, TEXT, "%sint%zu", H5Tget_sign(type) == H5T_SGN_NONE ? "u" : "", bits);
    break;
  case H5T_FLOAT:
    snprintf(out, TEXT, "float%zu", bits);
    break;
  case H5T_STRING:
    snprintf(out, TEXT, "text");
    break;
  default:
    snprintf(out, TEXT, "values that are not numbers");
  }
}

/* Opens a variable and reads its type and shape; the caller checks them. */
static es_code_t open_variable(variable_t *v, const char *path, const char *name, hid_t file, es_status_t *status) {
  char reason[ES_HDF5_REASON_SIZE], newer[ES_HDF5_LACK_SIZE];
  *v = (variable_t){.path = path, .name = name, .id = -1, .type = -1};
  v->id = H5Dopen2(file, name, H5P_DEFAULT);
  if (v->id < 0) {
    const es_code_t code = es_hdf5_reason(reason);
    ES_HDF5_ID object = H5Oopen(file, name, H5P_DEFAULT);
    if (object < 0 && es_hdf5_is_newer(reason, newer))
      return es_fail(status, code, STAGE, "%s: %s %s", path, name, newer);
    if (object < 0 && H5Lexists(file, name, H5P_DEFAULT) > 0)
      return es_fail(status, code, STAGE, "%s: %s is damaged: %s", path, name, reason);
    if (object < 0)
      return es_fail(status, ES_INPUT, STAGE,
                     "%s: has no dataset %s; format hdf5 reads train/images, train/labels, eval/images and "
                     "eval/labels, or the names in `variables`",
                     path, name);
    return es_fail(status, ES_INPUT, STAGE, "%s: %s must be a dataset with values, not a group", path, name);
  }
  v->type = H5Dget_type(v->id);
  v->rank = v->type >= 0 ? es_hdf5_shape(v->id, v->shape) : -1;
  if (v->rank >= 0) return ES_OK;
  es_hdf5_reason(reason);
  close_variable(v);
  if (es_hdf5_is_newer(reason, newer)) return es_fail(status, ES_INPUT, STAGE, "%s: %s %s", path, name, newer);
  return es_fail(status, ES_INPUT, STAGE, "%s: %s is damaged: %s", path, name, reason);
}

/* Reads values first … first+count−1 along the first axis. */
static es_code_t read_part(const variable_t *v, hid_t type, int64_t first, int64_t count, void *out,
                           es_status_t *status) {
  char reason[ES_HDF5_REASON_SIZE];
  const es_code_t code = es_hdf5_read_rows(v->id, type, first, count, out, reason);
  if (code == ES_OK) return ES_OK;
  return es_fail(status, code, STAGE, "%s: %s cannot be read from %lld to %lld: %s", v->path, v->name, (long long)first,
                 (long long)(first + count - 1), reason);
}

/* Checks that all values are stored, because HDF5 reads missing ones as zeros. */
static es_code_t check_values(const variable_t *v, es_status_t *status) {
  char lack[ES_HDF5_LACK_SIZE];
  es_code_t code = es_hdf5_check_values(v->id, lack);
  if (code != ES_OK) return es_fail(status, code, STAGE, "%s: %s %s", v->path, v->name, lack);
  if (!es_hdf5_missing_filter(v->id, lack)) return ES_OK;
  /* If the filter was missing when the file was written, chunks may be unfiltered. Only a test read shows that. */
  size_t size = 1;
  for (int i = 1; i < v->rank; i++) size *= (size_t)v->shape[i];
  uint8_t *row = es_allocate(size, 1);
  if (row == NULL) return es_out_of_memory(status, STAGE, "an image of %s", v->path);
  code = read_part(v, H5T_NATIVE_UINT8, 0, 1, row, &(es_status_t){0});
  es_free(row);
  return code == ES_OK ? ES_OK : es_fail(status, ES_INPUT, STAGE, "%s: %s %s", v->path, v->name, lack);
}

static es_code_t check_images(const variable_t *v, es_status_t *status) {
  char text[TEXT];
  if (H5Tget_class(v->type) != H5T_INTEGER || H5Tget_size(v->type) != 1 || H5Tget_sign(v->type) != H5T_SGN_NONE) {
    describe_type(v->type, text);
    return es_fail(status, ES_INPUT, STAGE, "%s: %s holds %s, but images must be uint8 from 0 to 255", v->path, v->name,
                   text);
  }
  bool right = (v->rank == 3 || v->rank == 4) && v->shape[0] >= 1 && v->shape[0] <= INT32_MAX && v->shape[1] >= 1 &&
               v->shape[1] <= SIDE_MAX && v->shape[2] >= 1 && v->shape[2] <= SIDE_MAX &&
               (v->rank == 3 || v->shape[3] == 1 || v->shape[3] == 3);
  if (right) return check_values(v, status);
  es_text_shape(text, sizeof text, v->shape, v->rank);
  return es_fail(status, ES_INPUT, STAGE,
                 "%s: %s has the shape %s, but must have the shape (images, height, width) or (images, height, width, "
                 "1 or 3 channels), with 1 to %d images of at most %d x %d",
                 v->path, v->name, text, INT32_MAX, SIDE_MAX, SIDE_MAX);
}

static es_code_t check_labels(const variable_t *v, const char *images, int64_t count, es_status_t *status) {
  char text[TEXT];
  if (H5Tget_class(v->type) != H5T_INTEGER) {
    describe_type(v->type, text);
    return es_fail(status, ES_INPUT, STAGE, "%s: %s holds %s, but labels must be integers", v->path, v->name, text);
  }
  if (v->rank != 1) {
    es_text_shape(text, sizeof text, v->shape, v->rank);
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: %s has the shape %s, but must have one label for each image: the shape (%lld)", v->path,
                   v->name, text, (long long)count);
  }
  if (v->shape[0] != count) {
    return es_fail(
        status, ES_INPUT, STAGE,
        "%s: the number of labels in %s is %lld, but the number of images is %lld in %s; the two must be equal",
        v->path, v->name, (long long)v->shape[0], (long long)count, images);
  }
  return check_values(v, status);
}

/* ---- inspecting ---- */

static es_code_t inspect_images(es_dataset_info_t *info, es_split_t split, const variable_t *v, es_status_t *status) {
  ES_TRY(check_images(v, status));
  int32_t height = (int32_t)v->shape[1], width = (int32_t)v->shape[2];
  int32_t channels = v->rank == 4 ? (int32_t)v->shape[3] : 1;
  info->count[split] = v->shape[0];
  if (split == ES_TRAIN) {
    info->height = height;
    info->width = width;
    info->channels = channels;
  } else if (height != info->height || width != info->width || channels != info->channels) {
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: has images of %d x %d x %d in %s, but the train images are %d x %d x %d; both must be equal",
                   v->path, height, width, channels, v->name, info->height, info->width, info->channels);
  }
  return ES_OK;
}

/* Reads all labels of a split in parts. */
static es_code_t read_labels(const variable_t *v, int64_t count, uint16_t *out, int64_t *some, es_status_t *status) {
  for (int64_t done = 0; done < count;) {
    const int64_t n = count - done < LABELS_AT_ONCE ? count - done : LABELS_AT_ONCE;
    ES_TRY(read_part(v, H5T_NATIVE_INT64, done, n, some, status));
    for (int64_t i = 0; i < n; i++, done++) {
      if (some[i] < 0 || some[i] >= ES_CLASSES_MAX) {
        return es_fail(status, ES_INPUT, STAGE,
                       "%s: %s: label %lld of sample %lld is out of range; labels must be from 0 to %d", v->path,
                       v->name, (long long)some[i], (long long)done, ES_CLASSES_MAX - 1);
      }
      out[done] = (uint16_t)some[i];
    }
  }
  return ES_OK;
}

static es_code_t inspect_labels(es_dataset_info_t *info, es_split_t split, const variable_t *v, uint16_t **labels,
                                es_status_t *status) {
  const int64_t count = info->count[split];
  char where[ES_PATH_MAX + ES_VARIABLE_MAX + 4];
  snprintf(where, sizeof where, "%s: %s", v->path, v->name);
  int64_t *some = es_allocate(LABELS_AT_ONCE, sizeof *some);
  *labels = es_allocate((size_t)count, sizeof **labels);
  es_code_t code = ES_OK;
  if (some == NULL || *labels == NULL) code = es_out_of_memory(status, STAGE, "the labels of %s", v->path);
  if (code == ES_OK) code = read_labels(v, count, *labels, some, status);
  if (code == ES_OK) code = es_labels_count(info, split, *labels, where, status);
  es_free(some);
  return code;
}

static es_code_t inspect_split(es_dataset_info_t *info, es_split_t split, const es_dataset_spec_t *spec, hid_t file,
                               uint16_t *labels[ES_SPLITS], es_status_t *status) {
  __attribute__((cleanup(close_variable))) variable_t images = {.id = -1, .type = -1}, v = images;
  const char *name = name_of(spec, split, ES_VARIABLE_IMAGES);
  ES_TRY(open_variable(&images, spec->path, name, file, status));
  ES_TRY(inspect_images(info, split, &images, status));
  ES_TRY(open_variable(&v, spec->path, name_of(spec, split, ES_VARIABLE_LABELS), file, status));
  ES_TRY(check_labels(&v, name, info->count[split], status));
  return inspect_labels(info, split, &v, &labels[split], status);
}

static es_code_t inspect(es_dataset_info_t *info, uint16_t *labels[ES_SPLITS], const es_dataset_spec_t *spec,
                         es_status_t *status) {
  ES_HDF5_QUIET;
  ES_HDF5_ID file = -1;
  ES_TRY(open_file(spec->path, &file, status));
  for (es_split_t split = ES_TRAIN; split < ES_SPLITS; split++)
    ES_TRY(inspect_split(info, split, spec, file, labels, status));
  return ES_OK;
}

/* ---- pixels ---- */

typedef struct state {
  hid_t file;
  variable_t images;
} state_t;

static void close_images(es_images_t *images) {
  ES_HDF5_QUIET;
  state_t *state = images->state;
  close_variable(&state->images);
  es_hdf5_close(&state->file);
}

static es_code_t open_images(es_images_t *images, es_status_t *status) {
  ES_HDF5_QUIET;
  state_t *state = images->state;
  const es_dataset_info_t *info = images->info;
  const char *path = images->spec->path, *name = name_of(images->spec, images->split, ES_VARIABLE_IMAGES);
  state->file = state->images.id = state->images.type = -1;
  ES_TRY(open_file(path, &state->file, status));
  ES_TRY(open_variable(&state->images, path, name, state->file, status));
  es_dataset_info_t now = *info;
  if (inspect_images(&now, images->split, &state->images, &(es_status_t){0}) != ES_OK ||
      memcmp(&now, info, sizeof now) != 0)
    return es_images_changed(path, status);
  es_hdf5_enlarge_cache(&state->images.id, state->file, name, CACHE_MOST);
  return ES_OK;
}

static es_code_t read_images(es_images_t *images, int64_t first, int64_t count, uint8_t *out, es_status_t *status) {
  ES_HDF5_QUIET;
  const state_t *state = images->state;
  return read_part(&state->images, H5T_NATIVE_UINT8, first, count, out, status);
}

static bool found(const char *path) {
  ES_HDF5_QUIET;
  return H5Fis_hdf5(path) > 0;
}

const es_dataset_reader_t es_reader_hdf5 = {.hint = "the HDF5 file",
                                            .found = found,
                                            .keys = keys,
                                            .n_keys = sizeof keys / sizeof *keys,
                                            .streams = true,
                                            .inspect = inspect,
                                            .state_size = sizeof(state_t),
                                            .open = open_images,
                                            .read = read_images,
                                            .close = close_images};
