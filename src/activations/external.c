#include "eigenscope/external.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char STAGE[] = "activations";

static bool put_epoch(void *context, const char *name, int digits, char *out, size_t size) {
  if (strcmp(name, "epoch") != 0) return false;
  snprintf(out, size, "%0*d", digits, *(const int32_t *)context);
  return true;
}

/* Composes the path of a split and an epoch: replaces {epoch} and {epoch:03}. ES_INPUT if it gets too long. */
static es_code_t path_of(char out[ES_PATH_MAX], const es_external_t *external, es_split_t split, int32_t epoch,
                         es_status_t *status) {
  if (es_text_fill(out, ES_PATH_MAX, external->file[split], put_epoch, &epoch)) return ES_OK;
  return es_fail(status, ES_INPUT, STAGE, "%s: the path is longer than %d bytes once the epoch is filled in",
                 external->file[split], ES_PATH_MAX - 1);
}

/* Reports all missing files in one message. */
static es_code_t check_present(const es_external_t *external, es_status_t *status) {
  es_text_t missing = {0};
  int n = 0;
  for (int32_t i = 0; i < es_external_epochs(external) && status->code == ES_OK; i++) {
    for (es_split_t split = ES_TRAIN; split < ES_SPLITS; split++) {
      char path[ES_PATH_MAX];
      if (!es_external_has(external, split)) continue;
      if (path_of(path, external, split, es_external_epoch(external, i), status) != ES_OK) break;
      if (access(path, F_OK) == 0) continue;
      if (n < 8) es_text_append(&missing, "%s%s", n > 0 ? ", " : "", path);
      n++;
    }
  }
  if (n > 8) es_text_append(&missing, " and %d more", n - 8);
  if (n > 0 && status->code == ES_OK)
    es_fail(status, ES_INPUT, STAGE, "%s: %s",
            n == 1 ? "this file of activations does not exist" : "these files of activations do not exist",
            es_text_get(&missing));
  es_text_destroy(&missing);
  return status->code;
}

static es_code_t fill_layers(es_external_info_t *info, const es_activations_t *file, const char *path,
                             es_status_t *status) {
  info->n_layers = es_activations_count(file);
  info->layers = es_allocate_zero((size_t)info->n_layers, sizeof *info->layers);
  if (!info->layers) return es_out_of_memory(status, STAGE, "%d layers", info->n_layers);
  for (int i = 0; i < info->n_layers; i++) {
    const es_activation_layer_t *layer = es_activations_layer(file, i);
    es_external_layer_t *out = &info->layers[i];
    if (strlen(layer->name) >= sizeof out->name)
      return es_fail(status, ES_INPUT, STAGE, "%s: the name of layer %s is longer than %d bytes", path, layer->name,
                     ES_NAME_MAX - 1);
    *out = (es_external_layer_t){.h = layer->h, .w = layer->w, .c = layer->c, .is_double = layer->is_double};
    snprintf(out->name, sizeof out->name, "%s", layer->name);
  }
  return ES_OK;
}

static es_code_t compare_layers(const es_external_info_t *info, const es_activations_t *file, const char *path,
                                es_status_t *status) {
  if (es_activations_count(file) != info->n_layers)
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: the number of layers is %d, but in the first file of this job it is %d", path,
                   es_activations_count(file), info->n_layers);
  for (int i = 0; i < info->n_layers; i++) {
    const es_activation_layer_t *layer = es_activations_layer(file, i);
    const es_external_layer_t *first = &info->layers[i];
    if (strcmp(layer->name, first->name) != 0)
      return es_fail(status, ES_INPUT, STAGE, "%s: layer %d is %s, but %s in the first file of this job", path, i,
                     layer->name, first->name);
    if (layer->h != first->h || layer->w != first->w || layer->c != first->c)
      return es_fail(status, ES_INPUT, STAGE,
                     "%s: layer %s is %d x %d x %d, but %d x %d x %d in the first file of this job", path, layer->name,
                     layer->h, layer->w, layer->c, first->h, first->w, first->c);
    if (layer->is_double != first->is_double)
      return es_fail(status, ES_INPUT, STAGE, "%s: layer %s is %s, but %s in the first file of this job", path,
                     layer->name, layer->is_double ? "float64" : "float32", first->is_double ? "float64" : "float32");
  }
  return ES_OK;
}

/* State of the survey of all files. */
typedef struct survey {
  es_external_info_t *info;
  bool labels; /* every file so far has labels */
  uint64_t hash;
} survey_t;

/* Adds one file to the survey, and checks it against the others. */
static es_code_t add_file(survey_t *s, const es_activations_t *file, const char *path, es_split_t split,
                          bool first_epoch, es_status_t *status) {
  es_external_info_t *info = s->info;
  char fingerprint[ES_ID_SIZE];
  ES_TRY(info->n_layers == 0 ? fill_layers(info, file, path, status) : compare_layers(info, file, path, status));
  const int64_t samples = es_activations_samples(file);
  if (first_epoch) info->samples[split] = samples;
  if (samples > info->most_samples) info->most_samples = samples;
  s->labels = s->labels && es_activations_has_labels(file);
  if (es_activations_has_labels(file)) {
    int32_t classes;
    ES_TRY(es_activations_classes(file, &classes, status));
    if (classes > info->classes) info->classes = classes;
    if (split == ES_TRAIN && classes > info->train_classes) info->train_classes = classes;
  }
  ES_TRY(es_activations_fingerprint(file, fingerprint, status));
  s->hash = es_hash(fingerprint, sizeof fingerprint, s->hash);
  return ES_OK;
}

es_code_t es_external_inspect(es_external_info_t *out, const es_external_t *external, es_status_t *status) {
  survey_t survey = {.info = out, .labels = true};
  *out = (es_external_info_t){0};
  es_code_t code = check_present(external, status);
  for (int32_t i = 0; code == ES_OK && i < es_external_epochs(external); i++) {
    for (es_split_t split = ES_TRAIN; code == ES_OK && split < ES_SPLITS; split++) {
      es_activations_t *file = NULL;
      char path[ES_PATH_MAX];
      if (!es_external_has(external, split)) continue;
      code = path_of(path, external, split, es_external_epoch(external, i), status);
      if (code == ES_OK) code = es_activations_open(&file, path, external->labels, status);
      if (code == ES_OK) code = add_file(&survey, file, path, split, i == 0, status);
      es_activations_close(file);
    }
  }
  if (!survey.labels) out->classes = 0;
  snprintf(out->fingerprint, sizeof out->fingerprint, "%016llx", (unsigned long long)survey.hash);
  if (code != ES_OK) es_external_info_destroy(out);
  return code;
}

es_code_t es_external_check(const es_external_info_t *info, const es_point_t *point, es_status_t *status) {
  bool any = false;
  for (int i = 0; i < info->n_layers; i++) any = any || es_measure_takes(&point->measure, info->layers[i].name);
  if (!any)
    return es_fail(status, ES_INPUT, STAGE,
                   "no layer matches measure.layers; the first layer is \"%s\", the last layer is \"%s\"",
                   info->layers[0].name, info->layers[info->n_layers - 1].name);
  const bool probes = point->probe.epochs.kind != ES_EPOCHS_NONE, classes = point->measure.classes == ES_ON;
  if (!probes && !classes) return ES_OK;
  if (info->classes == 0)
    return es_fail(status, ES_INPUT, STAGE,
                   "%s labels, but not every file has an array \"%s\" (activations.labels); add this array, or set %s",
                   probes ? "probes need" : "measure.classes needs", point->external.labels,
                   probes ? "probe.epochs: none" : "measure.classes: false");
  if (info->classes > ES_CLASSES_MAX)
    return es_fail(status, ES_INPUT, STAGE, "the largest label is %d, but %s at most %d classes", info->classes - 1,
                   probes ? "probes take" : "measure.classes takes", ES_CLASSES_MAX);
  return ES_OK;
}

bool es_external_has_unknown_labels(const es_external_info_t *info, const es_point_t *point, char out[256]) {
  snprintf(out, 256,
           "labels go up to %d in the eval split, but only up to %d in the train split: probes never predict the rest",
           info->classes - 1, info->train_classes - 1);
  return point->probe.epochs.kind != ES_EPOCHS_NONE && info->classes > info->train_classes;
}

void es_external_info_destroy(es_external_info_t *info) {
  es_free(info->layers);
  *info = (es_external_info_t){0};
}

es_code_t es_external_open(es_activations_t **out, const es_external_t *external, const es_external_info_t *info,
                           es_split_t split, int32_t epoch, es_status_t *status) {
  char path[ES_PATH_MAX];
  *out = NULL;
  ES_TRY(path_of(path, external, split, epoch, status));
  ES_TRY(es_activations_open(out, path, external->labels, status));
  if (compare_layers(info, *out, path, status) == ES_OK) return ES_OK;
  es_activations_close(*out);
  *out = NULL;
  return status->code;
}
