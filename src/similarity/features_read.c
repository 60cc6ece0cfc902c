/* Files of features: reading. */
#include "eigenscope/features.h"
#include "eigenscope/file.h"
#include "eigenscope/hdf5.h"
#include "eigenscope/memory.h"
#include "features_internal.h"
#include <stdio.h>
#include <string.h>

enum { LAYERS_MOST = 1 << 16, SAMPLES_MOST = 1 << 24, WIDTH_MOST = 1 << 24 };

static es_code_t refuse(const es_features_t *f, es_status_t *status) {
  return es_fail(status, ES_INPUT, ES_FEATURES_STAGE,
                 "%s: is damaged, or not a file of features, which run writes with measure.similarity: true", f->path);
}

/* Opens variable `name` and gets its shape. */
static hid_t open_variable(const es_features_t *f, const char *name, int rank, int64_t *shape) {
  int64_t found[H5S_MAX_RANK];
  const hid_t id = H5Lexists((hid_t)f->file, name, H5P_DEFAULT) > 0 ? H5Dopen2((hid_t)f->file, name, H5P_DEFAULT) : -1;
  if (id >= 0 && es_hdf5_shape(id, found) == rank) {
    memcpy(shape, found, (size_t)rank * sizeof *shape);
    return id;
  }
  es_hdf5_close(&id);
  return -1;
}

static es_code_t read_layer(es_features_t *f, int index, es_status_t *status) {
  char name[32], lack[ES_HDF5_LACK_SIZE];
  int64_t shape[3];
  es_features_layer_t *layer = &f->layers[index];
  snprintf(name, sizeof name, ES_FEATURES_VARIABLE, index);
  ES_HDF5_ID id = open_variable(f, name, 3, shape);
  ES_HDF5_ID type = id >= 0 ? H5Dget_type(id) : -1;
  if (type < 0 || H5Tget_class(type) != H5T_FLOAT || shape[0] != f->n_epochs || shape[1] != f->n || shape[2] < 1 ||
      shape[2] > WIDTH_MOST || !es_hdf5_text(id, "layer", layer->name, sizeof layer->name) ||
      es_hdf5_check_values(id, lack) != ES_OK)
    return refuse(f, status);
  layer->width = (int32_t)shape[2];
  layer->is_double = H5Tget_size(type) == sizeof(double);
  return ES_OK;
}

static es_code_t read_head(es_features_t *f, es_status_t *status) {
  char schema[64], reason[ES_HDF5_REASON_SIZE];
  int32_t version = 0, layers = 0;
  int64_t epochs = 0;
  if (!es_hdf5_text((hid_t)f->file, "schema", schema, sizeof schema) || strcmp(schema, ES_FEATURES_SCHEMA) != 0)
    return refuse(f, status);
  ES_HDF5_ID written = H5Aopen((hid_t)f->file, "schema_version", H5P_DEFAULT);
  ES_HDF5_ID counted = H5Aopen((hid_t)f->file, "n_layers", H5P_DEFAULT);
  if (written < 0 || counted < 0 || H5Aread(written, H5T_NATIVE_INT32, &version) < 0 ||
      H5Aread(counted, H5T_NATIVE_INT32, &layers) < 0)
    return refuse(f, status);
  if (version != ES_FEATURES_VERSION)
    return es_fail(status, ES_INPUT, ES_FEATURES_STAGE,
                   "%s: has version %d of the format, but this program reads version %d; use the program that wrote it",
                   f->path, (int)version, (int)ES_FEATURES_VERSION);
  ES_HDF5_ID epoch = open_variable(f, "epoch", 1, &epochs), sample = open_variable(f, "sample", 1, &f->n);
  if (epoch < 0 || sample < 0 || layers < 1 || layers > LAYERS_MOST || epochs < 1 || epochs > ES_EPOCHS_MAX * 1024 ||
      f->n < ES_FEATURES_LEAST || f->n > SAMPLES_MOST ||
      !es_hdf5_text((hid_t)f->file, "point_id", f->point_id, sizeof f->point_id) ||
      !es_hdf5_text((hid_t)f->file, "sample_hash", f->sample_hash, sizeof f->sample_hash))
    return refuse(f, status);
  f->n_epochs = (int)epochs;
  f->n_layers = layers;
  f->epochs = es_allocate((size_t)epochs, sizeof *f->epochs);
  f->layers = es_allocate_zero((size_t)layers, sizeof *f->layers);
  if (f->epochs == NULL || f->layers == NULL) return es_out_of_memory(status, ES_FEATURES_STAGE, "%s", f->path);
  const es_hdf5_block_t all = {1, {0}, {(hsize_t)epochs}};
  if (es_hdf5_read(epoch, H5T_NATIVE_INT32, &all, f->epochs, reason) != ES_OK) return refuse(f, status);
  return ES_OK;
}

es_code_t es_features_open(es_features_t *out, const char *path, es_status_t *status) {
  ES_HDF5_QUIET;
  hid_t file;
  char reason[ES_HDF5_REASON_SIZE];
  *out = (es_features_t){.file = -1};
  snprintf(out->path, sizeof out->path, "%s", path);
  if (es_file_is_missing(path))
    return es_fail(status, ES_INPUT, ES_FEATURES_STAGE,
                   "%s: does not exist; run writes it with measure.similarity: true", path);
  if (es_hdf5_open(&file, path, reason) != ES_OK)
    return es_fail(status, ES_INPUT, ES_FEATURES_STAGE, "%s: cannot be read: %s", path, reason);
  out->file = file;
  es_code_t code = read_head(out, status);
  for (int i = 0; code == ES_OK && i < out->n_layers; i++) code = read_layer(out, i, status);
  return code;
}

void es_features_rest(es_features_t *f) {
  const hid_t file = (hid_t)f->file;
  if (f->path[0] != '\0') es_hdf5_close(&file);
  f->file = -1;
}

void es_features_close(es_features_t *f) {
  es_features_rest(f);
  es_free(f->layers);
  es_free(f->epochs);
  *f = (es_features_t){.file = -1};
}

es_code_t es_features_read(es_features_t *f, int epoch, int layer, double *out, es_status_t *status) {
  ES_HDF5_QUIET;
  char name[32], reason[ES_HDF5_REASON_SIZE] = "it has changed since it was opened";
  int64_t shape[3] = {0};
  hid_t file = (hid_t)f->file;
  es_code_t code = file < 0 ? es_hdf5_open(&file, f->path, reason) : ES_OK;
  f->file = code == ES_OK ? file : -1;
  snprintf(name, sizeof name, ES_FEATURES_VARIABLE, layer);
  ES_HDF5_ID id = code == ES_OK ? open_variable(f, name, 3, shape) : -1;
  const es_hdf5_block_t block = {3, {(hsize_t)epoch}, {1, (hsize_t)f->n, (hsize_t)f->layers[layer].width}};
  if (id >= 0 && shape[0] == f->n_epochs && shape[1] == f->n && shape[2] == f->layers[layer].width)
    code = es_hdf5_read(id, H5T_NATIVE_DOUBLE, &block, out, reason);
  else if (code == ES_OK)
    code = ES_INPUT;
  if (code == ES_OK) return ES_OK;
  return es_fail(status, code, ES_FEATURES_STAGE, "%s: features of %s cannot be read: %s", f->path,
                 f->layers[layer].name, reason);
}
