/* One part of a moments file: opens and checks it, and reads its records. */
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include "moments_internal.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char FORMAT[] = ES_HDF5_MOMENTS;

enum {
  VERSION = 1,
  LAYERS_MOST = 1 << 20,
  RECORDS_MOST = 1 << 24,
  WIDTH_MOST = 1 << 20,
  SAMPLES_MOST = 1 << 24,
  CLASSES_MOST = 1 << 16,
  LANES_MOST = 1024
};

static es_code_t fail_damaged(const es_moments_part_t *p, const char *what, es_status_t *status) {
  char reason[ES_HDF5_REASON_SIZE];
  const es_code_t code = es_hdf5_reason(reason);
  return es_fail(status, code, ES_MOMENTS_STAGE, "%s: %s cannot be read: %s", p->path, what, reason);
}

/* ---- attributes ---- */

static bool read_integer(hid_t object, const char *name, int64_t *out) {
  ES_HDF5_ID attribute = H5Aexists(object, name) > 0 ? H5Aopen(object, name, H5P_DEFAULT) : -1;
  ES_HDF5_ID space = attribute >= 0 ? H5Aget_space(attribute) : -1;
  ES_HDF5_ID type = attribute >= 0 ? H5Aget_type(attribute) : -1;
  return type >= 0 && space >= 0 && H5Tget_class(type) == H5T_INTEGER && H5Sget_simple_extent_npoints(space) == 1 &&
         H5Aread(attribute, H5T_NATIVE_INT64, out) >= 0;
}

/* ---- one part ---- */

/* Opens a file, also one whose writer was killed or still writes (HDF5's SWMR). */
static es_code_t open_file(es_moments_part_t *p, es_status_t *status) {
  char reason[ES_HDF5_REASON_SIZE];
  es_status_t own = {0};
  if (es_hdf5_open_input(&p->file, p->path, ES_MOMENTS_STAGE, &own) == ES_OK) return ES_OK;
  if (es_file_exists(p->path) && H5Fis_hdf5(p->path) > 0) {
    p->file = H5Fopen(p->path, H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, H5P_DEFAULT);
    if (p->file >= 0) return ES_OK;
    es_hdf5_reason(reason);
  }
  return es_fail(status, own.code, ES_MOMENTS_STAGE, "%s", own.message);
}

static es_code_t read_head(es_moments_part_t *p, es_status_t *status) {
  char format[64] = "";
  int64_t version = 0, part = -1, parts = -1;
  if (!es_hdf5_text(p->file, "format", format, sizeof format) || strcmp(format, FORMAT) != 0)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE,
                   "%s: is no file of moments: its root attribute `format` must be \"%s\" (analysis/README.md)",
                   p->path, FORMAT);
  if (!read_integer(p->file, "format_version", &version) || version < 1)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE,
                   "%s: the root attribute `format_version` must be a positive integer", p->path);
  if (version > VERSION)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE,
                   "%s: has version %lld of the format, but this program reads versions up to %d; use a newer program",
                   p->path, (long long)version, VERSION);
  if (!read_integer(p->file, "part", &part) || !read_integer(p->file, "parts", &parts) || parts < 1 ||
      parts > ES_MOMENTS_PARTS_MAX || part < 0 || part >= parts)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE,
                   "%s: the root attributes `part` and `parts` must be integers, 0 <= part < parts <= %d", p->path,
                   ES_MOMENTS_PARTS_MAX);
  if (!es_hdf5_text(p->file, "run", p->run, sizeof p->run))
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE,
                   "%s: the root attribute `run` must be a text of at most %zu bytes, the same in all parts", p->path,
                   sizeof p->run - 1);
  p->part = (int32_t)part;
  p->parts = (int32_t)parts;
  return ES_OK;
}

/* Opens dataset `name` of `group` and checks its shape: (at least `rows`, then `columns` unless it is 0). */
static hid_t open_records(const es_moments_part_t *p, hid_t group, const char *where, const char *name, int64_t rows,
                          int64_t columns, es_status_t *status) {
  int64_t shape[H5S_MAX_RANK];
  const hid_t set = H5Lexists(group, name, H5P_DEFAULT) > 0 ? H5Dopen2(group, name, H5P_DEFAULT) : -1;
  ES_HDF5_ID type = set >= 0 ? H5Dget_type(set) : -1;
  const H5T_class_t class = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
  if (set >= 0 && es_hdf5_shape(set, shape) == (columns > 0 ? 2 : 1) && shape[0] >= rows &&
      (columns == 0 || shape[1] == columns) && (class == H5T_INTEGER || class == H5T_FLOAT))
    return set;
  char second[32] = "";
  if (columns > 0) snprintf(second, sizeof second, ", %lld", (long long)columns);
  es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: %s%s must be a dataset of numbers with shape (%lld records%s)",
          p->path, where, name, (long long)rows, second);
  es_hdf5_close(&set);
  return -1;
}

/* Reads record `record` of a dataset, or all `count` records of a vector from 0. */
es_code_t es_moments_vector(const es_moments_part_t *p, const char *name, hid_t type, int64_t count, void *out,
                            es_status_t *status) {
  char reason[ES_HDF5_REASON_SIZE];
  ES_HDF5_ID set = open_records(p, p->file, "", name, count, 0, status);
  if (set < 0) return status->code;
  if (count > 0 && es_hdf5_read_rows(set, type, 0, count, out, reason) != ES_OK)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: %s cannot be read: %s", p->path, name, reason);
  return ES_OK;
}

/* Reads which records are complete. The last of several records of one epoch and split counts. */
static es_code_t read_rows(es_moments_part_t *p, es_status_t *status) {
  static const char *const names[] = {"complete", "epoch", "split", "loss", "accuracy"};
  int64_t n = INT64_MAX;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) { /* a killed writer leaves some of them longer */
    int64_t shape[H5S_MAX_RANK];
    ES_HDF5_ID set = open_records(p, p->file, "", names[i], 0, 0, status);
    if (set < 0) return status->code;
    es_hdf5_shape(set, shape);
    if (shape[0] < n) n = shape[0];
  }
  if (n > RECORDS_MOST)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: has %lld records, more than %d", p->path, (long long)n,
                   RECORDS_MOST);
  es_owned_t owned = {0};
  int8_t *complete = es_owned_allocate_zero(&owned, (size_t)n + 1, 1);
  int32_t *epoch = es_owned_allocate_zero(&owned, (size_t)n + 1, sizeof *epoch);
  int32_t *split = es_owned_allocate_zero(&owned, (size_t)n + 1, sizeof *split);
  p->rows = es_allocate_zero((size_t)n + 1, sizeof *p->rows);
  es_code_t code = ES_OK;
  if (owned.failed || p->rows == NULL) code = es_out_of_memory(status, ES_MOMENTS_STAGE, "%lld records", (long long)n);
  if (code == ES_OK) code = es_moments_vector(p, "complete", H5T_NATIVE_INT8, n, complete, status);
  if (code == ES_OK) code = es_moments_vector(p, "epoch", H5T_NATIVE_INT32, n, epoch, status);
  if (code == ES_OK) code = es_moments_vector(p, "split", H5T_NATIVE_INT32, n, split, status);
  for (int64_t i = 0; code == ES_OK && i < n; i++) {
    p->rows[i] = (es_moments_row_t){epoch[i], ES_SPLITS};
    if (complete[i] != 1) continue;
    if (epoch[i] < 0 || split[i] < 0 || split[i] >= ES_SPLITS)
      code = es_fail(status, ES_INPUT, ES_MOMENTS_STAGE,
                     "%s: record %lld has epoch %d and split %d; epochs must not be negative, and split is 0 for train "
                     "or 1 for eval",
                     p->path, (long long)i, epoch[i], split[i]);
    else
      p->rows[i].split = (uint8_t)split[i];
  }
  p->n_rows = n;
  es_owned_free(&owned);
  return code;
}

static es_code_t open_groups(es_moments_part_t *p, es_status_t *status) {
  H5G_info_t facts;
  ES_HDF5_ID layers = H5Lexists(p->file, "layers", H5P_DEFAULT) > 0 ? H5Gopen2(p->file, "layers", H5P_DEFAULT) : -1;
  if (layers < 0 || H5Gget_info(layers, &facts) < 0 || facts.nlinks < 1 || facts.nlinks > LAYERS_MOST)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: must have a group `layers` with one group for each layer",
                   p->path);
  p->groups = es_allocate((size_t)facts.nlinks, sizeof *p->groups);
  if (p->groups == NULL)
    return es_out_of_memory(status, ES_MOMENTS_STAGE, "%llu layers", (unsigned long long)facts.nlinks);
  for (; p->n_layers < (int32_t)facts.nlinks; p->n_layers++) {
    char name[16];
    snprintf(name, sizeof name, "%04d", p->n_layers);
    p->groups[p->n_layers] = H5Lexists(layers, name, H5P_DEFAULT) > 0 ? H5Gopen2(layers, name, H5P_DEFAULT) : -1;
    if (p->groups[p->n_layers] < 0)
      return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE,
                     "%s: has no group layers/%s; layers must be numbered from 0000", p->path, name);
  }
  return ES_OK;
}

es_code_t es_moments_open_part(es_moments_part_t **out, const char *path, es_status_t *status) {
  ES_HDF5_QUIET;
  *out = NULL;
  es_moments_part_t *p = es_allocate_zero(1, sizeof *p);
  if (p == NULL) return es_out_of_memory(status, ES_MOMENTS_STAGE, "%s", path);
  p->file = -1;
  if (snprintf(p->path, sizeof p->path, "%s", path) >= (int)sizeof p->path)
    es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: the path is longer than %d bytes", path, ES_PATH_MAX - 1);
  if (status->code == ES_OK && open_file(p, status) == ES_OK && read_head(p, status) == ES_OK &&
      open_groups(p, status) == ES_OK)
    read_rows(p, status);
  if (status->code == ES_OK)
    *out = p;
  else
    es_moments_close(p);
  return status->code;
}

void es_moments_close(es_moments_part_t *p) {
  if (p == NULL) return;
  ES_HDF5_QUIET;
  for (int i = 0; i < p->n_layers; i++) es_hdf5_close(&p->groups[i]);
  if (p->file >= 0) H5Fclose(p->file);
  es_free(p->groups);
  es_free(p->rows);
  es_free(p);
}

int64_t es_moments_find_row(const es_moments_part_t *p, es_split_t split, int32_t epoch) {
  int64_t i = p->n_rows - 1;
  while (i >= 0 && (p->rows[i].split != split || p->rows[i].epoch != epoch)) i--;
  return i;
}

es_code_t es_moments_check(const es_moments_part_t *p, int layer, int32_t width, es_status_t *status) {
  char where[32];
  snprintf(where, sizeof where, "layers/%04d/", layer);
  ES_UNUSED ES_HDF5_ID set =
      open_records(p, p->groups[layer], where, "moment", p->n_rows, (int64_t)width * (width + 1) / 2, status);
  return status->code;
}

/* Opens dataset `name` of a layer and checks its shape: (at least as many as there are records, *groups unless it is 0,
 * then `columns` unless it is 0). Sets *groups. */
static hid_t open_groups_of(const es_moments_part_t *p, int layer, const char *name, int32_t most, int64_t columns,
                            int32_t *groups, es_status_t *status) {
  int64_t shape[H5S_MAX_RANK] = {0};
  const hid_t set =
      H5Lexists(p->groups[layer], name, H5P_DEFAULT) > 0 ? H5Dopen2(p->groups[layer], name, H5P_DEFAULT) : -1;
  const int rank = set >= 0 ? es_hdf5_shape(set, shape) : -1;
  if (rank == (columns > 0 ? 3 : 2) && shape[0] >= p->n_rows && shape[1] >= 1 && shape[1] <= most &&
      (*groups == 0 || shape[1] == *groups) && (columns == 0 || shape[2] == columns)) {
    *groups = (int32_t)shape[1];
    return set;
  }
  es_hdf5_close(&set);
  es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: layers/%04d/%s must be a dataset with shape (records, %s%s)",
          p->path, layer, name, strncmp(name, "lane", 4) == 0 ? "lanes" : "classes",
          columns == 0                     ? ""
          : strstr(name, "moment") == NULL ? ", width"
                                           : ", width (width + 1) / 2");
  return -1;
}

es_code_t es_moments_check_classes(const es_moments_part_t *p, int layer, int32_t width, int32_t *classes,
                                   es_status_t *status) {
  static const char *const names[] = {"class_rows", "class_mean", "class_moment"};
  const int64_t columns[] = {0, width, (int64_t)width * (width + 1) / 2};
  *classes = 0;
  if (H5Lexists(p->groups[layer], names[0], H5P_DEFAULT) == 0) return ES_OK;
  for (size_t i = 0; i < sizeof names / sizeof *names && status->code == ES_OK; i++) {
    ES_UNUSED ES_HDF5_ID set = open_groups_of(p, layer, names[i], CLASSES_MOST, columns[i], classes, status);
  }
  return status->code;
}

es_code_t es_moments_check_lanes(const es_moments_part_t *p, int layer, int32_t width, int32_t *lanes,
                                 es_status_t *status) {
  *lanes = 0;
  if (H5Lexists(p->groups[layer], "lane_moment", H5P_DEFAULT) == 0) return ES_OK;
  ES_UNUSED ES_HDF5_ID set =
      open_groups_of(p, layer, "lane_moment", LANES_MOST, (int64_t)width * (width + 1) / 2, lanes, status);
  return status->code;
}

es_code_t es_moments_check_class_rows(const es_moments_part_t *p, int layer, const es_moments_record_t *record,
                                      int64_t rows, es_status_t *status) {
  char reason[ES_HDF5_REASON_SIZE];
  int64_t shape[H5S_MAX_RANK] = {0}, sum = 0;
  if (H5Lexists(p->groups[layer], "class_rows", H5P_DEFAULT) == 0) return ES_OK;
  ES_HDF5_ID set = H5Dopen2(p->groups[layer], "class_rows", H5P_DEFAULT);
  if (set < 0 || es_hdf5_shape(set, shape) != 2) return fail_damaged(p, "class_rows", status);
  int64_t *counts = es_allocate_zero((size_t)shape[1], sizeof *counts);
  if (counts == NULL) return es_out_of_memory(status, ES_MOMENTS_STAGE, "%lld classes", (long long)shape[1]);
  const int64_t row = es_moments_find_row(p, record->split, record->epoch);
  const bool read = es_hdf5_read_rows(set, H5T_NATIVE_INT64, row, 1, counts, reason) == ES_OK;
  bool negative = false;
  for (int64_t i = 0; i < shape[1]; i++) {
    negative = negative || counts[i] < 0;
    sum += counts[i] < 0 || counts[i] > rows ? rows + 1 : counts[i];
  }
  es_free(counts);
  if (!read) return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: class_rows cannot be read: %s", p->path, reason);
  if (!negative && sum <= rows) return ES_OK;
  return es_fail(
      status, ES_INPUT, ES_MOMENTS_STAGE,
      "%s: layers/%04d/class_rows of epoch %d: the classes must have 0 to %lld rows together, as the layer has",
      p->path, layer, record->epoch, (long long)rows);
}

es_code_t es_moments_layer_facts(const es_moments_part_t *p, int layer, es_moments_layer_t *out, es_status_t *status) {
  ES_HDF5_QUIET;
  int64_t width = 0;
  *out = (es_moments_layer_t){.kind = "unknown"};
  if (!es_hdf5_text(p->groups[layer], "name", out->name, sizeof out->name) || out->name[0] == '\0')
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: layers/%04d needs an attribute `name` of 1 to %d bytes",
                   p->path, layer, ES_NAME_MAX - 1);
  for (const char *c = out->name; *c != '\0'; c++) {
    if ((unsigned char)*c < ' ' || *c == 127)
      return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: the name of layers/%04d has a control character", p->path,
                     layer);
  }
  if (!es_hdf5_text(p->groups[layer], "kind", out->kind, sizeof out->kind) && H5Aexists(p->groups[layer], "kind") != 0)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE,
                   "%s: the attribute `kind` of layers/%04d must be a text of at most %d bytes", p->path, layer,
                   ES_NAME_MAX - 1);
  if (!read_integer(p->groups[layer], "width", &width) || width < 1 || width > WIDTH_MOST)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: layers/%04d (%s) needs an attribute `width` from 1 to %d",
                   p->path, layer, out->name, WIDTH_MOST);
  out->width = (int32_t)width;
  return ES_OK;
}

/* Reads elements first … first+count−1 of the record of one of a layer's datasets with `columns` columns. */
static es_code_t read_values(es_moments_part_t *p, int layer, const char *name, const es_moments_record_t *record,
                             int64_t columns, const int64_t range[2], double *out, es_status_t *status) {
  ES_HDF5_QUIET;
  char where[32], lack[ES_HDF5_LACK_SIZE], reason[ES_HDF5_REASON_SIZE];
  const int64_t row = es_moments_find_row(p, record->split, record->epoch);
  if (row < 0)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: the record of epoch %d has disappeared", p->path,
                   record->epoch);
  snprintf(where, sizeof where, "layers/%04d/", layer);
  ES_HDF5_ID set = open_records(p, p->groups[layer], where, name, row + 1, columns, status);
  if (set < 0) return status->code;
  if (es_hdf5_missing_filter(set, lack))
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: %s%s%s", p->path, where, name, lack);
  const es_hdf5_block_t block = {
      .rank = columns > 0 ? 2 : 1, .start = {(hsize_t)row, (hsize_t)range[0]}, .count = {1, (hsize_t)range[1]}};
  if (es_hdf5_read(set, H5T_NATIVE_DOUBLE, &block, out, reason) == ES_OK) return ES_OK;
  return fail_damaged(p, where, status);
}

es_code_t es_moments_read(es_moments_part_t *p, int layer, const es_moments_record_t *record, int64_t *rows,
                          double *mean, es_status_t *status) {
  es_moments_layer_t facts;
  double n = 0.0;
  ES_TRY(es_moments_layer_facts(p, layer, &facts, status));
  ES_TRY(read_values(p, layer, "rows", record, 0, (const int64_t[2]){0, 1}, &n, status));
  if (!(n >= 0.0) || n > 0x1p53 || n != floor(n))
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: layer %s has %g rows in epoch %d", p->path, facts.name, n,
                   record->epoch);
  *rows = (int64_t)n;
  if (mean == NULL) return ES_OK;
  return read_values(p, layer, "mean", record, facts.width, (const int64_t[2]){0, facts.width}, mean, status);
}

es_code_t es_moments_read_triangle(es_moments_part_t *p, int layer, const es_moments_record_t *record, int64_t first,
                                   int64_t count, double *out, es_status_t *status) {
  es_moments_layer_t facts;
  ES_TRY(es_moments_layer_facts(p, layer, &facts, status));
  const int64_t size = (int64_t)facts.width * (facts.width + 1) / 2;
  return read_values(p, layer, "moment", record, size, (const int64_t[2]){first, count}, out, status);
}

/* Reads groups first … first+n−1 (`columns` numbers each, 0: one number) of a record of one of a layer's datasets. */
static es_code_t read_groups(es_moments_part_t *p, int layer, const char *name, const es_moments_record_t *record,
                             const int32_t range[2], int64_t columns, double *out, es_status_t *status) {
  ES_HDF5_QUIET;
  char lack[ES_HDF5_LACK_SIZE], reason[ES_HDF5_REASON_SIZE];
  int32_t groups = 0;
  const int64_t row = es_moments_find_row(p, record->split, record->epoch);
  ES_HDF5_ID set = open_groups_of(p, layer, name, CLASSES_MOST, columns, &groups, status);
  if (set < 0) return status->code;
  if (es_hdf5_missing_filter(set, lack))
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: layers/%04d/%s%s", p->path, layer, name, lack);
  const es_hdf5_block_t block = {.rank = columns > 0 ? 3 : 2,
                                 .start = {(hsize_t)row, (hsize_t)range[0], 0},
                                 .count = {1, (hsize_t)range[1], (hsize_t)columns}};
  if (row >= 0 && range[0] + range[1] <= groups && es_hdf5_read(set, H5T_NATIVE_DOUBLE, &block, out, reason) == ES_OK)
    return ES_OK;
  return fail_damaged(p, name, status);
}

es_code_t es_moments_read_classes(es_moments_part_t *p, int layer, const es_moments_record_t *record, int32_t classes,
                                  double *rows, double *mean, es_status_t *status) {
  es_moments_layer_t facts;
  const int32_t all[2] = {0, classes};
  ES_TRY(es_moments_layer_facts(p, layer, &facts, status));
  ES_TRY(read_groups(p, layer, "class_rows", record, all, 0, rows, status));
  return read_groups(p, layer, "class_mean", record, all, facts.width, mean, status);
}

es_code_t es_moments_read_lane(es_moments_part_t *p, int layer, const es_moments_record_t *record, int32_t lane,
                               double *out, es_status_t *status) {
  es_moments_layer_t facts;
  ES_TRY(es_moments_layer_facts(p, layer, &facts, status));
  return read_groups(p, layer, "lane_moment", record, (const int32_t[2]){lane, 1},
                     (int64_t)facts.width * (facts.width + 1) / 2, out, status);
}

es_code_t es_moments_samples(const es_moments_part_t *p, int64_t *out, es_status_t *status) {
  ES_HDF5_QUIET;
  int64_t shape[H5S_MAX_RANK];
  *out = 0;
  const htri_t there = H5Lexists(p->file, "labels", H5P_DEFAULT);
  if (there < 0) return fail_damaged(p, "labels", status);
  if (there == 0) return ES_OK;
  ES_HDF5_ID set = H5Dopen2(p->file, "labels", H5P_DEFAULT);
  if (set < 0 || es_hdf5_shape(set, shape) != 2 || shape[1] < 1 || shape[1] > SAMPLES_MOST)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE,
                   "%s: labels must be a dataset of integers with shape (records, samples)", p->path);
  *out = shape[1];
  return ES_OK;
}

es_code_t es_moments_labels(es_moments_part_t *p, const es_moments_record_t *record, int32_t *out, int32_t *n,
                            es_status_t *status) {
  ES_HDF5_QUIET;
  char reason[ES_HDF5_REASON_SIZE];
  int64_t most;
  const int64_t row = es_moments_find_row(p, record->split, record->epoch);
  *n = 0;
  ES_TRY(es_moments_samples(p, &most, status));
  if (most == 0 || row < 0) return ES_OK;
  ES_HDF5_ID set = open_records(p, p->file, "", "labels", row + 1, most, status);
  if (set < 0) return status->code;
  if (es_hdf5_read_rows(set, H5T_NATIVE_INT32, row, 1, out, reason) != ES_OK)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: labels cannot be read: %s", p->path, reason);
  while (*n < most && out[*n] >= 0) (*n)++;
  for (int64_t i = *n; i < most; i++) {
    if (out[i] >= 0)
      return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: labels of epoch %d: negative labels must come last",
                     p->path, record->epoch);
  }
  for (int32_t i = 0; i < *n; i++) {
    if (out[i] >= ES_CLASSES_MAX)
      return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE,
                     "%s: a label of epoch %d is %d, but probes take at most %d classes", p->path, record->epoch,
                     out[i], ES_CLASSES_MAX);
  }
  return ES_OK;
}

es_code_t es_moments_features(es_moments_part_t *p, int layer, const es_moments_record_t *record, int64_t first,
                              int64_t count, float *out, es_status_t *status) {
  ES_HDF5_QUIET;
  char where[32], reason[ES_HDF5_REASON_SIZE];
  int64_t shape[H5S_MAX_RANK];
  es_moments_layer_t facts;
  const int64_t row = es_moments_find_row(p, record->split, record->epoch);
  ES_TRY(es_moments_layer_facts(p, layer, &facts, status));
  snprintf(where, sizeof where, "layers/%04d/", layer);
  ES_HDF5_ID set = H5Lexists(p->groups[layer], "features", H5P_DEFAULT) > 0
                       ? H5Dopen2(p->groups[layer], "features", H5P_DEFAULT)
                       : -1;
  if (set < 0 || es_hdf5_shape(set, shape) != 3 || shape[0] <= row || shape[1] < first + count ||
      shape[2] != facts.width)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE,
                   "%s: %sfeatures must be a dataset with shape (records, samples, %d)", p->path, where, facts.width);
  const es_hdf5_block_t block = {
      .rank = 3, .start = {(hsize_t)row, (hsize_t)first, 0}, .count = {1, (hsize_t)count, (hsize_t)facts.width}};
  if (count == 0 || es_hdf5_read(set, H5T_NATIVE_FLOAT, &block, out, reason) == ES_OK) return ES_OK;
  return fail_damaged(p, where, status);
}
