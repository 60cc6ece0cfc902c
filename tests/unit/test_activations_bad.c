/* Invalid activations: the message for each kind, and no crash wherever a file is truncated or damaged. */
#include "../../src/activations/npy.h"
#include "support/activation_files.h"
#include "support/hdf5_leaks.h"
#include "support/unit.h"
#include <errno.h>
#include <sys/stat.h>

static const char path[] = "acts.h5";

static int printed; /* number of times that HDF5 would have printed its error stack */

static herr_t count_print(hid_t stack, void *data) {
  (void)stack;
  (void)data;
  printed++;
  return 0;
}

/* Opening `where` fails with exactly this message; HDF5 prints nothing, and nothing is left open. */
static void assert_refused(const char *where, const char *message) {
  es_status_t status = {0};
  es_activations_t *file = (es_activations_t *)&status;
  H5E_auto2_t function;
  void *data;
  H5Eset_auto2(H5E_DEFAULT, count_print, &printed);
  printed = 0;
  es_code_t code = es_activations_open(&file, where, "labels", &status);
  if (code != ES_INPUT || strcmp(status.message, message) != 0)
    fail_msg("expected \"%s\", got code %d: \"%s\"", message, (int)code, status.message);
  assert_null(file);
  assert_string_equal(status.stage, "data");
  assert_int_equal(printed, 0);
  H5Eget_auto2(H5E_DEFAULT, &function, &data);
  assert_true(function == count_print && data == &printed);
  assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

/* bad.txt has a line for each file with the expected message. */
TEST(listed_files) {
  char line[1024], where[2048], message[4096];
  int n = 0;
  FILE *list = fopen(ACTIVATIONS "bad.txt", "r");
  assert_non_null(list);
  for (; fgets(line, sizeof line, list) != NULL; n++) {
    line[strcspn(line, "\n")] = '\0';
    char *words = strchr(line, '\t');
    assert_non_null(words);
    *words++ = '\0';
    snprintf(message, sizeof message, ACTIVATIONS "bad/%s: %s", line, words);
    char *file = strchr(line, '/');
    if (file != NULL) *file = '\0'; /* opening the folder must report the file */
    snprintf(where, sizeof where, ACTIVATIONS "bad/%s", line);
    assert_refused(where, message);
  }
  fclose(list);
  assert_true(n > 60);
}

TEST_IN_FOLDER(no_file) {
  char message[1024];
  snprintf(message, sizeof message, "%s: this file does not exist", path);
  assert_refused(path, message);
  snprintf(message, sizeof message, "%s: is a folder without .npy files; it must hold one .npy file for each layer",
           folder);
  assert_refused(folder, message);
  file_write(".hidden.npy", "x", 1);
  assert_refused(folder, message);
  assert_refused(ACTIVATIONS "npy/be.npy",
                 ACTIVATIONS "npy/be.npy: is a single .npy file; give the folder that holds it");
}

TEST(labels) {
  static const struct {
    const char *name, *label;
  } cases[] = {
      {"negative", "-1"}, {"large", "1048576"}, {"least", "-9223372036854775808"}, {"most", "9223372036854775807"}};
  for (int i = 0; i < 4; i++) {
    char where[512], message[1024], fingerprint[ES_ID_SIZE];
    int32_t labels[ACTIVATION_SAMPLES], classes;
    es_status_t status = {0}, again = {0}, third = {0};
    es_activations_t *file;
    snprintf(where, sizeof where, ACTIVATIONS "labels_%s.h5", cases[i].name);
    snprintf(message, sizeof message,
             "%s: labels: label %s of sample 5 is out of range; labels must be from 0 to 1048575", where,
             cases[i].label);
    assert_int_equal(es_activations_open(&file, where, "labels", &status), ES_OK);
    assert_int_equal(es_activations_labels(file, 0, 5, labels, &status), ES_OK);
    assert_int_equal(es_activations_labels(file, 3, 4, labels, &status), ES_INPUT);
    assert_string_equal(status.message, message);
    assert_int_equal(es_activations_classes(file, &classes, &again), ES_INPUT);
    assert_string_equal(again.message, message);
    assert_int_equal(es_activations_fingerprint(file, fingerprint, &third), ES_INPUT);
    es_activations_close(file);
  }
}

/* ---- headers that numpy does not write ---- */

/* Writes a .npy file of that version with header length `length` (−1: the correct one). */
static void write_npy(int version, int minor, const char *header, size_t header_size, long length, size_t data) {
  uint8_t bytes[8192] = "\x93NUMPY";
  size_t before = version == 1 ? 10 : 12;
  unsigned long claimed = length < 0 ? header_size : (unsigned long)length;
  assert_true(before + header_size + data <= sizeof bytes);
  bytes[6] = (uint8_t)version;
  bytes[7] = (uint8_t)minor;
  for (size_t i = 8; i < before; i++) bytes[i] = (uint8_t)(claimed >> 8 * (i - 8));
  memcpy(bytes + before, header, header_size);
  file_write("x.npy", bytes, before + header_size + data);
}

static void assert_npy_refused(const char *expected) {
  char message[1024];
  snprintf(message, sizeof message, "%s/x.npy: %s", folder, expected);
  assert_refused(folder, message);
}

#define F4    "'descr': '<f4'"
#define ROWS  "'fortran_order': False"
#define RIGHT "{" F4 ", " ROWS ", 'shape': (7, 2), }\n"

TEST_IN_FOLDER(headers) {
  static const char *const cases[][2] = {
      {"", "a dictionary in braces"},
      {"[1]", "a dictionary in braces"},
      {"{" F4, "a comma or the end of the dictionary"},
      {"{" F4 " " ROWS, "a comma or the end of the dictionary"},
      {"{" F4 ", " ROWS "}", "the keys descr, fortran_order and shape"},
      {"{}", "the keys descr, fortran_order and shape"},
      {"{" F4 ", 3: 4}", "a word in quotes"},
      {"{'descr' '<f4'}", "a colon after a key"},
      {"{'x': 1}", "only the keys descr, fortran_order and shape"},
      {"{" F4 ", " F4 "}", "each key only once"},
      {"{'fortran_order': 1}", "True or False"},
      {"{'fortran_order': Falsehood}", "a comma or the end of the dictionary"},
      {"{'shape': 7}", "a shape in parentheses"},
      {"{'shape': (7, -2)}", "a whole number in the shape"},
      {"{'shape': (,)}", "a whole number in the shape"},
      {"{'shape': (99999999999999999999, 2)}", "lengths of less than 2^63"},
      {"{'shape': (7)}", "a comma after a single length"},
      {"{'shape': (7, 2", "a comma or the end of the shape"},
      {"{'shape': (7 2)}", "a comma or the end of the shape"},
      {"{'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)}", "at most 32 dimensions"},
      {"{'descr': [('a', '<f4')", "the end of the list of fields"},
      {"{'descr': [('a", "the end of a field's name"},
      {"{'descr': '<f4, 'fortran", "a comma or the end of the dictionary"},
      {"{'descr': '<f4234567890123456789012345678901234567890123456789012345678901234567890'}",
       "a shorter word in quotes"},
      {"{'descr", "a shorter word in quotes"},
      {"{" F4 ", " ROWS ", 'shape': (1, 1)} 5", "nothing after the dictionary"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char expected[256];
    write_npy(1 + (int)i % 3, 0, cases[i][0], strlen(cases[i][0]), -1, 56);
    snprintf(expected, sizeof expected, "has a header that numpy does not write: expected %s", cases[i][1]);
    assert_npy_refused(expected);
  }
  write_npy(1, 0, "{\0}", 3, -1, 0);
  assert_npy_refused("has a header that numpy does not write: expected text without a zero byte");
}

TEST_IN_FOLDER(versions_and_lengths) {
  size_t right = strlen(RIGHT);
  file_write("x.npy", "PK\3\4 and so on", 14);
  assert_npy_refused("is not a .npy file: a .npy file starts with \\x93NUMPY");
  file_write("x.npy", "", 0);
  assert_npy_refused("is not a .npy file: a .npy file starts with \\x93NUMPY");
  write_npy(4, 0, RIGHT, right, -1, 56);
  assert_npy_refused("has version 4.0 of the .npy format; only 1.0, 2.0 and 3.0 can be read");
  write_npy(0, 0, RIGHT, right, -1, 56);
  assert_npy_refused("has version 0.0 of the .npy format; only 1.0, 2.0 and 3.0 can be read");
  write_npy(1, 1, RIGHT, right, -1, 56);
  assert_npy_refused("has version 1.1 of the .npy format; only 1.0, 2.0 and 3.0 can be read");
  write_npy(1, 0, RIGHT, right, 60000, 56);
  assert_npy_refused("ends within its header");
  write_npy(2, 0, RIGHT, right, 4000000000, 56);
  assert_npy_refused("ends within its header");
  write_npy(3, 0, RIGHT, right, -1, 55);
  assert_npy_refused("is too short: it has 55 bytes of values, but its header says 56");
  write_npy(2, 0, RIGHT, right, -1, 57);
  assert_npy_refused("is too long: it has 57 bytes of values, but its header says 56");
  const char *large = "{" F4 ", " ROWS ", 'shape': (7, 9223372036854775807)}";
  write_npy(1, 0, large, strlen(large), -1, 56);
  assert_npy_refused("has the shape (7, 9223372036854775807), which is too large");
  large = "{" F4 ", " ROWS ", 'shape': (1152921504606846976, 2)}";
  write_npy(1, 0, large, strlen(large), -1, 56);
  assert_npy_refused("has the shape (1152921504606846976, 2), which is too large");
}

/* Valid variants: Python 2, other quotes, other order, other blanks. */
TEST_IN_FOLDER(headers_that_are_right) {
  static const char *const right[] = {RIGHT, "{\"shape\":(7L,2L),\"descr\":\"<f4\",\"fortran_order\":False}",
                                      " { 'fortran_order' : False,\n'descr':'<f4' , 'shape':( 7 , 2 , ) , } \n\n",
                                      "{'descr': '=f4', 'fortran_order': False, 'shape': (7, 2)}"};
  for (int i = 0; i < 4; i++) {
    es_activations_t *file;
    write_npy(1, 0, right[i], strlen(right[i]), -1, 56);
    assert_ok(es_activations_open(&file, folder, "labels", fresh()));
    assert_int_equal(es_activations_samples(file), 7);
    assert_int_equal(es_activations_layer(file, 0)->c, 2);
    es_activations_close(file);
  }
}

/* ---- cut and damaged files ---- */

static uint8_t *read_whole(const char *where, size_t *size) {
  FILE *in = fopen(where, "rb");
  assert_non_null(in);
  uint8_t *bytes = malloc(1 << 16);
  *size = fread(bytes, 1, 1 << 16, in);
  assert_true(*size < 1 << 16);
  fclose(in);
  return bytes;
}

/* Opens and reads everything; returns false on a failure, whose message must start with `where`. */
static bool reads(const char *where) {
  static double buffer[4096];
  es_activations_t *file;
  char fingerprint[ES_ID_SIZE];
  es_code_t code = es_activations_open(&file, where, "labels", fresh());
  for (int i = 0; code == ES_OK && i < es_activations_count(file); i++) {
    int64_t n = es_activations_samples(file), most = (int64_t)(sizeof buffer / es_activations_row_size(file, i));
    code = es_activations_read(file, i, 0, n < most ? n : most, buffer, fresh());
  }
  if (code == ES_OK) code = es_activations_fingerprint(file, fingerprint, fresh());
  es_activations_close(file);
  assert_int_equal(code, said.code);
  if (code != ES_OK && strncmp(said.message, where, strlen(where)) != 0) fail_msg("%s", said.message);
  return code == ES_OK;
}

/* Shortens the file step by step to nothing. Rewriting it each time would wait for the disk. */
static void cut_to(const char *where, size_t size) {
  assert_int_equal(truncate(where, (off_t)size), 0);
}

static void put_byte(const char *where, size_t at, uint8_t byte) {
  FILE *file = fopen(where, "r+b");
  assert_non_null(file);
  assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
  assert_int_equal(fputc(byte, file), byte);
  assert_int_equal(fclose(file), 0);
}

/* Files that HDF5 2.0 wrote (make_newer.py), and a superblock of the future. */
TEST_IN_FOLDER(newer_hdf5) {
  static const char *const files[] = {"newer/layer.h5", "newer/listed.h5", "newer/attribute.h5", "good.h5"};
  unsigned major, minor, release;
  H5get_libversion(&major, &minor, &release);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    char from[1024];
    size_t size;
    es_activations_t *file;
    if (major >= 2 && strncmp(files[i], "newer", 5) == 0) continue;
    snprintf(from, sizeof from, ACTIVATIONS "%s", files[i]);
    uint8_t *bytes = read_whole(from, &size);
    if (strcmp(files[i], "good.h5") == 0) bytes[8] = 200; /* version of the superblock */
    file_write("acts.h5", bytes, size);
    free(bytes);
    assert_int_equal(es_activations_open(&file, path, "labels", fresh()), ES_INPUT);
    assert_non_null(strstr(said.message, "needs a newer HDF5 than "));
    assert_non_null(strstr(said.message, "write the file again for older versions"));
  }
}

TEST_IN_FOLDER(cut_hdf5) {
  size_t size;
  uint8_t *bytes = read_whole(ACTIVATIONS "good.h5", &size);
  file_write("acts.h5", bytes, size);
  assert_true(reads(path));
  for (size_t cut = size - 1; cut < size; cut -= cut < 2048 ? 1 : 61) { /* until it wraps around */
    es_activations_t *file;
    char start[1024];
    cut_to(path, cut);
    assert_int_equal(es_activations_open(&file, path, "labels", fresh()), ES_INPUT);
    snprintf(start, sizeof start, "%s: is ", path); /* "is not an HDF5 file" or "is damaged or truncated" */
    if (strncmp(said.message, start, strlen(start)) != 0) fail_msg("%s", said.message);
  }
  free(bytes);
}

TEST_IN_FOLDER(cut_npy) {
  static const char *const names[] = {"be", "block.0.fc", "conv1"}; /* versions 1, 2, 3 */
  for (int i = 0; i < 3; i++) {
    char where[512];
    size_t size;
    snprintf(where, sizeof where, ACTIVATIONS "npy/%s.npy", names[i]);
    uint8_t *bytes = read_whole(where, &size);
    file_write("x.npy", bytes, size);
    assert_true(reads(folder));
    for (size_t cut = size; cut-- > 0;) {
      cut_to("x.npy", cut);
      assert_false(reads(folder));
    }
    free(bytes);
  }
}

/* Changes every byte of a header: the file is refused, or read as other data (mostly excluded by its length). */
TEST_IN_FOLDER(damaged_npy) {
  size_t size;
  uint8_t *bytes = read_whole(ACTIVATIONS "npy/block.0.fc.npy", &size);
  static const uint8_t flips[] = {0x01, 0x10, 0x41, 0x80, 0xff};
  int refused = 0;
  file_write("x.npy", bytes, size);
  for (size_t i = 0; i < 128; i++) {
    for (int k = 0; k < 5; k++) {
      put_byte("x.npy", i, bytes[i] ^ flips[k]);
      refused += !reads(folder);
    }
    put_byte("x.npy", i, bytes[i]);
  }
  assert_true(refused > 300);
  assert_true(reads(folder));
  free(bytes);
}

/* Changes a file byte by byte. The file has checksums, because without them HDF5 itself may crash. */
TEST_IN_FOLDER(damaged_hdf5) {
  float values[60];
  h5_variable_t x = {.name = "g/x",
                     .type = H5T_IEEE_F32LE,
                     .memory = H5T_NATIVE_FLOAT,
                     .rank = 2,
                     .shape = {12, 5},
                     .chunk = {5, 5},
                     .values = values};
  for (int i = 0; i < 60; i++) values[i] = (float)i;
  hid_t access = h5_require(H5Pcreate(H5P_FILE_ACCESS));
  h5_require(H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18));
  hid_t id = h5_require(H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access));
  h5_put(id, &x);
  H5Fclose(id);
  H5Pclose(access);
  size_t size;
  uint8_t *bytes = read_whole(path, &size);
  int refused = 0;
  for (size_t i = 0; i < size; i += 3) {
    put_byte(path, i, bytes[i] ^ 0x41);
    refused += !reads(path);
    put_byte(path, i, bytes[i]);
  }
  assert_true(refused > 50);
  assert_true(reads(path));
  free(bytes);
}

/* A damaged compressed chunk: the file opens, and reading is refused with the range of samples. */
TEST_IN_FOLDER(damaged_chunk) {
  float values[600];
  char message[1024];
  haddr_t address;
  hsize_t size, offset[2];
  unsigned mask;
  h5_variable_t x = {.name = "g/x",
                     .type = H5T_IEEE_F32LE,
                     .memory = H5T_NATIVE_FLOAT,
                     .rank = 2,
                     .shape = {60, 10},
                     .chunk = {20, 10},
                     .values = values};
  for (int i = 0; i < 600; i++) values[i] = (float)(i % 17);
  hid_t id = h5_require(H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
  h5_put(id, &x);
  hid_t dataset = h5_require(H5Dopen2(id, "g/x", H5P_DEFAULT)), space = h5_require(H5Dget_space(dataset));
  assert_true(H5Dget_chunk_info(dataset, space, 1, offset, &mask, &address, &size) >= 0);
  H5Sclose(space);
  H5Dclose(dataset);
  H5Fclose(id);
  size_t whole;
  uint8_t *bytes = read_whole(path, &whole);
  bytes[address + size - 2] ^= 4;
  file_write("acts.h5", bytes, whole);
  free(bytes);
  es_activations_t *file;
  assert_ok(es_activations_open(&file, path, "labels", fresh()));
  assert_ok(es_activations_read(file, 0, 0, 20, values, fresh()));
  assert_int_equal(es_activations_read(file, 0, 15, 10, values, fresh()), ES_INPUT);
  snprintf(message, sizeof message, "%s: g/x: samples 15 to 24 cannot be read: ", path);
  assert_int_equal(strncmp(said.message, message, strlen(message)), 0);
  assert_true(strlen(said.message) > strlen(message));
  assert_ok(es_activations_read(file, 0, 40, 20, values, fresh()));
  es_activations_close(file);
}

/* The file is truncated after it was opened: reading never returns zeros. */
TEST_IN_FOLDER(cut_while_read) {
  char message[1024];
  float values[ACTIVATION_SAMPLES * 24];
  size_t size;
  es_status_t status = {0}, again = {0};
  es_activations_t *file;
  uint8_t *bytes = read_whole(ACTIVATIONS "good.h5", &size);
  file_write("acts.h5", bytes, size);
  free(bytes);
  assert_int_equal(es_activations_open(&file, path, "labels", &status), ES_OK);
  assert_int_equal(truncate(path, (off_t)size - 100), 0);
  assert_int_equal(es_activations_read(file, 2, 0, 7, values, &status), ES_SYSTEM);
  snprintf(message, sizeof message, "%s: changed while it was read", path);
  assert_string_equal(status.message, message);
  es_activations_close(file);
  bytes = read_whole(ACTIVATIONS "npy/conv1.npy", &size);
  file_write("x.npy", bytes, size);
  free(bytes);
  assert_int_equal(es_activations_open(&file, folder, "labels", &again), ES_OK);
  assert_int_equal(truncate("x.npy", (off_t)size - 100), 0);
  assert_int_equal(es_activations_read(file, 0, 0, 5, values, &again), ES_OK);
  assert_int_equal(es_activations_read(file, 0, 4, 3, values, &again), ES_SYSTEM);
  snprintf(message, sizeof message,
           "%s/x.npy: samples 4 to 6 cannot be read: the file became shorter while it was read", folder);
  assert_string_equal(again.message, message);
  es_activations_close(file);
}
