/* The settings of a point (train, measure, probe, checkpoint) by number, for the modules that write ids and resolved
 * jobs. */
#include "eigenscope/job.h"
#include "keys.h"

_Static_assert((int)ES_SETTING_MAX >= (int)ES_VALUE_MAX, "a printed value fits");

int es_setting_count(void) {
  return es_keys_settings();
}

const char *es_setting_section(int index) {
  return es_keys_setting(index)->section;
}

const char *es_setting_name(int index) {
  return es_keys_setting(index)->name;
}

bool es_setting_in_id(int index, const es_point_t *point) {
  const es_key_t *key = es_keys_setting(index);
  return key->in_id != NULL && key->in_id(point) && !es_key_is_default(key, point);
}

void es_setting_print(int index, const es_point_t *point, char out[ES_SETTING_MAX]) {
  es_key_print(es_keys_setting(index), point, out);
}
