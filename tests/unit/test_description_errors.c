/* Descriptions that are refused, with the exact message for each. */
#include "eigenscope/description.h"
#include "eigenscope/grid.h"
#include "job_errors.h"
#include <stdio.h>
#include <stdlib.h>

/* The items begin on line 5. */
#define HEAD    "name: x\ngrid: {dataset: fashion-mnist, model: m, classes: 10}\nmodels:\n  m: {layers: [\n"
#define M(text) HEAD text "\n]}\n"
#define LAST    ", linear: {features: classes}"

static const bad_job_t words[] = {
    {M("conv: {channels: 8, kernel: 3}, rellu"), NULL,
     "job.yaml:5: unknown operation \"rellu\"; did you mean \"relu\"?"},
    {M("Conv2d: {channels: 8}"), NULL, "job.yaml:5: unknown operation \"Conv2d\"; did you mean \"conv\"?"},
    {M("recurrent"), NULL,
     "job.yaml:5: unknown operation \"recurrent\"; the operations are conv, linear, batch_norm, layer_norm, "
     "group_norm, relu, "
     "relu6, leaky_relu, gelu, silu, sigmoid, hard_sigmoid, hard_swish, tanh, max_pool, avg_pool, adaptive_avg_pool, "
     "sum, "
     "product, concat, slice, shuffle, flatten, tokens, class_token, position, attention, self_attention, pick, "
     "dropout, "
     "drop_path, layer_scale, repeat, scope, residual, parallel"},
    {M("conv: {channels: 8,\n kernel_size: 3}"), NULL,
     "job.yaml:6: conv has no setting \"kernel_size\"; did you mean \"kernel\"?"},
    {M("relu: {slope: 1}"), NULL, "job.yaml:5: relu has no setting \"slope\"; it has name, from"},
    {M("conv: {channels: 8}"), NULL,
     "job.yaml:5: conv has no kernel; it needs one, as in conv: {channels: 64, kernel: 3, padding: 1}"},
    {M("conv: {channels: 8, kernel: 0}"), NULL,
     "job.yaml:5: conv.kernel must be a whole number from 1 to 512, or two, [vertical, horizontal], not \"0\""},
    {M("conv: {channels: 8, kernel: [3, 3, 3]}"), NULL,
     "job.yaml:5: conv.kernel must be a whole number from 1 to 512, or two, [vertical, horizontal], not a list of 3"},
    {M("conv: {channels: wide, kernel: 3}"), NULL,
     "job.yaml:5: conv.channels: unknown parameter wide; set it under parameters, or write a number"},
    {M("linear: {features: klasses}"), NULL,
     "job.yaml:5: linear.features: unknown parameter klasses; did you mean \"classes\"?"},
    {M("linear: {features: 4 +4}"), NULL,
     "job.yaml:5: linear.features: \"4 +4\" is no number; write a number, a parameter, or a product, as in 4 * "
     "growth"},
    {M("linear: {features: 4 + wide}"), NULL,
     "job.yaml:5: linear.features: unknown parameter wide; set it under parameters, or write a number"},
    {M("linear: {features: 4 - 8}"), NULL,
     "job.yaml:5: linear.features must be a whole number from 1 to 65536, not \"4 - 8\""},
    {M("linear: {features: 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9}"), NULL,
     "job.yaml:5: linear.features: a sum has at most 8 products"},
    {M("linear: {features: i * i * i * i * i}"), NULL,
     "job.yaml:5: linear.features: a product has at most 4 names, and a sum at most 8 products"},
    {M("linear: {features: 8, bias: maybe}"), NULL, "job.yaml:5: linear.bias must be true or false, not \"maybe\""},
    {M("dropout: {rate: 1}"), NULL, "job.yaml:5: dropout.rate must be a number from 0 to 0.999, not \"1\""},
    {M("parallel: {join: max, branches: [[relu], [tanh]]}"), NULL,
     "job.yaml:5: parallel.join must be sum, product or concat, not \"max\""},
    {M("relu: [1]"), NULL, "job.yaml:5: relu must be a mapping of settings, as in relu, not a list of 1"},
    {M("[relu]"), NULL,
     "job.yaml:5: an item must be an operation, as in relu or conv: {channels: 64, kernel: 3}, not a list of 1"},
    {M("{conv: , channels: 8}"), NULL,
     "job.yaml:5: an item must have one key, the operation, but this one has 2 (conv, channels); indent the settings "
     "of conv, "
     "or write them in braces"},
    {M("relu: {name: a/b}"), NULL,
     "job.yaml:5: name must be at most 63 letters, digits, '.', '_' and '-', with {i} or {i+1} in a repeat, not "
     "\"a/b\""},
    {M("sum: {from: a}"), NULL, "job.yaml:5: sum.from must be a list of two or more names"},
    {M("sum"), NULL,
     "job.yaml:5: sum has no from; it needs the names of its inputs, as in sum: {from: [conv1, conv2]}"},
    {M("relu: {from: [a, b]}"), NULL, "job.yaml:5: relu.from must be the name of an earlier item"},
    {M("linear: {features: 8, tensors: {wait: x}}"), NULL,
     "job.yaml:5: linear has no tensor wait; its tensors are weight, bias"},
    {M("repeat: {times: 2}"), NULL,
     "job.yaml:5: repeat has no layers; it needs them, as in repeat: {times: 2, layers: [relu]}"},
    {M("repeat: {times: 2, layers: []}"), NULL,
     "job.yaml:5: repeat.layers is empty; it needs items, as in repeat: {times: 2, layers: [relu]}"},
    {M("parallel: {join: sum, branches: [[relu]]}"), NULL,
     "job.yaml:5: parallel.branches must be a list of two or more lists of items, not a list of 1"},
    {M(""), NULL,
     "job.yaml:4: models.m.layers is empty; a network needs items, as in [conv: {channels: 8, kernel: 3}, "
     "adaptive_avg_pool, linear: {features: classes}]"},
    {HEAD "relu], parameters: {classes: 2}}\n", NULL,
     "job.yaml:5: \"classes\" cannot be the name of a parameter; a name has at most 55 letters, digits and '_', and is "
     "not "
     "classes"},
    {HEAD "relu], parameters: {depth: many}}\n", NULL, "job.yaml:5: parameters.depth must be a number, not \"many\""},
    {HEAD "relu], vgg: [64]}\n", NULL, "job.yaml:4: models.m has both vgg and layers; keep one"},
    {HEAD "relu], file: x.yaml}\n", NULL,
     "job.yaml:4: models.m has both file and layers; keep one, because the file has them"},
    {HEAD "relu], head: authors}\n", NULL,
     "job.yaml:5: models.m.head can only be used with vgg; an mlp, resnet or mobilenet ends in one linear layer"},
    {"name: x\nmodels: {m: {vgg: [64],\n parameters: {a: 1}}}\n" GRID, NULL,
     "job.yaml:3: models.m.parameters can only be used with layers"},
    {M("linear: {features: classes}"), "grid.model.depth=2",
     "--set grid.model.depth=2: grid.model.depth: no model has the parameter depth; give it to the description of a "
     "model, "
     "as in parameters: {depth: 2}"},
    {HEAD "linear: {features: classes}], parameters: {depth: 1}}\n", "grid.model.dept=2",
     "--set grid.model.dept=2: grid.model.dept: no model has the parameter dept; did you mean model.depth?"},
    {HEAD "linear: {features: classes}], parameters: {depth: 1}}\n", "grid.model.depth=two",
     "--set grid.model.depth=two: grid.model.depth must be a number, not \"two\""},
    {HEAD "linear: {features: classes}], parameters: {depth: 1}}\n", "grid.model.depth=[1, 1.0]",
     "--set grid.model.depth=[1, 1.0]: grid.model.depth has \"1.0\" twice"},
    {"name: x\ngrid:\n  dataset: fashion-mnist\n  model: [m, vgg11]\n  model.depth: 2\nmodels: {m: {parameters: "
     "{depth: 1}, "
     "layers: [linear: {features: classes}]}}\n",
     NULL, "job.yaml:5: grid.model.depth: model vgg11 has no parameter depth"},
};
TEST_TABLE(words)

#define B(blocks, items)                                                                                               \
  "name: x\ngrid: {dataset: fashion-mnist, model: m}\nmodels:\n  m:\n    blocks:\n" blocks                             \
  "    layers: [\n" items LAST "]\n"
#define CELL       "      cell: {parameters: {wide: 8}, layers: [conv: {channels: wide, kernel: 1}]}\n"
#define BASE(text) "name: x\ngrid: {dataset: fashion-mnist, model: m}\nmodels:\n  m: {" text "}\n"

static const bad_job_t blocks[] = {
    {B(CELL, "cell: {wode: 4}"), NULL, "job.yaml:8: block cell has no parameter wode; did you mean \"wide\"?"},
    {B(CELL, "cell: {channels: 4}"), NULL, "job.yaml:8: block cell has no parameter channels; it has wide, name"},
    {B(CELL, "cell: [4]"), NULL, "job.yaml:8: cell must be a mapping of the numbers of the block, not a list of 1"},
    {B(CELL, "cell: {wide: [4]}"), NULL, "job.yaml:8: cell.wide must be a number, not a list of 1"},
    {B(CELL, "cell: {wide: wode}"), NULL,
     "job.yaml:8: cell.wide: unknown parameter wode; set it under parameters, or write a number"},
    {B(CELL, "cell: {name: a/b}"), NULL,
     "job.yaml:8: name must be at most 63 letters, digits, '.', '_' and '-', with {i} or {i+1} in a repeat, not "
     "\"a/b\""},
    {B("      cell: {layers: [rellu]}\n", "relu"), NULL,
     "job.yaml:6: unknown operation \"rellu\"; did you mean \"relu\"?"},
    {B("      cell: {layers: [cell]}\n", "relu"), NULL,
     "job.yaml:6: unknown operation \"cell\"; did you mean \"relu\"?"},
    {B("      relu: {layers: [tanh]}\n", "relu"), NULL,
     "job.yaml:6: blocks.relu has the name of an operation; choose another name"},
    {B("      cell: [relu]\n", "relu"), NULL,
     "job.yaml:6: blocks.cell must be a mapping with layers, as in {parameters: {planes: 64}, layers: [conv: "
     "{channels: planes, kernel: 3}]}, not a list of 1"},
    {B("      cell: {layers: [relu], wide: 8}\n", "relu"), NULL,
     "job.yaml:6: blocks.cell has no key \"wide\"; it has the keys parameters and layers"},
    {B("      cell: {layers: [relu], parameters: 8}\n", "relu"), NULL,
     "job.yaml:6: blocks.cell.parameters must be a mapping from at most 32 names to numbers, not \"8\""},
    {BASE("vgg: [64], blocks: {}"), NULL, "job.yaml:4: models.m.blocks can only be used with layers"},
    {BASE("base: resnext50"), NULL,
     "job.yaml:4: models.m.base: unknown model \"resnext50\"; did you mean \"resnext50_32x4d\"?"},
    {BASE("base: [a]"), NULL,
     "job.yaml:4: models.m.base must be a described model of eigenscope model list, as in resnet_basic, not a list of "
     "1"},
    {BASE("base: densenet121, layers: [relu]"), NULL, "job.yaml:4: models.m has both base and layers; keep one"},
    {BASE("base: densenet121, parameters: {groth: 8}"), NULL,
     "job.yaml:4: models.m.parameters: the base has no parameter groth; did you mean \"growth\"?"},
    {BASE("base: squeezenet1_0, parameters: {depth: 8}"), NULL,
     "job.yaml:4: models.m.parameters: the base has no parameter depth; it has stem_stride, dropout"},
    {BASE("base: densenet121, parameters: {growth: all}"), NULL,
     "job.yaml:4: models.m.parameters.growth must be a number, not \"all\""},
    {BASE("base: densenet121, parameters: 8"), NULL,
     "job.yaml:4: models.m.parameters must be a mapping from names to numbers, not \"8\""},
    {"name: x\ngrid: {dataset: fashion-mnist, model: densnet121}\n", NULL,
     "job.yaml:2: unknown model \"densnet121\"; did you mean \"densenet121\"?"},
    {"name: x\ngrid: {dataset: fashion-mnist, model: densenet121, model.groth: 8}\n", NULL,
     "job.yaml:2: grid.model.groth: no model has the parameter groth; did you mean model.growth?"},
};
TEST_TABLE(blocks)

/* Names and shapes are checked when the network is built. */
static const bad_job_t graphs[] = {
    {M("conv: {name: a, channels: 8, kernel: 3},\nrelu,\nconv: {name: a, channels: 8, kernel: 3}" LAST), NULL,
     "job.yaml:7: the name a is used twice: line 5 has it too; a layer with weights needs a name of its own"},
    {M("repeat: {times: 2, layers: [conv: {name: a, channels: 8, kernel: 3}]}" LAST), NULL,
     "job.yaml:5: the name a is used twice: line 5 has it too; a layer with weights needs a name of its own, in a "
     "repeat one "
     "with {i}"},
    {M("conv: {name: a, channels: 8, kernel: 3},\nsum: {from: [a, b]},\nrelu: {name: b}" LAST), NULL,
     "job.yaml:6: from: b is the item on line 7, which does not come before this one; a network has no cycles"},
    {M("conv: {name: input, channels: 3, kernel: 3, padding: 1},\nsum: {from: [input, input]}" LAST), NULL,
     "job.yaml:5: the name input is that of the image; choose another one"},
    {M("conv: {name: first, channels: 8, kernel: 3},\nrelu: {from: frist}" LAST), NULL,
     "job.yaml:6: from: no earlier item has the name frist; did you mean first?"},
    {M("relu: {from: nothing}" LAST), NULL,
     "job.yaml:5: from: no earlier item has the name nothing; give the item that you mean a name"},
    {M("conv: {channels: 8, kernel: 3},\nrelu: {name: r},\ntanh: {name: r},\nsum: {from: [r, input]}" LAST), NULL,
     "job.yaml:8: from: r is the name of several items; give the one that you mean another name"},
    {M("conv: {name: a, channels: 8, kernel: 3},\nsum: {name: s, from: [a, input]}" LAST), NULL,
     "job.yaml:6: layer s joins outputs of 30 x 30 x 8 and 32 x 32 x 3 (height, width, channels), which do not meet"},
    {M("residual: {layers: [conv: {channels: 8, kernel: 3, padding: same}]}" LAST), NULL,
     "job.yaml:5: layer add joins outputs of 32 x 32 x 3 and 32 x 32 x 8 (height, width, channels), which do not meet"},
    {M("conv: {channels: 8, kernel: 3, groups: 2}" LAST), NULL,
     "job.yaml:5: layer 0 has 2 groups, which must divide its 3 input and 8 output channels"},
    {M("conv: {channels: 8, kernel: 40}" LAST), NULL,
     "job.yaml:5: layer 0 would reduce an image of 32 x 32 to nothing; use a larger resolution or fewer pooling "
     "layers"},
    {M("conv: {channels: 8, kernel: 2, padding: same}" LAST), NULL,
     "job.yaml:5: padding: same needs an odd kernel, not 2"},
    {M("max_pool: {kernel: 2, padding: 2}" LAST), NULL,
     "job.yaml:5: max_pool: the padding 2 must be at most half of the kernel 2"},
    {M("class_token" LAST), NULL, "job.yaml:5: layer 0 needs tokens; put tokens before it"},
    {M("self_attention: {heads: 1}" LAST), NULL, "job.yaml:5: layer 0 needs tokens; put tokens before it"},
    {M("conv: {channels: 7, kernel: 1}, tokens,\nself_attention: {heads: 2, name: s}" LAST), NULL,
     "job.yaml:6: layer s.attention has 2 heads, but its input has 21 features; it needs the queries, keys and values "
     "of each head, a multiple of 6"},
    {M("conv: {name: a, channels: 8, kernel: 3},\nconv: {name: b, channels: 8, kernel: 3, from: input}" LAST), NULL,
     "job.yaml:5: the output of layer a is never used; remove it, or name it in a from"},
    {M("linear: {name: a, features: 8, tensors: {weight: b.weight}}, linear: {name: b, features: classes}"), NULL,
     "job.yaml:4: two layers have the tensor b.weight; shared weights are not possible"},
    {M("conv: {channels: 8, kernel: 3},\nrelu"), NULL,
     "job.yaml:6: the network ends in layer 1 with an output of 30 x 30 x 8 (height, width, channels), but needs one "
     "number "
     "for each class; end with linear: {features: classes}"},
    {M("linear: {features: 20}"), NULL,
     "job.yaml:5: the network ends in layer 0 with 20 numbers, but there are 10 classes; end with linear: {features: "
     "classes}"},
    {M("repeat: {times: 0, layers: [relu]}"), NULL, "job.yaml:4: the network has no operations"},
    {M("slice: {channels: 1}, adaptive_avg_pool, repeat: {times: 9, layers: [parallel: {join: concat, branches: [[], "
       "[]]}]}, slice: {channels: 10}"),
     NULL, "job.yaml:5: the network has no convolution and no linear layer"},
    {M("repeat: {times: 4096, layers: [relu]}" LAST), NULL, "job.yaml:5: the network has more than 4095 operations"},
    {M("repeat: {times: 4000, layers: [repeat: {times: 4000, layers: [repeat: {times: 0, layers: [relu]}]}]}" LAST),
     NULL, "job.yaml:5: the network has more than 65536 items when its repetitions are written out"},
    {M("repeat: {times: 513, layers: [conv: {channels: 1, kernel: 1}]}" LAST), NULL,
     "job.yaml:5: the network has more than 512 convolutions and linear layers"},
    {M("repeat: {times: 40, layers: [parallel: {join: concat, branches: [[], []]}]}" LAST), NULL,
     "job.yaml:5: layer cat has an output of 32 x 32 x 1572864, which is too large"},
    {M("scope: {name: a123456789b123456789c123456789d123456789e123456789, layers: [batch_norm: {name: "
       "f123456789}]}" LAST),
     NULL,
     "job.yaml:5: the name a123456789b123456789c123456789d123456789e123456789.f123456789 is longer than 50 bytes"},
};

static void check_graph(const bad_job_t *row) {
  es_job_t *job = NULL;
  es_graph_t *graph = NULL;
  es_point_t point;
  assert_ok(es_job_parse(&job, row->text, strlen(row->text), "job.yaml", NULL, 0, fresh()));
  es_job_start(job, 0, &point);
  for (int a = 0; a < es_job_n_axes(job, 0); a++) assert_ok(es_job_apply(job, 0, a, 0, &point, fresh()));
  const es_code_t code = es_graph_create(&graph, &point, fresh());
  if (code == ES_OK) fail_msg("accepted, but should say: %s", row->message);
  assert_string_equal(said.message, row->message);
  assert_int_equal(code, ES_INPUT);
  char id[ES_ID_SIZE];
  es_point_id(&point, id); /* a network that cannot be built has an id, too */
  es_job_destroy(job);
}

TEST(graphs) {
  for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) check_graph(&graphs[i]);
}

TEST(nesting) {
  es_text_t text = {0};
  es_text_append(&text, HEAD);
  for (int i = 0; i < 12; i++) es_text_append(&text, "repeat: {times: 1, layers: [");
  es_text_append(&text, "relu");
  for (int i = 0; i < 12; i++) es_text_append(&text, "]}");
  es_text_append(&text, "]}\n");
  check_message(es_text_get(&text), NULL, "job.yaml:5: items are nested more than 12 levels deep");
  es_text_destroy(&text);
}

/* Messages about a file of its own name that file. */
TEST_IN_FOLDER(files) {
  static const char job[] = "name: x\ngrid: {dataset: fashion-mnist, model: m}\nmodels:\n  m: {file: net.yaml}\n";
  char message[1200], path[1024];
  assert_non_null(realpath(".", path));
  snprintf(message, sizeof message, "job.yaml:4: models.m.file: %s/net.yaml: cannot be read: No such file or directory",
           path);
  check_message(job, NULL, message);
  static const struct {
    const char *text, *message;
  } rows[] = {
      {"layers: [\nrelux]\n", "2: unknown operation \"relux\"; did you mean \"relu\"?"},
      {"", "1: the file describes no network; it needs the key layers, as in layers: [conv: {channels: 8, kernel: 3}, "
           "adaptive_avg_pool, linear: {features: classes}]"},
      {"layers: [relu]\nname: x\n",
       "2: unknown key \"name\"; the file of a network has the keys parameters, blocks and layers"},
      {"layers: [relu\n", "2: did not find expected ',' or ']' while parsing a flow sequence"},
      {"layers: &a [relu]\nparameters: *a\n", "2: a job file must not have YAML aliases (*); write the value in full"},
      {"layers: []\n",
       "1: layers is empty; a network needs items, as in [conv: {channels: 8, kernel: 3}, adaptive_avg_pool, "
       "linear: {features: classes}]"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    file_write("net.yaml", rows[i].text, strlen(rows[i].text));
    snprintf(message, sizeof message, "%s/net.yaml:%s", path, rows[i].message);
    check_message(job, NULL, message);
  }
}
