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

static const char STAGE[] = "checkpoint", EXTENSION[] = ".safetensors", FEATURES[] = "features";
/* Metadata of a state since version 2: the version, and the segments of the journal. */
static const char VERSION_KEY[] = "state_version", VERSION[] = "2", JOURNAL_KEY[] = "journal";

void es_state_path(char out[ES_PATH_MAX], const char *output, const char *id) {
  snprintf(out, ES_PATH_MAX, "%s/state/%s.safetensors", output, id);
}

void es_weights_path(char out[ES_PATH_MAX], const char *output, const char *id, int32_t epoch) {
  if (epoch >= 0)
    snprintf(out, ES_PATH_MAX, "%s/checkpoints/%s-%03d.safetensors", output, id, epoch);
  else
    snprintf(out, ES_PATH_MAX, "%s/checkpoints/%s.safetensors", output, id);
}

void es_state_features_path(char out[ES_PATH_MAX], const char *output, const char *id, int32_t epoch) {
  snprintf(out, ES_PATH_MAX, "%s/state/%s.%d.%s", output, id, (int)epoch, FEATURES);
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

/* Elements that one epoch or step changes: those after its axis. Fields without such an axis are one row. */
static int64_t row_of(const es_result_t *result, es_field_t field, int64_t size) {
  const es_field_info_t *info = es_field_info(field);
  int64_t rows = 1;
  for (int i = 0; i < info->rank; i++) {
    rows *= es_result_extent(result, info->dimensions[i]);
    const es_dimension_t dimension = info->dimensions[i];
    if (dimension == ES_DIM_EPOCH || dimension == ES_DIM_PROBE_EPOCH || dimension == ES_DIM_STEP) return size / rows;
  }
  return size;
}

static void append_result(list_t *list, es_result_t *result) {
  for (int f = 0; f < ES_FIELDS; f++) {
    const es_field_t field = (es_field_t)f;
    char name[ES_TENSOR_NAME_MAX];
    es_dtype_t dtype;
    if (!es_result_data(result, field) || !describe_field(field, &dtype, name)) continue;
    const int64_t size = (int64_t)es_result_size(result, field);
    append(list, name, dtype, size, es_result_data(result, field))->row = row_of(result, field, size);
  }
}

/* Removes the tensors that the journal holds from the list. */
static void drop_rows(list_t *list) {
  int kept = 0;
  for (int i = 0; i < list->n; i++) {
    if (list->views[i].row == 0) list->views[kept++] = list->views[i];
  }
  list->n = kept;
}

static const char PLATEAU[] = "optimizer.plateau";

static bool has_plateau(const es_optimizer_state_t *optimizer) {
  return optimizer->settings.schedule == ES_SCHEDULE_PLATEAU;
}

/* `kept`: the existing state stays as the previous one. */
static es_code_t save(const char *path, const es_state_key_t *key, int32_t epoch, const es_state_content_t *c,
                      bool kept, es_status_t *status) {
  list_t list = {.capacity = 3 + ES_FIELDS + c->n_extra};
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
    if (c->result && has_plateau(optimizer)) append(&list, PLATEAU, ES_F64, ES_PLATEAU_NUMBERS, &optimizer->plateau);
  }
  if (c->result) append_result(&list, c->result);
  for (int i = 0; i < c->n_extra; i++) list.views[list.n++] = c->extra[i];
  es_code_t code = ES_OK;
  es_text_t segments = {0};
  char number[16];
  snprintf(number, sizeof number, "%d", epoch);
  es_metadata_t metadata[9] = {{"format", "pt"},
                               {"point_id", key->point_id},
                               {"dataset_fingerprint", key->fingerprint},
                               {"engine", key->engine},
                               {"epoch", number}};
  int n = 5;
  if (key->training) {
    metadata[n++] = (es_metadata_t){"training", key->training};
    metadata[n++] = (es_metadata_t){"network", key->network};
  }
  if (c->result) {
    code = es_journal_append(c->journal, path, list.views, list.n, &segments, status);
    if (code == ES_OK && !kept) code = es_journal_sync(c->journal, path, status);
    drop_rows(&list);
    metadata[n++] = (es_metadata_t){VERSION_KEY, VERSION};
    metadata[n++] = (es_metadata_t){JOURNAL_KEY, es_text_get(&segments)};
  }
  if (code == ES_OK) code = es_safetensors_write(path, list.views, list.n, metadata, n, status);
  /* Here syncing is fast, because the disk has the bytes already. If the node dies before, and the disk has the new
   * state without them, the run continues from the previous state. */
  if (code == ES_OK && c->result) code = es_journal_sync(c->journal, path, status);
  es_text_destroy(&segments);
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
  const bool kept = es_file_link(path, previous);
  return save(path, key, epoch, content, kept, status);
}

static void remove_file(const char *name) {
  unlink(name);
}

void es_state_remove(const char *path) {
  char previous[ES_PATH_MAX], stem[ES_PATH_MAX];
  es_state_previous_path(previous, path);
  unlink(path);
  unlink(previous);
  es_file_remove_parts(path);
  es_file_remove_parts(previous);
  es_journal_remove(path);
  snprintf(stem, sizeof stem, "%.*s", (int)(strlen(path) - strlen(EXTENSION)), path);
  es_file_each(stem, FEATURES, remove_file);
}

es_code_t es_weights_save(const char *path, const es_state_key_t *key, int32_t epoch, const es_graph_t *graph,
                          es_trainer_t *trainer, es_status_t *status) {
  const es_state_content_t content = {.graph = graph, .trainer = trainer};
  return save(path, key, epoch, &content, true, status);
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
  if (has_plateau(optimizer))
    ES_TRY(copy_tensor(file, PLATEAU, ES_F64, ES_PLATEAU_NUMBERS, &optimizer->plateau, status));
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

static bool is_measured(es_result_t *result, int64_t epoch) {
  bool any = false;
  for (int split = 0; split < ES_SPLITS; split++)
    any = any || *(int64_t *)es_result_at(result, ES_FIELD_SAMPLES, (int64_t[ES_RANK_MAX]){split, epoch}) >= 0;
  return any;
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
  const int64_t epochs = es_result_extent(c->result, ES_DIM_EPOCH) - 1;
  if (!text || !es_text_to_int(text, &number) || number < 0 || number > epochs ||
      (number == epochs && !is_measured(c->result, number)))
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: epoch is \"%s\", but must be a measured epoch up to %lld, the last; remove the file to start "
                   "this point again",
                   es_safetensors_path(file), text ? text : "", (long long)epochs);
  *epoch = (int32_t)number;
  return ES_OK;
}

/* Opens a state, with its tensors and those of its journal if `journal` is given. */
static es_code_t open_one(es_safetensors_t **out, const char *path, es_journal_t *journal, es_status_t *status) {
  ES_TRY((journal ? es_safetensors_read : es_safetensors_open)(out, path, status));
  const char *version = es_safetensors_metadata(*out, VERSION_KEY), *list = es_safetensors_metadata(*out, JOURNAL_KEY);
  es_code_t code = ES_OK;
  if (version && strcmp(version, VERSION) != 0)
    code = es_fail(status, ES_INPUT, STAGE, "%s: is a state of version %s, but this program reads version %s", path,
                   version, VERSION);
  else if (list && journal)
    code = es_journal_load(journal, list, *out, status);
  else if (list && !es_journal_exists(path, list))
    code = es_fail(status, ES_INPUT, STAGE, "%s: a journal of the state is missing or cut off", path);
  if (code == ES_OK) return ES_OK;
  es_safetensors_destroy(*out);
  *out = NULL;
  return code;
}

/* Adds the remedy to the reason why no state can be used. */
static void add_remedy(const char *path, bool both, es_status_t *status) {
  const size_t used = strlen(status->message);
  if (status->code == ES_INPUT)
    snprintf(status->message + used, sizeof status->message - used, "%s; remove %s to start this point again",
             both ? "; the previous state cannot be used either" : "", path);
}

/* Opens the state, or the previous state if the state is damaged. Returns NULL with status OK if there is none. */
static es_safetensors_t *open_state(const char *path, es_journal_t *journal, char warning[512], es_status_t *status) {
  es_safetensors_t *file = NULL;
  es_status_t second = {0};
  char previous[ES_PATH_MAX];
  if (es_file_is_missing(path) || open_one(&file, path, journal, status) == ES_OK) return file;
  es_state_previous_path(previous, path);
  const bool both = es_file_exists(previous);
  if (status->code != ES_INPUT || !both || open_one(&file, previous, journal, &second) != ES_OK) {
    if (second.code == ES_OK || second.code == ES_INPUT) add_remedy(path, both, status);
    return NULL;
  }
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
  es_safetensors_t *file = group->rank == 0 ? open_state(path, content->journal, warning, status) : NULL;
  if (file) load(epoch, file, key, content, accept_cpu_change, status);
  es_safetensors_destroy(file);
  ES_TRY(es_agree(group->comm, status));
  if (group->size > 1) ES_MPI(MPI_Bcast(epoch, 1, MPI_INT32_T, 0, group->comm));
  if (*epoch < 0 || !content->trainer) return ES_OK;
  es_optimizer_state_t *optimizer = es_trainer_optimizer(content->trainer);
  if (group->size > 1) {
    ES_MPI(MPI_Bcast(&optimizer->plateau, ES_PLATEAU_NUMBERS, MPI_DOUBLE, 0, group->comm));
    share_floats(optimizer->first, optimizer->n, group);
    if (optimizer->second) share_floats(optimizer->second, optimizer->n, group);
  }
  es_share_model(es_trainer_model(content->trainer), content->graph, group);
  return ES_OK;
}

int32_t es_state_epoch(const char *path, const char *point_id) {
  int64_t epoch;
  char warning[512];
  es_safetensors_t *file = open_state(path, NULL, warning, &(es_status_t){0});
  if (file == NULL) return -1;
  const char *own = es_safetensors_metadata(file, "point_id"), *text = es_safetensors_metadata(file, "epoch");
  const bool known = own && strcmp(own, point_id) == 0 && text && es_text_to_int(text, &epoch);
  es_safetensors_destroy(file);
  return known && epoch >= 0 && epoch <= INT32_MAX ? (int32_t)epoch : -1;
}
