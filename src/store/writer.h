/* Writes an HDF5 file. The first failure is stored, and all later calls then do nothing, so callers need not check each
 * call. */
#ifndef ES_STORE_WRITER_H
#define ES_STORE_WRITER_H

#include "eigenscope/hdf5.h"
#include "schema.h"

typedef struct es_writer {
  const char *path; /* used in messages */
  es_status_t *status;
  es_code_t code;
  hid_t file, string;         /* the file, and the type of its strings; −1 until es_writer_open */
  hid_t scale[ES_DIMENSIONS]; /* coordinate variables attached to other variables; −1 for none */
  const int *reason;          /* borrowed; errno of a disk failure hidden from HDF5 (disk.h), or NULL */
} es_writer_t;

void es_writer_begin(es_writer_t *writer, const char *path, es_status_t *status);
/* Closes everything but the file. */
void es_writer_release(es_writer_t *writer);

/* Creates an empty file that tracks creation order, as netCDF-4 requires. Uses the earliest superblock version, because
 * H5Fget_file_image of HDF5 1.10 writes a wrong checksum into newer ones; object headers that track order are version 2
 * with checksums anyway. `access` gives the location of the file, and is changed. */
void es_writer_open(es_writer_t *writer, const char *name, hid_t access);

/* Replaces the file `path` atomically by a new one, which `put` writes through `writer` (es_writer_begin is called
 * here). The file may be larger than the memory. `put` closes all objects that it opens, after a failure too. */
es_code_t es_writer_replace(es_writer_t *writer, const char *path, void (*put)(void *context), void *context,
                            es_status_t *status);

/* Stores the failure of HDF5 at step `what`. */
void es_writer_fail(es_writer_t *writer, const char *what, const char *reason);
/* Returns `outcome`, an id or error code of HDF5; stores a failure of step `what` if it is negative. */
hid_t es_writer_check(es_writer_t *writer, hid_t outcome, const char *what);
void es_writer_out_of_memory(es_writer_t *writer);

/* Write an attribute: a variable-length UTF-8 string; a scalar number; a vector. */
void es_writer_text(es_writer_t *writer, hid_t object, const char *name, const char *text);
void es_writer_number(es_writer_t *writer, hid_t object, const char *name, es_type_t type, const void *value);
void es_writer_vector(es_writer_t *writer, hid_t object, const char *name, es_type_t type, const void *values,
                      hsize_t count);
/* Writes the axes of a point as attributes of the file, and their names as the attribute `axes`. */
void es_writer_axes(es_writer_t *writer, const es_point_t *point);
/* Writes the attributes long_name and units. */
void es_writer_names(es_writer_t *writer, hid_t object, const char *long_name, const char *units);
/* Writes all attributes of a field: names, _FillValue if numbers can be missing, and CF's flags. */
void es_writer_describe(es_writer_t *writer, hid_t object, const es_field_info_t *info, bool can_be_missing);

/* Creation list of a variable. Tracks the order of attributes, and stores no times, so that equal results give equal
 * bytes. The caller closes it. */
hid_t es_writer_list(es_writer_t *writer, const char *name);
/* Fill value of a field: the mark of unmeasured elements. */
const void *es_writer_fill(const es_field_info_t *info);
/* Computes chunks of about `target` elements, whole along the last dimensions. Never cuts a row. */
void es_writer_chunk(const hsize_t *extent, int rank, hsize_t target, hsize_t *chunk);
/* Creates a variable; the caller closes it. */
hid_t es_writer_create(es_writer_t *writer, const char *name, es_type_t type, int rank, const hsize_t *extent,
                       hid_t list);
/* Writes a whole variable; does nothing if object < 0. */
void es_writer_write(es_writer_t *writer, hid_t object, const char *name, es_type_t type, const void *data);
/* Writes one block of a variable; does nothing if object < 0. */
void es_writer_write_block(es_writer_t *writer, hid_t object, const char *name, es_type_t type,
                           const es_hdf5_block_t *block, const void *data);
/* Makes the variable chunked, shuffled and deflated. */
void es_writer_deflate(es_writer_t *writer, hid_t list, const char *name, int rank, const hsize_t *chunk);
/* Creates the scale of a dimension: a coordinate variable with the name and the values of an axis (pure numbers or
 * words). The caller closes it, unless it is stored in writer->scale. */
hid_t es_writer_scale(es_writer_t *writer, const char *name, es_type_t type, hsize_t extent, const void *values,
                      const char *long_name);
/* Attaches the scale of a dimension to axis `place` of a variable. */
void es_writer_attach(es_writer_t *writer, hid_t object, const char *name, es_dimension_t dimension, int place);

#endif
