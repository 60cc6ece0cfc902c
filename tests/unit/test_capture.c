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

static const char *const names[] = {"channelwise", "mean", "max",  "median", "flatten",
                                    "first",       "last", "pool", "nearest"};

static es_method_kind_t kind_of(const char *name) {
  int kind = 0;
  while (strcmp(names[kind], name) != 0) kind++;
  return (es_method_kind_t)kind;
}

/* Feeds the activations slice by slice (of at most 16, unevenly) and returns the eigenvalues. */
static void measure(es_method_kind_t kind, int32_t size, const void *data, es_real_t real, int64_t samples,
                    es_shape_t shape, int64_t *rows, int32_t *width, double *values) {
  es_status_t status = {0};
  es_cov_t cov;
  es_cov_workspace_t workspace;
  const es_method_t *method = es_method(kind);
  *width = method->width(shape, size);
  assert_int_equal(es_cov_create(&cov, *width, real, &status), ES_OK);
  assert_int_equal(es_cov_workspace_create(&workspace, *width, real, &status), ES_OK);
  void *scratch = es_allocate((size_t)method->scratch(shape, size), sizeof(double));
  assert_non_null(scratch);
  int64_t take = 16;
  for (int64_t i = 0; i < samples; i += take) {
    take = 1 + (i * 7) % 16;
    if (take > samples - i) take = samples - i;
    const int64_t at = i * es_shape_size(shape);
    const void *matrix = real == ES_REAL_F64
                             ? (const void *)method->rows_f64((const double *)data + at, take, shape, size, scratch)
                             : method->rows((const float *)data + at, take, shape, size, scratch);
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
  double *wide = es_allocate(n, sizeof *wide);
  for (size_t i = 0; i < n; i++) wide[i] = data[i];
  char name[32];
  int size, rows, width;
  while (fscanf(spectra, "%31s %d %d %d", name, &size, &rows, &width) == 4) {
    double values[512], expected[512];
    int64_t found_rows;
    int32_t found_width;
    for (int i = 0; i < width; i++) assert_int_equal(fscanf(spectra, "%lf", &expected[i]), 1);
    for (es_real_t real = ES_REAL_F32; real <= ES_REAL_F64; real++) {
      const double tolerance = real == ES_REAL_F64 ? 1e-12 : 2e-6;
      measure(kind_of(name), size, real == ES_REAL_F64 ? (void *)wide : data, real, samples, shape, &found_rows,
              &found_width, values);
      assert_int_equal(found_rows, rows);
      assert_int_equal(found_width, width);
      for (int i = 0; i < width; i++) {
        if (!(fabs(values[i] - expected[i]) <= tolerance * expected[0]))
          fail_msg("%s %d, eigenvalue %d: %.16g, numpy has %.16g", name, size, i, values[i], expected[i]);
      }
    }
    checked++;
  }
  assert_int_equal(checked, 13);
  es_free(data);
  es_free(wide);
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

/* Tokens lie on one axis: the first and the last one, and K averages of neighbours. */
TEST(tokens) {
  const es_node_t node = {.tokens = true, .out = {5, 1, 2}};
  const float data[] = {1, -1, 2, -2, 3, -3, 4, -4, 6, -6, /* second sample */ 7, 0, 8, 0, 9, 0, 10, 0, 12, 1};
  double wide[20];
  for (size_t i = 0; i < 20; i++) wide[i] = (double)data[i];
  static const struct {
    es_method_kind_t kind;
    int32_t size, width, rows;
    float expected[12];
  } cases[] = {{ES_METHOD_FIRST, 0, 2, 2, {1, -1, 7, 0}},
               {ES_METHOD_LAST, 0, 2, 2, {6, -6, 12, 1}},
               {ES_METHOD_MEAN, 0, 2, 2, {3.2f, -3.2f, 9.2f, 0.2f}},
               {ES_METHOD_POOL, 2, 4, 2, {2, -2, 4.3333335f, -4.3333335f, 8, 0, 10.333333f, 0.33333334f}},
               {ES_METHOD_NEAREST, 2, 2, 4, {1, -1, 3, -3, 7, 0, 9, 0}}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    float scratch[128];
    double wide_scratch[128];
    const es_method_t *method = es_method_of(cases[i].kind, &node);
    assert_int_equal(method->width(node.out, cases[i].size), cases[i].width);
    assert_int_equal(2 * method->positions(node.out, cases[i].size), cases[i].rows);
    assert_true(method->scratch(node.out, cases[i].size) <= 128);
    const float *rows = method->rows(data, 2, node.out, cases[i].size, scratch);
    const double *wide_rows = method->rows_f64(wide, 2, node.out, cases[i].size, wide_scratch);
    for (int j = 0; j < cases[i].rows * cases[i].width; j++) {
      assert_true(fabsf(rows[j] - cases[i].expected[j]) < 1e-6f);
      assert_true(fabs(wide_rows[j] - (double)cases[i].expected[j]) < 1e-6);
    }
  }
  /* On a map: the corners. */
  float scratch[64];
  const float *row = es_method(ES_METHOD_LAST)->rows(data, 1, (es_shape_t){2, 2, 2}, 0, scratch);
  assert_true(row[0] == 4.0f && row[1] == -4.0f);
}

/* Every method must propagate a NaN in the output to the covariance. */
TEST(nan_survives_every_method) {
  const es_shape_t shape = {4, 4, 3};
  float data[2 * 4 * 4 * 3], scratch[1024];
  double wide[2 * 4 * 4 * 3], wide_scratch[1024];
  for (int kind = ES_METHOD_CHANNELWISE; kind <= ES_METHOD_NEAREST; kind++) {
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) data[i] = (float)(i % 5);
    data[0] = NAN;      /* the corner, which nearest and first select */
    data[3 * 15] = NAN; /* the corner that last selects */
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) wide[i] = data[i];
    const es_method_t *method = es_method((es_method_kind_t)kind);
    const float *rows = method->rows(data, 2, shape, 2, scratch);
    const double *wide_rows = method->rows_f64(wide, 2, shape, 2, wide_scratch);
    bool found = false, wide_found = false;
    for (int64_t i = 0, n = 2 * method->positions(shape, 2); i < n * method->width(shape, 2); i++) {
      found = found || isnan(rows[i]);
      wide_found = wide_found || isnan(wide_rows[i]);
    }
    assert_true(found && wide_found);
  }
}

/* Sums over positions overflow float, or double, where means do not. */
TEST(means_do_not_overflow) {
  const es_shape_t shape = {4, 4, 3};
  float plain[2 * 4 * 4 * 3], large[2 * 4 * 4 * 3], scratch[1024], expected[1024];
  double wide[2 * 4 * 4 * 3], wide_scratch[1024];
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
    plain[i] = 1.0f + (float)(i % 11) / 16.0f;
    large[i] = ldexpf(plain[i], 127);
    wide[i] = ldexp(plain[i], 1023);
  }
  for (int kind = ES_METHOD_CHANNELWISE; kind <= ES_METHOD_NEAREST; kind++) {
    const es_method_t *method = es_method((es_method_kind_t)kind);
    const int64_t n = 2 * method->positions(shape, 2) * method->width(shape, 2);
    memcpy(expected, method->rows(plain, 2, shape, 2, scratch), (size_t)n * sizeof *expected);
    const float *rows = method->rows(large, 2, shape, 2, scratch);
    const double *wide_rows = method->rows_f64(wide, 2, shape, 2, wide_scratch);
    for (int64_t i = 0; i < n; i++) {
      assert_true(rows[i] == ldexpf(expected[i], 127));
      assert_true(fabs(wide_rows[i] - ldexp(expected[i], 1023)) <= 1e-6 * wide_rows[i]);
    }
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
