/* eigenscope weights FILE...: norms, power laws and distances of the matrices in files of weights. */
#include "cli_internal.h"
#include "eigenscope/blas.h"
#include "eigenscope/comm.h"
#include "eigenscope/matrices.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "[mpirun -n P] eigenscope weights FILE.safetensors... [--format table|csv|json] [--matrix NAME]\n\n"
    "Computes numbers of each matrix in files of weights: Frobenius and spectral norm, stable rank, the power law of "
    "the\n"
    "eigenvalues of W^T W (exponent alpha, Kolmogorov-Smirnov distance, x_min, length of the tail), and the distance "
    "from the\n"
    "tensor of this name in the first file and in the file before: so the files of several epochs show how weights "
    "move. A\n"
    "convolution is the matrix of out x (in * height * width). Tensors of one dimension, and integers, are left out.\n"
    "analysis/README.md has the formulas. Matrices are distributed over the ranks, the most expensive first; the "
    "numbers are\n"
    "those of one rank.";
static const es_option_t options[] = {
    {"--format", "table|csv|json", false, "format of the output (default: table)"},
    {"--matrix", "NAME", false, "only the tensors with this name; * and ? as in measure.layers"},
};
const es_page_t es_page_weights = {"weights", usage, options, sizeof options / sizeof *options};

static const char STAGE[] = "weights";
enum { FILES_MOST = 1 << 20, OPEN = 3 };

/* A matrix of a file. */
typedef struct task {
  int32_t file;
  char name[ES_TENSOR_NAME_MAX];
  es_dtype_t dtype;
  int64_t rows, columns;
  bool in_first, in_previous; /* these files have a tensor of this name and shape */
  double cost;
  int32_t rank; /* the rank that measures it */
  double numbers[ES_MATRIX_NUMBERS];
} task_t;

/* The whole command. */
typedef struct survey {
  int n_files;
  const char *const *paths;
  const char *pattern; /* or NULL */
  MPI_Comm comm;       /* MPI_COMM_NULL: alone */
  int rank, size;
  int64_t n;
  task_t *tasks;
  /* Few files are open at a time; the tasks of a rank go through the files in order. */
  int opened[OPEN];
  int recent; /* the slot used last */
  es_safetensors_t *files[OPEN];
} survey_t;

/* ---- files ---- */

/* The file with this index, opened; the first file stays open. Borrowed until two others are asked for. */
static es_code_t open_file(survey_t *s, int index, es_safetensors_t **out, es_status_t *status) {
  int slot = index == 0 ? 0 : s->recent == 1 ? 2 : 1;
  for (int i = 0; i < OPEN; i++) {
    if (s->files[i] != NULL && s->opened[i] == index) slot = i;
  }
  if (s->files[slot] == NULL || s->opened[slot] != index) {
    es_safetensors_destroy(s->files[slot]);
    s->files[slot] = NULL;
    s->opened[slot] = index;
    ES_TRY(es_safetensors_open(&s->files[slot], s->paths[index], status));
  }
  *out = s->files[slot];
  if (slot > 0) s->recent = slot;
  return ES_OK;
}

static void close_files(survey_t *s) {
  for (int i = 0; i < OPEN; i++) es_safetensors_destroy(s->files[i]);
}

/* The tensor of a matrix in another file, or NULL if that has none of this shape. */
static const es_tensor_view_t *find(const es_safetensors_t *file, const es_tensor_view_t *tensor) {
  const es_tensor_view_t *found = es_safetensors_find(file, tensor->name);
  const size_t bytes = (size_t)tensor->rank * sizeof *tensor->shape;
  if (found == NULL || !es_dtype_is_real(found->dtype) || found->rank != tensor->rank) return NULL;
  return memcmp(found->shape, tensor->shape, bytes) == 0 ? found : NULL;
}

static int64_t columns_of(const es_tensor_view_t *tensor) {
  int64_t columns = 1;
  for (int32_t i = 1; i < tensor->rank; i++) columns *= tensor->shape[i];
  return es_tensor_count(tensor) > 0 ? columns : 0;
}

static es_code_t list_file(survey_t *s, int index, es_status_t *status) {
  es_safetensors_t *first, *previous, *file;
  ES_TRY(open_file(s, 0, &first, status));
  ES_TRY(open_file(s, index > 0 ? index - 1 : 0, &previous, status));
  ES_TRY(open_file(s, index, &file, status));
  if (index % s->size == s->rank) ES_TRY(es_safetensors_check(file, status));
  for (int i = 0; i < es_safetensors_count(file); i++) {
    const es_tensor_view_t *tensor = es_safetensors_tensor(file, i);
    if (tensor->rank < 2 || !es_dtype_is_real(tensor->dtype)) continue;
    if (s->pattern != NULL && !es_text_match(s->pattern, tensor->name)) continue;
    task_t *grown = es_make_room(s->tasks, s->n, sizeof *grown);
    if (grown == NULL) return es_out_of_memory(status, STAGE, "%lld matrices", (long long)s->n);
    s->tasks = grown;
    task_t *task = &grown[s->n++];
    *task = (task_t){.file = index, .dtype = tensor->dtype, .rows = tensor->shape[0], .columns = columns_of(tensor)};
    memcpy(task->name, tensor->name, sizeof task->name);
    task->cost = es_matrix_cost(task->rows, task->columns);
    task->in_first = find(first, tensor) != NULL;
    task->in_previous = index > 0 && find(previous, tensor) != NULL;
  }
  return ES_OK;
}

static es_code_t list_matrices(survey_t *s, es_status_t *status) {
  for (int i = 0; i < s->n_files && status->code == ES_OK; i++) list_file(s, i, status);
  ES_TRY(es_agree(s->comm, status));
  if (s->n == 0 && s->pattern != NULL)
    return es_fail(status, ES_INPUT, STAGE, "--matrix %.100s: no matrix of these files has this name", s->pattern);
  return ES_OK;
}

/* ---- distribution over ranks ---- */

static int compare_costs(const void *left, const void *right) {
  const task_t *a = *(const task_t *const *)left, *b = *(const task_t *const *)right;
  if (a->cost != b->cost) return a->cost > b->cost ? -1 : 1;
  return a < b ? -1 : a > b;
}

/* Gives each matrix, the most expensive first, to the rank with the least work so far. Equal on all ranks. */
static es_code_t assign(survey_t *s, es_status_t *status) {
  const task_t **order = es_allocate((size_t)s->n, sizeof *order);
  double *loads = es_allocate_zero((size_t)s->size, sizeof *loads);
  if (order == NULL || loads == NULL) es_out_of_memory(status, STAGE, "%lld matrices", (long long)s->n);
  for (int64_t i = 0; status->code == ES_OK && i < s->n; i++) order[i] = &s->tasks[i];
  if (status->code == ES_OK) qsort(order, (size_t)s->n, sizeof *order, compare_costs);
  for (int64_t i = 0; status->code == ES_OK && i < s->n; i++) {
    int rank = 0;
    for (int r = 1; r < s->size; r++) rank = loads[r] < loads[rank] ? r : rank;
    loads[rank] += order[i]->cost;
    s->tasks[order[i] - s->tasks].rank = rank;
  }
  es_free(order);
  es_free(loads);
  return es_agree(s->comm, status);
}

/* Refuses matrices that would not fit into the memory of this node. */
static es_code_t check_memory(const survey_t *s, es_status_t *status) {
  int64_t need = 0, sum, most;
  const task_t *largest = NULL;
  for (int64_t i = 0; i < s->n; i++) {
    const task_t *task = &s->tasks[i];
    const int64_t bytes = task->rank == s->rank ? es_matrix_bytes(task->rows, task->columns) : 0;
    if (bytes > need) need = bytes, largest = task;
  }
  sum = most = need;
  if (s->comm != MPI_COMM_NULL) {
    MPI_Comm node;
    ES_MPI(MPI_Comm_split_type(s->comm, MPI_COMM_TYPE_SHARED, s->rank, MPI_INFO_NULL, &node));
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_INT64_T, MPI_SUM, node));
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_INT64_T, MPI_MAX, node));
    ES_MPI(MPI_Comm_free(&node));
  }
  const int64_t available = es_memory_available();
  if (sum > available && need == most && largest != NULL)
    es_fail(
        status, ES_INPUT, STAGE,
        "%s: the spectrum of \"%.100s\" (%lld x %lld) needs %s, all ranks of this node together %s, but %s are free; "
        "%s",
        s->paths[largest->file], largest->name, (long long)largest->rows, (long long)largest->columns,
        es_bytes(need).text, es_bytes(sum).text, es_bytes(available).text,
        need > available ? "choose smaller matrices by --matrix" : "use fewer ranks on each node");
  return es_agree(s->comm, status);
}

/* ---- numbers ---- */

typedef struct stored {
  const es_safetensors_t *file;
  const es_tensor_view_t *tensor;
} stored_t;

static es_code_t read_elements(const void *context, int64_t first, int64_t n, double *out, es_status_t *status) {
  const stored_t *stored = context;
  return es_safetensors_read_doubles(stored->file, stored->tensor, first, n, out, status);
}

/* Finds the matrix of a task in a file, which was read when matrices were listed. */
static es_code_t place(survey_t *s, const task_t *task, int index, stored_t *stored, es_matrix_t *out,
                       es_status_t *status) {
  es_safetensors_t *file;
  ES_TRY(open_file(s, index, &file, status));
  *stored = (stored_t){file, es_safetensors_find(file, task->name)};
  const es_tensor_view_t *tensor = stored->tensor;
  if (tensor == NULL || tensor->rank < 2 || !es_dtype_is_real(tensor->dtype) || tensor->shape[0] != task->rows ||
      columns_of(tensor) != task->columns)
    return es_fail(status, ES_SYSTEM, STAGE, "%s: changed while it was read", s->paths[index]);
  *out = (es_matrix_t){task->rows, task->columns, read_elements, stored};
  return ES_OK;
}

static es_code_t measure_task(survey_t *s, task_t *task, es_status_t *status) {
  stored_t stored[3];
  es_matrix_t w, first, previous;
  if (task->in_first) ES_TRY(place(s, task, 0, &stored[1], &first, status));
  if (task->in_previous) ES_TRY(place(s, task, task->file - 1, &stored[2], &previous, status));
  ES_TRY(place(s, task, task->file, &stored[0], &w, status));
  return es_matrix_measure(task->numbers, &w, task->in_first ? &first : NULL, task->in_previous ? &previous : NULL,
                           NULL, status);
}

/* Sends the numbers of all ranks to all ranks: each is added to zeros, which is exact. */
static es_code_t share_numbers(survey_t *s, es_status_t *status) {
  const es_group_t group = {.comm = s->comm, .rank = s->rank, .size = s->size};
  double *all = es_allocate_zero((size_t)s->n * ES_MATRIX_NUMBERS, sizeof *all);
  if (all == NULL) es_out_of_memory(status, STAGE, "%lld matrices", (long long)s->n);
  if (es_agree(s->comm, status) == ES_OK) {
    for (int64_t i = 0; i < s->n; i++) {
      const task_t *task = &s->tasks[i];
      if (task->rank == s->rank) memcpy(all + i * ES_MATRIX_NUMBERS, task->numbers, sizeof task->numbers);
    }
    if (s->size > 1 && s->n > 0) es_group_allreduce_f64(&group, all, (size_t)s->n * ES_MATRIX_NUMBERS);
    for (int64_t i = 0; i < s->n; i++)
      memcpy(s->tasks[i].numbers, all + i * ES_MATRIX_NUMBERS, sizeof s->tasks[i].numbers);
  }
  es_free(all);
  return status->code;
}

static es_code_t measure_all(survey_t *s, es_status_t *status) {
  for (int64_t i = 0; i < s->n && status->code == ES_OK; i++) {
    if (s->tasks[i].rank == s->rank) measure_task(s, &s->tasks[i], status);
  }
  ES_TRY(es_agree(s->comm, status));
  return share_numbers(s, status);
}

/* ---- output ---- */

static void append_table(const survey_t *s, int file, const task_t *tasks, int64_t n, es_text_t *out) {
  es_table_t table = {0};
  double parameters = 0.0;
  int64_t not_finite = 0;
  for (int64_t i = 0; i < n; i++) {
    parameters += (double)tasks[i].rows * (double)tasks[i].columns;
    not_finite += isnan(tasks[i].numbers[ES_MATRIX_FROBENIUS_NORM]);
  }
  es_text_append(out, "%s%s: %lld matri%s, %.2f million weights\n", file > 0 ? "\n" : "", s->paths[file], (long long)n,
                 n == 1 ? "x" : "ces", 1e-6 * parameters);
  es_table_columns(&table, "matrix|>rows|>columns|>Frobenius|>spectral|>stable rank|>alpha|>KS|>x_min|>tail|>from "
                           "first|>from previous");
  for (int64_t i = 0; i < n; i++) {
    es_table_cell(&table, "%s", tasks[i].name);
    es_table_cell(&table, "%lld", (long long)tasks[i].rows);
    es_table_cell(&table, "%lld", (long long)tasks[i].columns);
    for (int k = 0; k < ES_MATRIX_NUMBERS; k++) {
      const double number = tasks[i].numbers[k];
      const bool hidden = (k == ES_MATRIX_DISTANCE_FIRST || k == ES_MATRIX_DISTANCE_PREVIOUS) && file == 0;
      es_table_cell(&table, hidden ? "" : isnan(number) ? "-" : "%.5g", number);
    }
  }
  if (n > 0) es_table_print(&table, out);
  if (not_finite > 0)
    es_text_append(out, "%lld matri%s numbers that are NaN or infinite\n", (long long)not_finite,
                   not_finite == 1 ? "x has" : "ces have");
  if (table.cells.failed) out->failed = true;
  es_table_destroy(&table);
}

static void print_table(const survey_t *s, es_text_t *out) {
  int64_t at = 0;
  for (int file = 0; file < s->n_files; file++) {
    const int64_t first = at;
    while (at < s->n && s->tasks[at].file == file) at++;
    append_table(s, file, s->tasks + first, at - first, out);
  }
}

static void print_csv(const survey_t *s, es_text_t *out) {
  char number[32];
  es_text_append(out, "file,matrix,dtype,rows,columns");
  for (int k = 0; k < ES_MATRIX_NUMBERS; k++) es_text_append(out, ",%s", es_matrix_number_name((es_matrix_number_t)k));
  for (int64_t i = 0; i < s->n; i++) {
    const task_t *task = &s->tasks[i];
    es_text_append(out, "\n");
    es_text_append_csv(out, s->paths[task->file]);
    es_text_append(out, ",");
    es_text_append_csv(out, task->name);
    es_text_append(out, ",%s,%lld,%lld", es_dtype_name(task->dtype), (long long)task->rows, (long long)task->columns);
    for (int k = 0; k < ES_MATRIX_NUMBERS; k++)
      es_text_append(out, ",%s", isnan(task->numbers[k]) ? "" : es_text_double(task->numbers[k], number));
  }
  es_text_append(out, "\n");
}

static void print_json(const survey_t *s, es_text_t *out) {
  char number[32];
  es_text_append(out, "[");
  for (int64_t i = 0; i < s->n; i++) {
    const task_t *task = &s->tasks[i];
    es_text_append(out, "%s\n  {\"file\": ", i > 0 ? "," : "");
    es_text_append_quoted(out, s->paths[task->file]);
    es_text_append(out, ", \"matrix\": ");
    es_text_append_quoted(out, task->name);
    es_text_append(out, ", \"dtype\": \"%s\", \"rows\": %lld, \"columns\": %lld", es_dtype_name(task->dtype),
                   (long long)task->rows, (long long)task->columns);
    for (int k = 0; k < ES_MATRIX_NUMBERS; k++)
      es_text_append(out, ", \"%s\": %s", es_matrix_number_name((es_matrix_number_t)k),
                     isfinite(task->numbers[k]) ? es_text_double(task->numbers[k], number) : "null");
    es_text_append(out, "}");
  }
  es_text_append(out, "\n]\n");
}

/* ---- the command ---- */

typedef void print_t(const survey_t *s, es_text_t *out);

static es_code_t read_format(const es_arguments_t *arguments, print_t **print, es_status_t *status) {
  static const struct {
    const char *name;
    print_t *print;
  } formats[] = {{"table", print_table}, {"csv", print_csv}, {"json", print_json}};
  const char *said = es_arguments_option(arguments, "--format");
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
    *print = formats[i].print;
    if (said == NULL || strcmp(said, formats[i].name) == 0) return ES_OK;
  }
  return es_fail(status, ES_INPUT, STAGE, "--format %.100s: must be table, csv or json", said);
}

static es_code_t list_paths(const es_arguments_t *arguments, survey_t *s, const char ***paths, es_status_t *status) {
  while (es_arguments_positional(arguments, s->n_files) != NULL) s->n_files++;
  s->paths = *paths = es_allocate((size_t)s->n_files, sizeof **paths);
  if (*paths == NULL) es_out_of_memory(status, STAGE, "the arguments");
  for (int i = 0; *paths != NULL && i < s->n_files; i++) (*paths)[i] = es_arguments_positional(arguments, i);
  return es_agree(s->comm, status);
}

static int weights(const es_arguments_t *arguments, es_status_t *status) {
  survey_t s = {.comm = es_cli_launched_rank() >= 0 ? MPI_COMM_WORLD : MPI_COMM_NULL,
                .size = 1,
                .pattern = es_arguments_option(arguments, "--matrix")};
  const char **paths = NULL;
  print_t *print;
  es_text_t text = {0};
  if (s.comm != MPI_COMM_NULL) ES_MPI(MPI_Comm_rank(s.comm, &s.rank));
  if (s.comm != MPI_COMM_NULL) ES_MPI(MPI_Comm_size(s.comm, &s.size));
  if (read_format(arguments, &print, status) == ES_OK && list_paths(arguments, &s, &paths, status) == ES_OK &&
      list_matrices(&s, status) == ES_OK && assign(&s, status) == ES_OK && check_memory(&s, status) == ES_OK &&
      measure_all(&s, status) == ES_OK && s.rank == 0)
    print(&s, &text);
  if (text.failed) es_out_of_memory(status, STAGE, "the table");
  es_agree(s.comm, status);
  es_cli_print(&text, "the table", status); /* empty on other ranks */
  close_files(&s);
  es_free(s.tasks);
  es_free(paths);
  if (status->code == ES_SYSTEM) status->code = ES_INPUT; /* no point is run, so the command could not be done */
  return ES_EXIT_OK;
}

int es_cli_weights(int argc, char **argv) {
  es_blas_single_thread();
  return (es_cli_launched_rank() >= 0 ? es_cli_command_mpi : es_cli_command)(argc, argv, &es_page_weights, 1,
                                                                             FILES_MOST, weights);
}
