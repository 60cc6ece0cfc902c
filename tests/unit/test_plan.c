/* Plans: bound points, costs against a simple computation, and errors found before anything runs. */
#include "eigenscope/graph.h"
#include "eigenscope/plan.h"
#include "support/unit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHAPES "datasets: {shapes: {format: synthetic, classes: 3, size: 16, train: 90, eval: 31}}\n"

static es_code_t try_plan(es_plan_t *plan, const char *text, es_status_t *status) {
  const es_plan_request_t request = {.path = "job.yaml", .text = text, .size = strlen(text)};
  *status = (es_status_t){0};
  return es_plan_create(plan, &request, status);
}

static void create(es_plan_t *plan, const char *text) {
  es_status_t status;
  if (try_plan(plan, text, &status) != ES_OK) fail_msg("%s", status.message);
}

TEST(points_are_bound) {
  es_plan_t plan;
  create(&plan, "name: x\ngrid: {dataset: shapes, model: mlp, classes: [2, all]}\n" SHAPES "output: $HOME/x/\n");
  assert_int_equal(plan.n_datasets, 1);
  assert_int_equal(plan.infos[0].classes, 3);
  assert_int_equal(plan.output[strlen(plan.output) - 1], 'x');
  es_point_t p;
  es_plan_point(&plan, 1, &p);
  assert_int_equal(p.classes, 3);
  assert_string_equal(es_point_axis(&p, "classes"), "all");
  assert_ptr_equal(es_plan_info(&plan, &p), &plan.infos[0]);
  assert_int_equal(es_point_samples(&p, &plan.infos[0], ES_EVAL), 31);
  es_plan_point(&plan, 0, &p);
  assert_int_equal(es_point_samples(&p, &plan.infos[0], ES_EVAL), 21);
  es_plan_destroy(&plan);
}

/* Rows per sample and columns of the data matrix, as the contract defines the methods. */
static void data_matrix(const es_measure_settings_t *m, es_shape_t out, double *rows, double *width) {
  const double k = m->method_size;
  *rows = 1;
  *width = out.c;
  if (m->method == ES_METHOD_CHANNELWISE) *rows = (double)out.h * out.w;
  if (m->method == ES_METHOD_NEAREST) *rows = fmin(out.h, k) * fmin(out.w, k);
  if (m->method == ES_METHOD_FLATTEN) *width *= (double)out.h * out.w;
  if (m->method == ES_METHOD_POOL && out.h * out.w > 1) *width *= k * k;
}

/* Numbers that the probes of all layers see of a sample. */
static double features_of(const es_graph_t *g, int32_t pool) {
  double features = 0;
  for (int l = 0; l < g->n_layers; l++) {
    const es_shape_t out = g->nodes[g->layers[l]].out;
    features += fmin(out.h, pool) * fmin(out.w, pool) * out.c;
  }
  return features;
}

/* Cost of one point, summed layer by layer and epoch by epoch. */
static double plain_cost(const es_point_t *p, const es_dataset_info_t *info, bool only_convolutions) {
  es_graph_t *g;
  assert_ok(es_graph_create(&g, p, fresh()));
  const double samples[ES_SPLITS] = {(double)es_point_samples(p, info, ES_TRAIN),
                                     (double)es_point_samples(p, info, ES_EVAL)};
  double cost = 0;
  const bool vectors = p->measure.eigenspace != ES_EIGENSPACE_NO;
  const double macs = (double)g->macs * (p->train.precision == ES_BFLOAT16 ? 0.5 : 1.0);
  for (int epoch = 0; epoch <= p->train.epochs; epoch++) {
    const bool measured = epoch % p->measure.every == 0 || epoch == p->train.epochs;
    if (epoch > 0) cost += 3 * samples[ES_TRAIN] * macs;
    cost += samples[ES_EVAL] * macs;
    if (p->probe.epochs.kind == ES_EPOCHS_ALL) {
      const double fitted = fmin(samples[ES_TRAIN], (double)p->probe.samples);
      cost += (samples[ES_TRAIN] + samples[ES_EVAL]) * macs + 400 * fitted * p->classes * features_of(g, p->probe.pool);
    }
    for (int split = 0; split < ES_SPLITS; split++) {
      if (!measured || !p->measure.splits[split] || (split == ES_TRAIN && epoch == 0)) continue;
      for (int l = 0; l < g->n_layers; l++) {
        const es_node_t *node = &g->nodes[g->layers[l]];
        if (only_convolutions && node->op != ES_OP_CONV) continue;
        double rows, width;
        data_matrix(&p->measure, node->out, &rows, &width);
        rows *= samples[split];
        cost += rows * width * width / 2 + width * width * width * (vectors ? 10 : 4) / 3;
      }
    }
  }
  es_graph_destroy(g);
  return cost;
}

static void check_costs(const char *text, bool only_convolutions) {
  es_plan_t plan;
  create(&plan, text);
  for (int64_t i = 0; i < es_grid_count(plan.grid); i++) {
    es_point_t p;
    es_graph_t *g;
    es_plan_point(&plan, i, &p);
    const double expected = plain_cost(&p, es_plan_info(&plan, &p), only_convolutions);
    if (fabs(es_plan_cost(&plan, i) - expected) > 1e-9 * expected)
      fail_msg("point %d: %.17g, plainly %.17g", (int)i, es_plan_cost(&plan, i), expected);
    assert_ok(es_graph_create(&g, &p, fresh()));
    assert_int_equal(es_plan_macs(&plan, i), g->macs);
    assert_int_equal(es_plan_parameters(&plan, i), g->parameter_count);
    es_graph_destroy(g);
  }
  es_plan_destroy(&plan);
}

TEST(costs) {
  check_costs(
      "name: x\ngrid: {seed: [0, 1], dataset: shapes, model: [vgg11, mlp, late], width: [1/16, 1/4],\n"
      "  classes: [2, all], resolution: [32, 48]}\nmodels: {late: {vgg: [64, M, 32], head: torchvision}}\n" SHAPES
      "train: {epochs: 7}\nmeasure: {every: 3}\n",
      false);
  check_costs("name: x\ngrid: {dataset: shapes, model: vgg11, train.epochs: [1, 4, 6]}\n" SHAPES
              "measure: {every: 2, splits: eval, layers: [features.*]}\n",
              true);
  check_costs("name: x\ngrid: {dataset: shapes, model: vgg11, width: 1/16,\n"
              "  measure.method: [channelwise, mean, max, median, flatten]}\n" SHAPES,
              false);
  check_costs(
      "name: x\ngrid: {dataset: shapes, model: vgg11, width: 1/16, measure.eigenspace: [false, true, store]}\n" SHAPES,
      false);
  check_costs("name: x\ngrid: {dataset: shapes, model: vgg11, train.precision: [float32, bfloat16]}\n" SHAPES, false);
  check_costs("name: x\ngrid: {dataset: shapes, model: vgg11, width: 1/16}\n" SHAPES
              "probe: {epochs: all, samples: 20, pool: 2}\n",
              false);
  check_costs("name: x\ngrid: {dataset: shapes, model: vgg11, width: 1/16}\n" SHAPES "measure: {method: {pool: 4}}\n",
              false);
  check_costs("name: x\ngrid: {dataset: shapes, model: vgg11, width: 1/16}\n" SHAPES
              "measure: {method: {nearest: 3}}\n",
              false);
}

/* Ranks that receive the findings of another rank do not read files. */
TEST(infos_of_another_rank) {
  static const char text[] = "name: x\ngrid: {dataset: gone, model: mlp}\n"
                             "datasets: {gone: {format: idx, path: /no/such/folder}}\n";
  const es_dataset_info_t info = {
      .classes = 2, .height = 8, .width = 8, .channels = 1, .count = {10, 10}, .class_count = {{5, 5}, {5, 5}}};
  const es_plan_request_t request = {.path = "job.yaml", .text = text, .size = sizeof text - 1, .infos = &info};
  es_plan_t plan;
  assert_ok(es_plan_create(&plan, &request, fresh()));
  es_point_t p;
  es_plan_point(&plan, 0, &p);
  assert_int_equal(p.classes, 2);
  es_plan_destroy(&plan);
}

/* Notes about the job of a dataset whose class 1 is rare: 50, 5 and 45 train samples, 10 of each in eval. */
static void check_notes(const char *settings, const char *expected) {
  char text[512];
  const es_dataset_info_t info = {.classes = 3,
                                  .height = 8,
                                  .width = 8,
                                  .channels = 1,
                                  .count = {100, 30},
                                  .class_count = {{50, 5, 45}, {10, 10, 10}}};
  snprintf(text, sizeof text,
           "name: x\n"
           "grid: {dataset: rare, model: mlp, seed: [0, 1]}\n"
           "datasets: {rare: {format: idx, path: /no/such/folder%s\n",
           settings);
  const es_plan_request_t request = {.path = "job.yaml", .text = text, .size = strlen(text), .infos = &info};
  es_plan_t plan;
  es_selection_t all;
  es_text_t notes = {0};
  es_status_t status = {0};
  if (es_plan_create(&plan, &request, &status) != ES_OK) fail_msg("%s", status.message);
  assert_ok(es_selection_parse(&all, NULL, es_grid_count(plan.grid), fresh()));
  es_plan_notes(&plan, &all, &notes);
  assert_string_equal(es_text_get(&notes), expected);
  es_text_destroy(&notes);
  es_selection_destroy(&all);
  es_plan_destroy(&plan);
}

/* A limit below the number of samples may still be more than a class has; several points share a note. */
TEST(notes_of_balanced_limits) {
  check_notes(", limit: {train: 15}}}\ntrain: {batch: 15}", "");
  check_notes(", limit: {train: 16}}}\ntrain: {batch: 16}", "");
  check_notes(
      ", limit: {train: 60}}}\ntrain: {batch: 45}",
      "job.yaml:3: limit.train is 60, 20 of each of 3 classes, but dataset \"rare\" gives 5 train samples of class "
      "1: 45 in all are used\n");
  check_notes(
      ", limit: {train: 100, eval: 30}}}\ntrain: {batch: 72}",
      "job.yaml:3: limit.train is 100, 33 of each of 3 classes, but dataset \"rare\" gives 5 train samples of class "
      "1: 72 in all are used\n");
  check_notes(
      ", limit: {train: 150}}}\ntrain: {batch: 100}",
      "job.yaml:3: limit.train is 150, but dataset \"rare\" gives 100 train samples of 3 classes: all of them are "
      "used\n");
  check_notes(
      "}}\ntrain: {batch: 100}\nprobe: {epochs: last, samples: 30}",
      "job.yaml: probe.samples is 30, 10 of each of 3 classes, but dataset \"rare\" gives 5 train samples of class "
      "1: 25 in all are used\n");
  check_notes("}}\ntrain: {batch: 100}\nprobe: {epochs: none, samples: 30}", "");
}

/* A grid with more notes than a reader wants: 24 in all. */
TEST(many_notes) {
  es_plan_t plan;
  es_selection_t all;
  es_text_t notes = {0};
  create(&plan, "name: x\n"
                "grid: {dataset: shapes, model: mlp, train.epochs: [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]}\n" SHAPES
                "train: {batch: 90}\nmeasure: {every: 20}\ncheckpoint: {every: 20}\n");
  assert_ok(es_selection_parse(&all, NULL, es_grid_count(plan.grid), fresh()));
  es_plan_notes(&plan, &all, &notes);
  int lines = 0;
  for (const char *c = es_text_get(&notes); *c != '\0'; c++) lines += *c == '\n';
  assert_int_equal(lines, 21);
  assert_non_null(strstr(es_text_get(&notes), "\njob.yaml: and more; plan --points shows those of single points\n"));
  es_text_destroy(&notes);
  es_selection_destroy(&all);
  es_plan_destroy(&plan);
}

static void refuse(const char *text, const char *message) {
  es_plan_t plan;
  es_status_t status;
  assert_int_equal(try_plan(&plan, text, &status), ES_INPUT);
  assert_string_equal(status.message, message);
}

TEST(refused) {
  refuse("name: x\ngrid: {dataset: gone, model: mlp}\ndatasets:\n  gone: {format: idx, path: /no/such/folder}\n",
         "job.yaml:4: dataset gone: the folder /no/such/folder does not exist; the folder must hold "
         "train-images-idx3-ubyte, "
         "train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, plain or .gz");
  refuse("name: x\ngrid: {dataset: empty, model: mlp}\ndatasets:\n  empty: {format: idx, path: " ES_SOURCE
         "/include}\n",
         "job.yaml:4: dataset empty: " ES_SOURCE
         "/include/train-images-idx3-ubyte: this file does not exist, neither plain nor "
         "with .gz");
  refuse("name: x\ngrid: {dataset: shapes, model: mlp,\n  classes: [2, 4]}\n" SHAPES,
         "job.yaml:3: classes: 4, but dataset \"shapes\" has only 3; use 2 to 3, or all");
  refuse("name: x\ngrid:\n  dataset: shapes\n  model: thin\n  width: [1,\n    1/16]\nmodels: {thin: {vgg: [64, 8, "
         "M]}}\n" SHAPES,
         "job.yaml:6: layer features.3 would have no channels (8 at width 1); use a larger width (model thin, width "
         "1/16, resolution 32)");
  refuse("name: x\ngrid:\n  dataset: shapes\n  model: vgg11\n  resolution: [32,\n    16]\n" SHAPES,
         "job.yaml:6: layer features.28 would reduce an image of 1 x 1 to nothing; use a larger resolution or fewer "
         "pooling layers (model vgg11, width 1, resolution 16)");
  refuse("name: x\ngrid:\n  dataset: shapes\n  model:\n  - deep\nmodels: {deep: {vgg: [8, M, M, M, M, M, M, M, M, M, "
         "M]}}\n" SHAPES,
         "job.yaml:5: layer features.8 would reduce an image of 1 x 1 to nothing; use a larger resolution or fewer "
         "pooling layers (model deep, width 1, resolution 32)");
  refuse("name: x\ngrid: {dataset: shapes, model: mlp}\nmeasure: {layers: [features.*]}\n" SHAPES,
         "job.yaml:2: no layer of model mlp matches measure.layers; `eigenscope model show` prints the names of "
         "layers");
}

#define METHOD(method, layers)                                                                                         \
  "name: x\ngrid: {dataset: shapes, model: [vgg11,\n  dense]}\n" SHAPES                                                \
  "models: {dense: {mlp: [4, 40000]}}\nmeasure: {method: " method ", layers: " layers "}\n"

/* 32 x 32 positions of 64 channels, flattened: 65,536 columns. */
TEST(too_wide) {
  es_plan_t plan;
  refuse(METHOD("flatten", "\"*\""),
         "job.yaml:2: layer features.0 of model vgg11 has 65536 columns with measure.method flatten: the covariance "
         "would need 34.4 GB, and at most 46340 columns can be measured; choose another method (such as channelwise or "
         "{pool: 2}) or fewer layers (measure.layers)");
  refuse(METHOD("{pool: 64}", "[\"features.8\", \"classifier.0\"]"),
         "job.yaml:2: layer features.8 of model vgg11 has 1048576 columns with measure.method pool: the covariance "
         "would need 8796.1 GB, and at most 46340 columns can be measured; choose another method (such as channelwise "
         "or {pool: 2}) or fewer layers (measure.layers)");
  /* More than an int32 holds: 64 x 64 positions of 1,048,576 channels. */
  refuse("name: x\ngrid: {dataset: shapes, model: vast, width: 16, resolution: 64}\nmodels: {vast: {vgg: [65536]}}\n"
         "measure: {method: flatten}\n" SHAPES,
         "job.yaml:2: layer features.0 of model vast has 2147483647 columns with measure.method flatten: the "
         "covariance would need 36893488113.1 GB, and at most 46340 columns can be measured; choose another method "
         "(such as channelwise "
         "or "
         "{pool: 2}) or fewer layers (measure.layers)");
  create(&plan, METHOD("flatten", "[\"features.4\", \"classifier.*\"]")); /* 32,768 at most */
  es_plan_destroy(&plan);
  create(&plan, METHOD("channelwise", "\"*\"")); /* 40,000 hidden units */
  es_plan_destroy(&plan);
}
