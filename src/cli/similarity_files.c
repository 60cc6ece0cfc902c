/* eigenscope similarity: input and output. */
#include "eigenscope/memory.h"
#include "eigenscope/merge.h"
#include "eigenscope/store.h"
#include "eigenscope/table.h"
#include "similarity.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "similarity";
enum { TABLE_MOST = 24 };

/* ---- input ---- */

static es_code_t open_file(es_compared_t *s, const char *path, es_status_t *status) {
  es_features_t *grown = es_make_room(s->files, s->n_files, sizeof *grown);
  if (grown == NULL) return es_out_of_memory(status, STAGE, "%lld files", (long long)s->n_files);
  s->files = grown;
  es_features_t *file = &s->files[s->n_files++];
  ES_TRY(es_features_open(file, path, status));
  es_features_rest(file);
  const es_features_t *first = &s->files[0];
  if (file->n != first->n || strcmp(file->sample_hash, first->sample_hash) != 0)
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: has features of other samples than %s (sample_hash %s and %s); compare points of one dataset, "
                   "with equal classes, limits and measure.similarity_samples",
                   path, first->path, file->sample_hash, first->sample_hash);
  for (int64_t i = 0; i + 1 < s->n_files; i++) {
    if (strcmp(s->files[i].point_id, file->point_id) == 0)
      return es_fail(status, ES_INPUT, STAGE, "%s: is of the same point as %s; name each point once", path,
                     s->files[i].path);
  }
  return ES_OK;
}

/* Opens the features of the points of a merged file. */
static es_code_t open_merged(es_compared_t *s, const char *path, const char *output, es_status_t *status) {
  es_names_t ids = {0};
  char job[ES_NAME_MAX * 4], folder[ES_PATH_MAX], result[ES_PATH_MAX], features[ES_PATH_MAX];
  es_code_t code = es_merged_ids(path, &ids, job, sizeof job, status);
  if (output != NULL)
    snprintf(folder, sizeof folder, "%s", output);
  else if (code == ES_OK)
    snprintf(folder, sizeof folder, "results/%s", job);
  for (int64_t i = 0; code == ES_OK && i < ids.n; i++) {
    if (!es_result_find(result, folder, ids.items[i]))
      code = es_fail(status, ES_INPUT, STAGE,
                     "%s: the results of its points are not in %s; name their folder by --output", path, folder);
    es_features_path(features, result);
    if (code == ES_OK) code = open_file(s, features, status);
  }
  es_names_destroy(&ids);
  return code;
}

es_code_t es_compared_open(es_compared_t *s, const es_arguments_t *arguments, es_status_t *status) {
  static const char end[] = ".features.h5";
  const char *path, *output = es_arguments_option(arguments, "--output");
  for (int i = 0; (path = es_arguments_positional(arguments, i)) != NULL; i++) {
    const size_t length = strlen(path);
    char features[ES_PATH_MAX];
    if (length >= ES_PATH_MAX - sizeof end) return es_fail(status, ES_INPUT, STAGE, "%.100s...: is too long", path);
    ES_TRY(es_cli_refuse_job(path, STAGE, status));
    snprintf(features, sizeof features, "%s", path);
    const bool own = length > strlen(end) && strcmp(path + length - strlen(end), end) == 0;
    if (!own && es_merged_check(path)) {
      ES_TRY(open_merged(s, path, output, status));
      continue;
    }
    if (!own) es_features_path(features, path);
    ES_TRY(open_file(s, features, status));
  }
  return ES_OK;
}

/* ---- output ---- */

static const char *layer_of(const es_compared_t *s, int64_t i) {
  return s->files[s->sets[i].file].layers[s->sets[i].layer].name;
}

static int32_t epoch_of(const es_compared_t *s, int64_t i) {
  return s->files[s->sets[i].file].epochs[s->sets[i].epoch];
}

static const char *point_of(const es_compared_t *s, int64_t i) {
  return s->files[s->sets[i].file].point_id;
}

/* The name of a set; without the id if there is one point. */
static void append_name(const es_compared_t *s, int64_t i, es_text_t *out) {
  if (s->n_files > 1) es_text_append(out, "%s/", point_of(s, i));
  es_text_append(out, "%d/%s", (int)epoch_of(s, i), layer_of(s, i));
}

static void add_name(const es_compared_t *s, int64_t i, es_table_t *table) {
  es_text_t name = {0};
  append_name(s, i, &name);
  es_table_cell(table, "%s", es_text_get(&name));
  if (name.failed) table->cells.failed = true;
  es_text_destroy(&name);
}

static void print_table(es_table_t *table, es_text_t *out) {
  es_table_print(table, out);
  if (table->cells.failed) out->failed = true;
  es_table_destroy(table);
}

static void append_matrix(const es_compared_t *s, es_text_t *out) {
  es_table_t table = {0};
  char number[24];
  es_table_column(&table, "set", true);
  es_table_column(&table, s->n_files > 1 ? "point/epoch/layer" : "epoch/layer", false);
  for (int64_t i = 0; i < s->count; i++) {
    snprintf(number, sizeof number, "%lld", (long long)i);
    es_table_column(&table, number, true);
  }
  for (int64_t i = 0; i < s->count; i++) {
    es_table_cell(&table, "%lld", (long long)i);
    add_name(s, i, &table);
    for (int64_t k = 0; k < s->count; k++) es_table_number(&table, s->cka[i * s->count + k]);
  }
  print_table(&table, out);
}

/* Mean of CKA over pairs of sets that have this layer's name and fit the question. */
typedef struct mean {
  double sum;
  int64_t n;
} mean_t;

static void add(mean_t *mean, double value) {
  if (isnan(value)) return;
  mean->sum += value;
  mean->n++;
}

static double mean_of(const mean_t *mean) {
  return mean->n > 0 ? mean->sum / (double)mean->n : (double)NAN;
}

static bool is_last(const es_compared_t *s, int64_t i) {
  return i + 1 == s->count || s->sets[i + 1].file != s->sets[i].file || s->sets[i + 1].epoch == s->sets[i].epoch
             ? s->sets[i].epoch == s->files[s->sets[i].file].n_epochs - 1
             : false;
}

/* One line for each name of a layer: its likeness between epochs, and between points. */
static void append_layers(const es_compared_t *s, es_text_t *out) {
  es_table_t table = {0};
  es_table_columns(&table, "layer|>sets|>next epoch|>first to last|>points, last epoch");
  for (int64_t first = 0; first < s->count; first++) {
    mean_t next = {0}, whole = {0}, points = {0};
    int64_t n = 0;
    bool seen = false;
    for (int64_t i = 0; i < first && !seen; i++) seen = strcmp(layer_of(s, i), layer_of(s, first)) == 0;
    if (seen) continue;
    for (int64_t a = first; a < s->count; a++) {
      if (strcmp(layer_of(s, a), layer_of(s, first)) != 0) continue;
      int64_t followers = 0, last = -1;
      n++;
      for (int64_t b = a + 1; b < s->count; b++) {
        if (strcmp(layer_of(s, b), layer_of(s, first)) != 0) continue;
        const double value = s->cka[a * s->count + b];
        if (s->sets[b].file != s->sets[a].file) {
          if (is_last(s, a) && is_last(s, b)) add(&points, value);
        } else {
          if (followers++ == 0) add(&next, value);
          last = b;
        }
      }
      bool earlier = false;
      for (int64_t b = first; b < a; b++)
        earlier = earlier || (s->sets[b].file == s->sets[a].file && s->sets[b].layer == s->sets[a].layer);
      if (!earlier && last >= 0) add(&whole, s->cka[a * s->count + last]);
    }
    es_table_cell(&table, "%s", layer_of(s, first));
    es_table_cell(&table, "%lld", (long long)n);
    es_table_number(&table, mean_of(&next));
    es_table_number(&table, mean_of(&whole));
    es_table_number(&table, mean_of(&points));
  }
  print_table(&table, out);
}

static void append_pairs(const es_compared_t *s, es_text_t *out) {
  es_table_t table = {0};
  es_table_columns(&table, "set|set|>Procrustes distance");
  for (int64_t i = 0; i < s->n_pairs; i++) {
    add_name(s, s->pairs[i][0], &table);
    add_name(s, s->pairs[i][1], &table);
    es_table_number(&table, s->procrustes[i]);
  }
  es_text_append(out, "\n");
  print_table(&table, out);
}

static void append_kinds(const es_compared_t *s, es_text_t *out) {
  static const char *const words[ES_SET_KINDS] = {
      [ES_SET_DEAD] = "dead (the features do not vary), so its similarities are NaN",
      [ES_SET_NOT_FINITE] = "not finite, so its similarities are NaN",
      [ES_SET_FLAT] = "flat (as if only one sample differs), so its CKA is NaN"};
  for (int64_t i = 0; i < s->count; i++) {
    if (s->kinds[i] == ES_SET_USUAL) continue;
    append_name(s, i, out);
    es_text_append(out, ": %s\n", words[s->kinds[i]]);
  }
}

static void append_table(const es_compared_t *s, es_text_t *out) {
  es_text_append(out, "debiased linear CKA of %lld set%s of features, %lld point%s, %lld samples\n",
                 (long long)s->count, es_plural(s->count), (long long)s->n_files, es_plural(s->n_files),
                 (long long)s->files[0].n);
  if (s->count <= TABLE_MOST)
    append_matrix(s, out);
  else
    append_layers(s, out);
  if (s->n_pairs > 0) append_pairs(s, out);
  append_kinds(s, out);
  if (s->count > TABLE_MOST) es_text_append(out, "--format csv or --to FILE.h5 gives all pairs\n");
}

static void append_number(double value, es_text_t *out) {
  char number[32];
  es_text_append(out, ",%s", isnan(value) ? "" : es_text_double(value, number));
}

static void append_set(const es_compared_t *s, int64_t i, es_text_t *out) {
  es_text_append(out, "%s,%d,", point_of(s, i), (int)epoch_of(s, i));
  es_text_append_csv(out, layer_of(s, i));
  es_text_append(out, ",");
}

/* One line for each pair of sets, and for each Procrustes distance another one. */
static void append_csv(const es_compared_t *s, es_text_t *out) {
  es_text_append(out, "point_a,epoch_a,layer_a,point_b,epoch_b,layer_b,measure,value\n");
  for (int64_t a = 0; a < s->count && !out->failed; a++) {
    for (int64_t b = a; b < s->count; b++) {
      append_set(s, a, out);
      append_set(s, b, out);
      es_text_append(out, "cka");
      append_number(s->cka[a * s->count + b], out);
      es_text_append(out, "\n");
    }
  }
  for (int64_t i = 0; i < s->n_pairs; i++) {
    append_set(s, s->pairs[i][0], out);
    append_set(s, s->pairs[i][1], out);
    es_text_append(out, "procrustes");
    append_number(s->procrustes[i], out);
    es_text_append(out, "\n");
  }
}

static void write_file(const es_compared_t *s, es_text_t *out, es_status_t *status) {
  es_owned_t owned = {0};
  const size_t n = (size_t)s->count;
  const char **points = es_owned_allocate(&owned, n, sizeof *points);
  const char **layers = es_owned_allocate(&owned, n, sizeof *layers);
  int32_t *epochs = es_owned_allocate(&owned, n, sizeof *epochs);
  if (owned.failed) es_out_of_memory(status, STAGE, "%lld sets", (long long)s->count);
  for (int64_t i = 0; !owned.failed && i < s->count; i++) {
    points[i] = point_of(s, i);
    layers[i] = layer_of(s, i);
    epochs[i] = epoch_of(s, i);
  }
  const es_similarity_content_t content = {.count = s->count,
                                           .point = points,
                                           .layer = layers,
                                           .epoch = epochs,
                                           .kinds = s->kinds,
                                           .cka = s->cka,
                                           .n_pairs = s->n_pairs,
                                           .pairs = (const int64_t(*)[2])s->pairs,
                                           .procrustes = s->procrustes,
                                           .samples = s->files[0].n,
                                           .sample_hash = s->files[0].sample_hash,
                                           .creator = es_cli_creator()};
  if (!owned.failed && es_similarity_write(s->to, &content, status) == ES_OK) {
    es_text_append(out, "%s: debiased linear CKA of %lld set%s", s->to, (long long)s->count, es_plural(s->count));
    if (s->n_pairs > 0)
      es_text_append(out, ", %lld Procrustes distance%s", (long long)s->n_pairs, es_plural(s->n_pairs));
    es_text_append(out, "\n");
    append_kinds(s, out);
  }
  es_owned_free(&owned);
}

void es_compared_print(const es_compared_t *s, es_text_t *out, es_status_t *status) {
  if (s->to != NULL)
    write_file(s, out, status);
  else if (s->csv)
    append_csv(s, out);
  else
    append_table(s, out);
}
