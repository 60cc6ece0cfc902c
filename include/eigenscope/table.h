/** Tables for people: aligned columns of UTF-8 text. */
#ifndef EIGENSCOPE_TABLE_H
#define EIGENSCOPE_TABLE_H

#include "eigenscope/text.h"
#include <stdbool.h>

/** A table of text: columns are padded to their widest cell when printed. */
enum { ES_COLUMNS_MAX = 80 };
typedef struct es_table {
  int n_columns;
  bool right[ES_COLUMNS_MAX]; /* numbers */
  es_text_t cells;            /* zero-terminated texts, row by row, the heading first */
} es_table_t;

void es_table_column(es_table_t *table, const char *heading, bool right);
/** Adds several columns: "layer|>rows|>s", where > marks right-aligned columns (numbers). */
void es_table_columns(es_table_t *table, const char *headings);
/** Appends the next cell, row by row. Call it after all columns are added. */
void es_table_cell(es_table_t *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Appends a number with four decimals, or a dash for NaN. */
void es_table_number(es_table_t *table, double value);
/** Appends the lines, without trailing blanks and without empty columns. */
void es_table_print(const es_table_t *table, es_text_t *out);
void es_table_destroy(es_table_t *table);

#endif
