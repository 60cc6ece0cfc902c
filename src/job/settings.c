/* The settings of a point (train, measure, probe, checkpoint) by number, for the modules that write ids and resolved
 * jobs. */
#include "eigenscope/job.h"
#include "keys.h"
#include <string.h>

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

/* Settings of the other optimizer, of training where nothing is trained, or of probes that nobody asked for, change
 * nothing. */
static bool is_used(const es_key_t *key, const es_point_t *point) {
  if (strcmp(key->section, "probe") == 0) return point->probe.epochs.kind != ES_EPOCHS_NONE;
  const bool activations = point->source == ES_SOURCE_ACTIVATIONS, weights = point->source == ES_SOURCE_CHECKPOINT;
  if (strcmp(key->section, "measure") == 0 && (activations || weights))
    return strcmp(key->name, "every") != 0 && (weights || strcmp(key->name, "splits") != 0);
  if (strcmp(key->section, "train") != 0) return true;
  if (activations) return strcmp(key->name, "lanes") == 0;
  if (weights && !point->external.from_results) /* of results: they say which */
    return strcmp(key->name, "lanes") == 0 || strcmp(key->name, "batch") == 0;
  if (strcmp(key->name, "momentum") == 0) return point->train.optimizer == ES_SGD;
  if (strcmp(key->name, "beta1") == 0 || strcmp(key->name, "beta2") == 0 || strcmp(key->name, "epsilon") == 0)
    return point->train.optimizer == ES_ADAM;
  return true;
}

bool es_setting_in_id(int index, const es_point_t *point) {
  const es_key_t *key = es_keys_setting(index);
  return key->role == ES_ROLE_NUMBERS && is_used(key, point) && !es_key_is_default(key, point);
}

void es_setting_print(int index, const es_point_t *point, char out[ES_SETTING_MAX]) {
  es_key_print(es_keys_setting(index), point, out);
}
