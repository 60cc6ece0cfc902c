/* eigenscope model: built-in and described networks. Needs no MPI. */
#include "cli_internal.h"
#include <string.h>

int es_cli_model(int argc, char **argv) {
  const char *which = argc > 0 ? argv[0] : "";
  if (strcmp(which, "list") == 0) return es_cli_model_list(argc - 1, argv + 1);
  if (strcmp(which, "show") == 0) return es_cli_model_show(argc - 1, argv + 1);
  if (strcmp(which, "run") == 0) return es_cli_model_run(argc - 1, argv + 1);
  fprintf(stderr, "eigenscope: model needs one of list, show and run; eigenscope model --help describes them\n");
  return ES_EXIT_USAGE;
}
