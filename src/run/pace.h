/* The time limit of a run: how fast this rank is, and what still fits into the time that is left. */
#ifndef ES_RUN_PACE_H
#define ES_RUN_PACE_H

#include <stdbool.h>

typedef struct es_pace {
  double deadline;      /* in seconds of es_clock; INFINITY without a limit */
  double limit;         /* seconds from the start to the deadline */
  double asked;         /* es_clock at the last question */
  double longest;       /* longest stretch between two questions so far */
  double cost, seconds; /* forecast cost of the work that is done, and the time that it took */
} es_pace_t;

void es_pace_start(es_pace_t *pace, double seconds);
/* Begins a stretch: time before is not counted. */
void es_pace_begin(es_pace_t *pace);
/* True if the next stretch could end after the deadline: the longest so far is kept free, up to a tenth of the limit,
 * because a longer one would leave too little time for work. */
bool es_pace_is_over(es_pace_t *pace);
/* Seconds that are left for work. */
double es_pace_left(const es_pace_t *pace);
/* Adds work that is done. */
void es_pace_note(es_pace_t *pace, double cost, double seconds);
/* Predicts the seconds of work, 0 before anything was done. */
double es_pace_predict(const es_pace_t *pace, double cost);

#endif
