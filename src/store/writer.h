/* A file of HDF5 under construction. The first failure stays and turns everything after it into nothing, so that the
 * functions that use this read as what the file consists of. */
#ifndef ES_STORE_WRITER_H
#define ES_STORE_WRITER_H

#include "eigenscope/hdf5.h"
#include "schema.h"

typedef struct es_writer {
  const char *path; /* for messages */
  es_status_t *status;
  es_code_t code;
  hid_t file, string;         /* the file, and the type of its strings; −1 until es_writer_open */
  hid_t scale[ES_DIMENSIONS]; /* coordinate variables that are attached to others; −1 for none */
  const int *reason;          /* errno of a disk that HDF5 is not told about (disk.h), or NULL */
} es_writer_t;

void es_writer_begin(es_writer_t *writer, const char *path, es_status_t *status);
/* Closes everything but the file. */
void es_writer_release(es_writer_t *writer);

/* An empty file that tracks the orders of creation, as netCDF-4 demands. Versions start at the earliest, since
 * H5Fget_file_image of HDF5 1.10 gives newer superblocks a wrong checksum; object headers that track orders are version
 * 2, with checksums, all the same. `access` says where it lies, and is changed. */
void es_writer_open(es_writer_t *writer, const char *name, hid_t access);

/* HDF5 failed at `what`. */
void es_writer_fail(es_writer_t *writer, const char *what, const char *reason);
/* Passes an id or an error code of HDF5 on; `what` failed if it is negative. */
hid_t es_writer_check(es_writer_t *writer, hid_t outcome, const char *what);
void es_writer_out_of_memory(es_writer_t *writer);

/* Attributes: a variable-length UTF-8 string; a number as a scalar; several. */
void es_writer_text(es_writer_t *writer, hid_t object, const char *name, const char *text);
void es_writer_number(es_writer_t *writer, hid_t object, const char *name, es_type_t type, const void *value);
void es_writer_vector(es_writer_t *writer, hid_t object, const char *name, es_type_t type, const void *values,
                      hsize_t count);
/* long_name and units. */
void es_writer_names(es_writer_t *writer, hid_t object, const char *long_name, const char *units);
/* All attributes of a field: names, _FillValue where numbers can be missing, and CF's flags. */
void es_writer_describe(es_writer_t *writer, hid_t object, const es_field_info_t *info, bool can_be_missing);

/* How a variable is created: it tracks the order of its attributes, and keeps no times, so that the same results make
 * the same bytes. The caller closes it. */
hid_t es_writer_list(es_writer_t *writer, const char *name);
/* What a field holds where nothing was measured. */
const void *es_writer_fill(const es_field_info_t *info);
/* Chunks of about `target` elements, whole along the last dimensions and cut along those before. A row is never cut. */
void es_writer_chunk(const hsize_t *extent, int rank, hsize_t target, hsize_t *chunk);
/* Creates a variable; the caller closes it. */
hid_t es_writer_create(es_writer_t *writer, const char *name, es_type_t type, int rank, const hsize_t *extent,
                       hid_t list);
/* Writes all of a variable; nothing when object < 0. */
void es_writer_write(es_writer_t *writer, hid_t object, const char *name, es_type_t type, const void *data);
/* Writes one block of a variable; nothing when object < 0. */
void es_writer_write_block(es_writer_t *writer, hid_t object, const char *name, es_type_t type,
                           const es_hdf5_block_t *block, const void *data);
/* Chunked, shuffled and deflated. */
void es_writer_deflate(es_writer_t *writer, hid_t list, const char *name, int rank, const hsize_t *chunk);
/* Creates the scale of a dimension: the coordinate variable that gives an axis its name and values, a pure number or a
 * word. Kept in writer->scale the writer closes it, else the caller. */
hid_t es_writer_scale(es_writer_t *writer, const char *name, es_type_t type, hsize_t extent, const void *values,
                      const char *long_name);
/* The dimension at that place of a variable has this scale. */
void es_writer_attach(es_writer_t *writer, hid_t object, const char *name, es_dimension_t dimension, int place);

#endif
