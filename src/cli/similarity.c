/* eigenscope similarity FILE...: CKA and Procrustes distances of the features of layers, epochs and points. */
#include "similarity.h"
#include "eigenscope/blas.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/plan.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "[mpirun -n P] eigenscope similarity FILE.h5... [options]\n\n"
    "Compares the features that run keeps with measure.similarity: true, of all layers, epochs and points in these "
    "files:\n"
    "<id>.features.h5, a result <id>.h5 (its features lie beside it), or a merged file (features lie in the folder of\n"
    "results). Prints the debiased linear CKA of all pairs: 1 for equal representations up to rotation and scale, 0 "
    "for\n"
    "unrelated ones. With --procrustes also the orthogonal Procrustes distance, 0 to 2, of each layer between epochs,\n"
    "and with --pair that of named sets. A set is named ID/EPOCH/LAYER; EPOCH may be last, and ID may be cut, or left\n"
    "out for a single point. All features must be of one sample. Pairs are distributed over the ranks; the numbers "
    "are\n"
    "those of one rank. analysis/README.md has the formulas. report --similarity shows the file of --to as heat maps.";
static const es_option_t options[] = {
    {"--format", "table|csv", false, "format of the output (default: table)"},
    {"--to", "FILE.h5", false,
     "file for the numbers, instead of printing them; only a file of similarities is replaced"},
    {"--layer", "NAME", false, "only the layers with this name; * and ? as in measure.layers"},
    {"--epochs", "all|last|0,1,5", false, "epochs to compare (default: all)"},
    {"--procrustes", NULL, false, "also the Procrustes distance of each layer between all its epochs"},
    {"--pair", "SET=SET", true, "also the Procrustes distance of these two sets, as 3/conv1=last/conv1"},
    {"--output", "DIR", false, "folder of the results of a merged file (default: results/<name of the job>)"},
    {"--memory", "MIB", false, "memory of a rank for features (default: half of what is free, divided by the ranks)"},
};
const es_page_t es_page_similarity = {"similarity", usage, options, sizeof options / sizeof *options};

static const char STAGE[] = "similarity";
enum { FILES_MOST = 1 << 20, SETS_MOST = 46340 };

/* ---- sets ---- */

/* True if an epoch of a file is asked for. */
static bool takes_epoch(const es_compared_t *s, const es_features_t *file, int epoch) {
  const char *text = s->epochs;
  char number[16];
  if (text == NULL || strcmp(text, "all") == 0) return true;
  if (strcmp(text, "last") == 0) return epoch == file->n_epochs - 1;
  snprintf(number, sizeof number, "%d", (int)file->epochs[epoch]);
  for (const char *next = text; next != NULL; next = strchr(next, ',')) {
    next += *next == ',';
    if (strcspn(next, ",") == strlen(number) && strncmp(next, number, strlen(number)) == 0) return true;
  }
  return false;
}

static es_code_t list_sets(es_compared_t *s, es_status_t *status) {
  for (int64_t i = 0; i < s->n_files; i++) {
    const es_features_t *file = &s->files[i];
    for (int epoch = 0; epoch < file->n_epochs; epoch++) {
      for (int layer = 0; takes_epoch(s, file, epoch) && layer < file->n_layers; layer++) {
        if (s->pattern != NULL && !es_text_match(s->pattern, file->layers[layer].name)) continue;
        es_compared_set_t *grown = es_make_room(s->sets, s->count, sizeof *grown);
        if (grown == NULL) return es_out_of_memory(status, STAGE, "%lld sets", (long long)s->count);
        s->sets = grown;
        s->sets[s->count++] = (es_compared_set_t){i, epoch, layer};
      }
    }
  }
  if (s->count == 0)
    return es_fail(status, ES_INPUT, STAGE, "no layer and epoch of these files fits --layer and --epochs");
  if (s->count > SETS_MOST)
    return es_fail(status, ES_INPUT, STAGE,
                   "%lld sets have more pairs than fit into a file; choose some by --layer or --epochs (at most %d)",
                   (long long)s->count, (int)SETS_MOST);
  s->widths = es_allocate((size_t)s->count, sizeof *s->widths);
  if (s->widths == NULL) return es_out_of_memory(status, STAGE, "%lld sets", (long long)s->count);
  for (int64_t i = 0; i < s->count; i++) s->widths[i] = s->files[s->sets[i].file].layers[s->sets[i].layer].width;
  return ES_OK;
}

static es_code_t read_set(void *context, int64_t index, double *out, es_status_t *status) {
  es_compared_t *s = context;
  const es_compared_set_t *set = &s->sets[index];
  if (s->reading != set->file && s->reading >= 0) es_features_rest(&s->files[s->reading]);
  s->reading = set->file;
  return es_features_read(&s->files[set->file], set->epoch, set->layer, out, status);
}

/* ---- pairs ---- */

static es_code_t add_pair(es_compared_t *s, int64_t a, int64_t b, es_status_t *status) {
  int64_t(*grown)[2] = es_make_room(s->pairs, s->n_pairs, sizeof *grown);
  if (grown == NULL) return es_out_of_memory(status, STAGE, "%lld pairs", (long long)s->n_pairs);
  s->pairs = grown;
  s->pairs[s->n_pairs][0] = a;
  s->pairs[s->n_pairs++][1] = b;
  return ES_OK;
}

/* Adds the pairs of each layer between epochs: all with the same first set one after the other. */
static es_code_t add_epochs(es_compared_t *s, es_status_t *status) {
  for (int64_t a = 0; a < s->count; a++) {
    for (int64_t b = a + 1; b < s->count && s->sets[b].file == s->sets[a].file; b++)
      if (s->sets[b].layer == s->sets[a].layer) ES_TRY(add_pair(s, a, b, status));
  }
  return ES_OK;
}

/* Splits [ID/]EPOCH/LAYER: an id, which may be cut, has only hexadecimal digits; LAYER may contain slashes. */
static bool is_named(const es_compared_t *s, int64_t index, const char *name, size_t length) {
  const es_compared_set_t *set = &s->sets[index];
  const es_features_t *file = &s->files[set->file];
  char whole[ES_NAME_MAX + 64];
  for (int last = 0; last < 2; last++) {
    if (last && set->epoch != file->n_epochs - 1) continue;
    char epoch[16];
    snprintf(epoch, sizeof epoch, "%d", (int)file->epochs[set->epoch]);
    const size_t n =
        (size_t)snprintf(whole, sizeof whole, "%s/%s", last ? "last" : epoch, file->layers[set->layer].name);
    if (n == length && strncmp(name, whole, n) == 0) return true;
    if (length <= n || strncmp(name + length - n, whole, n) != 0 || name[length - n - 1] != '/') continue;
    const size_t id = length - n - 1;
    if (id > 0 && id <= strlen(file->point_id) && strncmp(name, file->point_id, id) == 0) return true;
  }
  return false;
}

static es_code_t find_set(const es_compared_t *s, const char *name, size_t length, int64_t *out, es_status_t *status) {
  int64_t found = 0;
  for (int64_t i = 0; i < s->count; i++) {
    if (!is_named(s, i, name, length)) continue;
    *out = i;
    found++;
  }
  if (found == 1) return ES_OK;
  return es_fail(status, ES_INPUT, STAGE, "--pair: %s is called %.*s; write ID/EPOCH/LAYER, as in %s/%d/%s",
                 found == 0 ? "no set" : "more than one set", (int)length, name, s->files[s->sets[0].file].point_id,
                 (int)s->files[s->sets[0].file].epochs[s->sets[0].epoch],
                 s->files[s->sets[0].file].layers[s->sets[0].layer].name);
}

static es_code_t add_named(es_compared_t *s, const char *text, es_status_t *status) {
  const char *equals = strchr(text, '=');
  int64_t a = 0, b = 0;
  if (equals == NULL) return es_fail(status, ES_INPUT, STAGE, "--pair %.100s: must be SET=SET", text);
  ES_TRY(find_set(s, text, (size_t)(equals - text), &a, status));
  ES_TRY(find_set(s, equals + 1, strlen(equals + 1), &b, status));
  return add_pair(s, a, b, status);
}

static es_code_t list_pairs(es_compared_t *s, const es_arguments_t *arguments, es_status_t *status) {
  const char *const *names;
  const int n = es_arguments_all(arguments, "--pair", &names);
  if (es_arguments_option(arguments, "--procrustes") != NULL) ES_TRY(add_epochs(s, status));
  for (int i = 0; i < n; i++) ES_TRY(add_named(s, names[i], status));
  s->procrustes = es_allocate((size_t)s->n_pairs, sizeof *s->procrustes);
  return s->procrustes != NULL ? ES_OK : es_out_of_memory(status, STAGE, "%lld pairs", (long long)s->n_pairs);
}

/* ---- memory ---- */

static int64_t over_node(const es_compared_t *s, int64_t value) {
  if (s->comm == MPI_COMM_NULL) return value;
  MPI_Comm node;
  ES_MPI(MPI_Comm_split_type(s->comm, MPI_COMM_TYPE_SHARED, s->rank, MPI_INFO_NULL, &node));
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_INT64_T, MPI_SUM, node));
  ES_MPI(MPI_Comm_free(&node));
  return value;
}

/* Finds how much memory a rank may use for features; refuses sets that do not fit. Rank 0 has the matrix, too. */
static es_code_t share_memory(es_compared_t *s, const es_arguments_t *arguments, es_status_t *status) {
  int64_t widest = 1, mib = 0;
  for (int64_t i = 0; i < s->count; i++) widest = s->widths[i] > widest ? s->widths[i] : widest;
  es_cli_integer(arguments, "--memory", 1, 1 << 24, &mib, status);
  const int64_t n = s->files[0].n, matrix = s->rank == 0 ? 8 * s->count * s->count : 0;
  const int64_t ranks = over_node(s, 1), need = over_node(s, es_similarity_bytes(n, widest, s->count) + matrix);
  const int64_t available = es_memory_available();
  if (need > available)
    es_fail(
        status, ES_INPUT, STAGE,
        "%lld sets of %lld samples need %s on this node, but %s are free; choose some by --layer or --epochs, or use "
        "fewer ranks on each node",
        (long long)s->count, (long long)n, es_bytes(need).text, es_bytes(available).text);
  s->memory = mib > 0 ? mib << 20 : (available - need) / 2 / ranks;
  return es_agree(s->comm, status);
}

/* ---- the command ---- */

static es_code_t compare(es_compared_t *s, es_status_t *status) {
  const es_similarity_sets_t sets = {s->files[0].n, s->count, read_set, s, s->widths};
  if (s->rank == 0) s->cka = es_allocate((size_t)s->count * (size_t)s->count, sizeof *s->cka);
  if (s->rank == 0) s->kinds = es_allocate((size_t)s->count, sizeof *s->kinds);
  if (s->rank == 0 && (s->cka == NULL || s->kinds == NULL))
    es_out_of_memory(status, STAGE, "the pairs of %lld sets", (long long)s->count);
  ES_TRY(es_agree(s->comm, status));
  ES_TRY(es_similarity_cka(s->cka, s->kinds, &sets, s->memory, s->comm, status));
  if (s->n_pairs == 0) return ES_OK;
  return es_procrustes_pairs(s->procrustes, (const int64_t(*)[2])s->pairs, s->n_pairs, &sets, s->memory, s->comm,
                             status);
}

static void release(es_compared_t *s) {
  for (int64_t i = 0; i < s->n_files; i++) es_features_close(&s->files[i]);
  es_free(s->files);
  es_free(s->sets);
  es_free(s->widths);
  es_free(s->pairs);
  es_free(s->procrustes);
  es_free(s->cka);
  es_free(s->kinds);
}

static es_code_t read_arguments(es_compared_t *s, const es_arguments_t *arguments, es_status_t *status) {
  const char *format = es_arguments_option(arguments, "--format");
  s->pattern = es_arguments_option(arguments, "--layer");
  s->epochs = es_arguments_option(arguments, "--epochs");
  s->to = es_arguments_option(arguments, "--to");
  s->csv = format != NULL && strcmp(format, "csv") == 0;
  if (format != NULL && !s->csv && strcmp(format, "table") != 0)
    return es_fail(status, ES_INPUT, STAGE, "--format %.100s: must be table or csv", format);
  if (s->to != NULL && format != NULL)
    return es_fail(status, ES_INPUT, STAGE, "--format and --to cannot be used together: --to writes an HDF5 file");
  if (s->to != NULL && s->rank == 0)
    ES_TRY(es_cli_check_target(s->to, es_similarity_check, "a file of similarities", STAGE, status));
  ES_TRY(es_compared_open(s, arguments, status));
  ES_TRY(list_sets(s, status));
  return list_pairs(s, arguments, status);
}

static int similarity(const es_arguments_t *arguments, es_status_t *status) {
  es_compared_t s = {.comm = es_cli_launched_rank() >= 0 ? MPI_COMM_WORLD : MPI_COMM_NULL, .size = 1, .reading = -1};
  es_text_t text = {0};
  if (s.comm != MPI_COMM_NULL) ES_MPI(MPI_Comm_rank(s.comm, &s.rank));
  if (s.comm != MPI_COMM_NULL) ES_MPI(MPI_Comm_size(s.comm, &s.size));
  read_arguments(&s, arguments, status);
  if (es_agree(s.comm, status) == ES_OK && share_memory(&s, arguments, status) == ES_OK &&
      compare(&s, status) == ES_OK && s.rank == 0)
    es_compared_print(&s, &text, status);
  if (text.failed) es_out_of_memory(status, STAGE, "the table");
  es_agree(s.comm, status);
  es_cli_print(&text, "the table", status); /* empty on other ranks */
  release(&s);
  if (status->code == ES_SYSTEM) status->code = ES_INPUT; /* no point is run, so the command could not be done */
  return ES_EXIT_OK;
}

int es_cli_similarity(int argc, char **argv) {
  es_blas_single_thread();
  return (es_cli_launched_rank() >= 0 ? es_cli_command_mpi : es_cli_command)(argc, argv, &es_page_similarity, 1,
                                                                             FILES_MOST, similarity);
}
