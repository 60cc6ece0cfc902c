/* eigenscope checkpoint import: checks if foreign weights fit the points of a job, and writes them as plain files. */
#include "cli_internal.h"
#include "eigenscope/file.h"
#include "eigenscope/graph.h"
#include "eigenscope/memory.h"
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "checkpoint";

static const char usage[] =
    "eigenscope checkpoint import FILE.safetensors [JOB] [--to FILE.safetensors] [--strip PREFIX] [--points LIST]\n\n"
    "Shows which points of a job the weights in a file fit (without JOB: which built-in network), or lists every "
    "tensor that\n"
    "does not fit. With --to, also writes the weights as float with plain names: without \"module.\", \"_orig_mod.\" "
    "and\n"
    "PREFIX. For a PyTorch file, make a safetensors file first with analysis/convert_checkpoint.py.";
static const es_option_t options[] = {
    {"--to", "FILE", false, "file to write; an existing safetensors file is replaced"},
    {"--strip", "PREFIX", false, "remove this prefix from the names of tensors, as \"model.\" or \"backbone.\""},
    {"--points", "LIST", false, "only these points of the job, as 0-3,7"},
    {"--set", "KEY=VALUE", true, "override a key of the job file, as grid.model=resnet18"},
};
const es_page_t es_page_checkpoint_import = {"checkpoint import", usage, options, sizeof options / sizeof *options};

/* The tensors under their plain names; floating-point tensors are converted to float. */
typedef struct plain {
  es_tensor_view_t *views; /* owned */
  float **data;            /* owned; converted data of a tensor, NULL if it was float already */
  int n;
} plain_t;

static es_code_t make_plain(plain_t *out, const es_safetensors_t *file, es_status_t *status) {
  const size_t n = (size_t)es_safetensors_count(file);
  *out = (plain_t){.views = es_allocate(n, sizeof *out->views), .data = es_allocate_zero(n, sizeof *out->data)};
  if (out->views == NULL || out->data == NULL) return es_out_of_memory(status, STAGE, "the list of tensors");
  for (int i = 0; i < (int)n; i++) {
    const es_tensor_view_t *from = es_safetensors_tensor(file, i);
    if (es_weights_is_count(from->name)) continue; /* counters may occur twice and are not needed */
    const int at = out->n++;
    es_tensor_view_t *view = &out->views[at];
    *view = *from;
    snprintf(view->name, sizeof view->name, "%s", es_weights_name(from->name)); /* unique, because the file fits */
    if (from->dtype == ES_F32 || !es_dtype_is_real(from->dtype)) continue;
    out->data[at] = es_allocate((size_t)es_tensor_count(from) + 1, sizeof(float));
    if (out->data[at] == NULL) return es_out_of_memory(status, STAGE, "tensor %s", view->name);
    es_tensor_to_float(from, out->data[at]);
    view->dtype = ES_F32;
    view->data = out->data[at];
  }
  return ES_OK;
}

/* The point that comes closest to fitting, with all its mismatches. */
typedef struct nearest {
  int64_t index;
  es_point_t point; /* as the job describes it */
  int mismatches;
  es_text_t report;
} nearest_t;

/* Prints the point if it fits. If the check itself failed, returns false and stores the reason in `status`. */
static bool try_point(const es_safetensors_t *file, const es_plan_t *plan, int64_t index, nearest_t *nearest,
                      es_status_t *status) {
  es_graph_t *graph = NULL;
  es_point_t asked, found;
  es_status_t own = {0};
  es_text_t words = {0}, report = {0};
  int n = INT_MAX - 1;
  es_grid_point(plan->grid, index, &asked);
  found = asked;
  if (es_plan_complete(plan, file, &found, &own) == ES_OK && es_graph_create(&graph, &found, &own) == ES_OK) {
    n = es_weights_compare(file, graph, &report);
    es_checkpoint_describe(&found, &words);
  } else if (own.code == ES_SYSTEM) {
    *status = own;
  } else {
    es_text_append(&report, "  %s\n", own.message);
    es_text_append(&words, "model %s", found.model.name);
  }
  if (words.failed || report.failed) es_out_of_memory(status, STAGE, "the comparison of weights and network");
  if (n == 0 && !words.failed) printf("fits point %lld: %s\n", (long long)index, es_text_get(&words));
  if (n > 0 && n < nearest->mismatches) {
    es_text_destroy(&nearest->report);
    es_text_append(&nearest->report, "point %lld (%s):\n%s", (long long)index, es_text_get(&words),
                   es_text_get(&report));
    nearest->mismatches = n;
    nearest->index = index;
    nearest->point = asked;
  }
  es_graph_destroy(graph);
  es_text_destroy(&words);
  es_text_destroy(&report);
  return n == 0;
}

/* Inspects the datasets if a selected point needs the number of their classes. */
static es_code_t inspect(es_plan_t *plan, const es_selection_t *selection, es_status_t *status) {
  bool needed = false;
  for (int64_t i = 0; i < selection->n && !needed; i++) {
    es_point_t point;
    es_grid_point(plan->grid, selection->index[i], &point);
    needed = point.classes == 0;
  }
  return needed ? es_plan_inspect(plan, status) : ES_OK;
}

/* Reports why the nearest point does not fit: in one line if one network explains it, else every mismatch. */
static es_code_t refuse(const es_safetensors_t *file, const es_plan_t *plan, nearest_t *nearest, es_status_t *status) {
  es_text_t line = {0};
  es_point_t point = nearest->point; /* with `classes: all` as the dataset's count */
  const int32_t most = plan->infos != NULL ? es_plan_info(plan, &point)->classes : 0;
  es_status_t own = {0};
  if (point.classes == 0 && !es_point_axis_is_of_files(&point, "classes"))
    es_point_bind(&point, es_plan_info(plan, &point), es_job_path(plan->job), &own);
  if (own.code == ES_OK) es_weights_explain(file, &point, most, &line, status);
  if (status->code == ES_OK) es_text_print(stderr, line.length > 0 ? &line : &nearest->report);
  es_text_destroy(&line);
  return es_fail(status, ES_INPUT, STAGE,
                 "%s fits no point of %s; the nearest is point %lld, with the differences that are listed above",
                 es_safetensors_path(file), es_job_path(plan->job), (long long)nearest->index);
}

static es_code_t fit_job(const es_safetensors_t *file, const es_arguments_t *arguments, es_status_t *status) {
  const es_plan_request_t request = es_cli_request(arguments, 1);
  es_plan_t plan;
  es_selection_t selection;
  nearest_t nearest = {.mismatches = INT_MAX};
  int64_t fitting = 0;
  ES_TRY(es_plan_open(&plan, &request, status));
  if (!es_source_has_network(es_job_base(plan.job)->source))
    es_fail(status, ES_INPUT, STAGE,
            "%s: is a job with source: activations, which has no networks; weights cannot be compared with it",
            es_job_path(plan.job));
  else if (es_plan_select(&plan, request.points, NULL, &selection, status) == ES_OK) {
    inspect(&plan, &selection, status);
    for (int64_t i = 0; i < selection.n && status->code == ES_OK; i++)
      fitting += try_point(file, &plan, selection.index[i], &nearest, status);
    es_selection_destroy(&selection);
    if (nearest.report.failed) es_out_of_memory(status, STAGE, "the list of tensors that do not fit");
    if (fitting == 0 && status->code == ES_OK) refuse(file, &plan, &nearest, status);
  }
  es_text_destroy(&nearest.report);
  es_plan_destroy(&plan);
  return status->code;
}

static es_code_t recognise(const es_safetensors_t *file, es_status_t *status) {
  es_text_t words = {0};
  bool found;
  const es_code_t code = es_checkpoint_recognise(file, &words, &found, status);
  if (code == ES_OK && found)
    printf("fits %s\n", es_text_get(&words));
  else if (code == ES_OK)
    es_fail(status, ES_INPUT, STAGE,
            "%s fits no built-in network; give a JOB with the model to see which tensors do not fit",
            es_safetensors_path(file));
  es_text_destroy(&words);
  return status->code;
}

static int import(const es_arguments_t *arguments, es_status_t *status) {
  const char *to = es_arguments_option(arguments, "--to"), *strip = es_arguments_option(arguments, "--strip");
  es_safetensors_t *file;
  plain_t plain = {0};
  signal(SIGXFSZ, SIG_IGN); /* a write past the size limit then fails instead of killing us */
  ES_TRY(es_safetensors_open(&file, es_arguments_positional(arguments, 0), status));
  es_code_t code = strip != NULL ? es_safetensors_load(file, status) : ES_OK;
  if (code == ES_OK && strip != NULL) code = es_safetensors_strip(file, strip, status);
  if (code == ES_OK)
    code = es_arguments_positional(arguments, 1) != NULL ? fit_job(file, arguments, status) : recognise(file, status);
  if (code == ES_OK && to != NULL) {
    code = es_safetensors_load(file, status);
    if (code == ES_OK) code = make_plain(&plain, file, status);
    if (code == ES_OK) code = es_checkpoint_check_target(to, status);
    const es_metadata_t metadata[] = {{"format", "pt"}, {"imported_from", es_safetensors_path(file)}};
    es_file_remove_parts(to);
    if (code == ES_OK) code = es_safetensors_write(to, plain.views, plain.n, metadata, 2, status);
  }
  for (int i = 0; plain.data != NULL && i < plain.n; i++) es_free(plain.data[i]);
  es_free(plain.data);
  es_free(plain.views);
  es_safetensors_destroy(file);
  return code;
}

int es_cli_checkpoint_import(int argc, char **argv) {
  return es_cli_command(argc, argv, &es_page_checkpoint_import, 1, 2, import);
}
