#include "eigenscope/text.h"
#include "eigenscope/memory.h"
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes space for `extra` more bytes and the terminator. */
static bool text_reserve(es_text_t *text, size_t extra) {
  if (text->failed) return false;
  size_t needed = text->length + extra + 1;
  if (needed <= text->capacity) return true;
  size_t capacity = text->capacity < 32 ? 64 : 2 * text->capacity;
  if (capacity < needed) capacity = needed;
  char *data = es_reallocate(text->data, capacity, 1);
  if (data == NULL) {
    text->failed = true;
    return false;
  }
  text->data = data;
  text->capacity = capacity;
  return true;
}

void es_text_append(es_text_t *text, const char *format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  /* Prints into the free space first: measuring the length first would print twice every time. */
  const size_t room = text->failed || text->data == NULL ? 0 : text->capacity - text->length;
  int length = vsnprintf(room > 0 ? text->data + text->length : NULL, room, format, arguments);
  va_end(arguments);
  if (length < 0) {
    text->failed = true;
    if (room > 0) text->data[text->length] = '\0';
  } else if ((size_t)length < room) {
    text->length += (size_t)length;
  } else if (text_reserve(text, (size_t)length)) {
    vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
    text->length += (size_t)length;
  } else if (room > 0) {
    text->data[text->length] = '\0'; /* drop the truncated text */
  }
  va_end(again);
}

void es_text_append_bytes(es_text_t *text, const char *bytes, size_t n) {
  if (!text_reserve(text, n)) return;
  memcpy(text->data + text->length, bytes, n);
  text->length += n;
  text->data[text->length] = '\0';
}

/* Length and code of the UTF-8 character at the start of `text`; 0 if invalid. */
static int decode(const unsigned char *text, uint32_t *code) {
  int n = text[0] < 0x80                      ? 1
          : text[0] >= 0xc2 && text[0] < 0xe0 ? 2
          : (text[0] & 0xf0) == 0xe0          ? 3
          : text[0] >= 0xf0 && text[0] < 0xf5 ? 4
                                              : 0;
  *code = n == 1 ? text[0] : text[0] & (0x7fU >> n);
  for (int i = 1; i < n; i++) {
    if ((text[i] & 0xc0) != 0x80) return 0;
    *code = *code << 6 | (text[i] & 0x3fU);
  }
  const bool overlong = (n == 3 && *code < 0x800) || (n == 4 && *code < 0x10000);
  const bool outside = (*code >= 0xd800 && *code <= 0xdfff) || *code > 0x10ffff;
  return overlong || outside ? 0 : n;
}

size_t es_text_utf8_length(const char *text) {
  uint32_t code;
  return (size_t)decode((const unsigned char *)text, &code);
}

/* False for control characters (ASCII, and U+0080 to U+009F, which terminals also obey), line separators and characters
 * that change text direction. */
static bool is_printable(uint32_t code) {
  const bool control = code < 0x20 || (code >= 0x7f && code <= 0x9f);
  return !control && !(code >= 0x2028 && code <= 0x202e) && !(code >= 0x2066 && code <= 0x2069);
}

/* Columns of a character on a terminal. */
static int columns_of(uint32_t code) {
  static const uint32_t none[][2] = {{0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},
                                     {0x610, 0x61a},   {0x64b, 0x65f},   {0x200b, 0x200f},
                                     {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};
  static const uint32_t wide[][2] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xac00, 0xd7a3},
                                     {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
                                     {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    if (code >= none[i][0] && code <= none[i][1]) return 0;
  }
  for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
    if (code >= wide[i][0] && code <= wide[i][1]) return 2;
  }
  return 1;
}

/* Bytes of the beginning of a text that fits into `columns`; *used: its columns. Invalid bytes count as one column. */
static size_t fitting(const char *text, int columns, int *used) {
  size_t length = 0;
  for (*used = 0; text[length] != '\0';) {
    uint32_t code;
    const int n = decode((const unsigned char *)text + length, &code), width = n > 0 ? columns_of(code) : 1;
    if (*used + width > columns) break;
    *used += width;
    length += n > 0 ? (size_t)n : 1;
  }
  return length;
}

int es_text_columns(const char *text) {
  int used;
  fitting(text, INT_MAX, &used);
  return used;
}

void es_text_cut(char *text, int columns) {
  static const char dots[] = "...";
  int used;
  const size_t whole = fitting(text, columns > 0 ? columns : 0, &used);
  if (text[whole] == '\0') return;
  if (columns > 3)
    memcpy(text + fitting(text, columns - 3, &used), dots,
           sizeof dots); /* cuts more than 3 columns, so bytes suffice */
  else
    text[whole] = '\0';
}

/* Bytes of the printable character at the start of `text`, 0 if it is not printable. */
static int printable_length(const char *text) {
  uint32_t code;
  const int n = decode((const unsigned char *)text, &code);
  return n > 0 && is_printable(code) ? n : 0;
}

/* Appends one character as an escape sequence. Returns its bytes in `value`. */
static int append_escape(es_text_t *text, const char *value) {
  static const char plain[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
  const char *found = strchr(plain, *value);
  uint32_t code;
  const int n = decode((const unsigned char *)value, &code);
  if (found != NULL)
    es_text_append(text, "\\%c", letters[found - plain]);
  else
    es_text_append(text, "\\u%04x", n > 0 ? (unsigned)code : 0xfffdU); /* invalid UTF-8: U+FFFD */
  return n > 0 ? n : 1;
}

void es_text_append_quoted(es_text_t *text, const char *value) {
  es_text_append(text, "\"");
  while (*value != '\0') {
    size_t run = 0; /* pending bytes that need no escape */
    for (int n = 1; n > 0; run += (size_t)n) {
      const char c = value[run];
      n = c == '"' || c == '\\' || c == '\0' ? 0 : printable_length(value + run);
    }
    if (run > 0) es_text_append_bytes(text, value, run);
    value += run;
    if (*value != '\0') value += append_escape(text, value);
  }
  es_text_append(text, "\"");
}

void es_text_append_csv(es_text_t *text, const char *value) {
  if (strpbrk(value, ",\"\r\n") == NULL) {
    es_text_append(text, "%s", value);
    return;
  }
  es_text_append(text, "\"");
  for (const char *c = value; *c != '\0'; c++) es_text_append(text, *c == '"' ? "\"\"" : "%c", *c);
  es_text_append(text, "\"");
}

const char *es_text_get(const es_text_t *text) {
  return text->data != NULL ? text->data : "";
}

void es_text_destroy(es_text_t *text) {
  es_free(text->data);
  *text = (es_text_t){0};
}

/* Writes the number digits[0].digits[1 … n−1] · 10^exponent without an exponent. */
static void write_plain(char *out, const char *digits, int n, int exponent) {
  if (exponent < 0) {
    *out++ = '0';
    *out++ = '.';
    for (int i = -1; i > exponent; i--) *out++ = '0';
  }
  for (int i = 0; i < n || i <= exponent; i++) {
    if (i > 0 && i == exponent + 1) *out++ = '.';
    *out++ = i < n ? digits[i] : '0';
  }
  *out = '\0';
}

const char *es_text_double(double value, char out[32]) {
  if (isnan(value)) return memcpy(out, "nan", sizeof "nan");
  if (isinf(value)) return value > 0 ? memcpy(out, "inf", sizeof "inf") : memcpy(out, "-inf", sizeof "-inf");
  char shortest[32];
  for (int precision = 0; precision <= 16; precision++) {
    snprintf(shortest, sizeof shortest, "%.*e", precision, value);
    if (strtod(shortest, NULL) == value) break;
  }
  char *mark = strchr(shortest, 'e');
  int exponent = (int)strtol(mark + 1, NULL, 10);
  char digits[24] = "";
  int n = 0;
  for (const char *c = shortest; c < mark; c++) {
    if (*c >= '0' && *c <= '9') digits[n++] = *c;
  }
  char *start = out;
  if (signbit(value)) *start++ = '-';
  if (value == 0 || (fabs(value) >= 1e-6 && fabs(value) < 1e16)) {
    write_plain(start, digits, n, exponent);
  } else {
    snprintf(start, 30, "%c.%.*se%+03d", digits[0], n > 1 ? n - 1 : 1, n > 1 ? digits + 1 : "0", exponent);
  }
  return out;
}

const char *es_text_ratio(double value, char out[32]) {
  enum { DENOMINATOR_MAX = 1000 };
  for (int q = 1; q <= DENOMINATOR_MAX && value > 0 && value < 1e6; q++) {
    const double p = round(value * q);
    if (p < 1 || p / q != value) continue;
    snprintf(out, 32, q == 1 ? "%.0f" : "%.0f/%d", p, q);
    return out;
  }
  return es_text_double(value, out);
}

bool es_text_to_int(const char *text, int64_t *out) {
  if (text[0] == '\0' || strspn(text, "+-0123456789") != strlen(text)) return false;
  char *end = NULL;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (errno != 0 || *end != '\0') return false;
  *out = value;
  return true;
}

bool es_text_to_double(const char *text, double *out) {
  /* strtod would also accept blanks, hexadecimal, nan and inf. */
  if (text[0] == '\0' || strspn(text, "+-.0123456789eE") != strlen(text)) return false;
  char *end = NULL;
  double value = strtod(text, &end);
  if (end == text || *end != '\0' || !isfinite(value)) return false;
  *out = value;
  return true;
}

bool es_text_is_plain(const char *text) {
  for (int n; *text != '\0'; text += n) {
    n = printable_length(text);
    if (n == 0) return false;
  }
  return true;
}

/* `kept`: a character that is not replaced, '\0' for none. */
static char *make_plain(char *text, char kept) {
  char *out = text;
  for (const char *at = text; *at != '\0';) {
    uint32_t code;
    int n = decode((const unsigned char *)at, &code);
    if (n > 0 && (is_printable(code) || *at == kept)) {
      memmove(out, at, (size_t)n);
      out += n;
    } else {
      *out++ = '?';
      if (n == 0) n = 1;
    }
    at += n;
  }
  *out = '\0';
  return text;
}

char *es_text_make_plain(char *text) {
  return make_plain(text, '\0');
}

void es_text_print(FILE *to, es_text_t *text) {
  if (text->data != NULL) fputs(make_plain(text->data, '\n'), to);
}

void es_text_append_plain(es_text_t *text, const char *value) {
  const size_t start = text->length;
  es_text_append_bytes(text, value, strlen(value));
  if (text->failed) return;
  es_text_make_plain(text->data + start);
  text->length = start + strlen(text->data + start);
}

void es_text_shape(char *out, size_t size, const int64_t *shape, int rank) {
  size_t length = (size_t)snprintf(out, size, "(");
  for (int d = 0; d < rank && length < size; d++)
    length += (size_t)snprintf(out + length, size - length, "%s%lld", d > 0 ? ", " : "", (long long)shape[d]);
  if (length < size) snprintf(out + length, size - length, ")");
}

bool es_text_match(const char *pattern, const char *name) {
  const char *star = NULL, *resume = NULL; /* the last star, and the rest of the name after its match */
  while (*name != '\0') {
    if (*pattern == '*') {
      star = pattern++;
      resume = name;
    } else if (*pattern == '?' || *pattern == *name) {
      pattern++;
      name++;
    } else if (star != NULL) {
      pattern = star + 1;
      name = ++resume;
    } else {
      return false;
    }
  }
  while (*pattern == '*') pattern++;
  return *pattern == '\0';
}

enum { WORD_MAX = 63, DISTANCE_MAX = 2 };

/* Levenshtein distance, row by row; DISTANCE_MAX + 1 for words that are too long. */
static int edit_distance(const char *a, const char *b) {
  size_t n_a = strlen(a), n_b = strlen(b);
  if (n_a > WORD_MAX || n_b > WORD_MAX) return DISTANCE_MAX + 1;
  int row[WORD_MAX + 1];
  for (size_t j = 0; j <= n_b; j++) row[j] = (int)j;
  for (size_t i = 1; i <= n_a; i++) {
    int diagonal = row[0];
    row[0] = (int)i;
    for (size_t j = 1; j <= n_b; j++) {
      int best = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      if (row[j] + 1 < best) best = row[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      row[j] = best;
    }
  }
  return row[n_b];
}

bool es_text_is_same_word(const char *a, const char *b) {
  for (;; a++, b++) {
    a += strspn(a, "-_");
    b += strspn(b, "-_");
    if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
    if (*a == '\0') return true;
  }
}

const char *es_text_nearest(const char *word, const char *const *candidates, int n) {
  const char *nearest = NULL;
  int least = DISTANCE_MAX + 1;
  size_t length = strlen(word);
  for (int i = 0; i < n; i++) {
    int distance =
        length <= WORD_MAX && es_text_is_same_word(word, candidates[i]) ? 0 : edit_distance(word, candidates[i]);
    if (distance < least && (size_t)distance < length) {
      least = distance;
      nearest = candidates[i];
    }
  }
  return nearest;
}

/* Reads a {name} or {name:03} at the start of `text`. Returns its length, 0 if there is none. */
static size_t read_field(const char *text, char name[64], int *digits) {
  int used = 0;
  *digits = 0;
  if (sscanf(text, "{%63[^{}:]}%n", name, &used) == 1 && used > 0) return (size_t)used;
  if (sscanf(text, "{%63[^{}:]:0%1d}%n", name, digits, &used) == 2 && used > 0) return (size_t)used;
  return 0;
}

bool es_text_fill(char *out, size_t size, const char *pattern, es_text_value_t *value, void *context) {
  size_t length = 0;
  if (size > 0) out[0] = '\0';
  while (*pattern != '\0' && length < size) {
    char name[64], filled[512];
    int digits;
    const size_t used = *pattern == '{' ? read_field(pattern, name, &digits) : 0;
    const bool known = used > 0 && value(context, name, digits, filled, sizeof filled);
    const int n = known ? snprintf(out + length, size - length, "%s", filled)
                        : snprintf(out + length, size - length, "%c", *pattern);
    length += (size_t)n;
    pattern += known ? used : 1;
  }
  return length < size;
}

es_bytes_t es_bytes(int64_t bytes) {
  static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double number = (double)bytes;
  size_t unit = 0;
  for (; number >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++) number /= 1024;
  es_bytes_t out;
  snprintf(out.text, sizeof out.text, unit == 0 ? "%.0f %s" : "%.1f %s", number, units[unit]);
  return out;
}

size_t es_text_mark(const char *text, size_t size) {
  return size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}
