/* Input: one of the four files of an IDX dataset, plain or .gz; the first byte chooses the file. */
#include "eigenscope/data.h"
#include "fuzz.h"
#include "support/datasets.h"

static void fuzz_one(const uint8_t *data, size_t size) {
  if (size == 0) return;
  const int file = data[0] & 3;
  const char *folder = fuzz_folder();
  idx_write_all(folder, false, 6, 4, 3, 2, 3);
  idx_remove(folder, file);
  idx_write_raw(folder, file, (data[0] & 4) != 0 ? ".gz" : "", data + 1, size - 1);
  const es_dataset_spec_t spec = data_spec(ES_FORMAT_IDX, folder);
  es_status_t status = {0};
  es_dataset_info_t info;
  es_dataset_summary_t summary;
  es_code_t code = es_dataset_inspect(&info, &spec, &status);
  if (code == ES_OK && (double)info.height * info.width * (double)(info.count[0] + info.count[1]) < 1e7)
    code = es_dataset_summarize(&summary, &spec, &status);
  fuzz_expect(code, &status, folder);
  idx_remove(folder, file);
}
