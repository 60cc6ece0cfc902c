/* Files that are no results: each gives an outcome and a message, no crash and no leak. */
#include "eigenscope/file.h"
#include "store_example.h"
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <sys/syscall.h>
#include <unistd.h>

BEFORE_TESTS {
  /* Silences HDF5, because these tests provoke its errors. */
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* The summary reports damage with `reason`, and show refuses with the same reason. */
static void refused(const char *path, const char *reason) {
  es_result_summary_t summary;
  es_text_t text = {0};
  es_result_summarize(&summary, path);
  assert_int_equal(summary.outcome, ES_OUTCOME_DAMAGED);
  if (strstr(summary.reason, reason) == NULL) fail_msg("expected \"%s\", got: %s", reason, summary.reason);
  assert_true(isnan(summary.accuracy) && isnan(summary.loss) && isnan(summary.mean_saturation));
  assert_int_equal(es_result_show(&text, path, ES_SHOW_TABLE, ES_DELTA_ANY, NULL, fresh()), ES_INPUT);
  assert_int_equal(strncmp(said.message, path, strlen(path)), 0);
  assert_non_null(strstr(said.message, reason));
  assert_null(strchr(said.message, '\n'));
  assert_int_equal(text.length, 0);
  es_text_destroy(&text);
}

TEST_IN_FOLDER(missing) {
  es_result_summary_t summary;
  es_text_t text = {0};
  file_write("file", "", 0);
  static const char *const paths[] = {"missing.h5", "no/folder.h5", "file/beneath.h5"};
  for (int i = 0; i < 3; i++) {
    es_result_summarize(&summary, paths[i]);
    assert_int_equal(summary.outcome, ES_OUTCOME_MISSING);
    assert_string_equal(summary.reason, "");
  }
  assert_fails(es_result_show(&text, "missing.h5", ES_SHOW_CSV, ES_DELTA_ANY, NULL, fresh()), ES_INPUT,
               "missing.h5: cannot be read: No such file or directory");
}

TEST_IN_FOLDER(no_hdf5) {
  refused(".", "Is a directory");
  file_write("empty.h5", "", 0);
  refused("empty.h5", "is damaged or not an HDF5 file: ");
  file_write("text.h5", "split,epoch,layer\n", 18);
  refused("text.h5", "file signature not found");
}

/* ---- errors of the machine ---- */

/* These definitions replace libc's for HDF5: opening or reading files whose name begins with "sick" fails. */
static struct {
  int open, read; /* errno, or 0 */
  int descriptor;
} sick = {.descriptor = -1};

__attribute__((visibility("default"))) int open(const char *path, int flags, ...) {
  const bool meant = strncmp(path, "sick", 4) == 0;
  if (meant && sick.open != 0) {
    errno = sick.open;
    return -1;
  }
  const int descriptor = (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0666);
  if (meant) sick.descriptor = descriptor;
  return descriptor;
}

__attribute__((visibility("default"))) ssize_t pread(int descriptor, void *out, size_t size, off_t offset) {
  if (descriptor == sick.descriptor && sick.read != 0) {
    errno = sick.read;
    return -1;
  }
  return syscall(SYS_pread64, descriptor, out, size, offset);
}

static void assert_unreadable(int reason) {
  es_result_summary_t summary;
  es_text_t text = {0};
  es_result_summarize(&summary, "sick.h5");
  assert_int_equal(summary.outcome, ES_OUTCOME_UNREADABLE);
  if (strstr(summary.reason, strerror(reason)) == NULL) fail_msg("\"%s\": %s", strerror(reason), summary.reason);
  assert_null(strstr(summary.reason, "damaged"));
  assert_fails_with(es_result_show(&text, "sick.h5", ES_SHOW_TABLE, ES_DELTA_ANY, NULL, fresh()), ES_SYSTEM,
                    strerror(reason));
}

/* A sound file that the machine fails to open or to read is not damaged: to compute it again would replace it. */
TEST_IN_FOLDER(unreadable) {
  static const int reasons[] = {ESTALE, EIO, ETIMEDOUT, ENFILE, EACCES, EMFILE, ENOMEM};
  es_result_summary_t summary;
  example_write("sick.h5");
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
    sick.open = reasons[i];
    assert_unreadable(reasons[i]);
    sick.open = 0;
    sick.read = reasons[i];
    assert_unreadable(reasons[i]);
    sick.read = 0;
  }
  es_result_summarize(&summary, "sick.h5");
  assert_int_equal(summary.outcome, ES_OUTCOME_COMPLETE);
  assert_int_equal(symlink("loop.h5", "loop.h5"), 0); /* stat fails, too */
  es_result_summarize(&summary, "loop.h5");
  assert_int_equal(summary.outcome, ES_OUTCOME_UNREADABLE);
  assert_string_equal(summary.reason, strerror(ELOOP));
}

/* Truncates the file at every byte of its head, and at every 61st of the rest. */
TEST_IN_FOLDER(cut_anywhere) {
  char *data;
  size_t size;
  example_write("whole.h5");
  assert_ok(es_file_read("whole.h5", &data, &size, fresh()));
  for (size_t length = 0; length < size; length += length < 1024 ? 1 : 61) {
    file_write("cut.h5", data, length);
    refused("cut.h5", "is damaged or not an HDF5 file: ");
  }
  file_write("cut.h5", data, size - 1);
  refused("cut.h5", "truncated file");
  es_free(data);
}

/* Opens a fresh copy of the example for a change. */
static hid_t open_copy(void) {
  example_write("r.h5");
  hid_t file = H5Fopen("r.h5", H5F_ACC_RDWR, H5P_DEFAULT);
  assert_true(file >= 0);
  return file;
}

static void put_text(hid_t file, const char *name, const char *value) {
  hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
  H5Tset_size(type, H5T_VARIABLE);
  if (H5Aexists(file, name) > 0) H5Adelete(file, name);
  hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  assert_true(H5Awrite(attribute, type, &value) >= 0);
  H5Aclose(attribute);
  H5Sclose(space);
  H5Tclose(type);
}

static void put_version(hid_t file, int version) {
  hid_t space = H5Screate(H5S_SCALAR);
  if (H5Aexists(file, "schema_version") > 0) H5Adelete(file, "schema_version");
  hid_t attribute = H5Acreate2(file, "schema_version", H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT);
  assert_true(H5Awrite(attribute, H5T_NATIVE_INT, &version) >= 0);
  H5Aclose(attribute);
  H5Sclose(space);
}

TEST_IN_FOLDER(attributes) {
  hid_t file = H5Fcreate("other.h5", H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
  refused("other.h5", "the attribute schema is \"\", but must be \"eigenscope\"");
  file = open_copy();
  put_text(file, "schema", "netherscope");
  H5Fclose(file);
  refused("r.h5", "the attribute schema is \"netherscope\", but must be \"eigenscope\"");
  file = open_copy();
  put_text(file, "schema_version", "one");
  H5Fclose(file);
  refused("r.h5", "schema_version must be a whole number");
  file = open_copy();
  put_version(file, 2);
  H5Fclose(file);
  refused("r.h5", "it has version 2 of the schema, but this program reads version 1");
  es_result_summary_t summary;
  es_result_summarize(&summary, "r.h5");
  assert_int_equal(summary.schema_version, 2);
}

TEST_IN_FOLDER(outcome) {
  es_result_summary_t summary;
  hid_t file = open_copy();
  put_text(file, "outcome", "done");
  H5Fclose(file);
  es_result_summarize(&summary, "r.h5");
  assert_int_equal(summary.outcome, ES_OUTCOME_DAMAGED);
  assert_non_null(strstr(summary.reason, "the attribute outcome must be \"complete\", \"diverged\" or \"stopped\""));
}

static int count_of(es_field_group_t group) {
  int count = 0;
  for (int i = 0; i < ES_FIELDS; i++) count += es_field_info((es_field_t)i)->group == group;
  return count;
}

/* A file that lacks any group except the core is a valid result, because older files have fewer groups. */
TEST_IN_FOLDER(lacking_groups) {
  for (int group = 0; group < ES_FIELD_GROUPS; group++) {
    hid_t file = open_copy();
    for (int i = 0; i < ES_FIELDS; i++) {
      const es_field_info_t *info = es_field_info((es_field_t)i);
      if (info->group == (es_field_group_t)group) assert_true(H5Ldelete(file, info->name, H5P_DEFAULT) >= 0);
    }
    H5Fclose(file);
    es_result_summary_t summary;
    es_result_summarize(&summary, "r.h5");
    assert_int_equal(summary.outcome, group == ES_GROUP_CORE ? ES_OUTCOME_DAMAGED : ES_OUTCOME_COMPLETE);
    es_text_t text = {0};
    for (int format = ES_SHOW_TABLE; format <= ES_SHOW_JSON && group != ES_GROUP_CORE; format++) {
      assert_ok(es_result_show(&text, "r.h5", (es_show_format_t)format, ES_DELTA_ANY, NULL, fresh()));
    }
    es_text_destroy(&text);
  }
}

/* A file that lacks one variable of a present group, or a coordinate, is no result, unless the variable is optional. */
TEST_IN_FOLDER(lacking_variables) {
  for (int i = 0; i < ES_DIMENSIONS + ES_FIELDS; i++) {
    if (i >= ES_DIMENSIONS && count_of(es_field_info((es_field_t)(i - ES_DIMENSIONS))->group) == 1) continue;
    const char *name = i < ES_DIMENSIONS ? EXAMPLE_DIMENSION[i] : es_field_info((es_field_t)(i - ES_DIMENSIONS))->name;
    char reason[96];
    hid_t file = open_copy();
    assert_true(H5Ldelete(file, name, H5P_DEFAULT) >= 0);
    H5Fclose(file);
    if (i >= ES_DIMENSIONS && es_field_is_optional((es_field_t)(i - ES_DIMENSIONS))) {
      es_result_summary_t summary;
      es_result_summarize(&summary, "r.h5");
      assert_int_equal(summary.outcome, ES_OUTCOME_COMPLETE);
      continue;
    }
    snprintf(reason, sizeof reason, "is not a result of eigenscope: the variable %s", name);
    refused("r.h5", reason);
  }
}

static void delete_quantities(hid_t file) {
  for (int q = 0; q < ES_QUANTITIES; q++) {
    const char *name = es_field_info(es_field_of_quantity((es_quantity_t)q))->name;
    assert_true(H5Ldelete(file, name, H5P_DEFAULT) >= 0);
  }
}

/* Missing quantities of the spectrum are computed from the eigenvalues: the same numbers are shown. */
TEST_IN_FOLDER(lacking_quantities) {
  es_text_t whole = {0}, without = {0};
  es_result_t *result = example_result();
  bool lacking[ES_FIELDS];
  memset(lacking, true, sizeof lacking);
  *es_result_f64(result, ES_FIELD_EIGENVALUES, ES_EVAL, 2, 1, 3) = INFINITY;
  for (int i = 0; i < 3; i++) *es_result_f64(result, ES_FIELD_EIGENVALUES, ES_EVAL, 1, 2, i) = 0; /* dead */
  es_result_compute_quantities(result, lacking);
  assert_true(isnan(*es_result_f64(result, ES_FIELD_TRACE, ES_EVAL, 2, 1, 0)));
  assert_true(isnan(*es_result_f64(result, ES_FIELD_TRACE, ES_TRAIN, 0, 1, 0))); /* not measured */
  assert_true(*es_result_f64(result, ES_FIELD_TRACE, ES_EVAL, 1, 2, 0) == 0);
  assert_true(isnan(*es_result_f64(result, ES_FIELD_EFFECTIVE_RANK, ES_EVAL, 1, 2, 0)));
  const es_result_header_t header = example_header();
  assert_ok(es_result_write("r.h5", result, &header, fresh()));
  es_result_destroy(result);
  assert_ok(es_result_show(&whole, "r.h5", ES_SHOW_CSV, ES_DELTA_ANY, NULL, fresh()));
  hid_t file = H5Fopen("r.h5", H5F_ACC_RDWR, H5P_DEFAULT);
  delete_quantities(file);
  H5Fclose(file);
  assert_ok(es_result_show(&without, "r.h5", ES_SHOW_CSV, ES_DELTA_ANY, NULL, fresh()));
  assert_string_equal(es_text_get(&without), es_text_get(&whole));
  es_text_destroy(&whole);
  es_text_destroy(&without);
}

/* The summary needs no quantity; show does, and needs the widths. */
TEST_IN_FOLDER(lacking_quantities_and_widths) {
  static const int32_t widths[EXAMPLE_LAYERS] = {4, EXAMPLE_COMPONENTS + 1, 3};
  es_text_t text = {0};
  hid_t file = open_copy(), object = H5Dopen2(file, "layer_width", H5P_DEFAULT);
  assert_true(H5Dwrite(object, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, widths) >= 0);
  H5Dclose(object);
  delete_quantities(file);
  H5Fclose(file);
  assert_fails(es_result_show(&text, "r.h5", ES_SHOW_TABLE, ES_DELTA_ANY, NULL, fresh()), ES_INPUT,
               "r.h5: is not a result of eigenscope: the width of a layer is 9, but must be from 1 to 8");
}

/* Replaces the variable `name` by another one whose numbers are 0. */
static void replace(const char *name, hid_t type, int rank, const hsize_t *extent) {
  hid_t file = open_copy();
  assert_true(H5Ldelete(file, name, H5P_DEFAULT) >= 0);
  hid_t space = rank > 0 ? H5Screate_simple(rank, extent, NULL) : H5Screate(H5S_SCALAR);
  hid_t object = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  assert_true(object >= 0);
  H5Dclose(object);
  H5Sclose(space);
  H5Fclose(file);
}

TEST_IN_FOLDER(other_variables) {
  static const hsize_t shape[4] = {2, 3, 3, 2}, one[1] = {1}, none[1] = {0}, many[1] = {(1 << 24) + 1};
  static const hsize_t shape5[5] = {2, 3, 3, 8, 8};
  static const hsize_t swapped[2] = {3, 2}, three[1] = {3};
  hid_t strings = H5Tcopy(H5T_C_S1), fixed = H5Tcopy(H5T_C_S1);
  H5Tset_size(strings, H5T_VARIABLE);
  H5Tset_size(fixed, 12);
  replace("saturation", H5T_IEEE_F32LE, 4, shape);
  refused("r.h5", "the variable saturation must be float64");
  replace("saturation", H5T_STD_I64LE, 4, shape);
  refused("r.h5", "the variable saturation must be float64");
  replace("intrinsic_dimension", H5T_STD_I64LE, 4, shape);
  refused("r.h5", "the variable intrinsic_dimension must be int32");
  replace("layer", fixed, 1, three);
  refused("r.h5", "the variable layer must be variable-length string");
  replace("eigenvectors", H5T_IEEE_F64LE, 5, shape5);
  refused("r.h5", "the variable eigenvectors must be float32");
  replace("loss", H5T_IEEE_F64LE, 3, shape);
  refused("r.h5", "the variable loss has 3 dimensions, but must have 2");
  replace("loss", H5T_IEEE_F64LE, 0, NULL);
  refused("r.h5", "the variable loss has 0 dimensions, but must have 2");
  replace("loss", H5T_IEEE_F64LE, 2, swapped);
  refused("r.h5", "the length of the variable loss is 3 along split, but must be 2");
  replace("split", strings, 1, one);
  refused("r.h5", "split must be train, eval");
  replace("layer", strings, 1, many);
  refused("r.h5", "the variable layer is larger than its stored data can be");
  replace("delta", H5T_IEEE_F64LE, 1, none);
  refused("r.h5", "the length of the dimension delta is 0");
  replace("split", strings, 1, shape); /* two strings that were never written */
  refused("r.h5", "split must be train, eval");
  H5Tclose(strings);
  H5Tclose(fixed);
}

static void put_strings(const char *name, const char *const *values) {
  hid_t file = open_copy(), object = H5Dopen2(file, name, H5P_DEFAULT), type = H5Dget_type(object);
  assert_true(H5Dwrite(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
  H5Tclose(type);
  H5Dclose(object);
  H5Fclose(file);
}

TEST_IN_FOLDER(other_strings) {
  char longest[ES_NAME_MAX + 1];
  memset(longest, 'x', ES_NAME_MAX);
  longest[ES_NAME_MAX] = '\0';
  const char *const reversed[] = {"eval", "train"}, *const layers[] = {"a", longest, "b"};
  put_strings("split", reversed);
  refused("r.h5", "split must be train, eval");
  const char *const backwards[] = {"last", "previous"}, *const parts[] = {"all", "features.4", "features.0",
                                                                          "classifier.6"};
  put_strings("reference", backwards);
  refused("r.h5", "reference must be previous, last");
  put_strings("layer_or_all", parts);
  refused("r.h5", "layer_or_all must be all, then the layers");
  put_strings("layer", layers);
  refused("r.h5", "the variable layer has a string of more than 63 bytes");
}

/* A group in place of a variable. */
TEST_IN_FOLDER(group_instead) {
  hid_t file = open_copy();
  assert_true(H5Ldelete(file, "mcc", H5P_DEFAULT) >= 0);
  H5Gclose(H5Gcreate2(file, "mcc", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Fclose(file);
  refused("r.h5", "is damaged: mcc cannot be read: ");
}

/* Additions by others are ignored: attributes of unknown types, more variables. */
TEST_IN_FOLDER(additions_are_ignored) {
  hid_t file = open_copy(), group = H5Gcreate2(file, "notes", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  hid_t type = H5Tcreate(H5T_OPAQUE, 5), space = H5Screate(H5S_SCALAR);
  hid_t attribute = H5Acreate2(file, "blob", type, space, H5P_DEFAULT, H5P_DEFAULT);
  assert_true(H5Awrite(attribute, type, "12345") >= 0);
  H5Aclose(attribute);
  H5Sclose(space);
  H5Tclose(type);
  H5Gclose(group);
  H5Fclose(file);
  es_result_summary_t summary;
  es_result_summarize(&summary, "r.h5");
  assert_int_equal(summary.outcome, ES_OUTCOME_COMPLETE);
}
