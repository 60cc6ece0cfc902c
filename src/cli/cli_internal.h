/* What the commands share among themselves. */
#ifndef ES_CLI_INTERNAL_H
#define ES_CLI_INTERNAL_H

#include "eigenscope/cli.h"
#include "eigenscope/plan.h"
#include "eigenscope/table.h"
#include "eigenscope/text.h"
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

/* checkpoint_fit.c: the built-in architecture (and options) that a file fits, as "vgg11 {head: torchvision}, width 1/8,
 * 10 classes"; *found false and no word when there is none. ES_SYSTEM when memory is out. */
es_code_t es_checkpoint_recognise(const es_safetensors_t *file, es_text_t *out, bool *found, es_status_t *status);
/* What a point is once a file has said what its job does not: "model vgg11, width 1/8, 10 classes". */
void es_checkpoint_describe(const es_point_t *point, es_text_t *out);
/* checkpoint_import.c, checkpoint_export.c */
int es_checkpoint_import(int argc, char **argv);
int es_checkpoint_export(int argc, char **argv);

#endif
