/* Input: one file of a CIFAR dataset, plain or .gz; the first byte chooses the file. */
#include "eigenscope/data.h"
#include "fuzz.h"
#include "support/datasets.h"

static void write_good(const char *folder, bool fine) {
  if (fine)
    cifar100_write(folder, 4, 2, 3);
  else
    cifar10_write(folder, 1, 2, 3);
}

static void fuzz_one(const uint8_t *data, size_t size) {
  static const char *const names[] = {"data_batch_1.bin", "test_batch.bin", "train.bin", "test.bin"};
  if (size == 0) return;
  const char *folder = fuzz_folder(), *name = names[data[0] & 3];
  const bool fine = (data[0] & 2) != 0;
  char path[512];
  write_good(folder, fine);
  snprintf(path, sizeof path, "%s/%s", folder, name);
  unlink(path);
  if ((data[0] & 4) != 0) strcat(path, ".gz");
  fuzz_file(path + strlen(folder) + 1, data + 1, size - 1);
  const es_dataset_spec_t spec = data_spec(fine ? ES_FORMAT_CIFAR100 : ES_FORMAT_CIFAR10, folder);
  es_status_t status = {0};
  es_dataset_summary_t summary;
  fuzz_expect(es_dataset_summarize(&summary, &spec, &status), &status, folder);
  unlink(path);
}
