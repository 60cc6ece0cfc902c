/* Ranks that open one file each read their own samples, also with more ranks than samples. Together they read all
 * samples exactly once. ranks: 1 2 3 5 */
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include "support/activation_files.h"
#include "support/mpi.h"

enum { SAMPLES = 1003, ROW = 3 * 5 * 8, CLASSES = 9 };

/* Reads this rank's share of every layer in parts; counts how often each sample was correct on any rank. */
static void check_shares(const char *where, int64_t at_once, int64_t samples, int n_layers) {
  es_activations_t *file;
  if (es_activations_open(&file, where, "labels", fresh()) != ES_OK) puts(said.message);
  CHECK(said.code == ES_OK);
  CHECK(es_activations_samples(file) == samples && es_activations_count(file) == n_layers);
  int64_t first = rank * samples / size, end = (rank + 1) * samples / size;
  int32_t *seen = calloc((size_t)samples, sizeof *seen), *labels = calloc((size_t)samples, sizeof *labels);
  for (int l = 0; l < n_layers; l++) {
    const es_activation_layer_t *layer = es_activations_layer(file, l);
    int64_t row = (int64_t)layer->h * layer->w * layer->c;
    void *values = es_allocate((size_t)at_once, es_activations_row_size(file, l));
    for (int64_t done = first, n; done < end; done += n) {
      n = end - done < at_once ? end - done : at_once;
      CHECK(es_activations_read(file, l, done, n, values, fresh()) == ES_OK);
      CHECK(activation_other(values, layer->is_double, done * row, n * row, l) == -1);
      for (int64_t i = 0; i < n; i++) seen[done + i]++;
    }
    es_free(values);
  }
  CHECK(es_activations_labels(file, first, end - first, labels + first, fresh()) == ES_OK);
  MPI_Allreduce(MPI_IN_PLACE, seen, (int)samples, MPI_INT32_T, MPI_SUM, MPI_COMM_WORLD);
  MPI_Allreduce(MPI_IN_PLACE, labels, (int)samples, MPI_INT32_T, MPI_SUM, MPI_COMM_WORLD);
  for (int64_t i = 0; i < samples; i++) {
    CHECK(seen[i] == n_layers);
    CHECK(labels[i] == (samples == ACTIVATION_SAMPLES ? ACTIVATION_LABELS[i] : idx_label(i, CLASSES)));
  }
  free(seen);
  free(labels);
  es_activations_close(file);
}

/* All ranks find the same number of classes and the same fingerprint. */
static void check_same(const char *where) {
  es_activations_t *file;
  char fingerprint[ES_ID_SIZE], of_first[ES_ID_SIZE];
  int32_t classes, of_all;
  CHECK(es_activations_open(&file, where, "labels", &(es_status_t){0}) == ES_OK);
  CHECK(es_activations_classes(file, &classes, &(es_status_t){0}) == ES_OK);
  CHECK(es_activations_fingerprint(file, fingerprint, &(es_status_t){0}) == ES_OK);
  MPI_Allreduce(&classes, &of_all, 1, MPI_INT32_T, MPI_MAX, MPI_COMM_WORLD);
  CHECK(classes == of_all && classes == CLASSES);
  strcpy(of_first, fingerprint);
  MPI_Bcast(of_first, ES_ID_SIZE, MPI_CHAR, 0, MPI_COMM_WORLD);
  CHECK(strcmp(fingerprint, of_first) == 0);
  es_activations_close(file);
}

TEST(fixtures) {
  check_shares(ACTIVATIONS "good.h5", 2, ACTIVATION_SAMPLES, ACTIVATION_LAYER_COUNT);
  check_shares(ACTIVATIONS "npy", 2, ACTIVATION_SAMPLES, ACTIVATION_LAYER_COUNT);
}

TEST_IN_FOLDER(large_files) {
  for (hsize_t chunk = 0; chunk <= 70; chunk += 35) {
    const hsize_t shape[] = {SAMPLES, 3, 5, 8}, chunks[] = {chunk, 3, 5, 8};
    ON_RANK_0 activation_write("acts.h5", H5T_IEEE_F32LE, shape, chunks, 0, CLASSES);
    check_shares("acts.h5", 16, SAMPLES, 1);
    check_same("acts.h5");
  }
}
