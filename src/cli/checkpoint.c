/* eigenscope checkpoint: shows, imports and exports files of weights. Needs no MPI. */
#include "cli_internal.h"
#include <stdio.h>
#include <string.h>

static const char info_usage[] =
    "eigenscope checkpoint info FILE.safetensors [--format table|json]\n\n"
    "Shows the tensors and metadata of a file of weights or of a state, and which built-in network the weights fit. "
    "The\n"
    "format of the file is checked completely; the hash is checked, too, if eigenscope wrote the file.";
static const es_option_t info_options[] = {
    {"--format", "table|json", false, "format of the output (default: table)"},
};
const es_page_t es_page_checkpoint_info = {"checkpoint info", info_usage, info_options,
                                           sizeof info_options / sizeof *info_options};

/* Appends a shape as "64 x 3 x 3 x 3", or with another separator. */
static void append_shape(const es_tensor_view_t *tensor, const char *separator, es_text_t *out) {
  for (int32_t i = 0; i < tensor->rank; i++)
    es_text_append(out, "%s%lld", i > 0 ? separator : "", (long long)tensor->shape[i]);
}

static int64_t bytes_of(const es_tensor_view_t *tensor) {
  return es_tensor_count(tensor) * (int64_t)es_dtype_size(tensor->dtype);
}

static long long total_of(const es_safetensors_t *file) {
  int64_t bytes = 0;
  for (int i = 0; i < es_safetensors_count(file); i++) bytes += bytes_of(es_safetensors_tensor(file, i));
  return bytes;
}

static void print_table(const es_safetensors_t *file, const char *network, es_text_t *out) {
  es_table_t table = {0};
  es_text_append(out, "%s: %d tensor%s, %.2f MB\n", es_safetensors_path(file), es_safetensors_count(file),
                 es_plural(es_safetensors_count(file)), 1e-6 * (double)total_of(file));
  es_text_append(out, "network: %s\n\n", network[0] != '\0' ? network : "none of the built-in networks");
  es_table_columns(&table, "tensor|dtype|shape|>bytes");
  for (int i = 0; i < es_safetensors_count(file); i++) {
    const es_tensor_view_t *tensor = es_safetensors_tensor(file, i);
    es_text_t shape = {0};
    append_shape(tensor, " x ", &shape);
    es_table_cell(&table, "%s", tensor->name);
    es_table_cell(&table, "%s", es_dtype_name(tensor->dtype));
    es_table_cell(&table, "%s", es_text_get(&shape));
    if (shape.failed) out->failed = true;
    es_table_cell(&table, "%lld", (long long)bytes_of(tensor));
    es_text_destroy(&shape);
  }
  if (es_safetensors_count(file) > 0) es_table_print(&table, out);
  for (int i = 0; es_safetensors_entry(file, i) != NULL; i++) {
    const es_metadata_t *entry = es_safetensors_entry(file, i);
    es_text_append(out, "%s%s: %s\n", i == 0 ? "\nmetadata\n" : "", entry->key, entry->value);
  }
  if (table.cells.failed) out->failed = true;
  es_table_destroy(&table);
}

static void print_json(const es_safetensors_t *file, const char *network, es_text_t *out) {
  es_text_append(out, "{\"file\": ");
  es_text_append_quoted(out, es_safetensors_path(file));
  es_text_append(out, ", \"network\": ");
  if (network[0] != '\0')
    es_text_append_quoted(out, network);
  else
    es_text_append(out, "null");
  es_text_append(out, ", \"bytes\": %lld, \"tensors\": [", total_of(file));
  for (int i = 0; i < es_safetensors_count(file); i++) {
    const es_tensor_view_t *tensor = es_safetensors_tensor(file, i);
    es_text_append(out, "%s\n  {\"name\": ", i > 0 ? "," : "");
    es_text_append_quoted(out, tensor->name);
    es_text_append(out, ", \"dtype\": \"%s\", \"shape\": [", es_dtype_name(tensor->dtype));
    append_shape(tensor, ", ", out);
    es_text_append(out, "]}");
  }
  es_text_append(out, "\n], \"metadata\": {");
  for (int i = 0; es_safetensors_entry(file, i) != NULL; i++) {
    const es_metadata_t *entry = es_safetensors_entry(file, i);
    if (i > 0) es_text_append(out, ", ");
    es_text_append_quoted(out, entry->key);
    es_text_append(out, ": ");
    es_text_append_quoted(out, entry->value);
  }
  es_text_append(out, "}}\n");
}

static int info(const es_arguments_t *arguments, es_status_t *status) {
  es_safetensors_t *file;
  es_text_t text = {0}, network = {0};
  bool known, json;
  ES_TRY(es_cli_format(arguments, &json, status));
  ES_TRY(es_safetensors_open(&file, es_arguments_positional(arguments, 0), status));
  /* Only files with a hash or written by eigenscope can be verified. Others may be large, so do not load them. */
  if (es_safetensors_metadata(file, "xxh3") != NULL || es_safetensors_metadata(file, "writer") != NULL)
    es_safetensors_load(file, status);
  if (status->code == ES_OK && es_checkpoint_recognise(file, &network, &known, status) == ES_OK)
    (json ? print_json : print_table)(file, es_text_get(&network), &text);
  es_text_destroy(&network);
  es_safetensors_destroy(file);
  return es_cli_print(&text, "the list of tensors", status);
}

int es_cli_checkpoint(int argc, char **argv) {
  const char *which = argc > 0 ? argv[0] : "";
  if (strcmp(which, "info") == 0) return es_cli_command(argc - 1, argv + 1, &es_page_checkpoint_info, 1, 1, info);
  if (strcmp(which, "export") == 0) return es_cli_checkpoint_export(argc - 1, argv + 1);
  if (strcmp(which, "import") == 0) return es_cli_checkpoint_import(argc - 1, argv + 1);
  fprintf(stderr,
          "eigenscope: checkpoint needs one of info, export and import; eigenscope checkpoint --help describes them\n");
  return ES_EXIT_USAGE;
}
