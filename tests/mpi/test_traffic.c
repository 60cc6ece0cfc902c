/* Counted traffic equals the prediction from the network alone: for a training batch, an evaluation batch and a merge
 * of covariances, of VGG16 and ResNet-18 with batch norm and an MLP of two million parameters, in groups of every size.
 * ranks: 1 2 3 4 */
#include "eigenscope/capture.h"
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include "support/mpi.h"
#include <string.h>

BEFORE_TESTS {
  es_model_engine_single_thread();
}

enum { CLASSES = 3, RESOLUTION = 32, BATCH = 11, LANES = 8 };
static const int32_t labels[BATCH] = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1};

static void fetch(void *context, int64_t first, int64_t count, float *out) {
  (void)context;
  for (int64_t i = 0; i < count * RESOLUTION * RESOLUTION * 3; i++) out[i] = (float)((first * 31 + i * 7) % 17) - 8.0f;
}

/* Compares with the prediction, which is for rank 0. Other ranks send as much, or one number less in a few sums. */
static void check_same(const es_traffic_t *counted, const es_traffic_t *predicted, const es_group_t *group) {
  CHECK(counted->sums == predicted->sums);
  CHECK(counted->messages <= predicted->messages && counted->bytes <= predicted->bytes);
  CHECK(counted->bytes >= predicted->bytes - 64);
  if (group->rank > 0) return;
  CHECK(counted->messages == predicted->messages);
  CHECK(counted->bytes == predicted->bytes);
}

/* Bytes by definition, independent of traffic.c: log₂ G times two sums of (2 × channels) doubles for each batch norm,
 * and four doubles; all gradients as floats, each way a half on two ranks, three quarters on four, in whole numbers. */
static int64_t bytes_of_step(const es_graph_t *graph, int ranks) {
  int64_t bytes = 4 * 8, levels = 0, gradients = 0;
  for (int i = 0; i < graph->n_nodes; i++) {
    if (graph->nodes[i].op == ES_OP_BATCHNORM) bytes += 2 * 2 * 8 * (int64_t)graph->nodes[i].out.c;
  }
  while (1 << levels < ranks) levels++;
  if (ranks > 1) gradients = graph->parameter_count + (ranks == 4 ? (graph->parameter_count + 1) / 2 : 0);
  return levels * bytes + 4 * gradients;
}

static void check_passes(const es_graph_t *graph, es_group_t *group, es_capture_t *capture) {
  es_model_t *model;
  es_traffic_t counted = {0};
  const int64_t batches[] = {BATCH};
  group->traffic = &counted;
  CHECK(es_model_create(&model, graph, group, &(es_model_setup_t){batches, 1, true, ES_FLOAT32}, fresh()) == ES_OK);
  es_model_initialise(model, 0);
  es_pass_t pass = {
      .n = BATCH, .training = true, .feed = {fetch, NULL, labels}, .observer = es_capture_observer(capture)};
  es_loss_t loss;
  es_model_forward(model, &pass, 0.0, &loss);
  es_model_backward(model, &pass);
  es_traffic_t predicted = es_model_traffic(graph, group->lanes, group->size, true, NULL);
  check_same(&counted, &predicted, group);
  if (group->rank == 0) CHECK(counted.bytes == bytes_of_step(graph, group->size));
  CHECK((counted.seconds > 0.0) == (group->size > 1));

  counted = (es_traffic_t){0};
  pass.training = false;
  pass.observer = NULL;
  es_model_forward(model, &pass, 0.0, &loss);
  predicted = es_model_traffic(graph, group->lanes, group->size, false, NULL);
  check_same(&counted, &predicted, group);
  es_model_destroy(model);
  group->traffic = NULL;
}

static void check_merge(const es_graph_t *graph, es_group_t *group, es_capture_t *capture,
                        const es_measure_settings_t *measure) {
  es_traffic_t counted = {0};
  es_status_t status = {0};
  int64_t bytes = 0;
  group->traffic = &counted;
  for (int l = 0; l < es_capture_n_layers(capture); l++) {
    es_reduced_t merged;
    const int64_t width = es_capture_width(capture, l);
    CHECK(es_capture_finish(capture, l, &merged, &status) == ES_OK);
    es_reduced_destroy(&merged);
    bytes += group->lanes * (8 * (width + width * (width + 1) / 2 + 1) * 2 * (group->size - 1) / group->size);
  }
  const es_traffic_t predicted = es_capture_traffic(graph, measure, BATCH, group->lanes, group->size, NULL);
  check_same(&counted, &predicted, group);
  CHECK(counted.bytes <= bytes); /* less, because layers with fewer rows than columns are not merged lane by lane */
  CHECK((counted.bytes > 0) == (group->size > 1));
  group->traffic = NULL;
}

static void check_network(const es_model_spec_t *spec, es_ratio_t width, MPI_Comm comm, int lanes) {
  es_graph_t *graph;
  es_group_t group;
  es_capture_t *capture;
  es_point_t point = {.model = *spec,
                      .width = width,
                      .classes = CLASSES,
                      .resolution = RESOLUTION,
                      .measure = {.n_layers = 1, .layers = {"*"}}};
  CHECK(es_group_create(&group, comm, lanes, fresh()) == ES_OK);
  CHECK(es_graph_create(&graph, &point, fresh()) == ES_OK);
  CHECK(es_capture_create(&capture, graph, &point.measure, &group, fresh()) == ES_OK);
  CHECK(es_capture_begin(capture, BATCH, fresh()) == ES_OK);
  check_passes(graph, &group, capture);
  check_merge(graph, &group, capture, &point.measure);
  es_capture_destroy(capture);
  es_graph_destroy(graph);
}

TEST(traffic) {
  int whole = 1;
  while (2 * whole <= size) whole *= 2; /* three ranks: a group of two and one of one */
  MPI_Comm comm;
  ES_MPI(MPI_Comm_split(MPI_COMM_WORLD, rank < whole ? 0 : rank, rank, &comm));
  static const char *const names[] = {"vgg16", "resnet18", "mlp"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    es_model_spec_t spec;
    CHECK(es_model_spec_builtin(&spec, names[i]));
    check_network(&spec, i < 2 ? (es_ratio_t){1, 16} : (es_ratio_t){1, 1}, comm, LANES);
    if (i == 2) check_network(&spec, (es_ratio_t){1, 1}, comm, whole);
  }
  ES_MPI(MPI_Comm_free(&comm));
}
