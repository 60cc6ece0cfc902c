/* Reads result files. Everything is checked against the schema before use. */
#ifndef ES_STORE_READER_H
#define ES_STORE_READER_H

#include "result.h"
#include <hdf5.h>

/* A root attribute as text. */
typedef struct attribute {
  char *name;  /* owned */
  char *value; /* owned; if is_text is false, a number or "[a, b]" in shortest decimals */
  bool is_text;
} es_attribute_t;

typedef struct es_reader {
  const char *path;    /* borrowed, as `status` */
  es_status_t *status; /* receives failures while the file is opened */
  const char *kind;    /* the expected kind of file: "result" */
  hid_t file;          /* owned; −1 when closed */
  int32_t schema_version;
  es_result_t *result;        /* owned; only the wanted fields */
  const char *layer;          /* borrowed; pattern of the layers to show, NULL for all */
  es_attribute_t *attributes; /* owned; in the order of the file */
  int n_attributes;
} es_reader_t;

/* Reads root attributes and coordinates. Checks type and extents of every variable of the core and of each group that
 * is present; optional variables may be missing. Reads the fields of `wanted` (one flag per field, none packed);
 * computes wanted quantities that are missing, and corrects what files of before 2026-11-28 mean otherwise. ES_INPUT
 * with "<path>: <what is wrong>" for a file that is no result or is damaged; ES_SYSTEM when out of memory. *reader is
 * always set, so es_reader_destroy may be called in any case. */
es_code_t es_reader_load(es_reader_t *reader, const char *path, const bool *wanted, es_status_t *status);
/* As es_reader_load for fields of the core, which must have all dimensions up to ES_DIM_DELTA, but neither reads nor
 * checks anything else: of the attributes only those of a summary, of the coordinates only epochs and deltas. Takes a
 * quarter of the time. */
es_code_t es_reader_load_some(es_reader_t *reader, const char *path, const bool *wanted, es_status_t *status);
/* As es_reader_load, but leaves the file open until es_reader_destroy. HDF5 must be quiet. */
es_code_t es_reader_open(es_reader_t *reader, const char *path, const bool *wanted, es_status_t *status);
/* As es_reader_open without fields: reads root attributes and coordinates, and checks no fields. */
es_code_t es_reader_open_frame(es_reader_t *reader, const char *path, es_status_t *status);
/* Opens and checks the variable of a field; the caller closes it. ES_INPUT. */
es_code_t es_reader_field(es_reader_t *reader, es_field_t field, hid_t *object);
/* Checks a field, and reads it into the result. */
es_code_t es_reader_read_field(es_reader_t *reader, es_field_t field);
/* Reads a coordinate variable of the open file into the result, which has its extents already; layers come before
 * dimensions that depend on them. ES_INPUT for a variable that does not match the schema. */
es_code_t es_reader_coordinate(es_reader_t *reader, es_dimension_t dimension);
/* Stores a failure in the reader's status: damage with a given reason, damage with HDF5's last reason, or lack of
 * memory. */
es_code_t es_reader_damaged(const es_reader_t *reader, const char *what, const char *reason);
es_code_t es_reader_broken(const es_reader_t *reader, const char *what);
es_code_t es_reader_out_of_memory(const es_reader_t *reader);
/* ES_INPUT: no layer matches the pattern `layer`; names the first and the last layer. */
es_code_t es_reader_no_layer(const es_reader_t *reader, const char *layer, const char *first, const char *last);
/* Stores a failure: the HDF5 file is sound but does not match the schema. */
es_code_t es_reader_foreign(const es_reader_t *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Opens a file of results. ES_INPUT with "<path>: <what is wrong>" if it is not a file or cannot be read. */
es_code_t es_reader_open_file(hid_t *file, const char *path, es_status_t *status);
/* Appends all root attributes of the open file that are variable-length strings or numbers to the reader; ignores
 * others. ES_INPUT if one cannot be read, ES_SYSTEM when out of memory. */
es_code_t es_attributes_read(es_reader_t *reader);
/* Appends those root attributes that a summary needs, if the file has them. Codes as es_attributes_read. */
es_code_t es_attributes_read_some(es_reader_t *reader);
/* True if the name is allowed for an attribute or an axis: letters, digits and underscores. */
bool es_attribute_name_is_fit(const char *name);
/* Sets *same if the variable has an attribute of this name with this text. ES_INPUT if it cannot be read. */
es_code_t es_attribute_is(const es_reader_t *reader, const char *variable, const char *name, const char *text,
                          bool *same);
void es_reader_destroy(es_reader_t *reader);

/* Sets *older for a result or a merged file written before 2026-11-28. ES_INPUT if the file does not say. */
es_code_t es_older_is(const es_reader_t *reader, bool *older);
/* Gives the attributes of such a result today's words, and its border layer, if it was read, today's meaning. */
es_code_t es_older_correct(es_reader_t *reader);
/* Today's word for a value on an axis ("measure_convention") of such a file. */
const char *es_older_word(const char *axis, const char *word);

/* Value of a root attribute, or NULL. Borrowed. */
const char *es_reader_attribute(const es_reader_t *reader, const char *name);
/* As es_reader_attribute for a required text attribute: "" if it is missing or not text. */
const char *es_reader_text(const es_reader_t *reader, const char *name);
/* The epoch after which training ended early; 0 if it did not. */
int32_t es_reader_stop(const es_reader_t *reader);
/* Complete, diverged or stopped, by the attribute `outcome`; ES_OUTCOME_DAMAGED for any other text. */
es_outcome_t es_reader_outcome(const es_reader_t *reader);
#define ES_NO_OUTCOME "the attribute outcome must be \"complete\", \"diverged\" or \"stopped\""
/* The last epoch that the point finished; 0 for none. Needs ES_FIELD_SECONDS, which every finished epoch has. */
int32_t es_reader_reached(const es_reader_t *reader);
/* Index of the delta that was asked for, or of the headline delta for ES_DELTA_ANY. ES_INPUT if it was not measured. */
es_code_t es_reader_delta(const es_reader_t *reader, double asked, int64_t *out);

#endif
