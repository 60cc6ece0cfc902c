/** The command line: one function per command, called by src/main.c. Each gets the arguments after its name, writes
 * results to stdout and errors to stderr as "eigenscope: <sentence>", and returns one of the exit codes below. */
#ifndef EIGENSCOPE_CLI_H
#define EIGENSCOPE_CLI_H

#include "eigenscope/status.h"
#include <stdbool.h>

enum { ES_EXIT_OK = 0, ES_EXIT_USAGE = 1, ES_EXIT_FAILED = 2, ES_EXIT_UNFINISHED = 3, ES_EXIT_BUG = 4 };

/** One option of a command. */
typedef struct es_option {
  const char *name;  /**< "--output" */
  const char *value; /**< name of its value in the usage ("DIR"), or NULL for a switch */
  bool repeatable;   /**< every occurrence counts (--set) */
  const char *help;  /**< one line */
} es_option_t;

/** Help page of a command; source of --help, the manual page and shell completion (src/cli/help.c). */
typedef struct es_page {
  const char *name;           /**< "run", or "data pack" for a subcommand */
  const char *usage;          /**< synopses, one per line, then optionally an empty line and a description */
  const es_option_t *options; /**< n_options */
  int n_options;
} es_page_t;

typedef struct es_arguments es_arguments_t;

/** Parses argv (the arguments after the command's name) against the options of its page. The number of positional
 * arguments must be in `least` … `most`. Accepts "--name=value" and "--name value"; "--" ends the options. ES_INPUT:
 * the message suggests the nearest known option and shows the first synopsis. *out borrows argv and the page. --help is
 * never parsed here: src/main.c answers it before MPI starts. */
es_code_t es_arguments_parse(es_arguments_t **out, int argc, char **argv, const es_page_t *page, int least, int most,
                             es_status_t *status);
void es_arguments_destroy(es_arguments_t *arguments);
const char *es_arguments_positional(const es_arguments_t *arguments, int index);
/** Value of an option (its last occurrence; "" for a switch), or NULL if it was not given. Borrowed. */
const char *es_arguments_option(const es_arguments_t *arguments, const char *name);
/** All values of a repeatable option. */
int es_arguments_all(const es_arguments_t *arguments, const char *name, const char *const **values);

/** Prints "eigenscope: <message>" to stderr and returns es_cli_exit_code. */
int es_cli_report(const es_status_t *status);
/** The exit code of a status: OK 0, input 1, system, numeric and diverged 2, stopped 3, bug 4. */
int es_cli_exit_code(const es_status_t *status);

/** True if the arguments after a command's name contain --help or -h before "--". */
bool es_cli_asks_help(int argc, char **argv);
/** Prints the page of a command or of the subcommand that argv names, or else the synopses of all subcommands. Prints
 * only on the rank that the launcher numbers 0. False if there is no such command. */
bool es_cli_help(const char *command, int argc, char **argv);
/** Prints all pages in machine-readable form, one record per line, fields separated by tabs: "page NAME", then "usage
 * SYNOPSIS", "text LINE" (empty between paragraphs) and "option NAME VALUE HELP". */
void es_cli_help_records(void);

/** Rank that mpirun or srun gave to this process; works without MPI_Init. -1 if neither started this process. */
int es_cli_launched_rank(void);

int es_cli_plan(int argc, char **argv);
int es_cli_run(int argc, char **argv); /* calls MPI_Init, like doctor, bench, and data pack under a launcher */
int es_cli_status(int argc, char **argv);
int es_cli_search(int argc, char **argv);
int es_cli_show(int argc, char **argv);
int es_cli_merge(int argc, char **argv);
int es_cli_report_command(int argc, char **argv);
int es_cli_watch(int argc, char **argv);  /* replaces this process by a Python process */
int es_cli_export(int argc, char **argv); /* replaces this process by a Python process */
int es_cli_data(int argc, char **argv);
int es_cli_checkpoint(int argc, char **argv);
int es_cli_model(int argc, char **argv);
int es_cli_weights(int argc, char **argv);    /* calls MPI_Init under a launcher */
int es_cli_similarity(int argc, char **argv); /* calls MPI_Init under a launcher */
int es_cli_version(int argc, char **argv);
int es_cli_doctor(int argc, char **argv);
int es_cli_bench(int argc, char **argv);

#endif
