/* Paths with axes, id and epoch of a point in braces. */
#include "eigenscope/grid.h"
#include <stdio.h>
#include <string.h>

typedef struct value {
  const es_point_t *point;
  const char *id;
  int32_t epoch;
} value_t;

static bool put_value(void *context, const char *name, int digits, char *out, size_t size) {
  const value_t *v = context;
  const es_point_t *point = v->point;
  int64_t whole;
  if (strcmp(name, "epoch") == 0) return snprintf(out, size, "%0*d", digits, v->epoch) > 0;
  if (strcmp(name, "id") == 0) return snprintf(out, size, "%s", v->id) > 0;
  for (int i = 0; i < point->n_axes; i++) {
    const es_axis_value_t *axis = &point->axes[i];
    char number[32];
    const bool label = !es_source_has_network(point->source);
    const size_t skipped = label && strncmp(axis->name, "train.", 6) == 0 ? 6 : 0; /* {learning_rate} is enough */
    if (strcmp(axis->name, name) != 0 && strcmp(axis->name + skipped, name) != 0) continue;
    if (label && axis->is_number && strchr(axis->text, '/') != NULL) /* a ratio */
      snprintf(out, size, "%s", es_text_double(axis->number, number));
    else if (!label && strcmp(name, "width") == 0)
      snprintf(out, size, "%s", es_text_double(es_ratio_value(point->width), number));
    else if (es_text_to_int(axis->text, &whole))
      snprintf(out, size, "%0*lld", digits, (long long)whole);
    else
      snprintf(out, size, "%s", axis->text);
    return true;
  }
  return false;
}

es_code_t es_point_path(char out[ES_PATH_MAX], const char *pattern, const es_point_t *point, const char *id,
                        int32_t epoch, es_status_t *status) {
  value_t value = {point, id, epoch};
  if (es_text_fill(out, ES_PATH_MAX, pattern, put_value, &value)) return ES_OK;
  return es_fail(status, ES_INPUT, "grid", "%s: the path is longer than %d bytes when the names in braces are replaced",
                 pattern, ES_PATH_MAX - 1);
}
