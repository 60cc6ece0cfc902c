/** Collects the faults of an input, so that a user sees all of them at once. */
#ifndef EIGENSCOPE_FAULTS_H
#define EIGENSCOPE_FAULTS_H

#include "eigenscope/status.h"

enum { ES_FAULTS_MAX = 20 }; /**< faults that are shown */

typedef struct es_faults {
  int n;    /**< faults in `list` */
  int more; /**< faults that did not fit */
  struct {
    int line; /**< from the message, "<file>:<line>: ..."; 0 if it has none */
    char message[sizeof((es_status_t *)0)->message];
  } list[ES_FAULTS_MAX];
} es_faults_t;

/** Moves an ES_INPUT failure from the status to the list, unless the list has the same message; the status is then free
 * for the next failure. Returns what the status has now: ES_OK, or a failure that is no fault of the input. Without a
 * list (NULL), changes nothing. */
es_code_t es_faults_take(es_faults_t *faults, es_status_t *status);
/** Number of faults so far; 0 without a list. */
int es_faults_count(const es_faults_t *faults);
/** If there are faults: prints all but the last on stderr in the order of their lines, as "eigenscope: <message>", and
 * sets the status to the last one. Returns the code of the status. */
es_code_t es_faults_conclude(es_faults_t *faults, const char *stage, es_status_t *status);

#endif
