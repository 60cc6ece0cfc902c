#include "eigenscope/live.h"
#include "eigenscope/clock.h"
#include "eigenscope/json.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BYTES_MOST = 1 << 14 };
/* How much older than promised a file of another machine may be: network file systems show changes up to a minute late,
 * clocks of machines differ, and the first batch may wait for kernels or data. */
static const double PATIENCE = 120.0;
static const double PROMISES = 3.0;

void es_live_path(char out[ES_PATH_MAX], const char *output, const char *id) {
  snprintf(out, ES_PATH_MAX, "%s/state/%s.live.json", output, id);
}

/* ---- writing ---- */

static void put_text(es_text_t *out, const char *key, const char *value) {
  es_text_append(out, ",\n \"%s\": ", key);
  es_text_append_quoted(out, value);
}

static void put_whole(es_text_t *out, const char *key, int64_t value) {
  es_text_append(out, ",\n \"%s\": %" PRId64, key, value);
}

static void put_number(es_text_t *out, const char *key, double value) {
  char number[32];
  es_text_append(out, ",\n \"%s\": %s", key, isfinite(value) ? es_text_double(value, number) : "null");
}

static void describe(const es_live_t *live, es_text_t *out) {
  char machine[20], written[32];
  snprintf(machine, sizeof machine, "%016" PRIx64, live->process.machine);
  es_text_append(out, "{\"live\": 1");
  put_text(out, "point_id", live->point_id);
  put_text(out, "job", live->job);
  put_whole(out, "point", live->point);
  put_whole(out, "epoch", live->epoch);
  put_whole(out, "epochs", live->epochs);
  put_whole(out, "step", live->step);
  put_whole(out, "steps", live->steps);
  put_number(out, "images_per_s", live->images_per_s);
  put_number(out, "loss", live->loss);
  put_number(out, "accuracy", live->accuracy);
  put_number(out, "saturation", live->saturation);
  put_number(out, "delta", live->delta);
  put_number(out, "point_left_s", live->point_left_s);
  put_number(out, "run_left_s", live->run_left_s);
  put_text(out, "host", live->host);
  put_whole(out, "ranks", live->ranks);
  if (live->slowest_rank >= 0) {
    put_whole(out, "slowest_rank", live->slowest_rank);
    put_text(out, "slowest_host", live->slowest_host);
    put_number(out, "slowest_busy", live->slowest_busy);
  }
  put_text(out, "machine", machine);
  put_whole(out, "pid", live->process.number);
  put_whole(out, "started_ticks", live->process.started);
  put_text(out, "written", es_clock_utc(written));
  put_number(out, "within_s", live->within_s);
  es_text_append(out, "}\n");
}

bool es_live_write(const char *path, const es_live_t *live) {
  es_text_t text = {0};
  describe(live, &text);
  const bool good = !text.failed && es_file_replace(path, es_text_get(&text), text.length);
  es_text_destroy(&text);
  return good;
}

void es_live_remove(const char *path) {
  unlink(path);
  es_file_remove_parts(path);
}

/* ---- reading ---- */

static bool read_text(es_json_t *json, char *out, size_t size) {
  const char *text = es_json_string(json);
  if (text != NULL) snprintf(out, size, "%s", text);
  return text != NULL;
}

static bool read_whole32(es_json_t *json, int32_t *out) {
  int64_t number;
  if (!es_json_whole(json, &number) || number > INT32_MAX) return false;
  *out = (int32_t)number;
  return true;
}

static bool read_machine(es_json_t *json, uint64_t *out) {
  char text[32];
  if (!read_text(json, text, sizeof text)) return false;
  *out = strtoull(text, NULL, 16);
  return true;
}

typedef struct member {
  const char *key;
  enum { TEXT, WHOLE, WHOLE_32, NUMBER, MACHINE } kind;
  size_t offset, size;
} member_t;
#define MEMBER(key, kind, name)                                                                                        \
  { key, kind, offsetof(es_live_t, name), sizeof((es_live_t *)0)->name }
static const member_t members[] = {
    MEMBER("point_id", TEXT, point_id),
    MEMBER("job", TEXT, job),
    MEMBER("point", WHOLE, point),
    MEMBER("epoch", WHOLE_32, epoch),
    MEMBER("epochs", WHOLE_32, epochs),
    MEMBER("step", WHOLE, step),
    MEMBER("steps", WHOLE, steps),
    MEMBER("images_per_s", NUMBER, images_per_s),
    MEMBER("loss", NUMBER, loss),
    MEMBER("accuracy", NUMBER, accuracy),
    MEMBER("saturation", NUMBER, saturation),
    MEMBER("delta", NUMBER, delta),
    MEMBER("point_left_s", NUMBER, point_left_s),
    MEMBER("run_left_s", NUMBER, run_left_s),
    MEMBER("host", TEXT, host),
    MEMBER("ranks", WHOLE_32, ranks),
    MEMBER("slowest_rank", WHOLE_32, slowest_rank),
    MEMBER("slowest_host", TEXT, slowest_host),
    MEMBER("slowest_busy", NUMBER, slowest_busy),
    MEMBER("machine", MACHINE, process.machine),
    MEMBER("pid", WHOLE, process.number),
    MEMBER("started_ticks", WHOLE, process.started),
    MEMBER("written", TEXT, written),
    MEMBER("within_s", NUMBER, within_s),
};

static bool read_member(es_json_t *json, const member_t *member, es_live_t *out) {
  void *to = (char *)out + member->offset;
  switch (member->kind) {
  case TEXT:
    return read_text(json, to, member->size);
  case WHOLE:
    return es_json_whole(json, to);
  case WHOLE_32:
    return read_whole32(json, to);
  case NUMBER:
    return es_json_number(json, to);
  case MACHINE:
    break;
  }
  return read_machine(json, to);
}

/* Unknown keys of later versions are texts or numbers, too. */
static bool skip_value(es_json_t *json) {
  double number;
  return json->at < json->size && es_json_accept(json, '"') ? (json->at--, es_json_string(json) != NULL)
                                                            : es_json_number(json, &number);
}

static bool parse(es_json_t *json, es_live_t *out) {
  bool first = true;
  if (!es_json_expect(json, '{')) return false;
  while (es_json_next(json, '}', &first)) {
    const char *key = es_json_string(json);
    const member_t *member = NULL;
    if (key == NULL || !es_json_expect(json, ':')) return false;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
      if (strcmp(key, members[i].key) == 0) member = &members[i];
    }
    if (member != NULL ? !read_member(json, member, out) : !skip_value(json)) return false;
  }
  return json->error == NULL && es_json_end(json);
}

static const es_live_t UNKNOWN = {.images_per_s = NAN,
                                  .loss = NAN,
                                  .accuracy = NAN,
                                  .saturation = NAN,
                                  .delta = NAN,
                                  .point_left_s = NAN,
                                  .run_left_s = NAN,
                                  .slowest_rank = -1,
                                  .slowest_busy = NAN,
                                  .within_s = NAN};

/* The present time by the clock of the file system; by this machine's where nothing can be written. */
static double file_system_now(es_live_look_t *look) {
  char path[ES_PATH_MAX + 16];
  if (look->now != 0.0) return look->now;
  snprintf(path, sizeof path, "%s/state/clock", look->output);
  const es_file_stamp_t stamp = es_file_stamp_now(path);
  look->now = es_file_stamp_exists(stamp) ? (double)stamp.seconds : (double)time(NULL);
  return look->now;
}

static es_live_state_t judge(es_live_look_t *look, const char *path, es_live_t *live) {
  const es_file_stamp_t stamp = es_file_stamp(path);
  const es_process_life_t life = es_process_life(&live->process);
  if (!es_file_stamp_exists(stamp)) return ES_LIVE_NONE; /* the point has ended meanwhile */
  const double now = life == ES_PROCESS_ELSEWHERE ? file_system_now(look) : (double)time(NULL);
  live->age = fmax(0.0, now - (double)stamp.seconds);
  live->ended = life == ES_PROCESS_ENDED;
  if (life != ES_PROCESS_ELSEWHERE) return live->ended ? ES_LIVE_STALE : ES_LIVE_RUNNING;
  return live->age > PATIENCE + PROMISES * fmax(0.0, live->within_s) ? ES_LIVE_STALE : ES_LIVE_RUNNING;
}

/* Reads the file at `path`; *damaged: it is there, but not as es_live_write leaves it. */
static es_live_state_t read_at(es_live_look_t *look, const char *path, const char *id, es_live_t *out, bool *damaged) {
  char *text = NULL;
  size_t size = 0;
  *out = UNKNOWN;
  *damaged = false;
  if (es_file_is_missing(path)) return ES_LIVE_NONE;
  if (es_file_read_most(path, BYTES_MOST, &text, &size, &(es_status_t){0}) != ES_OK) return ES_LIVE_NONE;
  es_json_t json = {.text = text, .size = size};
  *damaged = !parse(&json, out) || strcmp(out->point_id, id) != 0;
  es_free(text);
  return *damaged ? ES_LIVE_NONE : judge(look, path, out);
}

es_live_state_t es_live_read(es_live_look_t *look, const char *id, es_live_t *out) {
  char path[ES_PATH_MAX];
  bool damaged;
  es_live_path(path, look->output, id);
  return read_at(look, path, id, out, &damaged);
}

void es_live_clean(es_live_look_t *look, const char *id) {
  char path[ES_PATH_MAX];
  es_live_t live;
  bool damaged;
  es_live_path(path, look->output, id);
  if (read_at(look, path, id, &live, &damaged) == ES_LIVE_STALE || damaged) es_live_remove(path);
}
