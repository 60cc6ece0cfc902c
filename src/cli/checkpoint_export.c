/* eigenscope checkpoint export: copies the weights of points to file names of the user's choice. */
#include "cli_internal.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/state.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char STAGE[] = "checkpoint";

static const char usage[] =
    "eigenscope checkpoint export JOB|ID --to FILE.safetensors [--epochs all|0,1,5] [--output DIR] [--points LIST]\n\n"
    "Writes the weights of the points of a job, or of the one point with this id in --output, as safetensors files "
    "that\n"
    "PyTorch loads strictly: the tensors have the names of torchvision's state_dict. The default is the last epoch "
    "that was\n"
    "kept. In FILE, {id}, {epoch}, {epoch:03} and the names of axes are replaced by their values, as in\n"
    "\"w/{model}-{width}-{seed}.safetensors\".";
static const es_option_t options[] = {
    {"--to", "FILE", false, "files to write; existing safetensors files are replaced"},
    {"--epochs", "all|LIST", false, "epochs to export, as 0,1,5 (default: the last epoch that was kept)"},
    {"--output", "DIR", false, "folder of the results (default: the job's `output`)"},
    {"--points", "LIST", false, "only these points, as 0-3,7"},
    {"--set", "KEY=VALUE", true, "the same changes of the job file as in run"},
};
const es_page_t es_page_checkpoint_export = {"checkpoint export", usage, options, sizeof options / sizeof *options};

/* One file to write. */
typedef struct item {
  const es_trained_t *from;
  char to[ES_PATH_MAX];
} item_t;

typedef struct list {
  const char *to, *output;
  es_trained_list_t trained;
  bool all;
  int n_epochs;
  int32_t epochs[ES_EPOCHS_MAX];
  int n, capacity;
  item_t *items;
  es_text_t missing;
} list_t;

static es_code_t read_epochs(list_t *list, const char *text, es_status_t *status) {
  list->all = text != NULL && strcmp(text, "all") == 0;
  for (const char *rest = list->all ? NULL : text; rest != NULL;
       rest = strchr(rest, ',') ? strchr(rest, ',') + 1 : NULL) {
    char word[16];
    int64_t number;
    snprintf(word, sizeof word, "%.*s", (int)strcspn(rest, ","), rest);
    if (list->n_epochs == ES_EPOCHS_MAX || !es_text_to_int(word, &number) || number < 0 || number > 100000)
      return es_fail(status, ES_INPUT, STAGE,
                     "--epochs %.100s: must be all, or a list of at most %d epochs, as in 0,1,5", text, ES_EPOCHS_MAX);
    list->epochs[list->n_epochs++] = (int32_t)number;
  }
  return ES_OK;
}

static es_code_t add(list_t *list, const es_trained_t *from, const es_point_t *point, es_status_t *status) {
  if (list->n == list->capacity) {
    const int capacity = 2 * list->capacity + 16;
    item_t *more = es_reallocate(list->items, (size_t)capacity, sizeof *more);
    if (more == NULL) return es_out_of_memory(status, STAGE, "%d files", capacity);
    list->items = more;
    list->capacity = capacity;
  }
  item_t *item = &list->items[list->n++];
  item->from = from;
  return es_point_path(item->to, list->to, point, from->id, from->epoch, status);
}

/* Adds the weights of a point that the user asks for, and notes those that do not exist. Adds each epoch once: a job
 * that was run again with another checkpoint.keep may have stored an epoch twice. */
static es_code_t add_point(list_t *list, const es_point_t *point, const char *id, es_status_t *status) {
  int32_t last = -1, before = -1;
  int found = 0;
  for (int i = 0; i < list->trained.n; i++) {
    const es_trained_t *t = &list->trained.items[i];
    if (strcmp(t->id, id) == 0 && t->epoch > last) last = t->epoch;
  }
  for (int i = 0; i < list->trained.n; i++) {
    const es_trained_t *t = &list->trained.items[i];
    bool asked = list->all || (list->n_epochs == 0 && t->epoch == last);
    for (int e = 0; e < list->n_epochs; e++) asked = asked || list->epochs[e] == t->epoch;
    if (strcmp(t->id, id) != 0 || t->epoch == before || !asked) continue;
    ES_TRY(add(list, t, point, status));
    before = t->epoch;
    found++;
  }
  if (found == 0 || found < list->n_epochs)
    es_text_append(&list->missing, "%s: %s in %s/checkpoints\n", id,
                   last < 0 ? "no weights" : "not all of these epochs", list->output);
  return ES_OK;
}

static int by_target(const void *a, const void *b) {
  return strcmp(((const item_t *)a)->to, ((const item_t *)b)->to);
}

/* Checks before any write that all weights exist, all target names differ, and no foreign file is replaced. */
static es_code_t check(list_t *list, es_status_t *status) {
  if (list->missing.length > 0) {
    es_text_print(stderr, &list->missing);
    return es_fail(status, ES_INPUT, STAGE, "some weights do not exist, as listed above; nothing was written");
  }
  qsort(list->items, (size_t)list->n, sizeof *list->items, by_target);
  for (int i = 0; i < list->n; i++) {
    const char *to = list->items[i].to;
    if (i > 0 && strcmp(to, list->items[i - 1].to) == 0)
      return es_fail(status, ES_INPUT, STAGE,
                     "--to %s: several files would have this name; add {id}, {epoch} or the name of an axis in braces",
                     to);
    ES_TRY(es_checkpoint_check_target(to, status));
  }
  return ES_OK;
}

/* Copies tensors and metadata. Writing computes the hash again, which also verifies the data. */
static es_code_t copy(const char *from, const char *to, es_status_t *status) {
  es_safetensors_t *file;
  ES_TRY(es_safetensors_read(&file, from, status));
  const int n = es_safetensors_count(file);
  es_tensor_view_t *views = es_allocate((size_t)n, sizeof *views);
  es_metadata_t metadata[64];
  int n_metadata = 0;
  for (int i = 0; views != NULL && i < n; i++) views[i] = *es_safetensors_tensor(file, i);
  for (int i = 0; es_safetensors_entry(file, i) != NULL && n_metadata < 64; i++) {
    const es_metadata_t *entry = es_safetensors_entry(file, i);
    if (strcmp(entry->key, "writer") != 0 && strcmp(entry->key, "xxh3") != 0) metadata[n_metadata++] = *entry;
  }
  if (views == NULL) {
    es_out_of_memory(status, STAGE, "%s", from);
  } else {
    es_file_remove_parts(to);
    es_safetensors_write(to, views, n, metadata, n_metadata, status);
  }
  es_free(views);
  es_safetensors_destroy(file);
  return status->code;
}

static es_code_t write_all(const list_t *list, es_status_t *status) {
  for (int i = 0; i < list->n; i++) {
    const es_trained_t *t = list->items[i].from;
    const char *to = list->items[i].to, *slash = strrchr(to, '/');
    char path[ES_PATH_MAX], folder[ES_PATH_MAX] = "";
    if (slash != NULL) snprintf(folder, sizeof folder, "%.*s", (int)(slash - to), to);
    if (folder[0] != '\0') ES_TRY(es_directory_create(folder, status));
    es_weights_path(path, list->output, t->id, t->each ? t->epoch : -1);
    ES_TRY(copy(path, to, status));
    printf("%s: epoch %d of %s\n", to, t->epoch, t->id);
  }
  return ES_OK;
}

static es_code_t collect(list_t *list, const es_arguments_t *arguments, es_plan_t *plan, es_status_t *status) {
  const char *which = es_arguments_positional(arguments, 0);
  const es_point_t unknown = {0};
  list->output = es_arguments_option(arguments, "--output");
  if (strlen(which) == ES_ID_SIZE - 1 && strspn(which, "0123456789abcdef") == ES_ID_SIZE - 1) { /* an id */
    if (list->output == NULL)
      return es_fail(status, ES_INPUT, STAGE, "%s is the id of a result; --output must name the folder of this result",
                     which);
    ES_TRY(es_trained_scan(&list->trained, list->output, status));
    return add_point(list, &unknown, which, status);
  }
  const es_plan_request_t request = es_cli_request(arguments, 0);
  ES_TRY(es_plan_open(plan, &request, status));
  list->output = plan->output;
  ES_TRY(es_trained_scan(&list->trained, list->output, status));
  es_selection_t selection;
  ES_TRY(es_plan_select(plan, request.points, NULL, &selection, status));
  for (int64_t i = 0; i < selection.n && status->code == ES_OK; i++) {
    es_point_t point;
    es_grid_point(plan->grid, selection.index[i], &point);
    add_point(list, &point, es_grid_id(plan->grid, selection.index[i]), status);
  }
  es_selection_destroy(&selection);
  return status->code;
}

static int export(const es_arguments_t *arguments, es_status_t *status) {
  list_t list = {.to = es_arguments_option(arguments, "--to")};
  es_plan_t plan = {0};
  signal(SIGXFSZ, SIG_IGN); /* a write past the size limit then fails instead of killing us */
  if (list.to == NULL || list.to[0] == '\0')
    return es_fail(status, ES_INPUT, STAGE, "--to FILE.safetensors is missing");
  es_code_t code = read_epochs(&list, es_arguments_option(arguments, "--epochs"), status);
  if (code == ES_OK) code = collect(&list, arguments, &plan, status);
  if (code == ES_OK) code = check(&list, status);
  if (code == ES_OK) code = write_all(&list, status);
  es_text_destroy(&list.missing);
  es_trained_destroy(&list.trained);
  es_free(list.items);
  es_plan_destroy(&plan);
  return code;
}

int es_cli_checkpoint_export(int argc, char **argv) {
  return es_cli_command(argc, argv, &es_page_checkpoint_export, 1, 1, export);
}
