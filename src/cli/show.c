/* eigenscope show FILE.h5 */
#include "cli_internal.h"
#include "eigenscope/merge.h"
#include <stdio.h>
#include <string.h>

static es_code_t read_format(const char *text, es_show_format_t *out, es_status_t *status) {
  static const char *const names[] = {"table", "csv", "json"}; /* as es_show_format_t */
  *out = ES_SHOW_TABLE;
  for (int i = 0; text != NULL && i < 3; i++) {
    if (strcmp(text, names[i]) != 0) continue;
    *out = (es_show_format_t)i;
    return ES_OK;
  }
  if (text == NULL) return ES_OK;
  return es_fail(status, ES_INPUT, "show", "--format %.100s: must be table, csv or json", text);
}

static const char usage[] =
    "eigenscope show FILE.h5 [--format table|csv|json]\n\n"
    "What a result file holds: where it came from, saturation of layers x epochs, loss and accuracy.\n"
    "csv and json have every number, one row for each split, epoch, layer and delta. Of a merged file: its points.";
static const es_option_t options[] = {{"--format", "table|csv|json", false, "how to print it (default: table)"}};
const es_page_t es_page_show = {"show", usage, options, 1};

int es_cli_show(int argc, char **argv) {
  es_arguments_t *arguments = NULL;
  es_status_t status = {0};
  es_text_t text = {0};
  es_show_format_t format;
  es_code_t code = es_arguments_parse(&arguments, argc, argv, &es_page_show, 1, 1, &status);
  if (code == ES_OK) code = read_format(es_arguments_option(arguments, "--format"), &format, &status);
  if (code == ES_OK) {
    const char *path = es_arguments_positional(arguments, 0);
    code = es_merged_check(path) ? es_merged_show(&text, path, format, &status)
                                 : es_result_show(&text, path, format, &status);
  }
  if (code == ES_OK) es_text_print(stdout, &text);
  /* Nothing is run here: whatever went wrong, the file that was named cannot be shown. */
  if (status.code == ES_SYSTEM) status.code = ES_INPUT;
  const int result = es_cli_report(&status);
  es_text_destroy(&text);
  es_arguments_destroy(arguments);
  return result;
}
