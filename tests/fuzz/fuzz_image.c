/* Input: a JPEG or PNG file. Pixels must match the header, and reading must stop at the end of the data. */
#include "fuzz.h"
#include "image.h"

static void fuzz_one(const uint8_t *data, size_t size) {
  es_status_t status = {0};
  es_image_t header, image;
  es_code_t code = es_image_header(&header, "x", data, (int64_t)size, &status);
  fuzz_expect(code, &status, "x: ");
  if (code != ES_OK || (int64_t)header.height * header.width > 1 << 20) return;
  const int32_t channels = size % 2 == 0 ? 1 : 3;
  code = es_image_decode(&image, "x", data, (int64_t)size, channels, &status);
  fuzz_expect(code, &status, "x: ");
  if (code != ES_OK) return;
  fuzz_require(image.height == header.height && image.width == header.width && image.channels == channels,
               "sizes differ");
  unsigned sum = 0;
  for (int64_t i = 0; i < (int64_t)image.height * image.width * channels; i++) sum += image.pixels[i];
  fuzz_require(sum < UINT32_MAX, "");
  es_image_destroy(&image);
}
