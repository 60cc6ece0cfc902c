/* Functions shared by the commands. */
#ifndef ES_CLI_INTERNAL_H
#define ES_CLI_INTERNAL_H

#include "eigenscope/cli.h"
#include "eigenscope/plan.h"
#include "eigenscope/run.h"
#include "eigenscope/table.h"
#include "eigenscope/text.h"
#include "eigenscope/weights.h"
#include <stdio.h>

/* The work of a command. Returns the exit code, which is used if the status is ES_OK. */
typedef int es_cli_work_t(const es_arguments_t *arguments, es_status_t *status);
/* A whole command that runs no points: parses the arguments (see es_arguments_parse), works, reports errors, and
 * returns the exit code. */
int es_cli_command(int argc, char **argv, const es_page_t *page, int least, int most, es_cli_work_t *work);
/* As es_cli_command, on all ranks with one thread each, between MPI_Init and MPI_Finalize. `work` is collective over
 * MPI_COMM_WORLD and must fail on all ranks alike. */
int es_cli_command_mpi(int argc, char **argv, const es_page_t *page, int least, int most, es_cli_work_t *work);

/* Builds a request from JOB (the positional argument `index`), --output, --points and --set. */
es_plan_request_t es_cli_request(const es_arguments_t *arguments, int index);
/* Reads the value of an option from `least` to `most`; leaves *out unchanged if the option was not given. ES_INPUT. */
es_code_t es_cli_integer(const es_arguments_t *arguments, const char *name, int64_t least, int64_t most, int64_t *out,
                         es_status_t *status);
/* ES_INPUT if --to is missing, or names an existing file that `is_ours` does not know as `what` ("a merged file"),
 * which must not be replaced. */
es_code_t es_cli_check_target(const char *to, bool (*is_ours)(const char *path), const char *what, const char *stage,
                              es_status_t *status);
/* Reads --format table|json. */
es_code_t es_cli_format(const es_arguments_t *arguments, bool *json, es_status_t *status);
/* Prints the text unless the status has a failure; destroys the text. If cut: "out of memory for <what>". */
es_code_t es_cli_print(es_text_t *text, const char *what, es_status_t *status);

/* report.c: describes the Python that `report` would run: "/usr/bin/python3 3.11.2: h5py 3.7.0, ...". False, with what
 * to do, if there is none with all modules. Starts processes, so call it before MPI_Init. */
bool es_cli_describe_python(char *out, size_t size);
/* ES_INPUT if a path that should name a result is a job file; the message says what to do. */
es_code_t es_cli_refuse_job(const char *path, const char *stage, es_status_t *status);

/* Returns the exit code for results: unfinished, failed or 0. */
int es_cli_results_code(const es_results_t *results);
/* Returns "eigenscope 0.1.0 (214bdda)". Static storage. */
const char *es_cli_creator(void);

/* report.c: replaces this process by the Python package with these arguments, which end with NULL; the first
 * ES_CLI_OWN_ARGUMENTS are set by the function. ES_INPUT with what Python lacks. */
enum { ES_CLI_OWN_ARGUMENTS = 4 };
es_code_t es_cli_start_package(const char **arguments, es_status_t *status);
/* The path of this program. ES_SYSTEM. */
es_code_t es_cli_own_path(char out[ES_PATH_MAX], es_status_t *status);

/* The help page of each command, defined in the command's own file. */
extern const es_page_t es_page_plan, es_page_run, es_page_status, es_page_search, es_page_merge, es_page_show,
    es_page_report, es_page_watch, es_page_data_info, es_page_data_pack, es_page_data_synth, es_page_checkpoint_info,
    es_page_checkpoint_export, es_page_checkpoint_import, es_page_model_list, es_page_model_run, es_page_model_show,
    es_page_weights, es_page_similarity, es_page_export, es_page_doctor, es_page_bench_train, es_page_bench_covariance,
    es_page_bench_spectrum, es_page_bench_probe, es_page_version;

/* checkpoint_checks.c: appends the built-in architecture (and options) of a file, as "vgg11 {head: torchvision}, width
 * 1/8, 10 classes". If none fits, *found is false and nothing is appended. ES_SYSTEM when out of memory. */
es_code_t es_checkpoint_recognise(const es_safetensors_t *file, es_text_t *out, bool *found, es_status_t *status);
/* Appends the network of a point, completed from the file of weights: "model vgg11, width 1/8, 10 classes". */
void es_checkpoint_describe(const es_point_t *point, es_text_t *out);
/* ES_INPUT if --to names an existing file that is not a safetensors file, which must not be replaced. */
es_code_t es_checkpoint_check_target(const char *to, es_status_t *status);

/* status_follow.c: prints what is done, runs, waits, has failed or is stale, every `every` seconds, until each point
 * has a result: on a terminal in place, else a line after each change and each minute. `results` gets the counts.
 * ES_SYSTEM without memory. */
es_code_t es_cli_follow(const es_plan_t *plan, const es_selection_t *selection, int64_t every, bool terminal,
                        es_results_t *results, es_status_t *status);

/* Subcommands in files of their own. */
int es_cli_checkpoint_import(int argc, char **argv);
int es_cli_checkpoint_export(int argc, char **argv);
int es_cli_data_pack(int argc, char **argv);
int es_cli_model_list(int argc, char **argv);
int es_cli_model_run(int argc, char **argv);
int es_cli_model_show(int argc, char **argv);

#endif
