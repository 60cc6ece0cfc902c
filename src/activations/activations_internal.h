/** Shared by the readers of activations: arrays in files, the numbers in them, and the table of readers. Not
 * collective. */
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
  ES_NUMBER_OTHER    /**< nothing that is read here */
} es_number_kind_t;

/** How an array's values are stored. */
typedef struct es_number {
  es_number_kind_t kind;
  int size; /**< bytes */
  bool is_signed;
  bool swapped;  /**< in the byte order that this machine has not */
  char text[48]; /**< "float32", "int64", "text": for messages */
} es_number_t;

/** A number of that kind, size and sign, `big` end first or not, with its text. */
es_number_t es_number_make(es_number_kind_t kind, int size, bool is_signed, bool big);

/** Bytes that a float of this kind takes in memory: 4 for float16. */
size_t es_number_memory(const es_number_t *number);
/** Where in a buffer of n × es_number_memory bytes stored values are to be read to, so that es_number_unpack can work
 * in place: float16 goes into the second half. */
void *es_number_stage(const es_number_t *number, void *buffer, size_t n);
/** Makes n stored floats in a buffer, placed by es_number_stage, floats or doubles of this machine from its start. */
void es_number_unpack(const es_number_t *number, void *buffer, size_t n);
/** IEEE half to single precision, exact; NaN keeps its sign and payload. `out` must not overlap `in`. */
void es_number_halves(const uint16_t *in, float *out, size_t n);
/** n stored integers as int64; uint64 above INT64_MAX becomes INT64_MAX. */
void es_number_integers(const es_number_t *number, const void *stored, int64_t *out, size_t n);

/* ---- arrays ---- */

typedef struct es_array {
  char *name;  /**< owned; of the layer */
  char *where; /**< owned; what messages start with: "acts.h5: conv1", "acts/conv1.npy" */
  es_number_t number;
  int rank;
  int64_t shape[ES_ARRAY_RANK_MAX];
  int64_t chunk;  /**< as es_activation_layer_t */
  int64_t handle; /**< owned by the reader: an HDF5 dataset, a descriptor; −1: none */
  int64_t offset; /**< of the values within a .npy file */
} es_array_t;

/** Appends an array with name `place` ("/" becomes ".") and these first words of its messages; both are copied. NULL
 * when memory is out (recorded). Earlier arrays may move. */
es_array_t *es_array_add(es_activations_t *file, const char *place, const char *where, es_status_t *status);

/** Natural order: runs of digits by their value. Like strcmp, and 0 only for equal names. */
int es_name_compare(const char *a, const char *b);

/** A copy with dots for slashes, without those in front. NULL when memory is out. */
char *es_name_dotted(const char *place);

/* ---- readers ---- */

/** One form of file. To add one: its file, and its row in the table of activations.c. */
typedef struct es_activations_reader {
  bool (*found)(const char *path); /**< true if it reads this path; NULL: whatever no other does */
  /** Opens the file and adds its arrays, in order, labels anywhere among them. Releases nothing on failure: close is
   * always called. */
  es_code_t (*open)(es_activations_t *file, es_status_t *status);
  /** Looks for values that are missing in an array whose type and shape are right, and gets ready to read it. */
  es_code_t (*check)(const es_activations_t *file, es_array_t *array, es_status_t *status);
  /** Stored values of samples first … first+count−1, count > 0, as they are in the file. */
  es_code_t (*read)(const es_activations_t *file, const es_array_t *array, int64_t first, int64_t count, void *out,
                    es_status_t *status);
  void (*close)(es_activations_t *file);
  const char *otherwise; /**< what to do about an array that is no layer */
} es_activations_reader_t;

extern const es_activations_reader_t es_activations_hdf5, es_activations_npy;

struct es_activations {
  const es_activations_reader_t *reader;
  char *path;        /**< owned */
  char *labels_name; /**< owned; with dots */
  int n_arrays;
  es_array_t *arrays; /**< owned; layers in order, then the labels, if any */
  int n_layers;
  es_activation_layer_t *layers; /**< owned */
  int64_t handle;                /**< of the reader: the HDF5 file; −1: none */
  int64_t size;                  /**< bytes of the HDF5 file when it was opened */
};

#endif
