"""What each call of PyTorch is in eigenscope: a table of functions (trace, args, kwargs, result) -> value of the result.

They raise Unsupported, with the end of a sentence, for what cannot be expressed. `result` is what PyTorch computed.
"""
import math

import torch
from torch import nn

from network_layout import Scores, Unknown, Unsupported, Value, canonical, size_of, tidy, whole


# ---- arguments ----

def arguments(args, kwargs, names, **defaults):
    """Arguments by name, for a signature such as "input weight bias"."""
    out = dict(defaults)
    out.update(zip(names.split(), args))
    out.update(kwargs)
    return out


def pair(value):
    value = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return (value[0], value[-1])


def plain(value):
    """One number if both axes agree, as the grammar allows."""
    value = pair(value)
    return value[0] if value[0] == value[1] else list(value)


# ---- the table ----

HANDLERS = {}
HINTS = {
    "softmax": "is no operation of eigenscope outside attention; leave a softmax over classes out, the output must be logits",
    "log_softmax": "is no operation of eigenscope; leave it out, the output must be logits",
    "__bool__": "makes the network depend on the values of the images",
    "item": "makes the network depend on the values of the images",
    "tolist": "makes the network depend on the values of the images",
    "__setitem__": "changes a part of a tensor in place; write it as a concatenation",
    "interpolate": "is no operation of eigenscope: it cannot resize maps",
}


def handles(*names):
    def register(function):
        for name in names:
            HANDLERS[name] = function
        return function
    return register


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# layers

@handles("conv2d")
def conv2d(t, args, kwargs, result):
    a = arguments(args, kwargs, "input weight bias stride padding dilation groups", bias=None, stride=1, padding=0, dilation=1, groups=1)
    value, weight = t.as_map(t.value(a["input"])), a["weight"]
    kernel, dilation, padding = tuple(weight.shape[2:]), pair(a["dilation"]), a["padding"]
    if padding == "valid":
        padding = (0, 0)
    elif padding == "same":
        if any(d * (k - 1) % 2 for d, k in zip(dilation, kernel)):
            raise Unsupported("pads one side more than the other")
        padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel))
    padding = tuple(p + q for p, q in zip(pair(padding), value.pad))
    name = t.owner(weight, "weight")
    settings = {"channels": weight.shape[0], "kernel": plain(kernel)}
    for key, number, usual in (("stride", plain(a["stride"]), 1), ("padding", plain(padding), 0), ("dilation", plain(dilation), 1)):
        if number != usual:
            settings[key] = number
    if a["groups"] != 1:
        settings["groups"] = "channels" if a["groups"] == value.layer.channels else a["groups"]
    return layer_with_bias(t, "conv", value, settings, (result.shape[2], result.shape[3], weight.shape[0]), weight, a["bias"], name,
                           lambda layer: canonical(layer, t.n))


def layer_with_bias(t, op, value, settings, shape, weight, bias, name, make):
    if bias is None:
        settings["bias"] = False
    fixed = t.fixed(name or "")
    if fixed:
        settings["fixed"] = True
    tensors = {"weight": (weight, tuple(weight.shape))}
    if bias is not None:
        tensors["bias"] = (bias, tuple(bias.shape))
    return make(t.weighted(op, [value], settings, shape, tensors, scaled=not fixed))


@handles("linear")
def linear(t, args, kwargs, result):
    a = arguments(args, kwargs, "input weight bias", bias=None)
    value, weight = t.settle(t.value(a["input"])), a["weight"]
    value = t.as_tokens(value)
    settings, features = {"features": weight.shape[0]}, weight.shape[0]
    shape, axes = (1, 1, features), [value.axes[0], whole("C", features)]
    flat = not value.layer.tokens and value.is_laid(["N", "CHW"])
    if not flat:
        if len(value.axes) < 3 or value.axes[-1] != value.root("C"):
            raise Unsupported("works on the last axis, which are neither the channels nor a flattened map")
        shape, axes = (*value.layer.shape[:-1], features), [*value.axes[:-1], whole("C", features)]
        if not value.layer.tokens:
            settings["each"] = True
    return layer_with_bias(t, "linear", value, settings, shape, weight, a["bias"], t.owner(weight, "weight"),
                           lambda layer: Value(layer, axes))


# norms

def affine(t, value, weight, bias):
    """Weight and bias of a norm; if it has none, ones and zeros."""
    c = value.layer.channels
    weight = torch.ones(c) if weight is None else weight
    bias = torch.zeros(c) if bias is None else bias
    return {"weight": (weight, (c,)), "bias": (bias, (c,))}


def norm_name(t, weight):
    return t.owner(weight, "weight") if weight is not None else None


def keep_unless(settings, key, number, usual):
    if abs(number - usual) > 1e-12 * usual:
        settings[key] = number


@handles("batch_norm")
def batch_norm(t, args, kwargs, result):
    a = arguments(args, kwargs, "input running_mean running_var weight bias training momentum eps", weight=None, bias=None,
                  training=False, momentum=0.1, eps=1e-5)
    if a["running_mean"] is None or a["training"]:
        raise Unsupported("has no running statistics")
    value, settings = t.with_channels(t.value(a["input"]), 1), {}
    keep_unless(settings, "epsilon", a["eps"], 1e-5)
    momentum = getattr(t.stack[-1][1], "momentum", 0.1)  # in inference mode the function gets 0 for None
    if momentum is None or not 0.0 < momentum <= 1.0:
        t.note("averages its statistics over all batches; eigenscope weights a batch with momentum 0.1 in training")
    else:
        keep_unless(settings, "momentum", momentum, 0.1)
    c = (value.layer.channels,)
    tensors = {**affine(t, value, a["weight"], a["bias"]), "running_mean": (a["running_mean"], c), "running_var": (a["running_var"], c)}
    return value.with_layer(t.weighted("batch_norm", [value], settings, None, tensors, norm_name(t, a["weight"])))


@handles("layer_norm")
def layer_norm(t, args, kwargs, result):
    a = arguments(args, kwargs, "input normalized_shape weight bias eps", weight=None, bias=None, eps=1e-5)
    value = t.value(a["input"])
    if len(a["normalized_shape"]) != 1:
        raise Unsupported(f"normalises over {len(a['normalized_shape'])} axes; eigenscope's works on the channels of each position")
    value, settings = t.with_channels(value, len(value.axes) - 1), {}
    keep_unless(settings, "epsilon", a["eps"], 1e-5)
    return value.with_layer(t.weighted("layer_norm", [value], settings, None, affine(t, value, a["weight"], a["bias"]),
                                       norm_name(t, a["weight"])))


@handles("group_norm")
def group_norm(t, args, kwargs, result):
    a = arguments(args, kwargs, "input num_groups weight bias eps", weight=None, bias=None, eps=1e-5)
    value = t.with_channels(t.value(a["input"]), 1)
    settings = {"groups": a["num_groups"]}
    keep_unless(settings, "epsilon", a["eps"], 1e-5)
    return value.with_layer(t.weighted("group_norm", [value], settings, None, affine(t, value, a["weight"], a["bias"]),
                                       norm_name(t, a["weight"])))


# functions of each element

def elementwise(op, *names):
    @handles(*names)
    def handler(t, args, kwargs, result):
        return t.unary(t.value(args[0]), op)
    return handler


for _op, _names in (("silu", ("silu", "silu_")), ("sigmoid", ("sigmoid", "sigmoid_")), ("tanh", ("tanh", "tanh_")),
                    ("hard_sigmoid", ("hardsigmoid", "hardsigmoid_")), ("hard_swish", ("hardswish", "hardswish_"))):
    elementwise(_op, *_names)


@handles("relu", "relu_")
def relu(t, args, kwargs, result):
    return t.unary(t.value(args[0] if args else kwargs["input"]), "relu")


def relu6(t, value):
    if value.offset == 3.0 and value.factor == 1.0:  # relu6(x + 3) = 6·hard_sigmoid(x)
        layer = t.add("hard_sigmoid", [Value(value.layer, value.axes)])
        return Value(layer, value.axes, 6.0)
    return t.unary(value, "relu6")


@handles("relu6", "relu6_")
def relu6_handler(t, args, kwargs, result):
    return relu6(t, t.value(args[0]))


@handles("hardtanh", "hardtanh_", "clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_")
def clamp(t, args, kwargs, result):
    a = arguments(args, kwargs, "input min max", min=None, max=None)
    least, most = a.get("min_val", a["min"]), a.get("max_val", a["max"])
    if least == 0 and most is None:
        return t.unary(t.value(args[0]), "relu")
    if least == 0 and most == 6:
        return relu6(t, t.value(args[0]))
    raise Unsupported(f"limits to {least} ... {most}; eigenscope has 0 ... infinity (relu) and 0 ... 6 (relu6)")


@handles("gelu")
def gelu(t, args, kwargs, result):
    how = kwargs.get("approximate", args[1] if len(args) > 1 else "none")
    return t.unary(t.value(args[0]), "gelu", {"approximate": how} if how != "none" else None)


@handles("leaky_relu", "leaky_relu_")
def leaky_relu(t, args, kwargs, result):
    a = arguments(args, kwargs, "input negative_slope", negative_slope=0.01)
    settings = {}
    keep_unless(settings, "slope", a["negative_slope"], 0.01)
    return t.unary(t.value(a["input"]), "leaky_relu", settings)


@handles("dropout", "dropout_", "feature_dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout")
def dropout(t, args, kwargs, result):
    a = arguments(args, kwargs, "input p training", p=0.5)
    module = t.stack[-1][1]
    entry = t.values[id(a["input"])][0]
    if a["p"] == 0:
        return entry
    if isinstance(entry, Scores):
        t.note(f"has dropout of attention ({a['p']}), which is left out: training differs")
        return entry
    if type(module) in (nn.Dropout2d, nn.Dropout1d, nn.Dropout3d, nn.AlphaDropout):
        t.note("is left out: eigenscope has only dropout of single elements, so training differs")
        return entry
    return t.unary(entry, "dropout", {"rate": a["p"]})


# pooling

@handles("max_pool2d", "max_pool2d_with_indices")
def max_pool(t, args, kwargs, result):
    a = arguments(args, kwargs, "input kernel_size stride padding dilation ceil_mode", stride=None, padding=0, dilation=1, ceil_mode=False)
    if not isinstance(result, torch.Tensor):
        raise Unsupported("returns indices")
    return pool(t, "max_pool", a, result)


@handles("avg_pool2d")
def avg_pool(t, args, kwargs, result):
    a = arguments(args, kwargs, "input kernel_size stride padding ceil_mode count_include_pad divisor_override", stride=None,
                  padding=0, dilation=1, ceil_mode=False, count_include_pad=True, divisor_override=None)
    if a["divisor_override"] is not None:
        raise Unsupported("has a divisor of its own")
    return pool(t, "avg_pool", a, result)


def pool(t, op, a, result):
    value = t.as_map(t.value(a["input"]))
    kernel = pair(a["kernel_size"])
    stride = pair(a["stride"]) if a["stride"] not in (None, [], ()) else kernel
    settings = {"kernel": plain(kernel)}
    for key, number, usual in (("stride", plain(stride), plain(kernel)), ("padding", plain(a["padding"]), 0),
                               ("dilation", plain(a["dilation"]), 1), ("ceil", bool(a["ceil_mode"]), False),
                               ("count_padding", a.get("count_include_pad", True), True)):
        if number != usual:
            settings[key] = number
    if value.pad != (0, 0):
        if pair(a["padding"]) != (0, 0):
            raise Unsupported("pads twice")
        settings["padding"] = plain(value.pad)
    return canonical(t.add(op, [value], settings, (result.shape[2], result.shape[3], value.layer.channels)), t.n)


@handles("adaptive_avg_pool2d")
def adaptive_avg_pool(t, args, kwargs, result):
    value = t.as_map(t.value(args[0]))
    size = tuple(result.shape[2:])
    if size == value.layer.shape[:2]:
        return value
    settings = {} if size == (1, 1) else {"size": plain(size)}
    return canonical(t.add("adaptive_avg_pool", [value], settings, (*size, value.layer.channels)), t.n)


@handles("adaptive_max_pool2d", "adaptive_max_pool2d_with_indices")
def adaptive_max_pool(t, args, kwargs, result):
    value = t.as_map(t.value(args[0]))
    if not isinstance(result, torch.Tensor) or tuple(result.shape[2:]) != (1, 1):
        raise Unsupported("has an output other than 1 x 1")
    t.note("is written for maps of this size, so the description fits only this resolution")
    return canonical(t.add("max_pool", [value], {"kernel": plain(value.layer.shape[:2])}, (1, 1, value.layer.channels)), t.n)


@handles("mean", "adaptive_avg_pool1d")
def mean(t, args, kwargs, result):
    value = t.value(args[0] if args else kwargs["input"])
    axes = value.axes
    if result.dim() == len(axes):  # keepdim, or adaptive pooling to one position
        gone = [i for i in range(len(axes)) if result.shape[i] == 1 and i > 0]
        gone = [i for i in gone if axes[i] != value.root("C") or not axes[i]]
    else:
        dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if dims is None:
            raise Unsupported("averages over everything")
        gone = [d % len(axes) for d in ([dims] if isinstance(dims, int) else dims)]
    parts = tidy(sum((axes[i] for i in sorted(gone)), ()))
    roots = "T" if value.layer.tokens else "HW"
    if sorted(parts) != sorted(sum((value.root(root) for root in roots), ())):
        raise Unsupported("averages over other axes than all positions")
    kept = [() if i in gone else axis for i, axis in enumerate(axes) if i not in gone or result.dim() == len(axes)]
    if not parts:
        return value.with_axes(kept)
    layer = t.add("adaptive_avg_pool", [value], None, (1, 1, value.layer.channels))
    return Value(layer, kept)


# arithmetic

def permuted(t, value, dims):
    return value.with_axes([value.axes[d] for d in dims])


def same_layout(t, a, b):
    """Two values in one layout."""
    if a.axes != b.axes or a.layer.tokens != b.layer.tokens:
        a, b = t.as_tokens(t.settle(a)), t.as_tokens(t.settle(b))
    return a, b


def is_vector_of(value, other):
    """True if the second value has one number for each channel of the first."""
    return len(value.axes) == len(other.axes) and other.layer.shape[:-1] in ((1, 1), (1,)) and all(
        b == a or (not b and all(part[0] in "HWT" for part in a)) for a, b in zip(value.axes, other.axes))


def learned_vector(value, tensor):
    """True if a constant has one number for each channel and nothing else."""
    shape = (1,) * (len(value.axes) - tensor.dim()) + tuple(tensor.shape)
    return len(shape) == len(value.axes) and all(
        n == 1 or (axis == value.root("C") and n == value.layer.channels) for n, axis in zip(shape, value.axes)) and math.prod(shape) > 1


def scale(t, value, tensor):
    if tensor.numel() == 1 and tensor.dim() <= 1 and not t.sources.get(id(tensor), ((), None))[0]:
        return times(value, float(tensor))
    value = t.settle(value)
    if not learned_vector(value, tensor):
        raise Unsupported(f"multiplies by a constant of shape {list(tensor.shape)}; it must have one number for each channel")
    c = value.layer.channels
    initial = sorted(set(tensor.detach().reshape(-1)[:1000].tolist()))
    settings = {"initial": float(f"{initial[0]:.7g}")} if len(initial) == 1 else {}
    return value.with_layer(t.weighted("layer_scale", [value], settings, None, {"weight": (tensor, (c,))}))


def times(value, number):
    return Value(value.layer, value.axes, value.factor * number, value.offset * number, value.pad)


@handles("mul", "mul_", "__mul__", "__rmul__", "__imul__", "multiply")
def mul(t, args, kwargs, result):
    a, b = args[0], args[1] if len(args) > 1 else kwargs["other"]
    if not t.is_value(a):
        a, b = b, a
    if is_number(b):
        entry = t.values[id(a)][0]
        if isinstance(entry, Scores):
            return Scores(entry.query, entry.key, entry.factor * b, entry.softmax)
        return times(entry, b)
    if not t.is_value(b):
        return scale(t, t.value(a), b)
    a, b = same_layout(t, t.value(a), t.value(b))
    if is_vector_of(b, a) and not is_vector_of(a, b):
        a, b = b, a
    if a.axes != b.axes and not is_vector_of(a, b):
        raise Unsupported("multiplies values of shapes that eigenscope's product does not join: equal ones, or a map and a vector "
                          "of its channels")
    factor = a.factor * b.factor
    if a.offset or b.offset:
        raise Unsupported("takes values to which a number was added")
    layer = t.add("product", [Value(a.layer, a.axes), Value(b.layer, b.axes)])
    return Value(layer, a.axes, factor)


@handles("div", "div_", "__truediv__", "__itruediv__", "true_divide", "divide")
def div(t, args, kwargs, result):
    a, b = args[0], args[1] if len(args) > 1 else kwargs["other"]
    if isinstance(b, torch.Tensor) and not t.is_value(b) and b.numel() == 1:
        b = float(b)
    if not is_number(b):
        raise Unsupported("divides by other values than a number")
    return mul(t, (a, 1.0 / b), {}, result)


@handles("add", "add_", "__add__", "__radd__", "__iadd__")
def add(t, args, kwargs, result):
    a, b = args[0], args[1] if len(args) > 1 else kwargs["other"]
    if kwargs.get("alpha", 1) != 1:
        raise Unsupported("adds a multiple of a value (alpha)")
    if not t.is_value(a):
        a, b = b, a
    value = t.value(a)
    if is_number(b):
        return Value(value.layer, value.axes, value.factor, value.offset + b, value.pad)
    if not t.is_value(b):
        return position(t, value, b)
    value, other = same_layout(t, value, t.value(b))
    if value.axes != other.axes or value.layer.shape != other.layer.shape:
        raise Unsupported("adds values of different shapes or layouts")
    return value.with_layer(t.add("sum", [value, other]))


def position(t, value, tensor):
    value = t.as_tokens(t.settle(value))
    shape = (1,) * (len(value.axes) - tensor.dim()) + tuple(tensor.shape)
    if not value.layer.tokens or not value.is_laid(["N", "T", "C"]) or shape != (1, *value.layer.shape):
        raise Unsupported(f"adds a constant of shape {list(tensor.shape)}; eigenscope can add a position embedding (1, tokens, "
                          "features) to tokens")
    return value.with_layer(t.weighted("position", [value], None, None, {"weight": (tensor, shape)}))


# attention

def heads_of(t, value):
    """Number of heads of a value laid out as (N, heads, T, features of a head), in tokens."""
    parts = [part for axis in value.axes for part in axis if part[0] == "C"]
    features = value.axes[-1]
    if len(parts) > 2 or len(features) > 1 or any(part[0] != "C" for part in features):
        raise Unsupported("has another layout than (N, heads, tokens, features)")
    d = features[0][2] if features else 1
    heads = value.layer.channels // d
    if features and features != whole("C", d):
        raise Unsupported("has features of a head that are not neighbours")
    return heads


def tokens_of(t, value):
    """The same value with its positions as tokens."""
    if value.layer.tokens:
        return value
    h, w, c = value.layer.shape
    both = tidy([("H", 1, h), ("W", 1, w)])
    if both not in value.axes[1:]:
        raise Unsupported("has another layout than (N, heads, tokens, features)")
    layer = t.add("tokens", [Value(value.layer, value.axes)], None, (h * w, c), t.before("tokens"))
    return Value(layer, [whole("T", h * w) if axis == both else axis for axis in value.axes], value.factor)


def attend(t, query, key, value, factor):
    """softmax(factor · query · keyᵀ) · value, as a value laid out as the query."""
    query, key, value = tokens_of(t, query), tokens_of(t, key), tokens_of(t, value)
    heads = heads_of(t, query)
    if query.axes != key.axes or query.axes != value.axes or heads_of(t, key) != heads or \
            [part for part in query.axes[-2]] != list(query.root("T")):
        raise Unsupported("has queries, keys and values of different shapes")
    d = query.layer.channels // heads
    if abs(factor * math.sqrt(d) - 1.0) > 1e-5:
        raise Unsupported(f"scales by {factor:.6g}; eigenscope's attention scales by 1/sqrt({d})")
    c, parts = query.layer.channels, [query.layer, key.layer, value.layer]
    source = parts[0].inputs[0] if parts[0].inputs else None
    if all(part.op == "slice" and part.inputs[0] is source and part.settings["first"] == i * c for i, part in enumerate(parts)) \
            and source.channels == 3 * c:
        inputs = [Value(source, [])]
    else:
        inputs = [Value(t.add("concat", [Value(part, []) for part in parts], None, (query.layer.shape[0], 3 * c)), [])]
    return Value(t.add("attention", inputs, {"heads": heads}, (query.layer.shape[0], c)), query.axes)


@handles("scaled_dot_product_attention")
def scaled_dot_product_attention(t, args, kwargs, result):
    a = arguments(args, kwargs, "query key value attn_mask dropout_p is_causal", attn_mask=None, dropout_p=0.0, is_causal=False,
                  scale=None, enable_gqa=False)
    if a["attn_mask"] is not None or a["is_causal"] or a["enable_gqa"]:
        raise Unsupported("has a mask or shared heads")
    query = t.value(a["query"])
    d = size_of(query.axes[-1])
    factor = a["scale"] if a["scale"] is not None else 1.0 / math.sqrt(d)
    key, value = t.value(a["key"]), t.value(a["value"])
    if value.factor != 1.0:
        raise Unsupported("takes values that were multiplied by a number")
    return attend(t, query, key, value, factor * query.factor * key.factor)


@handles("matmul", "__matmul__", "bmm")
def matmul(t, args, kwargs, result):
    a, b = args[0], args[1] if len(args) > 1 else kwargs.get("other", kwargs.get("mat2"))
    if not t.is_value(a) or not t.is_value(b):
        raise Unsupported("multiplies by a constant matrix; write it as a linear layer")
    left, right = t.values[id(a)][0], t.values[id(b)][0]
    if isinstance(left, Scores) and isinstance(right, Value):
        if not left.softmax:
            raise Unsupported("has no softmax before it")
        if right.factor != 1.0:
            raise Unsupported("takes values that were multiplied by a number")
        return attend(t, left.query, left.key, right, left.factor)
    if isinstance(left, Scores) or isinstance(right, Scores):
        raise Unsupported("is no attention that eigenscope has")
    turned_right = permuted(t, right, [*range(len(right.axes) - 2), len(right.axes) - 1, len(right.axes) - 2])
    return Scores(left, turned_right, left.factor * right.factor)


@handles("softmax")
def softmax(t, args, kwargs, result):
    a = arguments(args, kwargs, "input dim", dim=None)
    entry = t.values[id(a["input"])][0]
    if not isinstance(entry, Scores) or entry.softmax or a["dim"] is None or a["dim"] % result.dim() != result.dim() - 1:
        raise Unsupported(HINTS["softmax"])
    return Scores(entry.query, entry.key, entry.factor, True)


@handles("multi_head_attention_forward")
def multi_head_attention(t, args, kwargs, result):
    a = arguments(args, kwargs, "query key value embed_dim_to_check num_heads in_proj_weight in_proj_bias bias_k bias_v add_zero_attn "
                                "dropout_p out_proj_weight out_proj_bias training key_padding_mask need_weights attn_mask",
                  key_padding_mask=None, attn_mask=None, use_separate_proj_weight=False, is_causal=False)
    if a["bias_k"] is not None or a["add_zero_attn"] or a["key_padding_mask"] is not None or a["attn_mask"] is not None or a["is_causal"]:
        raise Unsupported("has masks, or keys of its own (add_bias_kv, add_zero_attn)")
    if a["use_separate_proj_weight"]:
        raise Unsupported("has keys or values of another size (kdim, vdim)")
    query, *others = [t.value(a[key]) for key in ("query", "key", "value")]
    if any(other.layer is not query.layer or other.axes != query.axes or (other.factor, other.offset) != (query.factor, query.offset)
           for other in others):
        raise Unsupported("attends to other tokens than its own; eigenscope has self-attention")
    value = t.as_tokens(query)
    if not value.layer.tokens or not value.is_laid(["T", "N", "C"]):
        raise Unsupported("needs tokens (N, T, C)" if not value.layer.tokens else "needs batch_first=True, or tokens before samples")
    if a["dropout_p"] and t.stack and t.stack[-1][1].dropout:
        t.note(f"has dropout of attention ({t.stack[-1][1].dropout}), which is left out: training differs")
    c = value.layer.channels
    tensors = {"in_proj_weight": (a["in_proj_weight"], (3 * c, c)), "in_proj_bias": (a["in_proj_bias"], (3 * c,)),
               "out_proj.weight": (a["out_proj_weight"], (c, c)), "out_proj.bias": (a["out_proj_bias"], (c,))}
    settings = {"heads": a["num_heads"]}
    if a["in_proj_bias"] is None:
        settings["bias"] = False
        tensors = {key: entry for key, entry in tensors.items() if "bias" not in key}
    name = t.owner(a["in_proj_weight"], "in_proj_weight")
    made = value.with_layer(t.weighted("self_attention", [value], settings, None, tensors, name))
    return [made, Unknown()]
