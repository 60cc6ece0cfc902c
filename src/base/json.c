#include "eigenscope/json.h"
#include "eigenscope/text.h"
#include <math.h>
#include <string.h>

static bool fail(es_json_t *json, const char *error) {
  if (json->error == NULL) json->error = error;
  return false;
}

static void skip_blanks(es_json_t *json) {
  while (json->at < json->size && json->text[json->at] != '\0' && strchr(" \t\n\r", json->text[json->at]) != NULL)
    json->at++;
}

bool es_json_accept(es_json_t *json, char symbol) {
  if (json->error != NULL) return false;
  skip_blanks(json);
  if (json->at == json->size || json->text[json->at] != symbol) return false;
  json->at++;
  return true;
}

bool es_json_expect(es_json_t *json, char symbol) {
  if (es_json_accept(json, symbol)) return true;
  return fail(json, symbol == '{'   ? "an object ({) was expected"
                    : symbol == '[' ? "an array ([) was expected"
                    : symbol == ':' ? "a colon was expected"
                                    : "a comma was expected");
}

bool es_json_next(es_json_t *json, char close, bool *first) {
  bool was_first = *first;
  *first = false;
  if (es_json_accept(json, close)) return false;
  if (json->error != NULL) return false;
  if (was_first || es_json_accept(json, ',')) return true;
  return fail(json, close == '}' ? "a comma or } was expected" : "a comma or ] was expected");
}

/* Reads four hexadecimal digits. */
static bool read_hex(es_json_t *json, unsigned *out) {
  *out = 0;
  for (int i = 0; i < 4; i++, json->at++) {
    char c = json->at < json->size ? json->text[json->at] : '\0';
    unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                            : 16;
    if (digit == 16) return fail(json, "four hexadecimal digits were expected after \\u");
    *out = *out * 16 + digit;
  }
  return true;
}

/* Returns the number of bytes written. */
static size_t put_utf8(unsigned code, char *out) {
  static const unsigned first[] = {0, 0xc0, 0xe0, 0xf0};
  const int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3; /* bytes after the first */
  out[0] = (char)(first[more] | code >> 6 * more);
  for (int i = 1; i <= more; i++) out[i] = (char)(0x80 | (code >> 6 * (more - i) & 0x3f));
  return (size_t)more + 1;
}

/* Reads \uXXXX, or two of them for a character beyond the first 65,536; `at` is after the first u. Returns the number
 * of bytes written, 0 on failure. */
static size_t read_unicode(es_json_t *json, char *out) {
  unsigned code, low;
  if (!read_hex(json, &code)) return 0;
  if (code == 0) return fail(json, "a string must not hold \\u0000");
  if (code >= 0xdc00 && code <= 0xdfff) return fail(json, "a high surrogate was expected before a low one");
  if (code >= 0xd800 && code <= 0xdbff) {
    bool follows = json->size - json->at >= 2 && json->text[json->at] == '\\' && json->text[json->at + 1] == 'u';
    if (!follows) return fail(json, "a low surrogate was expected after a high one");
    json->at += 2;
    if (!read_hex(json, &low)) return 0;
    if (low < 0xdc00 || low > 0xdfff) return fail(json, "a low surrogate was expected after a high one");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  return put_utf8(code, out);
}

/* Reads the rest of an escape; `at` is after the backslash. Returns the number of bytes written, 0 on failure. */
static size_t read_escape(es_json_t *json, char *out) {
  static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
  char name = json->at < json->size ? json->text[json->at] : '\0';
  if (name == 'u') {
    json->at++;
    return read_unicode(json, out);
  }
  const char *found = name != '\0' ? strchr(names, name) : NULL;
  if (found == NULL) return fail(json, "one of \"\\/bfnrtu was expected after a backslash");
  json->at++;
  out[0] = values[found - names];
  return 1;
}

const char *es_json_string(es_json_t *json) {
  if (!es_json_accept(json, '"')) {
    fail(json, "a string was expected");
    return NULL;
  }
  /* An escape is at least as long as its character, so the decoded string never overtakes the reader. */
  char *start = json->text + json->at, *out = start;
  while (json->at < json->size && json->text[json->at] != '"') {
    char *c = json->text + json->at;
    size_t written;
    if (*c == '\\') {
      json->at++;
      written = read_escape(json, out);
    } else {
      written = (unsigned char)*c < 0x20 ? 0 : es_text_utf8_length(c);
      if (written == 0)
        fail(json, (unsigned char)*c < 0x20 ? "control characters must be escaped" : "text must be valid UTF-8");
      memmove(out, c, written);
      json->at += written;
    }
    if (written == 0) return NULL;
    out += written;
  }
  if (json->at == json->size) {
    fail(json, "the closing quote is missing");
    return NULL;
  }
  json->at++;
  *out = '\0';
  return start;
}

bool es_json_whole(es_json_t *json, int64_t *out) {
  if (json->error != NULL) return false;
  skip_blanks(json);
  size_t start = json->at;
  *out = 0;
  for (; json->at < json->size && json->text[json->at] >= '0' && json->text[json->at] <= '9'; json->at++) {
    if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, json->text[json->at] - '0', out))
      return fail(json, "a number below 2^63 was expected");
  }
  bool leading_zero = json->at > start + 1 && json->text[start] == '0';
  bool more = json->at < json->size && json->text[json->at] != '\0' && strchr(".eE", json->text[json->at]) != NULL;
  if (json->at == start || leading_zero || more) return fail(json, "a whole number, 0 or more, was expected");
  return true;
}

bool es_json_number(es_json_t *json, double *out) {
  if (json->error != NULL) return false;
  skip_blanks(json);
  *out = (double)NAN;
  if (json->size - json->at >= 4 && memcmp(json->text + json->at, "null", 4) == 0) {
    json->at += 4;
    return true;
  }
  char number[64] = "";
  size_t n = 0;
  while (json->at + n < json->size && json->text[json->at + n] != '\0' && n + 1 < sizeof number &&
         strchr("+-.0123456789eE", json->text[json->at + n]) != NULL)
    n++;
  memcpy(number, json->text + json->at, n);
  json->at += n;
  return es_text_to_double(number, out) || fail(json, "a number or null was expected");
}

bool es_json_end(es_json_t *json) {
  if (json->error != NULL) return false;
  skip_blanks(json);
  return json->at == json->size || fail(json, "only blanks may follow the object");
}
