/* status and the table of run, for result files of all kinds. */
#include "eigenscope/cli.h"
#include "eigenscope/file.h"
#include "eigenscope/run.h"
#include "support/unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char job_text[] = "name: x\n"
                               "grid: {dataset: shapes, model: mlp, width: 1/64, seed: [0, 1, 2, 3, 4]}\n"
                               "datasets: {shapes: {format: synthetic, classes: 2, size: 16, train: 40, eval: 10}}\n"
                               "train: {epochs: 2}\n";

/* A folder with a job and its results. */
typedef struct place {
  char folder[64], job[96], output[96];
} place_t;

static void open_place(place_t *p) {
  snprintf(p->folder, sizeof p->folder, "/tmp/eigenscope-status.XXXXXX");
  assert_non_null(mkdtemp(p->folder));
  snprintf(p->job, sizeof p->job, "%s/job.yaml", p->folder);
  snprintf(p->output, sizeof p->output, "%s/results", p->folder);
  char points[128];
  snprintf(points, sizeof points, "%s/points", p->output);
  assert_ok(es_file_write_atomic(p->job, job_text, sizeof job_text - 1, fresh()));
  assert_ok(es_directory_create(points, fresh()));
}

static void close_place(const place_t *p) {
  char command[128];
  snprintf(command, sizeof command, "rm -r '%s'", p->folder);
  assert_int_equal(system(command), 0);
}

static void open_plan(const place_t *p, es_plan_t *plan) {
  const es_plan_request_t request = {.path = p->job, .output = p->output};
  assert_ok(es_plan_create(plan, &request, fresh()));
}

/* Writes a result as run does, with a few numbers. */
static void write_part(const es_plan_t *plan, int64_t index, const char *outcome, const char *reason, int32_t stopped) {
  static const es_layer_info_t layers[] = {{.name = "classifier.0", .kind = "linear", .width = 8},
                                           {.name = "classifier.9", .kind = "linear", .width = 2, .output = 1}};
  static const double mean[3] = {0.5, 0.5, 0.5}, deviation[3] = {1, 1, 1};
  es_point_t point;
  es_result_t *result;
  char path[ES_PATH_MAX];
  es_plan_point(plan, index, &point);
  const es_result_shape_t shape = {.point = &point, .layers = layers, .n_layers = 2};
  assert_ok(es_result_create(&result, &shape, fresh()));
  *es_result_f64(result, ES_FIELD_ACCURACY, ES_EVAL, 2, 0, 0) = 0.75;
  *es_result_f64(result, ES_FIELD_SECONDS, 0, 0, 0, 0) = 1; /* a diverged point has finished epoch 0 alone */
  for (int layer = 0; layer < 2; layer++) {
    *es_result_f64(result, ES_FIELD_SATURATION, ES_EVAL, 2, layer, 0) = layer == 0 ? 0.25 : 1;
    *es_result_f64(result, ES_FIELD_TRACE, ES_EVAL, 2, layer, 0) = 1;
    ((int64_t *)es_result_data(result, ES_FIELD_SAMPLES))[(ES_EVAL * 3 + 2) * 2 + layer] = 10;
  }
  const es_result_header_t header = {.point = &point,
                                     .point_id = es_grid_id(plan->grid, index),
                                     .job_name = "x",
                                     .job = "name: x\n",
                                     .outcome = outcome,
                                     .reason = reason,
                                     .stopped_at = stopped,
                                     .train_mode = "training",
                                     .fingerprint = "0123456789abcdef",
                                     .normalize_mean = mean,
                                     .normalize_deviation = deviation};
  es_result_path(path, plan->output, es_grid_id(plan->grid, index), 5);
  assert_ok(es_result_write(path, result, &header, fresh()));
  es_result_destroy(result);
}

static void write_result(const es_plan_t *plan, int64_t index, const char *outcome, const char *reason) {
  write_part(plan, index, outcome, reason, 0);
}

/* Runs `status` with its output in files; the caller owns the texts. */
static int run_status(const place_t *p, bool missing, char **out, char **err) {
  char names[2][128];
  int kept[2];
  size_t size;
  for (int i = 0; i < 2; i++) {
    snprintf(names[i], sizeof names[i], "%s/stream%d", p->folder, i);
    fflush(i == 0 ? stdout : stderr);
    kept[i] = dup(i + 1);
    FILE *file = fopen(names[i], "w");
    assert_non_null(file);
    assert_int_equal(dup2(fileno(file), i + 1), i + 1);
    fclose(file);
  }
  char job[96], output[96];
  memcpy(job, p->job, sizeof job);
  memcpy(output, p->output, sizeof output);
  char option[] = "--output", flag[] = "--missing";
  char *argv[] = {job, option, output, flag};
  const int result = es_cli_status(missing ? 4 : 3, argv);
  for (int i = 0; i < 2; i++) {
    fflush(i == 0 ? stdout : stderr);
    dup2(kept[i], i + 1);
    close(kept[i]);
  }
  assert_ok(es_file_read(names[0], out, &size, fresh()));
  assert_ok(es_file_read(names[1], err, &size, fresh()));
  return result;
}

static void check_status(const place_t *p, bool missing, int code, const char *contains, const char *errors) {
  char *out, *err;
  assert_int_equal(run_status(p, missing, &out, &err), code);
  if (missing)
    assert_string_equal(out, contains);
  else if (strstr(out, contains) == NULL)
    fail_msg("no \"%s\" in\n%s", contains, out);
  if (errors[0] == '\0')
    assert_string_equal(err, "");
  else if (strstr(err, errors) == NULL)
    fail_msg("no \"%s\" in\n%s", errors, err);
  es_free(out);
  es_free(err);
}

TEST(from_nothing_to_complete) {
  place_t place;
  es_plan_t plan;
  open_place(&place);
  open_plan(&place, &plan);
  check_status(&place, true, ES_EXIT_UNFINISHED, "0-4\n", "");
  check_status(&place, false, ES_EXIT_UNFINISHED, "5 points: 0 complete, 0 diverged, 0 damaged, 5 missing in ", "");
  write_result(&plan, 0, "complete", "");
  write_result(&plan, 2, "complete", "");
  check_status(&place, true, ES_EXIT_UNFINISHED, "1,3-4\n", "");
  check_status(&place, false, ES_EXIT_UNFINISHED,
               "\n    2  2     complete       2    0.7500                   0.2500\n", "");
  check_status(&place, false, ES_EXIT_UNFINISHED,
               "\n    3  3     missing        -         -                        -\n", "");
  for (int i = 1; i < 5; i++) write_result(&plan, i, "complete", "");
  check_status(&place, true, ES_EXIT_OK, "", "");
  check_status(&place, false, ES_EXIT_OK, "5 points: 5 complete, 0 diverged, 0 damaged, 0 missing in ", "");
  es_plan_destroy(&plan);
  close_place(&place);
}

TEST(diverged_counts_as_failed) {
  place_t place;
  es_plan_t plan;
  open_place(&place);
  open_plan(&place, &plan);
  for (int i = 0; i < 5; i++)
    write_result(&plan, i, i == 3 ? "diverged" : "complete", i == 3 ? "loss NaN in epoch 1" : "");
  check_status(&place, true, ES_EXIT_FAILED, "", "");
  check_status(&place, false, ES_EXIT_FAILED,
               "diverged  0 of 2    0.7500                   0.2500  loss NaN in epoch 1\n", "");
  /* Failed and missing points: unfinished. */
  char path[ES_PATH_MAX];
  es_result_path(path, plan.output, es_grid_id(plan.grid, 0), 5);
  assert_int_equal(unlink(path), 0);
  check_status(&place, true, ES_EXIT_UNFINISHED, "0\n", "");
  check_status(&place, false, ES_EXIT_UNFINISHED, "5 points: 3 complete, 1 diverged, 0 damaged, 1 missing in ", "");
  es_plan_destroy(&plan);
  close_place(&place);
}

TEST(damaged_counts_as_missing_and_is_named) {
  place_t place;
  es_plan_t plan;
  char path[ES_PATH_MAX], expected[ES_PATH_MAX + 64];
  open_place(&place);
  open_plan(&place, &plan);
  for (int i = 0; i < 5; i++) write_result(&plan, i, "complete", "");
  es_result_path(path, plan.output, es_grid_id(plan.grid, 1), 5);
  assert_int_equal(truncate(path, 100), 0);
  snprintf(expected, sizeof expected, "eigenscope: %s: is damaged and counts as missing: ", path);
  check_status(&place, true, ES_EXIT_UNFINISHED, "1\n", expected);
  check_status(&place, false, ES_EXIT_UNFINISHED, "5 points: 4 complete, 0 diverged, 1 damaged, 0 missing in ", "");
  check_status(&place, false, ES_EXIT_UNFINISHED,
               "\n    1  1     damaged        -         -                        -  ", "");
  es_plan_destroy(&plan);
  close_place(&place);
}

TEST(table_of_run) {
  place_t place;
  es_plan_t plan;
  es_selection_t selection;
  es_text_t text = {0};
  char expected[ES_PATH_MAX + 512];
  open_place(&place);
  open_plan(&place, &plan);
  write_result(&plan, 1, "complete", "");
  write_result(&plan, 2, "diverged", "loss NaN");
  write_part(&plan, 0, "complete", "", 1);
  write_result(&plan, 4, "complete", "");
  assert_ok(es_selection_parse(&selection, "0-2", 5, fresh()));
  es_results_table(&plan, &selection, NULL, 0, &text);
  snprintf(expected, sizeof expected,
           "x: dataset shapes, model mlp, width 1/64, classes all (2), resolution 32\n"
           "\n"
           "point  seed  outcome   epochs  accuracy  saturation (delta 0.99)  reason\n"
           "    0  0     complete  1 of 2    0.7500                   0.2500\n"
           "    1  1     complete       2    0.7500                   0.2500\n"
           "    2  2     diverged  0 of 2    0.7500                   0.2500  loss NaN\n"
           "\n"
           "results: %s/points/\n",
           plan.output);
  assert_string_equal(es_text_get(&text), expected);
  es_text_destroy(&text);
  es_selection_destroy(&selection);
  es_plan_destroy(&plan);
  close_place(&place);
}
