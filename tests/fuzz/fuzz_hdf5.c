/* Input: an HDF5 file of images. */
#include "eigenscope/data.h"
#include "fuzz.h"
#include <hdf5.h>

static void fuzz_one(const uint8_t *data, size_t size) {
  es_dataset_spec_t spec = {.name = "x", .format = ES_FORMAT_HDF5};
  snprintf(spec.path, sizeof spec.path, "%s", fuzz_file("x.h5", data, size));
  es_status_t status = {0};
  es_dataset_info_t info;
  es_dataset_summary_t summary;
  es_code_t code = es_dataset_inspect(&info, &spec, &status);
  if (code == ES_OK && (double)info.height * info.width * info.channels * (double)(info.count[0] + info.count[1]) < 1e7)
    code = es_dataset_summarize(&summary, &spec, &status);
  fuzz_expect(code, &status, spec.path);
  fuzz_require(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL) == 0, "something of HDF5 is left open");
}
