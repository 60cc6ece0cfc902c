#include "h5.h"
#include <stdio.h>
#include <string.h>

void es_h5_quiet_begin(es_h5_quiet_t *held) {
  *held = (es_h5_quiet_t){0};
  H5Eget_auto2(H5E_DEFAULT, &held->function, &held->data);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void es_h5_quiet_end(const es_h5_quiet_t *held) {
  H5Eset_auto2(H5E_DEFAULT, held->function, held->data);
}

static herr_t take_innermost(unsigned n, const H5E_error2_t *error, void *data) {
  if (n == 0 && error->desc != NULL) snprintf(data, ES_H5_REASON_SIZE, "%s", error->desc);
  return 0;
}

bool es_h5_reason(char out[ES_H5_REASON_SIZE]) {
  static const char before[] = "error message = '";
  snprintf(out, ES_H5_REASON_SIZE, "no reason given");
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_innermost, out);
  const char *words = strstr(out, before);
  if (words != NULL) { /* "file write failed: time = ..., errno = 28, error message = 'No space left on device', ..." */
    words += sizeof before - 1;
    size_t length = strcspn(words, "'");
    memmove(out, words, length);
    out[length] = '\0';
  }
  for (char *c = out; *c != '\0'; c++) {
    if ((unsigned char)*c < ' ') *c = ' ';
  }
  return words != NULL;
}
