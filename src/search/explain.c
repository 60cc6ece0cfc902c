/* What a search has decided, for people and as JSON. */
#include "eigenscope/table.h"
#include "search_internal.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static bool halves(const es_search_t *search) {
  return search->settings->kind == ES_SEARCH_HALVING;
}

static void point_of(const es_search_t *search, int64_t part, es_point_t *out) {
  es_grid_point(search->plan->grid, search->members[search->parts[part].first].index, out);
}

static bool is_over(const es_search_t *search, const char *axis) {
  bool found = false;
  for (int i = 0; i < search->settings->n_over; i++) found = found || strcmp(axis, search->settings->over[i]) == 0;
  return found;
}

/* Names a value, "1/8", or a candidate by its axes that vary, "model=vgg11 width=1/8". */
static void append_part(const es_search_t *search, const es_varying_t *varying, int64_t part, es_text_t *out) {
  es_point_t point;
  const char *separator = "";
  point_of(search, part, &point);
  if (!halves(search)) {
    es_text_append(out, "%s", es_point_axis(&point, search->settings->axis));
    return;
  }
  for (int i = 0; i < varying->n; i++) {
    const char *name = varying->names[i];
    if (strcmp(name, "seed") == 0 || is_over(search, name)) continue;
    es_text_append(out, "%s%s=%s", separator, name, es_point_axis(&point, name));
    separator = " ";
  }
  if (separator[0] == '\0') es_text_append(out, "all");
}

/* The smallest value that is good, or the best candidate, by all results; ES_SEARCH_OPEN unless all are there. */
static int32_t truth(const es_search_t *search, const es_search_problem_t *problem) {
  const es_search_level_t *levels = &search->levels[problem->first_level];
  double best = (double)NAN;
  for (int32_t l = 0; l < problem->levels; l++) {
    if (!levels[l].done) return ES_SEARCH_OPEN;
    best = fmax(best, levels[l].accuracy);
  }
  const double within = halves(search) ? 0.0 : search->settings->accuracy + 1e-9;
  for (int32_t l = 0; isfinite(best) && l < problem->levels; l++) {
    if (levels[l].accuracy >= best - within) return l;
  }
  return ES_SEARCH_OPEN;
}

/* How much better the answer of the full grid is at the end than that of the search. */
static double loss(const es_search_t *search, const es_search_problem_t *problem, int32_t right) {
  const es_search_level_t *levels = &search->levels[problem->first_level];
  return levels[right].accuracy - levels[problem->answer].accuracy;
}

/* Cost of a problem's points, and of those that the search has asked for; in epochs if the plan knows no costs. */
static void find_cost(const es_search_t *search, const es_search_problem_t *problem, bool costs, double *all,
                      double *asked) {
  es_grid_walk_t walk = {.grid = search->plan->grid};
  *all = *asked = 0.0;
  for (int32_t l = 0; l < problem->levels; l++) {
    const int64_t part = problem->first_level + l;
    for (int64_t m = search->parts[part].first; m < search->parts[part].first + search->parts[part].n; m++) {
      const int64_t index = search->members[m].index;
      const int32_t epochs = es_grid_walk(&walk, index)->train.epochs;
      const double cost = costs ? es_plan_cost(search->plan, index) : epochs;
      *all += cost;
      *asked += search->asked[index] < epochs ? cost * search->asked[index] / epochs : cost;
    }
  }
}

static int64_t count_waiting(const es_search_t *search, int64_t problem) {
  int64_t n = 0;
  for (int64_t i = 0; i < search->n_asks; i++)
    n += search->members[search->place[search->asks[i].index]].problem == problem;
  return n;
}

/* ---- the table ---- */

static void add_row(const es_search_t *search, const es_varying_t *varying, int64_t p, bool costs, es_table_t *table) {
  const es_search_problem_t *problem = &search->problems[p];
  es_point_t point;
  es_text_t text = {0};
  double all, asked;
  int32_t n = 0;
  point_of(search, problem->first_level, &point);
  for (int i = 0; i < varying->n; i++) {
    if (is_over(search, varying->names[i])) es_table_cell(table, "%s", es_point_axis(&point, varying->names[i]));
  }
  if (problem->answer >= 0)
    append_part(search, varying, problem->first_level + problem->answer, &text);
  else
    es_text_append(&text, problem->answer == ES_SEARCH_OPEN ? "-" : "none: all diverged");
  es_table_cell(table, "%s", es_text_get(&text));
  es_text_destroy(&text);
  for (int32_t l = 0; halves(search) && l < problem->levels; l++)
    n += search->fate[problem->first_level + l] == search->settings->rungs.n;
  es_table_cell(table, "%d of %d", halves(search) ? n : problem->asked, problem->levels);
  find_cost(search, problem, costs, &all, &asked);
  es_table_cell(table, "%.0f %%", 100.0 * asked / all);
  const int32_t right = truth(search, problem);
  if (right >= 0) append_part(search, varying, problem->first_level + right, &text);
  if (right >= 0 && halves(search) && problem->answer >= 0 && problem->answer != right)
    es_text_append(&text, ", %.4f better", loss(search, problem, right));
  es_table_cell(table, "%s", es_text_get(&text));
  es_text_destroy(&text);
  const int64_t waiting = count_waiting(search, p);
  if (problem->over)
    es_table_cell(table, "answered");
  else
    es_table_cell(table, "waits for %lld point%s", (long long)waiting, es_plural(waiting));
}

/* ---- decisions ---- */

static void append_seeds(const es_search_t *search, int64_t part, es_text_t *out) {
  const int64_t all = search->parts[part].n, n = halves(search) ? all : search->points[part].asked;
  if (n < all)
    es_text_append(out, " (%lld of %lld points)", (long long)n, (long long)all);
  else if (n > 1)
    es_text_append(out, " (mean of %lld points)", (long long)n);
}

/* A value of the axis with the accuracy that the search knows: with `seeds: needed` the mean over the points that it
 * has asked for so far. NaN: all of these points diverged. */
static es_search_level_t seen(const es_search_t *search, int64_t part) {
  const double accuracy = es_search_mean(&search->points[part], search->points[part].asked);
  if (search->settings->seeds == ES_SEARCH_ALL_SEEDS) return search->levels[part];
  return (es_search_level_t){search->levels[part].value, !isnan(accuracy), accuracy < 0.0 ? (double)NAN : accuracy};
}

/* With `seeds: needed`, a value and the one before it may be compared while the search has fewer points of them than it
 * has in the end. Then this appends the two means that were compared. */
static void append_comparison(const es_search_t *search, int64_t part, es_text_t *out) {
  es_search_points_t pair[2] = {search->points[part - 1], search->points[part]};
  const es_search_points_t now[2] = {pair[0], pair[1]};
  int32_t answer;
  if (search->settings->seeds != ES_SEARCH_NEEDED_SEEDS) return;
  es_search_needed(pair, 2, search->settings->accuracy, &answer);
  const int32_t n = pair[0].asked > pair[1].asked ? pair[0].asked : pair[1].asked;
  if (answer == ES_SEARCH_OPEN || (pair[0].asked == now[0].asked && pair[1].asked == now[1].asked)) return;
  es_text_append(out, n > 1 ? "; compared by the first %d points" : "; compared by the first point", n);
  es_text_append(out, ": %.4f after %.4f", es_search_mean(&pair[1], pair[1].asked),
                 es_search_mean(&pair[0], pair[0].asked));
}

static void explain_smallest(const es_search_t *search, const es_varying_t *varying, const es_search_problem_t *problem,
                             es_text_t *out) {
  const char *axis = search->settings->axis;
  for (int32_t l = 0; l < problem->asked; l++) {
    const int64_t part = problem->first_level + l;
    const es_search_level_t level = seen(search, part);
    char number[32];
    es_text_append(out, "  %s ", axis);
    append_part(search, varying, part, out);
    if (!level.done) {
      es_text_append(out, ": not measured yet\n");
      continue;
    }
    if (isnan(level.accuracy))
      es_text_append(out, ": diverged");
    else
      es_text_append(out, ": accuracy %.4f", level.accuracy);
    append_seeds(search, part, out);
    if (l > 0) append_comparison(search, part, out);
    if (l > 0 && l == problem->asked - 1 && isfinite(level.accuracy) && problem->over)
      es_text_append(out, l == problem->levels - 1 ? "; the largest" : ", not more than %s better: the search ends",
                     es_text_double(search->settings->accuracy, number));
    es_text_append(out, "\n");
  }
}

/* True if a candidate was stopped at a rung with the number of another one that goes on. */
static bool loses_tie(const es_search_t *search, const es_search_problem_t *problem, int64_t part, int32_t rung) {
  const int32_t rungs = search->settings->rungs.n;
  bool tie = false;
  for (int64_t other = problem->first_level; other < problem->first_level + problem->levels; other++)
    tie |= search->fate[other] > rung && search->score[other * rungs + rung] == search->score[part * rungs + rung];
  return tie && search->fate[part] == rung;
}

static void explain_halving(const es_search_t *search, const es_varying_t *varying, const es_search_problem_t *problem,
                            es_text_t *out) {
  const es_search_settings_t *s = search->settings;
  for (int32_t r = 0; r <= problem->rung && r < s->rungs.n; r++) {
    es_text_append(out, "  epoch %d:\n", s->rungs.list[r]);
    for (int32_t c = 0; c < problem->levels; c++) {
      const int64_t part = problem->first_level + c;
      const double score = search->score[part * s->rungs.n + r];
      if (search->fate[part] < r) continue;
      es_text_append(out, "    ");
      append_part(search, varying, part, out);
      if (isnan(score))
        es_text_append(out, ": not there yet");
      else if (!isfinite(score))
        es_text_append(out, ": diverged");
      else
        es_text_append(out, ": %s %.4f", s->by == ES_SEARCH_BY_SATURATION ? "saturation" : "accuracy", score);
      if (isfinite(score)) append_seeds(search, part, out);
      if (r < problem->rung) es_text_append(out, search->fate[part] > r ? ", goes on" : ", stopped");
      if (r < problem->rung && loses_tie(search, problem, part, r))
        es_text_append(out, "; of equal ones the first in the grid goes on");
      es_text_append(out, "\n");
    }
  }
}

void es_search_print(const es_search_t *search, bool explain, bool costs, es_text_t *out) {
  const es_search_settings_t *s = search->settings;
  es_varying_t varying;
  es_table_t table = {0};
  double all = 0.0, asked = 0.0;
  int64_t known = 0, right = 0;
  es_varying_find(search->plan, &varying);
  for (int i = 0; i < varying.n; i++) {
    if (is_over(search, varying.names[i])) es_table_column(&table, varying.names[i], false);
  }
  if (halves(search)) {
    es_table_columns(&table, "best|>to the end|>cost|by the full grid|state");
  } else {
    char heading[ES_NAME_MAX + 16];
    snprintf(heading, sizeof heading, "smallest %s", s->axis);
    es_table_column(&table, heading, true);
    es_table_columns(&table, ">measured|>cost|>by the full grid|state");
  }
  for (int64_t p = 0; p < search->n_problems; p++) {
    double of[2];
    const int32_t by_all = truth(search, &search->problems[p]);
    known += by_all >= 0 && search->problems[p].over;
    right += by_all >= 0 && search->problems[p].answer == by_all;
    add_row(search, &varying, p, costs, &table);
    find_cost(search, &search->problems[p], costs, &of[0], &of[1]);
    all += of[0];
    asked += of[1];
  }
  es_table_print(&table, out);
  es_table_destroy(&table);
  es_text_append(out, "\n%lld of %lld problem%s answered; asked for %.0f %% of the %s of the full grid\n",
                 (long long)es_search_answered(search), (long long)search->n_problems, es_plural(search->n_problems),
                 100.0 * asked / all, costs ? "cost" : "epochs");
  if (known > 0)
    es_text_append(out, "the full grid gives the same answer to %lld of %lld problem%s with results of all points\n",
                   (long long)right, (long long)known, es_plural(known));
  for (int64_t p = 0; explain && p < search->n_problems; p++) {
    const es_search_problem_t *problem = &search->problems[p];
    es_point_t point;
    point_of(search, problem->first_level, &point);
    es_text_append(out, "\n");
    int n = 0;
    for (int i = 0; i < varying.n; i++) {
      if (is_over(search, varying.names[i]))
        es_text_append(out, "%s%s=%s", n++ > 0 ? " " : "", varying.names[i], es_point_axis(&point, varying.names[i]));
    }
    es_text_append(out, "%s\n", n > 0 ? ":" : "all points:");
    (halves(search) ? explain_halving : explain_smallest)(search, &varying, problem, out);
    es_text_append(out, "  answer: ");
    if (problem->answer >= 0)
      append_part(search, &varying, problem->first_level + problem->answer, out);
    else
      es_text_append(out, problem->answer == ES_SEARCH_OPEN ? "open" : "none, because all points diverged");
    es_text_append(out, "\n");
  }
}

/* ---- JSON ---- */

static void append_number(es_text_t *out, const char *name, double value) {
  char number[32];
  es_text_append(out, ", \"%s\": %s", name, isfinite(value) ? es_text_double(value, number) : "null");
}

static void append_name(const es_search_t *search, const es_varying_t *varying, int64_t part, es_text_t *out) {
  es_text_t name = {0};
  append_part(search, varying, part, &name);
  es_text_append_quoted(out, es_text_get(&name));
  if (name.failed) out->failed = true;
  es_text_destroy(&name);
}

static void append_decisions(const es_search_t *search, const es_varying_t *varying, const es_search_problem_t *problem,
                             es_text_t *out) {
  const es_search_settings_t *s = search->settings;
  const int32_t first = problem->first_level;
  int n = 0;
  for (int32_t l = 0; !halves(search) && l < problem->asked; l++) {
    const es_search_level_t level = seen(search, first + l);
    es_text_append(out, "%s\n    {\"value\": ", n++ > 0 ? "," : "");
    append_name(search, varying, first + l, out);
    es_text_append(out, ", \"done\": %s", level.done ? "true" : "false");
    append_number(out, "accuracy", level.accuracy);
    es_text_append(out, ", \"points\": %d", search->points[first + l].asked);
    es_text_append(out, "}");
  }
  for (int32_t r = 0; halves(search) && r <= problem->rung && r < s->rungs.n; r++) {
    for (int32_t c = 0; c < problem->levels; c++) {
      if (search->fate[first + c] < r) continue;
      es_text_append(out, "%s\n    {\"candidate\": ", n++ > 0 ? "," : "");
      append_name(search, varying, first + c, out);
      es_text_append(out, ", \"epoch\": %d", s->rungs.list[r]);
      append_number(out, "score", search->score[(int64_t)(first + c) * s->rungs.n + r]);
      es_text_append(out, ", \"goes_on\": %s}",
                     r == problem->rung            ? "null"
                     : search->fate[first + c] > r ? "true"
                                                   : "false");
    }
  }
}

void es_search_print_json(const es_search_t *search, es_text_t *out) {
  es_varying_t varying;
  es_varying_find(search->plan, &varying);
  es_text_append(out, "{\"job\": ");
  es_text_append_quoted(out, es_job_name(search->plan->job));
  es_text_append(out, ", \"problems\": [");
  for (int64_t p = 0; p < search->n_problems; p++) {
    const es_search_problem_t *problem = &search->problems[p];
    es_point_t point;
    int n = 0;
    point_of(search, problem->first_level, &point);
    es_text_append(out, "%s\n  {\"over\": {", p > 0 ? "," : "");
    for (int i = 0; i < search->settings->n_over; i++) {
      es_text_append(out, "%s", n++ > 0 ? ", " : "");
      es_text_append_quoted(out, search->settings->over[i]);
      es_text_append(out, ": ");
      es_text_append_quoted(out, es_point_axis(&point, search->settings->over[i]));
    }
    es_text_append(out, "}, \"answered\": %s, \"answer\": ", problem->over ? "true" : "false");
    if (problem->answer >= 0)
      append_name(search, &varying, problem->first_level + problem->answer, out);
    else
      es_text_append(out, "null");
    es_text_append(out, ", \"waits\": [");
    n = 0;
    for (int64_t i = 0; i < search->n_asks; i++) {
      if (search->members[search->place[search->asks[i].index]].problem != p) continue;
      es_text_append(out, "%s%lld", n++ > 0 ? ", " : "", (long long)search->asks[i].index);
    }
    es_text_append(out, "], \"decisions\": [");
    append_decisions(search, &varying, problem, out);
    es_text_append(out, "]}");
  }
  es_text_append(out, "\n]}\n");
}
