/* Streamed images equal images in memory, on every rank and in any order; a file that is damaged later is noticed.
 * ranks: 1 2 3 */
#include "../../src/data/dataset.h"
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include "support/datasets.h"
#include "support/mpi.h"

enum { TRAIN = 61, EVAL = 23, CLASSES = 3 };

/* Rank 0 writes a file: chunks of `chunk` images, or contiguous for 0. */
static es_dataset_spec_t write_file(int side, int channels, hsize_t chunk, es_fit_t fit) {
  h5_layout_t layout = h5_layout(TRAIN, EVAL, side, side + 2, channels, CLASSES);
  layout.chunk = chunk;
  ON_RANK_0 h5_write("images.h5", &layout, NULL);
  es_dataset_spec_t spec = data_spec(ES_FORMAT_HDF5, "images.h5");
  spec.fit = fit;
  return spec;
}

/* Compares samples, numbers and pixels, also moved and mirrored, forwards and backwards. */
static void check_samples(const es_dataset_t *streamed, const es_dataset_t *held, const es_point_t *point,
                          es_split_t split) {
  es_samples_t a, b;
  CHECK(es_samples_select(&a, streamed, point, split, &(es_status_t){0}) == ES_OK);
  CHECK(es_samples_select(&b, held, point, split, &(es_status_t){0}) == ES_OK);
  CHECK(a.n == b.n && memcmp(a.mean, b.mean, sizeof a.mean) == 0);
  CHECK(memcmp(a.deviation, b.deviation, sizeof a.deviation) == 0);
  const size_t image = 3 * (size_t)a.resolution * (size_t)a.resolution;
  float *x = es_allocate((size_t)a.n * image, sizeof *x), *y = es_allocate((size_t)a.n * image, sizeof *y);
  int32_t *order = es_allocate((size_t)a.n, sizeof *order);
  CHECK(x != NULL && y != NULL && order != NULL);
  const es_augment_t augment = {.settings = {.crop = true, .flip = true}, .seed = 3, .epoch = 2};
  for (int turn = 0; turn < 2; turn++) {
    for (int64_t i = 0; i < a.n; i++) order[i] = (int32_t)((i * 17 + rank) % a.n);
    es_samples_fetch(&a, order, a.n, turn == 0 ? NULL : &augment, x);
    es_samples_fetch(&b, order, b.n, turn == 0 ? NULL : &augment, y);
    CHECK(memcmp(x, y, (size_t)a.n * image * sizeof *x) == 0);
  }
  CHECK(es_dataset_failure(streamed, &(es_status_t){0}) == ES_OK);
  es_free(x);
  es_free(y);
  es_free(order);
  es_samples_destroy(&a);
  es_samples_destroy(&b);
}

static void check_file(int channels, hsize_t chunk, es_fit_t fit, int32_t resolution) {
  const es_dataset_spec_t spec = write_file(9, channels, chunk, fit);
  es_dataset_t *streamed, *held;
  CHECK(es_dataset_streams(&spec));
  CHECK(es_dataset_stream(&streamed, &spec, resolution, MPI_COMM_WORLD, &(es_status_t){0}) == ES_OK);
  CHECK(es_dataset_load(&held, &spec, resolution, MPI_COMM_NULL, &(es_status_t){0}) == ES_OK);
  CHECK(es_dataset_is_streamed(streamed) && !es_dataset_is_streamed(held) && streamed->pixels[ES_TRAIN] == NULL);
  CHECK(strcmp(es_dataset_fingerprint(streamed), es_dataset_fingerprint(held)) == 0);
  CHECK(memcmp(es_dataset_info(streamed), es_dataset_info(held), sizeof(es_dataset_info_t)) == 0);
  es_point_t point = {.dataset = spec, .classes = CLASSES};
  for (int turn = 0; turn < 4; turn++) { /* all, fewer, given numbers, all again */
    point.classes = turn == 1 ? 2 : CLASSES;
    point.dataset.limit[ES_TRAIN] = turn == 1 ? 7 : 0;
    point.dataset.normalize_given = turn == 2;
    for (int c = 0; c < 3; c++) point.dataset.deviation[c] = 0.5;
    check_samples(streamed, held, &point, ES_EVAL);
    check_samples(streamed, held, &point, ES_TRAIN);
  }
  es_dataset_destroy(streamed);
  es_dataset_destroy(held);
}

/* The file is truncated after it was opened: images are zeros, and the failure stays. */
TEST_IN_FOLDER(failure) {
  const es_dataset_spec_t spec = write_file(128, 3, 4, ES_FIT_RESIZE) /* more than HDF5 caches */;
  es_dataset_t *streamed;
  es_samples_t samples;
  const es_point_t point = {.dataset = spec, .classes = CLASSES};
  CHECK(es_dataset_stream(&streamed, &spec, 8, MPI_COMM_WORLD, &(es_status_t){0}) == ES_OK);
  CHECK(es_samples_select(&samples, streamed, &point, ES_TRAIN, &(es_status_t){0}) == ES_OK);
  ON_RANK_0 CHECK(truncate("images.h5", 600) == 0);
  float out[3 * 64];
  for (int32_t i = 0; i < samples.n; i++) es_samples_fetch(&samples, &i, 1, NULL, out);
  for (int p = 0; p < 3 * 64; p++) CHECK(out[p] == samples.table[p % 3]);
  CHECK(es_dataset_failure(streamed, fresh()) != ES_OK && said.code == es_dataset_failure(streamed, &(es_status_t){0}));
  CHECK(strncmp(said.message, "images.h5", 9) == 0 && strstr(said.message, "train/images") != NULL);
  CHECK(es_agree(MPI_COMM_WORLD, &said) != ES_OK);
  es_samples_destroy(&samples);
  es_dataset_destroy(streamed);
}

/* A file that is damaged from the start leaves nothing open. */
TEST_IN_FOLDER(refused) {
  const es_dataset_spec_t good = write_file(9, 1, 0, ES_FIT_PAD);
  es_dataset_spec_t spec = good;
  es_dataset_t *streamed;
  strcat(spec.path, ".not");
  CHECK(es_dataset_stream(&streamed, &spec, 8, MPI_COMM_WORLD, fresh()) == ES_INPUT && streamed == NULL);
  CHECK(strstr(said.message, "this file does not exist") != NULL);
}

TEST_IN_FOLDER(files) {
  check_file(1, 0, ES_FIT_PAD, 12);
  check_file(3, 1, ES_FIT_RESIZE, 8);
  check_file(3, 7, ES_FIT_RESIZE, 11);
  check_file(1, 23, ES_FIT_RESIZE, 16);
}
