/* Reads the ids of the points of a merged file. */
#include "eigenscope/memory.h"
#include "eigenscope/merge.h"
#include "reader.h"
#include <stdio.h>
#include <string.h>

static const char IDS[] = "point_id";

static es_code_t refuse(const char *path, es_status_t *status) {
  return es_fail(status, ES_INPUT, STORE_STAGE, "%s: is not a merged file of eigenscope, or is damaged", path);
}

/* Adds texts, which must be ids: they become names of files. */
static es_code_t add(const char *path, char *const *texts, int64_t n, es_names_t *ids, es_status_t *status) {
  for (int64_t i = 0; i < n; i++) {
    const char *id = texts[i] != NULL ? texts[i] : "";
    if (strlen(id) != ES_ID_SIZE - 1 || strspn(id, "0123456789abcdef") != ES_ID_SIZE - 1) return refuse(path, status);
    if (!es_names_add(ids, id)) return es_out_of_memory(status, STORE_STAGE, "%lld ids", (long long)n);
  }
  return ES_OK;
}

static es_code_t read_ids(const char *path, hid_t file, es_names_t *ids, es_status_t *status) {
  char one[ES_ID_SIZE + 1], *text = one;
  int64_t shape[H5S_MAX_RANK];
  if (H5Lexists(file, IDS, H5P_DEFAULT) <= 0) { /* a single point has an attribute */
    if (!es_hdf5_text(file, IDS, one, sizeof one)) return refuse(path, status);
    return add(path, &text, 1, ids, status);
  }
  ES_HDF5_ID object = H5Dopen2(file, IDS, H5P_DEFAULT), type = es_hdf5_string_type();
  ES_HDF5_ID stored = object >= 0 ? H5Dget_type(object) : -1, space = object >= 0 ? H5Dget_space(object) : -1;
  if (type < 0 || stored < 0 || space < 0 || H5Tis_variable_str(stored) <= 0 || es_hdf5_shape(object, shape) != 1 ||
      es_hdf5_check_size(object, (size_t)shape[0], sizeof(char *)) != NULL)
    return refuse(path, status);
  char **texts = es_allocate_zero((size_t)shape[0], sizeof *texts);
  if (texts == NULL) return es_out_of_memory(status, STORE_STAGE, "%lld ids", (long long)shape[0]);
  if (H5Dread(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts) < 0)
    refuse(path, status);
  else
    add(path, texts, shape[0], ids, status);
  H5Dvlen_reclaim(type, space, H5P_DEFAULT, texts);
  es_free(texts);
  return status->code;
}

es_code_t es_merged_ids(const char *path, es_names_t *ids, char *job_name, size_t size, es_status_t *status) {
  ES_HDF5_QUIET;
  ES_HDF5_ID file = -1;
  ES_TRY(es_reader_open_file(&file, path, status));
  if (H5Aexists(file, STORE_MERGED) <= 0 || !es_hdf5_text(file, "job_name", job_name, size))
    return refuse(path, status);
  return read_ids(path, file, ids, status);
}
