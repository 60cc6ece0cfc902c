/* Eigenspaces over the epochs of a point, on one rank: choice of references, and states. */
#include "support/eigenspace_story.h"
#include "support/unit.h"
#include <stdlib.h>
#include <unistd.h>

static const es_group_t group = {.comm = MPI_COMM_NULL, .size = 1};
static const int owners[STORY_LAYERS] = {0};

static es_eigenspaces_t *open_tracker(void) {
  es_eigenspaces_t *s;
  assert_int_equal(story_create(&s, &group, owners), ES_OK);
  return s;
}

static void run(story_t *story, es_eigenspaces_t *s, int32_t first, int32_t last) {
  assert_ok(story_run(story, s, &group, owners, first, last, fresh()));
}

static void end(story_t *story, es_eigenspaces_t *s) {
  assert_ok(story_end(story, s, fresh()));
}

/* Vectors rounded to float, as a tracker stores them. */
static es_leading_t leading(float *rows, int32_t k[STORY_DELTAS], int split, int32_t epoch, int layer) {
  static double exact[STORY_WIDEST * STORY_WIDEST];
  const int32_t width = story_widths[layer];
  assert_true(story_vectors(exact, split, epoch, layer) >= 0);
  for (int32_t i = 0; i < width * width; i++) rows[i] = (float)exact[i];
  story_k(k, split, epoch, layer);
  return (es_leading_t){width, k, rows};
}

static void check_pair(const story_t *story, int reference, int split, int32_t at, int32_t earlier, int32_t later) {
  static float a[STORY_WIDEST * STORY_WIDEST], b[STORY_WIDEST * STORY_WIDEST];
  const double *found = story->angles[reference][split][at];
  for (int layer = 0; layer < STORY_LAYERS; found += story_widths[layer++]) {
    int32_t ka[STORY_DELTAS], kb[STORY_DELTAS];
    double overlap[STORY_DELTAS], angles[STORY_WIDEST];
    const es_leading_t first = leading(a, ka, split, earlier, layer), second = leading(b, kb, split, later, layer);
    assert_ok(es_eigenspace_compare(overlap, angles, &first, &second, STORY_DELTAS, fresh()));
    assert_memory_equal(&story->overlap[reference][split][at][layer * STORY_DELTAS], overlap, sizeof overlap);
    assert_memory_equal(found, angles, (size_t)story_widths[layer] * sizeof *angles);
  }
}

TEST(references) {
  static story_t story;
  es_eigenspaces_t *s = open_tracker();
  run(&story, s, 0, 6);
  end(&story, s);
  for (int split = 0; split < ES_SPLITS; split++) {
    assert_int_equal(es_eigenspaces_last(s, (es_split_t)split), 6);
    for (int32_t epoch = 0; epoch < STORY_EPOCHS; epoch++) {
      assert_int_equal(es_eigenspaces_has(s, (es_split_t)split, epoch), story_measures(split, epoch));
      if (!story_measures(split, epoch)) continue;
      check_pair(&story, 1, split, epoch, epoch, 6);
      if (epoch > 0 && story_measures(split, epoch - 2)) check_pair(&story, 0, split, epoch, epoch - 2, epoch);
    }
  }
  /* the first epoch of each split has no previous one */
  for (int i = 0; i < STORY_LAYERS * STORY_DELTAS; i++)
    assert_true(isnan(story.overlap[0][ES_EVAL][0][i]) && isnan(story.overlap[0][ES_TRAIN][2][i]));
  for (int i = 0; i < STORY_ANGLES; i++)
    assert_true(isnan(story.angles[0][ES_EVAL][0][i]) && isnan(story.angles[0][ES_TRAIN][2][i]));
  /* the last epoch equals itself; no value if a layer is dead */
  for (int d = 0; d < STORY_DELTAS; d++) {
    assert_true(fabs(story.overlap[1][ES_EVAL][6][3 * STORY_DELTAS + d] - 1.0) < 1e-14);
    assert_true(isnan(story.overlap[0][ES_EVAL][4][4 * STORY_DELTAS + d]));
    assert_true(isnan(story.overlap[1][ES_TRAIN][2][3 * STORY_DELTAS + d]));
    assert_true(!isnan(story.overlap[0][ES_EVAL][2][3 * STORY_DELTAS + d]));
  }
  es_eigenspaces_destroy(s);
}

TEST(vectors) {
  static story_t story;
  static float rows[STORY_WIDEST * STORY_WIDEST];
  es_eigenspaces_t *s = open_tracker();
  run(&story, s, 0, 4);
  for (int layer = 0; layer < STORY_LAYERS; layer++) {
    for (int32_t epoch = 0; epoch <= 4; epoch += 2) {
      int32_t k[STORY_DELTAS], n, most = 0;
      const es_leading_t l = leading(rows, k, ES_EVAL, epoch, layer);
      const float *found = es_eigenspaces_vectors(s, ES_EVAL, epoch, layer, &n);
      for (int d = 0; d < STORY_DELTAS; d++) most = k[d] > most ? k[d] : most;
      assert_int_equal(n, most);
      assert_true((found != NULL) == (most > 0));
      if (found) assert_memory_equal(found, l.rows, (size_t)(n * l.width) * sizeof *rows);
    }
  }
  es_eigenspaces_destroy(s);
}

/* Stopping after any epoch and resuming, with tensors in any order, gives equal bits. */
TEST(state) {
  static story_t whole, parts;
  es_eigenspaces_t *s = open_tracker();
  run(&whole, s, 0, 6);
  end(&whole, s);
  es_eigenspaces_destroy(s);
  for (int32_t stop = -1; stop < 6; stop++) {
    story_state_t saved;
    memset(&parts, 0, sizeof parts);
    s = open_tracker();
    run(&parts, s, 0, stop);
    assert_true(story_save(&saved, s));
    es_eigenspaces_destroy(s);
    s = open_tracker();
    const es_tensor_view_t other = {.name = "result.loss", .dtype = ES_F64, .rank = 1, .shape = {1}, .data = NULL};
    assert_ok(es_eigenspaces_take(s, &other, fresh()));
    for (int i = saved.n - 1; i >= 0; i--) assert_ok(es_eigenspaces_take(s, &saved.tensors[i], fresh()));
    assert_ok(es_eigenspaces_resume(s, fresh()));
    story_state_free(&saved);
    run(&parts, s, stop + 1, 6);
    end(&parts, s);
    es_eigenspaces_destroy(s);
    assert_memory_equal(&parts, &whole, sizeof whole);
  }
}

/* A state whose eigenspaces belong to a later epoch is refused. */
TEST(epoch_twice) {
  static story_t story;
  es_eigenspaces_t *s = open_tracker();
  run(&story, s, 0, 2);
  assert_fails_with(es_eigenspaces_commit(s, ES_EVAL, 2, fresh()), ES_INPUT,
                    "the state has eigenspaces of epoch 2, but the run is only at epoch 2");
  es_eigenspaces_destroy(s);
}

/* Writes and reads a state file. */
TEST(state_file) {
  static story_t whole, parts;
  char path[] = "/tmp/es_eigenspace_XXXXXX";
  const es_tensor_view_t *tensors;
  es_safetensors_t *file;
  const int descriptor = mkstemp(path);
  assert_true(descriptor >= 0 && close(descriptor) == 0);
  es_eigenspaces_t *s = open_tracker();
  run(&whole, s, 0, 4);
  parts = whole;
  const int n = es_eigenspaces_tensors(s, &tensors);
  assert_ok(es_safetensors_write(path, tensors, n, NULL, 0, fresh()));
  run(&whole, s, 5, 6);
  end(&whole, s);
  es_eigenspaces_destroy(s);
  s = open_tracker();
  assert_ok(es_safetensors_read(&file, path, fresh()));
  assert_int_equal(unlink(path), 0);
  for (int i = 0; i < es_safetensors_count(file); i++)
    assert_ok(es_eigenspaces_take(s, es_safetensors_tensor(file, i), fresh()));
  es_safetensors_destroy(file);
  assert_ok(es_eigenspaces_resume(s, fresh()));
  run(&parts, s, 5, 6);
  end(&parts, s);
  es_eigenspaces_destroy(s);
  assert_memory_equal(&parts, &whole, sizeof whole);
}

/* Spoils a saved state and resumes from it: it must be refused with the name of the wrong tensor. */
static void check_refused(const char *name, void (*spoil)(story_state_t *state)) {
  static story_t story;
  story_state_t saved;
  es_eigenspaces_t *s = open_tracker();
  run(&story, s, 0, 4);
  assert_true(story_save(&saved, s));
  es_eigenspaces_destroy(s);
  s = open_tracker();
  const int n = saved.n;
  spoil(&saved);
  assert_int_equal(story_resume(s, &group, &saved, fresh()), ES_INPUT);
  if (!strstr(said.message, name)) fail_msg("not of %s: %s", name, said.message);
  es_eigenspaces_destroy(s);
  saved.n = n;
  story_state_free(&saved);
}

static es_tensor_view_t *find(story_state_t *state, const char *name) {
  for (int i = 0; i < state->n; i++)
    if (strcmp(state->tensors[i].name, name) == 0) return &state->tensors[i];
  fail_msg("no tensor %s", name);
  return NULL;
}

static int32_t *k_of(story_state_t *state, int split, int32_t epoch) {
  for (int i = 0; i < state->n; i++) {
    if (strcmp(state->tensors[i].name, "eigenspace.k") == 0)
      return (int32_t *)state->copies[i] + (split * STORY_EPOCHS + epoch) * STORY_LAYERS * STORY_DELTAS;
  }
  return NULL;
}

static void no_table(story_state_t *s) {
  strcpy(find(s, "eigenspace.k")->name, "eigenvalue.k");
}
static void table_type(story_state_t *s) {
  find(s, "eigenspace.k")->dtype = ES_F32;
}
static void table_shape(story_state_t *s) {
  find(s, "eigenspace.k")->shape[1]++;
}
static void k_beyond_width(story_state_t *s) {
  k_of(s, ES_EVAL, 2)[0] = 2;
}
static void k_unknown(story_state_t *s) {
  k_of(s, ES_EVAL, 2)[4] = -3;
}
static void half_an_epoch(story_state_t *s) {
  k_of(s, ES_EVAL, 2)[4] = -2;
}
static void another_k(story_state_t *s) {
  int32_t *k = k_of(s, ES_TRAIN, 4) + 3 * STORY_DELTAS;
  k[0] = k[1] = k[2] = 40 - k[0] > STORY_WIDEST ? STORY_WIDEST : 40 - k[0];
}
static void epoch_never_committed(story_state_t *s) {
  for (int i = 0; i < STORY_LAYERS * STORY_DELTAS; i++) k_of(s, ES_EVAL, 2)[i] = -2;
}
static void no_vectors(story_state_t *s) {
  strcpy(find(s, "eigenspace.eval.2")->name, "nothing");
}
static void vectors_twice(story_state_t *s) {
  strcpy(find(s, "eigenspace.eval.0")->name, "eigenspace.eval.2");
}
static void vectors_type(story_state_t *s) {
  find(s, "eigenspace.eval.2")->dtype = ES_I32;
}
static void vectors_cut(story_state_t *s) {
  find(s, "eigenspace.train.4")->shape[0]--;
}
static void unknown_name(story_state_t *s) {
  strcpy(find(s, "eigenspace.train.4")->name, "eigenspace.train.7");
}

TEST(damaged_state) {
  check_refused("eigenspace.k", no_table);
  check_refused("eigenspace.k", table_type);
  check_refused("eigenspace.k", table_shape);
  check_refused("eigenspace.k", k_beyond_width);
  check_refused("eigenspace.k", k_unknown);
  check_refused("eigenspace.k", half_an_epoch);
  check_refused("eigenspace.train.4", another_k);
  check_refused("eigenspace.eval.2", epoch_never_committed);
  check_refused("eigenspace.eval.2", no_vectors);
  check_refused("eigenspace.eval.2", vectors_twice);
  check_refused("eigenspace.eval.2", vectors_type);
  check_refused("eigenspace.train.4", vectors_cut);
  check_refused("eigenspace.train.7", unknown_name);
}

TEST(refused) {
  static story_t story;
  static double rows[STORY_WIDEST * STORY_WIDEST];
  const int32_t too_many[STORY_DELTAS] = {1, 6, 2}, k[STORY_DELTAS] = {1, 3, 2};
  es_eigenspaces_t *s = open_tracker();
  assert_int_equal(es_eigenspaces_put(s, 1, too_many, rows, 9, fresh()), ES_BUG); /* wider than the layer */
  assert_int_equal(es_eigenspaces_put(s, 1, k, rows, 2, fresh()), ES_BUG);        /* fewer vectors than k */
  assert_int_equal(es_eigenspaces_commit(s, ES_EVAL, 0, &said), ES_BUG);          /* a failed put is remembered */
  es_eigenspaces_destroy(s);
  s = open_tracker();
  run(&story, s, 0, 0);
  assert_ok(es_eigenspaces_put(s, 1, k, rows, 5, fresh())); /* zeros */
  assert_int_equal(es_eigenspaces_commit(s, ES_EVAL, 1, fresh()), ES_NUMERIC);
  es_eigenspaces_destroy(s);
}

TEST(bytes) {
  const int32_t widths[] = {100, 10};
  es_eigenspaces_plan_t plan = {.widths = widths, .n_layers = 2, .measured = 7, .share = 0.5, .ranks = 1};
  const int64_t vectors = 4 * (50 * 100 + 5 * 10), scratch = 8 * (2 * 50 * 100 + 50 * 50 + 2 * 50);
  assert_int_equal(es_eigenspaces_bytes(&plan), 8 * vectors + scratch);
  plan.ranks = 2;
  assert_int_equal(es_eigenspaces_bytes(&plan), 7 * vectors + vectors / 2 + scratch);
}
