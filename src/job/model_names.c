/* Names of models near a word, for messages. */
#include "eigenscope/graph.h"
#include "job_internal.h"
#include <string.h>

const char *es_model_nearest(const es_job_t *job, const char *word) {
  const char *names[ES_SHIPPED_MAX + 128];
  const int most = (int)(sizeof names / sizeof *names);
  const size_t length = strlen(word);
  int n = 0;
  for (const char *const *name = es_model_spec_names(); *name != NULL && n < most; name++) names[n++] = *name;
  for (int i = 0; es_shipped_row(i) != NULL && n < most; i++) names[n++] = es_shipped_row(i)->name;
  for (int i = 0; job != NULL && i < job->n_models && n < most; i++) names[n++] = job->models[i].name;
  for (int i = 0; i < n && length > 3; i++) { /* resnext50_32x4d for resnext50 */
    if (strncmp(names[i], word, length) == 0) return names[i];
  }
  return es_text_nearest(word, names, n);
}
