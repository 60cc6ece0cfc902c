/* Names in files of features. */
#ifndef ES_FEATURES_INTERNAL_H
#define ES_FEATURES_INTERNAL_H

#define ES_FEATURES_STAGE    "similarity"
#define ES_FEATURES_SCHEMA   "eigenscope features"
#define ES_FEATURES_END      ".features.h5"
#define ES_FEATURES_VARIABLE "features_%d"
enum { ES_FEATURES_VERSION = 1 };

#endif
