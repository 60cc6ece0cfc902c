/* Input: the header of a file of weights, followed by zeros, as many as its first two bytes say. Tests names, types and
 * shapes, and the match with networks. */
#include "eigenscope/graph.h"
#include "eigenscope/weights.h"
#include "fuzz.h"

enum { FRAME = 8, ROOM = 1 << 17 };

static const char *write_file(const uint8_t *data, size_t size) {
  static uint8_t bytes[FRAME + ROOM + UINT16_MAX];
  const size_t zeros = data[0] | (size_t)data[1] << 8, length = size - 2 < ROOM ? size - 2 : ROOM;
  for (int i = 0; i < FRAME; i++) bytes[i] = (uint8_t)(length >> (8 * i));
  memcpy(bytes + FRAME, data + 2, length);
  memset(bytes + FRAME + length, 0, zeros);
  return fuzz_file("x.safetensors", bytes, FRAME + length + zeros);
}

static void compare(const es_safetensors_t *file, const char *model) {
  es_point_t point = {.source = ES_SOURCE_CHECKPOINT, .resolution = 32, .train = {.lanes = 8, .batch = 1}};
  es_status_t status = {0};
  es_graph_t *graph;
  es_text_t report = {0};
  fuzz_require(es_model_spec_builtin(&point.model, model), model);
  es_code_t code = es_weights_infer(file, &point, &status);
  fuzz_expect(code, &status, "");
  const es_point_t asked = {.model = point.model, .width = {1, 16}, .classes = 2, .resolution = 32};
  es_status_t own = {0};
  fuzz_expect(es_weights_explain(file, &asked, 10, &report, &own), &own, "");
  if (code == ES_OK && es_graph_create(&graph, &point, &status) == ES_OK) {
    es_weights_compare(file, graph, &report);
    es_graph_destroy(graph);
  }
  es_text_destroy(&report);
}

static void fuzz_one(const uint8_t *data, size_t size) {
  es_status_t status = {0};
  es_safetensors_t *file;
  if (size < 2) return;
  const char *path = write_file(data, size);
  const es_code_t code = es_safetensors_open(&file, path, &status);
  fuzz_expect(code, &status, path);
  if (code != ES_OK) return;
  compare(file, "mlp");
  compare(file, "resnet18");
  es_safetensors_strip(file, "module.", &(es_status_t){0});
  es_safetensors_destroy(file);
}
