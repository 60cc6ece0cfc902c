/* Damaged safetensors: all are refused as ES_INPUT, with a message that names the file and the defect. */
#include "eigenscope/checkpoint.h"
#include "eigenscope/clock.h"
#include "eigenscope/file.h"
#include "support/unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char path[] = "file";

/* The file must be refused with a message that contains `what`. */
static void refused(const char *what) {
  es_status_t status = {0};
  es_safetensors_t *file = (es_safetensors_t *)&status;
  es_code_t code = es_safetensors_read(&file, path, &status);
  if (code != ES_INPUT) fail_msg("expected \"%s\", got code %d: %s", what, (int)code, status.message);
  assert_null(file);
  assert_int_equal(strncmp(status.message, path, strlen(path)), 0);
  if (strstr(status.message, what) == NULL) fail_msg("expected \"%s\", got: %s", what, status.message);
}

/* As `refused`, for a file of this header and `size` zero bytes of data. */
static void header_refused(const char *header, size_t size, const char *what) {
  char bytes[1024] = {0};
  size_t length = strlen(header);
  assert_true(8 + length + size <= sizeof bytes);
  bytes[0] = (char)(length & 0xff);
  bytes[1] = (char)(length >> 8);
  memcpy(bytes + 8, header, length);
  file_write(path, bytes, 8 + length + size);
  refused(what);
}

/* A small file of eigenscope: two tensors and two entries. */
static char *example(size_t *size) {
  static const float weights[3] = {1, 2, 3};
  static const uint8_t bytes[2] = {4, 5};
  const es_tensor_view_t tensors[2] = {{.name = "w", .dtype = ES_F32, .rank = 1, .shape = {3}, .data = weights},
                                       {.name = "b", .dtype = ES_U8, .rank = 2, .shape = {1, 2}, .data = bytes}};
  const es_metadata_t entry = {"epoch", "3"};
  char *data;
  assert_ok(es_safetensors_write(path, tensors, 2, &entry, 1, fresh()));
  assert_ok(es_file_read(path, &data, size, fresh()));
  return data;
}

TEST_IN_FOLDER(cut_anywhere) {
  size_t size;
  char *bytes = example(&size);
  for (size_t cut = 0; cut < size; cut++) {
    file_write(path, bytes, cut);
    refused(cut < 8 ? "a safetensors file has at least 8" : "cut off");
  }
  es_free(bytes);
}

TEST_IN_FOLDER(longer_than_it_should_be) {
  size_t size;
  char *bytes = example(&size), longer[1024];
  assert_true(size < sizeof longer);
  memcpy(longer, bytes, size);
  longer[size] = ' ';
  file_write(path, longer, size + 1);
  refused("belong to no tensor");
  es_free(bytes);
}

/* Length, header, padding, data: every flipped bit is found. */
TEST_IN_FOLDER(every_flipped_bit) {
  size_t size, found_by_seal = 0;
  char *bytes = example(&size);
  for (size_t bit = 0; bit < 8 * size; bit++) {
    bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
    file_write(path, bytes, size);
    es_safetensors_t *file = NULL;
    if (es_safetensors_read(&file, path, fresh()) != ES_INPUT) fail_msg("bit %zu flipped unnoticed", bit);
    found_by_seal += strstr(said.message, "xxh3") != NULL;
    bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
  }
  /* All of the data (14 bytes), and changes that give another valid header. */
  assert_true(found_by_seal > 8 * 14 + 100);
  file_write(path, bytes, size);
  es_safetensors_t *file = NULL;
  assert_ok(es_safetensors_read(&file, path, fresh()));
  es_safetensors_destroy(file);
  es_free(bytes);
}

TEST_IN_FOLDER(length_that_lies) {
  file_write(path, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
  refused("say that the header has 18446744073709551615 bytes, but at most 2 are possible");
  file_write(path, "\x03\0\0\0\0\0\0\0{}", 10);
  refused("say that the header has 3 bytes, but at most 2 are possible");
  file_write(path, "\x01\0\0\0\0\0\0\0{}", 10);
  refused("a string was expected");
  file_write(path, "\0\0\0\0\0\0\0\0{}", 10);
  refused("an object ({) was expected");
}

TEST_IN_FOLDER(header_too_long) {
  /* The file, mostly a hole, does contain a header of 100 MB + 1. */
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  const uint64_t length = 100000001;
  assert_int_equal(fwrite(&length, 8, 1, file), 1);
  assert_int_equal(fseek(file, 100000100, SEEK_SET), 0);
  assert_int_equal(fputc(0, file), 0);
  assert_int_equal(fclose(file), 0);
  refused("at most 100000000 are possible");
}

/* A claim of 100 GB is refused at once, whether the data exist or not, because only the header is read. */
TEST_IN_FOLDER(huge) {
  static const char header[] = "{\"w\":{\"dtype\":\"F32\",\"shape\":[25000000000],\"data_offsets\":[0,100000000000]}}";
  const double start = es_clock();
  char bytes[8 + sizeof header] = {0};
  bytes[0] = sizeof header - 1;
  memcpy(bytes + 8, header, sizeof header - 1);
  file_write(path, bytes, 8 + sizeof header - 1);
  refused("the header describes 100000000000 bytes of data, but the file has 0");
  assert_int_equal(truncate(path, 8 + sizeof header - 1 + 100000000000), 0);
  es_safetensors_t *file = NULL;
  assert_ok(es_safetensors_open(&file, path, fresh()));
  assert_int_equal(es_tensor_count(es_safetensors_tensor(file, 0)), 25000000000);
  assert_null(es_safetensors_tensor(file, 0)->data);
  es_safetensors_destroy(file);
  file_write(path, "", 0);
  assert_int_equal(truncate(path, 100000000000), 0);
  refused("an object ({) was expected");
  assert_true(es_clock() - start < 2.0);
}

/* A folder, and a pipe without a writer. */
TEST_IN_FOLDER(no_file) {
  es_safetensors_t *file = NULL;
  assert_fails_with(es_safetensors_open(&file, "/tmp", fresh()), ES_INPUT, "a folder");
  assert_int_equal(mkfifo(path, 0600), 0);
  refused("a device or pipe");
}

TEST_IN_FOLDER(too_many_tensors) {
  enum { N = 65537, ENTRY = 60 };
  char *bytes = malloc(8 + (size_t)N * ENTRY);
  assert_non_null(bytes);
  size_t length = 8;
  for (int i = 0; i < N; i++)
    length += (size_t)sprintf(bytes + length, "%c\"%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                              i == 0 ? '{' : ',', i);
  bytes[length++] = '}';
  for (int i = 0; i < 8; i++) bytes[i] = (char)((length - 8) >> 8 * i & 0xff);
  file_write(path, bytes, length);
  free(bytes);
  refused("more than 65536 tensors");
}

/* A failed load leaves the file open, so that loading can be tried again. */
TEST_IN_FOLDER(shorter_meanwhile) {
  es_safetensors_t *file = NULL;
  size_t size;
  char *bytes = example(&size);
  assert_ok(es_safetensors_open(&file, path, fresh()));
  assert_int_equal(truncate(path, (off_t)size - 1), 0);
  assert_fails_with(es_safetensors_load(file, fresh()), ES_SYSTEM, "became shorter while it was read");
  assert_null(es_safetensors_find(file, "w")->data);
  file_write(path, bytes, size);
  assert_ok(es_safetensors_load(file, fresh()));
  assert_float_equal(((const float *)es_safetensors_find(file, "w")->data)[2], 3.0, 0.0);
  es_safetensors_destroy(file);
  es_free(bytes);
}

#define W(shape, offsets) "\"w\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define B(shape, offsets) "\"b\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

TEST_IN_FOLDER(layout) {
  header_refused("{" W("[1]", "[0,4]") "," B("[1]", "[8,12]") "}", 12, "must start at 4");
  header_refused("{" W("[2]", "[0,8]") "," B("[1]", "[4,8]") "}", 8, "must start at 8");
  header_refused("{" W("[1]", "[4,8]") "}", 8, "must start at 0");
  header_refused("{" W("[1]", "[0,4]") "}", 8, "belong to no tensor");
  header_refused("{" W("[2]", "[0,8]") "}", 4, "cut off");
  header_refused("{" W("[1]", "[4,0]") "}", 4, "must start at 0");
  header_refused("{" W("[0]", "[0,0]") "," B("[1]", "[4,0]") "}", 4, "must start at 0");
  header_refused("{}", 1, "belong to no tensor");
}

TEST_IN_FOLDER(shapes) {
  header_refused("{" W("[2]", "[0,4]") "}", 4, "its shape and dtype need 8");
  header_refused("{" W("[0]", "[0,4]") "}", 4, "its shape and dtype need 0");
  header_refused("{" W("[4611686018427387904]", "[0,0]") "}", 0, "is too large");
  header_refused("{" W("[2147483648,2147483648]", "[0,0]") "}", 0, "is too large");
  header_refused("{" W("[2305843009213693952,2]", "[0,4]") "}", 4, "is too large");
  header_refused("{" W("[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "more than 8 dimensions");
  header_refused("{" W("[-1]", "[0,4]") "}", 4, "a whole number, 0 or more");
  header_refused("{" W("[1.0]", "[0,4]") "}", 4, "a whole number, 0 or more");
  header_refused("{" W("[01]", "[0,4]") "}", 4, "a whole number, 0 or more");
  header_refused("{" W("[9223372036854775808]", "[0,4]") "}", 4, "below 2^63");
  header_refused("{" W("[1]", "[0,4,8]") "}", 4, "two offsets");
  header_refused("{" W("[1]", "[0]") "}", 4, "a comma was expected");
}

TEST_IN_FOLDER(keys) {
  header_refused("{" W("[1]", "[0,4]") "," W("[1]", "[4,8]") "}", 8, "has the tensor \"w\" twice");
  header_refused("{" W("[1]", "[0,4]") "," W("[1]", "[0,4]") "}", 4, "has the tensor \"w\" twice");
  header_refused("{\"__metadata__\":{\"a\":\"1\",\"b\":\"\",\"a\":\"1\"}}", 0, "metadata has the key \"a\" twice");
  header_refused("{\"__metadata__\":{\"a\":\"1\",\"\\u0061\":\"1\"}}", 0, "metadata has the key \"a\" twice");
  header_refused("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "has the key \"__metadata__\" twice");
  header_refused("{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 0, "has twice the key \"dtype\"");
  header_refused("{\"w\":{\"dtype\":\"F32\",\"type\":1}}", 0, "has the unknown key \"type\"");
  header_refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, "has no data_offsets");
  header_refused("{\"w\":{}}", 4, "has no dtype");
  header_refused("{\"w\":{\"dtype\":\"F12\",\"shape\":[],\"data_offsets\":[0,2]}}", 2, "has the dtype \"F12\"");
#define NAME64 "0123456789012345678901234567890123456789012345678901234567890123"
  header_refused("{\"" NAME64 NAME64 NAME64 NAME64 "\":{}}", 0, "has 256 bytes");
}

TEST_IN_FOLDER(json) {
  header_refused("[]", 0, "an object ({) was expected");
  header_refused("{", 0, "a string was expected");
  header_refused("{}x", 0, "only blanks may follow");
  header_refused("{\"w\"}", 0, "a colon was expected");
  header_refused("{" W("[]", "[0,4]") ",}", 4, "a string was expected");
  header_refused("{" W("[]", "[0,4]") B("[]", "[4,8]") "}", 8, "a comma or } was expected");
  header_refused("{" W("[1 1]", "[0,4]") "}", 4, "a comma or ] was expected");
  header_refused("{\"w\":[]}", 0, "an object ({) was expected");
  header_refused("{\"w\":{\"dtype\":4}}", 0, "a string was expected");
  header_refused("{\"w\":{\"shape\":{}}}", 0, "an array ([) was expected");
  header_refused("{\"__metadata__\":{\"a\":1}}", 0, "a string was expected");
  header_refused("{\"a", 0, "closing quote");
  header_refused("{\"a\n\":{}}", 0, "control characters");
  header_refused("{\"\\x\":{}}", 0, "after a backslash");
  header_refused("{\"\\u12g4\":{}}", 0, "four hexadecimal digits");
  header_refused("{\"\\u0000\":{}}", 0, "\\u0000");
  header_refused("{\"\\ud800x\":{}}", 0, "low surrogate");
  header_refused("{\"\\ud800\\u0041\":{}}", 0, "low surrogate");
  header_refused("{\"\\udc00\":{}}", 0, "high surrogate");
}

TEST_IN_FOLDER(utf8) {
  static const char *const wrong[] = {"\x80",
                                      "\xc3(",
                                      "\xc0\x80",
                                      "\xe0\x80\x80",
                                      "\xed\xa0\x80",
                                      "\xf0\x80\x80\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80\x80",
                                      "\xe2\x82"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char header[64];
    snprintf(header, sizeof header, "{\"%s\":{}}", wrong[i]);
    header_refused(header, 0, "valid UTF-8");
  }
}

TEST_IN_FOLDER(seal) {
  header_refused("{\"__metadata__\":{\"xxh3\":\"00000000000000aa\"}}", 0, "the header says 00000000000000aa");
  header_refused("{\"__metadata__\":{\"xxh3\":\"\"}}", 0, "the file is damaged");
  header_refused("{\"__metadata__\":{\"writer\":\"eigenscope\"}}", 0, "the header says none");
}
