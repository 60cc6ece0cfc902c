/* Reads merged files for tables: the attributes of each point, and the few numbers of a summary. */
#include "eigenscope/memory.h"
#include "eigenscope/merge.h"
#include "reader.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { COLUMNS_MAX = 64, PROVENANCE = 2 };

/* Provenance that names the instruction set: variables over `point` where it is mixed, else attributes. */
static const char *const provenance[PROVENANCE] = {"onednn", "blas"};

/* One variable over `point`, read as a whole. */
typedef struct column {
  es_type_t type;
  void *data; /* owned; strings are allocated by HDF5 */
} column_t;

typedef struct merged {
  es_reader_t reader; /* attributes of the file; numbers of one point */
  es_merged_info_t info;
  char *list; /* owned; storage of the names */
  const char *names[COLUMNS_MAX + PROVENANCE];
  bool words[COLUMNS_MAX + PROVENANCE];
  int n_columns;             /* those of `info`, then those of `provenance` that are variables */
  int column_of[PROVENANCE]; /* −1: an attribute */
  es_kinds_t kinds;
  bool older; /* of before 2026-11-28 */
  column_t columns[COLUMNS_MAX + PROVENANCE];
} merged_t;

bool es_merged_check(const char *path) {
  ES_HDF5_QUIET;
  ES_HDF5_ID file = -1;
  return es_reader_open_file(&file, path, &(es_status_t){0}) == ES_OK && H5Aexists(file, STORE_MERGED) > 0;
}

/* Value of a whole-number attribute, −1 if there is none. */
static int64_t whole(const merged_t *r, const char *name) {
  int64_t value;
  const char *text = es_reader_attribute(&r->reader, name);
  return text != NULL && es_text_to_int(text, &value) ? value : -1;
}

static es_code_t read_attributes(merged_t *r) {
  ES_TRY(es_attributes_read(&r->reader));
  if (strcmp(es_reader_text(&r->reader, "schema"), STORE_SCHEMA) != 0 || whole(r, STORE_MERGED) < 1) {
    return es_fail(r->reader.status, ES_INPUT, STORE_STAGE, "%s: is not a merged file of eigenscope", r->reader.path);
  }
  if (whole(r, "schema_version") != ES_SCHEMA_VERSION) {
    return es_fail(r->reader.status, ES_INPUT, STORE_STAGE,
                   "%s: has version %lld of the schema, but this program reads version %d", r->reader.path,
                   (long long)whole(r, "schema_version"), ES_SCHEMA_VERSION);
  }
  r->info = (es_merged_info_t){.job_name = es_reader_text(&r->reader, "job_name"),
                               .missing = es_reader_text(&r->reader, "missing"),
                               .n_points = whole(r, STORE_MERGED),
                               .n_grid = whole(r, "n_grid"),
                               .names = r->names,
                               .words = r->words,
                               .kinds = &r->kinds};
  return ES_OK;
}

/* Lists the columns: "point", the axes, "outcome", "reason". */
static es_code_t list_names(merged_t *r) {
  r->list = es_duplicate(es_reader_text(&r->reader, "axes"));
  if (r->list == NULL) return es_reader_out_of_memory(&r->reader);
  int n = 0;
  r->names[n++] = "point";
  for (char *name = r->list; *name != '\0' && n < COLUMNS_MAX - 2;) {
    size_t length = strcspn(name, " ");
    bool last = name[length] == '\0';
    name[length] = '\0';
    if (!es_attribute_name_is_fit(name)) return es_reader_foreign(&r->reader, "%s cannot be an axis", name);
    r->names[n++] = name;
    name += length + (last ? 0 : 1);
  }
  r->names[n++] = "outcome";
  r->names[n++] = "reason";
  r->info.n_names = n;
  for (int i = 0; i < PROVENANCE; i++) {
    r->column_of[i] = H5Lexists(r->reader.file, provenance[i], H5P_DEFAULT) > 0 ? n : -1;
    if (r->column_of[i] >= 0) r->names[n++] = provenance[i];
  }
  r->n_columns = n;
  return ES_OK;
}

static es_code_t read_column(merged_t *r, int i) {
  const hsize_t n = (hsize_t)r->info.n_points;
  ES_HDF5_ID object = H5Dopen2(r->reader.file, r->names[i], H5P_DEFAULT);
  if (object < 0) return es_reader_broken(&r->reader, r->names[i]);
  ES_HDF5_ID type = H5Dget_type(object), space = H5Dget_space(object), text = es_hdf5_string_type();
  const H5T_class_t class = H5Tget_class(type);
  column_t *column = &r->columns[i];
  column->type = class == H5T_STRING ? ES_TYPE_STRING : class == H5T_INTEGER ? ES_TYPE_I64 : ES_TYPE_F64;
  r->words[i] = column->type == ES_TYPE_STRING;
  const char *lie = es_hdf5_check_size(object, n, sizeof(int64_t));
  if (H5Sget_simple_extent_npoints(space) != (hssize_t)n || (r->words[i] && H5Tis_variable_str(type) <= 0))
    return es_reader_foreign(&r->reader, "%s must have %llu entries", r->names[i], (unsigned long long)n);
  if (lie != NULL) return es_reader_foreign(&r->reader, "%s %s", r->names[i], lie);
  column->data = es_allocate_zero(n, sizeof(int64_t));
  if (column->data == NULL) return es_reader_out_of_memory(&r->reader);
  const hid_t memory = r->words[i] ? text : es_type_in_memory(column->type);
  if (H5Dread(object, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, column->data) >= 0) return ES_OK;
  return es_reader_broken(&r->reader, r->names[i]);
}

/* The variables from which a summary is computed. */
static const es_field_t summarized[] = {ES_FIELD_LAYER_OUTPUT,    ES_FIELD_ACCURACY,
                                        ES_FIELD_FLAGS,           ES_FIELD_SATURATION,
                                        ES_FIELD_PROBE_CONVERGED, ES_FIELD_PROBE_DATASET_CONVERGED};
enum { SUMMARIZED = sizeof summarized / sizeof *summarized };

/* True if the file has a variable; only those of the probes may be missing. */
static bool has(const merged_t *r, es_field_t field) {
  const bool probes = field == ES_FIELD_PROBE_CONVERGED || field == ES_FIELD_PROBE_DATASET_CONVERGED;
  return !probes || H5Lexists(r->reader.file, es_field_info(field)->name, H5P_DEFAULT) > 0;
}

/* Checks the extent of one dimension: it must be possible, and equal in all variables. */
static bool is_extent(es_dimension_t dimension, hsize_t found, int64_t *known) {
  const es_dimension_info_t *info = es_dimension_info(dimension);
  const int64_t least = info->words != NULL ? info->most : 1;
  if (found < (hsize_t)least || found > (hsize_t)info->most) return false;
  const bool same = *known == 0 || *known == (int64_t)found;
  *known = (int64_t)found;
  return same;
}

/* Opens a variable over `point` and its dimensions. Blank parts are not stored, so the size of the file says little;
 * limit the size of one point's part instead. */
static es_code_t open_numbers(const merged_t *r, const es_field_info_t *info, int64_t extent[ES_DIMENSIONS],
                              hid_t *object) {
  enum { SHARE_MOST = 1 << 30 };
  hsize_t shape[H5S_MAX_RANK];
  size_t share = es_type_size(info->type);
  *object = H5Dopen2(r->reader.file, info->name, H5P_DEFAULT);
  if (*object < 0) return es_reader_broken(&r->reader, info->name);
  ES_HDF5_ID space = H5Dget_space(*object);
  bool good = H5Sget_simple_extent_ndims(space) == info->rank + 1 &&
              H5Sget_simple_extent_dims(space, shape, NULL) == info->rank + 1 && (int64_t)shape[0] == r->info.n_points;
  for (int k = 0; k < info->rank && good; k++) {
    good = is_extent(info->dimensions[k], shape[k + 1], &extent[info->dimensions[k]]);
    share = share <= SHARE_MOST ? share * (size_t)shape[k + 1] : share;
  }
  if (!good) return es_reader_foreign(&r->reader, "%s has other dimensions", info->name);
  const char *lie = es_hdf5_check_size(*object, 1, 1);
  if (share > SHARE_MOST) lie = "is larger than any result";
  return lie == NULL ? ES_OK : es_reader_foreign(&r->reader, "%s %s", info->name, lie);
}

/* Creates the result into which every point is read in turn, with the largest extents. */
static es_code_t make_result(merged_t *r, hid_t object[SUMMARIZED]) {
  static const bool core[ES_FIELD_GROUPS] = {[ES_GROUP_CORE] = true};
  int64_t extent[ES_DIMENSIONS] = {0};
  for (int i = 0; i < SUMMARIZED; i++) {
    if (has(r, summarized[i])) ES_TRY(open_numbers(r, es_field_info(summarized[i]), extent, &object[i]));
  }
  r->reader.result = es_result_allocate(extent, core);
  for (int i = 0; i < SUMMARIZED; i++) {
    if (r->reader.result == NULL || (object[i] >= 0 && !es_result_allocate_field(r->reader.result, summarized[i])))
      return es_reader_out_of_memory(&r->reader);
  }
  return es_reader_coordinate(&r->reader, ES_DIM_DELTA);
}

static es_code_t read_numbers(const merged_t *r, const hid_t object[SUMMARIZED], int64_t row) {
  const es_result_t *result = r->reader.result;
  for (int i = 0; i < SUMMARIZED; i++) {
    if (object[i] < 0) continue;
    const es_field_info_t *info = es_field_info(summarized[i]);
    es_hdf5_block_t block = {.rank = info->rank + 1, .start = {(hsize_t)row}, .count = {1}};
    for (int k = 0; k < info->rank; k++) block.count[k + 1] = (hsize_t)result->extent[info->dimensions[k]];
    char reason[ES_HDF5_REASON_SIZE];
    if (es_hdf5_read(object[i], es_type_in_memory(info->type), &block, result->data[summarized[i]], reason) != ES_OK)
      return es_reader_damaged(&r->reader, info->name, reason);
  }
  return ES_OK;
}

static const char *cell_text(const column_t *column, int64_t row, char number[32]) {
  number[0] = '\0';
  if (column->type == ES_TYPE_STRING) {
    const char *text = ((const char *const *)column->data)[row];
    return text != NULL ? text : "";
  }
  if (column->type == ES_TYPE_I64) {
    snprintf(number, 32, "%lld", (long long)((const int64_t *)column->data)[row]);
  } else if (!isnan(((const double *)column->data)[row])) {
    es_text_double(((const double *)column->data)[row], number);
  }
  return number;
}

/* ---- names of layers ---- */

/* The variable layer_name; the names of one point at a time. */
typedef struct names {
  const char *pattern; /* of the chosen layers */
  hid_t object, space; /* of one point's names in memory */
  char **list;         /* owned; its strings are allocated by HDF5 */
  hsize_t n;
  bool found; /* some layer is chosen */
} names_t;

static es_code_t open_names(names_t *names, const merged_t *r) {
  hsize_t shape[H5S_MAX_RANK];
  names->object = H5Dopen2(r->reader.file, "layer_name", H5P_DEFAULT);
  if (names->object < 0) return es_reader_broken(&r->reader, "layer_name");
  names->n = (hsize_t)r->reader.result->extent[ES_DIM_LAYER];
  ES_HDF5_ID space = H5Dget_space(names->object), type = H5Dget_type(names->object);
  if (H5Sget_simple_extent_ndims(space) != 2 || H5Sget_simple_extent_dims(space, shape, NULL) != 2 ||
      shape[0] != (hsize_t)r->info.n_points || shape[1] != names->n || H5Tis_variable_str(type) <= 0)
    return es_reader_foreign(&r->reader, "layer_name must be the names of all layers of all points");
  names->space = H5Screate_simple(1, &names->n, NULL);
  names->list = es_allocate_zero(names->n, sizeof *names->list);
  return names->list != NULL ? ES_OK : es_reader_out_of_memory(&r->reader);
}

static void reclaim_names(names_t *names) {
  ES_HDF5_ID text = es_hdf5_string_type();
  if (names->list == NULL) return;
  H5Dvlen_reclaim(text, names->space, H5P_DEFAULT, names->list);
  memset(names->list, 0, (size_t)names->n * sizeof *names->list);
}

static es_code_t read_names(names_t *names, const merged_t *r, int64_t row) {
  const es_hdf5_block_t block = {.rank = 2, .start = {(hsize_t)row}, .count = {1, names->n}};
  char reason[ES_HDF5_REASON_SIZE];
  ES_HDF5_ID text = es_hdf5_string_type();
  reclaim_names(names);
  if (es_hdf5_read(names->object, text, &block, names->list, reason) != ES_OK)
    return es_reader_damaged(&r->reader, "layer_name", reason);
  return ES_OK;
}

static void close_names(names_t *names) {
  reclaim_names(names);
  es_hdf5_close(&names->space);
  es_hdf5_close(&names->object);
  es_free(names->list);
}

/* ---- points ---- */

/* Counts the instruction set of a point. */
static void count_kind(merged_t *r, int64_t row) {
  char kind[ES_KIND_SIZE], number[PROVENANCE][32];
  const char *text[PROVENANCE];
  for (int i = 0; i < PROVENANCE; i++)
    text[i] = r->column_of[i] >= 0 ? cell_text(&r->columns[r->column_of[i]], row, number[i])
                                   : es_reader_text(&r->reader, provenance[i]);
  es_kind_name(kind, text[0], text[1]);
  es_kinds_add(&r->kinds, kind);
}

/* Number of probes of the point that did not converge, on its own dataset and on others. */
static int64_t count_unconverged(const es_result_t *result) {
  static const es_field_t fields[] = {ES_FIELD_PROBE_CONVERGED, ES_FIELD_PROBE_DATASET_CONVERGED};
  int64_t n = 0;
  for (size_t k = 0; k < sizeof fields / sizeof *fields; k++) {
    const uint8_t *converged = result->data[fields[k]];
    int64_t all = converged != NULL ? 1 : 0;
    for (int d = 0; d < es_field_info(fields[k])->rank; d++)
      all *= result->extent[es_field_info(fields[k])->dimensions[d]];
    for (int64_t i = 0; i < all; i++) n += converged[i] == 0;
  }
  return n;
}

/* Where points go, and at which delta. */
typedef struct visitor {
  es_merged_visit_t *visit;
  void *context;
  int64_t delta;
} visitor_t;

/* Visits a point once for each chosen layer, or once without a layer. */
static es_code_t visit_layers(const merged_t *r, const visitor_t *v, names_t *names, int64_t row,
                              es_merged_point_t *point) {
  bool any = false;
  ES_TRY(read_names(names, r, row));
  for (hsize_t i = 0; i < names->n; i++) {
    point->layer = names->list[i] != NULL ? names->list[i] : "";
    if (point->layer[0] == '\0' || !es_text_match(names->pattern, point->layer)) continue;
    point->saturation = es_result_layer_saturation(r->reader.result, v->delta, (int64_t)i);
    v->visit(v->context, &r->info, point);
    any = true;
  }
  names->found = names->found || any;
  point->layer = "";
  point->saturation = NAN;
  if (!any) v->visit(v->context, &r->info, point);
  return ES_OK;
}

static es_code_t visit_points(merged_t *r, const visitor_t *v, names_t *names, const hid_t object[SUMMARIZED]) {
  r->info.delta = r->reader.result->delta[v->delta];
  r->info.layers_chosen = names->pattern != NULL;
  v->visit(v->context, &r->info, NULL);
  for (int64_t row = 0; row < r->info.n_points; row++) {
    char numbers[COLUMNS_MAX][32];
    const char *cells[COLUMNS_MAX];
    ES_TRY(read_numbers(r, object, row));
    count_kind(r, row);
    for (int i = 0; i < r->info.n_names; i++) {
      cells[i] = cell_text(&r->columns[i], row, numbers[i]);
      if (r->older) cells[i] = es_older_word(r->names[i], cells[i]);
    }
    es_merged_point_t point = {.cells = cells,
                               .accuracy = es_result_last_value(r->reader.result, ES_FIELD_ACCURACY),
                               .saturation = es_result_last_saturation(r->reader.result, v->delta),
                               .unconverged = count_unconverged(r->reader.result)};
    if (names->pattern != NULL)
      ES_TRY(visit_layers(r, v, names, row, &point));
    else
      v->visit(v->context, &r->info, &point);
  }
  if (names->pattern == NULL || names->found) return ES_OK;
  const char *first = names->list[0] != NULL ? names->list[0] : "", *last = first;
  for (hsize_t i = 0; i < names->n; i++) {
    if (names->list[i] != NULL && names->list[i][0] != '\0') last = names->list[i];
  }
  return es_reader_no_layer(&r->reader, names->pattern, first, last);
}

es_code_t es_merged_read(const char *path, double delta, const char *layer, es_merged_visit_t *visit, void *context,
                         es_status_t *status) {
  merged_t r = {.reader = {.path = path, .status = status, .kind = "merged file"}};
  hid_t object[SUMMARIZED];
  for (int i = 0; i < SUMMARIZED; i++) object[i] = -1;
  visitor_t visitor = {.visit = visit, .context = context};
  names_t names = {.pattern = layer, .object = -1, .space = -1};
  ES_HDF5_QUIET;
  es_code_t code = es_reader_open_file(&r.reader.file, path, status);
  if (code == ES_OK) code = read_attributes(&r);
  if (code == ES_OK) code = list_names(&r);
  if (code == ES_OK) code = es_older_is(&r.reader, &r.older);
  for (int i = 0; i < r.n_columns && code == ES_OK; i++) code = read_column(&r, i);
  if (code == ES_OK) code = make_result(&r, object);
  if (code == ES_OK) code = es_reader_delta(&r.reader, delta, &visitor.delta);
  if (code == ES_OK && layer != NULL) code = open_names(&names, &r);
  if (code == ES_OK) code = visit_points(&r, &visitor, &names, object);
  close_names(&names);
  for (int i = 0; i < SUMMARIZED; i++) es_hdf5_close(&object[i]);
  const hsize_t n = (hsize_t)r.info.n_points;
  ES_HDF5_ID text = es_hdf5_string_type(), space = r.n_columns > 0 ? H5Screate_simple(1, &n, NULL) : -1;
  for (int i = 0; i < r.n_columns; i++) {
    if (r.columns[i].data != NULL && r.words[i]) H5Dvlen_reclaim(text, space, H5P_DEFAULT, r.columns[i].data);
    es_free(r.columns[i].data);
  }
  es_free(r.list);
  es_reader_destroy(&r.reader);
  return code;
}
