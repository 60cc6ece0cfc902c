/* Input: a state file with results and tracked eigenspaces, which are resumed if they fit. */
#include "eigenscope/eigenspace.h"
#include "eigenscope/state.h"
#include "fuzz.h"

enum { LAYERS = 2, WIDTH = 2, EPOCHS = 3 };

static es_code_t take(void *context, const es_safetensors_t *file, es_status_t *status) {
  for (int i = 0; i < es_safetensors_count(file); i++)
    ES_TRY(es_eigenspaces_take(context, es_safetensors_tensor(file, i), status));
  return ES_OK;
}

static es_result_t *make_result(void) {
  static const es_layer_info_t layers[LAYERS] = {{.name = "a", .kind = "conv", .width = WIDTH, .stride = 1},
                                                 {.name = "b", .kind = "linear", .width = WIDTH, .stride = -1}};
  static const es_point_t point = {.train = {.epochs = EPOCHS - 1}, .measure = {.n_deltas = 1, .delta = {0.99}}};
  const es_result_shape_t shape = {.point = &point, .layers = layers, .n_layers = LAYERS, .eigenspace = true};
  es_result_t *result;
  fuzz_require(es_result_create(&result, &shape, &(es_status_t){0}) == ES_OK, "no result");
  return result;
}

/* Resumes eigenspaces alone; a state stores them last. */
static void take_alone(es_eigenspaces_t *spaces, const char *path) {
  es_safetensors_t *file;
  es_status_t status = {0};
  if (es_safetensors_read(&file, path, &status) != ES_OK) return;
  es_code_t code = take(spaces, file, &status);
  if (code == ES_OK) code = es_eigenspaces_resume(spaces, &status);
  fuzz_expect(code, &status, "");
  es_safetensors_destroy(file);
}

static void fuzz_one(const uint8_t *data, size_t size) {
  static const int32_t widths[LAYERS] = {WIDTH, WIDTH};
  static const int owners[LAYERS] = {0, 0};
  static const es_state_key_t key = {.point_id = "0123456789abcdef", .fingerprint = "fedc", .engine = "e"};
  const es_group_t group = {.comm = MPI_COMM_NULL, .size = 1};
  const es_eigenspaces_shape_t shape = {
      .group = &group, .n_layers = LAYERS, .widths = widths, .owners = owners, .n_deltas = 1, .n_epochs = EPOCHS};
  es_eigenspaces_t *spaces;
  es_status_t status = {0};
  char warning[512];
  int32_t epoch;
  const char *path = fuzz_file("x.safetensors", data, size);
  fuzz_require(es_eigenspaces_create(&spaces, &shape, &(es_status_t){0}) == ES_OK, "no eigenspaces");
  take_alone(spaces, path);
  es_eigenspaces_destroy(spaces);
  fuzz_require(es_eigenspaces_create(&spaces, &shape, &(es_status_t){0}) == ES_OK, "no eigenspaces");
  es_result_t *result = make_result();
  es_journal_t journal = {0};
  const es_state_content_t content = {
      .result = result, .journal = &journal, .restore = take, .restore_context = spaces};
  es_code_t code = es_state_resume(&epoch, path, &key, &group, &content, false, warning, &status);
  if (code == ES_OK && epoch >= 0) {
    code = es_eigenspaces_resume(spaces, &status);
    fuzz_require(epoch < EPOCHS - 1 && es_state_epoch(path, key.point_id) == epoch, "another epoch");
  }
  fuzz_expect(code, &status, "");
  es_journal_close(&journal);
  es_result_destroy(result);
  es_eigenspaces_destroy(spaces);
}
