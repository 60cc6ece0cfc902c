/* The generator's images as an HDF5 file: what format hdf5 reads, and any other program, too. */
#define _GNU_SOURCE /* fallocate */
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include "fingerprint.h"
#include "h5.h"
#include "reader.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char STAGE[] = "data";

enum { OVERHEAD = 1 << 16 }; /* bytes that are neither pixels nor labels, at most */

typedef struct writer {
  const char *path;       /* borrowed */
  es_text_t part;         /* owned; written first, then renamed */
  es_dataset_spec_t spec; /* only what the generator reads */
  es_dataset_info_t info;
  uint16_t *labels[ES_SPLITS];    /* owned */
  uint8_t *chunk;                 /* owned; images that are being written */
  int64_t *wide;                  /* owned; labels that are being written */
  es_fingerprint_t fingerprint;   /* owned */
  hid_t file;                     /* owned; ≥ 0 when open */
  char reason[ES_H5_REASON_SIZE]; /* of what failed first */
} writer_t;

/* True if a call of HDF5 went well; else its reason is kept, before the calls that clean up replace it. */
static bool check(writer_t *w, bool good) {
  if (!good && w->reason[0] == '\0') es_h5_reason(w->reason);
  return good;
}

/* ---- variables ---- */

/* A variable whose values are all to be written: one block of the file, no time of creation (the same spec gives the
 * same bytes). Negative when that failed. */
static hid_t create_variable(writer_t *w, const char *name, hid_t type, int rank, const hsize_t *shape) {
  hid_t list = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(rank, shape, NULL), id = -1;
  if (check(w, list >= 0 && space >= 0 && H5Pset_obj_track_times(list, false) >= 0 &&
                   H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) >= 0)) {
    id = H5Dcreate2(w->file, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    check(w, id >= 0);
  }
  if (space >= 0) H5Sclose(space);
  if (list >= 0) H5Pclose(list);
  return id;
}

/* Values first … first+count−1 along the first axis, which have the type `type` in memory. */
static bool write_part(writer_t *w, hid_t variable, hid_t type, int rank, const hsize_t *shape, int64_t first,
                       int64_t count, const void *values) {
  hsize_t start[4] = {(hsize_t)first}, part[4];
  memcpy(part, shape, (size_t)rank * sizeof *shape);
  part[0] = (hsize_t)count;
  hid_t memory = H5Screate_simple(rank, part, NULL), space = H5Dget_space(variable);
  bool done =
      check(w, memory >= 0 && space >= 0 && H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, part, NULL) >= 0 &&
                   H5Dwrite(variable, type, memory, space, H5P_DEFAULT, values) >= 0);
  if (space >= 0) H5Sclose(space);
  if (memory >= 0) H5Sclose(memory);
  return done;
}

static bool write_images(writer_t *w, es_split_t split) {
  static const char *const names[ES_SPLITS] = {"train/images", "eval/images"};
  const es_dataset_info_t *info = &w->info;
  const hsize_t shape[4] = {(hsize_t)info->count[split], (hsize_t)info->height, (hsize_t)info->width,
                            (hsize_t)info->channels};
  int64_t n = info->count[split], chunk = es_info_chunk(info), size = es_info_image_size(info);
  hid_t variable = create_variable(w, names[split], H5T_STD_U8LE, 4, shape);
  bool good = variable >= 0;
  for (int64_t done = 0, count; good && done < n; done += count) {
    count = n - done < chunk ? n - done : chunk;
    for (int64_t i = 0; i < count; i++) {
      es_synthetic_image(&w->spec.synthetic, split, done + i, w->chunk + i * size);
    }
    es_fingerprint_pixels(&w->fingerprint, w->chunk, count * size);
    good = write_part(w, variable, H5T_NATIVE_UINT8, 4, shape, done, count, w->chunk);
  }
  return variable >= 0 && check(w, H5Dclose(variable) >= 0) && good;
}

static bool write_labels(writer_t *w, es_split_t split) {
  static const char *const names[ES_SPLITS] = {"train/labels", "eval/labels"};
  const hsize_t shape[1] = {(hsize_t)w->info.count[split]};
  int64_t n = w->info.count[split];
  hid_t variable = create_variable(w, names[split], H5T_STD_I64LE, 1, shape);
  if (variable < 0) return false;
  for (int64_t i = 0; i < n; i++) w->wide[i] = w->labels[split][i];
  es_fingerprint_labels(&w->fingerprint, w->labels[split], n);
  bool good = write_part(w, variable, H5T_NATIVE_INT64, 1, shape, 0, n, w->wide);
  return check(w, H5Dclose(variable) >= 0) && good;
}

/* ---- attributes ---- */

static bool write_attribute(writer_t *w, const char *name, hid_t type, hid_t memory_type, const void *value) {
  hid_t space = H5Screate(H5S_SCALAR);
  hid_t attribute = space >= 0 ? H5Acreate2(w->file, name, type, space, H5P_DEFAULT, H5P_DEFAULT) : -1;
  bool done = check(w, attribute >= 0 && H5Awrite(attribute, memory_type, value) >= 0);
  if (attribute >= 0) H5Aclose(attribute);
  if (space >= 0) H5Sclose(space);
  return done;
}

/* Variable-length UTF-8: netCDF's library stumbles over attributes of a fixed length. */
static bool write_text(writer_t *w, const char *name, const char *text) {
  hid_t type = H5Tcopy(H5T_C_S1);
  bool done = check(w, type >= 0 && H5Tset_size(type, H5T_VARIABLE) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0) &&
              write_attribute(w, name, type, type, &text);
  if (type >= 0) H5Tclose(type);
  return done;
}

static bool write_attributes(writer_t *w, const char *creator) {
  const es_synthetic_t *s = &w->spec.synthetic;
  const struct {
    const char *name;
    int64_t value;
  } numbers[] = {{"classes", s->classes},   {"complexity", s->complexity}, {"size", s->size},
                 {"channels", s->channels}, {"train", s->train},           {"eval", s->eval},
                 {"seed", s->seed}};
  char fingerprint[ES_ID_SIZE];
  es_fingerprint_finish(&w->fingerprint, fingerprint);
  bool good = write_text(w, "creator", creator) && write_text(w, "generator", "synthetic");
  for (size_t i = 0; good && i < sizeof numbers / sizeof *numbers; i++) {
    good = write_attribute(w, numbers[i].name, H5T_STD_I64LE, H5T_NATIVE_INT64, &numbers[i].value);
  }
  return good && write_text(w, "fingerprint", fingerprint);
}

/* ---- the file ---- */

/* Groups for the splits, in a file that holds no times: the same spec gives the same bytes. */
static bool create_groups(writer_t *w, const char *part, hid_t access) {
  static const char *const names[ES_SPLITS] = {"train", "eval"};
  hid_t file_list = H5Pcreate(H5P_FILE_CREATE), group_list = H5Pcreate(H5P_GROUP_CREATE);
  bool good = check(w, file_list >= 0 && group_list >= 0 && H5Pset_obj_track_times(file_list, false) >= 0 &&
                           H5Pset_obj_track_times(group_list, false) >= 0);
  if (good) w->file = H5Fcreate(part, H5F_ACC_TRUNC, file_list, access);
  good = good && check(w, w->file >= 0);
  for (int split = 0; good && split < ES_SPLITS; split++) {
    hid_t group = H5Gcreate2(w->file, names[split], H5P_DEFAULT, group_list, H5P_DEFAULT);
    good = check(w, group >= 0);
    if (group >= 0) H5Gclose(group);
  }
  if (group_list >= 0) H5Pclose(group_list);
  if (file_list >= 0) H5Pclose(file_list);
  return good;
}

/* Makes the part, and room for all of it for a moment: what the system refuses is known before the images are made, in
 * its own words, and HDF5 is spared the failure, after which it may not be able to close its files. */
static bool reserve(writer_t *w) {
  const int64_t images = w->info.count[ES_TRAIN] + w->info.count[ES_EVAL];
  const int64_t size = images * (es_info_image_size(&w->info) + (int64_t)sizeof *w->wide) + OVERHEAD;
  int descriptor = open(es_text_get(&w->part), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  bool refused = descriptor < 0;
  if (!refused) refused = fallocate(descriptor, 0, 0, size) != 0 && errno != EOPNOTSUPP && errno != ENOSYS;
  if (refused) snprintf(w->reason, sizeof w->reason, "%s", strerror(errno));
  if (descriptor >= 0) close(descriptor);
  return !refused;
}

static bool create_file(writer_t *w) {
  const char *part = es_text_get(&w->part);
  if (!reserve(w)) return false;
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  if (!check(w, access >= 0)) return false;
  H5Pset_file_locking(access, false, true); /* some file systems refuse locks; nobody else knows this name */
  H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18); /* the first with checksums */
  bool good = create_groups(w, part, access);
  H5Pclose(access);
  return good;
}

static bool close_file(writer_t *w) {
  bool good = w->file < 0 || check(w, H5Fclose(w->file) >= 0);
  w->file = -1;
  return good;
}

/* Waits until a file or folder is on the disk; 0 or the reason. */
static int sync_path(const char *path, int flags) {
  int descriptor = open(path, flags | O_CLOEXEC);
  if (descriptor < 0) return errno;
  int reason = fsync(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  return reason;
}

static bool publish(writer_t *w) {
  const char *part = es_text_get(&w->part), *slash = strrchr(w->path, '/');
  int reason = sync_path(part, O_RDWR);
  if (reason == 0 && rename(part, w->path) != 0) reason = errno;
  if (reason != 0) {
    snprintf(w->reason, sizeof w->reason, "%s", strerror(reason));
    return false;
  }
  es_text_t folder = {0};
  es_text_append(&folder, "%.*s", slash == NULL ? 1 : (int)(slash - w->path) + 1, slash == NULL ? "." : w->path);
  (void)sync_path(es_text_get(&folder), O_RDONLY | O_DIRECTORY); /* not every file system can; the file is there */
  es_text_destroy(&folder);
  return true;
}

static es_code_t prepare(writer_t *w, es_status_t *status) {
  ES_TRY(es_reader_synthetic.inspect(&w->info, w->labels, &w->spec, status));
  int64_t most = w->info.count[ES_TRAIN] > w->info.count[ES_EVAL] ? w->info.count[ES_TRAIN] : w->info.count[ES_EVAL];
  ES_TRY(es_fingerprint_create(&w->fingerprint, w->path, status));
  w->chunk = es_allocate((size_t)es_info_chunk(&w->info), (size_t)es_info_image_size(&w->info));
  w->wide = es_allocate((size_t)most, sizeof *w->wide);
  es_text_append(&w->part, "%s.%ld.part", w->path, (long)getpid());
  if (w->chunk == NULL || w->wide == NULL || w->part.failed) {
    return es_fail(status, ES_SYSTEM, STAGE, "%s: not enough memory to write it", w->path);
  }
  es_fingerprint_shape(&w->fingerprint, &w->info);
  return ES_OK;
}

static es_code_t write_file(writer_t *w, const char *creator, es_status_t *status) {
  es_file_remove_parts(w->path);
  bool good = create_file(w);
  for (es_split_t split = ES_TRAIN; good && split < ES_SPLITS; split++) {
    good = write_images(w, split) && write_labels(w, split);
  }
  good = good && write_attributes(w, creator);
  good = close_file(w) && good;
  if (good && publish(w)) return ES_OK;
  unlink(es_text_get(&w->part));
  return es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be written: %s", w->path, w->reason);
}

es_code_t es_synthetic_write(const char *path, const es_synthetic_t *spec, const char *creator, es_status_t *status) {
  writer_t w = {.path = path, .spec = {.name = "synthetic images", .format = ES_FORMAT_SYNTHETIC, .synthetic = *spec}};
  es_h5_quiet_t quiet;
  w.file = -1;
  es_h5_quiet_begin(&quiet);
  es_code_t code = prepare(&w, status);
  if (code == ES_OK) code = write_file(&w, creator, status);
  es_h5_quiet_end(&quiet);
  for (int split = 0; split < ES_SPLITS; split++) es_free(w.labels[split]);
  es_free(w.chunk);
  es_free(w.wide);
  es_fingerprint_destroy(&w.fingerprint);
  es_text_destroy(&w.part);
  return code;
}
