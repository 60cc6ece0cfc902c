/* Prints the help of the commands: for people, and as records for the manual page and shell completion. */
#include "cli_internal.h"
#include "eigenscope/graph.h"
#include "eigenscope/shipped.h"
#include <stdio.h>
#include <string.h>

static const es_page_t *const pages[] = {
    &es_page_plan,
    &es_page_run,
    &es_page_status,
    &es_page_search,
    &es_page_merge,
    &es_page_show,
    &es_page_report,
    &es_page_watch,
    &es_page_export,
    &es_page_data_info,
    &es_page_data_pack,
    &es_page_data_synth,
    &es_page_model_list,
    &es_page_model_show,
    &es_page_checkpoint_info,
    &es_page_checkpoint_export,
    &es_page_checkpoint_import,
    &es_page_model_run,
    &es_page_weights,
    &es_page_similarity,
    &es_page_doctor,
    &es_page_bench_train,
    &es_page_bench_covariance,
    &es_page_bench_spectrum,
    &es_page_bench_probe,
    &es_page_version,
};
enum { N_PAGES = sizeof pages / sizeof *pages };

static const char *repeated(const es_option_t *option) {
  return option->repeatable ? " (may be repeated)" : "";
}

static void print_page(const es_page_t *page) {
  printf("%s\n\noptions:\n", page->usage);
  for (int i = 0; i < page->n_options; i++) {
    const es_option_t *o = &page->options[i];
    char name[64];
    snprintf(name, sizeof name, "%s%s%s", o->name, o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
    printf("  %-24s %s%s\n", name, o->help, repeated(o));
  }
}

bool es_cli_asks_help(int argc, char **argv) {
  for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
    if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
  }
  return false;
}

bool es_cli_help(const char *command, int argc, char **argv) {
  char part[64];
  snprintf(part, sizeof part, "%s %s", command, argc > 0 ? argv[0] : "");
  if (es_cli_launched_rank() > 0) return true;
  for (int i = 0; i < N_PAGES; i++) {
    if (strcmp(pages[i]->name, command) != 0 && strcmp(pages[i]->name, part) != 0) continue;
    print_page(pages[i]);
    return true;
  }
  const size_t length = strlen(command);
  int n = 0;
  for (int i = 0; i < N_PAGES; i++) { /* pages of "data": data info, data pack, ... */
    if (strncmp(pages[i]->name, command, length) == 0 && pages[i]->name[length] == ' ')
      printf("%s%s\n", n++ > 0 ? "\n" : "", pages[i]->usage);
  }
  if (n > 0) printf("\nTo list the options of one of these commands, add --help to it.\n");
  return n > 0;
}

void es_cli_help_records(void) {
  for (const char *const *name = es_model_spec_names(); *name != NULL; name++) printf("network\t%s\n", *name);
  for (int i = 0; es_shipped_row(i) != NULL; i++) printf("network\t%s\n", es_shipped_row(i)->name);
  for (int i = 0; i < N_PAGES; i++) {
    const es_page_t *page = pages[i];
    const char *kind = "usage";
    printf("page\t%s\n", page->name);
    for (const char *line = page->usage, *end; *line != '\0'; line = *end != '\0' ? end + 1 : end) {
      end = line + strcspn(line, "\n");
      if (end == line && strcmp(kind, "usage") == 0)
        kind = "text";
      else
        printf("%s\t%.*s\n", kind, (int)(end - line), line);
    }
    for (int o = 0; o < page->n_options; o++) {
      const es_option_t *option = &page->options[o];
      printf("option\t%s\t%s\t%s%s\n", option->name, option->value != NULL ? option->value : "", option->help,
             repeated(option));
    }
  }
}
