#define _GNU_SOURCE
#include "eigenscope/rates.h"
#include "eigenscope/file.h"
#include "eigenscope/json.h"
#include "eigenscope/memory.h"
#include "eigenscope/point.h"
#include "eigenscope/text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 20, SIZE_MAX_KNOWN = 62 };

const char *es_rates_cpu(const char *instruction_set, char out[ES_RATES_CPU_SIZE]) {
  FILE *file = fopen("/proc/cpuinfo", "r");
  char line[256], model[96] = "";
  while (file != NULL && model[0] == '\0' && fgets(line, sizeof line, file) != NULL) {
    const char *colon = strncmp(line, "model name", strlen("model name")) == 0 ? strchr(line, ':') : NULL;
    if (colon != NULL) snprintf(model, sizeof model, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
  }
  if (file != NULL) fclose(file);
  struct utsname system;
  if (model[0] == '\0' && uname(&system) == 0) snprintf(model, sizeof model, "%.64s", system.machine);
  snprintf(out, ES_RATES_CPU_SIZE, "%s, %.60s", model, instruction_set);
  return es_text_make_plain(out);
}

int32_t es_rates_size(int64_t macs_per_image) {
  int32_t size = 0;
  while (size < SIZE_MAX_KNOWN && macs_per_image >> (size + 1) > 0) size++;
  return size;
}

/* The known work of the same kind. */
static es_rate_t *find(const es_rates_t *rates, const es_rate_t *work) {
  for (int i = 0; i < rates->n; i++) {
    const es_rate_t *known = &rates->list[i];
    if (known->size == work->size && known->precision == work->precision && strcmp(known->cpu, work->cpu) == 0)
      return (es_rate_t *)known;
  }
  return NULL;
}

void es_rates_add(es_rates_t *rates, const es_rate_t *work) {
  es_rate_t *known = find(rates, work);
  if (known == NULL && rates->n == ES_RATES_MAX) return;
  if (known == NULL) {
    known = &rates->list[rates->n++];
    *known = (es_rate_t){.size = work->size, .precision = work->precision};
    memcpy(known->cpu, work->cpu, sizeof known->cpu);
  }
  known->macs += work->macs;
  known->seconds += work->seconds;
}

/* Distance of a rate from the wanted size; any other precision is farther than any other size. */
static int distance(const es_rate_t *rate, int32_t size, es_precision_t precision) {
  return abs(rate->size - size) + (rate->precision == precision ? 0 : SIZE_MAX_KNOWN + 1);
}

double es_rates_find(const es_rates_t *rates, const char *cpu, es_precision_t precision, int64_t macs_per_image) {
  const int32_t size = es_rates_size(macs_per_image);
  const es_rate_t *nearest = NULL;
  for (int i = 0; i < rates->n; i++) {
    const es_rate_t *rate = &rates->list[i];
    if (strcmp(rate->cpu, cpu) != 0 || !(rate->seconds > 0) || !(rate->macs > 0)) continue;
    if (nearest == NULL || distance(rate, size, precision) < distance(nearest, size, precision)) nearest = rate;
  }
  return nearest != NULL ? nearest->macs / nearest->seconds : 0;
}

const char *es_rates_longest(const es_rates_t *rates) {
  const char *longest = NULL;
  double most = 0;
  for (int i = 0; i < rates->n; i++) {
    double seconds = 0;
    for (int k = 0; k < rates->n; k++)
      seconds += strcmp(rates->list[k].cpu, rates->list[i].cpu) == 0 ? rates->list[k].seconds : 0;
    if (seconds > most) longest = rates->list[i].cpu;
    if (seconds > most) most = seconds;
  }
  return longest;
}

/* ---- the file ---- */

static const char *path_of(const char *output, char out[ES_PATH_MAX]) {
  snprintf(out, ES_PATH_MAX, "%s/rates.json", output);
  return out;
}

static bool read_precision(const char *word, es_precision_t *out) {
  for (int p = 0; word != NULL && p < ES_PRECISIONS; p++) {
    if (strcmp(word, es_precision_words[p]) != 0) continue;
    *out = (es_precision_t)p;
    return true;
  }
  return false;
}

static bool read_rate(es_json_t *json, es_rate_t *out) {
  bool first = true;
  int64_t number;
  *out = (es_rate_t){0};
  if (!es_json_expect(json, '{')) return false;
  while (es_json_next(json, '}', &first)) {
    const char *key = es_json_string(json);
    if (key == NULL || !es_json_expect(json, ':')) return false;
    if (strcmp(key, "cpu") == 0) {
      const char *cpu = es_json_string(json);
      if (cpu == NULL) return false;
      snprintf(out->cpu, sizeof out->cpu, "%s", cpu);
      continue;
    }
    if (strcmp(key, "precision") == 0) {
      if (!read_precision(es_json_string(json), &out->precision)) return false;
      continue;
    }
    if (!es_json_whole(json, &number)) return false;
    if (strcmp(key, "macs_per_image") == 0) out->size = es_rates_size(number);
    if (strcmp(key, "macs") == 0) out->macs = (double)number;
    if (strcmp(key, "rank_milliseconds") == 0) out->seconds = 1e-3 * (double)number;
  }
  return json->error == NULL;
}

static bool read_all(es_json_t *json, es_rates_t *out) {
  bool first = true;
  es_rate_t rate;
  const char *key = es_json_expect(json, '{') ? es_json_string(json) : NULL;
  if (key == NULL || strcmp(key, "rates") != 0 || !es_json_expect(json, ':') || !es_json_expect(json, '['))
    return false;
  while (es_json_next(json, ']', &first)) {
    if (!read_rate(json, &rate)) return false;
    es_rates_add(out, &rate);
  }
  return json->error == NULL && es_json_expect(json, '}') && es_json_end(json);
}

es_code_t es_rates_load(es_rates_t *out, const char *output, es_status_t *status) {
  char path[ES_PATH_MAX], *text = NULL;
  size_t size = 0;
  *out = (es_rates_t){0};
  if (es_file_is_missing(path_of(output, path))) return ES_OK;
  ES_TRY(es_file_read_most(path, FILE_BYTES_MAX, &text, &size, status));
  es_json_t json = {.text = text, .size = size};
  const bool good = read_all(&json, out);
  es_free(text);
  if (good) return ES_OK;
  *out = (es_rates_t){0};
  return es_fail(status, ES_INPUT, "plan", "%s: is damaged; the next run replaces the file", path);
}

void es_rates_clean(const char *output) {
  char path[ES_PATH_MAX];
  es_file_remove_parts(path_of(output, path));
}

static es_code_t save(const char *path, const es_rates_t *rates, es_status_t *status) {
  es_text_t text = {0};
  es_text_append(&text, "{\"rates\": [");
  for (int i = 0; i < rates->n; i++) {
    const es_rate_t *rate = &rates->list[i];
    es_text_append(&text, "%s\n  {\"cpu\": ", i > 0 ? "," : "");
    es_text_append_quoted(&text, rate->cpu);
    if (rate->precision != ES_FLOAT32)
      es_text_append(&text, ", \"precision\": \"%s\"", es_precision_words[rate->precision]);
    es_text_append(&text, ", \"macs_per_image\": %lld, \"macs\": %.0f, \"rank_milliseconds\": %.0f}", 1LL << rate->size,
                   rate->macs, 1e3 * rate->seconds);
  }
  es_text_append(&text, "\n]}\n");
  if (text.failed)
    es_out_of_memory(status, "run", "%s", path);
  else
    es_file_write_atomic(path, es_text_get(&text), text.length, status);
  es_text_destroy(&text);
  return status->code;
}

/* True if a file that another run may have replaced since has at least this work. */
static bool has_work(const char *output, const es_rates_t *expected) {
  es_rates_t there;
  if (es_rates_load(&there, output, &(es_status_t){0}) != ES_OK) return false;
  for (int i = 0; i < expected->n; i++) {
    const es_rate_t *rate = &expected->list[i], *known = find(&there, rate);
    if (known == NULL || known->seconds < rate->seconds - 0.002) return false; /* the file has whole milliseconds */
  }
  return true;
}

static void pause_for(int milliseconds) {
  nanosleep(&(struct timespec){0, milliseconds * 1000000L}, NULL);
}

/* Locks the folder against other runs that update the file, for at most 2 s. Returns a descriptor to close, or -1 where
 * the file system has no such locks. */
static int lock(const char *output) {
  const int folder = open(output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int locked = -1;
  for (int i = 0; i < 100 && folder >= 0; i++) {
    locked = flock(folder, LOCK_EX | LOCK_NB);
    if (locked == 0 || errno != EWOULDBLOCK) break;
    pause_for(20);
  }
  if (locked == 0 || folder < 0) return folder;
  close(folder);
  return -1;
}

/* Adds the work to what the file has now. */
static es_code_t update_once(const char *output, const es_rates_t *measured, es_rates_t *sums, es_status_t *status) {
  char path[ES_PATH_MAX];
  es_status_t reading = {0};
  if (es_rates_load(sums, output, &reading) == ES_SYSTEM)
    return es_fail(status, ES_SYSTEM, "run", "%s", reading.message);
  for (int i = 0; i < measured->n; i++) {
    es_rates_add(sums, &measured->list[i]);
    es_rate_t *sum = find(sums, &measured->list[i]);
    if (sum == NULL || sum->macs < 1e18) continue;
    sum->macs /= 2; /* stays a whole number that readers of JSON can hold; the rate is the same */
    sum->seconds /= 2;
  }
  return save(path_of(output, path), sums, status);
}

es_code_t es_rates_update(const char *output, const es_rates_t *measured, es_status_t *status) {
  enum { ATTEMPTS = 8 };
  const int folder = lock(output);
  es_rates_t *sums = es_allocate_zero(1, sizeof *sums);
  if (sums == NULL) es_out_of_memory(status, "run", "rates");
  for (int attempt = 0; attempt < ATTEMPTS && status->code == ES_OK; attempt++) {
    if (update_once(output, measured, sums, status) != ES_OK || has_work(output, sums)) break;
    pause_for(1 + (getpid() + attempt * 7919) % 40); /* differs between runs */
  }
  es_free(sums);
  if (folder >= 0) close(folder);
  return status->code;
}
