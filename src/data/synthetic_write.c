/* Writes synthetic images to an HDF5 file that format hdf5 and other programs read. */
#include "eigenscope/hdf5_writer.h"
#include "eigenscope/memory.h"
#include "images.h"

enum { OVERHEAD = 1 << 16 }; /* most bytes besides pixels and labels */

typedef struct writer {
  es_hdf5_writer_t h5;
  es_dataset_spec_t spec; /* only members that the generator uses */
  es_dataset_info_t info;
  uint16_t *labels[ES_SPLITS];  /* owned */
  uint8_t *chunk;               /* owned; images being written */
  es_fingerprint_t fingerprint; /* owned */
} writer_t;

static bool write_split(writer_t *w, es_split_t split) {
  static const char *const names[ES_SPLITS][ES_VARIABLES] = {{"train/images", "train/labels"},
                                                             {"eval/images", "eval/labels"}};
  const es_dataset_info_t *info = &w->info;
  const es_hdf5_variable_t v = {
      .name = names[split][ES_VARIABLE_IMAGES],
      .type = H5T_STD_U8LE,
      .rank = 4,
      .shape = {(hsize_t)info->count[split], (hsize_t)info->height, (hsize_t)info->width, (hsize_t)info->channels}};
  const int64_t n = info->count[split], chunk = es_info_chunk(info), size = es_info_image_size(info);
  const hid_t id = es_hdf5_writer_variable(&w->h5, &v);
  if (id < 0) return false;
  bool good = true;
  for (int64_t done = 0, count; good && done < n; done += count) {
    count = n - done < chunk ? n - done : chunk;
    for (int64_t i = 0; i < count; i++) es_synthetic_image(&w->spec.synthetic, split, done + i, w->chunk + i * size);
    es_fingerprint_add(&w->fingerprint, w->chunk, (size_t)(count * size));
    good = es_hdf5_writer_put(&w->h5, id, &v, H5T_NATIVE_UINT8, done, count, w->chunk);
  }
  es_fingerprint_add(&w->fingerprint, w->labels[split], (size_t)n * sizeof(uint16_t));
  return es_hdf5_writer_close(&w->h5, id) && good &&
         es_hdf5_writer_labels(&w->h5, names[split][ES_VARIABLE_LABELS], w->labels[split], n);
}

/* Writes the numbers of the spec as attributes, named like their keys in a job file. */
static bool write_attributes(writer_t *w, const char *creator) {
  const es_dataset_reader_t *reader = &es_reader_synthetic;
  char fingerprint[ES_ID_SIZE];
  es_fingerprint_finish(&w->fingerprint, fingerprint);
  bool good = es_hdf5_writer_text(&w->h5, "creator", creator) && es_hdf5_writer_text(&w->h5, "generator", "synthetic");
  for (int i = 0; good && i < reader->n_keys; i++) {
    const void *at = (const char *)&w->spec + reader->keys[i].offset;
    const bool narrow = reader->keys[i].type == ES_KEY_INT32;
    good = es_hdf5_writer_number(&w->h5, reader->keys[i].name, narrow ? *(const int32_t *)at : *(const int64_t *)at);
  }
  return good && es_hdf5_writer_text(&w->h5, "fingerprint", fingerprint);
}

static es_code_t write_file(writer_t *w, const char *path, const char *creator, es_status_t *status) {
  ES_TRY(es_labels_inspect(&w->info, w->labels, &w->spec, status));
  ES_TRY(es_fingerprint_create(&w->fingerprint, path, status));
  w->chunk = es_allocate((size_t)es_info_chunk(&w->info), (size_t)es_info_image_size(&w->info));
  if (w->chunk == NULL) return es_out_of_memory(status, "data", "writing %s", path);
  es_fingerprint_shape(&w->fingerprint, &w->info);
  const int64_t images = w->info.count[ES_TRAIN] + w->info.count[ES_EVAL];
  const int64_t size = images * (es_info_image_size(&w->info) + (int64_t)sizeof(int64_t)) + OVERHEAD;
  const bool good = es_hdf5_writer_create(&w->h5, path, size) && write_split(w, ES_TRAIN) && write_split(w, ES_EVAL) &&
                    write_attributes(w, creator);
  return es_hdf5_writer_finish(&w->h5, good, status);
}

es_code_t es_synthetic_write(const char *path, const es_synthetic_t *spec, const char *creator, es_status_t *status) {
  writer_t w = {.spec = {.name = "synthetic images", .format = ES_FORMAT_SYNTHETIC, .synthetic = *spec}};
  ES_HDF5_QUIET;
  const es_code_t code = write_file(&w, path, creator, status);
  for (int split = 0; split < ES_SPLITS; split++) es_free(w.labels[split]);
  es_free(w.chunk);
  es_fingerprint_destroy(&w.fingerprint);
  return code;
}
