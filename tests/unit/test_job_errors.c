/* Errors in job files: in the text, in top-level keys, in settings, and in --set. */
#include "unit/job_errors.h"
#include <stdio.h>

static const bad_job_t syntax[] = {
    {"", NULL, "job.yaml:1: the job file is empty; it needs at least name and grid"},
    {"# nothing\n", NULL, "job.yaml:1: the job file is empty; it needs at least name and grid"},
    {"- a\n- b\n", NULL, "job.yaml:1: a job file must be a mapping of keys (name, grid, ...), not a list of 2"},
    {"job\n", NULL, "job.yaml:1: a job file must be a mapping of keys (name, grid, ...), not \"job\""},
    {"name: x\ngrid:\n\tdataset: fashion-mnist\n", NULL,
     "job.yaml:3: found character that cannot start any token while scanning for the next token; indent with spaces, "
     "not tabs"},
    {"name: x\ngrid: {dataset: [fashion-mnist\nmodel: vgg11\n", NULL,
     "job.yaml:3: did not find expected ',' or ']' while parsing a flow sequence that begins on line 2"},
    {"name: x\na: b: c\n", NULL, "job.yaml:2: mapping values are not allowed in this context"},
    {"name: \"x\n", NULL, "job.yaml:2: found unexpected end of stream while scanning a quoted scalar"},
    {"name: x\001\n", NULL, "job.yaml:1: control characters are not allowed (byte 0x01); a job file is UTF-8 text"},
    {"name: \"x\\0y\"\n", NULL,
     "job.yaml:1: a value has the control character 0x00; write the value on one line, without escapes"},
    {"name: \"x\\x9b31my\"\n", NULL,
     "job.yaml:1: a value has an invisible character (a control character, or one that changes the direction of text); "
     "remove this character"},
    {"name: \"x\\u202ey\"\n", NULL,
     "job.yaml:1: a value has an invisible character (a control character, or one that changes the direction of text); "
     "remove this character"},
    {"name: \"x\\ny\"\n", NULL,
     "job.yaml:1: a value has the control character 0x0a; write the value on one line, without escapes"},
    {"name: x\nn\377: 1\n", NULL, "job.yaml:2: invalid leading UTF-8 octet (byte 0xff); a job file is UTF-8 text"},
    {JOB "---\nname: y\n", NULL, "job.yaml:3: a second YAML document begins here; a job file holds one job"},
    {"name: &a x\noutput: *a\n", NULL,
     "job.yaml:2: a job file must not have YAML aliases (*); write the value in full"},
    {"name: x\ntrain: &t {epochs: 1}\nmeasure: *t\n", NULL,
     "job.yaml:3: a job file must not have YAML aliases (*); write the value in full"},
    {"name: !!str x\n", NULL, "job.yaml:1: a job file must not have YAML tags (!); write only the value"},
    {"name: x\ntrain: !!map {epochs: 2}\n", NULL,
     "job.yaml:2: a job file must not have YAML tags (!); write only the value"},
    {"name: x\n? [a, b]\n: c\n", NULL, "job.yaml:2: a key must be text, not a list or a mapping"},
    {JOB "train:\n  epochs: 2\n  batch: 3\n  epochs: 2\n", NULL,
     "job.yaml:6: duplicate key \"epochs\"; line 4 has the same key"},
    {JOB "name: y\n", NULL, "job.yaml:3: duplicate key \"name\"; line 1 has the same key"},
    {"name: x\na: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
     NULL, "job.yaml:2: values are nested more than 48 levels deep"},
};

static const bad_job_t top[] = {
    {"grid: {dataset: fashion-mnist, model: vgg11}\n", NULL,
     "job.yaml:1: the job has no name; it needs one, as in name: first-look"},
    {"name: x\n", NULL,
     "job.yaml:1: the job has no grid; it needs one, as in grid: {dataset: [fashion-mnist], model: [vgg11]}"},
    {"name:\ngrid: {dataset: fashion-mnist, model: vgg11}", NULL,
     "job.yaml:1: name must be text without /, not nothing"},
    {"name: [a]\ngrid: {dataset: fashion-mnist, model: vgg11}", NULL,
     "job.yaml:1: name must be text without /, not a list of 1"},
    {"name: a/b\ngrid: {dataset: fashion-mnist, model: vgg11}", NULL,
     "job.yaml:1: name must be text without /, because results go to results/<name>; not \"a/b\""},
    {"name: ..\ngrid: {dataset: fashion-mnist, model: vgg11}", NULL,
     "job.yaml:1: name must be text without /, because results go to results/<name>; not \"..\""},
    {"name: "
     "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
     "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\ngrid: {dataset: "
     "fashion-mnist, model: vgg11}",
     NULL, "job.yaml:1: name has 201 bytes, but must have at most 200"},
    {JOB "outptu: x\n", NULL, "job.yaml:3: unknown key \"outptu\"; did you mean \"output\"?"},
    {JOB "~: x\n", NULL,
     "job.yaml:3: unknown key nothing; known keys are name, output, source, grid, models, datasets, train, measure, "
     "checkpoints, activations, moments, search, probe, checkpoint"},
    {JOB "epochs: 5\n", NULL, "job.yaml:3: unknown key \"epochs\"; this key belongs in train or probe"},
    {JOB "lr: 0.1\n", NULL, "job.yaml:3: unknown key \"lr\"; did you mean \"train.learning_rate\"?"},
    {JOB "output-dir: x\n", NULL, "job.yaml:3: unknown key \"output-dir\"; did you mean \"output\"?"},
    {JOB "measure: {epochs: 5}\n", NULL,
     "job.yaml:3: unknown key \"epochs\" in measure; this key belongs in train or probe"},
    {JOB "train: {Batch_Size: 5}\n", NULL, "job.yaml:3: unknown key \"Batch_Size\" in train; did you mean \"batch\"?"},
    {JOB "train: {LearningRate: 5}\n", NULL,
     "job.yaml:3: unknown key \"LearningRate\" in train; did you mean \"learning_rate\"?"},
    {JOB "every: 5\n", NULL, "job.yaml:3: unknown key \"every\"; this key belongs in measure or checkpoint"},
    {JOB "source: tain\n", NULL, "job.yaml:3: source must be train, checkpoint, activations or moments, not \"tain\""},
    {JOB "output: $ES_TEST_UNSET/x\n", NULL, "job.yaml:3: output: the environment variable ES_TEST_UNSET is not set"},
    {JOB "output: a$\n", NULL,
     "job.yaml:3: output: a $ must start a variable, as in $NAME or ${NAME}; write $$ for a dollar sign"},
    {JOB "output: \"${ES_TEST\"\n", NULL,
     "job.yaml:3: output: a $ must start a variable, as in $NAME or ${NAME}; write $$ for a dollar sign"},
    {JOB "train: 5\n", NULL, "job.yaml:3: train must be a mapping of keys, not \"5\""},
    {JOB "train: [epochs]\n", NULL, "job.yaml:3: train must be a mapping of keys, not a list of 1"},
};

static const bad_job_t settings[] = {
    {"name: x\n\n\ngrid: {dataset: fashion-mnist, model: vgg11}\ntrain:\n  batch: 3\n  epoch: 5\n", NULL,
     "job.yaml:7: unknown key \"epoch\" in train; did you mean \"epochs\"?"},
    {JOB "train: {dampening: 1}\n", NULL,
     "job.yaml:3: unknown key \"dampening\" in train; known keys are epochs, batch, optimizer, learning_rate, "
     "momentum, "
     "weight_decay, beta1, beta2, epsilon, schedule, augment, lanes, stop_when_stable, precision, nesterov, "
     "label_smoothing, clip_norm, warmup, warmup_start"},
    {JOB "train: {epochs: 20.5}\n", NULL, "job.yaml:3: train.epochs must be an integer from 1 to 100000, not \"20.5\""},
    {JOB "train: {epochs: \"20\"}\n", NULL,
     "job.yaml:3: train.epochs must be an integer from 1 to 100000, not the quoted text \"20\""},
    {JOB "train: {epochs: 0}\n", NULL, "job.yaml:3: train.epochs must be an integer from 1 to 100000, not \"0\""},
    {JOB "train: {epochs: 010}\n", NULL, "job.yaml:3: train.epochs must be an integer from 1 to 100000, not \"010\""},
    {JOB "train: {epochs: 1e2}\n", NULL, "job.yaml:3: train.epochs must be an integer from 1 to 100000, not \"1e2\""},
    {JOB "train: {epochs: 99999999999999999999}\n", NULL,
     "job.yaml:3: train.epochs must be an integer from 1 to 100000, not \"99999999999999999999\""},
    {JOB "train: {epochs: -1}\n", NULL, "job.yaml:3: train.epochs must be an integer from 1 to 100000, not \"-1\""},
    {JOB "train: {epochs: }\n", NULL, "job.yaml:3: train.epochs must be an integer from 1 to 100000, not nothing"},
    {JOB "train: {epochs: [1, 2]}\n", NULL,
     "job.yaml:3: train.epochs must be an integer from 1 to 100000, not a list of 2"},
    {JOB "train: {epochs: {a: 1}}\n", NULL,
     "job.yaml:3: train.epochs must be an integer from 1 to 100000, not a mapping of 1"},
    {JOB "train: {learning_rate: -1}\n", NULL,
     "job.yaml:3: train.learning_rate must be a number, 0 or more, not \"-1\""},
    {JOB "train: {learning_rate: fast}\n", NULL,
     "job.yaml:3: train.learning_rate must be a number, 0 or more, not \"fast\""},
    {JOB "train: {learning_rate: .inf}\n", NULL,
     "job.yaml:3: train.learning_rate must be a number, 0 or more, not \".inf\""},
    {JOB "train: {learning_rate: nan}\n", NULL,
     "job.yaml:3: train.learning_rate must be a number, 0 or more, not \"nan\""},
    {JOB "train: {learning_rate: 1e999}\n", NULL,
     "job.yaml:3: train.learning_rate must be a number, 0 or more, not \"1e999\""},
    {JOB "train: {momentum: 1}\n", NULL, "job.yaml:3: train.momentum must be a number from 0 to below 1, not \"1\""},
    {JOB "train: {weight_decay: -1}\n", NULL, "job.yaml:3: train.weight_decay must be a number, 0 or more, not \"-1\""},
    {JOB "train: {precision: float16}\n", NULL,
     "job.yaml:3: train.precision must be float32 or bfloat16, not \"float16\""},
    {"name: x\ngrid:\n  dataset: fashion-mnist\n  model: vgg11\n  train.precision: [float32, half]\n", NULL,
     "job.yaml:5: train.precision must be float32 or bfloat16, not \"half\""},
    {JOB "train: {optimizer: sgdd}\n", NULL,
     "job.yaml:3: train.optimizer must be sgd, adam, adamw or radam, not \"sgdd\""},
    {JOB "train: {schedule: linear}\n", NULL,
     "job.yaml:3: train.schedule must be none, cosine, {step: EPOCHS}, {milestones: [EPOCH, EPOCH]} or {plateau: "
     "EPOCHS}, with gamma: FACTOR, not \"linear\""},
    {JOB "train: {schedule: {gamma: 0.1}}\n", NULL,
     "job.yaml:3: train.schedule has no step, milestones or plateau; it needs one of them, as in step: 7"},
    {JOB "train: {schedule: {stp: 7}}\n", NULL,
     "job.yaml:3: unknown key \"stp\" in train.schedule; did you mean \"step\"?"},
    {JOB "train: {schedule: {step: 7, gamma: 2}}\n", NULL,
     "job.yaml:3: train.schedule.gamma must be a number above 0, at most 1, not \"2\""},
    {JOB "train: {augment: [crop, rotate]}\n", NULL,
     "job.yaml:3: train.augment must be a list of crop, flip, place, resized_crop, erase and cutout, not \"rotate\""},
    {JOB "train: {schedule: {step: 7, milestones: [2]}}\n", NULL,
     "job.yaml:3: train.schedule has step and milestones; use one of them"},
    {JOB "train: {schedule: {milestones: [2, 2]}}\n", NULL,
     "job.yaml:3: train.schedule.milestones must be in ascending order without repetitions; 2 is out of order"},
    {JOB "train: {schedule: {milestones: []}}\n", NULL,
     "job.yaml:3: train.schedule.milestones must be an ascending list of epochs, not an empty list"},
    {JOB "train: {schedule: {milestones: [0]}}\n", NULL,
     "job.yaml:3: train.schedule.milestones must be an ascending list of epochs, not \"0\""},
    {JOB "train:\n  schedule:\n    step: 7\n    monitor: loss\n", NULL,
     "job.yaml:6: train.schedule.monitor belongs to plateau, but the schedule has step"},
    {JOB "train: {schedule: {plateau: 3, monitor: mcc}}\n", NULL,
     "job.yaml:3: train.schedule.monitor must be loss or accuracy, not \"mcc\""},
    {JOB "train: {clip_norm: 0}\n", NULL, "job.yaml:3: train.clip_norm must be none or a number above 0, not \"0\""},
    {JOB "train: {clip_grad_norm: 1}\n", NULL,
     "job.yaml:3: unknown key \"clip_grad_norm\" in train; did you mean \"clip_norm\"?"},
    {JOB "train: {label_smoothing: 1}\n", NULL,
     "job.yaml:3: train.label_smoothing must be a number from 0 to below 1, not \"1\""},
    {JOB "train: {warmup_start: 0}\n", NULL,
     "job.yaml:3: train.warmup_start must be a number above 0, at most 1, not \"0\""},
    {JOB "train: {nesterov: 1}\n", NULL, "job.yaml:3: train.nesterov must be false or true, not \"1\""},
    {JOB "train: {augment: [{crop: {size: 4}}]}\n", NULL,
     "job.yaml:3: train.augment must be a list of crop, flip, place, resized_crop, erase and cutout, not a mapping of "
     "1"},
    {JOB "train:\n  augment:\n  - flip\n  - cutout: {size: 0}\n", NULL,
     "job.yaml:6: train.augment.cutout.size must be an integer from 1 to 2048, not \"0\""},
    {JOB "train: {augment: [erase, {erase: {}}]}\n", NULL, "job.yaml:3: train.augment has erase twice"},
    {JOB "train: {augment: [{erase: {probability: 2}}]}\n", NULL,
     "job.yaml:3: train.augment.erase.probability must be a number from 0 to 1, not \"2\""},
    {JOB "train: {augment: [{resized_crop: {scale: 0.5}}]}\n", NULL,
     "job.yaml:3: train.augment.resized_crop.scale must be two ascending numbers above 0, at most 1, not \"0.5\""},
    {JOB "train: {augment: [{resized_crop: {scale: [0.5, 2]}}]}\n", NULL,
     "job.yaml:3: train.augment.resized_crop.scale must be two ascending numbers above 0, at most 1, not \"2\""},
    {JOB "train: {augment: [{resized_crop: {ratio: [2, 1]}}]}\n", NULL,
     "job.yaml:3: train.augment.resized_crop.ratio must begin with the smaller number, not with 2"},
    {JOB "train: {augment: [{resized_crop: {sclae: [0.5, 1]}}]}\n", NULL,
     "job.yaml:3: unknown key \"sclae\" in train.augment.resized_crop; did you mean \"scale\"?"},
    {JOB "train: {augment: [crop, crop]}\n", NULL, "job.yaml:3: train.augment has crop twice"},
    {JOB "train: {lanes: 6}\n", NULL, "job.yaml:3: train.lanes must be a power of two from 1 to 256, not \"6\""},
    {JOB "train: {lanes: 512}\n", NULL, "job.yaml:3: train.lanes must be a power of two from 1 to 256, not \"512\""},
    {JOB "measure: {delta: [0.99, 0.9]}\n", NULL,
     "job.yaml:3: measure.delta must be in ascending order without repetitions; 0.9 is out of order"},
    {JOB "measure: {delta: 1.5}\n", NULL,
     "job.yaml:3: measure.delta must be an ascending list of numbers above 0, at most 1, not \"1.5\""},
    {JOB "measure: {delta: []}\n", NULL,
     "job.yaml:3: measure.delta must be an ascending list of numbers above 0, at most 1, not an empty list"},
    {JOB "measure: {splits: [test]}\n", NULL,
     "job.yaml:3: measure.splits must be a list of train and eval, not \"test\""},
    {JOB "measure: {splits: []}\n", NULL,
     "job.yaml:3: measure.splits must be a list of train and eval, not an empty list"},
    {JOB "measure: {kinds: [conv, relu]}\n", NULL,
     "job.yaml:3: measure.kinds must be a list of conv, linear, block, attention, activation and norm, not \"relu\""},
    {JOB "measure: {kinds: []}\n", NULL,
     "job.yaml:3: measure.kinds must be a list of conv, linear, block, attention, activation and norm, not an empty "
     "list"},
    {JOB "measure: {kinds: [norm, conv, norm]}\n", NULL, "job.yaml:3: measure.kinds has norm twice"},
    {JOB "measure: {method: average}\n", NULL,
     "job.yaml:3: measure.method must be channelwise, mean, max, median, flatten, first, last, {pool: K} or {nearest: "
     "K}, not "
     "\"average\""},
    {JOB "measure: {method: {pool: 0}}\n", NULL,
     "job.yaml:3: measure.method.pool must be an integer from 1 to 64, not \"0\""},
    {JOB "measure: {method: {pol: 4}}\n", NULL,
     "job.yaml:3: unknown key \"pol\" in measure.method; did you mean \"pool\"?"},
    {JOB "measure: {layers: []}\n", NULL,
     "job.yaml:3: measure.layers must be a list of names with * and ?, not an empty list"},
    {JOB "measure: {layers: [\"a b\"]}\n", NULL,
     "job.yaml:3: measure.layers: a layer name has at most 63 letters, digits, '.', '_' and '-'; a pattern can also "
     "have * and ?"},
    {JOB "measure: {convention: largest}\n", NULL,
     "job.yaml:3: measure.convention must be smallest, pca-layer or delve, not \"largest\""},
    {JOB "checkpoint: {keep: some}\n", NULL, "job.yaml:3: checkpoint.keep must be none, last or all, not \"some\""},
    {JOB "checkpoint: {keep: last, evry: 2}\n", NULL,
     "job.yaml:3: unknown key \"evry\" in checkpoint; did you mean \"every\"?"},
    {JOB "train: {epochs: 4}\nprobe: {epochs: [1, 5]}\n", NULL,
     "job.yaml:4: probe.epochs has epoch 5, but training ends after epoch 4"},
    {JOB "probe: {epochs: [5, 1]}\n", NULL,
     "job.yaml:3: probe.epochs must be in ascending order without repetitions; 1 is out of order"},
    {JOB "probe: {epochs: sometimes}\n", NULL,
     "job.yaml:3: probe.epochs must be none, last, all or a list of epochs, not \"sometimes\""},
    {JOB "probe: {l2: 0}\n", NULL,
     "job.yaml:3: probe.l2 must be a number above 0, or an ascending list of them, not \"0\""},
    {JOB "probe: {gap: 0}\n", NULL, "job.yaml:3: probe.gap must be a number above 0, at most 1, not \"0\""},
    {JOB "probe: {gap: 1.5}\n", NULL, "job.yaml:3: probe.gap must be a number above 0, at most 1, not \"1.5\""},
    {JOB "probe: {gap: tight}\n", NULL, "job.yaml:3: probe.gap must be a number above 0, at most 1, not \"tight\""},
};

static const bad_job_t sources[] = {
    {JOB "source: checkpoint\n", NULL, "job.yaml:3: source: checkpoint needs a section checkpoints"},
    {JOB "source: checkpoint\ncheckpoints: {files: \"run/{modle}.safetensors\"}\n", NULL,
     "job.yaml:4: checkpoints.files: {modle} is unknown; only an axis of the grid or {epoch} may be in braces"},
    {JOB "source: checkpoint\ncheckpoints: {files: \"run/{epoch.safetensors\"}\n", NULL,
     "job.yaml:4: checkpoints.files: { must be followed by a name and }, as in {epoch} or {epoch:03}"},
    {JOB "source: checkpoint\ncheckpoints: {files: \"run/{epoch}\"}\n", NULL,
     "job.yaml:4: checkpoints has {epoch} in its path but no epochs; add epochs: [...]"},
    {JOB "source: checkpoint\ncheckpoints: {files: \"run/a\", epochs: [1]}\n", NULL,
     "job.yaml:4: checkpoints.epochs can only be used if the path has {epoch}"},
    {JOB "source: checkpoint\ncheckpoints: {files: \"run/a\", precision: float32}\n", NULL,
     "job.yaml:4: checkpoints.precision can only be used with checkpoints.from; leave it out"},
    {JOB "source: checkpoint\ncheckpoints: {from: a, precision: half}\n", NULL,
     "job.yaml:4: checkpoints.precision must be same, float32 or bfloat16, not \"half\""},
    {JOB "source: checkpoint\ncheckpoints: {epochs: [1]}\n", NULL,
     "job.yaml:4: checkpoints has neither files nor from; it needs exactly one of the two, as in files: "
     "\"run/{model}-{width}-{epoch:03}.safetensors\" or from: results/reference"},
    {JOB "source: checkpoint\ncheckpoints: {files: a, from: b}\n", NULL,
     "job.yaml:4: checkpoints has both files and from; it needs exactly one of the two, as in files: "
     "\"run/{model}-{width}-{epoch:03}.safetensors\" or from: results/reference"},
    {JOB "source: checkpoint\ncheckpoints: {from: \"\"}\n", NULL,
     "job.yaml:4: checkpoints.from must be a folder, not the quoted text \"\""},
    {JOB "source: activations\nactivations: {file: acts.h5, labels: labels}\n", NULL,
     "job.yaml:2: a job with source: activations is one point and has no grid; leave the grid out"},
    {"name: x\nsource: activations\nactivations: {file: \"acts-{epoch}.h5\", eval: evals.h5, epochs: [1]}\n", NULL,
     "job.yaml:3: activations.file and activations.eval must both have {epoch}, or neither"},
    {"name: x\nsource: activations\nactivations: {file: acts.h5, epochs: [1]}\n", NULL,
     "job.yaml:3: activations.epochs can only be used if the path has {epoch}"},
    {"name: x\nsource: activations\nactivations: {file: \"{model}.h5\"}\n", NULL,
     "job.yaml:3: activations.file: {model} is unknown; only {epoch} may be in braces"},
    {JOB "checkpoints: {files: a}\n", NULL,
     "job.yaml:3: checkpoints can only be used with source: checkpoint; leave the section out"},
};

static const bad_job_t sets[] = {
    {JOB, "train.epochs=x", "--set train.epochs=x: train.epochs must be an integer from 1 to 100000, not \"x\""},
    {JOB, "train.epoch=2", "--set train.epoch=2: unknown key \"epoch\" in train; did you mean \"epochs\"?"},
    {JOB, "trian.epochs=2", "--set trian.epochs=2: unknown key \"trian\"; did you mean \"train\"?"},
    {JOB, "train.epochs", "--set train.epochs: write --set key=value, as in --set train.epochs=2"},
    {JOB, "=2", "--set =2: write --set key=value, as in --set train.epochs=2"},
    {JOB, ".epochs=2", "--set .epochs=2: an empty key; write --set section.key=value"},
    {JOB, "train.=2", "--set train.=2: an empty key; write --set section.key=value"},
    {JOB, "name.x=2",
     "--set name.x=2: name is a single value in the job file, so a key inside it cannot be set; set the whole value"},
    {JOB, "grid.width=[1/16", "--set grid.width=[1/16: did not find expected ',' or ']' while parsing a flow sequence"},
    {JOB, "grid.width=[1, 1]", "--set grid.width=[1, 1]: grid.width has \"1\" twice"},
    {JOB, "grid.size=3",
     "--set grid.size=3: unknown key \"size\" in grid; known keys are dataset, model, width, classes, resolution, "
     "seed, and keys of train, measure and probe with a single value, as train.learning_rate"},
    {"name: x\ngrid: [{dataset: fashion-mnist, model: vgg11}]", "grid.seed=1",
     "--set grid.seed=1: grid is a list in the job file, so a key inside it cannot be set; set the whole value, or "
     "change the key seed of each mapping of the list in the file"},
    {JOB, "train.epochs=", "--set train.epochs=: train.epochs must be an integer from 1 to 100000, not nothing"},
    {JOB, "train={epochs: 1, epochs: 2}", "--set train={epochs: 1, epochs: 2}: duplicate key \"epochs\""},
    {JOB, "output=$ES_TEST_UNSET",
     "--set output=$ES_TEST_UNSET: output: the environment variable ES_TEST_UNSET is not set"},
    {JOB, "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q=1",
     "--set a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q=1: "
     "values are nested more than 48 levels deep"},
    {JOB, "train.epochs=1\n---\n2",
     "--set train.epochs=1?---?2: a second YAML document begins here; a job file holds one job"},
    {JOB, "datasets.m.format=idx",
     "--set datasets.m.format=idx: datasets.m has no path; it needs the folder of the IDX files"},
    {JOB, "source=checkpoint", "--set source=checkpoint: source: checkpoint needs a section checkpoints"},
    {JOB, "probe.epochs=[20, 21]",
     "--set probe.epochs=[20, 21]: probe.epochs has epoch 21, but training ends after epoch 20"},
};

TEST_TABLE(syntax)
TEST_TABLE(top)
TEST_TABLE(settings)
TEST_TABLE(sources)
TEST_TABLE(sets)

/* Checks a job of `before`, n times `item`, and `after`. */
static void check_long(const char *before, const char *item, int n, const char *after, const char *message) {
  es_text_t text = {0};
  es_text_append(&text, "%s", before);
  for (int i = 0; i < n; i++) es_text_append(&text, "%s", item);
  es_text_append(&text, "%s", after);
  check_message(es_text_get(&text), NULL, message);
  es_text_destroy(&text);
}

TEST(limits) {
  check_long("name: ", "y", 1001, "\n" GRID, "job.yaml:1: a value has 1001 bytes, but must have at most 1000");
  check_long("name: ", "y", 201, "\n" GRID, "job.yaml:1: name has 201 bytes, but must have at most 200");
  check_long(JOB "output: ", "y", 961, "\n", "job.yaml:3: output is longer than 960 bytes");
  check_long("#", "y", 4 << 20, "\n" JOB, "job.yaml:1: the job file has 4194359 bytes, but must have at most 4194304");
  check_long("a: ", "[", 100000, "\n", "job.yaml:1: values are nested more than 48 levels deep");
  check_long("a: ", "{b: ", 100000, "\n", "job.yaml:1: values are nested more than 48 levels deep");
  check_long(JOB "a:\n  - [", "1,", 300000, "]\n",
             "job.yaml:4: the job file has more than 300000 values; divide it into several jobs");
  check_long(JOB "measure: {delta: [", "0.5,", 129, "]}\n",
             "job.yaml:3: measure.delta has 129 entries, but must have at most 128");
  check_long(JOB "measure: {layers: [", "a,", 17, "]}\n",
             "job.yaml:3: measure.layers has 17 entries, but must have at most 16");
  check_long(JOB "models: {late: {vgg: [", "8,", 65, "]}}\n",
             "job.yaml:3: models.late.vgg has 65 entries, but must have at most 64");
  check_long(JOB "models: {", "y", 64, ": {mlp: [3]}}\n",
             "job.yaml:3: \"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\" cannot be the name of a "
             "model; a name has at most 63 "
             "letters, digits, '.', '_', '-' and '+'");
  check_long(JOB "source: ", "\303\251", 40, "\n",
             "job.yaml:3: source must be train, checkpoint, activations or moments, not "
             "\"\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303"
             "\251\303\251\303\251\303\251"
             "\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303\251"
             "\303\251\303\251\303\251...\"");
}

/* A bomb of aliases: each line ten times the one before. */
TEST(alias_bomb) {
  es_text_t text = {0};
  es_text_append(&text, "a0: &a0 [x]\n");
  for (int i = 1; i < 20; i++)
    es_text_append(&text, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1, i - 1, i - 1);
  check_message(es_text_get(&text), NULL,
                "job.yaml:2: a job file must not have YAML aliases (*); write the value in full");
  es_text_destroy(&text);
}

TEST(too_many_keys) {
  es_text_t text = {0};
  es_text_append(&text, "a:\n");
  for (int i = 0; i <= 1000; i++) es_text_append(&text, "  k%d: 1\n", i);
  check_message(es_text_get(&text), NULL, "job.yaml:1002: a mapping has more than 1000 keys");
  es_text_destroy(&text);
}
