/* Nearest class means: distances of a few samples from all class means at once, which are side by side in vectors. */
#include "eigenscope/classes.h"
#include "eigenscope/kernel.h"
#include <math.h>
#include <string.h>

enum {
  VECTOR = 4, /* class means of a vector */
  ACROSS = 3, /* vectors of a block of means, so that ABREAST · ACROSS sums stay in registers */
  ABREAST = 4 /* samples */
};

typedef double vector_t __attribute__((vector_size(VECTOR * sizeof(double)), aligned(sizeof(double)), may_alias));

static size_t padded(int32_t classes) {
  return ((size_t)classes + VECTOR - 1) / VECTOR * VECTOR;
}

size_t es_class_room(int32_t width, int32_t classes) {
  return padded(classes) * (size_t)width + padded(classes) + ABREAST * ((size_t)width + padded(classes));
}

/* Scratch of a lane; all parts of `room`. */
typedef struct lane {
  const es_class_means_t *means;
  const es_class_samples_t *samples;
  double *centres;   /* means relative to the lane's shift: blocks of ACROSS vectors, the last may be smaller, each
                        (width, classes of the block) */
  double *nothing;   /* (padded classes) 0, or infinity for classes without samples */
  double *rows;      /* (ABREAST, width) samples relative to the lane's shift */
  double *distances; /* (ABREAST, padded classes), squared */
} lane_t;

static lane_t open_lane(double *room, const es_class_means_t *m, const es_class_samples_t *samples) {
  const size_t width = (size_t)m->width, classes = padded(m->classes), block = ACROSS * VECTOR;
  lane_t lane = {.means = m, .samples = samples, .centres = room};
  lane.nothing = room + classes * width;
  lane.rows = lane.nothing + classes;
  lane.distances = lane.rows + ABREAST * width;
  memset(lane.centres, 0, classes * width * sizeof *lane.centres);
  for (size_t k = 0; k < classes; k++)
    lane.nothing[k] = k < (size_t)m->classes && m->count[k] > 0 ? 0.0 : (double)INFINITY;
  for (size_t k = 0; k < (size_t)m->classes; k++) {
    const size_t first = k / block * block, columns = classes - first < block ? classes - first : block;
    double *to = lane.centres + first * width + (k - first);
    for (size_t j = 0; j < width; j++) to[j * columns] = m->mean[k * width + j] + (m->origin[j] - samples->shift[j]);
  }
  return lane;
}

/* Distances from a block of `across` vectors of classes. */
static ES_INLINE void measure(double *out, size_t stride, const double *rows, const double *centres,
                              const double *nothing, size_t width, const int across) {
  vector_t sums[ABREAST][ACROSS];
  for (int i = 0; i < ABREAST; i++)
    for (int k = 0; k < across; k++) sums[i][k] = *(const vector_t *)(nothing + k * VECTOR);
  for (size_t j = 0; j < width; j++) {
    const vector_t *c = (const vector_t *)(centres + j * (size_t)(across * VECTOR));
    for (int i = 0; i < ABREAST; i++) {
      for (int k = 0; k < across; k++) {
        const vector_t d = rows[(size_t)i * width + j] - c[k];
        sums[i][k] += d * d;
      }
    }
  }
  for (int i = 0; i < ABREAST; i++)
    for (int k = 0; k < across; k++) *(vector_t *)(out + (size_t)i * stride + (size_t)(k * VECTOR)) = sums[i][k];
}

ES_KERNEL
static void measure_all(double *out, const double *rows, const double *centres, const double *nothing, size_t width,
                        size_t classes) {
  size_t k = 0;
  for (; k + ACROSS * VECTOR <= classes; k += ACROSS * VECTOR)
    measure(out + k, classes, rows, centres + k * width, nothing + k, width, ACROSS);
  if (classes - k == 2 * VECTOR) measure(out + k, classes, rows, centres + k * width, nothing + k, width, 2);
  if (classes - k == VECTOR) measure(out + k, classes, rows, centres + k * width, nothing + k, width, 1);
}

ES_KERNEL
static void convert(double *restrict out, const float *restrict from, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] = (double)from[i];
}

/* Measures samples first … first+n−1. */
static void measure_samples(const lane_t *lane, int64_t first, int64_t n) {
  const size_t width = (size_t)lane->means->width, from = (size_t)first * width, count = (size_t)n * width;
  if (lane->samples->is_double)
    memcpy(lane->rows, (const double *)lane->samples->features + from, count * sizeof *lane->rows);
  else
    convert(lane->rows, (const float *)lane->samples->features + from, count);
  memset(lane->rows + count, 0, (ABREAST * width - count) * sizeof *lane->rows);
  measure_all(lane->distances, lane->rows, lane->centres, lane->nothing, width, padded(lane->means->classes));
}

typedef int64_t mask_t __attribute__((vector_size(VECTOR * sizeof(int64_t))));

/* Number of n samples for which no other class is nearer than their own, whose mean is taken without the sample; of
 * equally near classes, the first is. Without branches, because a sample takes a few nanoseconds. */
ES_KERNEL
static int64_t count_nearest(const double *distances, size_t classes, int64_t n, const int32_t *labels,
                             const int64_t *count) {
  int64_t correct = 0;
  for (int64_t i = 0; i < n; i++, distances += classes) {
    const int32_t own = labels[i];
    const double others = (double)count[own] - 1.0, ratio = (double)count[own] / others;
    const double distance = distances[own] * (ratio * ratio);
    mask_t nearer = {0}, place = {0, 1, 2, 3};
    for (size_t k = 0; k < classes; k += VECTOR, place += VECTOR) {
      const vector_t d = *(const vector_t *)(distances + k);
      nearer |= (d < distance) & (place != own);
      nearer |= (d == distance) & (place < own);
    }
    correct += others >= 1.0 && (nearer[0] | nearer[1] | nearer[2] | nearer[3]) == 0;
  }
  return correct;
}

/* The class nearest to a sample; −1 without classes. */
static int32_t nearest(const double *distances, int32_t classes) {
  double least = INFINITY;
  int32_t found = -1;
  for (int32_t k = 0; k < classes; k++)
    if (distances[k] < least) least = distances[k], found = k;
  return found;
}

int64_t es_class_correct(const es_class_means_t *m, const es_class_samples_t *s, double *room) {
  const lane_t lane = open_lane(room, m, s);
  const size_t classes = padded(m->classes);
  int64_t correct = 0;
  for (int64_t first = 0; first < s->n; first += ABREAST) {
    const int64_t n = s->n - first < ABREAST ? s->n - first : ABREAST;
    measure_samples(&lane, first, n);
    correct += count_nearest(lane.distances, classes, n, s->labels + first, m->count);
  }
  return correct;
}

/* w · (sample + shift). */
ES_KERNEL
static double product_of(const float *restrict w, const double *restrict sample, const double *restrict shift,
                         int64_t n) {
  enum { SUMS = 8 };
  double sums[SUMS] = {0.0}, sum = 0.0;
  int64_t i = 0;
  for (; i + SUMS <= n; i += SUMS)
    for (int s = 0; s < SUMS; s++) sums[s] += (double)w[i + s] * (sample[i + s] + shift[i + s]);
  for (; i < n; i++) sum += (double)w[i] * (sample[i] + shift[i]);
  for (int s = 0; s < SUMS; s++) sum += sums[s];
  return sum;
}

/* The class with the largest W z + b, of the classes that have samples. */
static int32_t predict(const es_class_means_t *m, const double *sample, const double *shift,
                       const es_class_classifier_t *classifier) {
  double most = -INFINITY;
  int32_t predicted = -1;
  for (int32_t k = 0; k < m->classes; k++) {
    if (m->count[k] == 0) continue;
    const double logit = product_of(classifier->weights + (size_t)k * (size_t)m->width, sample, shift, m->width) +
                         (classifier->bias ? (double)classifier->bias[k] : 0.0);
    if (logit > most) most = logit, predicted = k;
  }
  return predicted;
}

int64_t es_class_mismatches(const es_class_means_t *m, const es_class_samples_t *s,
                            const es_class_classifier_t *classifier, double *room) {
  const lane_t lane = open_lane(room, m, s);
  const size_t classes = padded(m->classes), width = (size_t)m->width;
  int64_t mismatches = 0;
  for (int64_t first = 0; first < s->n; first += ABREAST) {
    const int64_t n = s->n - first < ABREAST ? s->n - first : ABREAST;
    measure_samples(&lane, first, n);
    for (int64_t i = 0; i < n; i++)
      mismatches += predict(m, lane.rows + (size_t)i * width, s->shift, classifier) !=
                    nearest(lane.distances + (size_t)i * classes, m->classes);
  }
  return mismatches;
}
