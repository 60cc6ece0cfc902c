/** A growing string, and the few conversions between text and numbers that more than one module needs. */
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
  bool failed;     /**< memory ran out: the text is cut and stays so */
} es_text_t;

/** Appends as printf does. Start from `es_text_t text = {0}`. */
void es_text_append(es_text_t *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Appends n bytes as they are, zeros too. */
void es_text_append_bytes(es_text_t *text, const char *bytes, size_t n);
/** Appends `value` as a double-quoted JSON string (also valid YAML). What es_text_is_plain refuses is escaped; bytes
 * that are no UTF-8 become U+FFFD. */
void es_text_append_quoted(es_text_t *text, const char *value);
/** A field of CSV, quoted where RFC 4180 wants it. */
void es_text_append_csv(es_text_t *text, const char *value);
/** The text, "" while empty. Borrowed. */
const char *es_text_get(const es_text_t *text);
void es_text_destroy(es_text_t *text);

/** The shortest decimal that reads back as the same double, without an exponent from 1e-6 up to 1e16 ("0.0625",
 * "0.0001"), else with a point and a signed exponent ("1.0e-07"), which YAML 1.1 and JSON readers take as a number;
 * "nan", "inf", "-inf". Returns out. */
const char *es_text_double(double value, char out[32]);
/** Whole string to number; false when there is anything else in it or it does not fit. Decimal only: no blanks, no
 * hexadecimal, no "nan" or "inf". */
bool es_text_to_int(const char *text, int64_t *out);
bool es_text_to_double(const char *text, double *out);
/** Bytes of the UTF-8 character at the start of a zero-terminated text; 0 if there is none (overlong, surrogate, cut).
 */
size_t es_text_utf8_length(const char *text);
/** True for UTF-8 that may be shown: without control characters (the second set, U+0080 to U+009F, included) and
 * without those that end lines or turn the direction of text (U+2028 to U+202E, U+2066 to U+2069). */
bool es_text_is_plain(const char *text);
/** Makes it so, in place: a question mark for each such character, and for each byte that is no UTF-8. For what others
 * wrote and a terminal shows. Returns text. */
char *es_text_make_plain(char *text);
/** Appends `value` made plain. */
void es_text_append_plain(es_text_t *text, const char *value);
/** Prints lines, made plain: files, whose names and words are among them, may say anything. */
void es_text_print(FILE *to, es_text_t *text);
/** "(50000, 32, 32, 3)", cut to fit. */
void es_text_shape(char *out, size_t size, const int64_t *shape, int rank);
/** Shell-like pattern with `*` and `?` (a star crosses dots) against a name. */
bool es_text_match(const char *pattern, const char *name);
/** The candidate nearest to `word` (edit distance at most 2 and less than the word's length; the first of equals), or
 * NULL: for "did you mean". */
const char *es_text_nearest(const char *word, const char *const *candidates, int n);

/** Copies `pattern` to `out` (size bytes) with {name} and {name:03} replaced: `value` writes what stands for a name,
 * with at least `digits` digits (0: as many as there are) where it is a whole number, and returns false for a name that
 * it does not know, which stays as it is. False when `out` is too small. */
typedef bool es_text_value_t(void *context, const char *name, int digits, char *out, size_t size);
bool es_text_fill(char *out, size_t size, const char *pattern, es_text_value_t *value, void *context);

#endif
