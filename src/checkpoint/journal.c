/* Format of a segment: the line JOURNAL_START, then records.
 *
 * A record: 8 bytes length, the content, 8 bytes xxh3 of the content, seeded with the hash of the record before it
 * (also across segments), all little-endian.
 *
 * The content: a sequence of entries about tensors, which are numbered in the order of declaration. Numbers are varints
 * (7 bits a byte, low bits first). An entry begins with 4 · step + kind. The step leads from the tensor of the entry
 * before (-1 before the first) to that of this entry: 2n forwards by n, 2n + 1 back by n. The kinds:
 *
 * - DECLARE: name and dtype (length, bytes), rank, lengths, elements of a row, and the bytes of one element, which all
 *   elements of the tensor have until a row is written.
 * - ROWS: number of runs; for each run the rows that are skipped and the rows that follow; then the bytes of these
 * rows.
 * - SAME_ROWS: the bytes of the same rows as in the last entry of kind ROWS.
 * - REMOVE: the tensor is no longer part of the state. */
#include "eigenscope/journal.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/point.h"
#include "safetensors.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_START     "eigenscope journal 1\n"
#define JOURNAL_EXTENSION "journal"
enum { START = sizeof JOURNAL_START - 1, WORD = 8, NAME_MOST = 128, VARINT_MOST = 10, ELEMENT_MOST = 8 };
enum { DECLARE, ROWS, SAME_ROWS, REMOVE, KINDS };

static const char STAGE[] = "checkpoint";

typedef struct es_journal_segment {
  char name[NAME_MOST]; /* within the folder of the state */
  uint64_t length;      /* 0: nothing was written yet */
  uint64_t hash;        /* of the last record; of the segment before while there is none */
} segment_t;

typedef struct es_journal_tensor {
  es_tensor_view_t view; /* data: owned content while loading, else NULL */
  uint64_t *hashes;      /* owned; of each row */
  int64_t n_rows;
  size_t row_bytes;
  bool live; /* part of the state */
} tensor_t;

/* ---- names ---- */

/* The state's path without its extension: the start of the names of its segments. */
static void stem_of(const char *path, char out[ES_PATH_MAX]) {
  const char *slash = strrchr(path, '/'), *dot = strchr(slash != NULL ? slash : path, '.');
  snprintf(out, ES_PATH_MAX, "%.*s", (int)(dot != NULL ? dot - path : (long)strlen(path)), path);
}

/* The path of a segment beside the state at `path`. */
static void beside(const char *path, const char *name, char out[ES_PATH_MAX + NAME_MOST]) {
  const char *slash = strrchr(path, '/');
  snprintf(out, ES_PATH_MAX + NAME_MOST, "%.*s%s", (int)(slash != NULL ? slash + 1 - path : 0), path, name);
}

/* Reads one "name:length:hash" of a list; returns the rest of the list, NULL at its end or if it is wrong. */
static const char *read_segment(const char *list, segment_t *out, bool *wrong) {
  list += strspn(list, " ");
  *wrong = false;
  if (*list == '\0') return NULL;
  const size_t name = strcspn(list, ": ");
  char *end = NULL;
  *wrong = true;
  if (name == 0 || name >= NAME_MOST || list[name] != ':' || memchr(list, '/', name) != NULL) return NULL;
  *out = (segment_t){0};
  memcpy(out->name, list, name);
  out->length = strtoull(list + name + 1, &end, 10);
  if (*end != ':') return NULL;
  out->hash = strtoull(end + 1, &end, 16);
  if (*end != ' ' && *end != '\0') return NULL;
  *wrong = false;
  return end;
}

static bool is_whole(const char *path, const segment_t *segment) {
  char own[ES_PATH_MAX + NAME_MOST];
  struct stat facts;
  beside(path, segment->name, own);
  return stat(own, &facts) == 0 && S_ISREG(facts.st_mode) && (uint64_t)facts.st_size >= segment->length;
}

bool es_journal_exists(const char *path, const char *list) {
  segment_t segment;
  bool wrong;
  while ((list = read_segment(list, &segment, &wrong)) != NULL) {
    if (!is_whole(path, &segment)) return false;
  }
  return !wrong;
}

static void remove_file(const char *name) {
  unlink(name);
}

void es_journal_remove(const char *path) {
  char stem[ES_PATH_MAX];
  stem_of(path, stem);
  es_file_each(stem, JOURNAL_EXTENSION, remove_file);
}

/* ---- tensors ---- */

void es_journal_close(es_journal_t *journal) {
  for (int i = 0; i < journal->n_tensors; i++) {
    es_free(journal->tensors[i].hashes);
    es_free((void *)journal->tensors[i].view.data);
  }
  if (journal->writes) close(journal->descriptor);
  es_free(journal->tensors);
  es_free(journal->segments);
  *journal = (es_journal_t){0};
}

/* Adds a tensor, with hashes of 0. Returns NULL without memory, or if its rows do not divide it. */
static tensor_t *add_tensor(es_journal_t *journal, const es_tensor_view_t *view) {
  const int64_t count = es_tensor_count(view);
  if (view->row < 1 || count % view->row != 0) return NULL;
  tensor_t *grown = es_make_room(journal->tensors, journal->n_tensors, sizeof *grown);
  if (grown == NULL) return NULL;
  journal->tensors = grown;
  tensor_t *t = &grown[journal->n_tensors];
  *t = (tensor_t){.view = *view,
                  .n_rows = count / view->row,
                  .row_bytes = (size_t)view->row * es_dtype_size(view->dtype),
                  .live = true};
  t->view.data = NULL;
  t->hashes = es_allocate_zero((size_t)t->n_rows, sizeof *t->hashes);
  if (t->hashes == NULL) return NULL;
  journal->n_tensors++;
  return t;
}

static bool is_same(const es_tensor_view_t *a, const es_tensor_view_t *b) {
  return a->dtype == b->dtype && a->rank == b->rank && a->row == b->row && strcmp(a->name, b->name) == 0 &&
         memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

/* ---- writing ---- */

static void put_number(es_text_t *out, uint64_t value) {
  char bytes[VARINT_MOST];
  size_t n = 0;
  for (; value >= 128; value >>= 7) bytes[n++] = (char)(value | 128);
  bytes[n++] = (char)value;
  es_text_append_bytes(out, bytes, n);
}

static void put_text(es_text_t *out, const char *text) {
  put_number(out, strlen(text));
  es_text_append_bytes(out, text, strlen(text));
}

static void put_word(es_text_t *out, uint64_t value) {
  char bytes[WORD];
  for (int i = 0; i < WORD; i++) bytes[i] = (char)(value >> 8 * i);
  es_text_append_bytes(out, bytes, WORD);
}

/* Runs of rows: pairs of the first row and the number of rows. */
typedef struct runs {
  int64_t (*list)[2]; /* owned */
  int n;
} runs_t;

/* A record under construction. */
typedef struct record {
  es_text_t content;
  int64_t last; /* tensor of the entry before; −1 at the start */
  runs_t runs;  /* of the last entry with rows */
} record_t;

static void put_tag(record_t *record, int64_t number, int kind) {
  const uint64_t step =
      (uint64_t)(number > record->last ? 2 * (number - record->last) : 2 * (record->last - number) + 1);
  put_number(&record->content, step * KINDS + (uint64_t)kind);
  record->last = number;
}

static void put_declaration(record_t *record, int64_t number, const es_tensor_view_t *view, const void *fill) {
  es_text_t *out = &record->content;
  put_tag(record, number, DECLARE);
  put_text(out, view->name);
  put_text(out, es_dtype_name(view->dtype));
  put_number(out, (uint64_t)view->rank);
  for (int i = 0; i < view->rank; i++) put_number(out, (uint64_t)view->shape[i]);
  put_number(out, (uint64_t)view->row);
  es_text_append_bytes(out, fill, es_dtype_size(view->dtype));
}

/* True if all elements of a row equal `fill`. */
static bool is_filled(const char *row, size_t bytes, const void *fill, size_t size) {
  return memcmp(row, fill, size) == 0 && memcmp(row, row + size, bytes - size) == 0;
}

/* Finds the rows of a tensor that differ: from `fill` if the tensor is new, else from their hashes. False without
 * memory. */
static bool find_changes(tensor_t *t, const char *data, const void *fill, runs_t *out) {
  const size_t size = es_dtype_size(t->view.dtype);
  *out = (runs_t){0};
  for (int64_t row = 0; row < t->n_rows; row++, data += t->row_bytes) {
    const uint64_t hash = es_hash(data, t->row_bytes, 0);
    const bool same = fill != NULL ? is_filled(data, t->row_bytes, fill, size) : hash == t->hashes[row];
    t->hashes[row] = hash;
    if (same) continue;
    if (out->n > 0 && out->list[out->n - 1][0] + out->list[out->n - 1][1] == row) {
      out->list[out->n - 1][1]++;
      continue;
    }
    int64_t(*grown)[2] = es_make_room(out->list, out->n, sizeof *grown);
    if (grown == NULL) return false;
    out->list = grown;
    grown[out->n][0] = row;
    grown[out->n++][1] = 1;
  }
  return true;
}

static bool put_rows(record_t *record, int64_t number, tensor_t *t, const char *data, const void *fill) {
  es_text_t *out = &record->content;
  runs_t runs;
  const bool good = find_changes(t, data, fill, &runs);
  if (!good || runs.n == 0) {
    es_free(runs.list);
    return good;
  }
  const bool same =
      runs.n == record->runs.n && memcmp(runs.list, record->runs.list, (size_t)runs.n * sizeof *runs.list) == 0;
  put_tag(record, number, same ? SAME_ROWS : ROWS);
  if (!same) put_number(out, (uint64_t)runs.n);
  int64_t end = 0;
  for (int i = 0; i < runs.n && !same; i++) {
    put_number(out, (uint64_t)(runs.list[i][0] - end));
    put_number(out, (uint64_t)runs.list[i][1]);
    end = runs.list[i][0] + runs.list[i][1];
  }
  for (int i = 0; i < runs.n; i++)
    es_text_append_bytes(out, data + (size_t)runs.list[i][0] * t->row_bytes, (size_t)runs.list[i][1] * t->row_bytes);
  es_free(record->runs.list);
  record->runs = runs;
  return true;
}

/* Finds the live tensor of a view. Views keep their order, so the tensor after the last one found comes first. */
static int find(const es_journal_t *journal, const es_tensor_view_t *view, int after) {
  for (int i = 0; i < journal->n_tensors; i++) {
    const int at = (after + 1 + i) % journal->n_tensors;
    if (journal->tensors[at].live && is_same(&journal->tensors[at].view, view)) return at;
  }
  return -1;
}

/* Appends the difference between the views and the journal. False without memory. */
static bool put_changes(es_journal_t *journal, const es_tensor_view_t *views, int n, record_t *record) {
  const int before = journal->n_tensors;
  bool good = true, *seen = es_allocate_zero((size_t)before + 1, sizeof *seen);
  if (seen == NULL) return false;
  for (int i = 0, last = -1; i < n && good; i++) {
    const es_tensor_view_t *view = &views[i];
    if (view->row < 1 || es_tensor_count(view) == 0) continue;
    const int at = find(journal, view, last);
    const size_t size = es_dtype_size(view->dtype);
    const char *fill = at >= 0 ? NULL : (const char *)view->data + ((size_t)es_tensor_count(view) - 1) * size;
    tensor_t *t = at >= 0 ? &journal->tensors[at] : add_tensor(journal, view);
    good = t != NULL;
    if (!good) break;
    last = (int)(t - journal->tensors);
    if (last < before) seen[last] = true;
    if (fill != NULL) put_declaration(record, last, view, fill);
    good = put_rows(record, last, t, view->data, fill);
  }
  for (int i = 0; i < before && good; i++) {
    if (!journal->tensors[i].live || seen[i]) continue;
    journal->tensors[i].live = false;
    put_tag(record, i, REMOVE);
  }
  es_free(seen);
  return good && !record->content.failed;
}

static es_code_t begin_segment(es_journal_t *journal, const char *path, es_status_t *status) {
  char stem[ES_PATH_MAX];
  es_text_t name = {0};
  stem_of(path, stem);
  segment_t *grown = es_make_room(journal->segments, journal->n_segments, sizeof *grown);
  if (grown == NULL) return es_out_of_memory(status, STAGE, "%s", path);
  journal->segments = grown;
  const es_code_t code = es_file_create_unique(&journal->descriptor, &name, stem, JOURNAL_EXTENSION, status);
  if (code == ES_OK) {
    const uint64_t hash = journal->n_segments > 0 ? grown[journal->n_segments - 1].hash : 0;
    segment_t *own = &grown[journal->n_segments++];
    *own = (segment_t){.hash = hash};
    const char *slash = strrchr(es_text_get(&name), '/');
    snprintf(own->name, sizeof own->name, "%s", slash != NULL ? slash + 1 : es_text_get(&name));
    journal->writes = true;
  }
  es_text_destroy(&name);
  return code;
}

/* Appends one record to the segment of this process. */
static es_code_t write_record(es_journal_t *journal, const char *path, const es_text_t *content, es_status_t *status) {
  if (!journal->writes) ES_TRY(begin_segment(journal, path, status));
  segment_t *own = &journal->segments[journal->n_segments - 1];
  const uint64_t hash = es_hash(content->data, content->length, own->hash);
  char name[ES_PATH_MAX + NAME_MOST];
  es_text_t record = {0};
  beside(path, own->name, name);
  if (own->length == 0) es_text_append_bytes(&record, JOURNAL_START, START);
  put_word(&record, content->length);
  es_text_append_bytes(&record, es_text_get(content), content->length);
  put_word(&record, hash);
  es_code_t code = record.failed
                       ? es_out_of_memory(status, STAGE, "%s", name)
                       : es_file_write_at(journal->descriptor, name, own->length, record.data, record.length, status);
  if (code == ES_OK) {
    own->length += record.length;
    own->hash = hash;
    journal->dirty = true;
  } else if (own->length == 0) {
    unlink(name); /* no state names it */
  }
  es_text_destroy(&record);
  return code;
}

es_code_t es_journal_append(es_journal_t *journal, const char *path, const es_tensor_view_t *views, int n,
                            es_text_t *list, es_status_t *status) {
  record_t record = {.last = -1};
  bool whole = true;
  for (int i = 0; i < journal->n_segments && whole; i++) whole = is_whole(path, &journal->segments[i]);
  if (!whole) es_journal_close(journal);
  es_code_t code = put_changes(journal, views, n, &record) ? ES_OK : es_out_of_memory(status, STAGE, "%s", path);
  if (code == ES_OK && record.content.length > 0) code = write_record(journal, path, &record.content, status);
  es_text_destroy(&record.content);
  es_free(record.runs.list);
  for (int i = 0; i < journal->n_segments && code == ES_OK; i++) {
    const segment_t *s = &journal->segments[i];
    es_text_append(list, "%s%s:%" PRIu64 ":%016" PRIx64, i > 0 ? " " : "", s->name, s->length, s->hash);
  }
  if (code == ES_OK && list->failed) code = es_out_of_memory(status, STAGE, "%s", path);
  if (code != ES_OK) es_journal_close(journal); /* hashes may be of rows that were not written */
  return code;
}

es_code_t es_journal_sync(es_journal_t *journal, const char *path, es_status_t *status) {
  char name[ES_PATH_MAX + NAME_MOST];
  if (!journal->dirty) return ES_OK;
  beside(path, journal->segments[journal->n_segments - 1].name, name);
  journal->dirty = false;
  return es_file_sync(journal->descriptor, name, status);
}

/* ---- reading ---- */

/* The rest of a record's content. */
typedef struct cursor {
  const char *at, *end;
  bool wrong;
} cursor_t;

static uint64_t get_number(cursor_t *c) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && c->at < c->end; shift += 7) {
    const unsigned char byte = (unsigned char)*c->at++;
    value |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) return value;
  }
  c->wrong = true;
  return 0;
}

/* Takes `size` bytes; NULL if there are fewer. */
static const char *get_bytes(cursor_t *c, uint64_t size) {
  const char *at = c->at;
  if (size > (uint64_t)(c->end - at)) {
    c->wrong = true;
    return NULL;
  }
  c->at += size;
  return at;
}

static void get_text(cursor_t *c, char *out, size_t size) {
  const uint64_t length = get_number(c);
  const char *text = get_bytes(c, length);
  if (text == NULL || length >= size) {
    c->wrong = true;
    return;
  }
  memcpy(out, text, length);
  out[length] = '\0';
}

/* Creates the content of a declared tensor. False without memory. */
static bool get_declaration(es_journal_t *journal, cursor_t *c, int64_t number) {
  es_tensor_view_t view = {0};
  char dtype[8] = "";
  size_t bytes = 0;
  get_text(c, view.name, sizeof view.name);
  get_text(c, dtype, sizeof dtype);
  view.dtype = es_format_dtype(dtype);
  const uint64_t rank = get_number(c);
  if (c->wrong || view.dtype == ES_DTYPES || rank > ES_TENSOR_RANK_MAX || number != journal->n_tensors)
    return !(c->wrong = true);
  view.rank = (int32_t)rank;
  for (int i = 0; i < view.rank; i++) view.shape[i] = (int64_t)get_number(c);
  view.row = (int64_t)get_number(c);
  const size_t size = es_dtype_size(view.dtype);
  const char *fill = get_bytes(c, size);
  if (c->wrong || !es_format_tensor_bytes(&view, &bytes) || view.row < 1 || es_tensor_count(&view) % view.row != 0)
    return !(c->wrong = true);
  tensor_t *t = add_tensor(journal, &view);
  char *data = t != NULL ? es_allocate(bytes, 1) : NULL;
  if (data == NULL) return false;
  t->view.data = data;
  for (size_t at = 0; at < bytes; at += size) memcpy(data + at, fill, size);
  return true;
}

/* Moves past the encoded runs of an entry. */
static void skip_runs(cursor_t *c) {
  for (uint64_t n = get_number(c); n > 0 && !c->wrong; n--) {
    get_number(c);
    get_number(c);
  }
}

/* Copies rows into a tensor. `runs` is at their encoded runs, `c` at their bytes. */
static void get_rows(const tensor_t *t, cursor_t runs, cursor_t *c) {
  const uint64_t all = (uint64_t)t->n_rows;
  uint64_t at = 0;
  for (uint64_t n = get_number(&runs); n > 0 && !runs.wrong && !c->wrong; n--) {
    const uint64_t skip = get_number(&runs), rows = get_number(&runs);
    const bool fits = skip <= all - at && rows <= all - at - skip;
    const char *data = fits ? get_bytes(c, rows * t->row_bytes) : NULL;
    c->wrong = c->wrong || data == NULL;
    if (data != NULL) memcpy((char *)t->view.data + (at + skip) * t->row_bytes, data, rows * t->row_bytes);
    if (data != NULL) at += skip + rows;
  }
  c->wrong = c->wrong || runs.wrong;
}

/* Applies the content of a record. False without memory; otherwise c->wrong tells a wrong content. */
static bool apply(es_journal_t *journal, cursor_t *c) {
  cursor_t runs = {.wrong = true}; /* of the last entry with rows */
  for (int64_t number = -1; c->at < c->end && !c->wrong;) {
    const uint64_t tag = get_number(c), kind = tag % KINDS, step = tag / KINDS;
    if (c->wrong) break;
    number += step % 2 == 0 ? (int64_t)(step / 2) : -(int64_t)(step / 2);
    if (kind == DECLARE) {
      if (!get_declaration(journal, c, number)) return c->wrong;
      continue;
    }
    c->wrong = number < 0 || number >= journal->n_tensors || !journal->tensors[number].live;
    if (c->wrong) break;
    if (kind == REMOVE) {
      journal->tensors[number].live = false;
      continue;
    }
    if (kind == ROWS) {
      runs = *c;
      skip_runs(c);
    }
    get_rows(&journal->tensors[number], runs, c);
  }
  return true;
}

static uint64_t word_at(const char *bytes) {
  uint64_t value = 0;
  for (int i = WORD - 1; i >= 0; i--) value = value << 8 | (unsigned char)bytes[i];
  return value;
}

static es_code_t damaged(const char *name, const char *what, es_status_t *status) {
  return es_fail(status, ES_INPUT, STAGE, "%s: the journal of the state %s", name, what);
}

/* Applies the records of a segment; `hash` is that of the last record before it. */
static es_code_t read_records(es_journal_t *journal, const segment_t *segment, uint64_t hash, const char *name,
                              const char *data, es_status_t *status) {
  uint64_t at = START;
  if (segment->length < START || memcmp(data, JOURNAL_START, START) != 0)
    return damaged(name, "does not begin like a journal", status);
  while (at < segment->length) {
    const uint64_t left = segment->length - at, size = left >= 2 * WORD ? word_at(data + at) : UINT64_MAX;
    if (left < 2 * WORD || size > left - 2 * WORD) return damaged(name, "is cut off", status);
    const char *content = data + at + WORD;
    hash = es_hash(content, size, hash);
    if (hash != word_at(content + size)) return damaged(name, "is damaged: a record has another xxh3", status);
    cursor_t cursor = {content, content + size, false};
    if (!apply(journal, &cursor)) return es_out_of_memory(status, STAGE, "%s", name);
    if (cursor.wrong) return damaged(name, "has a wrong record", status);
    at += size + 2 * WORD;
  }
  return hash == segment->hash ? ES_OK : damaged(name, "is not the one that the state names", status);
}

static es_code_t read_file(es_journal_t *journal, const segment_t *segment, uint64_t hash, const char *path,
                           es_status_t *status) {
  char name[ES_PATH_MAX + NAME_MOST], *data;
  size_t size;
  beside(path, segment->name, name);
  if (es_file_is_missing(name)) return damaged(name, "is missing", status);
  ES_TRY(es_file_read(name, &data, &size, status));
  const es_code_t code = size >= segment->length ? read_records(journal, segment, hash, name, data, status)
                                                 : damaged(name, "is cut off", status);
  es_free(data);
  return code;
}

static es_code_t read_all(es_journal_t *journal, const char *list, const char *path, es_status_t *status) {
  segment_t segment;
  bool wrong;
  uint64_t hash = 0;
  while ((list = read_segment(list, &segment, &wrong)) != NULL) {
    ES_TRY(read_file(journal, &segment, hash, path, status));
    hash = segment.hash;
    segment_t *grown = es_make_room(journal->segments, journal->n_segments, sizeof *grown);
    if (grown == NULL) return es_out_of_memory(status, STAGE, "%s", path);
    journal->segments = grown;
    grown[journal->n_segments++] = segment;
  }
  return wrong ? es_fail(status, ES_INPUT, STAGE, "%s: the list of journals is wrong", path) : ES_OK;
}

/* Hashes the rows, and moves the content of live tensors to the file. */
static es_code_t hand_over(es_journal_t *journal, es_safetensors_t *file, es_status_t *status) {
  int n = 0;
  es_tensor_view_t *views = es_allocate((size_t)journal->n_tensors, sizeof *views);
  if (views == NULL) return es_out_of_memory(status, STAGE, "%s", es_safetensors_path(file));
  for (int i = 0; i < journal->n_tensors; i++) {
    tensor_t *t = &journal->tensors[i];
    const char *data = t->view.data;
    for (int64_t row = 0; row < t->n_rows; row++)
      t->hashes[row] = es_hash(data + (size_t)row * t->row_bytes, t->row_bytes, 0);
    if (t->live)
      views[n++] = t->view;
    else
      es_free((void *)data);
    t->view.data = NULL;
  }
  const es_code_t code = es_safetensors_add(file, views, n, status);
  es_free(views);
  return code;
}

es_code_t es_journal_load(es_journal_t *journal, const char *list, es_safetensors_t *file, es_status_t *status) {
  es_code_t code = read_all(journal, list, es_safetensors_path(file), status);
  if (code == ES_OK) code = hand_over(journal, file, status);
  if (code != ES_OK) es_journal_close(journal);
  return code;
}
