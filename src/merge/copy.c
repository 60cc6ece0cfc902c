#include "eigenscope/memory.h"
#include "merge_internal.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The most bytes that are copied at once, unless one row is larger. A block is whole along the last dimensions and has
 * one entry of each earlier one. */
enum { BLOCK = 4 << 20 };

/* The most bytes of rows that are held to be written together. */
enum { HELD = 64 << 10 };

/* The copy of one field of one point. */
typedef struct trip {
  es_field_t field;
  const es_field_info_t *info;
  es_merge_t *merge;
  const es_result_t *from;
  size_t size; /* bytes of an element */
  hsize_t source[ES_RANK_MAX],
      goal[ES_RANK_MAX];           /* extents in the point's file, and in the merged file without `point` */
  int first;                       /* the first dimension within a block */
  size_t source_block, goal_block; /* elements */
  bool same;                       /* blocks are equal in both files */
} trip_t;

/* Maps an index along a dimension of the point to the merged file. */
static int64_t move(const trip_t *trip, int place, int64_t index) {
  const es_dimension_t dimension = trip->info->dimensions[place];
  if (dimension == ES_DIM_PROBE_DATASET) return es_merge_datasets_find(trip->merge, trip->from->probe_dataset[index]);
  if (!es_dimension_has_values(dimension)) return index;
  return es_merge_values_find(&trip->merge->values[dimension], es_result_coordinate(trip->from, dimension, index));
}

/* True if indices of points may differ from those of the merged file. */
static bool is_aligned(es_dimension_t dimension) {
  return es_dimension_has_values(dimension) || dimension == ES_DIM_PROBE_DATASET;
}

static bool is_identity(const trip_t *trip, int place) {
  if (trip->source[place] != trip->goal[place]) return false;
  for (hsize_t i = 0; is_aligned(trip->info->dimensions[place]) && i < trip->source[place]; i++) {
    if (move(trip, place, (int64_t)i) != (int64_t)i) return false;
  }
  return true;
}

/* Plans the copy. Without a target the field is only read. */
static void plan_trip(trip_t *trip, bool has_target) {
  const es_field_info_t *info = trip->info;
  for (int i = 0; i < info->rank; i++) {
    trip->source[i] = (hsize_t)trip->from->extent[info->dimensions[i]];
    trip->goal[i] = has_target ? (hsize_t)trip->merge->extent[info->dimensions[i]] : trip->source[i];
  }
  trip->first = info->rank - 1;
  trip->source_block = trip->source[trip->first];
  trip->goal_block = trip->goal[trip->first];
  trip->same = is_identity(trip, trip->first);
  while (trip->first > 0 && trip->goal_block * trip->goal[trip->first - 1] * trip->size <= BLOCK) {
    trip->first--;
    trip->source_block *= trip->source[trip->first];
    trip->goal_block *= trip->goal[trip->first];
    trip->same = trip->same && is_identity(trip, trip->first);
  }
}

static bool make_room(es_merge_copy_buffer_t *blocks, const trip_t *trip) {
  const size_t from = trip->source_block * trip->size, to = trip->goal_block * trip->size;
  if (from > blocks->from_size) {
    es_free(blocks->from);
    blocks->from = es_allocate(from, 1);
    blocks->from_size = blocks->from != NULL ? from : 0;
  }
  if (to > blocks->to_size) {
    es_free(blocks->to);
    es_free(blocks->blank);
    blocks->to = es_allocate(to, 1);
    blocks->blank = es_allocate(to, 1);
    blocks->to_size = blocks->to != NULL && blocks->blank != NULL ? to : 0;
  }
  return from <= blocks->from_size && to <= blocks->to_size;
}

void es_merge_copy_buffer_destroy(es_merge_copy_buffer_t *blocks) {
  es_free(blocks->from);
  es_free(blocks->to);
  es_free(blocks->blank);
  *blocks = (es_merge_copy_buffer_t){0};
}

static void fill_blank(const trip_t *trip) {
  char *blank = trip->merge->blocks.blank;
  const void *fill = es_writer_fill(trip->info);
  for (size_t i = 0; i < trip->goal_block; i++) memcpy(blank + i * trip->size, fill, trip->size);
}

/* Advances the indices first … last − 1 by one combination; false after the last. */
static bool advance(const hsize_t *extent, int first, int last, hsize_t *index) {
  for (int i = last - 1; i >= first; i--) {
    if (++index[i] < extent[i]) return true;
    index[i] = 0;
  }
  return false;
}

/* Copies the source block into the target block, row by row along the last dimension. */
static void scatter(const trip_t *trip) {
  es_merge_copy_buffer_t *blocks = &trip->merge->blocks;
  const int last = trip->info->rank - 1;
  const bool straight = !is_aligned(trip->info->dimensions[last]);
  const char *from = blocks->from;
  hsize_t index[ES_RANK_MAX] = {0};
  memcpy(blocks->to, blocks->blank, trip->goal_block * trip->size);
  do {
    hsize_t at = 0;
    for (int i = trip->first; i < last; i++) at = at * trip->goal[i] + (hsize_t)move(trip, i, (int64_t)index[i]);
    char *to = (char *)blocks->to + at * trip->goal[last] * trip->size;
    if (straight) memcpy(to, from, trip->source[last] * trip->size);
    for (hsize_t i = 0; !straight && i < trip->source[last]; i++) {
      memcpy(to + (size_t)move(trip, last, (int64_t)i) * trip->size, from + i * trip->size, trip->size);
    }
    from += trip->source[last] * trip->size;
  } while (advance(trip->source, trip->first, last, index));
}

void es_merge_flush(es_merge_t *merge, es_field_t field, es_writer_t *writer, hid_t object) {
  const es_field_info_t *info = es_field_info(field);
  es_merge_rows_t *rows = &merge->rows[field];
  es_hdf5_block_t block = {.rank = info->rank + 1, .start = {(hsize_t)rows->first}, .count = {(hsize_t)rows->n}};
  for (int i = 0; i < info->rank; i++) block.count[i + 1] = (hsize_t)merge->extent[info->dimensions[i]];
  if (rows->n > 0) es_writer_write_block(writer, object, info->name, info->type, &block, rows->data);
  rows->n = 0;
}

void es_merge_rows_destroy(es_merge_t *merge) {
  for (int i = 0; i < ES_FIELDS; i++) es_free(merge->rows[i].data);
  memset(merge->rows, 0, sizeof merge->rows);
}

/* Keeps a row, to be written with its neighbours. False if the row is too large for that. */
static bool hold(const trip_t *trip, const es_merge_target_t *target, const void *data) {
  es_merge_rows_t *rows = &trip->merge->rows[trip->field];
  const size_t bytes = trip->goal_block * trip->size;
  const int64_t most = (int64_t)(HELD / (bytes > 0 ? bytes : 1));
  if (trip->first > 0 || most < 2) return false;
  if (rows->data == NULL) {
    rows->data = es_allocate(HELD, 1);
    if (rows->data == NULL) return false;
  }
  if (rows->n > 0 && (rows->first + rows->n != target->row || rows->n == most))
    es_merge_flush(trip->merge, trip->field, target->writer, target->object);
  if (rows->n == 0) rows->first = target->row;
  memcpy(rows->data + (size_t)rows->n++ * bytes, data, bytes);
  return true;
}

/* Writes the block that begins at these indices of the point to its position in the merged file, unless it is blank. */
static void write_block(const trip_t *trip, const es_merge_target_t *target, const hsize_t *index) {
  const es_field_info_t *info = trip->info;
  const es_merge_copy_buffer_t *blocks = &trip->merge->blocks;
  es_hdf5_block_t block = {.rank = info->rank + 1, .start = {(hsize_t)target->row}, .count = {1}};
  for (int i = 0; i < info->rank; i++) {
    block.start[i + 1] = i < trip->first ? (hsize_t)move(trip, i, (int64_t)index[i]) : 0;
    block.count[i + 1] = i < trip->first ? 1 : trip->goal[i];
  }
  if (!trip->same) scatter(trip);
  const void *data = trip->same ? blocks->from : blocks->to;
  if (memcmp(data, blocks->blank, trip->goal_block * trip->size) == 0) return;
  if (hold(trip, target, data)) return;
  es_writer_write_block(target->writer, target->object, info->name, info->type, &block, data);
}

/* Reads the block at these indices: from memory if the reader holds the field, else from the file. */
static es_code_t read_block(const trip_t *trip, hid_t object, const void *data, const hsize_t *index, char *reason) {
  void *out = trip->merge->blocks.from;
  es_hdf5_block_t block = {.rank = trip->info->rank};
  size_t at = 0;
  for (int i = 0; i < trip->info->rank; i++) {
    block.start[i] = i < trip->first ? index[i] : 0;
    block.count[i] = i < trip->first ? 1 : trip->source[i];
    if (i < trip->first) at = at * trip->source[i] + index[i];
  }
  if (data == NULL && trip->first == 0) { /* all of the variable */
    if (H5Dread(object, es_type_in_memory(trip->info->type), H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0) return ES_OK;
    return es_hdf5_reason(reason);
  }
  if (data == NULL) return es_hdf5_read(object, es_type_in_memory(trip->info->type), &block, out, reason);
  const size_t bytes = trip->source_block * trip->size;
  memcpy(out, (const char *)data + at * bytes, bytes);
  return ES_OK;
}

es_code_t es_merge_copy_field(es_merge_t *merge, es_reader_t *point, es_field_t field,
                              const es_merge_target_t *target) {
  trip_t trip = {.field = field, .info = es_field_info(field), .merge = merge, .from = point->result};
  const char *name = trip.info->name;
  const void *data = point->result->data[field];
  hsize_t index[ES_RANK_MAX] = {0};
  trip.size = es_type_size(trip.info->type);
  assert(trip.info->type != ES_TYPE_STRING);
  if (data == NULL && es_field_is_optional(field) && H5Lexists(point->file, name, H5P_DEFAULT) == 0) return ES_OK;
  plan_trip(&trip, target != NULL);
  if (!make_room(&merge->blocks, &trip)) {
    return es_fail(point->status, ES_SYSTEM, STORE_STAGE, "%s: cannot be merged: out of memory", point->path);
  }
  if (target != NULL) fill_blank(&trip);
  ES_HDF5_ID object = -1;
  if (data == NULL) ES_TRY(es_reader_field(point, field, &object));
  char reason[ES_HDF5_REASON_SIZE];
  es_code_t code;
  do {
    code = read_block(&trip, object, data, index, reason);
    if (code == ES_OK && target != NULL) write_block(&trip, target, index);
  } while (code == ES_OK && (target == NULL || target->writer->code == ES_OK) &&
           advance(trip.source, 0, trip.first, index));
  return code == ES_OK ? ES_OK : es_reader_damaged(point, name, reason);
}
