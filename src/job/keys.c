/* The table of keys. A setting is a member of es_point_t and one row here: type, range, default, in_id, doc. */
#include "keys.h"
#include "eigenscope/dataset_reader.h"
#include "eigenscope/graph.h"
#include "eigenscope/job.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The words of a choice, in the order of the values, then NULL. A wrong number of words does not compile. */
#define COUNT(...) (sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *))
#define WORDS(count, ...)                                                                                              \
  ((const char *const[1 + sizeof(char[COUNT(__VA_ARGS__) == (count) ? (count) : -1])]){__VA_ARGS__})

#define TOP(field)         offsetof(es_top_settings_t, field)
#define POINT(field)       offsetof(es_point_t, field)
#define DATASET(field)     offsetof(es_dataset_entry_t, spec.field)
#define ENTRY(field)       offsetof(es_dataset_entry_t, field)
#define CHECKPOINTS(field) offsetof(es_checkpoints_settings_t, field)
#define ACTIVATIONS(field) offsetof(es_activations_settings_t, field)
#define MOMENTS(field)     offsetof(es_moments_settings_t, field)
#define SEARCH(field)      offsetof(es_search_settings_t, field)

/* ---- conditions under which a setting changes results ---- */

static bool always(ES_UNUSED const es_point_t *point) {
  return true;
}
static bool has_network(const es_point_t *point) {
  return es_source_has_network(point->source);
}
static bool trains(const es_point_t *point) {
  return point->source == ES_SOURCE_TRAIN;
}
/* True if the point is trained, or if these settings select its weights in a folder of results. */
static bool trained(const es_point_t *point) {
  return trains(point) || (point->source == ES_SOURCE_CHECKPOINT && point->external.from_results);
}
static bool trained_by_sgd(const es_point_t *point) {
  return trained(point) && point->train.optimizer == ES_SGD;
}
static bool trained_by_adam(const es_point_t *point) {
  return trained(point) && point->train.optimizer != ES_SGD;
}
static bool trained_with_warmup(const es_point_t *point) {
  return trained(point) && point->train.warmup > 0;
}
static bool has_steps(const es_point_t *point) {
  return trains(point) && point->measure.steps.kind != ES_STEPS_NONE;
}
static bool probed(const es_point_t *point) {
  return point->probe.epochs.kind != ES_EPOCHS_NONE;
}
static bool counts_units(const es_point_t *point) {
  return point->measure.units == ES_ON;
}
static bool keeps(const es_point_t *point) {
  return point->measure.similarity == ES_ON;
}
static bool pooled(const es_point_t *point) {
  return probed(point) || keeps(point);
}

/* ---- the table ---- */

/* The settings of a point. Ids hash the settings that differ from their defaults in this order, so append new ones at
 * the end of their section. */
static const es_key_t settings[] = {
    {"train", "epochs", ES_KEY_INT32, POINT(train.epochs), 1, 100000, .in_id = trained, .fallback = "20",
     .doc = "passes over the train split"},
    {"train", "batch", ES_KEY_INT32, POINT(train.batch), 1, 65536, .in_id = has_network, .fallback = "128",
     .doc = "samples of a training step on all ranks together; the last step may have fewer"},
    {"train", "optimizer", ES_KEY_CHOICE, POINT(train.optimizer),
     .choices = WORDS(ES_OPTIMIZERS, "sgd", "adam", "adamw", "radam"), .in_id = trained, .fallback = "sgd",
     .doc = "gradient descent with momentum, Adam, Adam with decoupled weight decay, or rectified Adam, as PyTorch's"},
    {"train", "learning_rate", ES_KEY_REAL, POINT(train.learning_rate), .bounds = ES_NOT_NEGATIVE, .in_id = trained,
     .fallback = "0.1", .doc = "learning rate at the start of training; 0: weights stay as initialised"},
    {"train", "momentum", ES_KEY_REAL, POINT(train.momentum), .bounds = ES_BELOW_ONE, .in_id = trained_by_sgd,
     .fallback = "0.9", .doc = "momentum of sgd"},
    {"train", "weight_decay", ES_KEY_REAL, POINT(train.weight_decay), .bounds = ES_NOT_NEGATIVE, .in_id = trained,
     .fallback = "0.0005",
     .doc =
         "this number times the weight is added to the gradient; adamw: times the learning rate, and subtracted from "
         "the weight"},
    {"train", "beta1", ES_KEY_REAL, POINT(train.beta1), .bounds = ES_BELOW_ONE, .in_id = trained_by_adam,
     .fallback = "0.9", .doc = "parameter of adam, adamw and radam"},
    {"train", "beta2", ES_KEY_REAL, POINT(train.beta2), .bounds = ES_BELOW_ONE, .in_id = trained_by_adam,
     .fallback = "0.999", .doc = "parameter of adam, adamw and radam"},
    {"train", "epsilon", ES_KEY_REAL, POINT(train.epsilon), .bounds = ES_POSITIVE, .in_id = trained_by_adam,
     .fallback = "1.0e-08", .doc = "parameter of adam, adamw and radam"},
    {"train", "schedule", ES_KEY_SCHEDULE, POINT(train), .in_id = trained, .fallback = "none",
     .form = "none, cosine, {step: EPOCHS}, {milestones: [EPOCH, EPOCH]} or {plateau: EPOCHS}, with gamma: FACTOR",
     .doc = "change of the learning rate over the epochs"},
    {"train", "augment", ES_KEY_AUGMENT, POINT(train.augment), .in_id = trained, .fallback = "[]",
     .form = "a list of crop, flip, place, resized_crop, erase and cutout",
     .doc =
         "random changes of training images: shifts, mirror images, places on the canvas, enlarged parts, rectangles "
         "of zeros"},
    {"train", "lanes", ES_KEY_POWER, POINT(train.lanes), 1, 256, .in_id = always, .fallback = "8",
     .form = "a power of two from 1 to 256",
     .doc = "number of parts of a batch, and the most ranks that can work on one point"},
    {"train", "stop_when_stable", ES_KEY_STOP, POINT(train.stop_when_stable), .in_id = trained, .fallback = "none",
     .form = "none or {distance: D, patience: EPOCHS}",
     .doc = "end training when the saturations of the hidden layers at the first delta hardly change any more"},
    {"train", "precision", ES_KEY_CHOICE, POINT(train.precision), .choices = es_precision_words, .in_id = has_network,
     .fallback = "float32",
     .doc = "type of activations and their gradients in the network; weights, statistics and sums stay float32"},
    {"train", "nesterov", ES_KEY_CHOICE, POINT(train.nesterov), .choices = WORDS(ES_SWITCHES, "false", "true"),
     .in_id = trained_by_sgd, .fallback = "false", .doc = "Nesterov's momentum for sgd"},
    {"train", "label_smoothing", ES_KEY_REAL, POINT(train.label_smoothing), .bounds = ES_BELOW_ONE, .in_id = trained,
     .fallback = "0",
     .doc = "share of the target that is spread over all classes in the loss of training; not in evaluation"},
    {"train", "clip_norm", ES_KEY_REAL_OR_NONE, POINT(train.clip_norm), .bounds = ES_POSITIVE, .in_id = trained,
     .fallback = "none", .doc = "the gradient of all parameters together is scaled down to this norm"},
    {"train", "warmup", ES_KEY_INT32, POINT(train.warmup), 0, 100000, .in_id = trained, .fallback = "0",
     .doc = "first epochs, in which the learning rate rises linearly; then the schedule begins with its first epoch"},
    {"train", "warmup_start", ES_KEY_REAL, POINT(train.warmup_start), .bounds = ES_UP_TO_ONE,
     .in_id = trained_with_warmup, .fallback = "0.01",
     .doc = "factor of the learning rate in the first epoch of warmup"},

    {"measure", "every", ES_KEY_INT32, POINT(measure.every), 1, 100000, .in_id = trains, .fallback = "1",
     .doc = "epochs between measurements; epoch 0 and the last epoch are always measured"},
    {"measure", "delta", ES_KEY_DELTAS, POINT(measure), .in_id = always, .fallback = "[0.99]",
     .form = "an ascending list of numbers above 0, at most 1",
     .doc = "shares of the variance that an eigenspace must explain"},
    {"measure", "splits", ES_KEY_SPLITS, POINT(measure), .in_id = has_network, .fallback = "[train, eval]",
     .form = "a list of train and eval", .doc = "parts of the data whose activations are measured"},
    {"measure", "method", ES_KEY_METHOD, POINT(measure), .in_id = always, .fallback = "channelwise",
     .form = "channelwise, mean, max, median, flatten, first, last, {pool: K} or {nearest: K}",
     .doc = "how the output of a layer becomes rows of the data matrix"},
    {"measure", "convention", ES_KEY_CHOICE, POINT(measure.convention),
     .choices = WORDS(ES_CONVENTIONS, "smallest", "pca-layer", "delve"), .in_id = always, .fallback = "smallest",
     .doc =
         "how directions are counted: the fewest that explain the share, or as the authors' PCA layers or delve count"},
    {"measure", "layers", ES_KEY_PATTERNS, POINT(measure), .in_id = always, .fallback = "[\"*\"]",
     .form = "a list of names with * and ?", .doc = "the layers to measure"},
    {"measure", "solver", ES_KEY_CHOICE, POINT(measure.solver),
     .choices = WORDS(ES_SOLVER_CHOICES, "auto", "lapack", "scalapack", "elpa"), .in_id = always, .fallback = "auto",
     .doc = "solver of eigenproblems; auto: LAPACK, or ScaLAPACK for wide layers on several ranks"},
    {"measure", "eigenspace", ES_KEY_CHOICE, POINT(measure.eigenspace),
     .choices = WORDS(ES_EIGENSPACES, "false", "true", "store"), .in_id = always, .fallback = "false",
     .doc =
         "true: compare the leading eigenspaces of different epochs; store: also write the eigenvectors to the result"},
    {"measure", "projection", ES_KEY_CHOICE, POINT(measure.projection), .choices = WORDS(ES_SWITCHES, "false", "true"),
     .in_id = always, .fallback = "false",
     .doc = "measure the accuracy with outputs projected onto their leading eigenspaces, for each delta"},
    {"measure", "kinds", ES_KEY_KINDS, POINT(measure), .in_id = has_network, .fallback = "[conv, linear]",
     .form = "a list of conv, linear, block, attention, activation and norm",
     .doc = "kinds of outputs that are layers, from which the key layers chooses by name"},
    {"measure", "weights", ES_KEY_CHOICE, POINT(measure.weights), .choices = WORDS(ES_SWITCHES, "false", "true"),
     .in_id = always, .fallback = "false", .doc = "compute norms, power laws and distances of the layers' weights"},
    {"measure", "similarity", ES_KEY_CHOICE, POINT(measure.similarity), .choices = WORDS(ES_SWITCHES, "false", "true"),
     .in_id = always, .fallback = "false",
     .doc = "keep the features of a sample of the eval split in <id>.features.h5, for eigenscope similarity"},
    {"measure", "similarity_samples", ES_KEY_INT32, POINT(measure.similarity_samples), 4, 100000, .in_id = keeps,
     .fallback = "1000", .doc = "samples whose features are kept"},
    {"measure", "classes", ES_KEY_CHOICE, POINT(measure.classes), .choices = WORDS(ES_SWITCHES, "false", "true"),
     .in_id = always, .fallback = "false",
     .doc = "compute neural collapse, and the accuracy of the nearest class mean in each layer"},
    {"measure", "units", ES_KEY_CHOICE, POINT(measure.units), .choices = WORDS(ES_SWITCHES, "false", "true"),
     .in_id = always, .fallback = "false", .doc = "compute the shares of dead and of dormant units of each layer"},
    {"measure", "dormant", ES_KEY_REAL, POINT(measure.dormant), .bounds = ES_UP_TO_ONE, .in_id = counts_units,
     .fallback = "0.1",
     .doc = "a unit is dormant if its mean absolute output is at most this share of the layer's mean"},
    {"measure", "gradients", ES_KEY_CHOICE, POINT(measure.gradients), .choices = WORDS(ES_SWITCHES, "false", "true"),
     .in_id = always, .fallback = "false",
     .doc = "compute norms of the layers' gradients over the steps of each epoch"},
    {"measure", "steps", ES_KEY_STEPS, POINT(measure.steps), 0, INT32_MAX, .in_id = has_steps, .fallback = "none",
     .form = "none, an ascending list of steps, {log: N} or {every: N}",
     .doc = "training steps after which the eval split is measured, also within epochs; step 0 is the initial network"},
    {"measure", "step_samples", ES_KEY_COUNT64, POINT(measure.steps.samples), 1, INT32_MAX, .in_id = has_steps,
     .fallback = "all", .doc = "samples of the eval split that measure.steps uses, balanced over the classes"},

    {"probe", "epochs", ES_KEY_EPOCHS, POINT(probe.epochs), 0, 100000,
     .choices = WORDS(ES_EPOCHS_LIST, "none", "last", "all"), .in_id = probed, .fallback = "none",
     .form = "none, last, all or a list of epochs", .doc = "epochs after which probes are fitted"},
    {"probe", "pool", ES_KEY_INT32, POINT(probe.pool), 1, 64, .in_id = pooled, .fallback = "4",
     .doc = "maps are pooled to K x K positions, tokens to K"},
    {"probe", "l2", ES_KEY_L2, POINT(probe), .bounds = ES_POSITIVE, .in_id = probed, .fallback = "1",
     .form = "a number above 0, or an ascending list of them",
     .doc = "strength of the regularisation: 1/C of scikit-learn; of a list, the strength with the best accuracy on a "
            "tenth of the fitted samples"},
    {"probe", "samples", ES_KEY_COUNT64, POINT(probe.samples), 1, INT32_MAX, .in_id = probed, .fallback = "all",
     .doc = "training samples for the fit, balanced over the classes"},
    {"probe", "tail", ES_KEY_REAL, POINT(probe.tail), .bounds = ES_BELOW_ONE, .in_id = probed, .fallback = "0.01",
     .doc = "the last layers, if they increase the accuracy by less than this, are the tail"},
    {"probe", "memory", ES_KEY_INT32, POINT(probe.memory), 1, 1000000, .fallback = "1024",
     .doc = "MiB per rank for the features of probes; layers are fitted in several rounds if they need more"},
    {"probe", "gap", ES_KEY_REAL, POINT(probe.gap), .bounds = ES_UP_TO_ONE, .in_id = probed, .fallback = "0.000001",
     .doc = "a fit ends when the objective is proven to be within this share of its optimum"},
    {"probe", "datasets", ES_KEY_DATASETS, POINT(probe), .in_id = probed, .fallback = "[]",
     .form = "a list of names of datasets",
     .doc = "other datasets, on each of which probes of the same network are fitted and tested"},

    {"checkpoint", "every", ES_KEY_INT32, POINT(checkpoint.every), 1, 100000, .fallback = "1",
     .doc = "epochs between two states that are written"},
    {"checkpoint", "keep", ES_KEY_CHOICE, POINT(checkpoint.keep), .choices = WORDS(ES_KEEPS, "none", "last", "all"),
     .fallback = "last", .doc = "weights that are kept after a point is complete"},
};

/* Other keys. Messages list these before the keys of models ... */
static const es_key_t firsts[] = {
    {"", "name", ES_KEY_TEXT, TOP(name), .fallback = "reference", .required = true, .form = "text without /",
     .doc = "name of the job"},
    {"", "output", ES_KEY_TEXT, TOP(output), .fallback = "results/reference", .form = "a folder",
     .doc = "results are written to this folder, relative to the working directory; $VAR is expanded; default "
            "results/<name>"},
    {"", "source", ES_KEY_CHOICE, TOP(source),
     .choices = WORDS(ES_SOURCES, "train", "checkpoint", "activations", "moments"), .fallback = "train",
     .doc = "origin of the activations: networks trained by this job, weights from files, activations from files, or "
            "sums over activations from files"},

    {"grid", "dataset", ES_KEY_NAME, POINT(dataset), .fallback = "fashion-mnist", .required = true,
     .form = "fashion-mnist or a name under datasets", .doc = "dataset of the images"},
    {"grid", "model", ES_KEY_NAME, POINT(model), .fallback = "vgg11", .required = true,
     .doc = "architecture of the network"},
    {"grid", "width", ES_KEY_RATIO, POINT(width), .fallback = "1",
     .form = "a ratio from 1/64 to 16, as in 1/16, 0.125 or 2",
     .doc = "factor for the channels of every layer, rounded down"},
    {"grid", "classes", ES_KEY_COUNT32, POINT(classes), 2, ES_CLASSES_MAX, .fallback = "all",
     .doc = "use only the first labels of the dataset, as many as given"},
    {"grid", "resolution", ES_KEY_INT32, POINT(resolution), 8, ES_RESOLUTION_MAX, .fallback = "32",
     .doc = "height and width of the images at the input of the network"},
    {"grid", "seed", ES_KEY_INT64, POINT(seed), 0, INT64_MAX, .fallback = "0",
     .doc = "seed of initialisation, order of samples, augmentation and dropout"},
};

/* ... and these after them. Keys of single dataset formats are in their readers. */
static const es_key_t others[] = {
    {"datasets.*", "format", ES_KEY_CHOICE, DATASET(format), .choices = es_format_words, .fallback = "idx",
     .required = true, .doc = "see the list above"},
    {"datasets.*", "path", ES_KEY_TEXT, ENTRY(path), .fallback = "/usr/share/datasets/fashion-mnist",
     .form = "a folder, or the file of hdf5",
     .doc = "required except for synthetic; relative to the job file; $VAR is expanded"},
    {"datasets.*", "fit", ES_KEY_CHOICE, DATASET(fit), .choices = es_fit_words, .fallback = "resize",
     .doc = "how images get the resolution: resized with antialiasing, centred in zeros, or in zeros at a random place "
            "that each image keeps"},
    {"datasets.*", "limit", ES_KEY_LIMIT, 0, .fallback = "all", .form = "all or a mapping with train and eval",
     .doc = "number of samples of each split, balanced over the classes"},
    {"datasets.*", "normalize", ES_KEY_NORMALIZE, 0, .fallback = "train",
     .form = "train or a mapping with mean and std",
     .doc = "mean and standard deviation per channel: of the train split, or the given ones"},
    {"datasets.*.limit", "train", ES_KEY_COUNT64, DATASET(limit[ES_TRAIN]), 1, INT32_MAX, .fallback = "all",
     .doc = "training samples"},
    {"datasets.*.limit", "eval", ES_KEY_COUNT64, DATASET(limit[ES_EVAL]), 1, INT32_MAX, .fallback = "all",
     .doc = "evaluation samples"},
    {"datasets.*.normalize", "mean", ES_KEY_CHANNELS, DATASET(mean), .bounds = ES_ANY, .fallback = "[0.5]",
     .required = true, .form = "one number or three", .doc = "subtracted from pixels on the scale 0 ... 1"},
    {"datasets.*.normalize", "std", ES_KEY_CHANNELS, DATASET(deviation), .bounds = ES_POSITIVE, .fallback = "[0.25]",
     .required = true, .form = "one number above 0 or three", .doc = "pixels on the scale 0 ... 1 are divided by this"},

    {"train.schedule", "step", ES_KEY_INT32, POINT(train.schedule_step), 1, 100000, .fallback = "7",
     .doc = "epochs between two changes of the learning rate"},
    {"train.schedule", "gamma", ES_KEY_REAL, POINT(train.schedule_gamma), .bounds = ES_UP_TO_ONE, .fallback = "0.1",
     .doc = "factor of the learning rate at each change"},
    {"train.schedule", "milestones", ES_KEY_MILESTONES, POINT(train), 1, 100000, .fallback = "[10, 15]",
     .form = "an ascending list of epochs", .doc = "instead of step: epochs after which the learning rate changes"},
    {"train.schedule", "plateau", ES_KEY_INT32, POINT(train.plateau.patience), 0, 100000, .fallback = "10",
     .doc = "instead of step: the learning rate changes when the loss has not improved for more than this many epochs"},
    {"train.schedule", "monitor", ES_KEY_CHOICE, POINT(train.plateau.monitor), .choices = es_monitor_words,
     .fallback = "loss", .doc = "number of the eval split that plateau follows"},
    {"train.schedule", "threshold", ES_KEY_REAL, POINT(train.plateau.threshold), .bounds = ES_BELOW_ONE,
     .fallback = "0.0001", .doc = "smallest relative change that plateau takes for an improvement"},
    {"train.schedule", "cooldown", ES_KEY_INT32, POINT(train.plateau.cooldown), 0, 100000, .fallback = "0",
     .doc = "epochs after a change that plateau does not count"},
    {"train.schedule", "least", ES_KEY_REAL, POINT(train.plateau.least), .bounds = ES_NOT_NEGATIVE, .fallback = "0",
     .doc = "smallest learning rate of plateau"},

    {"train.augment.resized_crop", "scale", ES_KEY_RANGE, POINT(train.augment.resized.scale), .bounds = ES_UP_TO_ONE,
     .fallback = "[0.08, 1]", .form = "two ascending numbers above 0, at most 1",
     .doc = "share of the image's area that the enlarged part has"},
    {"train.augment.resized_crop", "ratio", ES_KEY_RANGE, POINT(train.augment.resized.ratio), .bounds = ES_POSITIVE,
     .fallback = "[0.75, 1.3333333333333333]", .form = "two ascending numbers above 0",
     .doc = "width of the part over its height"},
    {"train.augment.erase", "probability", ES_KEY_REAL, POINT(train.augment.erase_probability),
     .bounds = ES_ZERO_TO_ONE, .fallback = "0.5", .doc = "share of the images in which a rectangle is erased"},
    {"train.augment.erase", "scale", ES_KEY_RANGE, POINT(train.augment.erased.scale), .bounds = ES_UP_TO_ONE,
     .fallback = "[0.02, 0.33]", .form = "two ascending numbers above 0, at most 1",
     .doc = "share of the image's area that the rectangle has"},
    {"train.augment.erase", "ratio", ES_KEY_RANGE, POINT(train.augment.erased.ratio), .bounds = ES_POSITIVE,
     .fallback = "[0.3, 3.3]", .form = "two ascending numbers above 0",
     .doc = "height of the rectangle over its width"},
    {"train.augment.cutout", "size", ES_KEY_INT32, POINT(train.augment.cutout_size), 1, ES_RESOLUTION_MAX,
     .fallback = "16", .doc = "side of the erased square in pixels; without this key half of the resolution"},

    {"measure.method", "pool", ES_KEY_INT32, POINT(measure.method_size), 1, 64, .fallback = "4",
     .doc = "average pooling to K x K positions (K of tokens), then flattened"},
    {"measure.method", "nearest", ES_KEY_INT32, POINT(measure.method_size), 1, 64, .fallback = "4",
     .doc = "K x K of the positions (K of the tokens), then like channelwise"},
    {"measure.steps", "log", ES_KEY_INT32, POINT(measure.steps.n), 3, 1000, .fallback = "20",
     .doc = "this many steps from 0 to the last one, in equal ratios from 1 on"},
    {"measure.steps", "every", ES_KEY_INT32, POINT(measure.steps.n), 1, INT32_MAX, .fallback = "50",
     .doc = "step 0, and every N-th step"},

    {"train.stop_when_stable", "distance", ES_KEY_REAL, POINT(train.stop_when_stable.distance), .bounds = ES_POSITIVE,
     .fallback = "0.02", .required = true,
     .doc = "largest root mean square change of the saturations since the measured epoch before"},
    {"train.stop_when_stable", "patience", ES_KEY_INT32, POINT(train.stop_when_stable.patience), 1, 100000,
     .fallback = "3", .doc = "number of measured epochs in a row that must stay below the distance"},

    {"checkpoints", "files", ES_KEY_TEXT, CHECKPOINTS(files),
     .fallback = "\"run/{model}-{width}-{epoch:03}.safetensors\"", .form = "a path with axes and {epoch} in braces",
     .doc = "files of weights to measure, relative to the job file"},
    {"checkpoints", "from", ES_KEY_TEXT, CHECKPOINTS(from), .fallback = "results/reference", .form = "a folder",
     .doc = "instead of files: output of an earlier job; points trained with the same settings are measured again"},
    {"checkpoints", "epochs", ES_KEY_EPOCHS, CHECKPOINTS(epochs), 0, 100000, .fallback = "[1, 5, 10]",
     .form = "a list of epochs",
     .doc = "values of {epoch}; with from: epochs to measure instead of the last (needs checkpoint.keep: all)"},
    {"checkpoints", "precision", ES_KEY_CHOICE, CHECKPOINTS(precision),
     .choices = WORDS(ES_TRAINED_PRECISIONS, "same", "float32", "bfloat16"), .fallback = "same",
     .doc = "with from: precision in which the weights were trained; same: as train.precision, in which they are "
            "measured"},

    {"activations", "file", ES_KEY_TEXT, ACTIVATIONS(file), .fallback = "\"acts-{epoch}.h5\"", .required = true,
     .form = "a path, with {epoch} if there are several",
     .doc = "activations of the train split, relative to the job file: an HDF5 file, or a folder of .npy files"},
    {"activations", "eval", ES_KEY_TEXT, ACTIVATIONS(eval), .fallback = "\"evals-{epoch}.h5\"",
     .form = "a path, with {epoch} if there are several",
     .doc = "activations of the eval split; without this key there is no eval split"},
    {"activations", "labels", ES_KEY_TEXT, ACTIVATIONS(labels), .fallback = "labels", .form = "the name of a variable",
     .doc = "name of the labels in the file"},
    {"activations", "epochs", ES_KEY_EPOCHS, ACTIVATIONS(epochs), 0, 100000, .fallback = "[1, 5, 10]",
     .form = "a list of epochs", .doc = "values of {epoch}"},

    {"moments", "files", ES_KEY_TEXT, MOMENTS(files), .fallback = "run/moments.h5", .required = true,
     .form = "a path, with axes in braces if there is a grid",
     .doc = "file that eigenscope.Tracker wrote, relative to the job file; or the common name of the files of several "
            "processes"},
    {"moments", "epochs", ES_KEY_EPOCHS, MOMENTS(epochs), 0, 100000, .fallback = "[1, 5, 10]",
     .form = "a list of epochs", .doc = "epochs to measure; without this key, all epochs in the files"},

    {"search", "axis", ES_KEY_TEXT, SEARCH(axis), .fallback = "width",
     .form = "an axis of the grid whose values are numbers", .doc = "the smallest good value of this axis is searched"},
    {"search", "goal", ES_KEY_CHOICE, SEARCH(goal), .choices = WORDS(1, "smallest"), .fallback = "smallest",
     .doc = "what is searched on the axis"},
    {"search", "accuracy", ES_KEY_REAL, SEARCH(accuracy), .bounds = ES_BELOW_ONE, .fallback = "0.01",
     .doc = "a value is good if its accuracy is at most this much below the best"},
    {"search", "seeds", ES_KEY_CHOICE, SEARCH(seeds), .choices = WORDS(ES_SEARCH_SEEDS, "all", "needed"),
     .fallback = "all",
     .doc = "all: each value is trained with all seeds before it is compared; needed: with one more seed while the "
            "seeds so far do not decide"},
    {"search", "over", ES_KEY_OTHER, .fallback = "[dataset, model, classes]", .form = "a list of axes of the grid",
     .doc = "each combination of their values is searched by itself; without this key all axes but seed and the "
            "searched one, for halving only dataset, classes and resolution"},
    {"search", "halving", ES_KEY_SECTION, .fallback = "{rungs: [1, 3, 9]}", .form = "a mapping with rungs, keep and by",
     .doc = "instead of axis and goal: stop all but the best points early"},
    {"search.halving", "rungs", ES_KEY_EPOCHS, SEARCH(rungs), 1, 100000, .fallback = "[1, 3, 9]", .required = true,
     .form = "a list of epochs", .doc = "epochs after which only a share of the points goes on"},
    {"search.halving", "keep", ES_KEY_RATIO, SEARCH(keep), .fallback = "1/3", .form = "a ratio from 1/64 to below 1",
     .doc = "share of the points that goes on, rounded up"},
    {"search.halving", "by", ES_KEY_CHOICE, SEARCH(by), .choices = WORDS(ES_SEARCH_BYS, "accuracy", "saturation"),
     .fallback = "accuracy", .doc = "number of the eval split by which points are compared; the largest go on"},
};

/* Beside the family `layers`. */
static const es_key_t descriptions[] = {
    {"models.*", "file", ES_KEY_DESCRIPTION, .fallback = "mine.yaml", .form = "a file",
     .doc = "instead of layers: a file with the keys parameters, blocks and layers, relative to the job file; $VAR is "
            "expanded"},
    {"models.*", "base", ES_KEY_DESCRIPTION, .fallback = "resnext50_32x4d",
     .form = "a described model of `eigenscope model list`",
     .doc = "instead of layers: a model of the program, whose parameters may be changed by `parameters`"},
    {"models.*", "parameters", ES_KEY_DESCRIPTION, .fallback = "{depth: 2}", .form = "a mapping from names to numbers",
     .doc = "for layers and base: numbers that layers may use; model.depth is then an axis of the grid"},
    {"models.*", "blocks", ES_KEY_DESCRIPTION, .fallback = "{cell: {parameters: {planes: 8}, layers: [relu]}}",
     .form = "a mapping from names to lists of operations with numbers of their own",
     .doc = "for layers: lists of operations that layers call by name, see jobs/README.md"},
};

enum { N_SETTINGS = sizeof settings / sizeof *settings };

/* ---- all keys ---- */

static const es_key_t *all[ES_KEYS_MAX];
static int n_all;

static void add_keys(const es_key_t *keys, int n) {
  assert(n_all + n <= ES_KEYS_MAX);
  for (int i = 0; i < n; i++) all[n_all++] = &keys[i];
}

/* Collects the rows above, the families and options of networks, and the keys of dataset readers, in the order in which
 * messages list them. */
static void collect(void) {
  static es_key_t models[(int)ES_FAMILIES + (int)ES_MODEL_OPTIONS];
  enum { DESCRIPTIONS = sizeof descriptions / sizeof *descriptions };
  int n = 0;
  for (int i = 0; i < ES_FAMILIES; i++) {
    const es_family_row_t *row = es_family((es_family_t)i);
    if (es_family_find(row->key) != row) continue;
    const es_key_type_t type = i == ES_FAMILY_DESCRIPTION ? ES_KEY_DESCRIPTION : ES_KEY_FAMILY;
    models[n] = (es_key_t){"models.*", row->key, type, .least = 1, .most = row->item_max};
    models[n].fallback = row->example;
    models[n].form = row->form;
    models[n++].doc = row->doc;
  }
  const es_model_option_t *option;
  for (int i = 0; (option = es_model_option(i)) != NULL; i++) {
    models[n] = (es_key_t){"models.*", option->name, ES_KEY_CHOICE, option->offset, .choices = option->words};
    models[n].fallback = option->words[0];
    models[n++].doc = option->doc;
  }
  add_keys(firsts, sizeof firsts / sizeof *firsts);
  add_keys(models, n);
  add_keys(descriptions, DESCRIPTIONS);
  add_keys(others, sizeof others / sizeof *others);
  for (es_format_t f = 0; f < ES_FORMATS_COUNT; f++) add_keys(es_reader_of(f)->keys, es_reader_of(f)->n_keys);
  add_keys(settings, N_SETTINGS);
}

int es_keys_count(void) {
  if (n_all == 0) collect();
  return n_all;
}

const es_key_t *es_keys_get(int index) {
  assert(index >= 0 && index < es_keys_count());
  return all[index];
}

int es_setting_count(void) {
  return N_SETTINGS;
}

const char *es_setting_section(int index) {
  return settings[index].section;
}

const char *es_setting_name(int index) {
  return settings[index].name;
}

bool es_setting_in_id(int index, const es_point_t *point) {
  const es_key_t *key = &settings[index];
  return key->in_id != NULL && key->in_id(point) && !es_key_is_default(key, point);
}

bool es_setting_is_idle(int index, const es_point_t *point) {
  return settings[index].in_id != NULL && !settings[index].in_id(point);
}

bool es_setting_is_default(int index, const es_point_t *point) {
  return es_key_is_default(&settings[index], point);
}

void es_setting_print(int index, const es_point_t *point, char out[ES_SETTING_MAX]) {
  es_key_print(&settings[index], point, out);
}

const es_key_t *es_keys_find(const char *section, const char *name) {
  for (int i = 0; i < es_keys_count(); i++) {
    const es_key_t *key = es_keys_get(i);
    if (strcmp(key->section, section) == 0 && strcmp(key->name, name) == 0) return key;
  }
  return NULL;
}

const char *es_key_dotted(const es_key_t *key, char out[ES_NAME_MAX]) {
  snprintf(out, ES_NAME_MAX, "%s%s%s", key->section, key->section[0] != '\0' ? "." : "", key->name);
  return out;
}

const es_key_t *es_keys_find_dotted(const char *dotted) {
  char name[ES_NAME_MAX];
  for (int i = 0; i < es_keys_count(); i++) {
    if (strcmp(es_key_dotted(es_keys_get(i), name), dotted) == 0) return es_keys_get(i);
  }
  return NULL;
}

bool es_key_is_of_point(const es_key_t *key) {
  bool is_setting = false;
  for (int i = 0; i < N_SETTINGS; i++) is_setting |= key == &settings[i];
  return is_setting || strcmp(key->section, "grid") == 0;
}

bool es_key_is_axis(const es_key_t *key) {
  if (strcmp(key->section, "grid") == 0) return true;
  if (strcmp(key->section, "train") != 0 && strcmp(key->section, "measure") != 0 && strcmp(key->section, "probe") != 0)
    return false;
  switch (key->type) {
  case ES_KEY_AUGMENT:
  case ES_KEY_DELTAS:
  case ES_KEY_SPLITS:
  case ES_KEY_PATTERNS:
  case ES_KEY_KINDS:
  case ES_KEY_EPOCHS:
  case ES_KEY_STEPS:
  case ES_KEY_STOP:
  case ES_KEY_DATASETS:
    return false;
  default:
    return true;
  }
}
