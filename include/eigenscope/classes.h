/** Classes: class means, scatter and neural collapse of the rows of a layer.
 *
 * A sample has the mean z of its rows (one row, or one for each position), and its label. With n samples, n_c of class
 * c, and C classes that have samples:
 *
 *   m_c = 1/n_c Σ z     m = 1/n Σ z     Σ_B = Σ_c n_c/n (m_c − m)(m_c − m)ᵀ     Σ_W = Σ_T − Σ_B
 *
 * Σ_T is the covariance of all rows. So Σ_W is the mean scatter of the rows around the mean of their class; with
 * several rows for a sample it contains the scatter over its positions.
 *
 *   NC1         tr(Σ_W Σ_B⁺)/C
 *   NC2 norms   deviation (1/C) of |m_c − g| over the mean of |m_c − g|, g = 1/C Σ m_c
 *   NC2 angles  mean over pairs of |cos(m_c − g, m_k − g) + 1/(C−1)|; both are 0 for a simplex
 *   NC3         ‖W/‖W‖ − M/‖M‖‖², rows of M: m_c − g; W: the rows of the classifier's weights; Frobenius norms
 *   NC4         share of samples whose nearest class mean is not the class that the classifier predicts
 *
 * (Papyan, Han, Donoho, PNAS 117, 2020, "Measuring NC", with n_c/n for classes of different size.) LDA rank:
 * eigenvalues of Σ_B above the largest · max(width, C) · 2⁻⁵², the tolerance of numpy.linalg.matrix_rank; Σ_B⁺ inverts
 * these. Accuracy of class centres: share of the samples that are nearest to the mean of their class, computed without
 * the sample itself: (z − m_c) n_c/(n_c − 1). So it needs no other data, and is not too good for small classes.
 *
 * Everything is relative to the first row of the lane, so a mean far from zero costs no accuracy. Features z of float32
 * layers are float32 (eight rows of a sample are added as floats, their sums in double), like Σ_T, which has the
 * precision of float32 products: so NC1 of float32 layers has an error of about 1e-6, and results below 0 become 0.
 * Sums over samples are double, by lane in the fixed tree: the bits do not depend on the number of ranks. */
#ifndef EIGENSCOPE_CLASSES_H
#define EIGENSCOPE_CLASSES_H

#include "eigenscope/class_numbers.h"
#include "eigenscope/comm.h"
#include "eigenscope/dist_matrix.h"
#include "eigenscope/status.h"
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Sums over the samples of the lanes of this rank. */
typedef struct es_class_sums {
  const es_group_t *group; /**< borrowed */
  int32_t width, classes;
  double *shift; /**< owned; (lane_count, width): the lane's first row */
  double *sums;  /**< owned; (lane_count, classes, width + 1): Σ (z − shift), and the number of samples */
  bool *started; /**< owned; (lane_count) true once the lane has a sample */
  double *line;  /**< owned; scratch */
} es_class_sums_t;

/** Works for any group. Not collective. ES_SYSTEM if out of memory. */
es_code_t es_class_sums_create(es_class_sums_t *out, const es_group_t *group, int32_t width, int32_t classes,
                               es_status_t *status);
void es_class_sums_destroy(es_class_sums_t *sums);
int64_t es_class_sums_bytes(int32_t width, int32_t classes, int lanes);
/** Discards all samples. */
void es_class_sums_reset(es_class_sums_t *sums);
/** Rows of n samples: (n · positions, width), row-major. */
typedef struct es_class_rows {
  const void *rows; /**< float, or double if `is_double`; borrowed */
  bool is_double;
  int64_t n, positions;
} es_class_rows_t;
/** Writes to `features` (n, width) the means z of samples of one lane of this rank, relative to the lane's shift: float
 * for rows of floats, else double. */
void es_class_sums_means(es_class_sums_t *sums, int lane, void *features, const es_class_rows_t *rows);
/** Adds n such features of the lane. */
void es_class_sums_add(es_class_sums_t *sums, int lane, const void *features, bool is_double, int64_t n,
                       const int32_t *labels);

/** Class means over all ranks, relative to an origin near them. Equal on every rank. */
typedef struct es_class_means {
  int32_t width, classes, present; /**< columns; classes; classes with samples */
  int64_t n;                       /**< samples */
  int64_t *count;                  /**< owned; (classes) samples of each class */
  double *origin;                  /**< owned; (width) */
  double *mean;                    /**< owned; (classes, width): m_c − origin; 0 for a class without samples */
} es_class_means_t;

/** All zeros. Not collective. ES_SYSTEM if out of memory. */
es_code_t es_class_means_create(es_class_means_t *out, int32_t width, int32_t classes, es_status_t *status);
/** Adds the lanes of all ranks; the sums must then be reset. Collective; all ranks return the same code. ES_SYSTEM. */
es_code_t es_class_sums_reduce(es_class_means_t *out, es_class_sums_t *sums, es_status_t *status);
void es_class_means_destroy(es_class_means_t *means);

/** Eigenvectors of Σ_B = BᵀB, from the singular value decomposition of B, whose rows are √(n_c/n) (m_c − m). */
typedef struct es_class_axes {
  int32_t rank;   /**< LDA rank: eigenvalues above the tolerance */
  double *values; /**< owned; (rank) eigenvalues μ, descending */
  double *axes;   /**< owned; (rank, width) unit eigenvectors v */
  double *left;   /**< owned; (rank, classes) u: v = Bᵀu/√μ */
} es_class_axes_t;

/** `exponent`: of Σ_T, which is that of rows·2^exponent; so are the eigenvalues. Not collective. ES_SYSTEM, ES_NUMERIC.
 */
es_code_t es_class_axes_create(es_class_axes_t *out, const es_class_means_t *means, int exponent, es_status_t *status);
void es_class_axes_destroy(es_class_axes_t *axes);

/** Writes vᵀ Σ_T v for each axis (rank) from the packed triangle of Σ_T. Not collective. ES_SYSTEM. */
es_code_t es_class_variances(double *out, const es_class_axes_t *axes, int32_t width, const double *triangle,
                             es_status_t *status);
/** Like es_class_variances, from the part of Σ_T that this rank holds: the sum over the ranks is vᵀ Σ_T v. Not
 * collective. */
es_code_t es_class_variances_blocks(double *out, const es_class_axes_t *axes, const es_dist_matrix_t *blocks,
                                    es_status_t *status);
/** Like es_class_variances, from the triangle of the Gram matrix of all rows (gram.h). `label`: (samples) as numbers,
 * in the order of the rows; `positions`: rows of a sample. Not collective. */
es_code_t es_class_variances_gram(double *out, const es_class_axes_t *axes, const es_class_means_t *means,
                                  const double *triangle, const double *label, int64_t positions, es_status_t *status);
/** Computes NC1, NC2 and the LDA rank; other numbers become NaN. `variances`: vᵀ Σ_T v of the axes. All NaN with fewer
 * than two classes. ES_SYSTEM. */
es_code_t es_class_measure(double out[ES_CLASS_NUMBERS], const es_class_means_t *means, const es_class_axes_t *axes,
                           const double *variances, es_status_t *status);
/** The last layer of a network; borrowed. */
typedef struct es_class_classifier {
  const float *weights; /**< W: (classes, width) */
  const float *bias;    /**< b: (classes), or NULL for zeros */
} es_class_classifier_t;
/** NC3 of the weights. NaN with fewer than two classes. */
double es_class_duality(const es_class_means_t *means, const float *weights);

/** Samples of one lane, as es_class_sums_means wrote them. Pointers are borrowed. */
typedef struct es_class_samples {
  const void *features; /**< (n, width), float or double */
  bool is_double;
  const double *shift; /**< (width) the lane's shift */
  int64_t n;
  const int32_t *labels;
} es_class_samples_t;
/** Doubles of scratch that the next functions need. */
size_t es_class_room(int32_t width, int32_t classes);
/** Number of samples that are nearest to the mean of their class without the sample itself; of equally near ones, the
 * first counts. `room`: es_class_room doubles. */
int64_t es_class_correct(const es_class_means_t *means, const es_class_samples_t *samples, double *room);
/** Number of samples whose nearest class mean is not the class with the largest of W z + b, of the classes that have
 * samples. `room` as above. */
int64_t es_class_mismatches(const es_class_means_t *means, const es_class_samples_t *samples,
                            const es_class_classifier_t *classifier, double *room);

#endif
