/* The sign of life of a group: fills and replaces the file of live.h, so rarely that it costs less than 0.1 % of the
 * time. Not collective: only leaders write. */
#ifndef ES_RUN_SIGN_H
#define ES_RUN_SIGN_H

#include "eigenscope/live.h"

typedef struct es_sign {
  char path[ES_PATH_MAX]; /* "": none is written */
  es_live_t live;         /* the caller changes what it knows */
  double every;           /* seconds between two replacements, at least */
  double cost;            /* seconds that the last replacement took */
  double asked, longest;  /* time of the last es_sign_is_due, and the longest pause between two */
  double next;            /* time of the next replacement */
  double began, skipped;  /* when the point began, and the part of it that an earlier run did */
  bool quick, written;    /* the point before took less than FIRST; this one has a file */
} es_sign_t;

/* Prepares the signs of a run with `groups` groups: what all points share. */
void es_sign_start(es_sign_t *sign, const char *job, int ranks, int groups);
/* Begins a point and writes its first sign. While points take less than a second, they get no file. */
void es_sign_begin(es_sign_t *sign, const char *output, const char *id, int64_t index);
/* True if the file should be replaced at `time` (es_clock). Costs nothing. */
bool es_sign_is_due(es_sign_t *sign, double time);
/* Replaces the file. `part` of the point is done, 0 to 1; NaN if unknown. */
void es_sign_write(es_sign_t *sign, double part);
/* Ends the point: removes the file. */
void es_sign_end(es_sign_t *sign);

#endif
