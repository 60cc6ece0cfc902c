/* eigenscope show FILE.h5: prints a result or a merged file. */
#include "cli_internal.h"
#include "eigenscope/merge.h"
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "eigenscope show FILE.h5 [--format table|csv|json] [--delta D] [--layer NAME] [--measure NAME] [--steps]\n\n"
    "Shows a result file: its origin, the saturation of every layer at every epoch, loss and accuracy. csv and json "
    "hold every\n"
    "number, in one row for each split, epoch, layer and delta. For a merged file, lists the points with the mean\n"
    "saturation of their hidden layers, or with that of each layer that --layer names.\n\n"
    "--measure shows one variable over epochs, layers and deltas, or scores of classes: recall, precision, f1, "
    "specificity,\n"
    "balanced_accuracy and confusion, of the network or, with --layer, of the probe of a layer. Probes on other "
    "datasets\n"
    "(probe.datasets) are probe_dataset_accuracy:NAME.";
static const es_option_t options[] = {
    {"--format", "table|csv|json", false, "format of the output (default: table)"},
    {"--layer", "NAME", false, "only the layers with this name; * and ? as in measure.layers"},
    {"--measure", "NAME", false,
     "only this measure of a point, as effective_rank, f1 or confusion; with --layer, the scores of the layer's probe"},
    {"--delta", "D", false, "saturations at this measured delta (default: 0.99 if measured, else the largest)"},
    {"--steps", NULL, false, "measurements after training steps (measure.steps) instead of epochs"},
};
const es_page_t es_page_show = {"show", usage, options, sizeof options / sizeof *options};

static int show(const es_arguments_t *arguments, es_status_t *status) {
  static const char *const names[] = {"table", "csv", "json"}; /* in the order of es_show_format_t */
  const char *path = es_arguments_positional(arguments, 0), *said = es_arguments_option(arguments, "--format");
  const char *delta = es_arguments_option(arguments, "--delta"), *layer = es_arguments_option(arguments, "--layer"),
             *measure = es_arguments_option(arguments, "--measure");
  double at = ES_DELTA_ANY;
  es_text_t text = {0};
  int format = ES_SHOW_TABLE;
  while (said != NULL && format < 3 && strcmp(said, names[format]) != 0) format++;
  if (format == 3) return es_fail(status, ES_INPUT, "show", "--format %.100s: must be table, csv or json", said);
  if (delta != NULL && (!es_text_to_double(delta, &at) || !(at > 0) || at > 1))
    return es_fail(status, ES_INPUT, "show", "--delta %.100s: must be a number above 0, at most 1", delta);
  ES_TRY(es_cli_refuse_job(path, "show", status));
  const bool merged = es_merged_check(path);
  const es_show_rows_t rows = {(es_show_format_t)format, at, layer, es_arguments_option(arguments, "--steps") != NULL};
  if (measure != NULL && merged)
    return es_fail(status, ES_INPUT, "show",
                   "--measure %.100s: must be used with the file of one point, and %s is merged", measure, path);
  if (rows.steps && merged)
    return es_fail(
        status, ES_INPUT, "show",
        "%s: is a merged file, but --steps shows the result of one point, as in points/<id>.h5; xarray reads "
        "step_saturation of all points",
        path);
  if (measure != NULL && rows.steps)
    return es_fail(status, ES_INPUT, "show", "--measure and --steps cannot be used together; leave one out");
  if (measure != NULL)
    es_result_show_measure(&text, path,
                           &(es_show_measure_t){.format = rows.format, .measure = measure, .delta = at, .layer = layer},
                           status);
  else if (merged)
    es_merged_show(&text, path, rows.format, at, layer, status);
  else
    es_result_show_rows(&text, path, &rows, status);
  return es_cli_print(&text, "the table", status);
}

int es_cli_show(int argc, char **argv) {
  return es_cli_command(argc, argv, &es_page_show, 1, 1, show);
}
