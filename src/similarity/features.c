/* Files of features: writing. */
#include "eigenscope/features.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "features_internal.h"
#include "writer.h"
#include <hdf5_hl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the sample ---- */

typedef struct ranked {
  uint64_t hash;
  int32_t position;
} ranked_t;

static int by_hash(const void *left, const void *right) {
  const ranked_t *a = left, *b = right;
  if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
  return a->position < b->position ? -1 : a->position > b->position;
}

static int by_position(const void *left, const void *right) {
  const ranked_t *a = left, *b = right;
  return a->position < b->position ? -1 : a->position > b->position;
}

/* Hashes numbers as little-endian int64, so that every machine gets the same hash. */
static uint64_t hash_number(int64_t number, uint64_t seed) {
  uint8_t bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)((uint64_t)number >> (8 * i));
  return es_hash(bytes, sizeof bytes, seed);
}

static void hash_sample(es_features_sample_t *sample, const char *data) {
  uint64_t hash = hash_number(sample->of, es_hash(data, strlen(data) + 1, 0));
  for (int64_t i = 0; i < sample->n; i++) hash = hash_number(sample->label[i], hash_number(sample->position[i], hash));
  snprintf(sample->hash, sizeof sample->hash, "%016" PRIx64, hash);
}

es_code_t es_features_choose(es_features_sample_t *out, int64_t of, int64_t most, const int32_t *labels,
                             const char *data, es_status_t *status) {
  *out = (es_features_sample_t){.n = of < most ? of : most, .of = of};
  ranked_t *all = es_allocate((size_t)of, sizeof *all);
  out->position = es_allocate((size_t)out->n, sizeof *out->position);
  out->label = es_allocate((size_t)out->n, sizeof *out->label);
  if (all == NULL || out->position == NULL || out->label == NULL) {
    es_free(all);
    es_features_sample_destroy(out);
    return es_out_of_memory(status, ES_FEATURES_STAGE, "a sample of %lld images", (long long)most);
  }
  for (int64_t i = 0; i < of; i++) all[i] = (ranked_t){hash_number(i, 0), (int32_t)i};
  qsort(all, (size_t)of, sizeof *all, by_hash);
  qsort(all, (size_t)out->n, sizeof *all, by_position);
  for (int64_t i = 0; i < out->n; i++) {
    out->position[i] = all[i].position;
    out->label[i] = labels != NULL ? labels[all[i].position] : -1;
  }
  es_free(all);
  hash_sample(out, data);
  return ES_OK;
}

void es_features_sample_destroy(es_features_sample_t *sample) {
  es_free(sample->position);
  es_free(sample->label);
  *sample = (es_features_sample_t){0};
}

/* ---- names and sizes ---- */

void es_features_path(char out[ES_PATH_MAX], const char *result) {
  const size_t length = strlen(result), end = strlen(".h5");
  const bool named = length > end && strcmp(result + length - end, ".h5") == 0;
  snprintf(out, ES_PATH_MAX, "%.*s%s", (int)(named ? length - end : length), result, ES_FEATURES_END);
}

/* ---- writing ---- */

enum { EPOCH, SAMPLE, SCALES };

typedef struct output {
  const es_features_content_t *content;
  es_writer_t writer;
  hid_t scales[SCALES];
  hid_t *objects; /* (layers) */
} output_t;

static void put_header(output_t *o) {
  const es_features_content_t *c = o->content;
  es_writer_t *w = &o->writer;
  const int32_t version = ES_FEATURES_VERSION, layers = c->n_layers;
  es_writer_text(w, w->file, "schema", ES_FEATURES_SCHEMA);
  es_writer_number(w, w->file, "schema_version", ES_TYPE_I32, &version);
  es_writer_text(w, w->file, "point_id", c->point_id);
  es_writer_text(w, w->file, "job_name", c->job_name);
  es_writer_text(w, w->file, "dataset_fingerprint", c->data);
  es_writer_text(w, w->file, "sample_hash", c->sample->hash);
  es_writer_number(w, w->file, "sample_of", ES_TYPE_I64, &c->sample->of);
  es_writer_number(w, w->file, "n_layers", ES_TYPE_I32, &layers);
  es_writer_axes(w, c->point);
}

static void attach(output_t *o, hid_t object, int place, int scale) {
  if (object >= 0 && o->scales[scale] >= 0)
    es_writer_check(&o->writer, H5DSattach_scale(object, o->scales[scale], (unsigned)place), "a dimension");
}

static void put_labels(output_t *o) {
  es_writer_t *w = &o->writer;
  const hsize_t n = (hsize_t)o->content->sample->n;
  ES_HDF5_ID list = es_writer_list(w, "label");
  ES_HDF5_ID object = es_writer_create(w, "label", ES_TYPE_I32, 1, &n, list);
  es_writer_write(w, object, "label", ES_TYPE_I32, o->content->sample->label);
  if (object >= 0) es_writer_names(w, object, "class of the sample, -1 without classes", "1");
  attach(o, object, 0, SAMPLE);
}

/* Creates the variable of a layer, (epoch, sample, feature_<layer>); each chunk is one epoch. */
static void create_layer(output_t *o, int layer) {
  const es_features_content_t *c = o->content;
  const es_features_layer_t *l = &c->layers[layer];
  es_writer_t *w = &o->writer;
  const hsize_t extent[3] = {(hsize_t)c->n_epochs, (hsize_t)c->sample->n, (hsize_t)l->width};
  hsize_t chunk[3] = {1, extent[1], extent[2]};
  const es_type_t type = l->is_double ? ES_TYPE_F64 : ES_TYPE_F32;
  while (chunk[1] > 1 && chunk[1] * chunk[2] > (hsize_t)1 << 18) chunk[1] = (chunk[1] + 1) / 2; /* a MiB of floats */
  char name[32], dimension[32];
  snprintf(name, sizeof name, ES_FEATURES_VARIABLE, layer);
  snprintf(dimension, sizeof dimension, "feature_%d", layer);
  ES_HDF5_ID list = es_writer_list(w, name);
  if (list >= 0) es_writer_check(w, H5Pset_chunk(list, 3, chunk), name);
  o->objects[layer] = es_writer_create(w, name, type, 3, extent, list);
  if (o->objects[layer] < 0) return;
  es_writer_names(w, o->objects[layer], "outputs of the layer for each sample, pooled to probe.pool x probe.pool", "1");
  es_writer_text(w, o->objects[layer], "layer", l->name);
  attach(o, o->objects[layer], 0, EPOCH);
  attach(o, o->objects[layer], 1, SAMPLE);
  int32_t *indices = es_allocate((size_t)l->width, sizeof *indices);
  if (indices == NULL) es_writer_out_of_memory(w);
  for (int32_t i = 0; indices != NULL && i < l->width; i++) indices[i] = i;
  ES_HDF5_ID scale = es_writer_scale(w, dimension, ES_TYPE_I32, extent[2], indices, "feature of the layer");
  if (scale >= 0) es_writer_check(w, H5DSattach_scale(o->objects[layer], scale, 2), dimension);
  es_free(indices);
}

static void put_epochs(output_t *o) {
  const es_features_content_t *c = o->content;
  const void **rows = es_allocate_zero((size_t)c->n_layers, sizeof *rows);
  if (rows == NULL) es_writer_out_of_memory(&o->writer);
  for (int epoch = 0; epoch < c->n_epochs && o->writer.code == ES_OK; epoch++) {
    o->writer.code = c->load(c->context, epoch, rows, o->writer.status);
    for (int i = 0; i < c->n_layers && o->writer.code == ES_OK; i++) {
      const es_hdf5_block_t block = {3, {(hsize_t)epoch}, {1, (hsize_t)c->sample->n, (hsize_t)c->layers[i].width}};
      es_writer_write_block(&o->writer, o->objects[i], c->layers[i].name,
                            c->layers[i].is_double ? ES_TYPE_F64 : ES_TYPE_F32, &block, rows[i]);
    }
  }
  es_free(rows);
}

static void put_all(void *context) {
  output_t *o = context;
  const es_features_content_t *c = o->content;
  es_writer_t *w = &o->writer;
  put_header(o);
  o->scales[EPOCH] = es_writer_scale(w, "epoch", ES_TYPE_I32, (hsize_t)c->n_epochs, c->epochs, "epoch");
  o->scales[SAMPLE] = es_writer_scale(w, "sample", ES_TYPE_I32, (hsize_t)c->sample->n, c->sample->position,
                                      "position of the sample in the split");
  put_labels(o);
  for (int i = 0; i < c->n_layers && w->code == ES_OK; i++) create_layer(o, i);
  if (w->code == ES_OK) put_epochs(o);
  for (int i = 0; i < c->n_layers; i++) es_hdf5_close(&o->objects[i]);
  for (int i = 0; i < SCALES; i++) es_hdf5_close(&o->scales[i]);
}

es_code_t es_features_write(const char *path, const es_features_content_t *content, es_status_t *status) {
  output_t o = {.content = content, .scales = {-1, -1}};
  o.objects = es_allocate((size_t)content->n_layers, sizeof *o.objects);
  if (o.objects == NULL) return es_out_of_memory(status, ES_FEATURES_STAGE, "%d layers", content->n_layers);
  for (int i = 0; i < content->n_layers; i++) o.objects[i] = -1;
  const es_code_t code = es_writer_replace(&o.writer, path, put_all, &o, status);
  es_free(o.objects);
  return code;
}
