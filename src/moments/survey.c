/* All parts of a moments file: finds them, compares them, and lists what they have in common. */
#include "eigenscope/file.h"
#include "eigenscope/hdf5.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include "moments_internal.h"
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Writes the path of a part: PATH itself for one part, else PATH with .part<i>-of-<n> before its ending. */
static void part_path(char out[ES_PATH_MAX + 32], const char *path, int32_t part, int32_t parts) {
  const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path, *dot = strrchr(name, '.');
  if (dot == NULL || dot == name) dot = path + strlen(path);
  if (parts == 1)
    snprintf(out, ES_PATH_MAX + 32, "%s", path);
  else
    snprintf(out, ES_PATH_MAX + 32, "%.*s.part%d-of-%d%s", (int)(dot - path), path, part, parts, dot);
}

/* Finds the number of parts at or beside PATH by the names of the files. Files of two numbers are of two runs. */
static es_code_t count_parts(int32_t *out, const char *path, es_status_t *status) {
  char name[ES_PATH_MAX + 32], folder[ES_PATH_MAX];
  const char *slash = strrchr(path, '/');
  snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - path) + 1 : 1, slash != NULL ? path : ".");
  part_path(name, path, 0, 2);
  const char *begin = slash != NULL ? name + (slash - path) + 1 : name;
  const size_t length = (size_t)(strstr(begin, ".part0-of-2") - begin) + strlen(".part");
  int32_t parts = es_file_exists(path), other = 0;
  DIR *list = opendir(folder);
  for (const struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
    char expected[ES_PATH_MAX + 32];
    if (strncmp(entry->d_name, begin, length) != 0) continue;
    const char *of = strstr(entry->d_name + length, "-of-");
    const long part = strtol(entry->d_name + length, NULL, 10), n = of != NULL ? strtol(of + 4, NULL, 10) : 0;
    if (part < 0 || n < 2 || n > ES_MOMENTS_PARTS_MAX || part >= n) continue;
    part_path(expected, path, (int32_t)part, (int32_t)n);
    if (strcmp(slash != NULL ? expected + (slash - path) + 1 : expected, entry->d_name) != 0) continue;
    if (parts != 0 && parts != (int32_t)n)
      other = (int32_t)n;
    else
      parts = (int32_t)n;
  }
  if (list != NULL) closedir(list);
  if (parts == 0)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: this %s", path,
                   es_file_is_missing(path) ? "file does not exist" : "is not a file");
  if (other != 0)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE,
                   "%s: there are files of a run of %d process%s and of a run of %d; move those of one run away", path,
                   parts < other ? parts : other, parts == 1 || other == 1 ? "" : "es", parts < other ? other : parts);
  *out = parts;
  return ES_OK;
}

static es_code_t check_same(const es_moments_info_t *info, const es_moments_part_t *p, const char *run,
                            const char *path, es_status_t *status) {
  if (strcmp(run, p->run) != 0)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE,
                   "%s: belongs to another run than part 0; remove the parts of one run", p->path);
  if (p->n_layers != info->n_layers)
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: has %d layers, but part 0 of %s has %d", p->path,
                   p->n_layers, path, info->n_layers);
  for (int i = 0; i < p->n_layers; i++) {
    es_moments_layer_t facts;
    ES_TRY(es_moments_layer_facts(p, i, &facts, status));
    if (strcmp(facts.name, info->layers[i].name) != 0 || facts.width != info->layers[i].width)
      return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: layer %d is %s of width %d, but %s of width %d in part 0",
                     p->path, i, facts.name, facts.width, info->layers[i].name, info->layers[i].width);
  }
  return ES_OK;
}

static es_code_t read_layers(es_moments_info_t *info, const es_moments_part_t *p, es_status_t *status) {
  info->n_layers = p->n_layers;
  info->layers = es_allocate_zero((size_t)p->n_layers, sizeof *info->layers);
  if (info->layers == NULL) return es_out_of_memory(status, ES_MOMENTS_STAGE, "%d layers", p->n_layers);
  for (int i = 0; i < p->n_layers; i++) {
    ES_TRY(es_moments_layer_facts(p, i, &info->layers[i], status));
    for (int k = 0; k < i; k++) {
      if (strcmp(info->layers[k].name, info->layers[i].name) == 0)
        return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: two layers are named %s", p->path,
                       info->layers[i].name);
    }
  }
  return ES_OK;
}

static int by_epoch(const void *a, const void *b) {
  const es_moments_record_t *x = a, *y = b;
  if (x->epoch != y->epoch) return x->epoch < y->epoch ? -1 : 1;
  return (x->split > y->split) - (x->split < y->split);
}

/* Lists the records that count in part 0. */
static es_code_t list_records(es_moments_info_t *info, const es_moments_part_t *p, es_status_t *status) {
  info->records = es_allocate_zero((size_t)p->n_rows + 1, sizeof *info->records);
  if (info->records == NULL) return es_out_of_memory(status, ES_MOMENTS_STAGE, "%lld records", (long long)p->n_rows);
  for (int64_t i = 0; i < p->n_rows; i++) {
    const es_split_t split = (es_split_t)p->rows[i].split;
    if (split == ES_SPLITS || es_moments_find_row(p, split, p->rows[i].epoch) != i) continue;
    info->records[info->n_records++] = (es_moments_record_t){.epoch = p->rows[i].epoch, .split = split};
  }
  qsort(info->records, (size_t)info->n_records, sizeof *info->records, by_epoch);
  return ES_OK;
}

/* Removes records that a part lacks. */
static void keep_common(es_moments_info_t *info, const es_moments_part_t *p) {
  int32_t n = 0;
  for (int32_t i = 0; i < info->n_records; i++) {
    if (es_moments_find_row(p, info->records[i].split, info->records[i].epoch) >= 0)
      info->records[n++] = info->records[i];
  }
  info->n_records = n;
}

/* Checks the layers of one part. Notes classes and lanes of sums that all parts and layers have alike, else 0. */
static es_code_t check_layers(es_moments_info_t *info, es_moments_part_t *p, es_status_t *status) {
  for (int i = 0; i < info->n_layers; i++) {
    const int32_t width = info->layers[i].width;
    int32_t classes = 0, lanes = 0;
    ES_TRY(es_moments_check(p, i, width, status));
    ES_TRY(es_moments_check_classes(p, i, width, &classes, status));
    ES_TRY(es_moments_check_lanes(p, i, width, &lanes, status));
    if (p->part == 0 && i == 0) info->class_sums = classes, info->lanes = lanes;
    if (classes != info->class_sums) info->class_sums = 0;
    if (lanes != info->lanes) info->lanes = 0;
  }
  return ES_OK;
}

/* Adds rows, means, loss and accuracy of one part to the facts of all parts. counts: (records, 2 + layers). */
static es_code_t survey_part(es_moments_info_t *info, es_moments_part_t *p, double *counts, uint64_t *hash,
                             es_status_t *status) {
  int32_t widest = 1;
  ES_HDF5_QUIET;
  for (int i = 0; i < info->n_layers; i++) widest = info->layers[i].width > widest ? info->layers[i].width : widest;
  es_owned_t owned = {0};
  double *mean = es_owned_allocate(&owned, (size_t)widest, sizeof *mean);
  double *scalars[2] = {es_owned_allocate(&owned, (size_t)p->n_rows + 1, sizeof **scalars),
                        es_owned_allocate(&owned, (size_t)p->n_rows + 1, sizeof **scalars)};
  es_code_t code = owned.failed ? es_out_of_memory(status, ES_MOMENTS_STAGE, "the records of %s", p->path) : ES_OK;
  for (int k = 0; code == ES_OK && k < 2; k++)
    code = es_moments_vector(p, k == 0 ? "loss" : "accuracy", H5T_NATIVE_DOUBLE, p->n_rows, scalars[k], status);
  if (code == ES_OK) code = check_layers(info, p, status);
  int64_t most = 0;
  if (code == ES_OK) code = es_moments_samples(p, &most, status);
  if (most > info->most_samples) info->most_samples = (int32_t)most;
  int32_t *labels = es_owned_allocate_zero(&owned, (size_t)most + 1, sizeof *labels), n_labels = 0;
  if (code == ES_OK && labels == NULL) code = es_out_of_memory(status, ES_MOMENTS_STAGE, "the labels of %s", p->path);
  *hash = es_hash(p->run, strlen(p->run), *hash);
  for (int32_t r = 0; code == ES_OK && r < info->n_records; r++) {
    es_moments_record_t *record = &info->records[r];
    double *count = counts + (size_t)r * (size_t)(2 + info->n_layers);
    const int64_t row = es_moments_find_row(p, record->split, record->epoch);
    code = es_moments_labels(p, record, labels, &n_labels, status);
    *hash = es_hash(labels, (size_t)n_labels * sizeof *labels, *hash);
    for (int32_t i = 0; i < n_labels; i++) info->classes = labels[i] >= info->classes ? labels[i] + 1 : info->classes;
    for (int k = 0; k < 2; k++) {
      if (isnan(scalars[k][row])) continue;
      *(k == 0 ? &record->loss : &record->accuracy) += scalars[k][row];
      count[k] += 1.0;
    }
    for (int i = 0; code == ES_OK && i < info->n_layers; i++) {
      int64_t rows;
      code = es_moments_read(p, i, record, &rows, mean, status);
      if (code == ES_OK) code = es_moments_check_class_rows(p, i, record, rows, status);
      if (code != ES_OK) break;
      *hash = es_hash(mean, (size_t)info->layers[i].width * sizeof *mean, es_hash(&rows, sizeof rows, *hash));
      count[2 + i] += (double)rows;
      if (count[2 + i] > (double)info->most_rows) info->most_rows = (int64_t)count[2 + i];
    }
  }
  es_owned_free(&owned);
  return code;
}

/* Surveys all parts and completes the records. */
static es_code_t survey(es_moments_info_t *info, const char *path, es_status_t *status) {
  uint64_t hash = 0;
  const size_t columns = (size_t)(2 + info->n_layers);
  double *counts = es_allocate_zero((size_t)info->n_records * columns + 1, sizeof *counts);
  if (counts == NULL) return es_out_of_memory(status, ES_MOMENTS_STAGE, "%d records", info->n_records);
  for (int i = 0; i < info->n_layers; i++)
    hash = es_hash(info->layers[i].name, strlen(info->layers[i].name), hash + (uint64_t)info->layers[i].width);
  es_code_t code = ES_OK;
  for (int32_t part = 0; code == ES_OK && part < info->n_parts; part++) {
    es_moments_part_t *p;
    code = es_moments_open(&p, info, path, part, status);
    if (code != ES_OK) break;
    code = survey_part(info, p, counts, &hash, status);
    es_moments_close(p);
  }
  for (int32_t r = 0; r < info->n_records; r++) {
    const double *count = counts + (size_t)r * columns;
    info->records[r].loss = count[0] > 0.0 ? info->records[r].loss / count[0] : (double)NAN;
    info->records[r].accuracy = count[1] > 0.0 ? info->records[r].accuracy / count[1] : (double)NAN;
    hash = es_hash(&info->records[r].epoch, sizeof info->records[r].epoch, hash + (uint64_t)info->records[r].split);
  }
  es_free(counts);
  snprintf(info->fingerprint, sizeof info->fingerprint, "%016llx", (unsigned long long)hash);
  return code;
}

/* Opens all parts once, and keeps what they have in common. */
static es_code_t compare_parts(es_moments_info_t *info, const char *path, es_status_t *status) {
  char run[64] = "";
  for (int32_t part = 0; part < info->n_parts; part++) {
    es_moments_part_t *p;
    ES_TRY(es_moments_open(&p, info, path, part, status));
    if (part == 0) {
      snprintf(run, sizeof run, "%s", p->run);
      if (read_layers(info, p, status) == ES_OK) list_records(info, p, status);
    } else if (check_same(info, p, run, path, status) == ES_OK) {
      keep_common(info, p);
    }
    es_moments_close(p);
    if (status->code != ES_OK) return status->code;
  }
  return ES_OK;
}

es_code_t es_moments_inspect(es_moments_info_t *out, const char *path, es_status_t *status) {
  *out = (es_moments_info_t){0};
  ES_TRY(count_parts(&out->n_parts, path, status));
  compare_parts(out, path, status);
  if (status->code == ES_OK && out->n_records == 0)
    es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: has no epoch that is complete%s", path,
            out->n_parts > 1 ? " in all parts" : "");
  if (status->code == ES_OK) survey(out, path, status);
  if (status->code != ES_OK) es_moments_info_destroy(out);
  return status->code;
}

void es_moments_info_destroy(es_moments_info_t *info) {
  es_free(info->layers);
  es_free(info->records);
  *info = (es_moments_info_t){0};
}

int32_t es_moments_find(const es_moments_info_t *info, es_split_t split, int32_t epoch) {
  for (int32_t i = 0; i < info->n_records; i++) {
    if (info->records[i].split == split && info->records[i].epoch == epoch) return i;
  }
  return -1;
}

es_code_t es_moments_choose(const es_moments_info_t *info, const char *path, es_external_t *external,
                            es_status_t *status) {
  char files[ES_PATH_MAX];
  bool has[ES_SPLITS] = {false};
  es_epochs_t *epochs = &external->epochs;
  snprintf(files, sizeof files, "%s", es_external_any(external));
  for (int32_t i = 0; epochs->kind == ES_EPOCHS_LIST && i < epochs->n; i++) {
    if (es_moments_find(info, ES_TRAIN, epochs->list[i]) < 0 && es_moments_find(info, ES_EVAL, epochs->list[i]) < 0)
      return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE,
                     "%s: has no complete record of epoch %d (moments.epochs); it has %d to %d", path, epochs->list[i],
                     info->records[0].epoch, info->records[info->n_records - 1].epoch);
  }
  if (epochs->kind != ES_EPOCHS_LIST) *epochs = (es_epochs_t){.kind = ES_EPOCHS_ALL};
  for (int32_t r = 0; r < info->n_records; r++) {
    const int32_t epoch = info->records[r].epoch;
    bool wanted = epochs->kind == ES_EPOCHS_ALL;
    for (int32_t i = 0; epochs->kind == ES_EPOCHS_LIST && i < epochs->n; i++) wanted |= epochs->list[i] == epoch;
    has[info->records[r].split] |= wanted;
    if (epochs->kind == ES_EPOCHS_LIST || (epochs->n > 0 && epochs->list[epochs->n - 1] == epoch)) continue;
    if (epochs->n == ES_EPOCHS_MAX)
      return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE,
                     "%s: has more than %d epochs; choose some with moments.epochs: [...]", path, ES_EPOCHS_MAX);
    epochs->list[epochs->n++] = epoch;
  }
  for (int split = 0; split < ES_SPLITS; split++)
    snprintf(external->file[split], ES_PATH_MAX, "%s", has[split] ? files : "");
  return ES_OK;
}

es_code_t es_moments_open(es_moments_part_t **out, const es_moments_info_t *info, const char *path, int32_t part,
                          es_status_t *status) {
  char name[ES_PATH_MAX + 32];
  part_path(name, path, part, info->n_parts);
  if (info->n_parts > 1 && !es_file_exists(name))
    return es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: does not exist: part %d of %d is missing", name, part,
                   info->n_parts);
  ES_TRY(es_moments_open_part(out, name, status));
  if ((*out)->part == part && (*out)->parts == info->n_parts) return ES_OK;
  es_fail(status, ES_INPUT, ES_MOMENTS_STAGE, "%s: is part %d of %d, not %d of %d%s", name, (*out)->part, (*out)->parts,
          part, info->n_parts, info->n_parts == 1 ? "; give the name without .part…" : "");
  es_moments_close(*out);
  *out = NULL;
  return status->code;
}
