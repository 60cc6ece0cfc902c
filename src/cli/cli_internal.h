/* What the commands share among themselves. */
#ifndef ES_CLI_INTERNAL_H
#define ES_CLI_INTERNAL_H

#include "eigenscope/cli.h"
#include "eigenscope/external.h"
#include "eigenscope/weights.h"
#include <stdio.h>

/* A whole command that runs no point: parses, runs, reports, and returns the exit code. Arguments as of
 * es_arguments_parse. */
int es_cli_command(int argc, char **argv, const es_page_t *page, int least, int most,
                   es_code_t (*run)(const es_arguments_t *, es_status_t *));

/* The page of each command, in its own file. */
extern const es_page_t es_page_plan, es_page_run, es_page_status, es_page_merge, es_page_show, es_page_report,
    es_page_data_info, es_page_data_pack, es_page_data_synth, es_page_checkpoint_info, es_page_checkpoint_export,
    es_page_checkpoint_import, es_page_doctor, es_page_bench_train, es_page_bench_covariance, es_page_bench_spectrum,
    es_page_bench_probe, es_page_version;

/* Prints lines, made plain: files, whose names and words are among them, may say anything. */
void es_cli_print(FILE *to, es_text_t *text);

/* A plan without a look at datasets and networks: job, grid and output only. For commands that read results, which need
 * not have the data at hand. */
es_code_t es_plan_open(es_plan_t *out, const es_plan_request_t *request, es_status_t *status);

/* The points that --points and --task name; all of them where neither is given. --task shares by cost, so it needs a
 * plan that es_plan_create made. */
es_code_t es_plan_select(const es_plan_t *plan, const es_arguments_t *arguments, es_selection_t *out,
                         es_status_t *status);

/* plan.c: a number that points have in common if they have the same network, measured in the same way. */
int32_t es_plan_network(const es_plan_t *plan, int64_t index);
/* Multiply-adds of an image of the bound point: in training, with the backward pass and the covariances of all layers
 * if they are measured; of weights from files the forward pass instead. */
double es_plan_image_cost(const es_plan_t *plan, int64_t index, const es_point_t *point);
/* plan.c: looks at the files of a job of activations. ES_INPUT with file and line. *out is the caller's. */
es_code_t es_plan_external(const es_plan_t *plan, es_external_info_t *out, es_status_t *status);
/* plan_weights.c: looks at the files of weights of the points that the request selects, or copies what another rank
 * found; nothing for other sources. */
es_code_t es_plan_weights_find(es_plan_t *plan, const es_plan_request_t *request, es_status_t *status);
/* Puts what was found into a point, before it is bound. */
void es_plan_weights_apply(const es_plan_t *plan, int64_t index, es_point_t *point);
/* plan_activations.c: layers, ways, time and memory of a job of activations on `ranks` ranks; bytes of the busiest. */
void es_plan_activations_table(const es_plan_t *plan, const es_external_info_t *info, int ranks, es_text_t *out);
int64_t es_plan_activations_bytes(const es_plan_t *plan, const es_external_info_t *info, int ranks);
/* The least number of ranks, doubled from `ranks`, of which `here` on each node find room in `available` bytes; 0 for
 * none. Predictions are good to 25 %. */
int es_plan_activations_fit(const es_plan_t *plan, const es_external_info_t *info, int ranks, int here,
                            int64_t available);

/* checkpoint_fit.c: the built-in architecture (and options) that a file fits, as "vgg11 {head: torchvision}, width 1/8,
 * 10 classes"; *found false and no word when there is none. ES_SYSTEM when memory is out. */
es_code_t es_checkpoint_recognise(const es_safetensors_t *file, es_text_t *out, bool *found, es_status_t *status);
/* What a point is once a file has said what its job does not: "model vgg11, width 1/8, 10 classes". */
void es_checkpoint_describe(const es_point_t *point, es_text_t *out);
/* checkpoint_import.c, checkpoint_export.c */
int es_checkpoint_import(int argc, char **argv);
int es_checkpoint_export(int argc, char **argv);

/* A table of text: columns are padded to their widest cell when printed. */
enum { ES_COLUMNS_MAX = 80 };
typedef struct es_table {
  int n_columns;
  bool right[ES_COLUMNS_MAX]; /* numbers */
  es_text_t cells;            /* zero-terminated, row by row, the heading first */
} es_table_t;

void es_table_column(es_table_t *table, const char *heading, bool right);
/* Appends the next cell, row by row, after all columns. */
void es_table_cell(es_table_t *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends the lines, without blanks at their ends and without columns that are empty. */
void es_table_print(const es_table_t *table, es_text_t *out);
void es_table_destroy(es_table_t *table);

/* The axes that tell the points of a grid apart; what is the same for all points is said once above a table. */
typedef struct es_varying {
  int n;
  char names[ES_COLUMNS_MAX][ES_NAME_MAX];
} es_varying_t;

/* Looks at the axes of all blocks. Appends "dataset fashion-mnist, seed 0" of those that do not vary to `common`. */
void es_varying_find(const es_plan_t *plan, es_varying_t *out, es_text_t *common);
/* Appends "job: dataset fashion-mnist, seed 0" and an empty line: what stands above a table. */
void es_varying_heading(const es_plan_t *plan, const es_text_t *common, es_text_t *out);
void es_varying_columns(const es_varying_t *varying, es_table_t *table);
void es_varying_cells(const es_varying_t *varying, const es_point_t *point, es_table_t *table);

#endif
