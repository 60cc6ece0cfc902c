/** The numbers of a layer's classes, for results; classes.h defines and computes them. */
#ifndef EIGENSCOPE_CLASS_NUMBERS_H
#define EIGENSCOPE_CLASS_NUMBERS_H

/** The numbers: id, name of the variable (split, epoch, layer) float64, long name. Append only. */
#define ES_CLASS_ROWS(ROW)                                                                                             \
  ROW(NC1, nc1, "trace of the scatter within classes times the pseudoinverse of that between them, per class")         \
  ROW(NC2_NORMS, nc2_norms, "relative deviation of the norms of the centred class means; 0 for a simplex")             \
  ROW(NC2_ANGLES, nc2_angles, "mean distance of the cosines of class means from those of a simplex")                   \
  ROW(NC3, nc3, "squared distance of the classifier from the class means, both scaled to norm 1; last hidden layer")   \
  ROW(NC4, nc4, "share of samples whose nearest class mean is not the predicted class; last hidden layer")             \
  ROW(CLASS_CENTER_ACCURACY, class_center_accuracy,                                                                    \
      "share of samples that are nearest to the mean of their class, without the sample itself")                       \
  ROW(LDA_RANK, lda_rank, "rank of the scatter between classes")

#define ES_CLASS_ID(id, ...) ES_CLASS_##id,
typedef enum es_class_number { ES_CLASS_ROWS(ES_CLASS_ID) ES_CLASS_NUMBERS } es_class_number_t;

#endif
