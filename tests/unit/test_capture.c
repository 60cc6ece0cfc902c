/* Measuring methods against numpy (tests/fixtures/methods), layer filters, and the flow of rows into covariances. */
#include "eigenscope/blas.h"
#include "eigenscope/capture.h"
#include "eigenscope/memory.h"
#include "eigenscope/spectrum.h"
#include "support/unit.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

BEFORE_TESTS {
  es_blas_single_thread();
}

static const char *const names[] = {"channelwise", "mean", "max", "median", "flatten", "pool", "nearest"};

static es_method_kind_t kind_of(const char *name) {
  int kind = 0;
  while (strcmp(names[kind], name) != 0) kind++;
  return (es_method_kind_t)kind;
}

/* Feeds the activations slice by slice (of at most 16, unevenly) and returns the eigenvalues. */
static void measure(es_method_kind_t kind, int32_t size, const float *data, int64_t samples, es_shape_t shape,
                    int64_t *rows, int32_t *width, double *values) {
  es_status_t status = {0};
  es_cov_t cov;
  es_cov_workspace_t workspace;
  const es_method_t *method = es_method(kind);
  *width = method->width(shape, size);
  assert_int_equal(es_cov_create(&cov, *width, ES_REAL_F32, &status), ES_OK);
  assert_int_equal(es_cov_workspace_create(&workspace, *width, ES_REAL_F32, &status), ES_OK);
  float *scratch = es_allocate((size_t)method->scratch(shape, size), sizeof *scratch);
  assert_non_null(scratch);
  int64_t take = 16;
  for (int64_t i = 0; i < samples; i += take) {
    take = 1 + (i * 7) % 16;
    if (take > samples - i) take = samples - i;
    const float *matrix = method->rows(data + i * es_shape_size(shape), take, shape, size, scratch);
    es_cov_add(&cov, &workspace, matrix, take * method->positions(shape, size));
  }
  es_cov_flush(&cov, &workspace);
  double *triangle = es_allocate(es_triangle_size(*width), sizeof *triangle);
  es_cov_finish(&cov, triangle);
  const es_eigenproblem_t problem = {.order = *width, .triangle = triangle, .comm = MPI_COMM_NULL};
  assert_int_equal(es_spectrum_lapack.solve(&problem, 0.0, values, NULL, &status), ES_OK);
  *rows = cov.n;
  es_free(triangle);
  es_free(scratch);
  es_cov_destroy(&cov);
  es_cov_workspace_destroy(&workspace);
}

TEST(methods_agree_with_numpy) {
  FILE *spectra = fopen(ES_FIXTURES "/methods/spectra.txt", "r"),
       *file = fopen(ES_FIXTURES "/methods/activations.bin", "rb");
  assert_non_null(spectra);
  assert_non_null(file);
  int samples, checked = 0;
  es_shape_t shape;
  assert_int_equal(fscanf(spectra, "%d %d %d %d", &samples, &shape.h, &shape.w, &shape.c), 4);
  const size_t n = (size_t)samples * (size_t)es_shape_size(shape);
  float *data = es_allocate(n, sizeof *data);
  assert_int_equal(fread(data, sizeof *data, n, file), n);
  char name[32];
  int size, rows, width;
  while (fscanf(spectra, "%31s %d %d %d", name, &size, &rows, &width) == 4) {
    double values[512], expected[512];
    int64_t found_rows;
    int32_t found_width;
    for (int i = 0; i < width; i++) assert_int_equal(fscanf(spectra, "%lf", &expected[i]), 1);
    measure(kind_of(name), size, data, samples, shape, &found_rows, &found_width, values);
    assert_int_equal(found_rows, rows);
    assert_int_equal(found_width, width);
    for (int i = 0; i < width; i++) {
      if (!(fabs(values[i] - expected[i]) <= 2e-6 * expected[0])) {
        print_error("%s %d, eigenvalue %d: %.12g, numpy has %.12g\n", name, size, i, values[i], expected[i]);
        fail();
      }
    }
    checked++;
  }
  assert_int_equal(checked, 13);
  es_free(data);
  fclose(spectra);
  fclose(file);
}

/* torch.median of an even number of values is the lower of the two middle ones (pytorch issue 39520); numpy's is their
 * mean. PyTorch 2.15.0 gives these numbers. */
TEST(median_is_the_lower_middle_value) {
  const float data[] = {4, -1, 1, -2, 3, 7, 2, 5}; /* two positions by two, two channels: 4 1 3 2 and -1 -2 7 5 */
  float scratch[64];
  const float *row = es_method(ES_METHOD_MEDIAN)->rows(data, 1, (es_shape_t){2, 2, 2}, 0, scratch);
  assert_true(row[0] == 2.0f && row[1] == -1.0f);
}

/* Every method must propagate a NaN in the output to the covariance. */
TEST(nan_survives_every_method) {
  const es_shape_t shape = {4, 4, 3};
  float data[2 * 4 * 4 * 3], scratch[1024];
  for (int kind = ES_METHOD_CHANNELWISE; kind <= ES_METHOD_NEAREST; kind++) {
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) data[i] = (float)(i % 5);
    data[0] = NAN; /* the corner, which nearest selects */
    const es_method_t *method = es_method((es_method_kind_t)kind);
    const float *rows = method->rows(data, 2, shape, 2, scratch);
    bool found = false;
    for (int64_t i = 0, n = 2 * method->positions(shape, 2); i < n * method->width(shape, 2); i++)
      found = found || isnan(rows[i]);
    assert_true(found);
  }
}

/* Sums over positions overflow float where means do not. */
TEST(means_do_not_overflow) {
  const es_shape_t shape = {4, 4, 3};
  float plain[2 * 4 * 4 * 3], large[2 * 4 * 4 * 3], scratch[1024], expected[1024];
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
    plain[i] = 1.0f + (float)(i % 11) / 16.0f;
    large[i] = ldexpf(plain[i], 127);
  }
  for (int kind = ES_METHOD_CHANNELWISE; kind <= ES_METHOD_NEAREST; kind++) {
    const es_method_t *method = es_method((es_method_kind_t)kind);
    const int64_t n = 2 * method->positions(shape, 2) * method->width(shape, 2);
    if (kind == ES_METHOD_MEDIAN) continue; /* its mean of two middle values overflows above half of the range */
    memcpy(expected, method->rows(plain, 2, shape, 2, scratch), (size_t)n * sizeof *expected);
    const float *rows = method->rows(large, 2, shape, 2, scratch);
    for (int64_t i = 0; i < n; i++) assert_true(rows[i] == ldexpf(expected[i], 127));
  }
}

TEST(layers_are_chosen_by_pattern) {
  es_point_t point = {.width = {1, 16}, .classes = 10, .resolution = 32};
  es_graph_t *graph;
  int32_t chosen[64];
  assert_true(es_model_spec_builtin(&point.model, "vgg11"));
  assert_ok(es_graph_create(&graph, &point, fresh()));
  es_measure_settings_t m = {.n_layers = 1, .layers = {"*"}};
  assert_int_equal(es_capture_select(graph, &m, chosen), 10);
  m = (es_measure_settings_t){.n_layers = 2, .layers = {"features.0", "classifier.*"}};
  assert_int_equal(es_capture_select(graph, &m, chosen), 3);
  assert_int_equal(chosen[0], 0);
  assert_int_equal(chosen[1], 8);
  assert_int_equal(chosen[2], 9);
  es_group_t group;
  es_capture_t *capture;
  assert_ok(es_group_create(&group, MPI_COMM_NULL, 2, fresh()));
  m = (es_measure_settings_t){.n_layers = 1, .layers = {"layer1.*"}};
  assert_fails_with(es_capture_create(&capture, graph, &m, &group, fresh()), ES_INPUT,
                    "no layer matches measure.layers");
  es_graph_destroy(graph);
}
