"""Follows a PyTorch network on a batch of images, and writes down the operations of eigenscope that compute the same.

    layers = Trace(model).run(images)

The network runs once, in inference mode, under a torch function mode, so its Python code may do anything: loops, branches on
shapes, calls of any module. Each call of PyTorch is looked up in a table (network_operations.py, network_moves.py). Values are
followed by their layout (network_layout.py): for each axis of a tensor, which part of the batch (N), the channels (C), rows and
columns (H, W), or tokens (T) it runs over. So views, transpositions and slices cost no operation; only where an operation needs
another order does one appear (shuffle, flatten, tokens). Needs PyTorch 1.13 or newer.
"""
import math
import os
import sys

import torch
from torch.overrides import TorchFunctionMode

from network_layout import Layer, Scores, Unknown, Unsupported, Value, canonical, size_of, tidy, whole
import network_moves  # noqa: F401: adds rows to the table
from network_operations import HANDLERS, HINTS

NAME_MAX = 63  # bytes of a name in eigenscope


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


class Trace(TorchFunctionMode):
    """`layers` after `run`; `weights` {name: tensor}; `errors`, `notes` are sentences."""

    def __init__(self, model, fixed=lambda name: False):
        super().__init__()
        self.model, self.fixed, self.n = model, fixed, 0
        self.layers, self.weights, self.errors, self.notes = [], {}, [], []
        self.stack = []     # (path, module) of the modules that run
        self.values = {}    # id of a tensor: (value, tensor, its version)
        self.sources = {}   # id of a tensor without images in it: (names of parameters that it is made of, tensor)
        self.names = {name for name, _ in model.named_modules() if name}
        self.taken = {"input"}  # names of layers; the images have this one

    # ---- running ----

    def run(self, images):
        """Runs the network on (N, 3, H, W) and returns the layers that its output needs, or None after errors."""
        self.n = images.shape[0]
        for name, tensor in list(self.model.named_parameters()) + list(self.model.named_buffers()):
            self.sources[id(tensor)] = ((name,), tensor)
        handles = []
        for path, module in self.model.named_modules():
            handles.append(module.register_forward_pre_hook(self.entering(path)))
            handles.append(module.register_forward_hook(self.leaving))
        image = Layer("input", "input", [], shape=(images.shape[2], images.shape[3], images.shape[1]))
        self.keep(images, canonical(image, self.n))
        try:
            with torch.no_grad(), self:
                output = self.model(images)
        finally:
            for handle in handles:
                handle.remove()
        return None if self.errors else self.finish(output)

    def entering(self, path):
        def enter(module, _):
            self.stack.append((path, module))
        return enter

    def leaving(self, module, _, output):
        """After a module. Stochastic depth returns its input in inference mode, so the module itself is the operation."""
        kind = type(module).__name__
        if kind in ("StochasticDepth", "DropPath") and isinstance(output, torch.Tensor) and id(output) in self.values:
            output = self.drop_path(module, output)
        self.stack.pop()
        return output

    def drop_path(self, module, output):
        rate = next((getattr(module, key) for key in ("p", "drop_prob") if hasattr(module, key)), None)
        value = self.values[id(output)][0]
        if not rate or not isinstance(value, Value):
            return output
        if getattr(module, "mode", "row") != "row":
            self.note("is left out, because it drops whole batches: training differs")
            return output
        output = output.view_as(output)
        self.keep(output, self.unary(value, "drop_path", {"rate": rate}))
        return output

    def keep(self, tensor, value):
        self.values[id(tensor)] = (value, tensor, tensor._version)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        if name == "__get__":
            name = getattr(getattr(func, "__self__", None), "__name__", name)
        given = list(tensors_in((args, kwargs)))
        known = [self.values[id(tensor)] for tensor in given if id(tensor) in self.values]
        stale = any(tensor._version != version for _, tensor, version in known)
        result = func(*args, **kwargs)
        if not known:
            self.derive(given, result)
            return result
        if any(isinstance(value, Unknown) for value, _, _ in known):
            self.assign(name, args, result, Unknown())
            return result
        if not any(True for _ in tensors_in(result)) and name not in ("__bool__", "item", "tolist", "__float__", "__int__",
                                                                      "numpy", "equal", "allclose", "__setitem__"):
            return result
        try:
            if stale:
                raise Unsupported("uses a tensor whose memory was changed in place through another view")
            return self.assign(name, args, result, self.handle(name, args, kwargs, result))
        except Unsupported as error:
            self.refuse(name, str(error))
            return self.assign(name, args, result, self.guess(known, result))

    def guess(self, known, result):
        """A value for the result of an operation that was refused, so that those behind it are looked at, too."""
        value = known[0][0]
        if not isinstance(result, torch.Tensor) or not isinstance(value, Value):
            return Unknown()
        for given, tensor, _ in known:
            if tensor.shape == result.shape and isinstance(given, Value):
                return Value(Layer("unknown", "unknown", [], shape=given.layer.shape), given.axes)
        if result.dim() == 4 and not value.layer.tokens and value.is_laid(["N", "C", "H", "W"]):
            return canonical(Layer("unknown", "unknown", [], shape=(result.shape[2], result.shape[3], result.shape[1])), self.n)
        return Unknown()

    def derive(self, given, result):
        """Remembers which parameters a tensor is computed from."""
        names = tuple(dict.fromkeys(name for tensor in given for name in self.sources.get(id(tensor), ((), None))[0]))
        for tensor in tensors_in(result):
            if id(tensor) not in self.sources:
                self.sources[id(tensor)] = (names, tensor)

    def handle(self, name, args, kwargs, result):
        handler = HANDLERS.get(name)
        if handler is None:
            raise Unsupported(HINTS.get(name, "is no operation of eigenscope"))
        if kwargs.get("out") is not None:
            raise Unsupported("writes to out=")
        if not args and "input" in kwargs:
            args, kwargs = (kwargs["input"],), {key: value for key, value in kwargs.items() if key != "input"}
        return handler(self, args, kwargs, result)

    def assign(self, name, args, result, value):
        """Notes the value of each result. Returns the result, or an alias where an argument was returned unchanged, because
        the argument keeps its own value."""
        if isinstance(result, (list, tuple)) and not isinstance(result, torch.Size):
            parts = value if isinstance(value, (list, tuple)) else [value] * len(result)
            for tensor, part in zip(result, parts):
                if isinstance(tensor, torch.Tensor):
                    self.keep(tensor, part)
            return result
        if not isinstance(result, torch.Tensor):
            return result
        before = self.values.get(id(result), (None,))[0]
        in_place = name.endswith("_") and (not name.startswith("__") or name.startswith("__i"))
        if before is not None and before is not value and not in_place and result._version == self.values[id(result)][2]:
            result = result.view_as(result)
        self.keep(result, value)
        return result

    # ---- messages ----

    def place(self):
        """File and line of the user's call, in parentheses; nothing if PyTorch's own modules call each other."""
        frame = sys._getframe(1)
        torch_folder = os.path.dirname(torch.__file__) + os.sep
        while frame is not None and frame.f_code is not Trace.run.__code__:
            if not frame.f_code.co_filename.startswith(torch_folder) and frame.f_code.co_filename != __file__:
                return f" ({frame.f_code.co_filename}:{frame.f_lineno})"
            frame = frame.f_back
        return ""

    def where(self):
        path, module = self.stack[-1] if self.stack else ("", self.model)
        return f"{path or 'the model'} ({type(module).__name__})"

    def refuse(self, name, why):
        self.errors.append(f"{self.where()}: {name.strip('_')} {why}{self.place()}")

    def note(self, what):
        self.notes.append(f"{self.where()} {what}")

    # ---- adding layers ----

    def name_of(self, wanted):
        """A name that nothing else has. Long names lose their first parts."""
        while len(wanted) > NAME_MAX - 4:
            wanted = wanted.partition(".")[2] or wanted[-NAME_MAX + 4:]
        name, k = wanted, 1
        while name in self.taken or (name != wanted and name in self.names):
            k += 1
            name = f"{wanted}_{k}"
        self.taken.add(name)
        return name

    def here(self, op):
        """Name of an operation without weights: of the module if it is PyTorch's own, else below the module."""
        path, module = self.stack[-1] if self.stack else ("", self.model)
        own = type(module).__module__.startswith("torch.nn") or type(module).__name__ in ("StochasticDepth", "DropPath")
        leaf = own and not any(True for _ in module.children())
        return path if path and leaf else f"{path}.{op}" if path else op

    def before(self, op):
        """Name of an operation that brings the input of another one into order."""
        path = self.stack[-1][0] if self.stack else ""
        return f"{path}.{op}" if path else op

    def add(self, op, inputs, settings=None, shape=None, name=None, tensors=None, scaled=None):
        inputs = [self.times_factor(value) for value in inputs]
        for value in inputs:
            if value.pad != (0, 0) and op not in ("conv", "avg_pool"):
                raise Unsupported("takes a padded map; padding must be followed by a convolution")
        layer = Layer(op, self.name_of(name or self.here(op)), [value.layer for value in inputs], settings,
                      shape or inputs[0].layer.shape, tensors,
                      any(value.layer.scaled for value in inputs) if scaled is None else scaled)
        self.layers.append(layer)
        return layer

    def times_factor(self, value):
        """Multiplies a value by its factor, as a layer scale."""
        if value.offset != 0.0:
            raise Unsupported("takes values to which a number was added")
        if value.factor == 1.0:
            return value
        self.note(f"multiplies by {value.factor:.6g}, which is stored as a layer scale, and training would change it")
        weight, axes = torch.full((value.layer.channels,), value.factor), value.axes
        layer = self.weighted("layer_scale", [Value(value.layer, axes)], {"initial": float(f"{value.factor:.7g}")}, None,
                              {"weight": (weight, tuple(weight.shape))}, self.before("layer_scale"), quiet=True)
        return Value(layer, axes, pad=value.pad)

    def unary(self, value, op, settings=None):
        return value.with_layer(self.add(op, [value], settings))

    def owner(self, tensor, slot):
        """Name of the layer whose weight is this tensor: that of the module."""
        names = self.sources.get(id(tensor), ((), None))[0]
        path, dot, last = names[0].rpartition(".") if len(names) == 1 else ("", "", "")
        return path if dot and last == slot else names[0] if len(names) == 1 else None

    def store(self, layer_name, tensors, quiet=False):
        """Puts tensors into the file of weights. Returns {slot: full name} of those with other names than layer.slot."""
        other = {}
        for slot, (tensor, shape) in tensors.items():
            name = f"{layer_name}.{slot}"
            sources = self.sources.get(id(tensor), ((), None))[0]
            data = tensor.detach().reshape(shape).float().contiguous().cpu()
            if len(sources) == 1:
                original = self.tensor(sources[0])
                if original.numel() == data.numel() and bool((original.detach().reshape(-1).float() == data.reshape(-1)).all()):
                    name = sources[0]
            if name not in sources and not quiet:
                made = f"computed from {', '.join(sources)}" if sources else "a constant"
                self.note(f"has {slot} {made}; it is stored as {name}, and training would change it")
            if name in self.weights:
                raise Unsupported(f"uses {name} a second time; eigenscope's layers have weights of their own")
            if len(name) > NAME_MAX:
                raise Unsupported(f"has a tensor {name}, and names have at most {NAME_MAX} characters")
            self.weights[name] = data
            if name != f"{layer_name}.{slot}":
                other[slot] = name
        return other

    def tensor(self, name):
        module, _, last = name.rpartition(".")
        return getattr(self.model.get_submodule(module), last)

    def weighted(self, op, inputs, settings, shape, tensors, wanted=None, scaled=None, quiet=False):
        """Adds a layer with weights: {slot: (tensor, shape)}; the first one gives the name."""
        slot, (tensor, _) = next(iter(tensors.items()))
        layer = self.add(op, inputs, settings, shape, wanted or self.owner(tensor, slot) or self.here(op), None, scaled)
        layer.tensors = self.store(layer.name, tensors, quiet)
        return layer

    # ---- layouts that operations need ----

    def value(self, tensor, what="its input"):
        entry = self.values.get(id(tensor)) if isinstance(tensor, torch.Tensor) else None
        if entry is None:
            raise Unsupported(f"has a constant for {what}")
        if isinstance(entry[0], Scores):
            raise Unsupported("takes the products of queries and keys, which only a softmax and the values of attention may")
        return entry[0]

    def is_value(self, tensor):
        return isinstance(tensor, torch.Tensor) and id(tensor) in self.values

    def settle(self, value):
        """Brings channels into order."""
        for i, axis in enumerate(value.axes):
            if len(axis) == 2 and [part[0] for part in axis] == ["C", "C"]:
                (_, one, k), (_, step, groups) = axis
                if one == 1 and step == k and k * groups == value.layer.channels:
                    layer = self.add("shuffle", [value], {"groups": groups}, name=self.before("shuffle"))
                    return Value(layer, [whole("C", layer.channels) if j == i else a for j, a in enumerate(value.axes)])
        return value

    def as_tokens(self, value):
        """A map whose rows and columns share an axis becomes tokens."""
        layer = value.layer
        if layer.tokens:
            return value
        h, w, c = layer.shape
        both = tidy([("H", 1, h), ("W", 1, w)])
        at = [i for i, axis in enumerate(value.axes) if axis == both]
        if not at or len(value.axes) != 3:
            return value
        made = self.add("tokens", [value], None, (h * w, c), self.before("tokens"))
        return Value(made, [whole("T", h * w) if i == at[0] else axis for i, axis in enumerate(value.axes)])

    def as_map(self, value):
        value = self.settle(value)
        if value.layer.tokens or not value.is_laid(["N", "C", "H", "W"]):
            raise Unsupported("needs a map (N, C, H, W)" + ("" if not value.layer.tokens else "; its input are tokens"))
        return value

    def with_channels(self, value, at):
        """Makes axis `at` run over all channels."""
        value = self.settle(value)
        if value.axes[at] == value.root("C"):
            return self.as_tokens(value)
        if value.is_laid(["N", "CHW"]) and not value.layer.tokens:
            layer = self.add("flatten", [value], None, (1, 1, math.prod(value.layer.shape)), self.before("flatten"))
            return Value(layer, [value.axes[0], whole("C", layer.channels)])
        raise Unsupported(f"works on axis {at}, which are not the channels")

    # ---- the end ----

    def finish(self, output):
        if hasattr(output, "logits"):
            output = output.logits
        if isinstance(output, dict):
            output = output.get("logits", next(iter(output.values()), None))
        if isinstance(output, (list, tuple)) and output:
            self.notes.append("the model returns several values; the first one is used")
            output = output[0]
        if not self.is_value(output):
            self.errors.append("the output of the model does not depend on the images")
            return None
        value = self.values[id(output)][0]
        if isinstance(value, Value) and value.factor != 1.0 and value.offset == 0.0:
            value = self.times_factor(value)
        if not isinstance(value, Value) or value.offset != 0.0 or not value.is_laid(["N", "C"]) or \
                size_of(value.axes[1]) != value.layer.channels or math.prod(value.layer.shape[:-1]) != 1:
            self.errors.append(f"the output of the model has shape {list(output.shape)}; it must be (N, classes)")
            return None
        needed, todo = set(), [value.layer]
        while todo:
            layer = todo.pop()
            if layer not in needed:
                needed.add(layer)
                todo.extend(layer.inputs)
        layers = [layer for layer in self.layers if layer in needed]
        if not self.name_classes(value.layer):
            self.errors.append("the output of the model must be that of a linear layer or convolution with one output for each class")
        return layers

    def name_classes(self, last):
        """The last layers with weights have as many outputs as there are classes: several, if their outputs are added.
        False if there are none."""
        todo, found = [last], False
        while todo:
            layer = todo.pop()
            key = {"conv": "channels", "linear": "features"}.get(layer.op)
            if key:
                layer.settings[key] = "classes"
                layer.settings.pop("fixed", None)
                found = True
            else:
                todo.extend(source for source in layer.inputs if source.channels == last.channels and source.op != "input")
        return found
