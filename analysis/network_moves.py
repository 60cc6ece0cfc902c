"""Rows of the table of network_operations.py for calls that move numbers: views, transpositions, slices, concatenation, padding."""
import torch

from network_layout import Unsupported, Value, canonical, reshape, size_of, whole
from network_operations import arguments, handles, permuted, plain


@handles("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as", "squeeze_", "unsqueeze_")
def view(t, args, kwargs, result):
    return reshape(t.value(args[0] if args else kwargs["input"]), result.shape)


@handles("contiguous", "clone", "detach", "detach_", "to", "float", "double", "half", "bfloat16", "type", "type_as", "alias", "data",
         "requires_grad_", "as_subclass", "cpu")
def same(t, args, kwargs, result):
    return t.values[id(args[0] if args else kwargs["input"])][0]


@handles("expand", "expand_as")
def expand(t, args, kwargs, result):
    value = t.value(args[0])
    if tuple(result.shape) != tuple(args[0].shape):
        raise Unsupported("repeats values")
    return value


@handles("permute")
def permute(t, args, kwargs, result):
    value = t.value(args[0])
    dims = kwargs.get("dims", args[1:])
    dims = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
    return permuted(t, value, [d % len(value.axes) for d in dims])


@handles("transpose", "transpose_", "swapaxes", "swapdims")
def transpose(t, args, kwargs, result):
    a = arguments(args, kwargs, "input dim0 dim1")
    value = t.value(args[0])
    dims = list(range(len(value.axes)))
    i, j = a.get("axis0", a.get("dim0")) % len(dims), a.get("axis1", a.get("dim1")) % len(dims)
    dims[i], dims[j] = j, i
    return permuted(t, value, dims)


@handles("movedim", "moveaxis")
def movedim(t, args, kwargs, result):
    value = t.value(args[0])
    numbers = torch.arange(len(value.axes)) + 2
    order = torch.zeros(tuple(numbers.tolist())).movedim(*args[1:], **kwargs).shape
    return permuted(t, value, [n - 2 for n in order])


@handles("t", "T", "mT")
def turned(t, args, kwargs, result):
    value = t.value(args[0])
    dims = list(range(len(value.axes)))
    return permuted(t, value, dims[:-2] + dims[:-3:-1])


# parts and joins

def take_channels(t, value, axis, first, size):
    """A range of an axis of channels."""
    part = value.axes[axis]
    if part != value.root("C"):
        value = t.settle(value)
        part = value.axes[axis]
    if part != value.root("C"):
        raise Unsupported("takes a part of an axis that is not the channels")
    if size == value.layer.channels:
        return value
    settings = {"first": first, "channels": size}
    if value.layer.scaled:
        settings["scaled"] = True
    layer = t.add("slice", [value], settings, (*value.layer.shape[:-1], size))
    return Value(layer, [whole("C", size) if i == axis else a for i, a in enumerate(value.axes)])


def select(t, value, axis, index):
    """One index of an axis, which vanishes."""
    part = value.axes[axis]
    index %= max(size_of(part), 1)
    rest = [a for i, a in enumerate(value.axes) if i != axis]
    if not part:
        return value.with_axes(rest)
    if len(part) == 1 and part[0][0] == "C" and part[0][1] > 1 and part[0][1] * part[0][2] == value.layer.channels:
        size = part[0][1]  # the outermost part of the channels
        settings = {"first": index * size, "channels": size, **({"scaled": True} if value.layer.scaled else {})}
        layer = t.add("slice", [Value(value.layer, value.axes)], settings, (*value.layer.shape[:-1], size))
        return Value(layer, rest, value.factor)
    value = t.as_tokens(value)
    if value.layer.tokens and value.axes[axis] == value.root("T"):
        return Value(t.add("pick", [value], {"token": index}, (1, 1, value.layer.channels)), rest)
    raise Unsupported("takes one index of an axis that is neither tokens nor the outer part of channels")


@handles("select")
def select_handler(t, args, kwargs, result):
    a = arguments(args, kwargs, "input dim index")
    value = t.value(a["input"])
    return select(t, value, a["dim"] % len(value.axes), a["index"])


@handles("unbind")
def unbind(t, args, kwargs, result):
    a = arguments(args, kwargs, "input dim", dim=0)
    value = t.value(a["input"])
    return [select(t, value, a["dim"] % len(value.axes), i) for i in range(len(result))]


@handles("chunk", "split", "tensor_split", "split_with_sizes")
def split(t, args, kwargs, result):
    value = t.value(args[0])
    dim = kwargs.get("dim", args[2] if len(args) > 2 else 0) % len(value.axes)
    out, first = [], 0
    if len(result) == 1:
        return [value]
    if len(set(part.shape[dim] for part in result)) == 1 and value.axes[dim] != value.root("C") and result[0].shape[dim] == 1:
        return [Value(v.layer, v.axes[:dim] + [()] + v.axes[dim:], v.factor)
                for v in (select(t, value, dim, i) for i in range(len(result)))]
    for part in result:
        out.append(take_channels(t, value, dim, first, part.shape[dim]))
        first += part.shape[dim]
    return out


@handles("narrow")
def narrow(t, args, kwargs, result):
    a = arguments(args, kwargs, "input dim start length")
    value = t.value(a["input"])
    return take_channels(t, value, a["dim"] % len(value.axes), int(a["start"]), a["length"])


@handles("__getitem__")
def getitem(t, args, kwargs, result):
    value, index = t.value(args[0]), args[1]
    index = list(index) if isinstance(index, tuple) else [index]
    if any(not (i is None or i is Ellipsis or isinstance(i, slice) or (isinstance(i, int) and not isinstance(i, bool))) for i in index):
        raise Unsupported("picks elements by a list or a tensor")
    given = sum(1 for i in index if i is not None and i is not Ellipsis)
    if Ellipsis not in index:
        index.append(Ellipsis)
    at = index.index(Ellipsis)
    index[at:at + 1] = [slice(None)] * (len(value.axes) - given)
    axis, steps = 0, {}
    for i in index:
        if i is None:
            value = value.with_axes([*value.axes[:axis], (), *value.axes[axis:]])
            axis += 1
        elif isinstance(i, int):
            value = select(t, value, axis, i)
        else:
            size = t.n if axis == 0 else size_of(value.axes[axis])
            first, end, step = i.indices(size)
            if step != 1 and first == 0 and end == size:
                steps[axis] = step
            elif (first, end, step) != (0, size, 1):
                if step != 1 or axis == 0:
                    raise Unsupported("takes a part of the batch, or elements with a step and an offset")
                value = take_channels(t, value, axis, first, end - first)
            axis += 1
    if steps:
        value = t.as_map(value)
        if set(steps) - {2, 3}:
            raise Unsupported("takes every n-th element of another axis than rows and columns")
        stride = [steps.get(2, 1), steps.get(3, 1)]
        value = canonical(t.add("max_pool", [value], {"kernel": 1, "stride": plain(stride)},
                                (result.shape[2], result.shape[3], value.layer.channels)), t.n)
    return value


@handles("cat", "concat", "concatenate")
def cat(t, args, kwargs, result):
    a = arguments(args, kwargs, "tensors dim", dim=0)
    dim = a.get("axis", a["dim"]) % result.dim()
    tensors = list(a["tensors"])
    learned = []
    while tensors and not t.is_value(tensors[0]):
        learned.append(tensors.pop(0))
    if any(not t.is_value(tensor) for tensor in tensors):
        raise Unsupported("puts a constant behind values")
    values = [t.settle(t.value(tensor)) for tensor in tensors]
    if learned:
        return class_tokens(t, learned, values, dim)
    values = [t.as_tokens(value) for value in values]
    if any(value.axes[dim] != value.root("C") or value.axes[:dim] + value.axes[dim + 1:] != values[0].axes[:dim] + values[0].axes[dim + 1:]
           for value in values):
        raise Unsupported("joins other axes than the channels of maps of equal size")
    if len(values) == 1:
        return values[0]
    c = sum(value.layer.channels for value in values)
    layer = t.add("concat", values, None, (*values[0].layer.shape[:-1], c))
    return Value(layer, [whole("C", c) if i == dim else axis for i, axis in enumerate(values[0].axes)])


def class_tokens(t, learned, values, dim):
    value = t.as_tokens(values[0])
    if len(values) != 1 or dim != 1 or not value.layer.tokens or not value.is_laid(["N", "T", "C"]):
        raise Unsupported("joins a constant with other values than tokens (N, T, C)")
    c = value.layer.channels
    for tensor in reversed(learned):
        if tuple(tensor.shape) != (t.n, 1, c):
            raise Unsupported(f"puts {list(tensor.shape)[1:]} values before the tokens; eigenscope can put one token before them")
        one = tensor[:1]
        t.sources[id(one)] = (t.sources.get(id(tensor), ((), None))[0], one)
        layer = t.weighted("class_token", [value], None, (value.layer.shape[0] + 1, c), {"weight": (one, (1, 1, c))})
        value = canonical(layer, t.n)
    return value


@handles("pad", "constant_pad_nd")
def pad(t, args, kwargs, result):
    a = arguments(args, kwargs, "input pad mode value", mode="constant", value=None)
    value, amounts = t.as_map(t.value(a["input"])), list(a["pad"])
    if all(n == 0 for n in amounts):
        return value
    if a["mode"] != "constant" or a["value"] not in (None, 0) or len(amounts) > 4 or len(amounts) % 2:
        raise Unsupported("pads other than rows and columns by zeros")
    amounts += [0] * (4 - len(amounts))
    if amounts[0] != amounts[1] or amounts[2] != amounts[3] or min(amounts) < 0:
        raise Unsupported("pads one side more than the other")
    return Value(value.layer, value.axes, pad=(amounts[2] + value.pad[0], amounts[0] + value.pad[1]))


@handles("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(t, args, kwargs, result):
    a = arguments(args, kwargs, "input groups")
    return t.unary(t.as_map(t.value(a["input"])), "shuffle", {"groups": a["groups"]})
