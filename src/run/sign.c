#include "sign.h"
#include "eigenscope/clock.h"
#include <math.h>
#include <stdio.h>
#include <unistd.h>

/* At least so many seconds between two replacements. Many groups together then make at most 50 in a second. */
static const double EVERY = 3.0, EVERY_GROUP = 0.02;
static const double FIRST = 1.0;          /* seconds after which a point gets a file when the points are short */
static const double COST_FACTOR = 2000.0; /* 0.05 % of the time */

void es_sign_start(es_sign_t *sign, const char *job, int ranks, int groups) {
  *sign = (es_sign_t){.every = fmax(EVERY, EVERY_GROUP * groups)};
  sign->live.ranks = ranks;
  sign->live.process = es_process_self();
  snprintf(sign->live.job, sizeof sign->live.job, "%s", job);
  if (gethostname(sign->live.host, sizeof sign->live.host - 1) != 0) snprintf(sign->live.host, ES_LIVE_TEXT, "unknown");
}

static double pause_of(const es_sign_t *sign) {
  return fmax(sign->every, COST_FACTOR * sign->cost);
}

void es_sign_begin(es_sign_t *sign, const char *output, const char *id, int64_t index) {
  es_live_t *live = &sign->live;
  es_live_path(sign->path, output, id);
  snprintf(live->point_id, sizeof live->point_id, "%s", id);
  live->point = index;
  live->epoch = 0;
  live->step = 0;
  live->slowest_rank = -1;
  live->images_per_s = live->loss = live->accuracy = live->saturation = live->delta = (double)NAN;
  live->point_left_s = live->run_left_s = live->slowest_busy = (double)NAN;
  sign->began = sign->asked = es_clock();
  sign->skipped = 0.0;
  sign->written = false;
  sign->next = sign->began + FIRST;
  if (!sign->quick) es_sign_write(sign, 0.0);
}

bool es_sign_is_due(es_sign_t *sign, double time) {
  if (sign->path[0] == '\0') return false;
  if (time - sign->asked > sign->longest) sign->longest = time - sign->asked;
  sign->asked = time;
  return time >= sign->next;
}

void es_sign_write(es_sign_t *sign, double part) {
  const double start = es_clock(), done = part - sign->skipped;
  if (sign->path[0] == '\0') return;
  if (!sign->written) es_file_remove_parts(sign->path); /* of a killed run */
  sign->written = true;
  sign->live.point_left_s = done > 0.0 ? (start - sign->began) * (1.0 - part) / done : (double)NAN;
  sign->live.within_s = pause_of(sign) + 2.0 * sign->longest;
  (void)es_live_write(sign->path, &sign->live); /* only people miss it */
  const double end = es_clock();
  sign->cost = end - start;
  sign->next = end + pause_of(sign);
}

void es_sign_end(es_sign_t *sign) {
  if (sign->path[0] == '\0') return;
  if (sign->written)
    es_live_remove(sign->path);
  else
    unlink(sign->path); /* of a killed run */
  sign->path[0] = '\0';
  sign->quick = es_clock() - sign->began < FIRST;
}
