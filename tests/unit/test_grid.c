/* The grid: order, ids, resolved jobs, selections. */
#include "eigenscope/clock.h"
#include "eigenscope/file.h"
#include "eigenscope/random.h"
#include "unit/jobs.h"
#include <stdio.h>
#include <stdlib.h>

/* The id of the only point of a job: a name, followed by `rest`. */
static void only_id(const char *rest, char out[ES_ID_SIZE]) {
  char text[1024];
  es_point_t point;
  snprintf(text, sizeof text, "name: x\n%s", rest);
  only_point(text, &point, out);
}

TEST(order) {
  job_grid_t g =
      grid_open("name: x\n"
                "grid:\n  seed: [5, 6]\n  dataset: fashion-mnist\n  model: [vgg11, vgg13]\n  width: [1/4, 1/2, 1]\n");
  assert_int_equal(es_grid_count(g.grid), 12);
  static const char *const widths[] = {"1/4", "1/2", "1"};
  for (int i = 0; i < 12; i++) {
    es_point_t p;
    es_grid_point(g.grid, i, &p);
    assert_string_equal(es_point_axis(&p, "width"), widths[i % 3]);
    assert_string_equal(es_point_axis(&p, "model"), i / 3 % 2 == 0 ? "vgg11" : "vgg13");
    assert_string_equal(es_point_axis(&p, "seed"), i / 6 == 0 ? "5" : "6");
    assert_string_equal(es_point_axis(&p, "colour"), "");
    char id[ES_ID_SIZE];
    es_point_id(&p, id);
    assert_string_equal(id, es_grid_id(g.grid, i));
    assert_int_equal(strspn(id, "0123456789abcdef"), 16);
    for (int k = 0; k < i; k++) assert_string_not_equal(id, es_grid_id(g.grid, k));
  }
  grid_close(&g);
}

TEST(union_without_repetitions) {
  job_grid_t g = grid_open("name: x\n"
                           "grid:\n"
                           "- {dataset: fashion-mnist, model: vgg11, width: [1/4, 1/2], seed: [0, 1]}\n"
                           "- {dataset: fashion-mnist, model: vgg11, seed: [0, 1, 2], width: [1/2, 1]}\n"
                           "- {dataset: fashion-mnist, model: vgg11, width: 1/2}\n");
  /* 4, then 4 of 6, because two (width 1/2, seeds 0 and 1) exist already; the third block adds none. */
  assert_int_equal(es_grid_count(g.grid), 8);
  static const char *const seeds[] = {"0", "1", "0", "1", "0", "1", "2", "2"};
  static const char *const widths[] = {"1/4", "1/4", "1/2", "1/2", "1", "1", "1/2", "1"};
  for (int i = 0; i < 8; i++) {
    es_point_t p;
    es_grid_point(g.grid, i, &p);
    assert_string_equal(es_point_axis(&p, "seed"), seeds[i]);
    assert_string_equal(es_point_axis(&p, "width"), widths[i]);
  }
  grid_close(&g);
}

/* Result files of earlier versions are named by ids: another id means that stored results are computed again. */
TEST(ids_stay) {
  char id[ES_ID_SIZE];
  only_id("grid: {dataset: fashion-mnist, model: vgg11}\n", id);
  assert_string_equal(id, "7b69be8db4037ab1");
  only_id("grid: {dataset: shapes, model: late, width: 1/4, classes: 3, resolution: 16, seed: 7}\n"
          "models: {late: {vgg: [8, M, 16, A], head: torchvision}}\n"
          "datasets: {shapes: {format: synthetic, fit: pad, limit: {train: 10, eval: 5},\n"
          "  normalize: {mean: 0.5, std: 0.25}}}\n"
          "train: {epochs: 2, batch: 10, optimizer: adam, learning_rate: 0.001, beta1: 0.8, schedule: cosine,\n"
          "  augment: [crop], lanes: 4, weight_decay: 0}\n"
          "measure: {every: 2, delta: [0.5, 0.9], splits: [eval], convention: pca-layer, layers: [features.*]}\n",
          id); /* `delve` was the word of this convention before `delve` became delve's own count */
  assert_string_equal(id, "11d5d785ab2ec98a");
  only_id("grid: {dataset: fashion-mnist, model: vgg11}\n"
          "probe: {epochs: [1, 5], pool: 2, l2: 0.5, samples: 1000, tail: 0.02}\n",
          id);
  assert_string_equal(id, "ee16b180e185e704"); /* since before probe.gap */
}

/* The ids of 6912 points, as the program computed them before it had train.precision. Adam has no momentum. */
TEST(many_ids_stay) {
  uint64_t hash = 0;
  job_grid_t g =
      grid_open("name: x\n"
                "grid:\n  dataset: [fashion-mnist, s]\n  model: [vgg11, mlp, resnet18, late]\n  width: [1/8, 1/4, 1]\n"
                "  classes: [2, 5]\n  resolution: [32, 40]\n  seed: [0, 1, 2]\n  train.learning_rate: [0.1, 0.01]\n"
                "  train.lanes: [4, 8]\n  train.momentum: [0.9, 0.8]\n  train.optimizer: [sgd, adam]\n"
                "  measure.convention: [smallest, delve]\n"
                "models: {late: {vgg: [64, M, 64], head: torchvision}}\n"
                "datasets: {s: {format: synthetic, train: 100}}\ntrain: {epochs: 3}\n");
  assert_int_equal(es_grid_count(g.grid), 6912);
  for (int64_t i = 0; i < es_grid_count(g.grid); i++) hash = es_hash(es_grid_id(g.grid, i), 16, hash);
  assert_true(hash == 0x1a3d6ff392c82aac);
  grid_close(&g);
}

#define SAME(a, b)                                                                                                     \
  do {                                                                                                                 \
    char x[ES_ID_SIZE], y[ES_ID_SIZE];                                                                                 \
    only_id(a, x), only_id(b, y);                                                                                      \
    assert_string_equal(x, y);                                                                                         \
  } while (0)
#define GRID "grid: {dataset: fashion-mnist, model: vgg11}\n"

TEST(id_leaves_out_what_changes_no_numbers) {
  SAME(GRID, "output: elsewhere\n" GRID "checkpoint: {every: 3, keep: all}\nprobe: {pool: 2}\n");
  SAME(GRID, GRID "train: {epochs: 20, learning_rate: 1.0e-1, schedule: none}\nmeasure: {delta: 0.990}\n");
  SAME(GRID, "grid: {seed: 0, model: vgg11, classes: all, dataset: fashion-mnist, width: 16/16}\n");
  SAME(GRID "train: {learning_rate: 0.2}\n",
       "grid: {dataset: fashion-mnist, model: vgg11, train.learning_rate: 0.2}\n");
  SAME(GRID, GRID "train: {beta1: 0.5, epsilon: 1}\n");
  SAME(GRID, GRID "train: {precision: float32}\n");
  SAME(GRID, GRID "train: {nesterov: false, label_smoothing: 0, clip_norm: none, warmup: 0, warmup_start: 0.5}\n");
  SAME(GRID "train: {optimizer: adamw}\n", GRID "train: {optimizer: adamw, nesterov: true, momentum: 0}\n");
  SAME(GRID "train: {augment: [erase, resized_crop]}\n",
       GRID "train: {augment: [{resized_crop: {scale: [0.08, 1]}}, {erase: {probability: 0.5}}]}\n");
  SAME(GRID "train: {precision: bfloat16}\n",
       "grid: {dataset: fashion-mnist, model: vgg11, train.precision: bfloat16}\n");
  SAME(GRID "train: {optimizer: adam}\n", GRID "train: {optimizer: adam, momentum: 0}\n");
  SAME(GRID, "grid: {dataset: fashion-mnist, model: mine}\n"
             "models: {mine: {vgg: [64, M, 128, M, 256, 256, M, 512, 512, M, 512, 512, M]}}\n");
  SAME("grid: {dataset: fashion-mnist, model: resnet18}\n",
       "grid: {dataset: fashion-mnist, model: r}\nmodels: {r: {resnet: [2, 2, 2, 2], stem: cifar, skip: true}}\n");
  SAME(GRID, GRID "datasets: {fashion-mnist: {format: idx, path: /elsewhere}}\n");
  SAME(GRID, GRID "probe: {gap: 0.1}\n");
  SAME(GRID "probe: {epochs: all}\n", GRID "probe: {epochs: all, gap: 1e-6}\n");
  SAME(GRID "probe: {epochs: all, gap: 1e-4}\n",
       "grid: {dataset: fashion-mnist, model: vgg11, probe.gap: 0.0001}\nprobe: {epochs: all}\n");
  SAME("grid: {dataset: a, model: vgg11}\ndatasets: {a: {format: synthetic}}\n",
       "grid: {dataset: b, model: vgg11}\ndatasets: {b: {format: synthetic, size: 32}}\n");
}

TEST(id_changes_with_what_does) {
  static const char *const changes[] = {
      "grid: {dataset: fashion-mnist, model: vgg13}\n",
      "grid: {dataset: fashion-mnist, model: mlp}\n",
      "grid: {dataset: fashion-mnist, model: vgg11, width: 1/2}\n",
      "grid: {dataset: fashion-mnist, model: vgg11, classes: 10}\n",
      "grid: {dataset: fashion-mnist, model: vgg11, resolution: 28}\n",
      "grid: {dataset: fashion-mnist, model: vgg11, seed: 1}\n",
      "grid: {dataset: mnist, model: vgg11}\ndatasets: {mnist: {format: idx, path: x}}\n",
      "grid: {dataset: fashion-mnist, model: tv}\nmodels: {tv: {vgg: vgg11, head: torchvision}}\n",
      "grid: {dataset: fashion-mnist, model: plain}\nmodels: {plain: {vgg: vgg11, batch_norm: false}}\n",
      "grid: {dataset: fashion-mnist, model: resnet18}\n",
      "grid: {dataset: fashion-mnist, model: resnet34}\n",
      "grid: {dataset: fashion-mnist, model: resnet50}\n", /* as many blocks as resnet34 */
      "grid: {dataset: fashion-mnist, model: mobilenet_v2}\n",
      "grid: {dataset: fashion-mnist, model: r}\nmodels: {r: {resnet: 18, skip: false}}\n",
      "grid: {dataset: fashion-mnist, model: r}\nmodels: {r: {resnet: 18, stem: imagenet}}\n",
      "grid: {dataset: fashion-mnist, model: r}\nmodels: {r: {resnet: 18, stem: imagenet, skip: false}}\n",
      "grid: {dataset: fashion-mnist, model: r}\nmodels: {r: {resnet: [2, 2, 2]}}\n",
      GRID "datasets: {fashion-mnist: {format: idx, path: x, fit: pad}}\n",
      GRID "datasets: {fashion-mnist: {format: idx, path: x, limit: {train: 10}}}\n",
      GRID "datasets: {fashion-mnist: {format: idx, path: x, limit: {eval: 10}}}\n",
      GRID "datasets: {fashion-mnist: {format: idx, path: x, normalize: {mean: 0, std: 1}}}\n",
      GRID "datasets: {fashion-mnist: {format: idx, path: x, normalize: {mean: 1, std: 0.5}}}\n",
      "grid: {dataset: s, model: vgg11}\ndatasets: {s: {format: synthetic}}\n",
      "grid: {dataset: s, model: vgg11}\ndatasets: {s: {format: synthetic, classes: 3}}\n",
      "grid: {dataset: s, model: vgg11}\ndatasets: {s: {format: synthetic, complexity: 3}}\n",
      "grid: {dataset: s, model: vgg11}\ndatasets: {s: {format: synthetic, channels: 1}}\n",
      "grid: {dataset: s, model: vgg11}\ndatasets: {s: {format: synthetic, train: 100}}\n",
      "grid: {dataset: s, model: vgg11}\ndatasets: {s: {format: synthetic, eval: 100}}\n",
      "grid: {dataset: s, model: vgg11}\ndatasets: {s: {format: synthetic, seed: 1}}\n",
      GRID "train: {epochs: 3}\n",
      GRID "train: {batch: 3}\n",
      GRID "train: {optimizer: adam}\n",
      GRID "train: {optimizer: adam, beta1: 0.5}\n",
      GRID "train: {learning_rate: 0.3}\n",
      GRID "train: {momentum: 0.3}\n",
      GRID "train: {weight_decay: 0.3}\n",
      GRID "train: {schedule: cosine}\n",
      GRID "train: {schedule: {step: 1}}\n",
      GRID "train: {schedule: {step: 1, gamma: 0.5}}\n",
      GRID "train: {schedule: {milestones: [1]}}\n",
      GRID "train: {schedule: {milestones: [1, 7]}}\n",
      GRID "train: {schedule: {plateau: 1}}\n",
      GRID "train: {schedule: {plateau: 1, monitor: accuracy}}\n",
      GRID "train: {schedule: {plateau: 1, least: 0.1}}\n",
      GRID "train: {optimizer: adamw}\n",
      GRID "train: {optimizer: radam}\n",
      GRID "train: {optimizer: radam, beta1: 0.5}\n",
      GRID "train: {learning_rate: 0}\n",
      GRID "train: {nesterov: true}\n",
      GRID "train: {label_smoothing: 0.1}\n",
      GRID "train: {clip_norm: 1}\n",
      GRID "train: {warmup: 2}\n",
      GRID "train: {warmup: 2, warmup_start: 0.5}\n",
      GRID "train: {augment: place}\n",
      GRID "train: {augment: resized_crop}\n",
      GRID "train: {augment: [{resized_crop: {scale: [0.5, 1]}}]}\n",
      GRID "train: {augment: erase}\n",
      GRID "train: {augment: [{erase: {probability: 0.1}}]}\n",
      GRID "train: {augment: cutout}\n",
      GRID "train: {augment: [{cutout: {size: 16}}]}\n",
      GRID "datasets: {fashion-mnist: {format: idx, path: x, fit: place}}\n",
      GRID "train: {augment: crop}\n",
      GRID "train: {augment: flip}\n",
      GRID "train: {lanes: 4}\n",
      GRID "train: {precision: bfloat16}\n",
      GRID "measure: {every: 2}\n",
      GRID "measure: {delta: [0.9, 0.99]}\n",
      GRID "measure: {splits: eval}\n",
      GRID "measure: {convention: delve}\n",
      GRID "measure: {convention: pca-layer}\n",
      GRID "measure: {method: median}\n",
      GRID "measure: {layers: features.*}\n",
      GRID "probe: {epochs: last}\n",
      GRID "probe: {epochs: last, gap: 1e-4}\n",
  };
  enum { N = sizeof changes / sizeof *changes };
  char ids[N + 1][ES_ID_SIZE];
  only_id(GRID, ids[N]);
  for (int i = 0; i < N; i++) {
    only_id(changes[i], ids[i]);
    assert_string_not_equal(ids[i], ids[N]);
    for (int k = 0; k < i; k++) {
      if (strcmp(ids[i], ids[k]) == 0) fail_msg("the same id for\n%sand\n%s", changes[i], changes[k]);
    }
  }
}

/* es_point_bind replaces `all`, which does not change the id. */
TEST(id_of_a_bound_point) {
  job_grid_t g = grid_open("name: x\n" GRID);
  es_point_t p;
  char id[ES_ID_SIZE];
  es_grid_point(g.grid, 0, &p);
  p.classes = 10;
  es_point_id(&p, id);
  assert_string_equal(id, es_grid_id(g.grid, 0));
  grid_close(&g);
}

static const char *pick(uint32_t *word, const char *const *choices, uint32_t n) {
  const char *choice = choices[*word % n];
  *word /= n;
  return choice;
}
#define PICK(word, ...)                                                                                                \
  pick(word, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* A job of one point with settings drawn at random. */
static void random_job(uint32_t round, es_text_t *out) {
  uint32_t w[4];
  es_random_block(1, ES_RANDOM_TEST, round, 0, w);
  es_text_append(out, "name: \"a \\\"b\\\": # $x\"\ngrid:\n");
  es_text_append(out, "  seed: %s\n", PICK(&w[0], "0", "17", "9223372036854775807"));
  es_text_append(out, "  dataset: %s\n", PICK(&w[0], "fashion-mnist", "shapes", "on-disk", "\"123\""));
  es_text_append(out, "  model: %s\n",
                 PICK(&w[0], "vgg16", "mlp", "late", "dense", "\"1e3\"", "resnet18", "deep", "few", "mobile"));
  es_text_append(out, "  width: %s\n", PICK(&w[0], "1", "1/16", "0.3", "7/3", "16"));
  es_text_append(out, "  classes: %s\n", PICK(&w[0], "all", "2", "1024"));
  es_text_append(out, "  %s\n", PICK(&w[0], "resolution: 8", "resolution: 33", "train.beta2: 0.5", "train.lanes: 2"));
  es_text_append(out, "  %s\n",
                 PICK(&w[1], "train.learning_rate: 1.0e-7", "train.optimizer: radam", "train.schedule: cosine",
                      "measure.convention: delve", "train.weight_decay: 0.1"));
  es_text_append(out,
                 "models:\n  late: {vgg: [7, M, 9, A], head: %s}\n  dense: {mlp: [1, 65536]}\n  1e3: {vgg: vgg13}\n",
                 PICK(&w[1], "authors", "torchvision"));
  es_text_append(out, "  deep: {resnet: %s, stem: %s}\n", PICK(&w[3], "18", "34", "50"),
                 PICK(&w[3], "cifar", "imagenet"));
  es_text_append(out, "  few: {resnet: [%s], skip: %s}\n", PICK(&w[3], "1", "2, 2, 2, 2", "1, 64, 3, 3, 3, 3"),
                 PICK(&w[3], "true", "false"));
  es_text_append(out, "  mobile: {mobilenet: v2, stem: %s}\n", PICK(&w[3], "cifar", "imagenet"));
  es_text_append(out, "datasets:\n  shapes: {format: synthetic, classes: %s, channels: %s, seed: 4%s}\n",
                 PICK(&w[1], "2", "1000"), PICK(&w[1], "1", "3"), PICK(&w[1], "", ", limit: {eval: 3}"));
  es_text_append(out, "  on-disk: {format: idx, path: %s, fit: %s, normalize: %s}\n",
                 PICK(&w[1], "a b", "/x/$$y", "\"q\\\"\\\\\""), PICK(&w[1], "pad", "resize", "place"),
                 PICK(&w[1], "train", "{mean: [0.1, 0.2, 0.3], std: 3.3333333333333335}"));
  es_text_append(out, "  123: {format: idx, path: z, limit: {train: 100, eval: 2147483647}}\n");
  es_text_append(out, "train: {epochs: %s, momentum: %s, augment: %s, batch: %s}\n", PICK(&w[2], "1", "100000"),
                 PICK(&w[2], "0", "0.1", "0.9999999999999999"),
                 PICK(&w[2], "[]", "[flip]", "[flip, crop]",
                      "[cutout, place, {resized_crop: {scale: [0.1, 0.25]}}, {erase: {probability: 0.1}}]",
                      "[resized_crop, erase, {cutout: {size: 3}}]"),
                 PICK(&w[2], "1", "65536"));
  es_text_append(out, "measure: {every: %s, delta: %s, splits: %s, layers: %s}\n", PICK(&w[2], "1", "3"),
                 PICK(&w[2], "0.99", "[0.001, 0.3333333333333333, 1]"), PICK(&w[2], "train", "eval", "[eval, train]"),
                 PICK(&w[2], "\"*\"", "[features.*, \"a?-_\"]"));
  es_text_append(out, "checkpoint: {every: %s, keep: %s}\n", PICK(&w[3], "1", "50"),
                 PICK(&w[3], "none", "last", "all"));
}

static void clear_lines(es_point_t *p) {
  p->dataset.line = p->line_model = p->line_width = p->line_classes = p->line_resolution = 0;
}

/* A resolved job gives exactly the original point: every member except line numbers. */
TEST(description_makes_the_same_point) {
  for (uint32_t round = 0; round < 500; round++) {
    es_text_t text = {0}, description = {0}, again_description = {0};
    random_job(round, &text);
    job_grid_t g = grid_open(es_text_get(&text));
    assert_int_equal(es_grid_count(g.grid), 1);
    es_point_t p, q;
    memset(&p, 0, sizeof p);
    memset(&q, 0, sizeof q);
    es_grid_point(g.grid, 0, &p);
    es_point_describe(&p, es_job_name(g.job), &description);
    assert_false(description.failed);
    job_grid_t again = grid_open(es_text_get(&description));
    assert_int_equal(es_grid_count(again.grid), 1);
    assert_string_equal(es_grid_id(again.grid, 0), es_grid_id(g.grid, 0));
    assert_string_equal(es_job_name(again.job), es_job_name(g.job));
    es_grid_point(again.grid, 0, &q);
    clear_lines(&p);
    clear_lines(&q);
    es_point_describe(&q, es_job_name(again.job), &again_description);
    assert_string_equal(es_text_get(&description), es_text_get(&again_description));
    assert_memory_equal(p.axes, q.axes, sizeof p.axes);
    assert_memory_equal(&p.measure, &q.measure, sizeof p.measure);
    assert_string_equal(p.dataset.path, q.dataset.path);
    assert_memory_equal(p.dataset.mean, q.dataset.mean, sizeof p.dataset.mean);
    assert_memory_equal(p.dataset.deviation, q.dataset.deviation, sizeof p.dataset.deviation);
    grid_close(&again);
    grid_close(&g);
    es_text_destroy(&again_description);
    es_text_destroy(&description);
    es_text_destroy(&text);
  }
}

/* Resolves the job and reads the text again from another folder. */
static job_grid_t resolve(const job_grid_t *g, es_text_t *text) {
  job_grid_t again = {0};
  es_job_print_origin(g->job, (const char *const[]){"train.epochs=2"}, 1, text);
  es_grid_resolve(g->grid, g->job, "/results/x", text);
  assert_false(text->failed);
  assert_ok(es_job_parse(&again.job, es_text_get(text), text->length, "/slurm/job-1.yaml", NULL, 0, fresh()));
  assert_ok(es_grid_create(&again.grid, again.job, fresh()));
  return again;
}

/* A resolved job defines the same points, in the same order, with the lines of the job file; resolving it once more
 * changes nothing. */
TEST(resolved_job_is_the_same_job) {
  static const char settings[] = "name: x\n"
                                 "datasets:\n"
                                 "  b: {format: synthetic, size: 8}\n"
                                 "  a: {format: idx, path: some $$folder}\n"
                                 "grid:\n"
                                 "- dataset: [a,\n    b]\n"
                                 "  model:\n    - vgg11\n    - mlp\n    - vgg13\n"
                                 "  width: [1/8]\n"
                                 "  train.learning_rate: [0.1, 0.01]\n"
                                 "- {dataset: a, model: mlp, classes: [2, 3], train.learning_rate: 0.5, seed: 4}\n"
                                 "measure: {every: 3}\n";
  for (uint32_t round = 0; round < 200; round++) {
    es_text_t text = {0}, resolved = {0}, once_more = {0};
    if (round == 0)
      es_text_append(&text, "%s", settings);
    else
      random_job(round, &text);
    job_grid_t g = grid_open(es_text_get(&text)), again = resolve(&g, &resolved);
    assert_string_equal(es_job_path(again.job), "/jobs/job.yaml");
    assert_string_equal(es_job_output(again.job), "/results/x");
    assert_int_equal(es_grid_count(again.grid), es_grid_count(g.grid));
    for (int64_t i = 0; i < es_grid_count(g.grid); i++) {
      es_point_t p, q;
      assert_string_equal(es_grid_id(again.grid, i), es_grid_id(g.grid, i));
      es_grid_point(g.grid, i, &p);
      es_grid_point(again.grid, i, &q);
      assert_string_equal(p.dataset.path, q.dataset.path);
      assert_int_equal(p.dataset.line, q.dataset.line);
      assert_int_equal(p.line_model, q.line_model);
      assert_int_equal(p.line_classes, q.line_classes);
    }
    es_job_print_origin(again.job, NULL, 0, &once_more);
    es_grid_resolve(again.grid, again.job, "/results/x", &once_more);
    assert_string_equal(es_text_get(&once_more), es_text_get(&resolved));
    grid_close(&again);
    grid_close(&g);
    es_text_destroy(&once_more);
    es_text_destroy(&resolved);
    es_text_destroy(&text);
  }
}

/* A bound point describes itself with `all`, and so does the point made from that description. */
TEST(description_of_a_bound_point) {
  job_grid_t g = grid_open("name: x\n" GRID);
  es_point_t p;
  es_grid_point(g.grid, 0, &p);
  p.classes = 10;
  es_text_t text = {0};
  es_point_describe(&p, "x", &text);
  assert_non_null(strstr(es_text_get(&text), "\n  classes: all\n"));
  es_text_destroy(&text);
  grid_close(&g);
}

/* 10 × 10 × 1000 points: time and memory of a grid do not depend on the size of a point. */
TEST(large_grid) {
  es_text_t text = {0};
  es_text_append(&text, "name: x\ngrid:\n  dataset: fashion-mnist\n  model: [vgg11, vgg13, vgg16, vgg19, mlp]\n"
                        "  width: [1/16, 1/8, 1/4, 1/2, 1]\n  train.learning_rate: [0.1, 0.2, 0.3, 0.4]\n  seed: [0");
  for (int i = 1; i < 1000; i++) es_text_append(&text, ", %d", i);
  es_text_append(&text, "]\n");
  const double start = es_clock();
  job_grid_t g = grid_open(es_text_get(&text));
  const double seconds = es_clock() - start;
  assert_int_equal(es_grid_count(g.grid), 100000);
  es_point_t p;
  es_grid_point(g.grid, 99999, &p);
  assert_string_equal(p.model.name, "mlp");
  assert_int_equal(p.seed, 999);
  if (seconds > 60) fail_msg("100,000 points took %.1f s; about half a second is usual", seconds);
  print_message("100,000 points: %.2f s\n", seconds);
  grid_close(&g);
  es_text_destroy(&text);
}

TEST(too_large_grid) {
  es_text_t text = {0};
  es_text_append(&text, "name: x\ngrid:\n  dataset: fashion-mnist\n  model: vgg11\n  train.epochs: [1");
  for (int i = 2; i <= 1001; i++) es_text_append(&text, ", %d", i);
  es_text_append(&text, "]\n  seed: [0");
  for (int i = 1; i < 1000; i++) es_text_append(&text, ", %d", i);
  es_text_append(&text, "]\n");
  es_job_t *job = parse(es_text_get(&text));
  es_grid_t *grid = NULL;
  assert_fails(es_grid_create(&grid, job, fresh()), ES_INPUT,
               "/jobs/job.yaml:6: the grid has more than 1000000 points; divide it into several jobs");
  assert_null(grid);
  es_job_destroy(job);
  es_text_destroy(&text);
}

static void check_selection(const char *text, int64_t count, const char *printed) {
  es_selection_t selection;
  es_text_t out = {0};
  assert_ok(es_selection_parse(&selection, text, count, fresh()));
  for (int64_t i = 1; i < selection.n; i++) assert_true(selection.index[i] > selection.index[i - 1]);
  es_selection_print(&selection, &out);
  assert_string_equal(es_text_get(&out), printed);
  es_text_destroy(&out);
  es_selection_destroy(&selection);
}

static void refuse_selection(const char *text, const char *message) {
  es_selection_t selection;
  assert_fails(es_selection_parse(&selection, text, 10, fresh()), ES_INPUT, message);
}

TEST(selection) {
  check_selection(NULL, 10, "0-9");
  check_selection("0-9", 10, "0-9");
  check_selection("7", 10, "7");
  check_selection("7,0-3", 10, "0-3,7");
  check_selection("1,2,3,5,5,4-6,9", 10, "1-6,9");
  check_selection("0,2,4", 10, "0,2,4");
  check_selection("0-1", 2, "0-1");
  refuse_selection("", "--points is empty; write indices as in 0-3,7");
  refuse_selection("10", "--points 10: point 10 does not exist; the grid has the points 0-9");
  refuse_selection("3-1", "--points 3-1: the range 3-1 ends before it begins");
  refuse_selection("1,", "--points 1,: write indices and ranges as in 0-3,7");
  refuse_selection(",1", "--points ,1: write indices and ranges as in 0-3,7");
  refuse_selection("1--2", "--points 1--2: write indices and ranges as in 0-3,7");
  refuse_selection("-1", "--points -1: write indices and ranges as in 0-3,7");
  refuse_selection("1 2", "--points 1 2: write indices and ranges as in 0-3,7");
  refuse_selection("a", "--points a: write indices and ranges as in 0-3,7");
  refuse_selection("99999999999999999999", "--points 99999999999999999999: write indices and ranges as in 0-3,7");
}

/* The shares of all tasks cover all points, and their costs are similar. */
TEST(tasks) {
  enum { N = 10 };
  static const double cost[N] = {1, 8, 3, 9, 2, 7, 5, 5, 4, 6};
  bool seen[N] = {false};
  double least = 1e9, most = 0;
  for (int share = 0; share < 3; share++) {
    char task[16];
    snprintf(task, sizeof task, "%d/3", share);
    es_selection_t selection;
    assert_ok(es_selection_parse(&selection, NULL, N, fresh()));
    assert_ok(es_selection_task(&selection, task, cost, fresh()));
    double sum = 0;
    for (int64_t i = 0; i < selection.n; i++) {
      assert_false(seen[selection.index[i]]);
      assert_true(i == 0 || selection.index[i] > selection.index[i - 1]);
      seen[selection.index[i]] = true;
      sum += cost[selection.index[i]];
    }
    least = sum < least ? sum : least;
    most = sum > most ? sum : most;
    es_selection_destroy(&selection);
  }
  for (int i = 0; i < N; i++) assert_true(seen[i]);
  assert_true(most - least <= 9);
}

TEST(more_tasks_than_points) {
  static const double cost[2] = {1, 2};
  es_selection_t selection;
  assert_ok(es_selection_parse(&selection, NULL, 2, fresh()));
  assert_ok(es_selection_task(&selection, "5/8", cost, fresh()));
  assert_int_equal(selection.n, 0);
  es_selection_destroy(&selection);
}

TEST(bad_tasks) {
  static const char *const bad[][2] = {
      {"", "--task : write I/N, as in 0/4 for the first of four"},
      {"1", "--task 1: write I/N, as in 0/4 for the first of four"},
      {"1/", "--task 1/: write I/N, as in 0/4 for the first of four"},
      {"/2", "--task /2: write I/N, as in 0/4 for the first of four"},
      {"-1/2", "--task -1/2: write I/N, as in 0/4 for the first of four"},
      {"1/2x", "--task 1/2x: write I/N, as in 0/4 for the first of four"},
      {"2/2", "--task 2/2: I must be below N, because tasks are counted from 0"},
      {"0/0", "--task 0/0: I must be below N, because tasks are counted from 0"},
  };
  static const double cost[3] = {1, 2, 3};
  es_selection_t selection;
  assert_ok(es_selection_parse(&selection, NULL, 3, fresh()));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_fails(es_selection_task(&selection, bad[i][0], cost, fresh()), ES_INPUT, bad[i][1]);
    assert_int_equal(selection.n, 3);
  }
  es_selection_destroy(&selection);
}
