/* The program: finds and calls the command. Only commands that need MPI start it, because login nodes of clusters
 * forbid it. */
#include "eigenscope/blas.h"
#include "eigenscope/cli.h"
#include "eigenscope/text.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef struct command {
  const char *name;
  int (*run)(int argc, char **argv);
  const char *arguments, *help;
} command_t;

static const command_t commands[] = {
    {"plan", es_cli_plan, "JOB", "list the points of a job with their cost"},
    {"run", es_cli_run, "JOB", "compute the points that have no result yet (several ranks: under mpirun or srun)"},
    {"status", es_cli_status, "JOB", "show which points are complete, diverged or missing"},
    {"search", es_cli_search, "JOB", "show what the search of a job has decided, and why"},
    {"merge", es_cli_merge, "JOB --to FILE.h5", "write all results of a job into one file"},
    {"show", es_cli_show, "FILE.h5", "print a result file as a table, csv or json"},
    {"report", es_cli_report_command, "FILE.h5 --to FOLDER",
     "write a page with the figures, tables and findings of a merged file"},
    {"watch", es_cli_watch, "JOB --to FOLDER", "keep the report of a job up to date while it runs"},
    {"export", es_cli_export, "JOB --ro-crate FOLDER",
     "pack job, results, versions and checksums as an RO-Crate; check one"},
    {"data", es_cli_data, "info|pack|synth",
     "describe a dataset; pack JPEG and PNG files, or synthetic images, into one file"},
    {"model", es_cli_model, "list|show|run", "list networks and the layers of one; compute logits of images"},
    {"checkpoint", es_cli_checkpoint, "info|export|import", "show weights and exchange them with PyTorch"},
    {"weights", es_cli_weights, "FILE.safetensors...",
     "compute norms, power laws and distances of the matrices in files of weights"},
    {"similarity", es_cli_similarity, "FILE.h5...", "compare the features of layers, epochs and points by CKA"},
    {"doctor", es_cli_doctor, "", "check if this machine is ready: cores, libraries, the folder of results"},
    {"bench", es_cli_bench, "train|covariance|...", "measure how fast this machine is"},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static const char about[] =
    "eigenscope measures how the eigenspaces of neural network layers evolve during training: a job file describes a\n"
    "grid of networks, data and seeds; each point of the grid is trained, measured every epoch, and stored in one HDF5 "
    "file.\n";

static const char *const exit_codes[] = {"complete", "the command or the job file is wrong", "some points failed",
                                         "unfinished (run again to continue)", "a bug, or a failure of MPI"};
_Static_assert(sizeof exit_codes / sizeof *exit_codes == ES_EXIT_BUG + 1, "every exit code is explained");

static int print_help(void) {
  printf("%s\nusage: eigenscope COMMAND [arguments]     eigenscope help COMMAND     eigenscope --version "
         "[--verbose]\n\n",
         about);
  for (int i = 0; i < N_COMMANDS; i++) {
    char line[64];
    snprintf(line, sizeof line, "%s %s", commands[i].name, commands[i].arguments);
    printf("  %-34s %s\n", line, commands[i].help);
  }
  printf("\n"
         "First steps:\n"
         "  eigenscope plan jobs/quickstart.yaml\n"
         "  mpirun -n 2 eigenscope run jobs/quickstart.yaml\n"
         "  eigenscope status jobs/quickstart.yaml\n"
         "jobs/reference.yaml lists every key of a job file with its default and range.\n\n"
         "exit codes:\n");
  for (int i = 0; i <= ES_EXIT_BUG; i++) printf("  %d  %s\n", i, exit_codes[i]);
  return ES_EXIT_OK;
}

/* Prints the help with fields separated by tabs; packaging/ generates manual page and completion from it. */
static int print_records(void) {
  for (const char *line = about, *end; *line != '\0'; line = end + 1) {
    end = strchr(line, '\n');
    printf("about\t%.*s\n", (int)(end - line), line);
  }
  for (int i = 0; i < N_COMMANDS; i++)
    printf("command\t%s\t%s\t%s\n", commands[i].name, commands[i].arguments, commands[i].help);
  for (int i = 0; i <= ES_EXIT_BUG; i++) printf("exit\t%d\t%s\n", i, exit_codes[i]);
  es_cli_help_records();
  return ES_EXIT_OK;
}

static int refuse(const char *name) {
  const char *names[N_COMMANDS];
  for (int i = 0; i < N_COMMANDS; i++) names[i] = commands[i].name;
  const char *nearest = es_text_nearest(name, names, N_COMMANDS);
  if (nearest != NULL)
    fprintf(stderr, "eigenscope: unknown command \"%.100s\"; did you mean \"%s\"?\n", name, nearest);
  else
    fprintf(stderr, "eigenscope: unknown command \"%.100s\"; eigenscope --help lists the commands\n", name);
  return ES_EXIT_USAGE;
}

static int dispatch(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "eigenscope: a command is missing; eigenscope --help lists the commands\n");
    return ES_EXIT_USAGE;
  }
  const bool help = strcmp(argv[1], "help") == 0;
  if (help && argc > 2 && !es_cli_asks_help(1, argv + 2) && strcmp(argv[2], "help") != 0)
    return es_cli_help(argv[2], argc - 3, argv + 3) ? ES_EXIT_OK : refuse(argv[2]);
  if (help || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) return print_help();
  if (strcmp(argv[1], "--help=records") == 0) return print_records();
  /* Help is answered before MPI starts, because login nodes forbid MPI. */
  if (es_cli_asks_help(argc - 2, argv + 2) && es_cli_help(argv[1], argc - 2, argv + 2)) return ES_EXIT_OK;
  if (strcmp(argv[1], "--version") == 0) return es_cli_version(argc - 2, argv + 2);
  for (int i = 0; i < N_COMMANDS; i++) {
    if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 2, argv + 2);
  }
  return refuse(argv[1]);
}

int main(int argc, char **argv) {
  es_blas_choose_kernels(argv);
  const int result = dispatch(argc, argv);
  /* The printed text is the result of most commands, so a full disk behind a redirection must be a failure. */
  const int reason = fflush(stdout) == 0 ? 0 : errno;
  if (reason == 0 && !ferror(stdout)) return result;
  fprintf(stderr, "eigenscope: standard output cannot be written: %s\n",
          reason != 0 ? strerror(reason) : "earlier lines were lost");
  return result == ES_EXIT_OK ? ES_EXIT_USAGE : result;
}
