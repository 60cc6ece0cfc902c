/* The file of similarities. */
#include "eigenscope/memory.h"
#include "eigenscope/similarity.h"
#include "writer.h"
#include <hdf5_hl.h>
#include <string.h>

static const char SCHEMA[] = "eigenscope similarity";

typedef enum dimension { SET, OTHER, PAIR, DIMENSIONS } dimension_t;

typedef struct output {
  const es_similarity_content_t *content;
  es_writer_t writer;
  hid_t scales[DIMENSIONS];
  int64_t extent[DIMENSIONS];
} output_t;

static void put_scale(output_t *o, dimension_t dimension, const char *name, const char *title) {
  int32_t *indices = es_allocate((size_t)o->extent[dimension], sizeof *indices);
  if (indices == NULL) es_writer_out_of_memory(&o->writer);
  for (int64_t i = 0; indices != NULL && i < o->extent[dimension]; i++) indices[i] = (int32_t)i;
  if (indices != NULL)
    o->scales[dimension] =
        es_writer_scale(&o->writer, name, ES_TYPE_I32, (hsize_t)o->extent[dimension], indices, title);
  es_free(indices);
}

/* Writes a variable over one or two dimensions. */
static void put(output_t *o, const char *name, es_type_t type, const dimension_t *dimensions, int rank,
                const void *data, const char *title) {
  hsize_t extent[2] = {0};
  for (int i = 0; i < rank; i++) extent[i] = (hsize_t)o->extent[dimensions[i]];
  ES_HDF5_ID list = es_writer_list(&o->writer, name);
  ES_HDF5_ID object = es_writer_create(&o->writer, name, type, rank, extent, list);
  es_writer_write(&o->writer, object, name, type, data);
  if (object < 0) return;
  es_writer_names(&o->writer, object, title, "1");
  for (int i = 0; i < rank; i++)
    es_writer_check(&o->writer, H5DSattach_scale(object, o->scales[dimensions[i]], (unsigned)i), name);
}

static void put_pairs(output_t *o) {
  static const dimension_t over[] = {PAIR};
  const es_similarity_content_t *c = o->content;
  int32_t *ends = es_allocate((size_t)c->n_pairs, sizeof *ends);
  if (ends == NULL) es_writer_out_of_memory(&o->writer);
  put_scale(o, PAIR, "pair", "index of the pair");
  for (int end = 0; ends != NULL && end < 2; end++) {
    for (int64_t i = 0; i < c->n_pairs; i++) ends[i] = (int32_t)c->pairs[i][end];
    put(o, end == 0 ? "pair_first" : "pair_second", ES_TYPE_I32, over, 1, ends, "index of a set of the pair");
  }
  put(o, "procrustes", ES_TYPE_F64, over, 1, c->procrustes,
      "orthogonal Procrustes distance of the sets of the pair, 0 to 2");
  es_free(ends);
}

static void put_all(void *context) {
  output_t *o = context;
  static const dimension_t set[] = {SET}, all[] = {SET, OTHER};
  const es_similarity_content_t *c = o->content;
  es_writer_t *w = &o->writer;
  const int32_t version = 1;
  es_writer_text(w, w->file, "schema", SCHEMA);
  es_writer_number(w, w->file, "schema_version", ES_TYPE_I32, &version);
  es_writer_text(w, w->file, "creator", c->creator);
  es_writer_text(w, w->file, "sample_hash", c->sample_hash);
  es_writer_number(w, w->file, "samples", ES_TYPE_I64, &c->samples);
  put_scale(o, SET, "set", "index of a set: the features of one layer of one point after one epoch");
  put_scale(o, OTHER, "other", "index of the other set");
  put(o, "point_id", ES_TYPE_STRING, set, 1, c->point, "id of the point");
  put(o, "epoch", ES_TYPE_I32, set, 1, c->epoch, "epoch");
  put(o, "layer", ES_TYPE_STRING, set, 1, c->layer, "name of the layer");
  put(o, "kind", ES_TYPE_U8, set, 1, c->kinds,
      "0: usual, 1: dead (the features do not vary), 2: not finite, 3: flat (CKA is 0/0)");
  put(o, "cka", ES_TYPE_F64, all, 2, c->cka, "debiased linear CKA of two sets, at most 1");
  if (c->n_pairs > 0) put_pairs(o);
  for (int i = 0; i < DIMENSIONS; i++) es_hdf5_close(&o->scales[i]);
}

es_code_t es_similarity_write(const char *path, const es_similarity_content_t *content, es_status_t *status) {
  output_t o = {
      .content = content, .scales = {-1, -1, -1}, .extent = {content->count, content->count, content->n_pairs}};
  return es_writer_replace(&o.writer, path, put_all, &o, status);
}

bool es_similarity_check(const char *path) {
  char schema[sizeof SCHEMA], reason[ES_HDF5_REASON_SIZE];
  ES_HDF5_QUIET;
  ES_HDF5_ID file = -1;
  return es_hdf5_open(&file, path, reason) == ES_OK && es_hdf5_text(file, "schema", schema, sizeof schema) &&
         strcmp(schema, SCHEMA) == 0;
}
