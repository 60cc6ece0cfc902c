#include "eigenscope/table.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void es_table_cell(es_table_t *table, const char *format, ...) {
  char cell[768];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(cell, sizeof cell, format, arguments);
  va_end(arguments);
  es_text_make_plain(cell);
  es_text_append_bytes(&table->cells, cell, strlen(cell) + 1);
}

void es_table_number(es_table_t *table, double value) {
  if (isnan(value))
    es_table_cell(table, "-");
  else
    es_table_cell(table, "%.4f", value);
}

void es_table_column(es_table_t *table, const char *heading, bool right) {
  if (table->n_columns == ES_COLUMNS_MAX) return;
  table->right[table->n_columns++] = right;
  es_table_cell(table, "%s", heading);
}

void es_table_columns(es_table_t *table, const char *headings) {
  for (const char *at = headings; *at != '\0';) {
    const bool right = *at == '>';
    const size_t length = strcspn(at, "|");
    char heading[64];
    snprintf(heading, sizeof heading, "%.*s", (int)length - right, at + right);
    es_table_column(table, heading, right);
    at += length + (at[length] == '|');
  }
}

/* Number of UTF-8 characters. */
static int width_of(const char *cell) {
  int width = 0;
  for (; *cell != '\0'; cell++) width += ((unsigned char)*cell & 0xc0) != 0x80;
  return width;
}

/* Finds the widths of the columns; 0 for a column without content. */
static void find_widths(const es_table_t *table, int *widths) {
  const char *end = es_text_get(&table->cells) + table->cells.length;
  bool filled[ES_COLUMNS_MAX] = {false};
  int column = 0, row = 0;
  for (const char *cell = es_text_get(&table->cells); cell < end; cell += strlen(cell) + 1) {
    const int width = width_of(cell);
    if (width > widths[column]) widths[column] = width;
    if (row > 0 && width > 0) filled[column] = true;
    column = (column + 1) % table->n_columns;
    row += column == 0;
  }
  for (int i = 0; i < table->n_columns; i++) widths[i] = filled[i] ? widths[i] : 0;
}

void es_table_print(const es_table_t *table, es_text_t *out) {
  int widths[ES_COLUMNS_MAX] = {0}, column = 0;
  const char *end = es_text_get(&table->cells) + table->cells.length;
  if (table->cells.failed) out->failed = true;
  find_widths(table, widths);
  int blanks = 0; /* printed later, so that no line ends in blanks */
  for (const char *cell = es_text_get(&table->cells); cell < end; cell += strlen(cell) + 1) {
    const int padding = widths[column] - width_of(cell);
    if (widths[column] > 0) {
      if (table->right[column]) blanks += padding;
      if (cell[0] != '\0') {
        for (; blanks > 0; blanks--) es_text_append_bytes(out, " ", 1);
        es_text_append_bytes(out, cell, strlen(cell));
      }
      blanks += (table->right[column] ? 0 : padding) + 2;
    }
    column = (column + 1) % table->n_columns;
    if (column > 0) continue;
    es_text_append_bytes(out, "\n", 1);
    blanks = 0;
  }
}

void es_table_destroy(es_table_t *table) {
  es_text_destroy(&table->cells);
  *table = (es_table_t){0};
}
