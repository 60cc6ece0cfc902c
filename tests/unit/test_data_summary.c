/* Summaries of datasets, guessing formats, and synthetic images written to a file. */
#define _GNU_SOURCE /* fallocate */
#include "../../src/data/images.h"
#include "eigenscope/data.h"
#include "eigenscope/file.h"
#include "support/datasets.h"
#include "support/hdf5_leaks.h"
#include "support/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { TRAIN = 53, EVAL = 31, CLASSES = 4 };

static const char path[] = "images.h5";

static es_dataset_summary_t summarize(const es_dataset_spec_t *spec) {
  es_dataset_summary_t summary;
  assert_ok(es_dataset_summarize(&summary, spec, fresh()));
  return summary;
}

/* Mean and deviation of idx_pixel's bytes by definition, in double. */
static void check_moments(const es_dataset_summary_t *s) {
  const es_dataset_info_t *info = &s->info;
  for (int split = 0; split < ES_SPLITS; split++) {
    int64_t n = info->count[split] * info->height * info->width;
    for (int c = 0; c < 3; c++) {
      double sum = 0, squares = 0; /* exact sums of integers; then of squared deviations */
      int from = c < info->channels ? c : 0;
      for (int64_t i = 0; i < n; i++) sum += idx_pixel(split, i * info->channels + from);
      for (int64_t i = 0; i < n; i++) {
        double deviation = idx_pixel(split, i * info->channels + from) - sum / (double)n;
        squares += deviation * deviation;
      }
      assert_true(fabs(s->mean[split][c] - sum / (double)n / 255) < 1e-14);
      assert_true(fabs(s->deviation[split][c] - sqrt(squares / (double)n) / 255) < 1e-10);
    }
  }
}

/* Compares with loading: equal fingerprint, and for images of original size equal normalisation. */
static void check_loaded(const es_dataset_spec_t *spec, const es_dataset_summary_t *s) {
  es_dataset_t *dataset;
  es_samples_t samples;
  es_point_t point = {.dataset = *spec};
  assert_ok(es_dataset_load(&dataset, spec, s->info.height, MPI_COMM_NULL, fresh()));
  assert_string_equal(es_dataset_fingerprint(dataset), s->fingerprint);
  assert_memory_equal(es_dataset_info(dataset), &s->info, sizeof s->info);
  assert_ok(es_point_bind(&point, &s->info, "job.yaml", fresh()));
  assert_ok(es_samples_select(&samples, dataset, &point, ES_TRAIN, fresh()));
  assert_memory_equal(samples.mean, s->mean[ES_TRAIN], sizeof samples.mean);
  assert_memory_equal(samples.deviation, s->deviation[ES_TRAIN], sizeof samples.deviation);
  es_samples_destroy(&samples);
  es_dataset_destroy(dataset);
}

TEST_IN_FOLDER(formats) {
  idx_write_all(folder, true, TRAIN, EVAL, 9, 9, CLASSES);
  es_dataset_spec_t spec = data_spec(ES_FORMAT_IDX, folder);
  es_dataset_summary_t s = summarize(&spec);
  check_moments(&s);
  check_loaded(&spec, &s);
  cifar10_write(folder, 60, EVAL, CLASSES);
  spec = data_spec(ES_FORMAT_CIFAR10, folder);
  s = summarize(&spec);
  check_moments(&s);
  check_loaded(&spec, &s);
  h5_layout_t layout = h5_layout(TRAIN, EVAL, 9, 9, 3, CLASSES);
  h5_write(path, &layout, NULL);
  spec = data_spec(ES_FORMAT_HDF5, path);
  s = summarize(&spec);
  check_moments(&s);
  check_loaded(&spec, &s);
}

/* More than is read at once; images are not square. */
TEST_IN_FOLDER(many) {
  idx_write_all(folder, false, 2500, EVAL, 80, 60, CLASSES);
  es_dataset_spec_t spec = data_spec(ES_FORMAT_IDX, folder);
  es_dataset_summary_t s = summarize(&spec);
  check_moments(&s);
  assert_int_equal(s.info.height, 80);
  assert_int_equal(s.info.width, 60);
}

TEST_IN_FOLDER(failures) {
  es_dataset_summary_t s;
  es_dataset_spec_t spec = data_spec(ES_FORMAT_IDX, "no/such/folder");
  assert_int_equal(es_dataset_summarize(&s, &spec, fresh()), ES_INPUT);
  idx_write_all(folder, true, 300, EVAL, 64, 64, CLASSES);
  idx_damage_packed(folder, IDX_EVAL_IMAGES, 6);
  spec = data_spec(ES_FORMAT_IDX, folder);
  assert_fails_with(es_dataset_summarize(&s, &spec, fresh()), ES_INPUT,
                    "t10k-images-idx3-ubyte.gz: has damaged gzip data");
}

/* ---- guesses ---- */

static void assert_guess(const char *where, es_format_t format, const char *name) {
  es_format_t guessed = ES_FORMAT_SYNTHETIC;
  char found[ES_PATH_MAX] = "";
  assert_true(es_dataset_guess(where, &guessed, found));
  assert_int_equal(guessed, format);
  assert_string_equal(found, name);
}

TEST_IN_FOLDER(guesses) {
  es_format_t format;
  char found[ES_PATH_MAX];
  assert_false(es_dataset_guess(folder, &format, found));
  assert_false(es_dataset_guess(path, &format, found));
  file_write("images.h5", "text", 4);
  assert_false(es_dataset_guess(path, &format, found));
  h5_layout_t layout = h5_layout(8, 8, 4, 4, 1, 2);
  h5_write(path, &layout, NULL);
  assert_guess(path, ES_FORMAT_HDF5, "its first bytes");
  file_write("train.bin.gz", "", 0);
  assert_guess(folder, ES_FORMAT_CIFAR100, "train.bin.gz");
  file_write("data_batch_1.bin", "", 0);
  assert_guess(folder, ES_FORMAT_CIFAR10, "data_batch_1.bin");
  file_write("train-images-idx3-ubyte.gz", "", 0);
  assert_guess(folder, ES_FORMAT_IDX, "train-images-idx3-ubyte.gz");
}

/* A row is found at any position, also behind one that reads nothing from disk. */
TEST_IN_FOLDER(guesses_in_any_order) {
  const es_dataset_reader_t made = {.anywhere = true}, marked = {.hint = "a folder", .mark = "mark.bin"};
  const es_dataset_reader_t *const rows[] = {&made, &marked};
  char found[ES_PATH_MAX];
  assert_int_equal(es_readers_guess(rows, 2, folder, found), -1);
  file_write("mark.bin.gz", "", 0);
  assert_int_equal(es_readers_guess(rows, 2, folder, found), 1);
  assert_string_equal(found, "mark.bin.gz");
}

/* Each row has all members that other modules need, and option help names the formats of files. */
TEST(rows) {
  es_text_t words = {0};
  for (es_format_t f = 0; f < ES_FORMATS_COUNT; f++) {
    const es_dataset_reader_t *r = es_reader_of(f);
    assert_true(r->inspect != NULL && r->read != NULL);
    assert_true(r->hint != NULL || (r->mark == NULL && r->found == NULL));
    if (r->hint != NULL) es_text_append(&words, "%s%s", words.length > 0 ? "|" : "", es_format_words[f]);
  }
  assert_string_equal(es_text_get(&words), ES_FORMAT_WORDS);
  es_text_destroy(&words);
}

/* ---- synthetic images written to a file ---- */

static es_synthetic_t synthetic(int32_t channels) {
  return (es_synthetic_t){
      .classes = 3, .complexity = 4, .size = 12, .channels = channels, .train = 50, .eval = 20, .seed = 5};
}

static void write_synthetic(const es_synthetic_t *spec) {
  assert_ok(es_synthetic_write(path, spec, "a test", fresh()));
}

/* The file holds the generator's numbers, fingerprint and pixels. */
TEST_IN_FOLDER(written_images) {
  for (int32_t channels = 1; channels <= 3; channels += 2) {
    es_dataset_spec_t made = {.name = "made", .format = ES_FORMAT_SYNTHETIC, .synthetic = synthetic(channels)};
    es_dataset_spec_t file = data_spec(ES_FORMAT_HDF5, path);
    write_synthetic(&made.synthetic);
    es_dataset_summary_t a = summarize(&made), b = summarize(&file);
    assert_memory_equal(&a.info, &b.info, sizeof a.info);
    assert_string_equal(a.fingerprint, b.fingerprint);
    assert_memory_equal(a.mean, b.mean, sizeof a.mean);
    assert_memory_equal(a.deviation, b.deviation, sizeof a.deviation);
  }
}

TEST_IN_FOLDER(written_twice_is_the_same_file) {
  char *first, *second;
  size_t first_size, second_size;
  es_synthetic_t spec = synthetic(3);
  write_synthetic(&spec);
  assert_ok(es_file_read(path, &first, &first_size, fresh()));
  sleep(1); /* the file contains no time */
  write_synthetic(&spec);
  assert_ok(es_file_read(path, &second, &second_size, fresh()));
  assert_int_equal(first_size, second_size);
  assert_memory_equal(first, second, first_size);
  es_free(first);
  es_free(second);
}

static void assert_not_written(const char *where, const es_synthetic_t *spec, es_code_t code, const char *message) {
  assert_int_equal(es_synthetic_write(where, spec, "a test", fresh()), code);
  assert_string_equal(said.message, message);
}

TEST_IN_FOLDER(refused) {
  es_synthetic_t spec = synthetic(3);
  char message[512];
  assert_not_written("no/such/folder/x.h5", &spec, ES_SYSTEM,
                     "no/such/folder/x.h5: cannot be written: No such file or directory");
  snprintf(message, sizeof message, "%s: cannot be written: Is a directory", folder);
  assert_not_written(folder, &spec, ES_SYSTEM, message);
  spec.classes = 1;
  assert_not_written(path, &spec, ES_INPUT, "synthetic images: classes is 1, but must be from 2 to 1024");
  assert_false(es_file_exists(path));
}

/* Replaces libc's function. Many file systems cannot reserve space; then HDF5 reaches the limit. */
static bool cannot_reserve;

int fallocate(int descriptor, int mode, off_t offset, off_t size) {
  if (!cannot_reserve) return (int)syscall(SYS_fallocate, descriptor, mode, offset, size);
  errno = EOPNOTSUPP;
  return -1;
}

/* A disk that fills at any point of the file: the old file stays, nothing else is left. */
static void check_no_room(void) {
  es_synthetic_t spec = synthetic(3);
  struct stat facts;
  char message[512];
  write_synthetic(&spec);
  assert_int_equal(stat(path, &facts), 0);
  file_write("images.h5", "before", 6);
  snprintf(message, sizeof message, "%s: cannot be written: File too large", path);
  const off_t whole = facts.st_size;
  const int files = folder_count();
  for (off_t limit = 0; limit < whole; limit += 500) {
    file_size_limit((long)limit);
    es_code_t code = es_synthetic_write(path, &spec, "a test", fresh());
    file_size_limit(-1);
    assert_int_equal(code, ES_SYSTEM);
    assert_string_equal(said.message, message);
    assert_int_equal(folder_count(), files);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_size, 6);
  }
  write_synthetic(&spec);
}

TEST_IN_FOLDER(no_room) {
  for (int pass = 0; pass < 2; pass++) {
    cannot_reserve = pass == 1;
    check_no_room();
  }
  cannot_reserve = false;
}
