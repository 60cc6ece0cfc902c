#define _GNU_SOURCE /* fallocate */
#include "eigenscope/hdf5_writer.h"
#include "eigenscope/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char STAGE[] = "data";

enum {
  LABELS_AT_ONCE = 1 << 16,
  LEVEL = 1 /* stored in the file; callers that compress chunks themselves may use another level */
};

/* Returns `good`. On failure stores HDF5's reason at once, because clean-up calls would overwrite it. */
static bool check(es_hdf5_writer_t *w, bool good) {
  if (!good && w->reason[0] == '\0') es_hdf5_reason(w->reason);
  return good;
}

/* Stores the reason (errno) of a failed system call. Returns false. */
static bool refuse(es_hdf5_writer_t *w, int reason) {
  const char *words = reason == ENOMEM ? "not enough memory" : strerror(reason);
  if (w->reason[0] == '\0') snprintf(w->reason, sizeof w->reason, "%s", words);
  return false;
}

/* ---- variables ---- */

static bool set_layout(const es_hdf5_variable_t *v, hid_t list) {
  hsize_t chunk[ES_HDF5_RANK_MAX];
  if (v->chunk == 0) return true;
  memcpy(chunk, v->shape, sizeof chunk);
  chunk[0] = v->chunk;
  return H5Pset_chunk(list, v->rank, chunk) >= 0 && H5Pset_deflate(list, LEVEL) >= 0;
}

hid_t es_hdf5_writer_variable(es_hdf5_writer_t *w, const es_hdf5_variable_t *v) {
  ES_HDF5_ID list = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(v->rank, v->shape, NULL);
  /* Variable-length strings need a fill value. */
  const H5D_fill_time_t fill = H5Tis_variable_str(v->type) > 0 ? H5D_FILL_TIME_ALLOC : H5D_FILL_TIME_NEVER;
  if (!check(w, list >= 0 && space >= 0 && H5Pset_obj_track_times(list, false) >= 0 &&
                    H5Pset_fill_time(list, fill) >= 0 && set_layout(v, list)))
    return -1;
  const hid_t id = H5Dcreate2(w->file, v->name, v->type, space, H5P_DEFAULT, list, H5P_DEFAULT);
  check(w, id >= 0);
  return id;
}

bool es_hdf5_writer_close(es_hdf5_writer_t *w, hid_t variable) {
  return check(w, H5Dclose(variable) >= 0);
}

bool es_hdf5_writer_put(es_hdf5_writer_t *w, hid_t id, const es_hdf5_variable_t *v, hid_t type, int64_t first,
                        int64_t count, const void *values) {
  char reason[ES_HDF5_REASON_SIZE];
  es_hdf5_block_t block = {.rank = v->rank, .start = {(hsize_t)first}};
  memcpy(block.count, v->shape, sizeof v->shape);
  block.count[0] = (hsize_t)count;
  if (es_hdf5_write(id, type, &block, values, reason) == ES_OK) return true;
  if (w->reason[0] == '\0') memcpy(w->reason, reason, sizeof reason);
  return false;
}

bool es_hdf5_writer_put_chunk(es_hdf5_writer_t *w, hid_t id, int64_t first, const void *bytes, int64_t size,
                              bool plain) {
  const hsize_t start[ES_HDF5_RANK_MAX] = {(hsize_t)first};
  return check(w, H5Dwrite_chunk(id, H5P_DEFAULT, plain ? 1 : 0, start, (size_t)size, bytes) >= 0);
}

bool es_hdf5_writer_labels(es_hdf5_writer_t *w, const char *name, const uint16_t *labels, int64_t count) {
  const es_hdf5_variable_t v = {.name = name, .type = H5T_STD_I64LE, .rank = 1, .shape = {(hsize_t)count}};
  const hid_t id = es_hdf5_writer_variable(w, &v);
  if (id < 0) return false;
  int64_t *wide = es_allocate(LABELS_AT_ONCE, sizeof *wide);
  bool good = wide != NULL || refuse(w, ENOMEM);
  for (int64_t done = 0, n; good && done < count; done += n) {
    n = count - done < LABELS_AT_ONCE ? count - done : LABELS_AT_ONCE;
    for (int64_t i = 0; i < n; i++) wide[i] = labels[done + i];
    good = es_hdf5_writer_put(w, id, &v, H5T_NATIVE_INT64, done, n, wide);
  }
  es_free(wide);
  return es_hdf5_writer_close(w, id) && good;
}

/* ---- texts and attributes ---- */

bool es_hdf5_writer_texts(es_hdf5_writer_t *w, const char *name, const char *const *texts, int64_t count) {
  ES_HDF5_ID type = es_hdf5_string_type();
  const es_hdf5_variable_t v = {.name = name, .type = type, .rank = 1, .shape = {(hsize_t)count}};
  const hid_t id = check(w, type >= 0) ? es_hdf5_writer_variable(w, &v) : -1;
  const bool good = id >= 0 && es_hdf5_writer_put(w, id, &v, type, 0, count, texts);
  return id >= 0 && es_hdf5_writer_close(w, id) && good;
}

static bool put_attribute(es_hdf5_writer_t *w, const char *name, hid_t type, hid_t memory_type, const void *value) {
  ES_HDF5_ID space = H5Screate(H5S_SCALAR);
  ES_HDF5_ID attribute = space >= 0 ? H5Acreate2(w->file, name, type, space, H5P_DEFAULT, H5P_DEFAULT) : -1;
  return check(w, attribute >= 0 && H5Awrite(attribute, memory_type, value) >= 0);
}

bool es_hdf5_writer_number(es_hdf5_writer_t *w, const char *name, int64_t value) {
  return put_attribute(w, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

bool es_hdf5_writer_text(es_hdf5_writer_t *w, const char *name, const char *text) {
  ES_HDF5_ID type = es_hdf5_string_type();
  return check(w, type >= 0) && put_attribute(w, name, type, type, &text);
}

/* ---- the file ---- */

/* Creates the file with a group for each split; timestamps are not stored. */
static bool create_groups(es_hdf5_writer_t *w, hid_t access) {
  static const char *const names[] = {"train", "eval"};
  ES_HDF5_ID file_list = H5Pcreate(H5P_FILE_CREATE), group_list = H5Pcreate(H5P_GROUP_CREATE);
  if (!check(w, file_list >= 0 && group_list >= 0 && H5Pset_obj_track_times(file_list, false) >= 0 &&
                    H5Pset_obj_track_times(group_list, false) >= 0))
    return false;
  w->file = H5Fcreate(w->part.name, H5F_ACC_TRUNC, file_list, access);
  bool good = check(w, w->file >= 0);
  for (int split = 0; good && split < 2; split++) {
    ES_HDF5_ID group = H5Gcreate2(w->file, names[split], H5P_DEFAULT, group_list, H5P_DEFAULT);
    good = check(w, group >= 0);
  }
  return good;
}

/* Reserves disk space. On a file system without reservations, writing shows if the space suffices. */
static bool reserve(es_hdf5_writer_t *w, int64_t size) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && (rlim_t)size > limit.rlim_cur)
    return refuse(w, EFBIG);
  if (fallocate(w->part.descriptor, FALLOC_FL_KEEP_SIZE, 0, size) == 0 || errno == EOPNOTSUPP || errno == ENOSYS)
    return true;
  return refuse(w, errno);
}

bool es_hdf5_writer_ensure(es_hdf5_writer_t *w, int64_t more) {
  hsize_t size;
  return check(w, H5Fget_filesize(w->file, &size) >= 0) && reserve(w, (int64_t)size + more + w->margin);
}

bool es_hdf5_writer_create(es_hdf5_writer_t *out, const char *path, int64_t size) {
  *out = (es_hdf5_writer_t){.path = path, .file = -1, .margin = size};
  es_file_remove_parts(path);
  if (es_file_part_open(&out->part, path, &(es_status_t){0}) != ES_OK) return refuse(out, errno);
  if (!reserve(out, size)) return false;
  ES_HDF5_ID access = H5Pcreate(H5P_FILE_ACCESS);
  if (!check(out, access >= 0)) return false;
  H5Pset_file_locking(access, false, true); /* some file systems refuse locks; no other process knows this name */
  /* The earliest format with checksums. */
  return check(out, H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0) && create_groups(out, access) &&
         es_hdf5_writer_ensure(out, 0); /* again, because creating the file released the reserved space */
}

/* Releases reserved space that was not needed. */
static bool cut_room(es_hdf5_writer_t *w) {
  struct stat facts;
  if (fstat(w->part.descriptor, &facts) == 0 && ftruncate(w->part.descriptor, facts.st_size) == 0) return true;
  return refuse(w, errno);
}

es_code_t es_hdf5_writer_finish(es_hdf5_writer_t *w, bool good, es_status_t *status) {
  if (w->file >= 0) good = check(w, H5Fclose(w->file) >= 0) && good;
  w->file = -1;
  good = good && cut_room(w);
  if (good && es_file_part_commit(&w->part, &(es_status_t){0}) != ES_OK) good = refuse(w, errno);
  es_file_part_discard(&w->part);
  return good ? ES_OK : es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be written: %s", w->path, w->reason);
}
