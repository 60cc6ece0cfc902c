/* Eigenspaces with layers on several ranks: bits equal those of one rank, states can be resumed on other numbers of
 * ranks, and all ranks return from failures.
 * ranks: 1 2 3 5 */
#include "support/eigenspace_story.h"
#include "support/mpi.h"

static const es_group_t alone = {.comm = MPI_COMM_NULL, .size = 1};
static const int mine[STORY_LAYERS] = {0};
static story_t expected; /* on one rank, without interruption */

/* Layers assigned in turn; all on one rank, the first or the last; mixed. */
enum { SPREADS = 4 };
static const int *spread(int way) {
  static int owners[STORY_LAYERS];
  for (int i = 0; i < STORY_LAYERS; i++) {
    const int ways[SPREADS] = {(3 * i + 1) % size, 0, size - 1, i % 2 ? size - 1 : 0};
    owners[i] = ways[way];
  }
  return owners;
}

static void check_story(const story_t *story) {
  CHECK(memcmp(story, &expected, sizeof expected) == 0);
}

static void check_spread(const es_group_t *group, const int *owners) {
  static story_t story;
  es_eigenspaces_t *s;
  es_status_t status = {0};
  memset(&story, 0, sizeof story);
  CHECK(story_create(&s, group, owners) == ES_OK);
  CHECK(story_run(&story, s, group, owners, 0, 6, &status) == ES_OK);
  CHECK(story_end(&story, s, &status) == ES_OK);
  CHECK(es_eigenspaces_last(s, ES_TRAIN) == 6 && es_eigenspaces_has(s, ES_EVAL, 4));
  es_eigenspaces_destroy(s);
  check_story(&story);
}

static bool same_tensors(const story_state_t *a, const story_state_t *b) {
  bool same = a->n == b->n;
  for (int i = 0; same && i < a->n; i++)
    same = strcmp(a->tensors[i].name, b->tensors[i].name) == 0 &&
           memcmp(a->copies[i], b->copies[i], (size_t)story_size(&a->tensors[i])) == 0;
  return same;
}

/* Runs until epoch `stop` on one group, and saves the state. */
static void write_state(story_state_t *saved, story_t *story, const es_group_t *group, const int *owners,
                        int32_t stop) {
  es_eigenspaces_t *s;
  es_status_t status = {0};
  memset(story, 0, sizeof *story);
  CHECK(story_create(&s, group, owners) == ES_OK);
  CHECK(story_run(story, s, group, owners, 0, stop, &status) == ES_OK);
  CHECK(story_save(saved, s));
  CHECK((saved->n > 0) == (group->rank == 0));
  es_eigenspaces_destroy(s);
}

/* Resumes the state on another group and runs to the end. */
static void go_on(story_state_t *saved, story_t *story, const es_group_t *group, const int *owners, int32_t stop) {
  es_eigenspaces_t *s;
  es_status_t status = {0};
  story_state_t again;
  CHECK(story_create(&s, group, owners) == ES_OK);
  CHECK(story_resume(s, group, saved, &status) == ES_OK);
  CHECK(story_save(&again, s));
  CHECK(group->rank != 0 || same_tensors(saved, &again));
  CHECK(story_run(story, s, group, owners, stop + 1, 6, &status) == ES_OK);
  CHECK(story_end(story, s, &status) == ES_OK);
  check_story(story);
  es_eigenspaces_destroy(s);
  story_state_free(&again);
}

static void check_moves(const es_group_t *group, int way, int32_t stop) {
  static story_t story;
  story_state_t saved, by_one;
  int owners[STORY_LAYERS];
  memcpy(owners, spread(way), sizeof owners);
  write_state(&by_one, &story, &alone, mine, stop);
  go_on(&by_one, &story, group, owners, stop);
  write_state(&saved, &story, group, owners, stop);
  CHECK(rank != 0 || same_tensors(&saved, &by_one));
  go_on(&saved, &story, group, spread((way + 1) % SPREADS), stop);
  if (rank == 0) go_on(&saved, &story, &alone, mine, stop);
  story_state_free(&saved);
  story_state_free(&by_one);
}

/* One rank fails in put, in compute, or in read: all ranks return and know the reason. */
static void check_failures(const es_group_t *group) {
  static story_t story;
  const int *owners = spread(0);
  for (int bad = 0; bad < STORY_LAYERS; bad++) {
    es_eigenspaces_t *s;
    es_status_t status = {0};
    double rows[3 * STORY_WIDEST] = {0};
    const int32_t one[STORY_DELTAS] = {1, 1, 1}, many[STORY_DELTAS] = {1, 1, 2};
    CHECK(story_create(&s, group, owners) == ES_OK);
    if (owners[bad] == rank) es_eigenspaces_put(s, bad, many, rows, 1, &status);
    CHECK(es_eigenspaces_commit(s, ES_EVAL, 0, &status) == ES_BUG);
    CHECK(status.code == ES_BUG && status.rank == owners[bad]);
    es_eigenspaces_destroy(s);
    status = (es_status_t){0};
    CHECK(story_create(&s, group, owners) == ES_OK);
    CHECK(story_run(&story, s, group, owners, 0, 0, &status) == ES_OK);
    if (owners[bad] == rank) CHECK(es_eigenspaces_put(s, bad, one, rows, 1, &status) == ES_OK); /* not of length 1 */
    CHECK(es_eigenspaces_commit(s, ES_EVAL, 1, &status) == ES_NUMERIC);
    CHECK(status.rank == owners[bad] && strstr(status.message, "not orthonormal"));
    es_eigenspaces_destroy(s);
  }
  es_eigenspaces_t *s;
  es_status_t status = {0};
  const es_tensor_view_t unknown = {.name = "eigenspace.eval.99", .dtype = ES_F32, .rank = 1};
  CHECK(story_create(&s, group, owners) == ES_OK);
  if (rank == 0) es_eigenspaces_take(s, &unknown, &status);
  CHECK(es_eigenspaces_resume(s, &status) == ES_INPUT && strstr(status.message, "eigenspace.eval.99"));
  es_eigenspaces_destroy(s);
}

static void tell_alone(void) {
  es_eigenspaces_t *s;
  es_status_t status = {0};
  CHECK(story_create(&s, &alone, mine) == ES_OK);
  CHECK(story_run(&expected, s, &alone, mine, 0, 6, &status) == ES_OK);
  CHECK(story_end(&expected, s, &status) == ES_OK);
  es_eigenspaces_destroy(s);
}

TEST(spreads) {
  tell_alone();
  for (int way = 0; way < SPREADS; way++) {
    check_spread(&world, spread(way));
    for (int32_t stop = 0; stop < 6; stop += 2) check_moves(&world, way, stop);
  }
  check_failures(&world);
}
