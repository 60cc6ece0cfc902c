/** A growing string, and conversions between text and numbers. */
#ifndef EIGENSCOPE_TEXT_H
#define EIGENSCOPE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct es_text {
  char *data;      /**< owned; zero-terminated once anything was appended; NULL while empty */
  size_t length;   /**< without the terminator */
  size_t capacity; /**< bytes allocated */
  bool failed;     /**< out of memory once: the text is truncated, later appends are ignored */
} es_text_t;

/** Appends as printf does. Start from `es_text_t text = {0}`. */
void es_text_append(es_text_t *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Appends n bytes unchanged, including zeros. */
void es_text_append_bytes(es_text_t *text, const char *bytes, size_t n);
/** Appends `value` as a double-quoted JSON string (also valid YAML). Escapes characters that es_text_is_plain refuses;
 * bytes that are not UTF-8 become U+FFFD. */
void es_text_append_quoted(es_text_t *text, const char *value);
/** Appends a CSV field, quoted if RFC 4180 requires it. */
void es_text_append_csv(es_text_t *text, const char *value);
/** The text, "" while empty. Borrowed. */
const char *es_text_get(const es_text_t *text);
void es_text_destroy(es_text_t *text);

/** The shortest decimal that reads back as the same double, without an exponent from 1e-6 up to 1e16 ("0.0625",
 * "0.0001"), else with a point and a signed exponent ("1.0e-07"), which YAML 1.1 and JSON readers take as a number;
 * "nan", "inf", "-inf". Returns out. */
const char *es_text_double(double value, char out[32]);
/** A width as a job file writes it: "1/16", "3/2", "2"; as es_text_double if no denominator up to 1000 gives this
 * double. Returns out. */
const char *es_text_ratio(double value, char out[32]);
/** Converts the whole string to a number; false if it contains anything else or the number does not fit. Decimal only:
 * no blanks, no hexadecimal, no "nan" or "inf". */
bool es_text_to_int(const char *text, int64_t *out);
bool es_text_to_double(const char *text, double *out);
/** Bytes of the UTF-8 character at the start of a zero-terminated text; 0 if invalid (overlong, surrogate,
 * truncated). */
size_t es_text_utf8_length(const char *text);
/** True for UTF-8 that is safe to print: no control characters (including U+0080 to U+009F), no line separators or
 * characters that change text direction (U+2028 to U+202E, U+2066 to U+2069). */
bool es_text_is_plain(const char *text);
/** Columns that a text takes on a terminal: East Asian characters and pictures take two, combining marks none. */
int es_text_columns(const char *text);
/** Shortens a text in place to at most `columns` columns of a terminal, with "..." at its end if that fits. */
void es_text_cut(char *text, int columns);
/** Makes a text plain in place: replaces each such character, and each byte that is not UTF-8, by a question mark. For
 * printing foreign text on a terminal. Returns text. */
char *es_text_make_plain(char *text);
/** Appends `value` made plain. */
void es_text_append_plain(es_text_t *text, const char *value);
/** Prints lines, made plain, because they may contain names and text from files. */
void es_text_print(FILE *to, es_text_t *text);
/** Writes "(50000, 32, 32, 3)", truncated to `size`. */
void es_text_shape(char *out, size_t size, const int64_t *shape, int rank);
/** A size as text. */
typedef struct es_bytes {
  char text[24];
} es_bytes_t;
/** Writes a size in the largest unit of which it has at least one: "512 bytes", "60.5 MiB", "3.2 GiB". */
es_bytes_t es_bytes(int64_t bytes);
/** The ending of a noun after a number: "" after 1, else "s". */
static inline const char *es_plural(int64_t n) {
  return n == 1 ? "" : "s";
}
/** Matches a name against a shell-like pattern with `*` (also matches dots) and `?`. */
bool es_text_match(const char *pattern, const char *name);
/** True if two words differ at most in case, hyphens and underscores. */
bool es_text_is_same_word(const char *a, const char *b);
/** The candidate nearest to `word` (edit distance at most 2 and less than the word's length, 0 if only case, hyphens
 * and underscores differ; the first of equal ones), or NULL: for "did you mean". */
const char *es_text_nearest(const char *word, const char *const *candidates, int n);

/** Copies `pattern` to `out` (size bytes) and replaces {name} and {name:03}. `value` writes the value of a name, an
 * integer with at least `digits` digits (0: no minimum), and returns false for an unknown name, which is copied
 * unchanged. False if `out` is too small. */
typedef bool es_text_value_t(void *context, const char *name, int digits, char *out, size_t size);
bool es_text_fill(char *out, size_t size, const char *pattern, es_text_value_t *value, void *context);

/** Length of the UTF-8 byte order mark at the start of a text, which editors on Windows write: 3, or 0. */
size_t es_text_mark(const char *text, size_t size);

#endif
