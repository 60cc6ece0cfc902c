/* eigenscope --version [--verbose] */
#include "cli_internal.h"
#include "eigenscope/run.h"
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "eigenscope --version [--verbose]\n\n"
    "The version; with --verbose also the libraries and the machine, as result files have them.";
static const es_option_t options[] = {{"--verbose", NULL, false, "also compiler, libraries and instruction sets"}};
const es_page_t es_page_version = {"--version", usage, options, 1};

int es_cli_version(int argc, char **argv) {
  es_arguments_t *arguments = NULL;
  es_status_t status = {0};
  if (es_arguments_parse(&arguments, argc, argv, &es_page_version, 0, 0, &status) != ES_OK)
    return es_cli_report(&status);
  const es_provenance_t *facts;
  const int n = es_run_provenance(&facts);
  printf("eigenscope %s (%s)\n", facts[0].value, facts[1].value);
  for (int i = 2; i < n && es_arguments_option(arguments, "--verbose") != NULL; i++)
    printf("  %-9s %s\n", facts[i].name, facts[i].value);
  es_arguments_destroy(arguments);
  return ES_EXIT_OK;
}
