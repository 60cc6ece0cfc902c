/* eigenscope model run: computes the logits of images, as a check of descriptions and weights. Needs no MPI. */
#include "cli_internal.h"
#include "eigenscope/blas.h"
#include "eigenscope/graph.h"
#include "eigenscope/job.h"
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include <string.h>

static const char STAGE[] = "model";

static const char usage[] =
    "eigenscope model run DESCRIPTION.yaml WEIGHTS.safetensors IMAGES.safetensors --to LOGITS.safetensors\n\n"
    "Computes what a described network makes of images, in inference mode: a check that description and weights are "
    "those\n"
    "of your network elsewhere. IMAGES holds the tensor images, F32 of N x 3 x H x H, normalised as the network needs "
    "it;\n"
    "LOGITS gets the tensor logits, N x classes. analysis/export_network.py does this for PyTorch's networks.";
static const es_option_t options[] = {
    {"--to", "FILE", false, "file to write; an existing safetensors file is replaced"},
};
const es_page_t es_page_model_run = {"model run", usage, options, sizeof options / sizeof *options};

static es_code_t read_description(es_job_t **job, const char *path, es_point_t *point, es_status_t *status) {
  ES_TRY(es_job_load_model(job, path, NULL, 0, status));
  es_job_start(*job, 0, point);
  for (int axis = 0; axis < es_job_n_axes(*job, 0); axis++) ES_TRY(es_job_apply(*job, 0, axis, 0, point, status));
  point->width = (es_ratio_t){1, 1};
  point->classes = 0; /* es_weights_infer sets it */
  return ES_OK;
}

enum { LANES = 8, BATCH = 64 };

/* An es_feed_t: from (N, 3, H, H) to (N, H, H, 3). */
typedef struct images {
  const float *data;
  int64_t first, pixels; /* image of the batch's first sample; pixels of an image */
} images_t;

static void fetch(void *context, int64_t first, int64_t count, float *out) {
  const images_t *images = context;
  for (int64_t i = 0; i < count; i++) {
    const float *image = images->data + (images->first + first + i) * 3 * images->pixels;
    for (int64_t p = 0; p < images->pixels; p++) {
      for (int64_t c = 0; c < 3; c++) *out++ = image[c * images->pixels + p];
    }
  }
}

static es_code_t check_images(const es_safetensors_t *file, const es_tensor_view_t **out, es_status_t *status) {
  const es_tensor_view_t *t = *out = es_safetensors_find(file, "images");
  if (t != NULL && t->dtype == ES_F32 && t->rank == 4 && t->shape[0] > 0 && t->shape[1] == 3 && t->shape[2] > 0 &&
      t->shape[2] == t->shape[3])
    return ES_OK;
  return es_fail(status, ES_INPUT, STAGE, "%s: needs a tensor images of dtype F32 with the shape N x 3 x H x H",
                 es_safetensors_path(file));
}

static es_code_t load(es_model_t *model, const es_graph_t *graph, const es_group_t *group, const char *path,
                      es_status_t *status) {
  es_safetensors_t *file;
  char hash[ES_ID_SIZE];
  ES_TRY(es_safetensors_open(&file, path, status));
  const es_code_t code = es_safetensors_fingerprint(file, hash, status);
  es_safetensors_destroy(file);
  ES_TRY(code);
  return es_weights_load(path, hash, graph, model, group, status);
}

/* Runs all images, a batch at a time. logits: (n, classes). */
static void run(es_model_t *model, const es_tensor_view_t *images, const int32_t *labels, int32_t classes,
                float *logits) {
  images_t context = {.data = images->data, .pixels = images->shape[2] * images->shape[3]};
  for (; context.first < images->shape[0]; context.first += BATCH) {
    const int64_t rest = images->shape[0] - context.first;
    es_loss_t loss;
    es_pass_t pass = {.n = rest < BATCH ? rest : BATCH,
                      .feed = {fetch, &context, labels},
                      .logits = logits + context.first * classes};
    es_model_forward(model, &pass, 0.0, &loss);
  }
}

static es_code_t compute(const es_graph_t *graph, const char *weights, const es_tensor_view_t *images, const char *to,
                         es_status_t *status) {
  const int64_t n = images->shape[0], batches[] = {BATCH, n % BATCH > 0 ? n % BATCH : BATCH};
  static const int32_t labels[BATCH];
  es_group_t group = {0};
  es_model_t *model = NULL;
  float *logits = es_allocate((size_t)n * (size_t)graph->classes, sizeof *logits);
  if (logits == NULL) es_out_of_memory(status, STAGE, "the logits of %lld images", (long long)n);
  if (status->code == ES_OK) es_group_create(&group, MPI_COMM_NULL, LANES, status);
  if (status->code == ES_OK)
    es_model_create(&model, graph, &group, &(es_model_setup_t){batches, 2, false, ES_FLOAT32}, status);
  if (status->code == ES_OK && load(model, graph, &group, weights, status) == ES_OK) {
    run(model, images, labels, graph->classes, logits);
    const es_tensor_view_t out = {
        .name = "logits", .dtype = ES_F32, .rank = 2, .shape = {n, graph->classes}, .data = logits};
    es_safetensors_write(to, &out, 1, NULL, 0, status);
  }
  es_model_destroy(model);
  es_free(logits);
  return status->code;
}

/* The number of classes is that of the weights. */
static es_code_t build(es_graph_t **out, es_point_t *point, const char *weights, es_status_t *status) {
  es_safetensors_t *file;
  ES_TRY(es_safetensors_open(&file, weights, status));
  const es_code_t code = es_weights_infer(file, point, status);
  es_safetensors_destroy(file);
  ES_TRY(code);
  return es_graph_create(out, point, status);
}

static int work(const es_arguments_t *arguments, es_status_t *status) {
  const char *to = es_arguments_option(arguments, "--to"), *weights = es_arguments_positional(arguments, 1);
  es_job_t *job = NULL;
  es_graph_t *graph = NULL;
  es_safetensors_t *file = NULL;
  const es_tensor_view_t *images;
  es_point_t point;
  if (to == NULL) return es_fail(status, ES_INPUT, STAGE, "--to is missing: the file to write the logits to");
  es_checkpoint_check_target(to, status);
  if (status->code == ES_OK) read_description(&job, es_arguments_positional(arguments, 0), &point, status);
  if (status->code == ES_OK) es_safetensors_read(&file, es_arguments_positional(arguments, 2), status);
  if (status->code == ES_OK && check_images(file, &images, status) == ES_OK) {
    point.resolution = (int32_t)images->shape[2];
    if (build(&graph, &point, weights, status) == ES_OK) compute(graph, weights, images, to, status);
  }
  es_graph_destroy(graph);
  es_safetensors_destroy(file);
  es_job_destroy(job);
  return ES_EXIT_OK;
}

int es_cli_model_run(int argc, char **argv) {
  es_model_engine_single_thread();
  es_blas_single_thread();
  return es_cli_command(argc, argv, &es_page_model_run, 3, 3, work);
}
