/* Notes about numbers of a job that cannot have the effect that they say. */
#include "eigenscope/description.h"
#include "eigenscope/epochs.h"
#include "eigenscope/grid.h"
#include "plan_internal.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct notes {
  const es_plan_t *plan;
  es_text_t *out;
  int n;
} notes_t;

/* Adds a line that starts with the job file, unless it is there already. `line` 0: unknown. */
__attribute__((format(printf, 3, 4))) static void add(notes_t *notes, int line, const char *format, ...) {
  char text[1024], place[16] = "";
  es_text_t note = {0};
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments); /* NOLINT(clang-analyzer-valist.Uninitialized): it is set above */
  va_end(arguments);
  if (line > 0) snprintf(place, sizeof place, ":%d", line);
  es_text_append(&note, "%s%s: %s\n", es_job_path(notes->plan->job), place, text);
  if (strstr(es_text_get(notes->out), es_text_get(&note)) == NULL) {
    es_text_append(notes->out, "%s", es_text_get(&note));
    notes->n++;
  }
  if (note.failed) notes->out->failed = true;
  es_text_destroy(&note);
}

/* Number of samples of a split and class that a limit leaves. */
static int64_t samples_of(const es_point_t *point, const es_dataset_info_t *info, es_split_t split, int32_t c) {
  const int64_t most = es_class_quota(point->dataset.limit[split], point->classes, c);
  const int64_t there = info->class_count[split][c];
  return there < most ? there : most;
}

/* Notes that the balanced limit `name` cannot be filled: all classes together have `there` samples, `used` of them are
 * used, and the class `scarce` is the first that cannot fill its share. `limited`: the limit of the dataset comes
 * first.
 */
static void note_limit(notes_t *notes, const es_point_t *point, const es_dataset_info_t *info, es_split_t split,
                       const char *name, int64_t limit, bool limited) {
  const char *split_name = split == ES_TRAIN ? "train" : "eval";
  const int line = limited ? 0 : point->dataset.line;
  int64_t there = 0, used = 0;
  int32_t scarce = -1;
  if (limit == 0) return;
  for (int32_t c = 0; c < point->classes; c++) {
    const int64_t quota = es_class_quota(limit, point->classes, c);
    const int64_t n = limited ? samples_of(point, info, split, c) : info->class_count[split][c];
    there += n;
    used += n < quota ? n : quota;
    if (n < quota && scarce < 0) scarce = c;
  }
  if (used == limit) return;
  if (used == there) {
    add(notes, line, "%s is %lld, but dataset \"%s\" gives %lld %s samples of %d classes: all of them are used", name,
        (long long)limit, point->dataset.name, (long long)there, split_name, point->classes);
    return;
  }
  const int64_t n = limited ? samples_of(point, info, split, scarce) : info->class_count[split][scarce];
  add(notes, line,
      "%s is %lld, %lld of each of %d classes, but dataset \"%s\" gives %lld %s samples of class %d: %lld in all are "
      "used",
      name, (long long)limit, (long long)es_class_quota(limit, point->classes, scarce), point->classes,
      point->dataset.name, (long long)n, split_name, scarce, (long long)used);
}

/* Notes limits of a dataset, and of the probes that are fitted to it. */
static void note_dataset(notes_t *notes, const es_point_t *point, const es_dataset_info_t *info) {
  note_limit(notes, point, info, ES_TRAIN, "limit.train", point->dataset.limit[ES_TRAIN], false);
  note_limit(notes, point, info, ES_EVAL, "limit.eval", point->dataset.limit[ES_EVAL], false);
  if (point->probe.epochs.kind == ES_EPOCHS_NONE) return;
  note_limit(notes, point, info, ES_TRAIN, "probe.samples", point->probe.samples, true);
  if (point->probe.samples > 0 && point->probe.samples < point->classes)
    add(notes, 0, "probe.samples is %lld, but dataset \"%s\" has %d classes: probes know only the first %lld of them",
        (long long)point->probe.samples, point->dataset.name, point->classes, (long long)point->probe.samples);
}

static void note_limits(notes_t *notes, const es_point_t *point, const es_dataset_info_t *info) {
  const es_measure_settings_t *m = &point->measure;
  const int64_t eval = es_point_samples(point, info, ES_EVAL);
  note_dataset(notes, point, info);
  for (int i = 0; i < es_probe_others(&point->probe); i++) {
    es_point_t other;
    es_point_of_probe(&other, point, i);
    note_dataset(notes, &other, es_plan_info_of(notes->plan, other.dataset.name));
  }
  if (m->steps.kind != ES_STEPS_NONE)
    note_limit(notes, point, info, ES_EVAL, "measure.step_samples", m->steps.samples, true);
  if (m->similarity == ES_ON && m->similarity_samples > eval &&
      es_job_sets(notes->plan->job, "measure", "similarity_samples"))
    add(notes, 0, "measure.similarity_samples is %d, but dataset \"%s\" gives %lld eval samples: all of them are used",
        m->similarity_samples, point->dataset.name, (long long)eval);
}

/* Notes changes of the learning rate after the end of training, and momentum that nothing uses. */
static void note_schedule(notes_t *notes, const es_train_settings_t *t) {
  const int32_t first = t->schedule == ES_SCHEDULE_STEP         ? t->schedule_step
                        : t->schedule == ES_SCHEDULE_MILESTONES ? t->milestones[0]
                        : t->schedule == ES_SCHEDULE_PLATEAU    ? t->plateau.patience + 1
                                                                : 0;
  const char *key = t->schedule == ES_SCHEDULE_STEP         ? "step"
                    : t->schedule == ES_SCHEDULE_MILESTONES ? "milestones"
                                                            : "plateau";
  char after[64] = "";
  if (t->warmup > 0) snprintf(after, sizeof after, " after a warmup of %d", t->warmup);
  if (t->warmup >= t->epochs && t->warmup > 0)
    add(notes, 0, "train.warmup is %d, but training ends after epoch %d: the schedule never begins", t->warmup,
        t->epochs);
  else if (first > 0 && first + t->warmup >= t->epochs)
    add(notes, 0, "train.schedule.%s is %d%s, but training ends after epoch %d: the learning rate never changes", key,
        t->schedule == ES_SCHEDULE_PLATEAU ? first - 1 : first, after, t->epochs);
  if (t->optimizer == ES_SGD && t->nesterov == ES_ON && t->momentum == 0.0)
    add(notes, 0, "train.nesterov is true, but train.momentum is 0: sgd has no momentum");
}

/* Notes images without room to be placed, and squares as large as the images. */
static void note_augment(notes_t *notes, const es_point_t *point, const es_dataset_info_t *info) {
  const es_dataset_spec_t *d = &point->dataset;
  const es_augment_settings_t *a = &point->train.augment;
  if (a->cutout && a->cutout_size >= point->resolution)
    add(notes, 0,
        "train.augment has cutout with size %d, but the resolution is %d: the square is as large as an image, or "
        "larger",
        a->cutout_size, point->resolution);
  if (!a->place) return;
  if (d->fit == ES_FIT_RESIZE)
    add(notes, d->line,
        "train.augment has place, but dataset \"%s\" has fit: resize: its images fill the canvas; use pad", d->name);
  else if (info->height >= point->resolution && info->width >= point->resolution)
    add(notes, point->line_resolution,
        "train.augment has place, but the images of dataset \"%s\", %d x %d, fill the canvas of resolution %d", d->name,
        info->height, info->width, point->resolution);
}

/* Notes settings of training that act after its end. */
static void note_training(notes_t *notes, const es_point_t *point, const es_dataset_info_t *info) {
  const es_train_settings_t *t = &point->train;
  const int64_t samples = es_point_samples(point, info, ES_TRAIN);
  const es_split_t split = es_point_has_split(point, ES_EVAL) ? ES_EVAL : ES_TRAIN;
  const int32_t compared = es_point_measured_count(point, split) - 1;
  if (t->batch > samples)
    add(notes, 0, "train.batch is %d, but dataset \"%s\" gives %lld train samples: every step has %lld", t->batch,
        point->dataset.name, (long long)samples, (long long)samples);
  const bool several = t->epochs > 1;
  if (several && point->measure.every > t->epochs)
    add(notes, 0, "measure.every is %d, but training ends after epoch %d: no epoch between 0 and %d is measured",
        point->measure.every, t->epochs, t->epochs);
  if (several && point->checkpoint.every > t->epochs)
    add(notes, 0, "checkpoint.every is %d, but training ends after epoch %d: no state is saved before the end",
        point->checkpoint.every, t->epochs);
  note_schedule(notes, t);
  note_augment(notes, point, info);
  if (t->stop_when_stable.patience > compared)
    add(notes, 0,
        "train.stop_when_stable.patience is %d, but %d measured epoch%s can be compared: training never ends early",
        t->stop_when_stable.patience, compared, es_plural(compared));
  for (int32_t i = 0; i < point->probe.epochs.n; i++)
    if (point->probe.epochs.list[i] > t->epochs)
      add(notes, 0, "probe.epochs has %d, but training ends after epoch %d: no probes are fitted then",
          point->probe.epochs.list[i], t->epochs);
}

/* Notes training steps to measure that training does not reach. */
static void note_steps(notes_t *notes, const es_point_t *point, const es_dataset_info_t *info) {
  const es_steps_t *steps = &point->measure.steps;
  const int32_t last = es_point_last_step(point, es_point_samples(point, info, ES_TRAIN));
  if (steps->kind == ES_STEPS_LIST && steps->list[steps->n - 1] > last)
    add(notes, 0, "measure.steps has %d, but training ends after step %d: later steps are left out",
        steps->list[steps->n - 1], last);
}

/* Notes groups or heads that an axis such as model.heads asks for and the network cannot have. */
static void note_groups(notes_t *notes, const es_point_t *point, int64_t index) {
  const es_other_groups_t other = es_plan_other_groups(notes->plan, index);
  for (int i = 0; i < point->n_axes && other.asked > 0; i++) {
    const es_axis_value_t *axis = &point->axes[i];
    if (es_description_axis(axis->name) != NULL && axis->whole == other.asked)
      add(notes, 0,
          "%s is %d, but model %s has %d at width %s: the width multiplies groups and heads, and they divide "
          "the channels",
          axis->name, other.asked, point->model.name, other.used, es_point_axis(point, "width"));
  }
}

/* True if an axis of the grid sets the setting. */
static bool is_axis(const es_job_t *job, const char *dotted) {
  for (int block = 0; block < es_job_n_blocks(job); block++) {
    for (int axis = 0; axis < es_job_n_axes(job, block); axis++)
      if (strcmp(es_job_axis(job, block, axis).name, dotted) == 0) return true;
  }
  return false;
}

/* True if the job has the parameters of every optimizer, as a job that was written with all defaults. */
static bool has_all_optimizers(const es_job_t *job) {
  static const char *const names[] = {"momentum", "nesterov", "beta1", "beta2", "epsilon"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!es_job_sets(job, "train", names[i])) return false;
  return true;
}

/* Notes settings that the job sets without effect. A job that also sets the switch which would give them an effect has
 * it off on purpose; one with the parameters of every optimizer has the defaults of the others on purpose. */
static void note_idle(notes_t *notes) {
  static const struct {
    const char *section, *name, *of; /* name "": all of the section */
    bool trained;
  } rows[] = {{"train", "momentum", "optimizer", true},
              {"train", "nesterov", "optimizer", true},
              {"train", "beta1", "optimizer", true},
              {"train", "beta2", "optimizer", true},
              {"train", "epsilon", "optimizer", true},
              {"train", "warmup_start", "warmup", true},
              {"measure", "dormant", "units", false},
              {"measure", "similarity_samples", "similarity", false},
              {"probe", "", "epochs", false}};
  const es_job_t *job = notes->plan->job;
  const es_point_t *base = es_job_base(job);
  for (int i = 0; i < es_setting_count(); i++) {
    const char *section = es_setting_section(i), *name = es_setting_name(i);
    if (!es_job_sets(job, section, name) || !es_setting_is_idle(i, base) || base->source == ES_SOURCE_MOMENTS) continue;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
      char dotted[ES_NAME_MAX], value[ES_SETTING_MAX];
      int of = 0;
      if (strcmp(section, rows[k].section) != 0 || (rows[k].name[0] != '\0' && strcmp(name, rows[k].name) != 0))
        continue;
      while (strcmp(es_setting_section(of), section) != 0 || strcmp(es_setting_name(of), rows[k].of) != 0) of++;
      snprintf(dotted, sizeof dotted, "%s.%s", section, rows[k].of);
      const bool meant = strcmp(rows[k].of, "optimizer") == 0
                             ? es_setting_is_default(i, base) && has_all_optimizers(job)
                             : es_job_sets(job, section, rows[k].of);
      if (meant || (rows[k].trained && base->source != ES_SOURCE_TRAIN) || is_axis(job, dotted)) continue;
      es_setting_print(of, base, value);
      add(notes, 0, "%s.%s has no effect: %s is %s", section, name, dotted, value);
    }
  }
}

void es_plan_notes(const es_plan_t *plan, const es_selection_t *selection, es_text_t *out) {
  enum { NOTES_MAX = 20 };
  notes_t notes = {.plan = plan, .out = out};
  es_grid_walk_t walk = {.grid = plan->grid};
  note_idle(&notes);
  if (!es_source_has_network(es_job_base(plan->job)->source)) return; /* has no dataset and no training */
  for (int64_t i = 0; i < selection->n; i++) {
    es_point_t point;
    es_plan_walk(plan, &walk, selection->index[i], &point);
    const es_dataset_info_t *info = es_plan_info(plan, &point);
    note_limits(&notes, &point, info);
    note_groups(&notes, &point, selection->index[i]);
    if (point.source == ES_SOURCE_TRAIN) note_training(&notes, &point, info);
    if (point.source == ES_SOURCE_TRAIN) note_steps(&notes, &point, info);
    if (notes.n < NOTES_MAX) continue;
    add(&notes, 0, "and more; plan --points shows those of single points");
    break;
  }
}

void es_plan_print_notes(const es_plan_t *plan, const es_selection_t *selection) {
  es_text_t text = {0};
  es_plan_notes(plan, selection, &text);
  const char *line = es_text_get(&text);
  for (size_t length; (length = strcspn(line, "\n")) > 0; line += length + 1)
    fprintf(stderr, "eigenscope: note: %.*s\n", (int)length, line);
  if (text.failed) fprintf(stderr, "eigenscope: warning: out of memory for notes about the job\n");
  es_text_destroy(&text);
}
