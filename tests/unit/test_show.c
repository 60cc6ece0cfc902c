/* Output of `show` for a result, and its summary. */
#include "store_example.h"
#include <math.h>

/* A result with readable numbers: saturation of layer l at epoch e of the eval split is 0.1·(l+1) + 0.01·e; in the
 * train split, which has no epoch 0, it is 0.01 less; at the second delta it is doubled. */
static es_result_t *readable(int epochs, const es_layer_info_t *layers, int n_layers) {
  es_point_t point = *example_point();
  es_result_t *result;
  point.train.epochs = epochs;
  const es_result_shape_t shape = {.point = &point, .layers = layers, .n_layers = n_layers};
  assert_ok(es_result_create(&result, &shape, fresh()));
  for (int split = 0; split < ES_SPLITS; split++) {
    for (int epoch = split == ES_TRAIN; epoch <= epochs; epoch++) {
      *es_result_f64(result, ES_FIELD_LOSS, split, epoch, 0, 0) = 12.0 / (epoch + 1);
      *es_result_f64(result, ES_FIELD_ACCURACY, split, epoch, 0, 0) = 0.25 + 0.001 * epoch;
      for (int layer = 0; layer < n_layers; layer++) {
        double value = 0.1 * (layer + 1) + 0.01 * (epoch - (split == ES_TRAIN));
        *es_result_f64(result, ES_FIELD_SATURATION, split, epoch, layer, 0) = value;
        *es_result_f64(result, ES_FIELD_SATURATION, split, epoch, layer, 1) = 2 * value;
      }
    }
  }
  return result;
}

static uint8_t *flags_at(es_result_t *result, int split, int epoch, int layer) {
  int64_t epochs = es_result_extent(result, ES_DIM_EPOCH), layers = es_result_extent(result, ES_DIM_LAYER);
  return (uint8_t *)es_result_data(result, ES_FIELD_FLAGS) + (split * epochs + epoch) * layers + layer;
}

static es_text_t text;            /* the last output */
static es_result_header_t header; /* header of the next result */

static void set_up(void) {
  enter_folder();
  header = example_header();
}

static void tear_down(void) {
  es_text_destroy(&text);
  leave_folder();
}

#define TEST_OF_SHOW(name) TEST_WITH(set_up, tear_down, name)

/* Writes the result, frees it, and shows the file at a delta. */
static void show_at(es_result_t *result, es_show_format_t format, double delta) {
  assert_ok(es_result_write("r.h5", result, &header, fresh()));
  es_result_destroy(result);
  es_text_destroy(&text);
  assert_ok(es_result_show(&text, "r.h5", format, delta, NULL, fresh()));
}

static void show(es_result_t *result, es_show_format_t format) {
  show_at(result, format, ES_DELTA_ANY);
}

static void check_has(const char *part) {
  if (strstr(es_text_get(&text), part) == NULL) fail_msg("no \"%s\" in:\n%s", part, es_text_get(&text));
}

static void check_lacks(const char *part) {
  if (strstr(es_text_get(&text), part) != NULL) fail_msg("there is \"%s\" in:\n%s", part, es_text_get(&text));
}

/* Gives epochs 0 to `last` the seconds that every finished epoch has. */
static void finish_epochs(es_result_t *result, int last) {
  for (int epoch = 0; epoch <= last; epoch++) *es_result_f64(result, ES_FIELD_SECONDS, epoch, 0, 0, 0) = 1;
}

/* No line exceeds the width of a terminal or ends in blanks. */
static void check_lines(void) {
  const char *line = es_text_get(&text);
  while (*line != '\0') {
    size_t length = strcspn(line, "\n");
    if (length > 100 || (length > 0 && line[length - 1] == ' ')) fail_msg("bad line: %.*s|", (int)length, line);
    line += length + (line[length] == '\n');
  }
}

TEST_OF_SHOW(table) {
  static const char expected[] =
      "t\xc3\xa9st, point 0123456789abcdef\n"
      "dataset toy   model vgg11   width 1   classes 3   resolution 16   seed 9007199254740993\n"
      "train_learning_rate 0.05\n"
      "complete, 2 epochs, accuracy 0.2520 on the eval split after epoch 2\n"
      "\n"
      "saturation, train split, delta 0.99\n"
      "layer           width     1      2\n"
      "features.0          4 0.200  0.220\n"
      "features.4          8 0.400  0.420\n"
      "classifier.6        3 0.600  0.620\n"
      "mean of hidden        0.300  0.320\n"
      "\n"
      "saturation, eval split, delta 0.99\n"
      "layer           width     0      1      2\n"
      "features.0          4 0.200  0.220d 0.240u\n"
      "features.4          8 0.400  0.420      -n\n"
      "classifier.6        3 0.600  0.620  0.640\n"
      "mean of hidden        0.300  0.420      -\n"
      "  n  not finite: NaN or infinity in the activations (left out of the mean)\n"
      "  d  dead: the layer has no variance (left out of the mean)\n"
      "  u  undersampled: fewer rows than the width of the layer + 1 (left out of the mean)\n"
      "\n"
      "loss and accuracy\n"
      "epoch                     0      1      2\n"
      "train loss                - 6.0000 4.0000\n"
      "train accuracy            - 0.2510 0.2520\n"
      "eval loss            12.000 6.0000 4.0000\n"
      "eval accuracy        0.2500 0.2510 0.2520\n";
  es_result_t *result = readable(2, EXAMPLE_LAYER, EXAMPLE_LAYERS);
  *flags_at(result, ES_EVAL, 1, 0) = ES_FLAG_DEAD | ES_FLAG_UNDERSAMPLED;
  *flags_at(result, ES_EVAL, 2, 0) = ES_FLAG_UNDERSAMPLED;
  *flags_at(result, ES_EVAL, 2, 1) = ES_FLAG_NONFINITE;
  const int64_t nonfinite[] = {ES_EVAL, 2, 1, 1};
  *(double *)es_result_at(result, ES_FIELD_SATURATION, nonfinite) = NAN;
  show(result, ES_SHOW_TABLE);
  assert_string_equal(es_text_get(&text), expected);
}

/* A result with probes and eigenspaces. */
static es_result_t *probed(void) {
  const es_result_shape_t shape = example_shape();
  es_result_t *result;
  assert_ok(es_result_create(&result, &shape, fresh()));
  for (int layer = 0; layer < EXAMPLE_LAYERS; layer++) {
    for (int epoch = 0; epoch < EXAMPLE_EPOCHS; epoch++) {
      const int64_t at[] = {ES_PREVIOUS, ES_EVAL, epoch, layer, 0};
      *es_result_f64(result, ES_FIELD_SATURATION, ES_EVAL, epoch, layer, 0) = 0.1 * (layer + 1);
      if (epoch > 0) *(double *)es_result_at(result, ES_FIELD_EIGENSPACE_OVERLAP, at) = 0.5 + 0.25 * layer;
    }
    *es_result_f64(result, ES_FIELD_PROBE_ACCURACY, ES_EVAL, 0, layer, 0) = 0.25;
    *es_result_f64(result, ES_FIELD_PROBE_ACCURACY, ES_EVAL, 1, layer, 0) = 0.5 + 0.125 * layer;
    ((uint8_t *)es_result_data(result, ES_FIELD_LAYER_TAIL))[layer] = layer == 2;
    ((uint8_t *)es_result_data(result, ES_FIELD_PROBE_CONVERGED))[EXAMPLE_LAYERS + layer] = layer != 1;
    *es_result_f64(result, ES_FIELD_PROJECTED_ACCURACY, ES_ONTO_RANDOM, layer + 1, 1, 0) = 0.75;
  }
  return result;
}

TEST_OF_SHOW(probes_and_eigenspaces) {
  show_at(probed(), ES_SHOW_TABLE, 0.9);
  check_lines();
  check_has("\nsaturation, eval split, delta 0.9; accuracy of probes after epoch 2\n"
            "layer           width     0      1      2   probe\n"
            "features.0          4 0.100  0.100  0.100   0.500\n"
            "features.4          8 0.200  0.200  0.200   0.625x\n"
            "classifier.6        3 0.300  0.300  0.300   0.750t\n"
            "mean of hidden        0.150  0.150  0.150\n"
            "mean overlap              -  0.625  0.625\n"
            "  x  the probe did not converge: its accuracy is not that of the optimum\n"
            "  t  tail: the layer hardly increases the accuracy of the probes\n");
}

/* Every letter of a table has one meaning. */
TEST_OF_SHOW(unsolved_layer_and_unconverged_probe) {
  es_result_t *result = probed();
  *flags_at(result, ES_EVAL, 2, 0) = ES_FLAG_UNSOLVED;
  show_at(result, ES_SHOW_TABLE, 0.9);
  check_has("features.0          4 0.100  0.100  0.100s  0.500\n"
            "features.4          8 0.200  0.200  0.200   0.625x\n");
  check_has("  s  unsolved: no eigensolver passed its check (left out of the mean)\n"
            "  x  the probe did not converge: its accuracy is not that of the optimum\n");
}

/* Layers whose tail is rounding stay in the mean. */
TEST_OF_SHOW(rounded_layer) {
  es_result_t *result = probed();
  *flags_at(result, ES_EVAL, 2, 0) = ES_FLAG_ROUNDING;
  show_at(result, ES_SHOW_TABLE, 0.9);
  check_has("features.0          4 0.100  0.100  0.100r  0.500\n");
  check_has("mean of hidden        0.150  0.150  0.150\n");
  check_has(
      "  r  rounding: the last directions at the largest delta have less variance than rounding to bfloat16 adds\n"
      "  x  the probe");
}

TEST_OF_SHOW(csv_of_probes_and_eigenspaces) {
  show(probed(), ES_SHOW_CSV);
  check_has(",saturation,layer_tail,probe_accuracy,probe_objective,probe_gradient_norm,probe_iterations,"
            "probe_converged,eigenspace_overlap_previous,eigenspace_overlap_last,projected_accuracy_eigenspace,"
            "projected_accuracy_random,stability_distance_previous,");
  check_has(",probe_l2,probe_path_accuracy_0.1,probe_path_accuracy_1,probe_path_accuracy_10,"
            "probe_path_converged_0.1,probe_path_converged_1,probe_path_converged_10,"
            "probe_dataset_classes_cifar10,probe_dataset_classes_noise-2,"
            "probe_dataset_accuracy_cifar10,probe_dataset_accuracy_noise-2,");
  check_has(",probe_dataset_converged_cifar10,probe_dataset_converged_noise-2,probe_dataset_l2_cifar10,"
            "probe_dataset_l2_noise-2\n");
  /* Epoch 1 has no probes, epoch 0 no overlap; the values of converged differ: no, yes, unknown. The last columns are
   * those of the path and of other datasets. */
  check_has(
      ",eval,0,features.0,0.9,conv,4,112,27648,3,0,0,,,,,,,,,,,,,,,,,,,,0,0,,0.1,0,0.25,,,,,,,,,,,,,,,1,,,,,,,,,,,"
      ",,,,,,,,,,,,,,,,"
      ",10,11,,,,,,,,,,,,\n");
  check_has(
      ",eval,1,features.4,0.9,conv,8,296,5000000000,8,1,0,,,,,,,,,,,,,,,,,,,,0,0,,0.2,0,,,,,,0.75,,,,,,,,,,2,,,,,,"
      ",,,,,,,,,,,,,,,,,,,,,"
      ",10,11,,,,,,,,,,,,\n");
  check_has(
      ",eval,2,features.4,0.99,conv,8,296,5000000000,8,1,0,,,,,,,,,,,,,,,,,,,,0,0,,,0,0.625,,,,0,,,,0.75,,,,,,,2,,"
      ",,,,,,,,,,,,,,,,,,,,,,,,,"
      ",10,11,,,,,,,,,,,,\n");
  check_has(
      ",eval,2,classifier.6,0.9,linear,3,51,48,0,0,1,,,,,,,,,,,,,,,,,,,,0,0,,0.30000000000000004,1,0.75,,,,1,1,,,,"
      ",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,"
      ",10,11,,,,,,,,,,,,\n");
}

TEST_OF_SHOW(many_epochs) {
  show(readable(60, EXAMPLE_LAYER, EXAMPLE_LAYERS), ES_SHOW_TABLE);
  check_lines();
  check_has("saturation, eval split, delta 0.99, 11 of 61 epochs\n"
            "layer           width     0      6     12     18     24     30     36     42     48     54     60\n");
  check_has("saturation, train split, delta 0.99, 11 of 60 epochs\n"
            "layer           width     1      7     13     19     25     31     36     42     48     54     60\n");
  check_has("\nfeatures.0          4 0.200  0.320  0.440  0.560  0.680  0.800  0.920  1.040  1.160  1.280  1.400\n");
  check_has("loss and accuracy, 11 of 61 epochs\n");
}

TEST_OF_SHOW(long_names) {
  es_layer_info_t layer = EXAMPLE_LAYER[0];
  strcpy(layer.name, "encoder.blocks.10.attention.query_projection.branch.0.conv1");
  layer.width = 25088;
  show(readable(20, &layer, 1), ES_SHOW_TABLE);
  check_lines();
  check_has("\n~query_projection.branch.0.conv1  25088 0.2");
}

TEST_OF_SHOW(what_was_not_measured) {
  es_result_t *result = example_plain_result();
  *es_result_f64(result, ES_FIELD_LOSS, ES_TRAIN, 1, 0, 0) = 123456789;
  finish_epochs(result, 1);
  header.outcome = "diverged";
  header.reason = "the loss is NaN in epoch 2; the output of features.4 went first";
  show(result, ES_SHOW_TABLE);
  check_lines();
  check_has("\ndiverged: the loss is NaN in epoch 2; the output of features.4 went first\n1 of 2 epochs\n");
  check_lacks("saturation");
  check_has("epoch                     1\n"
            "train loss            1e+08\n"
            "train accuracy            -\n");
}

static int count_lines(void) {
  int count = 0;
  for (const char *c = es_text_get(&text); *c != '\0'; c++) count += *c == '\n';
  return count;
}

TEST_OF_SHOW(csv) {
  es_result_t *result = readable(2, EXAMPLE_LAYER, EXAMPLE_LAYERS);
  *es_result_f64(result, ES_FIELD_TRACE, ES_TRAIN, 1, 0, 0) = 1.0 / 3;
  ((int64_t *)es_result_data(result, ES_FIELD_SAMPLES))[EXAMPLE_LAYERS] = INT64_C(6000000000);
  show(result, ES_SHOW_CSV);
  check_has(
      "point_id,dataset,model,width,classes,resolution,seed,train_learning_rate,split,epoch,layer,delta,"
      "layer_kind,layer_width,layer_parameters,layer_macs,layer_receptive_field,layer_border,layer_output,"
      "loss,accuracy,top5_accuracy,mcc,learning_rate,seconds,samples,trace,effective_rank,"
      "participation_ratio,first_component_share,stable_rank,"
      "spectral_entropy,rankme,numerical_rank,alpha_req,alpha_req_r2,alpha_req_last,participation_ratio_corrected,"
      "solver,flags,intrinsic_dimension,saturation,"
      "stability_distance_previous,stability_distance_last,stability_pearson_previous,"
      "stability_pearson_last,stability_spearman_previous,stability_spearman_last,layer_stride\n"
      "0123456789abcdef,toy,vgg11,1,3,16,9007199254740993,0.05,train,1,features.0,0.9,"
      "conv,4,112,27648,3,0,0,6,0.251,,,,,6000000000,0.3333333333333333,,,,,,,,,,,,0,0,,0.1,,,,,,,1\n");
  check_has(",eval,2,classifier.6,0.99,linear,3,51,48,0,0,1,4,0.252,,,,,,,,,,,,,,,,,,0,0,,0.6400000000000001,,,,,,,\n");
  /* 3 layers × 2 deltas per epoch, without the unmeasured epoch 0 of the train split. */
  assert_int_equal(count_lines(), 1 + 5 * 6);
  check_lacks(",train,0,");
  check_lacks("nan");
}

TEST_OF_SHOW(csv_quotes) {
  es_point_t point = *header.point;
  header.point = &point;
  strcpy(point.axes[1].text, "a \"b\", c");
  show(readable(1, EXAMPLE_LAYER, 1), ES_SHOW_CSV);
  check_has("\n0123456789abcdef,toy,\"a \"\"b\"\", c\",1,3,");
}

TEST_OF_SHOW(json) {
  es_result_t *result = readable(1, EXAMPLE_LAYER, 1);
  *es_result_f64(result, ES_FIELD_TRACE, ES_EVAL, 0, 0, 0) = INFINITY;
  show(result, ES_SHOW_JSON);
  check_has("{\n  \"attributes\": {\n    \"schema\": \"eigenscope\",\n    \"schema_version\": 1,\n");
  check_has("\"job\": \"name: t\\ngrid: {dataset: toy}\\n\",\n");
  check_has("\"normalize_std\": [1, 2, 0.5],\n    \"version\": \"0.1.0\",\n    \"ranks\": \"2\"\n  },\n");
  check_has(
      "\n    {\"split\": \"eval\", \"epoch\": 0, \"layer\": \"features.0\", \"delta\": 0.9, \"layer_kind\": \"conv\", "
      "\"layer_width\": 4, \"layer_parameters\": 112, \"layer_macs\": 27648, \"layer_receptive_field\": 3, "
      "\"layer_border\": 0, \"layer_output\": 0, \"loss\": 12, \"accuracy\": 0.25, \"top5_accuracy\": null, "
      "\"mcc\": null, \"learning_rate\": null, \"seconds\": null, \"samples\": null, \"trace\": null, "
      "\"effective_rank\": null, \"participation_ratio\": null, \"first_component_share\": null, \"stable_rank\": "
      "null, \"spectral_entropy\": null, \"rankme\": null, \"numerical_rank\": null, \"alpha_req\": null, "
      "\"alpha_req_r2\": null, \"alpha_req_last\": null, \"participation_ratio_corrected\": null, "
      "\"solver\": 0, \"flags\": 0, \"intrinsic_dimension\": null, \"saturation\": 0.1, "
      "\"stability_distance_previous\": null, \"stability_distance_last\": null, \"stability_pearson_previous\": null, "
      "\"stability_pearson_last\": null, \"stability_spearman_previous\": null, \"stability_spearman_last\": null, "
      "\"layer_stride\": 1},\n");
  check_lacks("nan");
  check_lacks("inf");
  assert_string_equal(es_text_get(&text) + text.length - 7, "\n  ]\n}\n");
}

/* Without measurements: no rows, but valid JSON. */
TEST_OF_SHOW(json_without_rows) {
  show(example_plain_result(), ES_SHOW_JSON);
  check_has("\"rows\": [\n  ]\n}\n");
}

static void summarize(es_result_summary_t *out, es_result_t *result) {
  assert_ok(es_result_write("r.h5", result, &header, fresh()));
  es_result_destroy(result);
  es_result_summarize(out, "r.h5");
}

TEST_OF_SHOW(summary) {
  es_result_summary_t summary;
  summarize(&summary, readable(2, EXAMPLE_LAYER, EXAMPLE_LAYERS));
  assert_int_equal(summary.outcome, ES_OUTCOME_COMPLETE);
  assert_int_equal(summary.schema_version, ES_SCHEMA_VERSION);
  assert_string_equal(summary.fingerprint, "fedcba9876543210");
  assert_string_equal(summary.reason, "");
  assert_int_equal(summary.epochs, 2);
  assert_true(summary.accuracy == 0.25 + 0.001 * 2);
  assert_true(summary.loss == 4);
  assert_true(fabs(summary.mean_saturation - 0.34) < 1e-15); /* at 0.99: 0.24 and 0.44, not 0.64 */
}

/* Diverged after epoch 1; only the train split was measured. */
TEST_OF_SHOW(summary_of_part) {
  es_result_summary_t summary;
  es_result_t *result = example_plain_result();
  header.outcome = "diverged";
  header.reason = "the loss is NaN in epoch 2";
  *es_result_f64(result, ES_FIELD_ACCURACY, ES_EVAL, 1, 0, 0) = 0.5;
  *es_result_f64(result, ES_FIELD_ACCURACY, ES_TRAIN, 2, 0, 0) = 0.9;
  const int64_t hidden[] = {ES_TRAIN, 1, 0, 1}, output[] = {ES_TRAIN, 1, 2, 1};
  *(double *)es_result_at(result, ES_FIELD_SATURATION, hidden) = 0.75;
  *(double *)es_result_at(result, ES_FIELD_SATURATION, output) = 0.1;
  finish_epochs(result, 1);
  summarize(&summary, result);
  assert_int_equal(summary.outcome, ES_OUTCOME_DIVERGED);
  assert_string_equal(summary.reason, "the loss is NaN in epoch 2");
  assert_int_equal(summary.epochs, 2);
  assert_int_equal(summary.reached, 1);
  assert_true(summary.accuracy == 0.5);
  assert_true(isnan(summary.loss));
  assert_true(summary.mean_saturation == 0.75);
}

TEST_OF_SHOW(stopped) {
  es_result_summary_t summary;
  header.stopped_at = 1;
  show(readable(2, EXAMPLE_LAYER, EXAMPLE_LAYERS), ES_SHOW_TABLE);
  check_has("\ncomplete, stable at delta 0.9 and stopped after epoch 1 of 2, accuracy 0.2520 on the eval split after "
            "epoch 2\n");
  es_result_summarize(&summary, "r.h5");
  assert_int_equal(summary.epochs, 2);
  assert_int_equal(summary.reached, 1);
  header.stopped_at = 0;
  show(readable(2, EXAMPLE_LAYER, EXAMPLE_LAYERS), ES_SHOW_JSON);
  check_lacks("stopped_at_epoch");
}

/* Every format shows the delta that is asked for; a delta that was not measured is refused with those that were. */
TEST_OF_SHOW(another_delta) {
  show_at(readable(2, EXAMPLE_LAYER, EXAMPLE_LAYERS), ES_SHOW_TABLE, 0.9);
  check_has("\nsaturation, eval split, delta 0.9\n"
            "layer           width     0      1      2\n"
            "features.0          4 0.100  0.110  0.120\n");
  check_lacks("0.99");
  for (es_show_format_t format = ES_SHOW_CSV; format <= ES_SHOW_JSON; format++) {
    show_at(readable(2, EXAMPLE_LAYER, EXAMPLE_LAYERS), format, 0.9);
    check_has(format == ES_SHOW_CSV ? ",eval,2,classifier.6,0.9," : "\"layer\": \"classifier.6\", \"delta\": 0.9,");
    check_lacks("0.99");
  }
  es_text_destroy(&text);
  assert_fails(es_result_show(&text, "r.h5", ES_SHOW_TABLE, 0.5, NULL, fresh()), ES_INPUT,
               "r.h5: delta 0.5 was not measured; it was measured at 0.9 and 0.99");
  assert_string_equal(es_text_get(&text), "");
}

/* A pattern chooses layers in every format; means over layers are left out. */
TEST_OF_SHOW(layers) {
  es_result_t *result = readable(2, EXAMPLE_LAYER, EXAMPLE_LAYERS);
  assert_ok(es_result_write("r.h5", result, &header, fresh()));
  es_result_destroy(result);
  for (es_show_format_t format = ES_SHOW_TABLE; format <= ES_SHOW_JSON; format++) {
    es_text_destroy(&text);
    assert_ok(es_result_show(&text, "r.h5", format, ES_DELTA_ANY, "*.6", fresh()));
    check_has("classifier.6");
    check_lacks("features.0");
    check_lacks("mean of hidden");
  }
  es_text_destroy(&text);
  assert_fails(
      es_result_show(&text, "r.h5", ES_SHOW_CSV, ES_DELTA_ANY, "conv3", fresh()), ES_INPUT,
      "r.h5: no layer matches \"conv3\"; the first layer is \"features.0\", the last layer is \"classifier.6\"");
  assert_string_equal(es_text_get(&text), "");
}

/* A point that diverged before its first epoch ended has no epochs. */
TEST_OF_SHOW(diverged_at_once) {
  es_result_t *result = example_plain_result();
  header.outcome = "diverged";
  header.reason = "the loss is NaN in epoch 1";
  show(result, ES_SHOW_TABLE);
  check_has("\ndiverged: the loss is NaN in epoch 1\n0 of 2 epochs\n");
}
