/* The section `search`. */
#include "job_internal.h"
#include <string.h>

/* True if some block of the grid has this axis; *numbers is false if one of its values is not a number. */
static bool find_axis(const es_job_t *job, const char *name, int *most, bool *numbers) {
  bool found = false;
  *most = 0;
  *numbers = true;
  for (int b = 0; b < job->n_blocks; b++) {
    for (int a = 0; a < job->blocks[b].n_axes; a++) {
      const es_axis_t *axis = &job->blocks[b].axes[a];
      if (strcmp(axis->name, name) != 0) continue;
      found = true;
      *most = axis->n > *most ? axis->n : *most;
      for (int v = 0; v < axis->n; v++) {
        es_point_t point;
        es_job_start(job, b, &point);
        if (es_job_apply(job, b, a, v, &point, &(es_status_t){0}) != ES_OK) continue;
        for (int i = 0; i < point.n_axes; i++)
          *numbers = *numbers && (strcmp(point.axes[i].name, name) != 0 || point.axes[i].is_number);
      }
    }
  }
  return found;
}

static es_code_t refuse_axis(const es_job_t *job, const es_yaml_t *node, const char *key, const char *name,
                             es_status_t *status) {
  const char *names[ES_AXES_MAX * 4];
  int n = 0;
  for (int b = 0; b < job->n_blocks; b++) {
    for (int a = 0; a < job->blocks[b].n_axes && n < ES_AXES_MAX * 4; a++) names[n++] = job->blocks[b].axes[a].name;
  }
  if (es_keys_find("grid", name) != NULL)
    return es_yaml_fail(&job->tree, node, status,
                        "search.%s: %s is not written in the grid, so all points have one value of it; write it in the "
                        "grid, %s",
                        key, name, strcmp(key, "over") == 0 ? "or leave it out" : "with at least two values");
  const char *nearest = es_text_nearest(name, names, n);
  return es_yaml_fail(&job->tree, node, status, "search.%s: the grid has no axis %.60s%s%s%s", key, name,
                      nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
                      nearest != NULL ? "?" : "");
}

/* Collects all axes of the grid but seed and the searched one; for halving those that make a problem another one,
 * between which accuracies cannot be compared. */
static void default_over(const es_job_t *job, es_search_settings_t *s) {
  for (int b = 0; b < job->n_blocks; b++) {
    for (int a = 0; a < job->blocks[b].n_axes; a++) {
      const char *name = job->blocks[b].axes[a].name;
      const bool problem =
          strcmp(name, "dataset") == 0 || strcmp(name, "classes") == 0 || strcmp(name, "resolution") == 0;
      bool known = s->kind == ES_SEARCH_SMALLEST ? strcmp(name, "seed") == 0 || strcmp(name, s->axis) == 0 : !problem;
      for (int i = 0; i < s->n_over; i++) known = known || strcmp(name, s->over[i]) == 0;
      if (!known && s->n_over < ES_AXES_MAX) s->over[s->n_over++] = name;
    }
  }
}

static es_code_t read_over(es_job_t *job, const es_yaml_t *node, es_search_settings_t *s, es_status_t *status) {
  char excerpt[ES_EXCERPT_MAX];
  if (node->kind != ES_NODE_LIST || node->n > ES_AXES_MAX)
    return es_yaml_fail(&job->tree, node, status, "search.over must be a list of axes of the grid, not %s",
                        es_yaml_describe(node, excerpt));
  for (const es_yaml_t *item = node->first; item != NULL; item = item->next) {
    bool numbers;
    int most;
    if (item->kind != ES_NODE_SCALAR)
      return es_yaml_fail(&job->tree, item, status, "search.over must be a list of axes of the grid, not of %s",
                          es_yaml_describe(item, excerpt));
    if (!find_axis(job, item->text, &most, &numbers)) return refuse_axis(job, item, "over", item->text, status);
    if (s->kind == ES_SEARCH_SMALLEST && strcmp(item->text, s->axis) == 0)
      return es_yaml_fail(&job->tree, item, status, "search.over has %s, which is the searched axis; leave it out",
                          s->axis);
    for (int i = 0; i < s->n_over; i++) {
      if (strcmp(s->over[i], item->text) == 0)
        return es_yaml_fail(&job->tree, item, status, "search.over has %s twice", item->text);
    }
    s->over[s->n_over++] = item->text;
  }
  return ES_OK;
}

static int find_in_block(const es_block_t *block, const char *name) {
  for (int a = 0; a < block->n_axes; a++) {
    if (strcmp(block->axes[a].name, name) == 0) return a;
  }
  return -1;
}

/* Sets a number of a point to value v of axis a; a −1: leaves it as it is. */
static void set_axis(const es_job_t *job, int block, int a, int v, es_point_t *point) {
  if (a >= 0) (void)es_job_apply(job, block, a, v, point, &(es_status_t){0}); /* es_axes_read has applied it before */
}

/* Refuses rungs at which some point of a block has no saturation, and jobs without saturation of the eval split. */
static es_code_t check_saturation(const es_job_t *job, int block, const es_yaml_t *halving,
                                  const es_search_settings_t *s, es_status_t *status) {
  const es_block_t *b = &job->blocks[block];
  const int epochs = find_in_block(b, "train.epochs"), every = find_in_block(b, "measure.every");
  es_point_t point;
  es_job_start(job, block, &point);
  if (!point.measure.splits[ES_EVAL])
    return es_yaml_fail(&job->tree, es_yaml_find(halving, "by"), status,
                        "search.halving.by: saturation compares the eval split, but measure.splits does not have eval; "
                        "add it, or use by: accuracy");
  for (int e = 0; e < (epochs < 0 ? 1 : b->axes[epochs].n); e++) {
    for (int m = 0; m < (every < 0 ? 1 : b->axes[every].n); m++) {
      set_axis(job, block, epochs, e, &point);
      set_axis(job, block, every, m, &point);
      for (int r = 0; r < s->rungs.n; r++) { /* the last epoch is always measured */
        const int32_t rung = s->rungs.list[r], step = point.measure.every;
        if (rung % step == 0 || rung >= point.train.epochs) continue;
        return es_yaml_fail(
            &job->tree, es_yaml_find(halving, "rungs"), status,
            "search.halving.rungs has epoch %d, which is not measured, because measure.every is %d; with "
            "by: saturation use multiples of %d, or measure.every: 1",
            rung, step, step);
      }
    }
  }
  return ES_OK;
}

static es_code_t check_halving(const es_job_t *job, const es_yaml_t *section, const es_search_settings_t *s,
                               es_status_t *status) {
  static const char *const others[] = {"axis", "goal", "accuracy", "seeds"};
  const es_yaml_t *halving = es_yaml_find(section, "halving");
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    const es_yaml_t *node = es_yaml_find(section, others[i]);
    if (node != NULL)
      return es_yaml_fail_key(&job->tree, node, status, "search.%s cannot be used together with search.halving",
                              others[i]);
  }
  if (s->keep.numerator >= s->keep.denominator)
    return es_yaml_fail(&job->tree, es_yaml_find(halving, "keep"), status,
                        "search.halving.keep must be below 1, because points must be stopped");
  const int32_t last = s->rungs.list[s->rungs.n - 1];
  bool varies = false;
  for (int b = 0; b < job->n_blocks; b++) varies |= es_yaml_find(job->blocks[b].node, "train.epochs") != NULL;
  if (!varies && last >= job->base.train.epochs)
    return es_yaml_fail(&job->tree, es_yaml_find(halving, "rungs"), status,
                        "search.halving.rungs has epoch %d, but training ends after epoch %d; each rung must be before "
                        "the end",
                        last, job->base.train.epochs);
  for (int b = 0; s->by == ES_SEARCH_BY_SATURATION && b < job->n_blocks; b++)
    ES_TRY(check_saturation(job, b, halving, s, status));
  return ES_OK;
}

static es_code_t check_smallest(const es_job_t *job, const es_yaml_t *section, const es_search_settings_t *s,
                                es_status_t *status) {
  const es_yaml_t *node = es_yaml_find(section, "axis");
  bool numbers;
  int most;
  if (node == NULL) node = section;
  if (!find_axis(job, s->axis, &most, &numbers)) return refuse_axis(job, node, "axis", s->axis, status);
  if (!numbers)
    return es_yaml_fail(&job->tree, node, status,
                        "search.axis: the values of %s are not all numbers, so none is the smallest", s->axis);
  if (strcmp(s->axis, "seed") == 0)
    return es_yaml_fail(&job->tree, node, status,
                        "search.axis: seed cannot be searched, because accuracies are means over seeds");
  if (most < 2)
    return es_yaml_fail(&job->tree, node, status, "search.axis: %s has one value; a search needs at least two",
                        s->axis);
  return ES_OK;
}

es_code_t es_search_read(es_job_t *job, es_status_t *status) {
  es_search_settings_t *s = &job->search;
  const es_yaml_t *section = es_yaml_find(job->tree.root, "search");
  if (section == NULL || es_yaml_is_empty(section)) return ES_OK;
  *s = (es_search_settings_t){.axis = "width", .accuracy = 0.01, .keep = {1, 3}};
  s->line = es_origin_line(job, section->key_line);
  if (job->top.source != ES_SOURCE_TRAIN)
    return es_yaml_fail_key(&job->tree, section, status,
                            "search chooses which networks are trained, so it needs source: train; leave it out");
  ES_TRY(es_section_read(&job->tree, "search", section, "search", s, status));
  ES_TRY(es_faults_conclude(job->tree.faults, "job", status));
  s->kind = es_yaml_find(section, "halving") != NULL ? ES_SEARCH_HALVING : ES_SEARCH_SMALLEST;
  if (s->kind == ES_SEARCH_HALVING)
    ES_TRY(check_halving(job, section, s, status));
  else
    ES_TRY(check_smallest(job, section, s, status));
  const es_yaml_t *over = es_yaml_find(section, "over");
  if (over != NULL) return read_over(job, over, s, status);
  default_over(job, s);
  return ES_OK;
}
