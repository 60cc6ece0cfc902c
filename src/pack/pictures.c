#define _GNU_SOURCE /* qsort_r */
#include "pictures.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static const char STAGE[] = "data";
static const char ANNOTATIONS[] = "val_annotations.txt";

enum { ANNOTATIONS_MOST = 1 << 28 }; /* limit in bytes; one line per image */

/* ---- folders ---- */

static int compare_names(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Lists the names in a folder in byte order, without those that start with a dot. */
static es_code_t list_folder(es_names_t *out, const char *folder, es_status_t *status) {
  es_code_t code = ES_OK;
  *out = (es_names_t){0};
  DIR *directory = opendir(folder);
  if (directory == NULL)
    return es_fail(status, ES_SYSTEM, STAGE, "%s: the folder cannot be read: %s", folder, strerror(errno));
  errno = 0;
  for (const struct dirent *entry; code == ES_OK && (entry = readdir(directory)) != NULL; errno = 0) {
    if (entry->d_name[0] != '.' && !es_names_add(out, entry->d_name))
      code = es_out_of_memory(status, STAGE, "the list of files of %s", folder);
  }
  if (code == ES_OK && errno != 0)
    code = es_fail(status, ES_SYSTEM, STAGE, "%s: the folder cannot be read to its end: %s", folder, strerror(errno));
  closedir(directory);
  if (code != ES_OK)
    es_names_destroy(out);
  else if (out->n > 0)
    qsort(out->items, (size_t)out->n, sizeof *out->items, compare_names);
  return code;
}

static es_code_t join(char out[ES_PATH_MAX], const char *folder, const char *name, es_status_t *status) {
  if (snprintf(out, ES_PATH_MAX, "%s/%s", folder, name) < ES_PATH_MAX) return ES_OK;
  return es_fail(status, ES_INPUT, STAGE, "%.400s/%.200s: the path is longer than %d bytes", folder, name,
                 ES_PATH_MAX - 1);
}

/* True if the folder exists. A folder that cannot be checked is a failure, so that no images are silently left out. */
static es_code_t find_folder(bool *is_folder, const char *path, es_status_t *status) {
  struct stat facts;
  const int reason = stat(path, &facts) == 0 ? 0 : errno;
  *is_folder = reason == 0 && S_ISDIR(facts.st_mode);
  if (reason == 0 || reason == ENOENT || reason == ENOTDIR || reason == ELOOP) return ES_OK;
  return es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be examined: %s", path, strerror(reason));
}

/* Composes the path folder/name, and checks if it is a folder. */
static es_code_t look_at(char path[ES_PATH_MAX], bool *is_folder, const char *folder, const char *name,
                         es_status_t *status) {
  ES_TRY(join(path, folder, name, status));
  return find_folder(is_folder, path, status);
}

/* ---- collecting ---- */

static es_code_t add_picture(es_pictures_t *p, es_split_t split, const char *path, int32_t label, es_status_t *status) {
  if (p->count[split] == INT32_MAX)
    return es_fail(status, ES_INPUT, STAGE, "%s: is one image too many; a split can have at most %d", path, INT32_MAX);
  es_picture_t *items = es_make_room(p->items[split], p->count[split], sizeof *items);
  if (items != NULL) {
    p->items[split] = items;
    items[p->count[split]++] = (es_picture_t){.path = p->paths.length, .label = (uint16_t)label};
    es_text_append_bytes(&p->paths, path, strlen(path) + 1);
    if (!p->paths.failed) return ES_OK;
  }
  return es_out_of_memory(status, STAGE, "the list of files up to %s", path);
}

static void leave_out(es_pictures_t *p, const char *path) {
  if (p->n_left_out++ == 0) snprintf(p->left_out, sizeof p->left_out, "%s", path);
}

/* A folder being searched, linked to its parents, so that a symbolic link to a parent is detected. */
typedef struct level {
  const struct level *above;
  const char *path;
  dev_t device;
  ino_t number;
} level_t;

/* Adds all images below a folder with the given label. */
static es_code_t collect(es_pictures_t *p, es_split_t split, int32_t label, const char *folder, const level_t *above,
                         es_status_t *status) {
  es_names_t names;
  struct stat facts;
  if (stat(folder, &facts) != 0)
    return es_fail(status, ES_SYSTEM, STAGE, "%s: the folder cannot be read: %s", folder, strerror(errno));
  for (const level_t *up = above; up != NULL; up = up->above) {
    if (up->device == facts.st_dev && up->number == facts.st_ino)
      return es_fail(status, ES_INPUT, STAGE, "%s: is a link to %s, a folder that contains this link", folder,
                     up->path);
  }
  const level_t level = {.above = above, .path = folder, .device = facts.st_dev, .number = facts.st_ino};
  es_code_t code = list_folder(&names, folder, status);
  for (int64_t i = 0; code == ES_OK && i < names.n; i++) {
    char path[ES_PATH_MAX];
    bool is_folder;
    code = look_at(path, &is_folder, folder, names.items[i], status);
    if (code != ES_OK) break;
    const char *dot = strrchr(names.items[i], '.');
    if (is_folder)
      code = collect(p, split, label, path, &level, status);
    else if (dot != NULL &&
             (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0 || strcasecmp(dot, ".png") == 0))
      code = add_picture(p, split, path, label, status);
    else
      leave_out(p, path);
  }
  es_names_destroy(&names);
  return code;
}

/* ---- classes ---- */

static int32_t find_class(const es_pictures_t *p, const char *name) {
  char *const *items = p->classes.items;
  char *const *found =
      p->classes.n > 0 ? bsearch(&name, items, (size_t)p->classes.n, sizeof name, compare_names) : NULL;
  return found == NULL ? -1 : (int32_t)(found - items);
}

/* Takes the subfolders of `folder` as classes and collects their images. */
static es_code_t find_train(es_pictures_t *p, const char *folder, es_status_t *status) {
  char path[ES_PATH_MAX];
  bool is_folder;
  es_names_t *classes = &p->classes;
  ES_TRY(list_folder(classes, folder, status));
  int64_t kept = 0;
  for (int64_t i = 0; i < classes->n; i++) {
    char *name = classes->items[i];
    ES_TRY(look_at(path, &is_folder, folder, name, status));
    if (!is_folder) leave_out(p, path);
    classes->items[i] = classes->items[kept]; /* swap, so that every name stays owned */
    classes->items[kept] = name;
    kept += is_folder;
  }
  if (kept < 1 || kept > ES_CLASSES_MAX)
    return es_fail(status, ES_INPUT, STAGE, "%s: has %lld folders of classes, but must have 1 to %d", folder,
                   (long long)kept, ES_CLASSES_MAX);
  while (classes->n > kept) es_free(classes->items[--classes->n]);
  for (int64_t c = 0; c < kept; c++) {
    if (!es_text_is_plain(classes->items[c]))
      return es_fail(status, ES_INPUT, STAGE,
                     "%s: the name of class folder number %lld must be UTF-8 text without control characters", folder,
                     (long long)c + 1);
  }
  for (int32_t c = 0; c < kept; c++) {
    const int64_t before = p->count[ES_TRAIN];
    ES_TRY(look_at(path, &is_folder, folder, classes->items[c], status));
    ES_TRY(collect(p, ES_TRAIN, c, path, NULL, status));
    if (p->count[ES_TRAIN] == before)
      return es_fail(status, ES_INPUT, STAGE, "%s: the class has no image (.jpg, .jpeg or .png)", path);
  }
  return ES_OK;
}

static es_code_t find_eval(es_pictures_t *p, const char *folder, es_status_t *status) {
  es_names_t names;
  es_code_t code = list_folder(&names, folder, status);
  for (int64_t i = 0; code == ES_OK && i < names.n; i++) {
    char path[ES_PATH_MAX];
    bool is_folder;
    const int32_t label = find_class(p, names.items[i]);
    code = look_at(path, &is_folder, folder, names.items[i], status);
    if (code != ES_OK) break;
    if (!is_folder)
      leave_out(p, path);
    else if (label >= 0)
      code = collect(p, ES_EVAL, label, path, NULL, status);
    else
      code = es_fail(status, ES_INPUT, STAGE, "%s: the train images do not have this class", path);
  }
  es_names_destroy(&names);
  return code;
}

/* ---- TinyImageNet's val ---- */

typedef struct annotated {
  es_pictures_t *pictures;
  const char *file;   /* file of annotations */
  const char *folder; /* folder of images */
  int64_t line;
} annotated_t;

static es_code_t wrong_line(const annotated_t *a, const char *what, es_status_t *status) {
  return es_fail(status, ES_INPUT, STAGE, "%s:%lld: %s", a->file, (long long)a->line, what);
}

/* Reads a line "val_0.JPEG TAB n03444034 TAB 0 ..."; strips blanks around names. Changes `line`. */
static es_code_t read_line(const annotated_t *a, char *line, es_status_t *status) {
  char path[ES_PATH_MAX], *tab = strchr(line, '\t');
  if (tab == NULL) return wrong_line(a, "the line has no tab, but must be \"file TAB class\"", status);
  char *class = tab + 1;
  *tab = '\0';
  class[strcspn(class, "\t\r")] = '\0';
  if (line[0] == '\0' || line[0] == '.' || strchr(line, '/') != NULL)
    return wrong_line(a, "the line must start with the name of a file", status);
  const int32_t label = find_class(a->pictures, class);
  if (label < 0) return wrong_line(a, "the line names a class that the train images do not have", status);
  if (snprintf(path, sizeof path, "%s/%s", a->folder, line) >= ES_PATH_MAX)
    return wrong_line(a, "the line names a file whose path is too long", status);
  return add_picture(a->pictures, ES_EVAL, path, label, status);
}

static int compare_pictures(const void *a, const void *b, void *paths) {
  const es_picture_t *x = a, *y = b;
  if (x->label != y->label) return x->label < y->label ? -1 : 1;
  return strcmp((const char *)paths + x->path, (const char *)paths + y->path);
}

/* Sorts as folders of classes would be sorted, and checks that each image is annotated once. */
static es_code_t sort_eval(annotated_t *a, es_status_t *status) {
  es_pictures_t *p = a->pictures;
  if (p->count[ES_EVAL] == 0) return ES_OK;
  es_picture_t *items = p->items[ES_EVAL];
  qsort_r(items, (size_t)p->count[ES_EVAL], sizeof *items, compare_pictures, p->paths.data);
  for (int64_t i = 1; i < p->count[ES_EVAL]; i++) {
    if (compare_pictures(items + i - 1, items + i, p->paths.data) == 0)
      return es_fail(status, ES_INPUT, STAGE, "%s: names %s more than once", a->file, es_picture_path(p, ES_EVAL, i));
  }
  return ES_OK;
}

static es_code_t read_annotations(es_pictures_t *p, const char *folder, const char *file, es_status_t *status) {
  char images[ES_PATH_MAX], *text = NULL;
  size_t size;
  es_names_t names = {0};
  annotated_t a = {.pictures = p, .file = file, .folder = images};
  ES_TRY(join(images, folder, "images", status));
  ES_TRY(es_file_read_most(file, ANNOTATIONS_MOST, &text, &size, status));
  es_code_t code = list_folder(&names, images, status);
  for (char *line = text + es_text_mark(text, size), *next; code == ES_OK && line < text + size; line = next) {
    a.line++;
    char *end = memchr(line, '\n', (size_t)(text + size - line));
    if (end == NULL) end = text + size; /* es_file_read put a zero there */
    next = end + 1;
    *end = '\0';
    code = strlen(line) == (size_t)(end - line) ? line[0] == '\0' ? ES_OK : read_line(&a, line, status)
                                                : wrong_line(&a, "the line has a zero byte", status);
  }
  if (code == ES_OK && p->count[ES_EVAL] < names.n) { /* some images have no label */
    p->n_left_out += names.n - p->count[ES_EVAL];
    if (p->left_out[0] == '\0') memcpy(p->left_out, images, sizeof images);
  }
  if (code == ES_OK) code = sort_eval(&a, status);
  es_names_destroy(&names);
  es_free(text);
  return code;
}

/* ---- the whole search ---- */

static es_code_t find_split(es_pictures_t *p, const char *folder, es_status_t *status) {
  static const char *const names[] = {"eval", "val", "valid", "validation", "test"};
  char path[ES_PATH_MAX], file[ES_PATH_MAX];
  bool is_folder;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    ES_TRY(look_at(path, &is_folder, folder, names[i], status));
    if (!is_folder) continue;
    snprintf(p->eval_folder, sizeof p->eval_folder, "%s", names[i]);
    ES_TRY(join(file, path, ANNOTATIONS, status));
    return es_file_is_missing(file) ? find_eval(p, path, status) : read_annotations(p, path, file, status);
  }
  return es_fail(status, ES_INPUT, STAGE,
                 "%s: has no folder val (or eval, valid, validation or test) with the images of the eval split; these "
                 "are read from %s/val/CLASS/*.jpg",
                 folder, folder);
}

es_code_t es_pictures_find(es_pictures_t *out, const char *folder, es_status_t *status) {
  char train[ES_PATH_MAX];
  bool is_folder;
  *out = (es_pictures_t){0};
  ES_TRY(find_folder(&is_folder, folder, status));
  if (!is_folder) return es_fail(status, ES_INPUT, STAGE, "%s: this folder does not exist", folder);
  ES_TRY(look_at(train, &is_folder, folder, "train", status));
  if (!is_folder)
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: has no folder train; images are read from %s/train/CLASS/*.jpg (or .jpeg, .png)", folder,
                   folder);
  ES_TRY(find_train(out, train, status));
  ES_TRY(find_split(out, folder, status));
  if (out->count[ES_EVAL] > 0) return ES_OK;
  return es_fail(status, ES_INPUT, STAGE, "%s/%s: has no image for the eval split", folder, out->eval_folder);
}

void es_pictures_drop(es_pictures_t *pictures, es_split_t split, const bool *drop) {
  int64_t kept = 0;
  for (int64_t i = 0; i < pictures->count[split]; i++) {
    if (!drop[i]) pictures->items[split][kept++] = pictures->items[split][i];
  }
  pictures->count[split] = kept;
}

void es_pictures_destroy(es_pictures_t *pictures) {
  es_names_destroy(&pictures->classes);
  for (int split = 0; split < ES_SPLITS; split++) es_free(pictures->items[split]);
  es_text_destroy(&pictures->paths);
  *pictures = (es_pictures_t){0};
}
