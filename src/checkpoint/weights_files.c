/* Files of weights: their paths, their fingerprints, loading them into a model, and folders of results. */
#include "checkpoint_internal.h"
#include "eigenscope/external.h"
#include "eigenscope/file.h"
#include "eigenscope/grid.h"
#include "eigenscope/memory.h"
#include "eigenscope/state.h"
#include "eigenscope/weights.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char STAGE[] = "checkpoint";

es_code_t es_weights_file(char out[ES_PATH_MAX], const es_point_t *point, int32_t index, es_status_t *status) {
  const es_external_t *e = &point->external;
  const int32_t epoch = es_external_epoch(e, index);
  if (!e->from_results) return es_point_path(out, e->file[ES_TRAIN], point, "", epoch, status);
  es_weights_path(out, e->file[ES_TRAIN], e->trained, e->each ? epoch : -1);
  return ES_OK;
}

es_code_t es_weights_fingerprint(const es_point_t *point, const char *dataset, char out[ES_ID_SIZE], es_text_t *hashes,
                                 es_status_t *status) {
  uint64_t hash = es_hash(dataset, strlen(dataset), 0);
  for (int32_t i = 0; i < es_external_epochs(&point->external); i++) {
    char path[ES_PATH_MAX], own[ES_ID_SIZE];
    es_safetensors_t *file;
    ES_TRY(es_weights_file(path, point, i, status));
    ES_TRY(es_safetensors_open(&file, path, status));
    const es_code_t code = es_safetensors_fingerprint(file, own, status);
    es_safetensors_destroy(file);
    ES_TRY(code);
    hash = es_hash(own, strlen(own), hash);
    if (hashes) es_text_append(hashes, "%s%s", i > 0 ? " " : "", own);
  }
  snprintf(out, ES_ID_SIZE, "%016llx", (unsigned long long)hash);
  return ES_OK;
}

/* Fails with the first mismatches in a sentence; an earlier `plan` lists them all. */
static es_code_t refuse(const char *path, int n, es_text_t *report, es_status_t *status) {
  for (size_t i = 0; i < report->length; i++) {
    if (report->data[i] == '\n') report->data[i] = ';';
  }
  return es_fail(status, ES_INPUT, STAGE, "%s: does not fit the network; tensors that do not fit: %d:%.300s%s", path, n,
                 es_text_get(report), report->length > 300 ? " ..." : "");
}

static es_code_t fill_model(es_safetensors_t *file, const char *fingerprint, const es_graph_t *graph, es_model_t *model,
                            es_status_t *status) {
  char found[ES_ID_SIZE];
  es_text_t report = {0};
  const int n = es_weights_compare(file, graph, &report);
  if (n > 0) refuse(es_safetensors_path(file), n, &report, status);
  es_text_destroy(&report);
  if (n > 0) return status->code;
  ES_TRY(es_safetensors_load(file, status));
  ES_TRY(es_safetensors_fingerprint(file, found, status));
  if (strncmp(found, fingerprint, strlen(found)) != 0)
    return es_fail(status, ES_INPUT, STAGE, "%s: changed while it was measured; run again", es_safetensors_path(file));
  es_weights_fill(file, graph, es_model_parameters(model), es_model_buffers(model));
  return ES_OK;
}

es_code_t es_weights_load(const char *path, const char *fingerprint, const es_graph_t *graph, es_model_t *model,
                          const es_group_t *group, es_status_t *status) {
  es_safetensors_t *file = NULL;
  if (group->rank == 0 && es_safetensors_open(&file, path, status) == ES_OK)
    fill_model(file, fingerprint, graph, model, status);
  es_safetensors_destroy(file);
  ES_TRY(es_agree(group->comm, status));
  es_share_model(model, graph, group);
  return ES_OK;
}

/* ---- folders of results ---- */

/* Reads a file's description of itself; returns false if the file is not ours, or if it cannot be read. The latter sets
 * the status, because without this file an earlier epoch might be taken for the last. */
static bool look_at(es_trained_t *out, const char *output, const char *name, es_status_t *status) {
  char path[ES_PATH_MAX + 300];
  es_safetensors_t *file;
  const size_t length = strlen(name), extension = strlen(".safetensors");
  *out = (es_trained_t){0};
  if (length <= extension || strcmp(name + length - extension, ".safetensors") != 0) return false;
  snprintf(path, sizeof path, "%s/checkpoints/%s", output, name);
  es_status_t own = {0};
  if (es_safetensors_open(&file, path, &own) != ES_OK) {
    if (own.code == ES_SYSTEM && !es_file_is_missing(path)) *status = own; /* it may have been removed meanwhile */
    return false;
  }
  const char *training = es_safetensors_metadata(file, "training"), *id = es_safetensors_metadata(file, "point_id");
  const char *epoch = es_safetensors_metadata(file, "epoch");
  int64_t number = 0;
  const bool ours = training && id && epoch && es_text_to_int(epoch, &number) && number >= 0 && number <= 100000 &&
                    strlen(id) == ES_ID_SIZE - 1 && strncmp(name, id, ES_ID_SIZE - 1) == 0;
  if (ours) {
    *out = (es_trained_t){.epoch = (int32_t)number, .each = name[ES_ID_SIZE - 1] == '-'};
    snprintf(out->training, sizeof out->training, "%s", training);
    snprintf(out->id, sizeof out->id, "%s", id);
  }
  es_safetensors_destroy(file);
  return ours;
}

/* Orders by training, then epoch, then name, so that the order does not depend on the folder's. */
static int compare(const void *a, const void *b) {
  const es_trained_t *x = a, *y = b;
  int order = strcmp(x->training, y->training);
  if (order == 0) order = (x->epoch > y->epoch) - (x->epoch < y->epoch);
  if (order == 0) order = strcmp(x->id, y->id);
  return order != 0 ? order : x->each - y->each;
}

es_code_t es_trained_scan(es_trained_list_t *out, const char *output, es_status_t *status) {
  char path[ES_PATH_MAX + 16];
  int most = 0;
  *out = (es_trained_list_t){0};
  snprintf(path, sizeof path, "%s/checkpoints", output);
  DIR *folder = opendir(path);
  if (!folder && errno == ENOENT)
    return es_fail(status, ES_INPUT, STAGE,
                   "the folder %s does not exist; give the output of a job that kept its weights (checkpoint.keep)",
                   path);
  if (!folder) return es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be read: %s", path, strerror(errno));
  while (status->code == ES_OK) {
    es_trained_t found;
    errno = 0;
    const struct dirent *entry = readdir(folder);
    if (!entry && errno != 0) es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be read: %s", path, strerror(errno));
    if (!entry) break;
    if (!look_at(&found, output, entry->d_name, status)) continue;
    if (out->n == most) {
      most = 2 * most + 64;
      es_trained_t *more = es_reallocate(out->items, (size_t)most, sizeof *more);
      if (!more) es_out_of_memory(status, STAGE, "the weights in %s", path);
      if (!more) break;
      out->items = more;
    }
    out->items[out->n++] = found;
  }
  closedir(folder);
  if (out->n > 0) qsort(out->items, (size_t)out->n, sizeof *out->items, compare);
  return status->code;
}

const es_trained_t *es_trained_find(const es_trained_list_t *list, const char *training) {
  int low = 0, high = list->n; /* the first item after those of this training */
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (strcmp(list->items[middle].training, training) <= 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low > 0 && strcmp(list->items[low - 1].training, training) == 0 ? &list->items[low - 1] : NULL;
}

void es_trained_destroy(es_trained_list_t *list) {
  es_free(list->items);
  *list = (es_trained_list_t){0};
}
