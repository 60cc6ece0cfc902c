/* Selects the samples of a point, and computes their normalisation. */
#include "dataset.h"
#include "eigenscope/memory.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "data";

enum { WHERE_MAX = ES_PATH_MAX + 16 }; /* bytes of "job.yaml:12" */

static const char *const SPLIT_NAMES[ES_SPLITS] = {"train", "eval"};

int64_t es_class_quota(int64_t limit, int32_t classes, int32_t c) {
  return limit == 0 ? INT64_MAX : limit / classes + (c < limit % classes);
}

static es_code_t check_classes(const es_point_t *point, int32_t classes, const es_dataset_info_t *info,
                               const char *where, es_status_t *status) {
  if (classes > info->classes) {
    return es_fail(status, ES_INPUT, STAGE, "%s: classes: %d, but dataset \"%s\" has only %d; use 2 to %d, or all",
                   where, classes, point->dataset.name, info->classes, info->classes);
  }
  if (classes < 2) {
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: classes: %d, but a problem needs at least 2 classes; dataset \"%s\" has %d", where, classes,
                   point->dataset.name, info->classes);
  }
  for (int split = 0; split < ES_SPLITS; split++) {
    for (int32_t c = 0; c < classes; c++) {
      if (info->class_count[split][c] > 0) continue;
      return es_fail(status, ES_INPUT, STAGE,
                     "%s: classes: %d, but class %d of dataset \"%s\" has no %s sample; use at most %d classes", where,
                     classes, c, point->dataset.name, SPLIT_NAMES[split], c);
    }
  }
  return ES_OK;
}

/* Samples of a split that a balanced limit leaves of the first classes. */
static int64_t count_samples(const es_dataset_info_t *info, int32_t classes, int64_t limit, es_split_t split) {
  int64_t n = 0;
  for (int32_t c = 0; c < classes; c++) {
    int64_t most = es_class_quota(limit, classes, c), there = info->class_count[split][c];
    n += there < most ? there : most;
  }
  return n;
}

/* The place of a description of a dataset in the job file. */
static const char *place_of(const es_dataset_spec_t *dataset, const char *job_path, char out[WHERE_MAX]) {
  snprintf(out, WHERE_MAX, dataset->line > 0 ? "%s:%d" : "%s", job_path, dataset->line);
  return out;
}

static es_code_t check_limits(const es_dataset_spec_t *dataset, int32_t classes, const char *job_path,
                              es_status_t *status) {
  char where[WHERE_MAX];
  for (int split = 0; split < ES_SPLITS; split++) {
    int64_t limit = dataset->limit[split];
    if (limit == 0 || limit >= classes) continue;
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: limit.%s: %lld, but each of the %d classes of dataset \"%s\" needs a sample; use at least %d",
                   place_of(dataset, job_path, where), SPLIT_NAMES[split], (long long)limit, classes, dataset->name,
                   classes);
  }
  return ES_OK;
}

es_code_t es_point_bind(es_point_t *point, const es_dataset_info_t *info, const char *job_path, es_status_t *status) {
  const int32_t classes = point->classes == 0 ? info->classes : point->classes;
  char where[WHERE_MAX];
  snprintf(where, sizeof where, point->line_classes > 0 ? "%s:%d" : "%s", job_path, point->line_classes);
  ES_TRY(check_classes(point, classes, info, where, status));
  ES_TRY(check_limits(&point->dataset, classes, job_path, status));
  point->classes = classes;
  for (int32_t i = 0; i < point->n_axes; i++) {
    if (strcmp(point->axes[i].name, "classes") == 0) es_axis_set_whole(&point->axes[i], classes);
  }
  return ES_OK;
}

es_code_t es_point_bind_probe(es_point_t *point, int i, const es_dataset_info_t *info, const char *job_path,
                              es_status_t *status) {
  es_probe_dataset_t *d = &point->probe.datasets[i];
  char where[WHERE_MAX];
  if (info->classes < 2)
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: probe.datasets: a problem needs at least 2 classes; dataset \"%s\" has %d",
                   place_of(d->spec, job_path, where), d->spec->name, info->classes);
  ES_TRY(check_limits(d->spec, info->classes, job_path, status));
  d->classes = info->classes;
  for (int split = 0; split < ES_SPLITS; split++)
    d->samples[split] = count_samples(info, info->classes, d->spec->limit[split], (es_split_t)split);
  d->images = es_dataset_bytes(info, point->resolution);
  return ES_OK;
}

void es_point_of_probe(es_point_t *out, const es_point_t *point, int i) {
  const es_probe_dataset_t *d = &point->probe.datasets[i];
  *out = *point;
  out->dataset = *d->spec;
  out->classes = d->classes;
}

int64_t es_point_samples(const es_point_t *point, const es_dataset_info_t *info, es_split_t split) {
  return count_samples(info, point->classes, point->dataset.limit[split], split);
}

/* Computes the indices of the chosen samples, in file order; their number is es_point_samples. */
static void choose(const es_dataset_t *dataset, const es_point_t *point, es_split_t split, int32_t *index) {
  int64_t left[ES_CLASSES_MAX];
  for (int32_t c = 0; c < point->classes; c++) left[c] = es_class_quota(point->dataset.limit[split], point->classes, c);
  const uint16_t *labels = dataset->labels[split];
  for (int64_t i = 0; i < dataset->info.count[split]; i++) {
    if (labels[i] < point->classes && left[labels[i]]-- > 0) *index++ = (int32_t)i;
  }
}

/* Mean and deviation of each channel over the train samples of a point, at `index` if given. */
static es_code_t measure_train(const es_dataset_t *dataset, const es_point_t *point, const int32_t *index,
                               double mean[3], double deviation[3], es_status_t *status) {
  const int64_t n = es_point_samples(point, &dataset->info, ES_TRAIN), image = es_dataset_image_size(dataset);
  es_moments_t moments = {.channels = dataset->info.channels};
  int32_t *found = NULL;
  if (index == NULL) {
    index = found = es_allocate((size_t)n, sizeof *found);
    if (found == NULL) return es_out_of_memory(status, STAGE, "%lld samples", (long long)n);
    choose(dataset, point, ES_TRAIN, found);
  }
  for (int64_t i = 0; i < n; i++)
    es_moments_add(&moments, es_dataset_image(dataset, ES_TRAIN, index[i]), image / moments.channels);
  es_moments_finish(&moments, mean, deviation);
  es_free(found);
  return es_dataset_failure(dataset, status);
}

/* Normalises with the point's own train samples, whichever split is selected. */
static es_code_t normalise(es_samples_t *samples, const es_point_t *point, es_status_t *status) {
  const es_dataset_t *dataset = samples->dataset;
  const int32_t *index = samples->split == ES_TRAIN ? samples->index : NULL;
  const int64_t limit = point->dataset.limit[ES_TRAIN];
  const double *mean = point->dataset.mean, *deviation = point->dataset.deviation;
  es_streamed_t *s = dataset->streamed;
  if (!point->dataset.normalize_given && s == NULL) {
    ES_TRY(measure_train(dataset, point, index, samples->mean, samples->deviation, status));
    mean = samples->mean;
    deviation = samples->deviation;
  } else if (!point->dataset.normalize_given) {
    /* Streamed images are read once for all points and splits with the same train samples. */
    if (s->classes != point->classes || s->limit != limit) {
      s->classes = 0;
      ES_TRY(measure_train(dataset, point, index, s->mean, s->deviation, status));
      s->classes = point->classes;
      s->limit = limit;
    }
    mean = s->mean;
    deviation = s->deviation;
  }
  for (int c = 0; c < 3; c++) {
    samples->mean[c] = mean[c];
    samples->deviation[c] = deviation[c] > 0 ? deviation[c] : 1;
  }
  return ES_OK;
}

es_code_t es_samples_select(es_samples_t *out, const es_dataset_t *dataset, const es_point_t *point, es_split_t split,
                            es_status_t *status) {
  const es_dataset_info_t *info = &dataset->info;
  assert(point->classes > 0);
  *out = (es_samples_t){.dataset = dataset, .split = split, .resolution = dataset->resolution};
  if (point->classes > info->classes) {
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: changed during the run: it has %d classes now, and had %d when the run started", dataset->path,
                   info->classes, point->classes);
  }
  out->n = es_point_samples(point, info, split);
  out->index = es_owned_allocate(&out->memory, (size_t)out->n, sizeof *out->index);
  out->label = es_owned_allocate(&out->memory, (size_t)out->n, sizeof *out->label);
  out->table = es_owned_allocate(&out->memory, 256 * 4, sizeof *out->table);
  if (out->memory.failed) {
    es_samples_destroy(out);
    return es_out_of_memory(status, STAGE, "the samples of %s", dataset->path);
  }
  choose(dataset, point, split, out->index);
  for (int64_t i = 0; i < out->n; i++) out->label[i] = dataset->labels[split][out->index[i]];
  const es_code_t code = normalise(out, point, status);
  /* A table replaces arithmetic per pixel: one correctly rounded value, equal on every CPU. */
  for (int v = 0; code == ES_OK && v < 256; v++) {
    for (int c = 0; c < 3; c++) out->table[4 * v + c] = (float)((v / 255.0 - out->mean[c]) / out->deviation[c]);
    out->table[4 * v + 3] = 0;
  }
  if (code != ES_OK) es_samples_destroy(out);
  return code;
}

void es_samples_destroy(es_samples_t *samples) {
  es_owned_free(&samples->memory);
  *samples = (es_samples_t){0};
}
