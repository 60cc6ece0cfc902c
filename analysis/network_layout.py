"""Layers of a description, and the layout of values: which axis of a tensor runs over what part of a layer's output."""
import math


class Unsupported(Exception):
    """Why an operation cannot be expressed, as the end of a sentence."""


class Layer:
    """An operation of the description. `shape` is (H, W, C), or (T, C) for tokens."""

    def __init__(self, op, name, inputs, settings=None, shape=None, tensors=None, scaled=False):
        self.op, self.name, self.inputs, self.settings = op, name, inputs, settings or {}
        self.shape, self.tensors, self.scaled = shape, tensors or {}, scaled

    @property
    def tokens(self):
        return len(self.shape) == 2

    @property
    def channels(self):
        return self.shape[-1]


# ---- layouts: an axis is a list of parts (root, stride, size), the first one outermost ----

def tidy(axis):
    """Leaves out parts of size 1, and joins neighbours."""
    out = []
    for root, stride, size in axis:
        if size == 1:
            continue
        if out and out[-1][0] == root and out[-1][1] == stride * size:
            out[-1] = (root, stride, out[-1][2] * size)
        else:
            out.append((root, stride, size))
    return tuple(out)


def whole(root, size):
    return tidy([(root, 1, size)])


def size_of(axis):
    return math.prod(size for _, _, size in axis)


class Value:
    """factor · output of a layer + offset, in some layout. Only few operations take a factor or an offset."""

    def __init__(self, layer, axes, factor=1.0, offset=0.0, pad=(0, 0)):
        self.layer, self.axes, self.factor, self.offset, self.pad = layer, [tidy(axis) for axis in axes], factor, offset, pad

    def with_axes(self, axes):
        return Value(self.layer, axes, self.factor, self.offset, self.pad)

    def with_layer(self, layer):
        return Value(layer, self.axes)

    def root(self, root):
        """The axis that runs over all of a root, as a layout."""
        shape = self.layer.shape
        sizes = {"T": shape[0], "C": shape[1]} if self.layer.tokens else dict(zip("HWC", shape))
        return whole(root, sizes.get(root, 1))

    def is_laid(self, roots):
        """True if axis i runs over roots[i], where axis N is any."""
        return len(self.axes) == len(roots) and all(
            root == "N" or axis == tidy(sum((self.root(r) for r in root), ())) for axis, root in zip(self.axes, roots))


class Scores:
    """Products of queries and keys, before or after their softmax."""

    def __init__(self, query, key, factor, softmax=False):
        self.query, self.key, self.factor, self.softmax = query, key, factor, softmax


class Unknown:
    """The result of an operation that was refused."""


def canonical(layer, n):
    if layer.tokens:
        return Value(layer, [whole("N", n), whole("T", layer.shape[0]), whole("C", layer.shape[1])])
    h, w, c = layer.shape
    return Value(layer, [whole("N", n), whole("C", c), whole("H", h), whole("W", w)])


def reshape(value, shape):
    """The layout after a view as this shape."""
    parts, axes = list(tidy(sum(value.axes, ()))), []
    for size in shape:
        axis = []
        while size > 1:
            if not parts:
                raise Unsupported("changes the number of elements")
            root, stride, n = parts.pop(0)
            if size % n == 0:
                axis.append((root, stride, n))
                size //= n
            elif n % size == 0:
                inner = n // size
                axis.append((root, stride * inner, size))
                parts.insert(0, (root, stride, inner))
                size = 1
            else:
                raise Unsupported(f"makes axes of {list(shape)}, which mix the axes before")
        axes.append(axis)
    return value.with_axes(axes)
