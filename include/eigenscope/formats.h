/** The formats of datasets, one row each. ROW(NAME, name) is ES_FORMAT_NAME in C, "name" in job files, and
 * es_reader_name in the file of src/data that reads and describes the format (dataset_reader.h). */
#ifndef EIGENSCOPE_FORMATS_H
#define EIGENSCOPE_FORMATS_H

#define ES_FORMATS(ROW)                                                                                                \
  ROW(IDX, idx)                                                                                                        \
  ROW(CIFAR10, cifar10)                                                                                                \
  ROW(CIFAR100, cifar100)                                                                                              \
  ROW(HDF5, hdf5)                                                                                                      \
  ROW(SYNTHETIC, synthetic)

/** Names of the formats that are stored on disk, for the help of options. */
#define ES_FORMAT_WORDS "idx|cifar10|cifar100|hdf5"

#define ES_FORMAT_MEMBER(NAME, name) ES_FORMAT_##NAME,
typedef enum es_format { ES_FORMATS(ES_FORMAT_MEMBER) ES_FORMATS_COUNT } es_format_t;
#undef ES_FORMAT_MEMBER

#endif
