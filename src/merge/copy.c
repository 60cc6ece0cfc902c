#include "eigenscope/memory.h"
#include "merge_internal.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A field travels in blocks of at most this many bytes (or one row, if that is more): whole along the last dimensions,
 * one after the other along those before. */
enum { BLOCK = 4 << 20 };

/* One field of one point on its way. */
typedef struct trip {
  const es_field_info_t *info;
  es_merge_t *merge;
  const es_result_t *from;
  size_t size; /* of an element */
  hsize_t source[ES_RANK_MAX],
      goal[ES_RANK_MAX];           /* extents in the point's file, and in the merged one without `point` */
  int first;                       /* dimension with which a block begins */
  size_t source_block, goal_block; /* elements */
  bool same;                       /* blocks are the same in both files */
} trip_t;

/* Where an index along a dimension of the point is in the merged file. */
static int64_t move(const trip_t *trip, int place, int64_t index) {
  const es_dimension_t dimension = trip->info->dimensions[place];
  if (!es_merge_by_value(dimension)) return index;
  return es_merge_values_find(&trip->merge->values[dimension], es_merge_value(trip->from, dimension, index));
}

static bool is_identity(const trip_t *trip, int place) {
  if (trip->source[place] != trip->goal[place]) return false;
  for (hsize_t i = 0; es_merge_by_value(trip->info->dimensions[place]) && i < trip->source[place]; i++) {
    if (move(trip, place, (int64_t)i) != (int64_t)i) return false;
  }
  return true;
}

static void plan_trip(trip_t *trip) {
  const es_field_info_t *info = trip->info;
  for (int i = 0; i < info->rank; i++) {
    trip->source[i] = (hsize_t)trip->from->extent[info->dimensions[i]];
    trip->goal[i] = (hsize_t)trip->merge->extent[info->dimensions[i]];
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

/* Counts the indices first … last − 1 on by one; false after the last combination. */
static bool advance(const hsize_t *extent, int first, int last, hsize_t *index) {
  for (int i = last - 1; i >= first; i--) {
    if (++index[i] < extent[i]) return true;
    index[i] = 0;
  }
  return false;
}

/* From one block to the other, row by row along the last dimension. */
static void scatter(const trip_t *trip) {
  es_merge_copy_buffer_t *blocks = &trip->merge->blocks;
  const int last = trip->info->rank - 1;
  const bool straight = !es_merge_by_value(trip->info->dimensions[last]);
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

/* The block that begins at these indices of the point, to its place in the merged file; what is blank stays unwritten.
 */
static void write_block(const trip_t *trip, es_writer_t *draft, hid_t target, int64_t row, const hsize_t *index) {
  const es_field_info_t *info = trip->info;
  const es_merge_copy_buffer_t *blocks = &trip->merge->blocks;
  hsize_t start[ES_RANK_MAX + 1] = {(hsize_t)row}, count[ES_RANK_MAX + 1] = {1};
  for (int i = 0; i < info->rank; i++) {
    start[i + 1] = i < trip->first ? (hsize_t)move(trip, i, (int64_t)index[i]) : 0;
    count[i + 1] = i < trip->first ? 1 : trip->goal[i];
  }
  if (!trip->same) scatter(trip);
  const void *data = trip->same ? blocks->from : blocks->to;
  if (memcmp(data, blocks->blank, trip->goal_block * trip->size) == 0) return;
  hid_t space = es_writer_check(draft, H5Dget_space(target), info->name);
  hid_t memory = es_writer_check(draft, H5Screate_simple(info->rank + 1, count, NULL), info->name);
  if (draft->code == ES_OK) {
    es_writer_check(draft, H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL), info->name);
    es_writer_check(draft, H5Dwrite(target, es_type_in_memory(info->type), memory, space, H5P_DEFAULT, data),
                    info->name);
  }
  if (memory >= 0) H5Sclose(memory);
  if (space >= 0) H5Sclose(space);
}

/* Keeps HDF5's reason when it fails. */
static bool read_block(const trip_t *trip, hid_t object, hid_t space, const hsize_t *index,
                       char reason[ES_HDF5_REASON_SIZE]) {
  hsize_t start[ES_RANK_MAX], count[ES_RANK_MAX];
  for (int i = 0; i < trip->info->rank; i++) {
    start[i] = i < trip->first ? index[i] : 0;
    count[i] = i < trip->first ? 1 : trip->source[i];
  }
  if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0) return false;
  hid_t memory = H5Screate_simple(trip->info->rank, count, NULL);
  bool good = memory >= 0 && H5Dread(object, es_type_in_memory(trip->info->type), memory, space, H5P_DEFAULT,
                                     trip->merge->blocks.from) >= 0;
  if (!good) es_hdf5_reason(reason);
  if (memory >= 0) H5Sclose(memory);
  return good;
}

/* A block of a field that the reader has in memory already. */
static void copy_block(const trip_t *trip, const void *data, const hsize_t *index) {
  const size_t bytes = trip->source_block * trip->size;
  size_t block = 0;
  for (int i = 0; i < trip->first; i++) block = block * trip->source[i] + index[i];
  memcpy(trip->merge->blocks.from, (const char *)data + block * bytes, bytes);
}

es_code_t es_merge_copy_field(es_merge_t *merge, hid_t file, const char *path, const es_result_t *from,
                              es_field_t field, es_writer_t *draft, hid_t target, int64_t row, es_status_t *status) {
  trip_t trip = {.info = es_field_info(field), .merge = merge, .from = from};
  hsize_t index[ES_RANK_MAX] = {0};
  trip.size = es_type_size(trip.info->type);
  assert(trip.info->type != ES_TYPE_STRING);
  plan_trip(&trip);
  if (!make_room(&merge->blocks, &trip)) {
    return es_fail(status, ES_SYSTEM, STORE_STAGE, "%s: cannot be merged: out of memory", path);
  }
  if (draft != NULL) fill_blank(&trip);
  const char *name = trip.info->name;
  const bool in_memory = from->data[field] != NULL;
  if (!in_memory && es_field_is_optional(field) && H5Lexists(file, name, H5P_DEFAULT) == 0) return ES_OK;
  hid_t object = in_memory ? -1 : H5Dopen2(file, name, H5P_DEFAULT), space = object >= 0 ? H5Dget_space(object) : -1;
  char reason[ES_HDF5_REASON_SIZE] = "no reason given";
  bool good = in_memory || space >= 0;
  if (!good) es_hdf5_reason(reason);
  do {
    if (in_memory)
      copy_block(&trip, from->data[field], index);
    else
      good = good && read_block(&trip, object, space, index, reason);
    if (good && draft != NULL) write_block(&trip, draft, target, row, index);
  } while (good && (draft == NULL || draft->code == ES_OK) && advance(trip.source, 0, trip.first, index));
  if (space >= 0) H5Sclose(space);
  if (object >= 0) H5Dclose(object);
  if (good) return draft != NULL ? draft->code : ES_OK;
  return es_fail(status, ES_INPUT, STORE_STAGE, "%s: is damaged: %s cannot be read: %s", path, name, reason);
}
