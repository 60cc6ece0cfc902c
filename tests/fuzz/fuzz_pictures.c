/* Input: the annotations of eval images. Files outside their folder must not be read as images. */
#include "fuzz.h"
#include "pictures.h"
#include <sys/stat.h>

static const char *make_folder(void) {
  static const char *const folders[] = {"train", "train/a", "train/b", "val", "val/images"};
  static char path[300];
  if (path[0] != '\0') return path;
  snprintf(path, sizeof path, "%s", fuzz_folder());
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
    char name[400];
    snprintf(name, sizeof name, "%s/%s", path, folders[i]);
    fuzz_require(mkdir(name, 0777) == 0, name);
  }
  fuzz_file("train/a/0.png", "", 0);
  fuzz_file("train/b/0.png", "", 0);
  fuzz_file("val/images/0.png", "", 0);
  return path;
}

static void fuzz_one(const uint8_t *data, size_t size) {
  const char *folder = make_folder();
  es_pictures_t pictures;
  es_status_t status = {0};
  char inside[400];
  fuzz_file("val/val_annotations.txt", data, size);
  snprintf(inside, sizeof inside, "%s/val/images/", folder);
  const es_code_t code = es_pictures_find(&pictures, folder, &status);
  fuzz_expect(code, &status, folder);
  for (int64_t i = 0; code == ES_OK && i < pictures.count[ES_EVAL]; i++) {
    const char *path = es_picture_path(&pictures, ES_EVAL, i);
    fuzz_require(strncmp(path, inside, strlen(inside)) == 0 && strchr(path + strlen(inside), '/') == NULL, path);
  }
  es_pictures_destroy(&pictures);
}
