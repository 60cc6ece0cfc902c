/* eigenscope data: shows datasets (info) and generates synthetic ones (synth), without MPI; pack is in data_pack.c. */
#include "eigenscope/data.h"
#include "cli_internal.h"
#include "eigenscope/dataset_reader.h"
#include "eigenscope/file.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char *const SPLIT_NAMES[ES_SPLITS] = {"train", "eval"};

/* ---- data info: printing ---- */

/* One dataset to show. */
typedef struct shown {
  const es_dataset_spec_t *spec;
  const char *found; /* the file name by which the format was recognised; NULL if the user gave the format */
  es_dataset_summary_t summary;
} shown_t;

/* Appends the numbers of three colours, or of the one grey channel. */
static void append_channels(es_text_t *out, const es_dataset_info_t *info, const double values[3], const char *format,
                            const char *separator) {
  for (int c = 0; c < info->channels; c++) {
    char text[32];
    es_text_append(out, "%s", c > 0 ? separator : "");
    if (format != NULL)
      es_text_append(out, format, values[c]);
    else
      es_text_append(out, "%s", es_text_double(values[c], text));
  }
}

static bool is_balanced(const es_dataset_info_t *info, es_split_t split) {
  for (int32_t c = 1; c < info->classes; c++) {
    if (info->class_count[split][c] != info->class_count[split][0]) return false;
  }
  return true;
}

static void print_splits(const shown_t *shown, es_text_t *out) {
  const es_dataset_info_t *info = &shown->summary.info;
  es_table_t table = {0};
  es_table_columns(&table, "split|>images|>each class|mean|deviation");
  for (es_split_t split = ES_TRAIN; split < ES_SPLITS; split++) {
    es_text_t mean = {0}, deviation = {0};
    append_channels(&mean, info, shown->summary.mean[split], "%.4f", " ");
    append_channels(&deviation, info, shown->summary.deviation[split], "%.4f", " ");
    es_table_cell(&table, "%s", SPLIT_NAMES[split]);
    es_table_cell(&table, "%lld", (long long)info->count[split]);
    if (is_balanced(info, split))
      es_table_cell(&table, "%d", info->class_count[split][0]);
    else
      es_table_cell(&table, "see below");
    es_table_cell(&table, "%s", es_text_get(&mean));
    es_table_cell(&table, "%s", es_text_get(&deviation));
    if (mean.failed || deviation.failed) out->failed = true;
    es_text_destroy(&mean);
    es_text_destroy(&deviation);
  }
  es_table_print(&table, out);
  es_table_destroy(&table);
}

static void print_table(const shown_t *shown, es_text_t *out) {
  const es_dataset_info_t *info = &shown->summary.info;
  const es_dataset_spec_t *spec = shown->spec;
  const es_dataset_reader_t *reader = es_reader_of(spec->format);
  es_text_append(out, "%s: %s", spec->name, es_format_words[spec->format]);
  if (reader->describe != NULL) reader->describe(spec, false, out);
  if (spec->path[0] != '\0') es_text_append(out, ", %s", spec->path);
  if (shown->found != NULL) es_text_append(out, " (guessed from %s)", shown->found);
  es_text_append(out, "\n%d x %d, %s, %d class%s, fingerprint %s\n\n", info->height, info->width,
                 info->channels == 1 ? "grey" : "colour", info->classes, info->classes == 1 ? "" : "es",
                 shown->summary.fingerprint);
  print_splits(shown, out);
  if (is_balanced(info, ES_TRAIN) && is_balanced(info, ES_EVAL)) return;
  es_table_t table = {0};
  es_table_columns(&table, ">class|>train|>eval");
  for (int32_t c = 0; c < info->classes; c++) {
    es_table_cell(&table, "%d", c);
    for (int split = 0; split < ES_SPLITS; split++) es_table_cell(&table, "%d", info->class_count[split][c]);
  }
  es_text_append(out, "\n");
  es_table_print(&table, out);
  es_table_destroy(&table);
}

static void print_json(const shown_t *shown, es_text_t *out) {
  const es_dataset_info_t *info = &shown->summary.info;
  const es_dataset_spec_t *spec = shown->spec;
  es_text_append(out, "{\"name\": ");
  es_text_append_quoted(out, spec->name);
  es_text_append(out, ", \"format\": \"%s\", ", es_format_words[spec->format]);
  if (spec->path[0] != '\0') {
    es_text_append(out, "\"path\": ");
    es_text_append_quoted(out, spec->path);
    es_text_append(out, ", ");
  }
  if (es_reader_of(spec->format)->describe != NULL) es_reader_of(spec->format)->describe(spec, true, out);
  es_text_append(out, "\"height\": %d, \"width\": %d, \"channels\": %d, \"classes\": %d, \"fingerprint\": \"%s\"",
                 info->height, info->width, info->channels, info->classes, shown->summary.fingerprint);
  for (es_split_t split = ES_TRAIN; split < ES_SPLITS; split++) {
    es_text_append(out, ",\n   \"%s\": {\"images\": %lld, \"mean\": [", SPLIT_NAMES[split],
                   (long long)info->count[split]);
    append_channels(out, info, shown->summary.mean[split], NULL, ", ");
    es_text_append(out, "], \"std\": [");
    append_channels(out, info, shown->summary.deviation[split], NULL, ", ");
    es_text_append(out, "], \"class_counts\": [");
    for (int32_t c = 0; c < info->classes; c++)
      es_text_append(out, "%s%d", c > 0 ? ", " : "", info->class_count[split][c]);
    es_text_append(out, "]}");
  }
  es_text_append(out, "}");
}

/* ---- data info: finding ---- */

/* Summarises one dataset and appends it; `count` datasets were appended before. */
static es_code_t show(shown_t *shown, bool json, int count, es_text_t *out, es_status_t *status) {
  ES_TRY(es_dataset_summarize(&shown->summary, shown->spec, status));
  if (json)
    es_text_append(out, "%s\n  ", count > 0 ? "," : "");
  else if (count > 0)
    es_text_append(out, "\n");
  (json ? print_json : print_table)(shown, out);
  return ES_OK;
}

/* Shows all datasets of a job. */
static es_code_t show_job(const es_arguments_t *arguments, bool json, es_text_t *out, es_status_t *status) {
  const char *const *sets;
  const int n_sets = es_arguments_all(arguments, "--set", &sets);
  const char *path = es_arguments_positional(arguments, 0);
  es_job_t *job;
  ES_TRY(es_job_load(&job, path, sets, n_sets, status));
  es_code_t code = ES_OK;
  for (int i = 0; code == ES_OK && i < es_job_n_datasets(job); i++) {
    es_status_t own = {0};
    shown_t shown = {.spec = es_job_dataset(job, i)};
    code = show(&shown, json, i, out, &own);
    if (code == ES_OK) continue;
    es_fail(status, code, "data", "%s:%d: dataset %s: %s", path, shown.spec->line, shown.spec->name, own.message);
  }
  if (code == ES_OK && es_job_n_datasets(job) == 0)
    code = es_fail(status, ES_INPUT, "data", "%s: the job has no datasets", path);
  es_job_destroy(job);
  return code;
}

/* Refuses a file that is no text, before it is read as a job. */
static es_code_t check_text(const char *path, es_status_t *status) {
  const char *kind = es_file_kind(path);
  if (kind == NULL || strcmp(kind, "empty") == 0) return ES_OK;
  return es_fail(status, ES_INPUT, "data", "%s: is neither a dataset nor a job but %s", path, kind);
}

/* Refuses a folder with another version of a dataset, and one with folders of pictures. */
static es_code_t check_other(const char *path, es_status_t *status) {
  char name[ES_PATH_MAX];
  for (es_format_t f = 0; f < ES_FORMATS_COUNT; f++) {
    const es_dataset_reader_t *reader = es_reader_of(f);
    for (int below = 0; reader->other_said != NULL && below < 2; below++) {
      snprintf(name, sizeof name, "%s%s%s/%s", path, below ? "/" : "", below ? reader->other[0] : "", reader->other[1]);
      if (es_file_exists(name)) return es_fail(status, ES_INPUT, "data", "%s: is %s", name, reader->other_said);
    }
  }
  snprintf(name, sizeof name, "%s/train", path);
  if (!es_directory_exists(name)) return ES_OK;
  return es_fail(
      status, ES_INPUT, "data",
      "%s: is a folder with a folder train, perhaps of pictures; pack these first, as in eigenscope data pack "
      "%s --to images.h5",
      path, path);
}

/* Finds the format from --format or from the path. *is_dataset is false if the path may be a job file. */
static es_code_t find_format(const es_arguments_t *arguments, es_format_t *format, char found[ES_PATH_MAX],
                             bool *is_dataset, es_status_t *status) {
  const char *path = es_arguments_positional(arguments, 0), *said = es_arguments_option(arguments, "--format");
  found[0] = '\0';
  *is_dataset = true;
  if (said != NULL) {
    char words[ES_FORMATS_TEXT];
    if (es_format_find(format, said) && es_reader_of(*format)->hint != NULL) return ES_OK;
    es_formats_with("path", words);
    return es_fail(status, ES_INPUT, "data", "--format %.100s: must be %s", said, words);
  }
  if (es_dataset_guess(path, format, found)) return ES_OK;
  *is_dataset = false;
  if (!es_directory_exists(path)) return check_text(path, status);
  ES_TRY(check_other(path, status));
  es_text_t marks = {0}, files = {0}; /* "a (idx), b (cifar10) or c (cifar100)"; "hdf5" */
  int left = 0;
  for (es_format_t f = 0; f < ES_FORMATS_COUNT; f++) left += es_reader_of(f)->mark != NULL;
  for (es_format_t f = 0; f < ES_FORMATS_COUNT; f++) {
    const es_dataset_reader_t *reader = es_reader_of(f);
    if (reader->mark != NULL) {
      es_text_append(&marks, "%s (%s)%s", reader->mark, es_format_words[f], left > 2 ? ", " : left == 2 ? " or " : "");
      left--;
    }
    if (reader->found != NULL) es_text_append(&files, "%s%s", files.length > 0 ? " or " : "", es_format_words[f]);
  }
  es_fail(status, ES_INPUT, "data",
          "%s: is a folder without a dataset: it holds no %s, plain or with .gz; for format %s, give the file itself",
          path, es_text_get(&marks), es_text_get(&files));
  es_text_destroy(&marks);
  es_text_destroy(&files);
  return ES_INPUT;
}

/* Reads the choice of labels. `key` is the job key for it; NULL if the format has no such key. */
static es_code_t read_labels(const es_arguments_t *arguments, const es_key_t *key, es_labels_t *out,
                             es_status_t *status) {
  const char *text = es_arguments_option(arguments, "--labels");
  char words[ES_FORMATS_TEXT];
  *out = ES_LABELS_FINE;
  if (text == NULL) return ES_OK;
  if (key == NULL) {
    es_formats_with("labels", words);
    return es_fail(status, ES_INPUT, "data", "--labels can only be used with a folder of format %s", words);
  }
  for (int i = 0; key->choices[i] != NULL; i++) {
    *out = (es_labels_t)i;
    if (strcmp(text, key->choices[i]) == 0) return ES_OK;
  }
  return es_fail(status, ES_INPUT, "data", "--labels %.100s: must be fine or coarse", text);
}

/* Shows the dataset at a path, named after the last part of the path. */
static es_code_t show_path(const es_arguments_t *arguments, es_format_t format, const char *found, es_labels_t labels,
                           bool json, es_text_t *out, es_status_t *status) {
  const char *path = es_arguments_positional(arguments, 0);
  const char *const *sets;
  es_dataset_spec_t spec = {.format = format, .labels = labels};
  if (es_arguments_all(arguments, "--set", &sets) > 0)
    return es_fail(status, ES_INPUT, "data", "--set can only be used with a job file; %.200s is a dataset", path);
  size_t length = strlen(path);
  if (length >= sizeof spec.path)
    return es_fail(status, ES_INPUT, "data", "the path is longer than %d bytes", ES_PATH_MAX - 1);
  memcpy(spec.path, path, length + 1);
  while (length > 1 && spec.path[length - 1] == '/') spec.path[--length] = '\0';
  const char *slash = strrchr(spec.path, '/');
  snprintf(spec.name, sizeof spec.name, "%.*s", ES_NAME_MAX - 1,
           slash != NULL && slash[1] != '\0' ? slash + 1 : spec.path);
  shown_t shown = {.spec = &spec, .found = found[0] != '\0' ? found : NULL};
  return show(&shown, json, 0, out, status);
}

static int info(const es_arguments_t *arguments, es_status_t *status) {
  const bool json = es_arguments_option(arguments, "--json") != NULL;
  char found[ES_PATH_MAX];
  bool is_dataset;
  es_format_t format = ES_FORMAT_IDX;
  es_labels_t labels;
  es_text_t text = {0};
  ES_TRY(find_format(arguments, &format, found, &is_dataset, status));
  const es_key_t *key = is_dataset ? es_reader_key(es_reader_of(format), "labels") : NULL;
  ES_TRY(read_labels(arguments, key, &labels, status));
  es_text_append(&text, "%s", json ? "{\"datasets\": [" : "");
  if (is_dataset)
    show_path(arguments, format, found, labels, json, &text, status);
  else
    show_job(arguments, json, &text, status);
  es_text_append(&text, "%s", json ? "\n]}\n" : "");
  return es_cli_print(&text, "the table", status);
}

/* ---- data synth ---- */

static int synth(const es_arguments_t *arguments, es_status_t *status) {
  const char *path = es_arguments_option(arguments, "--to");
  int64_t classes = 10, complexity = 4, size = 32, channels = 3;
  es_synthetic_t spec = {.train = 2000, .eval = 500};
  if (path == NULL || path[0] == '\0')
    return es_fail(status, ES_INPUT, "data", "--to is missing; it names the file to write, as in --to images.h5");
  ES_TRY(es_cli_integer(arguments, "--classes", 0, INT32_MAX, &classes, status));
  ES_TRY(es_cli_integer(arguments, "--complexity", 0, INT32_MAX, &complexity, status));
  ES_TRY(es_cli_integer(arguments, "--size", 0, INT32_MAX, &size, status));
  ES_TRY(es_cli_integer(arguments, "--channels", 0, INT32_MAX, &channels, status));
  ES_TRY(es_cli_integer(arguments, "--train", 0, INT32_MAX, &spec.train, status));
  ES_TRY(es_cli_integer(arguments, "--eval", 0, INT32_MAX, &spec.eval, status));
  ES_TRY(es_cli_integer(arguments, "--seed", 0, INT64_MAX, &spec.seed, status));
  spec.classes = (int32_t)classes;
  spec.complexity = (int32_t)complexity;
  spec.size = (int32_t)size;
  spec.channels = (int32_t)channels;
  signal(SIGXFSZ, SIG_IGN); /* a write past the size limit then fails instead of killing us */
  ES_TRY(es_images_check_target(path, status));
  ES_TRY(es_synthetic_write(path, &spec, es_cli_creator(), status));
  printf("%s: %lld train and %lld eval image%s of %d x %d, %s, %d classes, complexity %d, seed %lld\n", path,
         (long long)spec.train, (long long)spec.eval, es_plural(spec.eval), spec.size, spec.size,
         spec.channels == 1 ? "grey" : "colour", spec.classes, spec.complexity, (long long)spec.seed);
  return ES_EXIT_OK;
}

/* ---- dispatch ---- */

static const char info_usage[] =
    "eigenscope data info PATH|JOB [--format " ES_FORMAT_WORDS "] [--labels fine|coarse] [--json]\n\n"
    "Describes a dataset, or all datasets of a job file: images, size, classes, mean and standard deviation of each "
    "channel\n"
    "(on the scale 0 ... 1, over all stored images), and the fingerprint, which every result of the dataset holds. "
    "Without\n"
    "--format, the format is guessed from the files.";
static const es_option_t info_options[] = {
    {"--format", ES_FORMAT_WORDS, false,
     "format of PATH, which is a file for hdf5 and a folder otherwise (default: guessed)"},
    {"--labels", "fine|coarse", false, "which labels of cifar100 (default: fine)"},
    {"--set", "KEY=VALUE", true, "override a key of the job file, as datasets.mnist.path=/data"},
    {"--json", NULL, false, "print JSON, with the number of images of every class"},
};
const es_page_t es_page_data_info = {"data info", info_usage, info_options, sizeof info_options / sizeof *info_options};
static const char synth_usage[] = "eigenscope data synth --to FILE.h5 [options]\n\n"
                                  "Writes the images of `format: synthetic` as an HDF5 file that `format: hdf5` and "
                                  "other programs read: train/images,\n"
                                  "train/labels, eval/images and eval/labels. The same options give the same images, "
                                  "so a job gives the same results with\n"
                                  "this file as with `format: synthetic`.";
static const es_option_t synth_options[] = {
    {"--to", "FILE.h5", false, "file to write; an existing file of images is replaced"},
    {"--classes", "N", false, "number of classes (default: 10)"},
    {"--complexity", "N", false, "visual complexity (default: 4)"},
    {"--size", "N", false, "height and width (default: 32)"},
    {"--channels", "1|3", false, "grey or colour (default: 3)"},
    {"--train", "N", false, "training images (default: 2000)"},
    {"--eval", "N", false, "evaluation images (default: 500)"},
    {"--seed", "N", false, "seed of the random numbers (default: 0)"},
};
const es_page_t es_page_data_synth = {"data synth", synth_usage, synth_options,
                                      sizeof synth_options / sizeof *synth_options};

int es_cli_data(int argc, char **argv) {
  const char *which = argc > 0 ? argv[0] : "";
  if (strcmp(which, "pack") == 0) return es_cli_data_pack(argc - 1, argv + 1);
  if (strcmp(which, "info") == 0) return es_cli_command(argc - 1, argv + 1, &es_page_data_info, 1, 1, info);
  if (strcmp(which, "synth") == 0) return es_cli_command(argc - 1, argv + 1, &es_page_data_synth, 0, 0, synth);
  es_status_t status = {0};
  es_fail(&status, ES_INPUT, "data", "data needs one of info, pack and synth, as in eigenscope data info");
  return es_cli_report(&status);
}
