/* safetensors: written and read back, and files as other programs write them. Damage: test_checkpoint_damage.c. */
#include "eigenscope/checkpoint.h"
#include "eigenscope/file.h"
#include "support/unit.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Tensors of every dtype, rank 0 to 3, one of them empty, in an order that would leave doubles unaligned. */
static const uint8_t BYTES[3] = {1, 2, 255};
static const float WEIGHTS[6] = {0.5f, -1.25f, 3e-39f, 4, 5, 6};
static const double TRACES[2] = {1.0 / 3.0, -0.0};
static const int32_t LABELS[4] = {INT32_MIN, -1, 0, INT32_MAX};
static const int64_t STEP[1] = {INT64_MAX};
static const es_tensor_view_t TENSORS[] = {
    {.name = "bytes", .dtype = ES_U8, .rank = 1, .shape = {3}, .data = BYTES},
    {.name = "features.0.weight", .dtype = ES_F32, .rank = 3, .shape = {1, 2, 3}, .data = WEIGHTS},
    {.name = "trace", .dtype = ES_F64, .rank = 1, .shape = {2}, .data = TRACES},
    {.name = "labels", .dtype = ES_I32, .rank = 2, .shape = {2, 2}, .data = LABELS},
    {.name = "step", .dtype = ES_I64, .rank = 0, .data = STEP},
    {.name = "empty \"quoted\" \xc3\xa9", .dtype = ES_F32, .rank = 2, .shape = {0, 7}, .data = NULL},
};
enum { N_TENSORS = sizeof TENSORS / sizeof *TENSORS };
static const es_metadata_t METADATA[] = {{"job", "name: t\n\"x\"\t\\ \x01\x7f"}, {"epoch", "3"}, {"unit \xc2\xb5", ""}};

static void write_example(const char *path) {
  assert_ok(es_safetensors_write(path, TENSORS, N_TENSORS, METADATA, 3, fresh()));
}

TEST_IN_FOLDER(round_trip) {
  es_safetensors_t *file = NULL;
  write_example("a.safetensors");
  assert_ok(es_safetensors_read(&file, "a.safetensors", fresh()));
  assert_int_equal(es_safetensors_count(file), N_TENSORS);
  for (int i = 0; i < N_TENSORS; i++) {
    const es_tensor_view_t *tensor = es_safetensors_find(file, TENSORS[i].name);
    assert_non_null(tensor);
    assert_int_equal(tensor->dtype, TENSORS[i].dtype);
    assert_int_equal(tensor->rank, TENSORS[i].rank);
    size_t bytes = es_dtype_size(tensor->dtype);
    for (int32_t j = 0; j < tensor->rank; j++) {
      assert_int_equal(tensor->shape[j], TENSORS[i].shape[j]);
      bytes *= (size_t)tensor->shape[j];
    }
    if (bytes > 0) assert_memory_equal(tensor->data, TENSORS[i].data, bytes);
  }
  for (int i = 0; i < 3; i++) assert_string_equal(es_safetensors_metadata(file, METADATA[i].key), METADATA[i].value);
  assert_string_equal(es_safetensors_metadata(file, "writer"), "eigenscope");
  assert_null(es_safetensors_metadata(file, "epochs"));
  assert_null(es_safetensors_find(file, "features.0"));
  assert_null(es_safetensors_tensor(file, -1));
  assert_null(es_safetensors_tensor(file, N_TENSORS));
  es_safetensors_destroy(file);
  es_safetensors_destroy(NULL);
}

TEST_IN_FOLDER(nothing_to_store) {
  es_safetensors_t *file = NULL;
  assert_ok(es_safetensors_write("none", NULL, 0, NULL, 0, fresh()));
  assert_ok(es_safetensors_read(&file, "none", fresh()));
  assert_int_equal(es_safetensors_count(file), 0);
  assert_null(es_safetensors_find(file, ""));
  es_safetensors_destroy(file);
}

/* 3 + 24 + 16 + 16 + 8 bytes: doubles and int64 first, then float and int32, then bytes, each group in given order. */
TEST_IN_FOLDER(order_and_alignment) {
  static const char *const order[] = {"trace", "step", "features.0.weight", "labels", "empty \"quoted\" \xc3\xa9",
                                      "bytes"};
  es_safetensors_t *file = NULL;
  char *bytes;
  size_t size;
  write_example("a.safetensors");
  assert_ok(es_safetensors_read(&file, "a.safetensors", fresh()));
  for (int i = 0; i < N_TENSORS; i++) {
    const es_tensor_view_t *tensor = es_safetensors_tensor(file, i);
    /* The empty tensor starts at the position of "bytes". */
    assert_string_equal(tensor->name, order[i]);
    assert_int_equal((uintptr_t)tensor->data % es_dtype_size(tensor->dtype), 0);
  }
  es_safetensors_destroy(file);
  assert_ok(es_file_read("a.safetensors", &bytes, &size, fresh()));
  assert_int_equal(size % 64, 3 + 24 + 16 + 16 + 8 - 64);
  assert_memory_equal(bytes + size - 67, TRACES, 16);
  assert_memory_equal(bytes + size - 3, BYTES, 3);
  es_free(bytes);
}

/* The whole file of one tensor, byte by byte; the seal is computed here from its definition. */
TEST_IN_FOLDER(bytes_of_the_file) {
  static const int32_t value[2] = {1, -2};
  es_tensor_view_t tensor = {.name = "w", .dtype = ES_I32, .rank = 1, .shape = {2}, .data = value};
  es_metadata_t entry = {"epoch", "3"};
  uint64_t seal = es_hash("epoch", 6, 0);
  seal = es_hash("3", 2, seal);
  seal = es_hash("writer", 7, seal);
  seal = es_hash("eigenscope", 11, seal);
  seal = es_hash("w", 2, seal);
  seal = es_hash("I32", 4, seal);
  seal = es_hash("2", 2, seal);
  seal = es_hash(value, 8, seal);
  char header[256];
  int length = snprintf(header, sizeof header,
                        "{\"__metadata__\":{\"epoch\":\"3\",\"writer\":\"eigenscope\",\"xxh3\":\"%016llx\"},"
                        "\"w\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
                        (unsigned long long)seal);
  char *bytes;
  size_t size;
  assert_ok(es_safetensors_write("w", &tensor, 1, &entry, 1, fresh()));
  assert_ok(es_file_read("w", &bytes, &size, fresh()));
  assert_int_equal(size, 192 + 8);
  static const unsigned char start[8] = {184, 0, 0, 0, 0, 0, 0, 0};
  assert_memory_equal(bytes, start, 8);
  assert_memory_equal(bytes + 8, header, (size_t)length);
  for (size_t i = 8 + (size_t)length; i < 192; i++) assert_int_equal(bytes[i], ' ');
  static const unsigned char data[8] = {1, 0, 0, 0, 254, 255, 255, 255};
  assert_memory_equal(bytes + 192, data, 8);
  es_free(bytes);
}

static void put_file(const char *path, const char *header, const void *data, size_t size) {
  char bytes[2048] = {0};
  size_t length = strlen(header);
  assert_true(8 + length + size <= sizeof bytes);
  for (int i = 0; i < 8; i++) bytes[i] = (char)(length >> (8 * i) & 0xff);
  memcpy(bytes + 8, header, length);
  memcpy(bytes + 8 + length, data, size);
  assert_ok(es_file_write_atomic(path, bytes, 8 + length + size, fresh()));
}

/* Files as the Python library writes them: entries in any order, blanks, escapes, no seal, a header of odd length. */
TEST_IN_FOLDER(foreign_file) {
  static const char header[] = "{ \"b\" : {\"shape\": [ 2 ],\n\t\"data_offsets\":[1,17],\"dtype\":\"F64\"},"
                               "\"__metadata__\":{\"format\":\"pt\",\"note\":\"\\u00b5 \\ud83d\\ude00\\/\\n\"},"
                               "\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}\r\n ";
  unsigned char data[17] = {7};
  const double values[2] = {0.1, -2};
  memcpy(data + 1, values, 16);
  put_file("foreign", header, data, sizeof data);
  es_safetensors_t *file = NULL;
  assert_ok(es_safetensors_read(&file, "foreign", fresh()));
  assert_string_equal(es_safetensors_tensor(file, 0)->name, "a");
  assert_int_equal(*(const uint8_t *)es_safetensors_tensor(file, 0)->data, 7);
  const es_tensor_view_t *b = es_safetensors_find(file, "b");
  assert_int_equal((uintptr_t)b->data % 8, 0);
  assert_true(((const double *)b->data)[0] == 0.1 && ((const double *)b->data)[1] == -2);
  assert_string_equal(es_safetensors_metadata(file, "note"), "\xc2\xb5 \xf0\x9f\x98\x80/\n");
  assert_string_equal(es_safetensors_metadata(file, "format"), "pt");
  assert_null(es_safetensors_metadata(file, "xxh3"));
  es_safetensors_destroy(file);
}

/* All halves by their definition; doubles and bfloat16 by example. */
TEST_IN_FOLDER(to_float) {
  static uint16_t halves[65536];
  static float found[65536];
  for (int i = 0; i < 65536; i++) halves[i] = (uint16_t)i;
  es_tensor_to_float(&(es_tensor_view_t){.dtype = ES_F16, .rank = 2, .shape = {256, 256}, .data = halves}, found);
  for (int i = 0; i < 65536; i++) {
    const int exponent = i >> 10 & 31, fraction = i & 1023;
    double value = exponent > 0 ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    if (exponent == 31) value = fraction > 0 ? (double)NAN : (double)INFINITY;
    if (i >> 15) value = -value;
    assert_true(isnan(value) ? isnan(found[i])
                             : (double)found[i] == value && (signbit(found[i]) != 0) == (i >> 15 != 0));
  }
  static const uint16_t upper[4] = {0x3f80, 0xc2f7, 0x0001, 0x7f80};
  es_tensor_to_float(&(es_tensor_view_t){.dtype = ES_BF16, .rank = 1, .shape = {4}, .data = upper}, found);
  assert_true(found[0] == 1.0f && found[1] == -123.5f && found[2] == 0x1p-133f && isinf(found[3]));
  static const double doubles[3] = {1.0 / 3.0, -1e-60, 1.0 + 0x1p-24 + 0x1p-50};
  es_tensor_to_float(&(es_tensor_view_t){.dtype = ES_F64, .rank = 1, .shape = {3}, .data = doubles}, found);
  assert_true(found[0] == 1.0f / 3.0f && found[1] == 0.0f && found[2] == 1.0f + 0x1p-23f);
  es_tensor_to_float(&TENSORS[1], found);
  assert_memory_equal(found, WEIGHTS, sizeof WEIGHTS);
}

/* Opening reads the header alone. It stores the fingerprint of our files; that of foreign files is computed. */
TEST_IN_FOLDER(open_and_fingerprint) {
  static const char header[] = "{\"a\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[0,2]}}";
  es_safetensors_t *file = NULL;
  char ours[17], first[17], second[17];
  write_example("a.safetensors");
  assert_ok(es_safetensors_open(&file, "a.safetensors", fresh()));
  assert_null(es_safetensors_find(file, "trace")->data);
  assert_ok(es_safetensors_fingerprint(file, ours, fresh()));
  assert_null(es_safetensors_find(file, "trace")->data);
  assert_string_equal(ours, es_safetensors_metadata(file, "xxh3"));
  assert_string_equal(es_safetensors_entry(file, 0)->key, "job");
  assert_null(es_safetensors_entry(file, 5));
  assert_string_equal(es_safetensors_path(file), "a.safetensors");
  assert_ok(es_safetensors_load(file, fresh()));
  assert_memory_equal(es_safetensors_find(file, "trace")->data, TRACES, sizeof TRACES);
  es_safetensors_destroy(file);
  for (int i = 0; i < 2; i++) {
    put_file("foreign", header, i == 0 ? "\x80\x3f" : "\x81\x3f", 2);
    assert_ok(es_safetensors_open(&file, "foreign", fresh()));
    assert_ok(es_safetensors_fingerprint(file, i == 0 ? first : second, fresh()));
    es_safetensors_destroy(file);
  }
  assert_string_not_equal(first, second);
}

TEST_IN_FOLDER(files_that_cannot_be_reached) {
  es_safetensors_t *file = NULL;
  assert_int_equal(es_safetensors_read(&file, "missing", fresh()), ES_SYSTEM);
  assert_null(file);
  assert_non_null(strstr(said.message, "missing: "));
  assert_fails_with(es_safetensors_write("no/such/folder", TENSORS, N_TENSORS, NULL, 0, fresh()), ES_SYSTEM,
                    "no/such/folder: ");
}

/* A failed save leaves the earlier checkpoint unchanged. */
TEST_IN_FOLDER(refused_content) {
  char *before, *after;
  size_t size_before, size_after;
  write_example("a");
  assert_ok(es_file_read("a", &before, &size_before, fresh()));
  es_tensor_view_t bad[2] = {TENSORS[0], TENSORS[0]};
  const es_metadata_t sealed = {"xxh3", "0"}, latin = {"note", "\xe9"}, twice[2] = {{"k", "1"}, {"k", "2"}};
  assert_int_equal(es_safetensors_write("a", bad, 2, NULL, 0, fresh()), ES_BUG);
  assert_string_equal(said.stage, "checkpoint");
  assert_int_equal(es_safetensors_write("a", NULL, 0, &sealed, 1, fresh()), ES_BUG);
  assert_int_equal(es_safetensors_write("a", NULL, 0, &latin, 1, fresh()), ES_BUG);
  assert_int_equal(es_safetensors_write("a", NULL, 0, twice, 2, fresh()), ES_BUG);
  strcpy(bad[1].name, "__metadata__");
  assert_int_equal(es_safetensors_write("a", bad, 2, NULL, 0, fresh()), ES_BUG);
  strcpy(bad[1].name, "c");
  bad[1].shape[0] = -3;
  assert_int_equal(es_safetensors_write("a", bad, 2, NULL, 0, fresh()), ES_BUG);
  assert_ok(es_file_read("a", &after, &size_after, fresh()));
  assert_int_equal(size_before, size_after);
  assert_memory_equal(before, after, size_before);
  es_free(before);
  es_free(after);
}
