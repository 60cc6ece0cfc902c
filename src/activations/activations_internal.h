/** Shared by the readers of activations: arrays in files, their numbers, and the table of readers. Not collective. */
#ifndef EIGENSCOPE_ACTIVATIONS_INTERNAL_H
#define EIGENSCOPE_ACTIVATIONS_INTERNAL_H

#include "eigenscope/activations.h"

enum { ES_ARRAY_RANK_MAX = 32 /**< of both HDF5 and numpy */ };

/* ---- numbers ---- */

typedef enum es_number_kind {
  ES_NUMBER_FLOAT16,
  ES_NUMBER_FLOAT32,
  ES_NUMBER_FLOAT64,
  ES_NUMBER_INTEGER, /**< of 1, 2, 4 or 8 bytes */
  ES_NUMBER_OTHER    /**< unsupported */
} es_number_kind_t;

/** Storage format of the values of an array. */
typedef struct es_number {
  es_number_kind_t kind;
  int size; /**< bytes */
  bool is_signed;
  bool swapped;  /**< in the opposite byte order of this machine */
  char text[48]; /**< for messages: "float32", "int64", "text" */
} es_number_t;

/** Describes a number of that kind, size, sign and byte order (`big`: big-endian), with its text. */
es_number_t es_number_make(es_number_kind_t kind, int size, bool is_signed, bool big);

/** Bytes of such a float in memory: 4 for float16. */
size_t es_number_memory(const es_number_t *number);
/** Position in a buffer of n × es_number_memory bytes at which stored values must be read, so that es_number_unpack
 * works in place: the second half of the buffer for float16. */
void *es_number_stage(const es_number_t *number, void *buffer, size_t n);
/** Converts n stored floats, placed by es_number_stage, to native floats or doubles at the start of the buffer. */
void es_number_unpack(const es_number_t *number, void *buffer, size_t n);
/** Converts IEEE half to single precision, exactly; NaN keeps sign and payload. `out` must not overlap `in`. */
void es_number_halves(const uint16_t *in, float *out, size_t n);
/** Converts n stored integers to int64; uint64 above INT64_MAX becomes INT64_MAX. */
void es_number_integers(const es_number_t *number, const void *stored, int64_t *out, size_t n);

/* ---- arrays ---- */

typedef struct es_array {
  char *name;  /**< owned; name of the layer */
  char *where; /**< owned; prefix of messages: "acts.h5: conv1", "acts/conv1.npy" */
  es_number_t number;
  int rank;
  int64_t shape[ES_ARRAY_RANK_MAX];
  int64_t chunk;  /**< as es_activation_layer_t */
  int64_t handle; /**< owned by the reader: an HDF5 dataset, a descriptor; −1: none */
  int64_t offset; /**< of the values within a .npy file */
} es_array_t;

/** Appends an array named `place` ("/" becomes "."), with `where` as prefix of its messages; copies both. NULL when out
 * of memory (recorded). Earlier arrays may move. */
es_array_t *es_array_add(es_activations_t *file, const char *place, const char *where, es_status_t *status);

/** Compares in natural order: runs of digits by value. Like strcmp, and 0 only for equal names. */
int es_name_compare(const char *a, const char *b);

/** Copies a path with dots for slashes, without leading slashes. NULL when out of memory. */
char *es_name_dotted(const char *place);

/* ---- readers ---- */

/** One file format. To add one: write its file, and add its row to the table in activations.c. */
typedef struct es_activations_reader {
  bool (*found)(const char *path); /**< true if the reader reads this path; NULL: reads all other paths */
  /** Opens the file and adds its arrays in order, labels at any position. On failure releases nothing: close is always
   * called. */
  es_code_t (*open)(es_activations_t *file, es_status_t *status);
  /** Checks for missing values in an array of correct type and shape, and prepares reading. */
  es_code_t (*check)(const es_activations_t *file, es_array_t *array, es_status_t *status);
  /** Reads samples first … first+count−1, count > 0, as stored. */
  es_code_t (*read)(const es_activations_t *file, const es_array_t *array, int64_t first, int64_t count, void *out,
                    es_status_t *status);
  void (*close)(es_activations_t *file);
  const char *otherwise; /**< advice for messages about an array that is no layer */
} es_activations_reader_t;

extern const es_activations_reader_t es_activations_hdf5, es_activations_npy;

struct es_activations {
  const es_activations_reader_t *reader;
  char *path;        /**< owned */
  char *labels_name; /**< owned; dots for slashes */
  int n_arrays;
  es_array_t *arrays; /**< owned; layers in order, then the labels, if any */
  int n_layers;
  es_activation_layer_t *layers; /**< owned */
  int64_t handle;                /**< owned by the reader: the HDF5 file; −1: none */
  int64_t size;                  /**< bytes of the HDF5 file when opened */
};

#endif
