/* Journals of states: rows are written once, every damage is found, and what other processes do harms nothing. */
#include "eigenscope/file.h"
#include "eigenscope/journal.h"
#include "support/unit.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EPOCHS = 300, WIDTH = 5 };

static double loss[2 * EPOCHS], values[EPOCHS * WIDTH];
static int32_t block[7] = {1, 2, 3, 4, 5, 6, 7};
static const char path[] = "point.safetensors";

/* Three tensors; `n` of them are part of the state. */
static es_tensor_view_t views[3] = {
    {.name = "loss", .dtype = ES_F64, .rank = 1, .shape = {2 * EPOCHS}, .data = loss, .row = 1},
    {.name = "values", .dtype = ES_F64, .rank = 2, .shape = {EPOCHS, WIDTH}, .data = values, .row = WIDTH},
    {.name = "block", .dtype = ES_I32, .rank = 1, .shape = {7}, .data = block, .row = 7}};

static void forget(void) {
  for (int i = 0; i < 2 * EPOCHS; i++) loss[i] = -1;
  for (int i = 0; i < EPOCHS * WIDTH; i++) values[i] = -1;
}

static void measure(int epoch) {
  loss[epoch] = 0.1 * epoch;
  loss[EPOCHS + epoch] = 0.2 * epoch;
  for (int i = 0; i < WIDTH; i++) values[epoch * WIDTH + i] = epoch + 0.01 * i;
}

/* Saves; the list goes to `list`. */
static void save(es_journal_t *journal, int n, char list[512]) {
  es_text_t text = {0};
  assert_ok(es_journal_append(journal, path, views, n, &text, fresh()));
  assert_ok(es_journal_sync(journal, path, fresh()));
  snprintf(list, 512, "%s", es_text_get(&text));
  es_text_destroy(&text);
}

/* Loads into an empty state. */
static es_code_t load(es_journal_t *journal, const char *list, es_safetensors_t **file) {
  *journal = (es_journal_t){0};
  if (es_file_is_missing(path)) assert_ok(es_safetensors_write(path, NULL, 0, NULL, 0, fresh()));
  assert_ok(es_safetensors_read(file, path, fresh()));
  return es_journal_load(journal, list, *file, fresh());
}

static void check_same(const es_safetensors_t *file, int n) {
  assert_int_equal(es_safetensors_count(file), n);
  for (int i = 0; i < n; i++) {
    const es_tensor_view_t *found = es_safetensors_find(file, views[i].name);
    assert_non_null(found);
    assert_int_equal(found->rank, views[i].rank);
    assert_memory_equal(found->data, views[i].data, (size_t)es_tensor_count(found) * es_dtype_size(found->dtype));
  }
}

/* Loads and compares with the views. */
static void check(const char *list, int n) {
  es_journal_t journal;
  es_safetensors_t *file;
  assert_ok(load(&journal, list, &file));
  check_same(file, n);
  es_safetensors_destroy(file);
  es_journal_close(&journal);
}

static void name_of(const char *list, char name[256]) {
  snprintf(name, 256, "%.*s", (int)strcspn(list, ":"), list);
}

TEST_IN_FOLDER(rows_are_written_once) {
  es_journal_t journal = {0};
  char list[512], name[256], *data;
  size_t size, rows = 0;
  forget();
  for (int epoch = 0; epoch < EPOCHS; epoch++) {
    measure(epoch);
    save(&journal, 2, list);
    if (epoch % 50 == 0) check(list, 2);
    rows += (2 + WIDTH) * sizeof(double);
  }
  save(&journal, 2, list); /* nothing has changed */
  check(list, 2);
  name_of(list, name);
  assert_ok(es_file_read(name, &data, &size, fresh()));
  es_free(data);
  assert_true(size < rows + (size_t)EPOCHS * 32);
  es_journal_close(&journal);
}

TEST_IN_FOLDER(older_rows_and_tensors_change) {
  es_journal_t journal = {0};
  char list[512], first[512];
  forget();
  measure(0);
  save(&journal, 3, first);
  values[2] = 7;
  block[3]++;
  measure(9);
  save(&journal, 3, list);
  check(list, 3);
  save(&journal, 2, list); /* without the block */
  check(list, 2);
  save(&journal, 3, list); /* and again with it */
  check(list, 3);
  es_journal_close(&journal);
  es_safetensors_t *file;
  assert_ok(load(&journal, first, &file)); /* an earlier state needs less of the same file */
  assert_true(((const double *)es_safetensors_find(file, "values")->data)[2] == 0.02);
  es_safetensors_destroy(file);
  es_journal_close(&journal);
}

TEST_IN_FOLDER(a_process_continues_in_a_file_of_its_own) {
  es_journal_t journal = {0};
  char list[512], other[512];
  es_safetensors_t *file;
  forget();
  measure(0);
  save(&journal, 3, list);
  es_journal_close(&journal);
  assert_ok(load(&journal, list, &file));
  es_safetensors_destroy(file);
  measure(1);
  save(&journal, 3, other);
  assert_non_null(strchr(other, ' '));
  check(other, 3);
  /* Another process finishes the point and removes all files: everything is written again. */
  assert_true(es_journal_exists(path, other));
  es_journal_remove(path);
  assert_false(es_journal_exists(path, other));
  measure(2);
  save(&journal, 3, other);
  assert_null(strchr(other, ' '));
  check(other, 3);
  es_journal_close(&journal);
}

TEST_IN_FOLDER(every_flipped_bit_and_every_cut) {
  es_journal_t journal = {0};
  es_safetensors_t *file;
  char list[512], name[256], *data;
  size_t size;
  forget();
  for (int epoch = 0; epoch < 3; epoch++) {
    measure(epoch);
    save(&journal, 3, list);
  }
  es_journal_close(&journal);
  name_of(list, name);
  assert_ok(es_file_read(name, &data, &size, fresh()));
  for (size_t bit = 0; bit < 8 * size; bit += 7) {
    data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
    file_write(name, data, size);
    if (load(&journal, list, &file) != ES_INPUT) fail_msg("bit %zu flipped unnoticed", bit);
    es_safetensors_destroy(file);
    data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
  }
  for (size_t cut = 0; cut < size; cut += 3) {
    file_write(name, data, cut);
    assert_int_equal(load(&journal, list, &file), ES_INPUT);
    assert_non_null(strstr(said.message, "is cut off"));
    assert_false(es_journal_exists(path, list));
    es_safetensors_destroy(file);
  }
  unlink(name);
  assert_int_equal(load(&journal, list, &file), ES_INPUT);
  assert_non_null(strstr(said.message, "is missing"));
  es_safetensors_destroy(file);
  es_free(data);
}

/* Lists that no state of ours holds; none may name a file outside the folder. */
TEST_IN_FOLDER(wrong_lists) {
  static const char *const lists[] = {"a",        "a:",   "a:1",        "a:x:1",     ":1:1",
                                      "../a:1:1", "a:1:", "a:1:2 b:1:", "/etc/a:1:1"};
  es_journal_t journal;
  es_safetensors_t *file;
  file_write("a", "eigenscope journal 1\n", 21);
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
    assert_int_equal(load(&journal, lists[i], &file), ES_INPUT);
    es_safetensors_destroy(file);
  }
}

/* A record with a right hash but a wrong content. */
TEST_IN_FOLDER(wrong_records) {
  static const struct {
    const char *bytes;
    size_t size;
  } contents[] = {{"\x09", 1}, /* rows of no tensor */
                  {"\x0a", 1}, /* the same rows, without any before */
                  {"\x08\x04loss\x03"
                   "F64\x01\x02\x03"
                   "12345678",
                   20}, /* rows that do not divide the tensor */
                  {"\x08\x04loss\x03"
                   "F65\x01\x02\x01"
                   "12345678",
                   20}, /* unknown dtype */
                  {"\x08\x04loss\x03"
                   "F64\x01\x02\x01"
                   "1234",
                   16}, /* too short */
                  {"\x08\x04loss\x03"
                   "F64\x01\x02\x01"
                   "12345678\x01\x01\x03\x01",
                   24}, /* row 3 of 2 */
                  {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11}};
  es_journal_t journal;
  es_safetensors_t *file;
  for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
    char bytes[128] = "eigenscope journal 1\n", list[64];
    const size_t n = contents[i].size;
    const uint64_t hash = es_hash(contents[i].bytes, n, 0);
    bytes[21] = (char)n;
    memcpy(bytes + 29, contents[i].bytes, n);
    memcpy(bytes + 29 + n, &hash, 8);
    file_write("a", bytes, 37 + n);
    snprintf(list, sizeof list, "a:%zu:%016llx", 37 + n, (unsigned long long)hash);
    assert_int_equal(load(&journal, list, &file), ES_INPUT);
    assert_non_null(strstr(said.message, "has a wrong record"));
    es_safetensors_destroy(file);
  }
}
