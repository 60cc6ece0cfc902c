/* The problems of a search, private to this module. */
#ifndef ES_SEARCH_INTERNAL_H
#define ES_SEARCH_INTERNAL_H

#include "eigenscope/search.h"
#include "eigenscope/store.h"

/* A point in its problem. Members are sorted by problem, value and index. */
typedef struct es_search_member {
  int64_t problem;
  double value; /* of the searched axis; of halving the number of the candidate */
  int64_t index;
} es_search_member_t;

typedef struct es_search_problem {
  int64_t first, n;            /* members */
  int32_t first_level, levels; /* different values */
  int32_t asked, answer;       /* of es_search_smallest; of halving the best candidate at the end, or ES_SEARCH_OPEN */
  int32_t rung;                /* of es_search_halve */
  bool over;
} es_search_problem_t;

/* A value, or a candidate. */
typedef struct es_search_part {
  int64_t first, n; /* members */
} es_search_part_t;

enum { ES_SEARCH_ALL = INT32_MAX };

struct es_search {
  const es_plan_t *plan;                /* borrowed */
  const es_search_settings_t *settings; /* borrowed */
  int64_t n;                            /* points */
  es_search_member_t *members;          /* owned; n */
  es_curve_t *curves;                   /* owned; n, by index */
  int64_t *place;                       /* owned; n: the member of a point */
  int32_t *asked; /* owned; n, by index: epochs that the search has wanted so far, or ES_SEARCH_ALL */
  int64_t n_problems, n_parts;
  es_search_problem_t *problems; /* owned */
  es_search_part_t *parts;       /* owned: values or candidates, in the order of problems */
  es_search_level_t *levels;     /* owned; n_parts: of all points of a value */
  double *last;                  /* owned; n, by member: as es_search_points_t.accuracy */
  es_search_points_t *points;    /* owned; n_parts: what the search has asked for */
  double *score;                 /* owned; n_parts x rungs */
  int32_t *fate;                 /* owned; n_parts: of es_search_halve */
  es_search_ask_t *asks;         /* owned; n */
  int64_t n_asks;
};

/* True if the point has its last result. */
bool es_search_is_settled(const es_search_t *search, int64_t index);

#endif
