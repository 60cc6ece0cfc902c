/* Appends to `out`. Only a lack of memory is a failure (out->failed). */
#ifndef ES_STORE_SHOW_H
#define ES_STORE_SHOW_H

#include "reader.h"

/* True if a layer is to be shown. */
static inline bool es_show_layer(const es_reader_t *reader, int64_t layer) {
  return reader->layer == NULL || es_text_match(reader->layer, reader->result->layers[layer].name);
}

enum {
  ES_SHOW_WIDTH = 100,  /* of the terminal */
  ES_SHOW_COLUMNS = 12, /* most epochs beside each other */
  ES_SHOW_COLUMN = 7,   /* characters per epoch */
  ES_SHOW_NAME = 32     /* most characters of a name */
};

/* The epochs or steps (indices) to show. */
typedef struct es_show_columns {
  int n;
  int64_t of; /* number of those to choose from */
  int64_t epoch[ES_SHOW_COLUMNS];
} es_show_columns_t;

/* Chooses up to `room` epochs for which `has` is true: the first, the last, and evenly spread ones between. */
typedef bool es_show_has_t(const void *context, int64_t epoch);
es_show_columns_t es_show_choose(const es_result_t *result, es_show_has_t *has, const void *context, int room);
/* Like es_show_choose, but chooses among the indices 0 … n−1 instead of epochs. */
es_show_columns_t es_show_choose_among(int64_t n, es_show_has_t *has, const void *context, int room);
/* Appends the numbers of the epochs, and ", 12 of 300 epochs" if some are left out. */
void es_show_epochs(es_text_t *out, const es_result_t *result, const es_show_columns_t *columns);
void es_show_left_out(es_text_t *out, const es_show_columns_t *columns);
/* Appends a name, padded, without the beginning of long ones, because layers differ at their ends. */
void es_show_name(es_text_t *out, const char *name, int width);
/* Width of the column of names: the longest layer name, or the title of the mean row if longer. */
int es_show_name_width(const es_result_t *result);
/* Appends any number in six characters and a blank; "-" for NaN. */
void es_show_scalar(es_text_t *out, double value);
/* Ends a line, without trailing blanks. */
void es_show_end_line(es_text_t *out);
/* ES_INPUT if no layer matches the pattern `layer`; NULL chooses all. */
es_code_t es_show_layers(es_reader_t *reader, const char *layer);

/* Job, axes, and outcome of the point. Needs ES_FIELD_SECONDS and ES_FIELD_ACCURACY. */
void es_show_head(es_text_t *out, const es_reader_t *reader);
/* Letter of the most serious flag, ' ' for none; a saturation with its letter; the letters to explain. */
enum { ES_SHOW_LETTERS = 8 };
char es_show_flag(uint8_t flags);
void es_show_saturation(es_text_t *out, double value, char letter);
void es_show_add_letter(char letters[ES_SHOW_LETTERS], char letter);
void es_show_legend(es_text_t *out, const char *letters);
/* True if the step (index) was measured; the context is the result. */
bool es_show_has_step(const void *result, int64_t step);
/* For people: saturation, loss and accuracy by training step, at the delta with this index. */
void es_show_steps(es_text_t *out, const es_reader_t *reader, int64_t delta);

/* For people: layers by datasets, of the last probes; nothing without probes on other datasets. */
void es_show_probe_datasets(es_text_t *out, const es_reader_t *reader);

/* For people: at most 100 columns. Saturations are at the delta with this index. */
void es_show_table(es_text_t *out, const es_reader_t *reader, int64_t delta);

#endif
