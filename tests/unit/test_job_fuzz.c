/* No job file may do harm. Seeded mutations of valid jobs are read, or refused with a message that names the position,
 * and leak no memory. Sanitizers check for more if they are built in. */
#include "eigenscope/grid.h"
#include "eigenscope/job.h"
#include "eigenscope/random.h"
#include "support/unit.h"
#include <stdio.h>
#include <string.h>

static const char *const seeds[] = {
    "name: x\noutput: $HOME/y\nsource: train\n"
    "grid:\n  dataset: [fashion-mnist, shapes]\n  model: [vgg11, late]\n  width: [1/16, 0.5]\n  classes: [2, all]\n"
    "  resolution: 32\n  seed: [0, 1]\n  train.learning_rate: [0.1, 1.0e-2]\n"
    "models:\n  late: {vgg: [64, M, 128, A], head: authors}\n  dense: {mlp: [10, 20]}\n"
    "datasets:\n  shapes: {format: synthetic, classes: 3, limit: {train: 5, eval: all}}\n"
    "train: {epochs: 3, schedule: {step: 7, gamma: 0.1}, augment: [crop, flip], lanes: 8}\n"
    "measure: {every: 1, delta: [0.9, 0.99], splits: [train, eval], layers: [\"*\"]}\n"
    "probe: {epochs: none, pool: 4, l2: 1.0}\ncheckpoint: {every: 1, keep: last}\n",
    "{name: y, grid: [{dataset: a, model: mlp}, {dataset: a, model: vgg13, seed: [1, 2]}],\n"
    " datasets: {a: {format: idx, path: ${PATH}/$$x, fit: pad, normalize: {mean: [0.1], std: [1, 2, 3]}}}}\n",
    "name: w\ngrid: {dataset: [c, h], model: mlp, measure.method: [mean, flatten]}\n"
    "datasets:\n  c: {format: cifar100, path: cifar, labels: coarse}\n"
    "  h: {format: hdf5, path: x.h5, variables: {train_images: a/b, eval_labels: \"c d\"}}\n",
    "name: v\ngrid: {dataset: fashion-mnist, model: mlp}\nmeasure: {method: {pool: 3}}\n",
    "name: z\nsource: checkpoint\ngrid: {dataset: fashion-mnist, model: vgg11}\n"
    "checkpoints: {files: \"run/{model}-{width}-{epoch:03}.safetensors\", epochs: [1, 5, 10]}\n",
    "name: u\ngrid: {dataset: fashion-mnist, model: m, model.d: [1, 2], classes: 10}\nmodels:\n m:\n  parameters: {d: "
    "2, e: "
    "0.5}\n  layers:\n  - conv: {name: a, channels: 8 * d, kernel: [3, 1], stride: 2, padding: same, groups: 1, fixed: "
    "true}\n  - repeat: {times: d, layers: [scope: {name: \"b{i+1}\", layers: [residual: {layers: [batch_norm, "
    "dropout: "
    "{rate: e}], shortcut: [tanh]}]}]}\n  - parallel: {join: concat, branches: [[], [slice: {channels: 4, first: 1}], "
    "[relu: "
    "{from: a}]]}\n  - max_pool: {kernel: 2, ceil: true}\n  - tokens\n  - class_token: {tensors: {weight: c}}\n  - "
    "self_attention: {heads: 1}\n  - pick\n  - linear: {features: classes}\n"};

static const char *const pieces[] = {"{",  "}",   "[",  "]",  ":",      ": ",   ",",        "\n",  "\t",      "  ",
                                     "- ", "*a",  "&a", "!!", "$",      "${",   "\"",       "'",   "|",       ">",
                                     "#",  "---", "0",  "-1", "1e308",  "1/0",  "99999999", "all", "\x00",    "\xff",
                                     "~",  "%",   "@",  "?",  "fill: ", "<<: ", "\xc3\xa9", "\\",  "\xef\xbb"};

enum { N_SEEDS = sizeof seeds / sizeof *seeds, N_PIECES = sizeof pieces / sizeof *pieces, TEXT_MAX = 4096 };

/* One edit: inserts a piece, removes bytes, replaces a byte, or repeats a range. */
static size_t mutate(char *text, size_t size, uint32_t kind, uint32_t where, uint32_t what) {
  const size_t at = es_random_below(where, (uint32_t)size + 1);
  if (kind % 4 == 0) {
    const char *piece = pieces[what % N_PIECES];
    const size_t n = piece[0] == '\0' ? 1 : strlen(piece);
    if (size + n > TEXT_MAX) return size;
    memmove(text + at + n, text + at, size - at);
    memcpy(text + at, piece, n);
    return size + n;
  }
  const size_t n = 1 + what % 12;
  if (at + n > size) return size;
  if (kind % 4 == 1) {
    memmove(text + at, text + at + n, size - at - n);
    return size - n;
  }
  if (kind % 4 == 2) {
    text[at] = (char)(what >> 8);
    return size;
  }
  if (size + n > TEXT_MAX) return size;
  memmove(text + at + n, text + at, size - at);
  return size + n;
}

static void check(const char *text, size_t size, const char *set) {
  es_job_t *job = NULL;
  es_grid_t *grid = NULL;
  es_code_t code = es_job_parse(&job, text, size, "job.yaml", &set, set != NULL, fresh());
  if (code == ES_OK) code = es_grid_create(&grid, job, fresh());
  if (code == ES_OK) {
    es_point_t point;
    assert_true(es_grid_count(grid) > 0);
    es_grid_point(grid, es_grid_count(grid) - 1, &point);
  } else {
    assert_int_equal(code, ES_INPUT);
    assert_true(strncmp(said.message, "job.yaml:", 9) == 0 || strncmp(said.message, "--set ", 6) == 0);
    assert_true(strlen(said.message) > 20);
    assert_null(strchr(said.message, '\n'));
  }
  es_grid_destroy(grid);
  es_job_destroy(job);
}

TEST(mutated_jobs) {
  char text[TEXT_MAX];
  for (uint32_t round = 0; round < 6000; round++) {
    uint32_t words[4];
    es_random_block(20220601, ES_RANDOM_TEST, round, 0, words);
    const char *seed = seeds[words[0] % N_SEEDS];
    size_t size = strlen(seed);
    memcpy(text, seed, size);
    const uint32_t edits = 1 + words[1] % 4;
    for (uint32_t e = 0; e < edits; e++) {
      es_random_block(20220601, ES_RANDOM_TEST, round, 1 + e, words);
      size = mutate(text, size, words[0], words[1], words[2]);
    }
    check(text, size, NULL);
  }
}

TEST(mutated_sets) {
  static const char *const sets[] = {"train.epochs=2", "grid.width=[1/16, 0.5]", "train.schedule={step: 3}",
                                     "datasets.shapes.limit.train=5", "grid.train.lanes=4"};
  char set[TEXT_MAX];
  for (uint32_t round = 0; round < 3000; round++) {
    uint32_t words[4];
    es_random_block(7, ES_RANDOM_TEST, round, 0, words);
    size_t size = strlen(sets[words[0] % 5]);
    memcpy(set, sets[words[0] % 5], size);
    size = mutate(set, size, words[1], words[2], words[3]);
    set[size] = '\0';
    check(seeds[0], strlen(seeds[0]), set);
  }
}
