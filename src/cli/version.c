/* eigenscope --version [--verbose] */
#include "cli_internal.h"
#include "eigenscope/lapack.h"
#include "eigenscope/model.h"
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "eigenscope --version [--verbose]\n\n"
    "Prints the version; with --verbose, also the libraries and the machine, as result files record them.";
static const es_option_t options[] = {
    {"--verbose", NULL, false, "print compiler, libraries and instruction sets, too"}};
const es_page_t es_page_version = {"--version", usage, options, 1};

static int print(const es_arguments_t *arguments, ES_UNUSED es_status_t *status) {
  const es_provenance_t *facts;
  const int n = es_run_provenance(&facts);
  puts(es_cli_creator());
  for (int i = 2; i < n && es_arguments_option(arguments, "--verbose") != NULL; i++)
    printf("  %-9s %s\n", facts[i].name, facts[i].value);
  if (es_arguments_option(arguments, "--verbose") != NULL)
    printf("  %-9s %s\n  %-9s %s\n", "scalapack", es_scalapack_name(), "conv", es_model_convolutions());
  return ES_EXIT_OK;
}

int es_cli_version(int argc, char **argv) {
  return es_cli_command(argc, argv, &es_page_version, 0, 0, print);
}
