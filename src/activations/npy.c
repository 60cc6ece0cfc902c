#include "npy.h"
#include "eigenscope/memory.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char STAGE[] = "data";

enum { HEADER_MOST = 1 << 20, PREAD_MOST = 1 << 30, TEXT_MOST = 64 };

int es_npy_pread(int descriptor, void *out, size_t size, int64_t offset) {
  char *at = out;
  while (size > 0) {
    ssize_t got = pread(descriptor, at, size < PREAD_MOST ? size : PREAD_MOST, (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return -1;
    at += got;
    offset += got;
    size -= (size_t)got;
  }
  return 0;
}

/* ---- the dictionary ---- */

typedef struct reader {
  const char *at;
  const char *error; /* the first error */
} reader_t;

static bool fail(reader_t *r, const char *expected) {
  if (r->error == NULL) r->error = expected;
  return false;
}

static void skip_blanks(reader_t *r) {
  r->at += strspn(r->at, " \t\r\n");
}

static bool accept(reader_t *r, char symbol) {
  skip_blanks(r);
  if (r->error != NULL || *r->at != symbol) return false;
  r->at++;
  return true;
}

/* Reads a string without escapes, in single or double quotes. */
static bool read_string(reader_t *r, char out[TEXT_MOST]) {
  skip_blanks(r);
  char quote = *r->at;
  if (quote != '\'' && quote != '"') return fail(r, "a word in quotes");
  const char *end = strchr(r->at + 1, quote);
  if (end == NULL || end - r->at > TEXT_MOST) return fail(r, "a shorter word in quotes");
  snprintf(out, TEXT_MOST, "%.*s", (int)(end - r->at - 1), r->at + 1);
  r->at = end + 1;
  return true;
}

static bool read_truth(reader_t *r, bool *out) {
  skip_blanks(r);
  size_t length = strspn(r->at, "TrueFals");
  bool yes = length == 4 && strncmp(r->at, "True", 4) == 0, no = length == 5 && strncmp(r->at, "False", 5) == 0;
  if (!yes && !no) return fail(r, "True or False");
  *out = yes;
  r->at += length;
  return true;
}

/* Reads a length; Python 2 wrote an L behind long numbers. */
static bool read_length(reader_t *r, int64_t *out) {
  char *end;
  skip_blanks(r);
  if (strspn(r->at, "0123456789") == 0) return fail(r, "a whole number in the shape");
  errno = 0;
  long long value = strtoll(r->at, &end, 10);
  if (errno != 0) return fail(r, "lengths of less than 2^63");
  *out = value;
  r->at = end + (*end == 'L');
  return true;
}

static bool read_shape(reader_t *r, es_npy_t *out) {
  if (!accept(r, '(')) return fail(r, "a shape in parentheses");
  out->rank = 0;
  while (!accept(r, ')')) {
    if (out->rank == ES_ARRAY_RANK_MAX) return fail(r, "at most 32 dimensions");
    if (!read_length(r, out->shape + out->rank++)) return false;
    if (accept(r, ',')) continue;
    if (!accept(r, ')')) return fail(r, "a comma or the end of the shape");
    return out->rank > 1 || fail(r, "a comma after a single length"); /* (5) is not a tuple */
  }
  return true;
}

/* Reads a type code "<f4": byte order, kind, bytes. */
static void read_code(es_npy_t *out, const char *code) {
  bool big = *code == '>' || (*code != '<' && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
  const char *kind = code + strspn(code, "<>|=");
  char *end = NULL;
  long size = *kind != '\0' ? strtol(kind + 1, &end, 10) : 0;
  bool plain = end != NULL && kind[1] != '\0' && *end == '\0';
  bool whole = plain && (size == 1 || size == 2 || size == 4 || size == 8);
  out->number = (es_number_t){.kind = ES_NUMBER_OTHER};
  if (whole && *kind == 'f' && size > 1)
    out->number = es_number_make(size == 2   ? ES_NUMBER_FLOAT16
                                 : size == 4 ? ES_NUMBER_FLOAT32
                                             : ES_NUMBER_FLOAT64,
                                 (int)size, true, big);
  else if (whole && (*kind == 'i' || *kind == 'u'))
    out->number = es_number_make(ES_NUMBER_INTEGER, (int)size, *kind == 'i', big);
  else if (*kind == 'O')
    snprintf(out->number.text, sizeof out->number.text, "Python objects");
  else
    snprintf(out->number.text, sizeof out->number.text, "values of type '%.24s'", code);
}

/* Skips the fields of a record up to the matching bracket. */
static bool skip_fields(reader_t *r) {
  int depth = 0;
  do {
    if (*r->at == '[') depth++;
    if (*r->at == ']') depth--;
    if (*r->at == '\'' || *r->at == '"') {
      const char *end = strchr(r->at + 1, *r->at);
      if (end == NULL) return fail(r, "the end of a field's name");
      r->at = end;
    }
    if (*r->at == '\0') return fail(r, "the end of the list of fields");
    r->at++;
  } while (depth > 0);
  return true;
}

static bool read_type(reader_t *r, es_npy_t *out) {
  char code[TEXT_MOST] = "";
  skip_blanks(r);
  if (*r->at == '[') {
    out->number = (es_number_t){.kind = ES_NUMBER_OTHER, .text = "records of several fields"};
    return skip_fields(r);
  }
  if (!read_string(r, code)) return false;
  read_code(out, code);
  return true;
}

/* Reads a key and its value. */
static bool read_entry(reader_t *r, es_npy_t *out, bool found[3]) {
  static const char *const keys[3] = {"descr", "fortran_order", "shape"};
  char key[TEXT_MOST];
  int k = 0;
  if (!read_string(r, key)) return false;
  while (k < 3 && strcmp(key, keys[k]) != 0) k++;
  if (k == 3) return fail(r, "only the keys descr, fortran_order and shape");
  if (found[k]) return fail(r, "each key only once");
  found[k] = true;
  if (!accept(r, ':')) return fail(r, "a colon after a key");
  return k == 0 ? read_type(r, out) : k == 1 ? read_truth(r, &out->fortran) : read_shape(r, out);
}

/* Parses the dictionary. Returns NULL, or a description of what was expected. */
static const char *parse(es_npy_t *out, const char *text) {
  reader_t r = {.at = text};
  bool found[3] = {false, false, false};
  *out = (es_npy_t){0};
  if (!accept(&r, '{')) return "a dictionary in braces";
  while (!accept(&r, '}')) {
    if (!read_entry(&r, out, found)) return r.error;
    if (accept(&r, ',')) continue;
    if (accept(&r, '}')) break;
    return "a comma or the end of the dictionary";
  }
  skip_blanks(&r);
  if (*r.at != '\0') return "nothing after the dictionary";
  return found[0] && found[1] && found[2] ? NULL : "the keys descr, fortran_order and shape";
}

/* ---- the file ---- */

static es_code_t fail_read(const char *path, int reason, es_status_t *status) {
  if (reason < 0) return es_fail(status, ES_INPUT, STAGE, "%s: ends within its header", path);
  return es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be read: %s", path, strerror(reason));
}

es_code_t es_npy_read_header(es_npy_t *out, int descriptor, const char *path, int64_t size, es_status_t *status) {
  static const char magic[] = "\x93NUMPY";
  uint8_t start[12] = {0};
  int64_t due = size < 12 ? size : 12;
  int reason = es_npy_pread(descriptor, start, (size_t)due, 0);
  if (reason != 0) return fail_read(path, reason, status);
  if (memcmp(start, magic, size < 6 ? (size_t)size : 6) != 0 || size == 0)
    return es_fail(status, ES_INPUT, STAGE, "%s: is not a .npy file: a .npy file starts with \\x93NUMPY", path);
  if (size >= 8 && (start[6] < 1 || start[6] > 3 || start[7] != 0))
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: has version %d.%d of the .npy format; only 1.0, 2.0 and 3.0 can be read", path, start[6],
                   start[7]);
  int64_t before = start[6] == 1 ? 10 : 12, length = start[8] | start[9] << 8;
  if (start[6] > 1) length |= (int64_t)start[10] << 16 | (int64_t)start[11] << 24;
  if (size < before || length > size - before) return fail_read(path, -1, status);
  if (length > HEADER_MOST)
    return es_fail(status, ES_INPUT, STAGE, "%s: the header has %lld bytes; at most %d can be read", path,
                   (long long)length, HEADER_MOST);
  char *text = es_allocate_zero((size_t)length + 1, 1);
  if (text == NULL) return es_out_of_memory(status, STAGE, "the header of %s", path);
  reason = es_npy_pread(descriptor, text, (size_t)length, before);
  const char *expected = reason != 0                      ? NULL
                         : strlen(text) == (size_t)length ? parse(out, text)
                                                          : "text without a zero byte";
  es_free(text);
  if (reason != 0) return fail_read(path, reason, status);
  if (expected != NULL)
    return es_fail(status, ES_INPUT, STAGE, "%s: has a header that numpy does not write: expected %s", path, expected);
  out->offset = before + length;
  return ES_OK;
}
