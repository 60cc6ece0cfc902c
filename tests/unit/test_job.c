/* Valid jobs: defaults, every section, axes, and --set. Errors are tested in test_job_errors.c. */
#include "eigenscope/file.h"
#include "eigenscope/graph.h"
#include "eigenscope/grid.h"
#include "eigenscope/job.h"
#include "support/unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GRID "grid: {dataset: fashion-mnist, model: vgg11}\n"

static es_job_t *parse_with(const char *text, const char *const *sets, int n_sets) {
  es_job_t *job = NULL;
  es_code_t code = es_job_parse(&job, text, strlen(text), "jobs/job.yaml", sets, n_sets, fresh());
  if (code != ES_OK) fail_msg("%s", said.message);
  return job;
}

static es_job_t *parse(const char *text) {
  return parse_with(text, NULL, 0);
}

/* The point with the first value of each axis of a block. */
static es_point_t first_point(const es_job_t *job, int block) {
  es_point_t point;
  es_job_start(job, block, &point);
  for (int a = 0; a < es_job_n_axes(job, block); a++) assert_ok(es_job_apply(job, block, a, 0, &point, fresh()));
  return point;
}

TEST(defaults) {
  es_job_t *job = parse("name: x\n" GRID);
  assert_string_equal(es_job_name(job), "x");
  assert_string_equal(es_job_path(job), "jobs/job.yaml");
  assert_string_equal(es_job_output(job), "results/x");
  const es_point_t p = first_point(job, 0);
  assert_int_equal(p.source, ES_SOURCE_TRAIN);
  assert_int_equal(p.width.numerator, 1);
  assert_int_equal(p.width.denominator, 1);
  assert_int_equal(p.classes, 0);
  assert_int_equal(p.resolution, 32);
  assert_int_equal(p.seed, 0);
  assert_int_equal(p.train.epochs, 20);
  assert_int_equal(p.train.batch, 128);
  assert_int_equal(p.train.lanes, 8);
  assert_int_equal(p.train.optimizer, ES_SGD);
  assert_true(p.train.learning_rate == 0.1 && p.train.momentum == 0.9 && p.train.weight_decay == 5e-4);
  assert_true(p.train.beta1 == 0.9 && p.train.beta2 == 0.999 && p.train.epsilon == 1e-8);
  assert_int_equal(p.train.schedule, ES_SCHEDULE_NONE);
  assert_false(p.train.augment.crop || p.train.augment.flip || p.train.augment.place);
  assert_false(p.train.augment.resized_crop || p.train.augment.erase || p.train.augment.cutout);
  assert_int_equal(p.train.nesterov, ES_OFF);
  assert_true(p.train.label_smoothing == 0 && p.train.clip_norm == 0 && p.train.warmup == 0);
  assert_int_equal(p.measure.every, 1);
  assert_int_equal(p.measure.n_deltas, 1);
  assert_true(p.measure.delta[0] == 0.99);
  assert_true(p.measure.splits[ES_TRAIN] && p.measure.splits[ES_EVAL]);
  assert_int_equal(p.measure.method, ES_METHOD_CHANNELWISE);
  assert_int_equal(p.measure.convention, ES_CONVENTION_SMALLEST);
  assert_int_equal(p.measure.n_layers, 1);
  assert_string_equal(p.measure.layers[0], "*");
  assert_int_equal(p.checkpoint.every, 1);
  assert_int_equal(p.checkpoint.keep, ES_KEEP_LAST);
  es_job_destroy(job);
}

TEST(builtin_dataset) {
  es_job_t *job = parse("name: x\n\n" GRID);
  assert_int_equal(es_job_n_datasets(job), 1);
  const es_dataset_spec_t *d = es_job_dataset(job, 0);
  assert_string_equal(d->name, "fashion-mnist");
  assert_int_equal(d->format, ES_FORMAT_IDX);
  assert_string_equal(d->path, "/usr/share/datasets/fashion-mnist");
  assert_int_equal(d->fit, ES_FIT_RESIZE);
  assert_int_equal(d->limit[ES_TRAIN], 0);
  assert_int_equal(d->line, 3);
  es_job_destroy(job);
}

TEST(settings) {
  es_job_t *job = parse("name: x\n" GRID "train:\n"
                        "  epochs: 3\n  batch: 40\n  optimizer: adam\n  learning_rate: 1.0e-3\n  momentum: 0\n"
                        "  weight_decay: 0\n  beta1: 0.8\n  beta2: 0.99\n  epsilon: 1e-6\n  schedule: {step: 5}\n"
                        "  augment: [flip, crop]\n  lanes: 256\n"
                        "measure: {every: 2, delta: [0.9, 0.99, 1], splits: eval, convention: delve,\n"
                        "          layers: [features.*, \"classifier.?\"]}\n"
                        "checkpoint: {every: 4, keep: all}\n"
                        "probe: {pool: 2, l2: 0.5, gap: 1e-3}\n");
  const es_point_t *p = es_job_base(job);
  assert_int_equal(p->n_axes, 0);
  assert_int_equal(p->train.epochs, 3);
  assert_int_equal(p->train.batch, 40);
  assert_int_equal(p->train.lanes, 256);
  assert_int_equal(p->train.optimizer, ES_ADAM);
  assert_true(p->train.learning_rate == 1e-3 && p->train.momentum == 0 && p->train.weight_decay == 0);
  assert_true(p->train.beta1 == 0.8 && p->train.beta2 == 0.99 && p->train.epsilon == 1e-6);
  assert_int_equal(p->train.schedule, ES_SCHEDULE_STEP);
  assert_int_equal(p->train.schedule_step, 5);
  assert_true(p->train.schedule_gamma == 0.1);
  assert_true(p->train.augment.crop && p->train.augment.flip && !p->train.augment.cutout);
  assert_int_equal(p->measure.every, 2);
  assert_int_equal(p->measure.n_deltas, 3);
  assert_true(p->measure.delta[0] == 0.9 && p->measure.delta[1] == 0.99 && p->measure.delta[2] == 1);
  assert_true(!p->measure.splits[ES_TRAIN] && p->measure.splits[ES_EVAL]);
  assert_int_equal(p->measure.convention, ES_CONVENTION_DELVE);
  assert_int_equal(p->measure.n_layers, 2);
  assert_string_equal(p->measure.layers[0], "features.*");
  assert_string_equal(p->measure.layers[1], "classifier.?");
  assert_int_equal(p->checkpoint.every, 4);
  assert_int_equal(p->checkpoint.keep, ES_KEEP_ALL);
  assert_true(p->probe.pool == 2 && p->probe.l2 == 0.5 && p->probe.gap == 1e-3);
  es_job_destroy(job);
}

TEST(empty_sections_are_defaults) {
  es_job_t *job = parse("name: x\n" GRID "train:\nmeasure: ~\ncheckpoint:\ndatasets:\nmodels:\nprobe:\n");
  assert_int_equal(es_job_base(job)->train.epochs, 20);
  es_job_destroy(job);
}

TEST(schedules) {
  es_job_t *job = parse("name: x\n" GRID "train: {schedule: cosine}\n");
  assert_int_equal(es_job_base(job)->train.schedule, ES_SCHEDULE_COSINE);
  es_job_destroy(job);
  job = parse("name: x\n" GRID "train: {schedule: {step: 7, gamma: 0.5}}\n");
  assert_int_equal(es_job_base(job)->train.schedule, ES_SCHEDULE_STEP);
  assert_int_equal(es_job_base(job)->train.schedule_step, 7);
  assert_true(es_job_base(job)->train.schedule_gamma == 0.5);
  es_job_destroy(job);
}

TEST(training) {
  es_job_t *job = parse(
      "name: x\n" GRID "train:\n"
      "  optimizer: radam\n  learning_rate: 0\n  nesterov: true\n  label_smoothing: 0.1\n  clip_norm: 2.5\n"
      "  warmup: 4\n  warmup_start: 0.2\n  schedule: {milestones: [3, 9, 100000], gamma: 0.2}\n"
      "  augment: [cutout, {resized_crop: {scale: [0.2, 0.9]}}, place, {erase: {ratio: [1, 2], probability: 1}}]\n");
  const es_train_settings_t *t = &es_job_base(job)->train;
  assert_int_equal(t->optimizer, ES_RADAM);
  assert_true(t->learning_rate == 0 && t->nesterov == ES_ON && t->label_smoothing == 0.1 && t->clip_norm == 2.5);
  assert_true(t->warmup == 4 && t->warmup_start == 0.2 && t->schedule_gamma == 0.2);
  assert_int_equal(t->schedule, ES_SCHEDULE_MILESTONES);
  assert_true(t->n_milestones == 3 && t->milestones[0] == 3 && t->milestones[2] == 100000);
  const es_augment_settings_t *a = &t->augment;
  assert_true(!a->crop && !a->flip && a->place && a->resized_crop && a->erase && a->cutout && a->cutout_size == 0);
  assert_true(a->resized.scale[0] == 0.2 && a->resized.scale[1] == 0.9 && a->resized.ratio[0] == 0.75);
  assert_true(a->erase_probability == 1 && a->erased.ratio[1] == 2 && a->erased.scale[1] == 0.33);
  es_job_destroy(job);
  job = parse("name: x\n" GRID
              "train: {schedule: {plateau: 0, monitor: accuracy, threshold: 0, cooldown: 2, least: 1e-5}}\n");
  const es_plateau_settings_t *p = &es_job_base(job)->train.plateau;
  assert_int_equal(es_job_base(job)->train.schedule, ES_SCHEDULE_PLATEAU);
  assert_true(p->patience == 0 && p->monitor == ES_MONITOR_ACCURACY && p->threshold == 0 && p->cooldown == 2);
  assert_true(p->least == 1e-5 && es_job_base(job)->train.schedule_gamma == 0.1);
  es_job_destroy(job);
}

TEST(axes) {
  es_job_t *job = parse("name: x\n"
                        "grid:\n"
                        "  seed: [3, 4]\n"
                        "  dataset: [fashion-mnist]\n"
                        "  model: [vgg11,\n"
                        "    mlp]\n"
                        "  width: [0.0625, 2/4, 2, 1.5]\n"
                        "  classes: [2, all]\n"
                        "  resolution: 28\n"
                        "  train.learning_rate: [0.10, 0.01]\n"
                        "  train.optimizer: adam\n");
  assert_int_equal(es_job_n_blocks(job), 1);
  assert_int_equal(es_job_n_axes(job, 0), 8);
  const es_job_axis_t model = es_job_axis(job, 0, 2);
  assert_string_equal(model.name, "model");
  assert_int_equal(model.line, 5);
  assert_int_equal(model.n_values, 2);
  assert_string_equal(model.values[1], "mlp");
  assert_int_equal(model.lines[0], 5);
  assert_int_equal(model.lines[1], 6);
  es_point_t p = first_point(job, 0);
  assert_int_equal(p.n_axes, 8);
  /* The six axes of every point in fixed order, then those of the job. */
  static const char *const names[] = {
      "dataset", "model", "width", "classes", "resolution", "seed", "train.learning_rate", "train.optimizer"};
  static const char *const texts[] = {"fashion-mnist", "vgg11", "1/16", "2", "28", "3", "0.1", "adam"};
  static const double numbers[] = {0, 0, 0.0625, 2, 28, 3, 0.1, 0};
  for (int i = 0; i < 8; i++) {
    assert_string_equal(p.axes[i].name, names[i]);
    assert_string_equal(p.axes[i].text, texts[i]);
    assert_int_equal(p.axes[i].is_number, i >= 2 && i < 7);
    assert_true(p.axes[i].number == numbers[i]);
  }
  assert_int_equal(p.line_model, 5);
  assert_int_equal(p.line_width, 7);
  assert_int_equal(p.line_classes, 8);
  assert_int_equal(p.line_resolution, 9);
  assert_ok(es_job_apply(job, 0, 2, 1, &p, fresh()));
  assert_int_equal(p.model.family, ES_FAMILY_MLP);
  assert_int_equal(p.line_model, 6);
  static const es_ratio_t widths[] = {{1, 16}, {1, 2}, {2, 1}, {3, 2}};
  for (int i = 0; i < 4; i++) {
    assert_ok(es_job_apply(job, 0, 3, i, &p, fresh()));
    assert_memory_equal(&p.width, &widths[i], sizeof p.width);
  }
  assert_ok(es_job_apply(job, 0, 4, 1, &p, fresh()));
  assert_int_equal(p.classes, 0);
  assert_string_equal(es_point_axis(&p, "classes"), "all");
  assert_int_equal(p.n_axes, 8);
  es_job_destroy(job);
}

TEST(blocks) {
  es_job_t *job = parse("name: x\n"
                        "grid:\n"
                        "- {dataset: fashion-mnist, model: vgg11, seed: [0, 1]}\n"
                        "- dataset: fashion-mnist\n"
                        "  model: vgg13\n"
                        "  measure.convention: [smallest, delve]\n");
  assert_int_equal(es_job_n_blocks(job), 2);
  assert_int_equal(es_job_n_axes(job, 0), 3);
  const es_point_t a = first_point(job, 0), b = first_point(job, 1);
  assert_int_equal(a.n_axes, 6);
  assert_int_equal(b.n_axes, 7);
  assert_string_equal(b.model.name, "vgg13");
  assert_int_equal(b.line_width, 4); /* not given: the first line of its block */
  assert_int_equal(es_job_n_datasets(job), 1);
  es_job_destroy(job);
}

TEST(models) {
  es_job_t *job = parse("name: x\n"
                        "grid: {dataset: fashion-mnist, model: [late, wide, plain, r, few, mobile, bare, resnet50]}\n"
                        "models:\n"
                        "  late: {vgg: [64, M, 128, A], head: torchvision}\n"
                        "  wide: {vgg: vgg16, head: torchvision}\n"
                        "  plain: {mlp: [100, 50]}\n"
                        "  r: {resnet: 34, stem: imagenet, skip: false}\n"
                        "  few: {resnet: [1, 3]}\n"
                        "  mobile: {mobilenet: v2, skip: false}\n"
                        "  bare: {vgg: vgg11, batch_norm: false}\n");
  es_point_t p = first_point(job, 0);
  static const int32_t items[] = {64, ES_ITEM_MAXPOOL, 128, ES_ITEM_AVGPOOL};
  assert_string_equal(p.model.name, "late");
  assert_int_equal(p.model.family, ES_FAMILY_VGG);
  assert_int_equal(p.model.head, ES_HEAD_TORCHVISION);
  assert_int_equal(p.model.n_items, 4);
  assert_memory_equal(p.model.items, items, sizeof items);
  assert_ok(es_job_apply(job, 0, 1, 1, &p, fresh()));
  es_model_spec_t vgg16;
  assert_true(es_model_spec_builtin(&vgg16, "vgg16"));
  assert_int_equal(p.model.n_items, vgg16.n_items);
  assert_memory_equal(p.model.items, vgg16.items, sizeof vgg16.items);
  assert_string_equal(p.model.name, "wide");
  assert_int_equal(p.model.head, ES_HEAD_TORCHVISION);
  assert_ok(es_job_apply(job, 0, 1, 2, &p, fresh()));
  assert_int_equal(p.model.family, ES_FAMILY_MLP);
  assert_int_equal(p.model.n_items, 2);
  assert_int_equal(p.model.items[1], 50);
  assert_ok(es_job_apply(job, 0, 1, 3, &p, fresh()));
  assert_int_equal(p.model.family, ES_FAMILY_RESNET);
  assert_int_equal(p.model.n_items, 4);
  assert_int_equal(p.model.items[2], 6);
  assert_int_equal(p.model.stem, ES_STEM_IMAGENET);
  assert_int_equal(p.model.skip, ES_PART_LEFT_OUT);
  assert_ok(es_job_apply(job, 0, 1, 4, &p, fresh()));
  assert_int_equal(p.model.family, ES_FAMILY_RESNET);
  assert_int_equal(p.model.n_items, 2);
  assert_int_equal(p.model.items[1], 3);
  assert_int_equal(p.model.stem, ES_STEM_CIFAR);
  assert_int_equal(p.model.skip, ES_PART_KEPT);
  assert_ok(es_job_apply(job, 0, 1, 5, &p, fresh()));
  assert_int_equal(p.model.family, ES_FAMILY_MOBILENET);
  assert_int_equal(p.model.n_items, 28);
  assert_int_equal(p.model.skip, ES_PART_LEFT_OUT);
  assert_ok(es_job_apply(job, 0, 1, 6, &p, fresh()));
  assert_int_equal(p.model.family, ES_FAMILY_VGG);
  assert_int_equal(p.model.batch_norm, ES_PART_LEFT_OUT);
  assert_ok(es_job_apply(job, 0, 1, 7, &p, fresh()));
  assert_int_equal(p.model.family, ES_FAMILY_RESNET_BOTTLENECK);
  assert_string_equal(p.model.name, "resnet50");
  es_job_destroy(job);
}

/* A job may describe datasets that do not exist on this machine, as long as no grid uses them. */
TEST(variables_of_unused_datasets) {
  unsetenv("ES_TEST_UNSET");
  es_job_t *job = parse("name: x\ngrid: {dataset: fashion-mnist, model: vgg11}\n"
                        "datasets: {far: {format: idx, path: $ES_TEST_UNSET/a}}\n");
  assert_string_equal(es_job_dataset(job, 0)->path, "$ES_TEST_UNSET/a");
  es_job_destroy(job);
  setenv("ES_TEST_UNSET", "/far", 1);
  job = parse("name: x\ngrid: {dataset: far, model: vgg11}\n"
              "datasets: {far: {format: idx, path: $ES_TEST_UNSET/a}}\n");
  assert_string_equal(es_job_dataset(job, 0)->path, "/far/a");
  es_job_destroy(job);
  unsetenv("ES_TEST_UNSET");
}

TEST(datasets) {
  setenv("ES_TEST_DATA", "/data", 1);
  es_job_t *job =
      parse("name: x\n"
            "grid: {dataset: [digits, far, shapes], model: vgg11}\n"
            "datasets:\n"
            "  digits:\n"
            "    {format: idx, path: ./mnist/, fit: pad, limit: {train: 100},\n"
            "     normalize: {mean: 0.5, std: [0.1, 0.2, 0.3]}}\n"
            "  far: {format: idx, path: \"${ES_TEST_DATA}/a$$b/$ES_TEST_DATA\", limit: {eval: 7, train: all}}\n"
            "  shapes: {format: synthetic, classes: 3, complexity: 2, size: 16, channels: 1, train: 30,\n"
            "           eval: 9, seed: 5}\n");
  char expected[ES_PATH_MAX + 16], here[ES_PATH_MAX - 32];
  assert_non_null(getcwd(here, sizeof here));
  snprintf(expected, sizeof expected, "%s/jobs/mnist", here);
  assert_int_equal(es_job_n_datasets(job), 3);
  const es_dataset_spec_t *d = es_job_dataset(job, 0);
  assert_string_equal(d->path, expected);
  assert_int_equal(d->line, 4);
  assert_int_equal(d->fit, ES_FIT_PAD);
  assert_int_equal(d->limit[ES_TRAIN], 100);
  assert_int_equal(d->limit[ES_EVAL], 0);
  assert_true(d->normalize_given && d->mean[2] == 0.5 && d->deviation[0] == 0.1 && d->deviation[2] == 0.3);
  d = es_job_dataset(job, 1);
  assert_string_equal(d->path, "/data/a$b//data");
  assert_int_equal(d->limit[ES_EVAL], 7);
  assert_false(d->normalize_given);
  d = es_job_dataset(job, 2);
  assert_int_equal(d->format, ES_FORMAT_SYNTHETIC);
  const es_synthetic_t s = {3, 2, 16, 1, 30, 9, 5};
  assert_int_equal(d->synthetic.classes, s.classes);
  assert_int_equal(d->synthetic.complexity, s.complexity);
  assert_int_equal(d->synthetic.size, s.size);
  assert_int_equal(d->synthetic.channels, s.channels);
  assert_int_equal(d->synthetic.train, s.train);
  assert_int_equal(d->synthetic.eval, s.eval);
  assert_int_equal(d->synthetic.seed, s.seed);
  es_job_destroy(job);
}

TEST(output) {
  setenv("ES_TEST_DATA", "/scratch/me", 1);
  es_job_t *job = parse("name: 2022\noutput: $ES_TEST_DATA/out/\n" GRID);
  assert_string_equal(es_job_name(job), "2022");
  assert_string_equal(es_job_output(job), "/scratch/me/out");
  es_job_destroy(job);
}

TEST(set) {
  static const char text[] = "name: x\n"
                             "grid: {dataset: shapes.v2, model: vgg11, width: [1, 2]}\n"
                             "datasets:\n  shapes.v2: {format: synthetic, limit: {train: 10}}\n"
                             "train: {epochs: 5}\n";
  static const char *const sets[] = {"train.epochs=2",
                                     "grid.width=[1/16, 1/8, 1/4]",
                                     "name=a=b",
                                     "output=out/here",
                                     "measure.delta=[0.5, 0.9]",
                                     "grid.train.learning_rate=[0.1, 0.2]",
                                     "datasets.shapes.v2.limit.train=500",
                                     "datasets.shapes.v2.seed=9",
                                     "train.schedule={step: 3, gamma: 0.5}",
                                     "train.epochs=4",
                                     "grid.train.momentum=0.5",
                                     "grid.train.momentum=[0.25]"};
  es_job_t *job = parse_with(text, sets, sizeof sets / sizeof *sets);
  assert_string_equal(es_job_name(job), "a=b");
  assert_string_equal(es_job_output(job), "out/here");
  assert_int_equal(es_job_base(job)->train.epochs, 4);
  assert_int_equal(es_job_base(job)->measure.n_deltas, 2);
  assert_int_equal(es_job_base(job)->train.schedule_step, 3);
  assert_int_equal(es_job_dataset(job, 0)->limit[ES_TRAIN], 500);
  assert_int_equal(es_job_dataset(job, 0)->synthetic.seed, 9);
  assert_int_equal(es_job_n_axes(job, 0), 5);
  const es_job_axis_t width = es_job_axis(job, 0, 2), rate = es_job_axis(job, 0, 3);
  assert_int_equal(width.n_values, 3);
  assert_string_equal(width.values[2], "1/4");
  assert_int_equal(width.lines[2], 2); /* the line of its value */
  assert_string_equal(rate.name, "train.learning_rate");
  assert_int_equal(rate.n_values, 2);
  assert_int_equal(es_job_axis(job, 0, 4).n_values, 1);
  assert_true(first_point(job, 0).train.momentum == 0.25);
  es_job_destroy(job);
}

TEST(set_makes_what_is_missing) {
  static const char *const sets[] = {"grid.dataset=fashion-mnist", "grid.model=m", "models.m.mlp=[10]",
                                     "train.schedule.step=3"};
  es_job_t *job = parse_with("name: x\n", sets, sizeof sets / sizeof *sets);
  const es_point_t p = first_point(job, 0);
  assert_string_equal(p.model.name, "m");
  assert_int_equal(p.train.schedule, ES_SCHEDULE_STEP);
  assert_int_equal(p.train.schedule_step, 3);
  es_job_destroy(job);
}

TEST(load) {
  es_job_t *job = NULL;
  assert_fails(es_job_load(&job, "no/such/job.yaml", NULL, 0, fresh()), ES_INPUT,
               "no/such/job.yaml: cannot be read: No such file or directory");
  assert_null(job);
}

/* Ids and resolved jobs require that each default of the table is canonical and is recognised. */
TEST(defaults_are_canonical) {
  es_job_t *job = parse("name: x\n" GRID "train: {optimizer: adam}\n");
  es_text_t keys = {0};
  es_job_describe_keys(&keys);
  es_point_t p = first_point(job, 0);
  for (int i = 0; i < es_setting_count(); i++) {
    char value[ES_SETTING_MAX], line[2 * ES_SETTING_MAX];
    if (strcmp(es_setting_name(i), "optimizer") == 0) continue;
    es_setting_print(i, &p, value);
    snprintf(line, sizeof line, "\n%s.%s: %s  # ", es_setting_section(i), es_setting_name(i), value);
    if (strstr(es_text_get(&keys), line) == NULL) fail_msg("no line begins with \"%s\"", line + 1);
    if (es_setting_in_id(i, &p)) fail_msg("%s at its default is in the id", es_setting_name(i));
  }
  p.train.beta1 = 0.5;
  p.train.momentum = 0.5;
  int used = 0;
  for (int i = 0; i < es_setting_count(); i++) {
    if (!es_setting_in_id(i, &p)) continue;
    assert_true(strcmp(es_setting_name(i), "beta1") == 0 || strcmp(es_setting_name(i), "optimizer") == 0);
    used++;
  }
  assert_int_equal(used, 2);
  es_text_destroy(&keys);
  es_job_destroy(job);
}
