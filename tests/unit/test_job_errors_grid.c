/* Errors in the grid of a job, its models and its datasets. */
#include "unit/job_errors.h"
#include <stdio.h>

static const bad_job_t grid[] = {
    {"name: x\ngrid:\n", NULL,
     "job.yaml:2: grid is empty; it needs axes, as in grid: {dataset: [fashion-mnist], model: [vgg11]}"},
    {"name: x\ngrid: {}\n", NULL,
     "job.yaml:2: grid is empty; it needs axes, as in grid: {dataset: [fashion-mnist], model: [vgg11]}"},
    {"name: x\ngrid: []\n", NULL,
     "job.yaml:2: grid is empty; it needs axes, as in grid: {dataset: [fashion-mnist], model: [vgg11]}"},
    {"name: x\ngrid: all\n", NULL,
     "job.yaml:2: grid must be a mapping of axes or a list of such mappings, not \"all\""},
    {"name: x\ngrid: [a]\n", NULL, "job.yaml:2: an entry of grid must be a mapping of axes, not \"a\""},
    {"name: x\ngrid: {model: vgg11}\n", NULL,
     "job.yaml:2: grid has no dataset; it needs one, as in dataset: [fashion-mnist]"},
    {"name: x\ngrid:\n  dataset: fashion-mnist\n", NULL,
     "job.yaml:3: grid has no model; it needs one, as in model: [vgg11]"},
    {"name: x\ngrid: [{dataset: fashion-mnist, model: vgg11},\n  {dataset: fashion-mnist}]\n", NULL,
     "job.yaml:3: grid has no model; it needs one, as in model: [vgg11]"},
    {AXIS("widht: 1"), NULL, "job.yaml:3: unknown key \"widht\" in grid; did you mean \"width\"?"},
    {AXIS("colour: 1"), NULL,
     "job.yaml:3: unknown key \"colour\" in grid; known keys are dataset, model, width, classes, resolution, "
     "seed, and keys of train, measure and probe with a single value, as train.learning_rate"},
    {AXIS("train.epoch: 1"), NULL, "job.yaml:3: unknown key \"train.epoch\" in grid; did you mean \"train.epochs\"?"},
    {AXIS("lr: 1"), NULL, "job.yaml:3: unknown key \"lr\" in grid; did you mean \"train.learning_rate\"?"},
    {AXIS("train.lr: 1"), NULL, "job.yaml:3: unknown key \"train.lr\" in grid; did you mean \"train.learning_rate\"?"},
    {AXIS("num_classes: 3"), NULL, "job.yaml:3: unknown key \"num_classes\" in grid; did you mean \"classes\"?"},
    {AXIS("measure.delta: 0.9"), NULL,
     "job.yaml:3: measure.delta cannot be an axis: its value is not a single number or word; set it under measure"},
    {AXIS("checkpoint.every: 2"), NULL,
     "job.yaml:3: checkpoint.every cannot be an axis: it does not change the results; set it under checkpoint"},
    {AXIS("probe.pool: [2, 400]"), NULL, "job.yaml:3: probe.pool must be an integer from 1 to 64, not \"400\""},
    {AXIS("measure.method: [channelwise, average]"), NULL,
     "job.yaml:3: measure.method must be channelwise, mean, max, median, flatten, first, last, {pool: K} or {nearest: "
     "K}, not "
     "\"average\""},
    {AXIS("measure.method: [mean, {pool: 4}]"), NULL,
     "job.yaml:3: a value of grid.measure.method must be a single number or word, not a mapping of 1"},
    {AXIS("train.schedule: [none, {step: 1}]"), NULL,
     "job.yaml:3: a value of grid.train.schedule must be a single number or word, not a mapping of 1"},
    {AXIS("seed: []"), NULL, "job.yaml:3: grid.seed is an empty list; an axis needs at least one value"},
    {AXIS("seed: {a: 1}"), NULL, "job.yaml:3: grid.seed must be a value or a list of values, not a mapping of 1"},
    {AXIS("seed: [0,\n 1, -1]"), NULL,
     "job.yaml:4: grid.seed must be an integer from 0 to 9223372036854775807, not \"-1\""},
    {AXIS("seed: [0, 1,\n 0]"), NULL, "job.yaml:4: grid.seed has \"0\" twice"},
    {AXIS("width: [1/4, 0.5, 0.25]"), NULL, "job.yaml:3: grid.width has \"0.25\" twice"},
    {AXIS("width: 1/128"), NULL,
     "job.yaml:3: grid.width must be a ratio from 1/64 to 16, as in 1/16, 0.125 or 2, not \"1/128\""},
    {AXIS("width: 17"), NULL,
     "job.yaml:3: grid.width must be a ratio from 1/64 to 16, as in 1/16, 0.125 or 2, not \"17\""},
    {AXIS("width: 1/0"), NULL,
     "job.yaml:3: grid.width must be a ratio from 1/64 to 16, as in 1/16, 0.125 or 2, not \"1/0\""},
    {AXIS("width: -1/2"), NULL,
     "job.yaml:3: grid.width must be a ratio from 1/64 to 16, as in 1/16, 0.125 or 2, not \"-1/2\""},
    {AXIS("width: 0.1e1"), NULL,
     "job.yaml:3: grid.width must be a ratio from 1/64 to 16, as in 1/16, 0.125 or 2, not \"0.1e1\""},
    {AXIS("classes: [1]"), NULL, "job.yaml:3: grid.classes must be all or an integer from 2 to 1024, not \"1\""},
    {AXIS("classes: [two]"), NULL, "job.yaml:3: grid.classes must be all or an integer from 2 to 1024, not \"two\""},
    {AXIS("resolution: 4"), NULL, "job.yaml:3: grid.resolution must be an integer from 8 to 2048, not \"4\""},
    {"name: x\ngrid: {dataset: fasion-mnist, model: vgg11}\n", NULL,
     "job.yaml:2: unknown dataset \"fasion-mnist\"; did you mean \"fashion-mnist\"?"},
    {"name: x\ngrid: {dataset: imagenet, model: vgg11}\n", NULL,
     "job.yaml:2: unknown dataset \"imagenet\"; known datasets are fashion-mnist; describe other datasets under "
     "datasets"},
    {"name: x\ngrid: {dataset: fashion-mnist, model: vg11}\n", NULL,
     "job.yaml:2: unknown model \"vg11\"; did you mean \"vgg11\"?"},
    {"name: x\ngrid: {dataset: fashion-mnist, model: VGG19}\n", NULL,
     "job.yaml:2: unknown model \"VGG19\"; did you mean \"vgg19\"?"},
    {"name: x\ngrid: {dataset: fashion-mnist, model: vgg16_bn}\n", NULL,
     "job.yaml:2: unknown model \"vgg16_bn\"; did you mean \"vgg16\"?"},
    {"name: x\ngrid: {dataset: fashion-mnist, model: ResNet-50}\n", NULL,
     "job.yaml:2: unknown model \"ResNet-50\"; did you mean \"resnet50\"?"},
    {"name: x\ngrid: {dataset: fashion-mnist, model: transformer}\nmodels: {late: {mlp: [3]}}\n", NULL,
     "job.yaml:2: unknown model \"transformer\"; known models are vgg11, vgg13, vgg16, vgg19, mlp, resnet18, resnet34, "
     "resnet50, resnet101, resnet152, mobilenet_v2, late, and those of eigenscope model list; describe other models "
     "under models"},
    {"name: x\ngrid: {dataset: fashion-mnist, model: resnet1001}\n", NULL,
     "job.yaml:2: unknown model \"resnet1001\"; did you mean \"resnet101\"?"},
    {"name: x\ngrid:\n  dataset: fashion-mnist\n  model: vgg11\n  train.epochs: [1, 2]\ntrain: {epochs: 5}\n", NULL,
     "job.yaml:6: train.epochs is also an axis of the grid (line 5); keep one of them"},
};

static const bad_job_t models[] = {
    {JOB "models: [a]\n", NULL, "job.yaml:3: models must be a mapping from names to architectures, not a list of 1"},
    {JOB "models: {vgg11: {mlp: [3]}}\n", NULL,
     "job.yaml:3: models.vgg11 has the name of a built-in model; choose another"},
    {JOB "models: {a/b: {mlp: [3]}}\n", NULL,
     "job.yaml:3: \"a/b\" cannot be the name of a model; a name has at most 63 letters, digits, '.', '_', '-' and '+'"},
    {JOB "models: {..: {mlp: [3]}}\n", NULL, "job.yaml:3: .. is a folder, but must be the name of a model"},
    {JOB "models: {late: [64, M]}\n", NULL, "job.yaml:3: models.late must be a mapping of keys, not a list of 2"},
    {JOB "models: {late: {head: authors}}\n", NULL,
     "job.yaml:3: models.late has no architecture; it needs vgg, mlp, resnet, mobilenet or layers, as in vgg: [64, M]"},
    {JOB "models: {late: {vgg: [64], mlp: [3]}}\n", NULL, "job.yaml:3: models.late has both vgg and mlp; keep one"},
    {JOB "models: {late: {mlp: [3], head: authors}}\n", NULL,
     "job.yaml:3: models.late.head can only be used with vgg; an mlp, resnet or mobilenet ends in one linear layer"},
    {JOB "models: {late: {vgg: [8], resnet: 18}}\n", NULL, "job.yaml:3: models.late has both vgg and resnet; keep one"},
    {JOB "models:\n  late:\n    resnet: 18\n    head: authors\n", NULL,
     "job.yaml:6: models.late.head can only be used with vgg; an mlp, resnet or mobilenet ends in one linear layer"},
    {JOB "models: {late: {resnet: 18, batch_norm: false}}\n", NULL,
     "job.yaml:3: models.late.batch_norm can only be used with vgg; the others always have batch norm"},
    {JOB "models: {late: {vgg: [8], stem: cifar}}\n", NULL,
     "job.yaml:3: models.late.stem can only be used with resnet and mobilenet"},
    {JOB "models: {late: {mlp: [8], skip: false}}\n", NULL,
     "job.yaml:3: models.late.skip can only be used with resnet and mobilenet; the others have no skip connections"},
    {JOB "models: {late: {resnet: 19}}\n", NULL,
     "job.yaml:3: models.late.resnet must be 18, 34, 50, 101, 152 or a list with the number of basic blocks of each "
     "stage, not "
     "\"19\""},
    {JOB "models: {late: {resnet: [2, 0]}}\n", NULL,
     "job.yaml:3: models.late.resnet must be 18, 34, 50, 101, 152 or a list with the number of basic blocks of each "
     "stage, not "
     "\"0\""},
    {JOB "models: {late: {resnet: {blocks: 3}}}\n", NULL,
     "job.yaml:3: models.late.resnet must be 18, 34, 50, 101, 152 or a list with the number of basic blocks of each "
     "stage, not a "
     "mapping of 1"},
    {JOB "models: {late: {resnet: [1, 1, 1, 1, 1, 1, 1]}}\n", NULL,
     "job.yaml:3: models.late.resnet has 7 entries, but must have at most 6"},
    {JOB "models: {late: {mobilenet: v3}}\n", NULL, "job.yaml:3: models.late.mobilenet must be v2, not \"v3\""},
    {JOB "models: {late: {mobilenet: [2]}}\n", NULL, "job.yaml:3: models.late.mobilenet must be v2, not a list of 1"},
    {JOB "models: {late: {resnet: 18, stem: torchvision}}\n", NULL,
     "job.yaml:3: models.late.stem must be cifar or imagenet, not \"torchvision\""},
    {JOB "models: {late: {resnet: 18, skip: none}}\n", NULL,
     "job.yaml:3: models.late.skip must be true or false, not \"none\""},
    {JOB "models: {late: {vgg: [64, X]}}\n", NULL,
     "job.yaml:3: models.late.vgg must be a list of channels, M (max pooling) and A (average pooling), or vgg11 ... "
     "vgg19, not "
     "\"X\""},
    {JOB "models: {late: {vgg: [64, 0]}}\n", NULL,
     "job.yaml:3: models.late.vgg must be a list of channels, M (max pooling) and A (average pooling), or vgg11 ... "
     "vgg19, not "
     "\"0\""},
    {JOB "models: {late: {vgg: [M]}}\n", NULL, "job.yaml:3: models.late.vgg has no layer with channels"},
    {JOB "models: {late: {vgg: mlp}}\n", NULL,
     "job.yaml:3: models.late.vgg must be a list of channels, M (max pooling) and A (average pooling), or vgg11 ... "
     "vgg19, not "
     "\"mlp\""},
    {JOB "models: {late: {vgg: []}}\n", NULL,
     "job.yaml:3: models.late.vgg must be a list of channels, M (max pooling) and A (average pooling), or vgg11 ... "
     "vgg19, not "
     "an empty list"},
    {JOB "models: {late: {mlp: [M]}}\n", NULL, "job.yaml:3: models.late.mlp must be a list of widths, not \"M\""},
    {JOB
     "models: {late: {vgg: [8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, "
     "8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8]}}\n",
     NULL, "job.yaml:3: models.late.vgg has 65 entries, but must have at most 64"},
    {JOB "models: {late: {vgg: [64], head: author}}\n", NULL,
     "job.yaml:3: models.late.head must be authors or torchvision, not \"author\""},
    {JOB "models: {late: {vgg: [64], heads: authors}}\n", NULL,
     "job.yaml:3: unknown key \"heads\" in models.late; did you mean \"head\"?"},
};

#define TEN  "0123456789"
#define LONG TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const bad_job_t datasets[] = {
    {JOB "datasets: mnist\n", NULL, "job.yaml:3: datasets must be a mapping from names to descriptions, not \"mnist\""},
    {JOB "datasets: {\"a b\": {format: idx, path: x}}\n", NULL,
     "job.yaml:3: \"a b\" cannot be the name of a dataset; a name has at most 63 letters, digits, '.', '_', '-' and "
     "'+'"},
    {JOB "datasets: {.: {format: idx, path: x}}\n", NULL,
     "job.yaml:3: . is a folder, but must be the name of a dataset"},
    {JOB "datasets: {mnist: {path: x}}\n", NULL,
     "job.yaml:3: datasets.mnist has no format; it needs one, as in format: idx"},
    {JOB "datasets: {mnist: {format: png, path: x}}\n", NULL,
     "job.yaml:3: datasets.mnist.format must be idx, cifar10, cifar100, hdf5 or synthetic, not \"png\""},
    {JOB "datasets: {mnist: {format: idx}}\n", NULL,
     "job.yaml:3: datasets.mnist has no path; it needs the folder of the IDX files"},
    {"name: x\ngrid: {dataset: mnist, model: vgg11}\ndatasets: {mnist: {format: idx, path: $ES_TEST_UNSET}}\n", NULL,
     "job.yaml:3: datasets.mnist.path: the environment variable ES_TEST_UNSET is not set; it must lead to the folder "
     "of the IDX files: export the variable, or use --set datasets.mnist.path=PATH"},
    {JOB "datasets: {mnist: {format: idx, path: x, size: 32}}\n", NULL,
     "job.yaml:3: datasets.mnist.size can only be used with format: synthetic"},
    {JOB "datasets: {shapes: {format: synthetic, path: x}}\n", NULL,
     "job.yaml:3: datasets.shapes.path can only be used with format: idx, cifar10, cifar100 or hdf5"},
    {JOB "datasets: {c: {format: cifar10}}\n", NULL,
     "job.yaml:3: datasets.c has no path; it needs the folder of data_batch_1.bin and the others"},
    {JOB "datasets: {c: {format: cifar100}}\n", NULL,
     "job.yaml:3: datasets.c has no path; it needs the folder of train.bin and test.bin"},
    {JOB "datasets: {h: {format: hdf5}}\n", NULL, "job.yaml:3: datasets.h has no path; it needs the HDF5 file"},
    {JOB "datasets: {c: {format: cifar10, path: x, labels: coarse}}\n", NULL,
     "job.yaml:3: datasets.c.labels can only be used with format: cifar100"},
    {JOB "datasets: {c: {format: cifar100, path: x, labels: both}}\n", NULL,
     "job.yaml:3: datasets.c.labels must be fine or coarse, not \"both\""},
    {JOB "datasets: {c: {format: idx, path: x, variables: {train_images: x}}}\n", NULL,
     "job.yaml:3: datasets.c.variables can only be used with format: hdf5"},
    {JOB "datasets: {h: {format: hdf5, path: x, variables: images}}\n", NULL,
     "job.yaml:3: datasets.h.variables must be a mapping, not \"images\""},
    {JOB "datasets: {h: {format: hdf5, path: x, variables: {train: images}}}\n", NULL,
     "job.yaml:3: unknown key \"train\" in datasets.h.variables; known keys are train_images, train_labels, "
     "eval_images, "
     "eval_labels"},
    {JOB "datasets: {h: {format: hdf5, path: x, variables: {train_images: [x]}}}\n", NULL,
     "job.yaml:3: datasets.h.variables.train_images must be a path within the file, not a list of 1"},
    {JOB "datasets: {h: {format: hdf5, path: x, variables: {train_images: " LONG "}}}\n", NULL,
     "job.yaml:3: datasets.h.variables: the name is longer than 127 bytes"},
    {JOB "datasets: {h: {format: hdf5, path: x, seed: 3}}\n", NULL,
     "job.yaml:3: datasets.h.seed can only be used with format: synthetic"},
    {JOB "datasets: {shapes: {format: synthetic, channels: 2}}\n", NULL,
     "job.yaml:3: datasets.shapes.channels must be 1 or 3, not \"2\""},
    {JOB "datasets: {shapes: {format: synthetic, classes: 1}}\n", NULL,
     "job.yaml:3: datasets.shapes.classes must be an integer from 2 to 1024, not \"1\""},
    {JOB "datasets: {shapes: {format: synthetic, sise: 32}}\n", NULL,
     "job.yaml:3: unknown key \"sise\" in datasets.shapes; did you mean \"size\"?"},
    {JOB "datasets: {mnist: {format: idx, path: x, fit: crop}}\n", NULL,
     "job.yaml:3: datasets.mnist.fit must be resize, pad or place, not \"crop\""},
    {JOB "datasets: {mnist: {format: idx, path: x, limit: 500}}\n", NULL,
     "job.yaml:3: datasets.mnist.limit must name the split, as in {train: 500, eval: 500}"},
    {JOB "datasets: {mnist: {format: idx, path: x, limit: {test: 500}}}\n", NULL,
     "job.yaml:3: unknown key \"test\" in datasets.mnist.limit; known keys are train, eval"},
    {JOB "datasets: {mnist: {format: idx, path: x, limit: {train: 0}}}\n", NULL,
     "job.yaml:3: datasets.mnist.limit.train must be all or an integer from 1 to 2147483647, not \"0\""},
    {JOB "datasets: {mnist: {format: idx, path: x, normalize: {mean: 0.5}}}\n", NULL,
     "job.yaml:3: datasets.mnist.normalize has no std; it needs one, as in std: [0.25]"},
    {JOB "datasets: {mnist: {format: idx, path: x, normalize: {mean: [0.5, 1], std: 1}}}\n", NULL,
     "job.yaml:3: datasets.mnist.normalize.mean must be one number or three, not a list of 2"},
    {JOB "datasets: {mnist: {format: idx, path: x, normalize: {mean: 0.5, std: 0}}}\n", NULL,
     "job.yaml:3: datasets.mnist.normalize.std must be one number above 0 or three, not \"0\""},
    {JOB "datasets: {mnist: {format: idx, path: x, normalize: eval}}\n", NULL,
     "job.yaml:3: datasets.mnist.normalize must be train or a mapping with mean and std, not \"eval\""},
};

TEST_TABLE(grid)
TEST_TABLE(models)
TEST_TABLE(datasets)

/* The six axes of every point leave room for ten settings. */
TEST(too_many_axes) {
  check_message(
      AXIS("train.epochs: 1, train.batch: 1, train.learning_rate: 1, train.momentum: 0, train.weight_decay: 0,\n"
           " train.beta1: 0, train.beta2: 0, train.epsilon: 1, train.lanes: 1, measure.every: 1,\n"
           " measure.convention: delve"),
      NULL, "job.yaml:5: the grid has more than 10 axes");
}
