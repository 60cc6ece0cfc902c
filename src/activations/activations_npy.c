/* Reads activations from a folder of .npy files. */
#include "activations_internal.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include "npy.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char STAGE[] = "data", ENDING[] = ".npy";

enum { ENDING_LENGTH = sizeof ENDING - 1 };

static es_code_t fail_system(const char *where, int reason, es_status_t *status) {
  return es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be read: %s", where, strerror(reason));
}

/* ---- one file ---- */

static es_code_t size_of(const es_array_t *array, int64_t *out, es_status_t *status) {
  struct stat facts;
  if (fstat((int)array->handle, &facts) != 0) return fail_system(array->where, errno, status);
  if (!S_ISREG(facts.st_mode)) return es_fail(status, ES_INPUT, STAGE, "%s: is not a file", array->where);
  *out = (int64_t)facts.st_size;
  return ES_OK;
}

static es_code_t open_array(es_array_t *array, es_status_t *status) {
  es_npy_t header;
  int64_t size = 0;
  array->handle = open(array->where, O_RDONLY | O_CLOEXEC);
  if (array->handle < 0) return fail_system(array->where, errno, status);
  ES_TRY(size_of(array, &size, status));
  ES_TRY(es_npy_read_header(&header, (int)array->handle, array->where, size, status));
  if (header.fortran && header.rank > 1)
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: is stored by columns (fortran_order), but must be stored by rows; save "
                   "numpy.ascontiguousarray(array) instead",
                   array->where);
  array->number = header.number;
  array->rank = header.rank;
  array->offset = header.offset;
  memcpy(array->shape, header.shape, sizeof array->shape);
  return ES_OK;
}

/* Checks the length of the file against its header. */
static es_code_t check_array(ES_UNUSED const es_activations_t *file, es_array_t *array, es_status_t *status) {
  int64_t size = 0, due = array->number.size;
  bool overflow = false;
  ES_TRY(size_of(array, &size, status));
  for (int d = 0; d < array->rank && !overflow; d++) overflow = __builtin_mul_overflow(due, array->shape[d], &due);
  const int64_t there = size - array->offset;
  if (overflow || there < due)
    return es_fail(status, ES_INPUT, STAGE, "%s: is too short: it has %lld byte%s of values, but its header says %lld",
                   array->where, (long long)there, es_plural(there), (long long)due);
  if (there > due)
    return es_fail(status, ES_INPUT, STAGE, "%s: is too long: it has %lld byte%s of values, but its header says %lld",
                   array->where, (long long)there, es_plural(there), (long long)due);
  return ES_OK;
}

static es_code_t read_array(ES_UNUSED const es_activations_t *file, const es_array_t *array, int64_t first,
                            int64_t count, void *out, es_status_t *status) {
  int64_t row = array->number.size;
  for (int d = 1; d < array->rank; d++) row *= array->shape[d];
  int reason = es_npy_pread((int)array->handle, out, (size_t)(count * row), array->offset + first * row);
  if (reason == 0) return ES_OK;
  return es_fail(status, ES_SYSTEM, STAGE, "%s: samples %lld to %lld cannot be read: %s", array->where,
                 (long long)first, (long long)(first + count - 1),
                 reason < 0 ? "the file became shorter while it was read" : strerror(reason));
}

/* ---- the folder ---- */

static bool is_ending(const char *name) {
  const size_t length = strlen(name);
  return length > ENDING_LENGTH && strcmp(name + length - ENDING_LENGTH, ENDING) == 0;
}

static es_code_t add_file(es_activations_t *file, const char *name, es_status_t *status) {
  es_text_t where = {0}, layer = {0};
  es_text_append(&where, "%s%s%s", file->path, file->path[strlen(file->path) - 1] == '/' ? "" : "/", name);
  es_text_append(&layer, "%.*s", (int)(strlen(name) - ENDING_LENGTH), name);
  es_array_t *array = NULL;
  if (where.failed || layer.failed)
    es_out_of_memory(status, STAGE, "reading %s", file->path);
  else
    array = es_array_add(file, es_text_get(&layer), es_text_get(&where), status);
  es_text_destroy(&where);
  es_text_destroy(&layer);
  return array != NULL ? ES_OK : ES_SYSTEM;
}

static int compare_arrays(const void *a, const void *b) {
  return es_name_compare(((const es_array_t *)a)->name, ((const es_array_t *)b)->name);
}

static bool found(const char *path) {
  return es_directory_exists(path) || is_ending(path);
}

static es_code_t open_folder(es_activations_t *file, es_status_t *status) {
  if (!es_directory_exists(file->path))
    return es_fail(status, ES_INPUT, STAGE, "%s: is a single .npy file; give the folder that holds it", file->path);
  DIR *folder = opendir(file->path);
  if (folder == NULL) return fail_system(file->path, errno, status);
  es_code_t code = ES_OK;
  errno = 0;
  for (struct dirent *entry = readdir(folder); code == ES_OK && entry != NULL; entry = readdir(folder)) {
    if (entry->d_name[0] != '.' && is_ending(entry->d_name)) code = add_file(file, entry->d_name, status);
    errno = 0;
  }
  if (code == ES_OK && errno != 0) code = fail_system(file->path, errno, status);
  closedir(folder);
  if (code == ES_OK && file->n_arrays == 0)
    code = es_fail(status, ES_INPUT, STAGE,
                   "%s: is a folder without .npy files; it must hold one .npy file for each layer", file->path);
  if (code != ES_OK) return code;
  qsort(file->arrays, (size_t)file->n_arrays, sizeof *file->arrays, compare_arrays);
  for (int i = 0; code == ES_OK && i < file->n_arrays; i++) code = open_array(file->arrays + i, status);
  return code;
}

static void close_folder(es_activations_t *file) {
  for (int i = 0; i < file->n_arrays; i++) {
    if (file->arrays[i].handle >= 0) close((int)file->arrays[i].handle);
    file->arrays[i].handle = -1;
  }
}

const es_activations_reader_t es_activations_npy = {.found = found,
                                                    .open = open_folder,
                                                    .check = check_array,
                                                    .read = read_array,
                                                    .close = close_folder,
                                                    .otherwise =
                                                        "if this array is not a layer, move it out of the folder"};
