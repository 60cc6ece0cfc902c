/* Input: a safetensors file. */
#include "eigenscope/checkpoint.h"
#include "fuzz.h"

static void fuzz_one(const uint8_t *data, size_t size) {
  es_status_t status = {0};
  es_safetensors_t *file;
  char fingerprint[17];
  const char *path = fuzz_file("x.safetensors", data, size);
  const es_code_t code = es_safetensors_read(&file, path, &status);
  fuzz_expect(code, &status, path);
  if (code != ES_OK) return;
  unsigned sum = 0;
  for (int i = 0; i < es_safetensors_count(file); i++) {
    const es_tensor_view_t *tensor = es_safetensors_tensor(file, i);
    const size_t bytes = (size_t)es_tensor_count(tensor) * es_dtype_size(tensor->dtype);
    for (size_t b = 0; b < bytes; b++) sum += ((const uint8_t *)tensor->data)[b];
    fuzz_require(es_safetensors_find(file, tensor->name) == tensor, "a tensor is not found by its name");
  }
  fuzz_require(sum < UINT32_MAX, "");
  fuzz_expect(es_safetensors_fingerprint(file, fingerprint, &status), &status, path);
  es_safetensors_destroy(file);
}
