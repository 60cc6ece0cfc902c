/* Input: a result file or a merged file, for status, show and merge. */
#include "eigenscope/file.h"
#include "eigenscope/merge.h"
#include "eigenscope/store.h"
#include "fuzz.h"
#include <hdf5.h>

static const char ID[] = "0123456789abcdef";

static void show(const char *path) {
  for (int format = ES_SHOW_TABLE; format <= ES_SHOW_JSON; format++) {
    es_status_t status = {0};
    es_text_t text = {0};
    fuzz_expect(es_result_show(&text, path, (es_show_format_t)format, ES_DELTA_ANY, NULL, &status), &status, path);
    es_text_destroy(&text);
  }
}

static void visit(void *context, const es_merged_info_t *info, const es_merged_point_t *point) {
  size_t *sum = context;
  for (int i = 0; point != NULL && i < info->n_names; i++) *sum += strlen(info->names[i]) + strlen(point->cells[i]);
}

static void merge(const char *folder) {
  static const char *const ids[] = {ID};
  static const es_merge_header_t header = {.job_name = "t", .job = "t", .missing = ""};
  char to[400];
  es_merge_t *merge;
  es_status_t status = {0};
  size_t sum = 0;
  snprintf(to, sizeof to, "%s/merged.h5", folder);
  fuzz_expect(es_merge_create(&merge, folder, ids, 1, ES_MERGE_SPECTRA | ES_MERGE_CAREFUL, NULL, NULL, &status),
              &status, "out of memory");
  if (merge != NULL && es_merge_outcome(merge, 0) != ES_OUTCOME_DAMAGED) {
    fuzz_require(es_merge_write(merge, to, &header, &status) == ES_OK, status.message);
    fuzz_require(es_merged_read(to, ES_DELTA_ANY, NULL, visit, &sum, &status) == ES_OK, status.message);
  }
  es_merge_destroy(merge);
}

static void fuzz_one(const uint8_t *data, size_t size) {
  static bool made;
  char folder[300];
  es_status_t status = {0};
  es_result_summary_t summary;
  size_t sum = 0;
  snprintf(folder, sizeof folder, "%s/points", fuzz_folder());
  if (!made) fuzz_require(es_directory_create(folder, &status) == ES_OK, folder);
  made = true;
  const char *path = fuzz_file("points/0123456789abcdef.h5", data, size);
  es_result_summarize(&summary, path);
  if (es_merged_check(path)) {
    fuzz_expect(es_merged_read(path, ES_DELTA_ANY, "*", visit, &sum, &status), &status, path);
  } else {
    show(path);
    merge(fuzz_folder());
  }
  fuzz_require(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL) == 0, "something of HDF5 is left open");
}
