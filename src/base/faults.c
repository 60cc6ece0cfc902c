#include "eigenscope/faults.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number in "<file>:<line>: ...", or 0. */
static int line_of(const char *message) {
  for (const char *at = message; (at = strchr(at, ':')) != NULL; at++) {
    char *end = NULL;
    const long line = isdigit((unsigned char)at[1]) ? strtol(at + 1, &end, 10) : 0;
    if (end != NULL && strncmp(end, ": ", 2) == 0) return (int)line;
    if (at[1] == ' ') return 0; /* the message itself begins here */
  }
  return 0;
}

es_code_t es_faults_take(es_faults_t *faults, es_status_t *status) {
  if (faults == NULL || status->code != ES_INPUT) return status->code;
  int at = faults->n;
  for (int i = 0; i < faults->n; i++) {
    if (strcmp(faults->list[i].message, status->message) == 0) at = -1;
  }
  const int line = line_of(status->message);
  if (at == ES_FAULTS_MAX) faults->more++;
  if (at >= 0 && at < ES_FAULTS_MAX) {
    for (; at > 0 && faults->list[at - 1].line > line; at--) faults->list[at] = faults->list[at - 1];
    faults->list[at].line = line;
    memcpy(faults->list[at].message, status->message, sizeof status->message);
    faults->n++;
  }
  *status = (es_status_t){0};
  return ES_OK;
}

int es_faults_count(const es_faults_t *faults) {
  return faults != NULL ? faults->n : 0;
}

es_code_t es_faults_conclude(es_faults_t *faults, const char *stage, es_status_t *status) {
  if (status->code != ES_OK || faults->n == 0) return status->code;
  const int last = faults->n - 1;
  for (int i = 0; i < last; i++) fprintf(stderr, "eigenscope: %s\n", faults->list[i].message);
  if (faults->more == 0) return es_fail(status, ES_INPUT, stage, "%s", faults->list[last].message);
  fprintf(stderr, "eigenscope: %s\n", faults->list[last].message);
  return es_fail(status, ES_INPUT, stage, "%d more faults are not shown", faults->more);
}
