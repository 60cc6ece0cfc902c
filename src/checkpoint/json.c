#include "json.h"
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
  switch (symbol) {
  case '{':
    return fail(json, "an object ({) was expected");
  case '[':
    return fail(json, "an array ([) was expected");
  case ':':
    return fail(json, "a colon was expected");
  default:
    return fail(json, "a comma was expected");
  }
}

bool es_json_next(es_json_t *json, char close, bool *first) {
  bool was_first = *first;
  *first = false;
  if (es_json_accept(json, close)) return false;
  if (json->error != NULL) return false;
  if (was_first || es_json_accept(json, ',')) return true;
  return fail(json, close == '}' ? "a comma or } was expected" : "a comma or ] was expected");
}

size_t es_json_utf8_length(const char *text, size_t size) {
  const unsigned char *c = (const unsigned char *)text;
  if (size == 0) return 0;
  if (c[0] < 0x80) return 1;
  size_t length = c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : 2;
  if (c[0] < 0xc2 || c[0] > 0xf4 || length > size) return 0;
  for (size_t i = 1; i < length; i++) {
    if ((c[i] & 0xc0) != 0x80) return 0;
  }
  bool overlong = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xf0 && c[1] < 0x90);
  bool surrogate = c[0] == 0xed && c[1] > 0x9f;
  bool beyond = c[0] == 0xf4 && c[1] > 0x8f;
  return overlong || surrogate || beyond ? 0 : length;
}

/* Four hexadecimal digits. */
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

static size_t put_utf8(unsigned code, char *out) {
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  if (code < 0x800) {
    out[0] = (char)(0xc0 | code >> 6);
    out[1] = (char)(0x80 | (code & 0x3f));
    return 2;
  }
  if (code < 0x10000) {
    out[0] = (char)(0xe0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3f));
    out[2] = (char)(0x80 | (code & 0x3f));
    return 3;
  }
  out[0] = (char)(0xf0 | code >> 18);
  out[1] = (char)(0x80 | (code >> 12 & 0x3f));
  out[2] = (char)(0x80 | (code >> 6 & 0x3f));
  out[3] = (char)(0x80 | (code & 0x3f));
  return 4;
}

/* \uXXXX, or two of them for a character beyond the first 65,536; `at` stands behind the u. Bytes written, 0 on
 * failure. */
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

/* What follows a backslash; `at` stands on it. Bytes written, 0 on failure. */
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
  /* No escape is shorter than what it stands for, so the decoded string never overtakes the reader. */
  char *start = json->text + json->at, *out = start;
  while (json->at < json->size && json->text[json->at] != '"') {
    char *c = json->text + json->at;
    size_t written;
    if (*c == '\\') {
      json->at++;
      written = read_escape(json, out);
    } else {
      written = (unsigned char)*c < 0x20 ? 0 : es_json_utf8_length(c, json->size - json->at);
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

bool es_json_end(es_json_t *json) {
  if (json->error != NULL) return false;
  skip_blanks(json);
  return json->at == json->size || fail(json, "only blanks may follow the object");
}
