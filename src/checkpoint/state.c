#include "eigenscope/state.h"
#include "checkpoint_internal.h"
#include "eigenscope/checkpoint.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char STAGE[] = "checkpoint", EXTENSION[] = ".safetensors";

void es_state_path(char out[ES_PATH_MAX], const char *output, const char *id) {
  snprintf(out, ES_PATH_MAX, "%s/state/%s.safetensors", output, id);
}

void es_weights_path(char out[ES_PATH_MAX], const char *output, const char *id, int32_t epoch) {
  if (epoch >= 0)
    snprintf(out, ES_PATH_MAX, "%s/checkpoints/%s-%03d.safetensors", output, id, epoch);
  else
    snprintf(out, ES_PATH_MAX, "%s/checkpoints/%s.safetensors", output, id);
}

/* A list of tensors under construction. */
typedef struct list {
  es_tensor_view_t *views; /* owned */
  int n, capacity;
} list_t;

static es_tensor_view_t *append(list_t *list, const char *name, es_dtype_t dtype, int64_t count, const void *data) {
  assert(list->n < list->capacity);
  es_tensor_view_t *view = &list->views[list->n++];
  *view = (es_tensor_view_t){.dtype = dtype, .rank = 1, .shape = {count}, .data = data};
  snprintf(view->name, sizeof view->name, "%s", name);
  return view;
}

static void append_tensors(list_t *list, const es_tensor_t *tensors, int n, const float *flat) {
  for (int i = 0; i < n; i++) {
    es_tensor_view_t *view = append(list, tensors[i].name, ES_F32, tensors[i].count, flat + tensors[i].offset);
    view->rank = tensors[i].rank;
    memcpy(view->shape, tensors[i].shape, sizeof tensors[i].shape);
  }
}

/* Appends batch norm's count of batches next to each running_var. All of them have the same count. */
static void append_counts(list_t *list, const es_graph_t *graph, const int64_t *batches) {
  static const char last[] = "running_var";
  for (int i = 0; i < graph->n_buffers; i++) {
    const char *name = graph->buffers[i].name;
    const size_t length = strlen(name) - strlen(last);
    if (strcmp(name + length, last) != 0) continue;
    char full[ES_TENSOR_NAME_MAX];
    snprintf(full, sizeof full, "%.*snum_batches_tracked", (int)length, name);
    append(list, full, ES_I64, 1, batches)->rank = 0;
  }
}

/* Results are saved as "result.<variable>". Returns false for fields that no state has: strings are coordinates, which
 * the job defines, and es_eigenspaces_t saves the eigenvectors. */
static bool describe_field(es_field_t field, es_dtype_t *dtype, char name[ES_TENSOR_NAME_MAX]) {
  static const es_dtype_t dtypes[] = {[ES_TYPE_F64] = ES_F64, [ES_TYPE_F32] = ES_F32, [ES_TYPE_I32] = ES_I32,
                                      [ES_TYPE_I64] = ES_I64, [ES_TYPE_U8] = ES_U8,   [ES_TYPE_STRING] = ES_DTYPES};
  _Static_assert(sizeof dtypes / sizeof *dtypes == ES_TYPES && ES_TYPES == 6, "every type of a field has a dtype");
  const es_field_info_t *info = es_field_info(field);
  snprintf(name, ES_TENSOR_NAME_MAX, "result.%s", info->name);
  *dtype = dtypes[info->type];
  return info->type != ES_TYPE_STRING && field != ES_FIELD_EIGENVECTORS;
}

static void append_result(list_t *list, es_result_t *result) {
  for (int f = 0; f < ES_FIELDS; f++) {
    const es_field_t field = (es_field_t)f;
    char name[ES_TENSOR_NAME_MAX];
    es_dtype_t dtype;
    if (es_result_data(result, field) && describe_field(field, &dtype, name))
      append(list, name, dtype, (int64_t)es_result_size(result, field), es_result_data(result, field));
  }
}

static es_code_t save(const char *path, const es_state_key_t *key, int32_t epoch, const es_state_content_t *c,
                      es_status_t *status) {
  list_t list = {.capacity = 2 + ES_FIELDS + c->n_extra};
  if (c->graph) list.capacity += c->graph->n_parameters + 2 * c->graph->n_buffers;
  list.views = es_allocate((size_t)list.capacity, sizeof *list.views);
  if (!list.views) return es_out_of_memory(status, STAGE, "%s", path);
  const int64_t batches = c->trainer ? epoch * es_trainer_batches(c->trainer) : 0;
  if (c->trainer) {
    es_model_t *model = es_trainer_model(c->trainer);
    const es_optimizer_state_t *optimizer = es_trainer_optimizer(c->trainer);
    append_tensors(&list, c->graph->parameters, c->graph->n_parameters, es_model_parameters(model));
    append_tensors(&list, c->graph->buffers, c->graph->n_buffers, es_model_buffers(model));
    if (!c->result) append_counts(&list, c->graph, &batches);
    if (c->result) append(&list, "optimizer.first", ES_F32, optimizer->n, optimizer->first);
    if (c->result && optimizer->second) append(&list, "optimizer.second", ES_F32, optimizer->n, optimizer->second);
  }
  if (c->result) append_result(&list, c->result);
  for (int i = 0; i < c->n_extra; i++) list.views[list.n++] = c->extra[i];
  char number[16];
  snprintf(number, sizeof number, "%d", epoch);
  const es_metadata_t metadata[] = {
      {"format", "pt"},         {"point_id", key->point_id}, {"dataset_fingerprint", key->fingerprint},
      {"engine", key->engine},  {"epoch", number},           {"training", key->training},
      {"network", key->network}};
  const int n = sizeof metadata / sizeof *metadata - (key->training ? 0 : 2);
  const es_code_t code = es_safetensors_write(path, list.views, list.n, metadata, n, status);
  es_free(list.views);
  return code;
}

void es_state_previous_path(char out[ES_PATH_MAX], const char *path) {
  const size_t length = strlen(path) - strlen(EXTENSION);
  snprintf(out, ES_PATH_MAX, "%.*s.previous%s", (int)length, path, EXTENSION);
}

es_code_t es_state_save(const char *path, const es_state_key_t *key, int32_t epoch, const es_state_content_t *content,
                        es_status_t *status) {
  /* The existing state gets a second name, which keeps it when the new state takes the first name. If the file system
   * refuses links, the previous state is one step older or missing; nothing else is lost. */
  char previous[ES_PATH_MAX];
  es_state_previous_path(previous, path);
  es_file_link(path, previous);
  return save(path, key, epoch, content, status);
}

void es_state_remove(const char *path) {
  char previous[ES_PATH_MAX];
  es_state_previous_path(previous, path);
  unlink(path);
  unlink(previous);
  es_file_remove_parts(path);
  es_file_remove_parts(previous);
}

es_code_t es_weights_save(const char *path, const es_state_key_t *key, int32_t epoch, const es_graph_t *graph,
                          es_trainer_t *trainer, es_status_t *status) {
  const es_state_content_t content = {.graph = graph, .trainer = trainer};
  return save(path, key, epoch, &content, status);
}

static es_code_t check_entry(const es_safetensors_t *file, const char *entry, const char *expected, const char *advice,
                             es_status_t *status) {
  const char *found = es_safetensors_metadata(file, entry);
  if (found && strcmp(found, expected) == 0) return ES_OK;
  return es_fail(status, ES_INPUT, STAGE, "%s: %s is \"%s\", but this run has \"%s\"; %s", es_safetensors_path(file),
                 entry, found ? found : "", expected, advice);
}

static es_code_t copy_tensor(const es_safetensors_t *file, const char *name, es_dtype_t dtype, int64_t count, void *out,
                             es_status_t *status) {
  const es_tensor_view_t *view = es_safetensors_find(file, name);
  if (!view || view->dtype != dtype || es_tensor_count(view) != count)
    return es_fail(
        status, ES_INPUT, STAGE,
        "%s: tensor %s (%lld values of %s) is missing or has another shape; remove the file to start this point again",
        es_safetensors_path(file), name, (long long)count, es_dtype_name(dtype));
  memcpy(out, view->data, (size_t)count * es_dtype_size(dtype));
  return ES_OK;
}

static es_code_t copy_tensors(const es_safetensors_t *file, const es_tensor_t *tensors, int n, float *flat,
                              es_status_t *status) {
  for (int i = 0; i < n; i++)
    ES_TRY(copy_tensor(file, tensors[i].name, ES_F32, tensors[i].count, flat + tensors[i].offset, status));
  return ES_OK;
}

static es_code_t load_trainer(const es_safetensors_t *file, const es_state_content_t *c, es_status_t *status) {
  es_model_t *model = es_trainer_model(c->trainer);
  es_optimizer_state_t *optimizer = es_trainer_optimizer(c->trainer);
  const es_graph_t *graph = c->graph;
  ES_TRY(copy_tensors(file, graph->parameters, graph->n_parameters, es_model_parameters(model), status));
  ES_TRY(copy_tensors(file, graph->buffers, graph->n_buffers, es_model_buffers(model), status));
  ES_TRY(copy_tensor(file, "optimizer.first", ES_F32, optimizer->n, optimizer->first, status));
  if (!optimizer->second) return ES_OK;
  return copy_tensor(file, "optimizer.second", ES_F32, optimizer->n, optimizer->second, status);
}

/* A state of an older version may lack newer fields; those that follow from the eigenvalues are computed. The border
 * layer follows from the network; older states mark another. */
static es_code_t load_result(const es_safetensors_t *file, es_result_t *result, es_status_t *status) {
  bool lacking[ES_FIELDS] = {false}, any = false;
  for (int f = 0; f < ES_FIELDS; f++) {
    const es_field_t field = (es_field_t)f;
    char name[ES_TENSOR_NAME_MAX];
    es_dtype_t dtype;
    void *data = es_result_data(result, field);
    if (!data || field == ES_FIELD_LAYER_BORDER || !describe_field(field, &dtype, name)) continue;
    lacking[f] = es_field_is_optional(field) && !es_safetensors_find(file, name);
    any = any || lacking[f];
    if (!lacking[f]) ES_TRY(copy_tensor(file, name, dtype, (int64_t)es_result_size(result, field), data, status));
  }
  if (any) es_result_compute_quantities(result, lacking);
  return ES_OK;
}

static es_code_t load(int32_t *epoch, const es_safetensors_t *file, const es_state_key_t *key,
                      const es_state_content_t *c, bool accept_cpu_change, es_status_t *status) {
  ES_TRY(check_entry(file, "point_id", key->point_id, "remove the file to start this point again", status));
  ES_TRY(check_entry(file, "dataset_fingerprint", key->fingerprint,
                     "the dataset has changed: remove the file to start this point again", status));
  if (!accept_cpu_change)
    ES_TRY(check_entry(file, "engine", key->engine,
                       "results would differ in the last bits; to continue nevertheless, use --accept-cpu-change",
                       status));
  if (c->trainer) ES_TRY(load_trainer(file, c, status));
  ES_TRY(load_result(file, c->result, status));
  if (c->restore) ES_TRY(c->restore(c->restore_context, file, status));
  int64_t number;
  const char *text = es_safetensors_metadata(file, "epoch");
  const int64_t epochs = es_result_extent(c->result, ES_DIM_EPOCH) - 1; /* no state is saved after the last epoch */
  if (!text || !es_text_to_int(text, &number) || number < 0 || number >= epochs)
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: epoch is \"%s\", but must be a number below %lld, the last epoch; remove the file to start "
                   "this point again",
                   es_safetensors_path(file), text ? text : "", (long long)epochs);
  *epoch = (int32_t)number;
  return ES_OK;
}

typedef es_code_t open_t(es_safetensors_t **out, const char *path, es_status_t *status);

/* Opens the state, or the previous state if the state is damaged. Returns NULL with status OK if there is none. `open`:
 * es_safetensors_read, or es_safetensors_open, which does not read the tensors. */
static es_safetensors_t *open_state(const char *path, open_t *open, char warning[512], es_status_t *status) {
  es_safetensors_t *file = NULL;
  es_status_t second = {0};
  char previous[ES_PATH_MAX];
  if (es_file_is_missing(path) || open(&file, path, status) == ES_OK) return file;
  es_state_previous_path(previous, path);
  if (status->code != ES_INPUT || !es_file_exists(previous) || open(&file, previous, &second) != ES_OK) return NULL;
  snprintf(warning, 512, "%.400s; the run continues from the previous state", status->message);
  *status = (es_status_t){0};
  return file;
}

static void share_floats(float *data, int64_t n, const es_group_t *group) {
  const int64_t most = INT_MAX / 16;
  for (int64_t i = 0; i < n; i += most)
    ES_MPI(MPI_Bcast(data + i, (int)(n - i < most ? n - i : most), MPI_FLOAT, 0, group->comm));
}

void es_share_model(es_model_t *model, const es_graph_t *graph, const es_group_t *group) {
  if (group->size > 1) {
    share_floats(es_model_parameters(model), graph->parameter_count, group);
    share_floats(es_model_buffers(model), graph->buffer_count, group);
  }
  es_model_changed(model);
}

es_code_t es_state_resume(int32_t *epoch, const char *path, const es_state_key_t *key, const es_group_t *group,
                          const es_state_content_t *content, bool accept_cpu_change, char warning[512],
                          es_status_t *status) {
  *epoch = -1;
  warning[0] = '\0';
  es_safetensors_t *file = group->rank == 0 ? open_state(path, es_safetensors_read, warning, status) : NULL;
  if (file) load(epoch, file, key, content, accept_cpu_change, status);
  es_safetensors_destroy(file);
  ES_TRY(es_agree(group->comm, status));
  if (group->size > 1) ES_MPI(MPI_Bcast(epoch, 1, MPI_INT32_T, 0, group->comm));
  if (*epoch < 0 || !content->trainer) return ES_OK;
  const es_optimizer_state_t *optimizer = es_trainer_optimizer(content->trainer);
  if (group->size > 1) {
    share_floats(optimizer->first, optimizer->n, group);
    if (optimizer->second) share_floats(optimizer->second, optimizer->n, group);
  }
  es_share_model(es_trainer_model(content->trainer), content->graph, group);
  return ES_OK;
}

int32_t es_state_epoch(const char *path, const char *point_id) {
  int64_t epoch;
  char warning[512];
  es_safetensors_t *file = open_state(path, es_safetensors_open, warning, &(es_status_t){0});
  if (file == NULL) return -1;
  const char *own = es_safetensors_metadata(file, "point_id"), *text = es_safetensors_metadata(file, "epoch");
  const bool known = own && strcmp(own, point_id) == 0 && text && es_text_to_int(text, &epoch);
  es_safetensors_destroy(file);
  return known && epoch >= 0 && epoch <= INT32_MAX ? (int32_t)epoch : -1;
}
