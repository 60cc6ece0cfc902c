/** Scores of classes, from counts of labels and predictions. Not collective. */
#ifndef EIGENSCOPE_SCORES_H
#define EIGENSCOPE_SCORES_H

#include <stdint.h>

/** Scores of one class: the class against all others. */
typedef enum es_score {
  ES_SCORE_RECALL,      /**< TP/(TP + FN), also named sensitivity */
  ES_SCORE_PRECISION,   /**< TP/(TP + FP); 0 if no sample is taken for the class */
  ES_SCORE_F1,          /**< 2·TP/(2·TP + FP + FN) */
  ES_SCORE_SPECIFICITY, /**< TN/(TN + FP); NaN if there are no other classes */
  ES_SCORES
} es_score_t;

/** Counts of one class: TP = hits, FN = samples − hits, FP = predictions − hits, TN = all − samples − FP. */
typedef struct es_score_counts {
  int64_t hits;        /**< samples of the class that are taken for the class */
  int64_t samples;     /**< samples of the class */
  int64_t predictions; /**< samples that are taken for the class */
  int64_t all;         /**< samples of all classes */
} es_score_counts_t;

/** "recall", "precision", "f1", "specificity". */
const char *es_score_name(es_score_t score);
/** The score, as scikit-learn defines it for the labels that have samples (precision, recall and f1 with its default
 * zero_division, 0); NaN for a class without samples. The mean over the classes with samples is scikit-learn's macro
 * average, and that of the recall its balanced_accuracy_score. */
double es_score(es_score_t score, const es_score_counts_t *counts);

#endif
