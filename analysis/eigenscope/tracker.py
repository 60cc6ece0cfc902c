"""Sums over the outputs of a network's layers while the network runs in somebody else's loop."""
import contextlib
import fnmatch
import inspect
import numbers
import os
import re
import sys
import warnings
import weakref

import numpy as np

from . import moments
from .moments import MomentsError
from .sample import Sample
from .sums import ClassSums, LaneSums, together

TOKENS = ("all", "first", "last", "mean")


class Tracker:
    """Adds up rows, means and second moments of every layer, epoch by epoch, and appends them to a file.

    model     a PyTorch module, or None where arrays are given to accumulate()
    to        the file (HDF5), or None for no file; each process of torch.distributed writes its own part,
              moments.part0-of-2.h5 beside moments.part1-of-2.h5
    layers    names of modules, as glob patterns (a star also matches dots), and types of modules; default:
              convolutions, linear layers, attention and recurrent layers. A pattern that no module has may be the name that torch.fx gives to
              the output of a function, such as "add" or "relu_1"
    mask      name of the model's argument that is 1 at tokens that count, such as "attention_mask"
    labels    name of the model's argument that holds the classes of the samples; or call tracker.labels(y) before the model
    probes    number of samples of each split whose features are kept for probes: outputs, averaged over positions or tokens,
              balanced over the classes; 0: none
    classes   number of classes whose sums are also kept one by one; 0: none
    lanes     number of parts of the samples whose second moments are also kept one by one, for the participation ratio without bias:
              batches (calls of the model) go to them in turn; 0: none. With several processes, each is a part without this
    tokens    for outputs (N, T, C): "all" tokens, the "first", the "last" (by the mask), or their "mean"
    keep      device of the sums; default: that of the activations
    part, parts, run   for processes of other launchers: this part, how many there are, and a text that all share

    Rows are samples (N, C), tokens (N, T, C), or positions: of convolutions, pooling and batch norm (N, C, ...), of linear
    layers, layer norm and embeddings (N, ..., C), of other modules and functions (N, C, H, W) and (N, C, D, H, W). A module that is called
    k times for a batch adds the rows of all calls. What a backward pass computes again (gradient checkpointing) is not
    counted. The hooks change no output and need no gradient.
    """

    anew = False  # True in a class that replaces its part

    def __init__(self, model=None, to=None, layers=None, mask=None, tokens="all", labels=None, probes=0, keep=None, part=None,
                 parts=None, run=None, classes=0, lanes=0):
        if tokens not in TOKENS:
            raise MomentsError(f"tokens is {tokens!r}; it must be one of {', '.join(TOKENS)}")
        self.mask_name, self.tokens, self.keep = mask, tokens, keep
        self.sums, self.kinds, self.active, self.mask, self.handles = {}, {}, None, None, []
        self.labels_name, self.probes, self.samples, self.classes = labels, int(probes), {}, None
        self.n_classes, self.by_class = int(classes), {}
        self.n_lanes, self.batch, self.batches = int(lanes), -1, {}  # the last call of the model in this epoch; outputs by layer
        if self.n_lanes == 1 or self.n_lanes < 0 or self.n_lanes > 1024:
            raise MomentsError(f"lanes is {lanes}; it must be 0, or from 2 to 1024")
        self.writer = None
        self.ran = {"outside": False, "inside": False}
        self.end = weakref.finalize(self, warn_of_forgotten_epochs, self.ran)
        try:
            if model is not None:
                self.attach(model, layers)
            if part is None:
                part, parts, run = place_among_processes(to)
            self.writer = None if to is None else moments.Writer(to, part, parts, run, self.anew)
        except BaseException:
            self.close()  # so that a corrected call finds neither hooks nor a locked file
            raise

    # ---- hooks ----

    def attach(self, model, layers):
        import torch
        model = getattr(model, "_orig_mod", model)  # of torch.compile
        if isinstance(model, torch.nn.parallel.DistributedDataParallel):
            model = model.module
        model = getattr(model, "_orig_mod", model)
        self.torch = torch
        if not isinstance(model, torch.nn.Module):
            raise MomentsError(f"the model is {model!r}; it must be a module of PyTorch, or None for accumulate()")
        self.chosen, functions = select(torch, model, layers)
        for name in self.chosen:
            check_name(name)
        self.asked = {layers} if isinstance(layers, str) else {name for name in layers or () if isinstance(name, str)}
        self.signature = inspect.signature(model.forward)
        for name in (self.mask_name, self.labels_name):
            if name is not None:
                check_argument(self.signature, name)
        if self.mask_name is not None or self.labels_name is not None:
            self.handles.append(model.register_forward_pre_hook(Hook(torch, self.find_arguments), with_kwargs=True))
        if self.n_lanes:
            self.handles.append(model.register_forward_pre_hook(Hook(torch, self.count_batch)))
        if functions:
            self.handles.append(Functions(torch, model, functions, Hook(torch, self.add_output)))
            self.chosen.update({name: None for name in self.handles[-1].names})
        for name, module in self.chosen.items():
            if module is not None:
                self.handles.append(module.register_forward_hook(Hook(torch, self.hook(name))))
        if hasattr(torch, "_dynamo"):  # a model that was compiled and called before has no hooks in its graph
            torch._dynamo.reset()

    def count_batch(self, *_):
        if not in_backward(self.torch):
            self.batch += 1

    def find_arguments(self, model, arguments, named):
        given = self.signature.bind_partial(*arguments).arguments | named
        self.mask = given.get(self.mask_name)
        if self.mask is None and self.mask_name is not None and self.active is not None:
            warnings.warn(f"a call of the model has no {self.mask_name}, so all of its tokens count", stacklevel=2)
        if self.labels_name is not None:
            self.labels(given.get(self.labels_name))

    def labels(self, classes):
        """Gives the classes (N) of the samples that the model gets next; None for none."""
        if hasattr(classes, "detach"):
            classes = classes.detach().cpu().numpy()
        self.classes = None if classes is None else np.asarray(classes)
        if self.classes is not None and self.classes.ndim != 1 and (self.probes or self.n_classes):
            raise MomentsError(f"the classes have shape {self.classes.shape}; they must be one integer for each sample")

    def hook(self, name):
        def add(module, _, output):
            if module is self.chosen[name]:
                self.add_output(name, module, output)
            else:
                refuse_replica(module)
        return add

    def add_output(self, name, module, output):
        """Adds the output of a module, or of a function (module None)."""
        if self.active is None:
            self.ran["outside"] = True
            return
        if in_backward(self.torch):
            return
        if unpacked := unpack(self.torch, module, output, self.mask):
            self.add_unpacked(name, module, *unpacked)
            return
        self.kinds.setdefault(name, "function" if module is None else type(module).__name__)
        with self.torch.no_grad(), self.torch.autocast(device_of(output), enabled=False):
            rows = self.rows(name, module, output)
            if self.keep is not None:
                rows = rows.to(self.keep)
            self.add(name, rows)
            if self.classes is not None and (self.probes or self.n_classes):
                value = batch_first(module, tensor_of(self.torch, output).detach())
                if self.probes:
                    self.sample(name, module, value)
                if self.n_classes and len(value) == len(self.classes):
                    self.add_classes(name, rows, self.row_labels(name, module, value))

    def add_unpacked(self, name, module, value, mask):
        """Adds an output with a mask of its own."""
        before, self.mask = self.mask, mask
        try:
            self.add_output(name, module, value)
        finally:
            self.mask = before

    def row_labels(self, name, module, value):
        """The class of each row: the classes take the way of the outputs."""
        channel = 1 if has_channels_first(self.torch, module, value) else value.dim() - 1
        shape = [1 if axis == channel else size for axis, size in enumerate(value.shape)]
        labels = self.torch.as_tensor(self.classes, device=value.device).double().reshape(-1, *(1,) * (value.dim() - 1)).expand(shape)
        return self.flat(name, module, labels).reshape(-1).round().long().cpu().numpy()

    def sample(self, name, module, value):
        """Keeps pooled features of a batch. An output without one row for each sample has no probe."""
        if len(value) != len(self.classes):
            return

        def take(rows):
            rows = self.torch.as_tensor(rows, device=value.device)
            some = channels_last(self.torch, module, value[rows]).float()
            if self.mask is not None and is_tokens(self.torch, module, value):
                counts = self.mask.to(some.device)[rows].bool().unsqueeze(2)
                return ((some * counts).sum(dim=1) / counts.sum(dim=1).clamp(min=1)).cpu().numpy()
            return (some.flatten(1, -2).mean(dim=1) if some.dim() > 2 else some).cpu().numpy()
        self.samples.setdefault(name, Sample(self.probes)).add(self.classes, take)

    def rows(self, name, module, output):
        """The rows of an output: (rows, channels) or (samples, positions, channels)."""
        value = tensor_of(self.torch, output)
        known = isinstance(module, channels_first(self.torch) + features_last(self.torch))
        if value is None or not 2 <= value.dim() <= (9 if known else 5) or not value.is_floating_point():
            what = f"{value.dtype} of {tuple(value.shape)}" if value is not None else type(output).__name__
            raise MomentsError(f"the output of {name} is {what}; it must be a tensor of floats with shape (N, C), (N, T, C), "
                               "(N, C, H, W) or (N, C, D, H, W); leave this layer out with `layers`")
        return self.flat(name, module, batch_first(module, value.detach()))

    def flat(self, name, module, value):
        if value.dim() == 2:
            return value
        if is_tokens(self.torch, module, value):
            return self.token_rows(name, value)
        return channels_last(self.torch, module, value).flatten(1, -2)

    def token_rows(self, name, value):
        mask = self.mask
        if mask is None:
            rows = {"all": lambda: value.reshape(-1, value.shape[2]), "first": lambda: value[:, 0],
                    "last": lambda: value[:, -1], "mean": lambda: value.mean(dim=1)}
            return rows[self.tokens]()
        if tuple(mask.shape) != tuple(value.shape[:2]):
            raise MomentsError(f"{self.mask_name} has shape {tuple(mask.shape)}, but the output of {name} {tuple(value.shape)}; "
                               "the mask must have one number for each token")
        counts = mask.to(value.device).bool()
        if self.tokens == "all":
            return value[counts]
        some = counts.any(dim=1)
        value, counts = value[some], counts[some]
        if self.tokens == "mean":
            return (value * counts.unsqueeze(2)).sum(dim=1) / counts.sum(dim=1, keepdim=True)
        at = counts.int().argmax(dim=1) if self.tokens == "first" else (
            counts.shape[1] - 1 - counts.flip(1).int().argmax(dim=1))
        return value[self.torch.arange(len(value), device=value.device), at]

    # ---- sums ----

    def add(self, name, rows):
        if name not in self.sums:
            self.sums[name] = LaneSums(rows.shape[-1], max(1, self.n_lanes))
        if self.sums[name].width != rows.shape[-1]:
            raise MomentsError(f"the outputs of {name} have {rows.shape[-1]} columns, and had {self.sums[name].width} before")
        self.batches[name] = self.batches.get(name, -1) + 1
        batch = self.batch if self.batch >= 0 else self.batches[name]  # without a model, or where only a part of it runs
        self.sums[name].add_samples(rows if rows.ndim == 3 else rows[None], batch)

    def add_classes(self, name, rows, labels):
        if len(labels) and labels.max() >= self.n_classes:
            raise MomentsError(f"a sample of {name} has class {labels.max()}, and Tracker(classes={self.n_classes}) has the classes 0 to "
                               f"{self.n_classes - 1}")
        self.by_class.setdefault(name, ClassSums(rows.shape[-1], self.n_classes)).add(rows, labels)

    def accumulate(self, name, array, labels=None):
        """Adds rows of a layer: (N, C), (N, T, C) or (N, H, W, C), channels last, of any library that numpy can read. labels:
        (N) classes, for probes and sums of classes."""
        if self.active is None:
            raise MomentsError("accumulate() works inside `with tracker.epoch(...)`")
        array = np.asarray(array)
        if array.ndim not in (2, 3, 4) or array.dtype.kind != "f":
            raise MomentsError(f"the array of {name} is {array.dtype} of {array.shape}; it must be floats with shape (N, C), "
                               "(N, T, C) or (N, H, W, C)")
        check_name(name)
        self.kinds.setdefault(name, "array")
        self.add(name, array.reshape(-1, array.shape[-1]))
        if (self.probes or self.n_classes) and labels is not None and np.shape(labels) != array.shape[:1]:
            raise MomentsError(f"the labels of {name} have shape {np.shape(labels)}; they must be {array.shape[:1]}, one for "
                               "each sample")
        if self.n_classes and labels is not None:
            rows = array.reshape(-1, array.shape[-1])
            self.add_classes(name, rows, np.repeat(np.asarray(labels), len(rows) // max(1, len(array))))
        if self.probes and labels is not None:
            pool = tuple(range(1, array.ndim - 1))
            self.samples.setdefault(name, Sample(self.probes)).add(
                labels, lambda rows: array[rows].mean(axis=pool, dtype=np.float64) if pool else array[rows])

    @contextlib.contextmanager
    def epoch(self, epoch, split="train"):
        """Measures what runs inside; appends the sums to the file if nothing fails."""
        if split not in moments.SPLITS:
            raise MomentsError(f"split is {split!r}; it must be train or eval")
        if not isinstance(epoch, numbers.Integral) or epoch < 0:
            raise MomentsError(f"epoch is {epoch!r}; it must be an integer of at least 0")
        if self.active is not None:
            raise MomentsError("an epoch is open already")
        self.sums, self.samples, self.by_class, self.batches, self.active = {}, {}, {}, {}, (int(epoch), split)
        self.batch = -1  # so that the lanes of an epoch do not depend on what ran before
        self.ran["inside"] = True
        try:
            yield self
        finally:
            self.active, self.mask, self.classes = None, None, None
        self.check()
        if self.writer is not None:
            by_lane = [sums.states() for sums in self.sums.values()]
            self.writer.append(int(epoch), split, [(name, self.kinds[name], sums.width) for name, sums in self.sums.items()],
                               [together(states) for states in by_lane], self.probes,
                               [self.samples.get(name) for name in self.sums], self.n_classes,
                               [self.by_class.get(name) for name in self.sums], self.n_lanes, by_lane)

    def check(self):
        if not self.sums:
            raise MomentsError("no layer saw a sample in this epoch: the loop must call the model that the tracker got, "
                               "inside `with tracker.epoch(...)`")
        if self.probes and not self.samples:
            warnings.warn("no layer has a sample for probes: give the classes by Tracker(labels=...), tracker.labels(y) before the "
                          "model, or accumulate(name, array, labels)", stacklevel=4)
        if self.n_classes and not self.by_class:
            warnings.warn("no layer knows the classes of its samples: give them by Tracker(labels=...), tracker.labels(y) before the "
                          "model, or accumulate(name, array, labels)", stacklevel=4)
        chosen = getattr(self, "chosen", {})
        # Attention uses the weights of its out_proj, without calling it, and has the same output.
        silent = [name for name in chosen if name not in self.sums and
                  (name in self.asked or type(chosen.get(name.rpartition(".")[0])).__name__ != "MultiheadAttention")]
        for name in silent:
            if name in self.asked:
                raise MomentsError(f"the model never called {name} in this epoch")
        if silent and not getattr(self, "told", False):
            self.told = True
            warnings.warn(f"the model never called {', '.join(silent)}; the file has no such layers", stacklevel=4)

    def log(self, loss=None, accuracy=None):
        """Adds loss and accuracy to the epoch before; None changes nothing."""
        if self.active is not None:
            raise MomentsError("log() comes after the epoch that it belongs to, behind `with tracker.epoch(...)`")
        if self.writer is not None:
            values = {"loss": loss, "accuracy": accuracy}
            self.writer.log({name: float(getattr(value, "detach", lambda: value)()) for name, value in values.items()
                             if value is not None})

    def saturation(self, delta=0.99):
        """{layer: k/width} of what this process has added up in this epoch, or in the last one."""
        states = {name: sums.state() for name, sums in self.sums.items()}
        return {name: moments.saturation(n, moment, delta) for name, (n, _, moment) in states.items()}

    def close(self):
        """Removes the hooks and closes the file."""
        for handle in self.handles:
            handle.remove()
        self.handles = []
        if self.writer is not None:
            self.writer.close()
        self.end()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def warn_of_forgotten_epochs(ran):
    if ran["outside"] and not ran["inside"]:
        warnings.warn("the model ran, but never inside `with tracker.epoch(...)`, so nothing was measured", stacklevel=4)


def place_among_processes(path):
    """(part, parts, run) of torch.distributed, or (0, 1, None). Processes go on with the run of a part that exists: a kill
    can leave the first record in some parts only."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return 0, 1, None
    part, parts = distributed.get_rank(), distributed.get_world_size()
    runs = [None] * parts
    distributed.all_gather_object(runs, (path and moments.run_of(moments.part_path(path, part, parts)), os.urandom(16).hex()))
    return part, parts, next((old for old, _ in runs if old), runs[0][1])


class Hook:
    """A hook of a module. A copied or saved model has one that does nothing, and needs no eigenscope where it is loaded."""

    def __init__(self, torch, function):
        # A compiled graph ends at a hook.
        self.function = getattr(getattr(torch, "compiler", None), "disable", lambda function: function)(function)
        self.__name__ = "eigenscope"  # torch.fx names a call of it so

    def __call__(self, *arguments):
        return self.function(*arguments)

    def __reduce__(self):
        return getattr, (contextlib.nullcontext(), "__exit__")  # takes any arguments, returns None


class Forward:
    """The forward of a model with measured functions. A copied or saved model has its own forward again."""

    def __init__(self, model, graphs):
        self.model, self.graphs = model, graphs
        self.__signature__ = inspect.signature(model.forward)

    def __call__(self, *arguments, **named):
        return self.graphs[self.model.training](*arguments, **named)

    def __reduce__(self):
        return getattr, (self.model, "forward")


class Functions:
    """Measures outputs of functions: the forward of the model becomes its torch.fx graph with calls of `add` in it, one
    graph for training and one for inference, because traced code keeps the mode that it was traced in."""

    def __init__(self, torch, model, patterns, add):
        self.model, self.names, graphs = model, [], {}
        mode = {module: module.training for module in model.modules()}
        try:
            for training in (True, False):
                model.train(training)
                graphs[training] = self.tapped(torch, model, patterns, add)
        finally:
            for module, training in mode.items():
                module.training = training

        model.forward = Forward(model, graphs)

    def tapped(self, torch, model, patterns, add):
        try:
            graph = torch.fx.Tracer().trace(model)
        except Exception as error:  # tracing runs code of the user
            raise MomentsError(f"no module of the model is named {' or '.join(patterns)}, and torch.fx cannot trace the model to "
                               f"find functions ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from None
        nodes = {node.name: node for node in graph.nodes if node.op in ("call_function", "call_method")}
        for pattern in patterns:
            if not fnmatch.filter(nodes, pattern):
                raise MomentsError(f"no module of the model is named {pattern}, and no function; its modules are "
                                   f"{', '.join(name for name, _ in model.named_modules() if name)}; its functions are "
                                   f"{', '.join(nodes)}")
        for name, node in nodes.items():
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                with graph.inserting_after(node):
                    graph.call_function(add, (name, None, node))
                self.names = self.names if name in self.names else self.names + [name]
        return torch.fx.GraphModule(model, graph)

    def remove(self):
        del self.model.forward


def select(torch, model, layers):
    """({name: module} chosen by `layers`, patterns that no module has)."""
    nn = torch.nn
    usual = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear,
             nn.MultiheadAttention, nn.RNNBase)
    layers = usual if layers is None else [layers] if isinstance(layers, (str, type)) else list(layers)
    patterns = [layer for layer in layers if isinstance(layer, str)]
    types = tuple(layer for layer in layers if not isinstance(layer, str))
    for kind in types:
        if not isinstance(kind, type):
            raise MomentsError(f"layers has {type(kind).__name__}(...); it must be of names, as patterns, and types of modules")
    named = {re.sub(r"(^|\.)_orig_mod\b\.?", r"\1", name).rstrip("."): module  # of a part that torch.compile wraps, the part
             for name, module in model.named_modules() if name}
    functions = [pattern for pattern in patterns if not fnmatch.filter(named, pattern)]
    chosen = {name: module for name, module in named.items()
              if isinstance(module, types) or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)}
    if not chosen and not functions:
        raise MomentsError("no module of the model has one of the requested types")
    return chosen, functions


def check_argument(signature, name):
    known = signature.parameters
    if name not in known and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        raise MomentsError(f"the model has no argument {name}; it has {', '.join(known)}")


def check_name(name):
    size = len(str(name).encode())
    if not 1 <= size <= 63:
        raise MomentsError(f"the layer {name!r} has a name of {size} bytes, but the file holds names of 1 to 63 bytes; leave the layer "
                           "out with `layers`, or track a part of the model, as Tracker(model.encoder)")


def batch_first(module, value):
    """Outputs (T, N, C) of PyTorch's recurrent layers, attention and layers of transformers as (N, T, C)."""
    last = getattr(getattr(module, "self_attn", module), "batch_first", True) is False
    return value.transpose(0, 1) if last and value.dim() == 3 else value


def tensor_of(torch, output):
    """The tensor of an output: itself, the first of a tuple, or the first of an output object of Hugging Face."""
    if isinstance(output, torch.Tensor):
        return output
    values = list(output.values()) if hasattr(output, "values") else list(output) if isinstance(output, (tuple, list)) else []
    return next((value for value in values if isinstance(value, torch.Tensor)), None)


def unpack(torch, module, output, mask):
    """(value with padding, mask of its tokens) of an output that holds none: packed sequences of recurrent layers, and nested
    tensors, which nn.TransformerEncoder makes in inference mode; None of other outputs. `mask` gives the length."""
    first = output[0] if isinstance(output, tuple) and output else None
    if isinstance(first, torch.nn.utils.rnn.PackedSequence):
        value, lengths = torch.nn.utils.rnn.pad_packed_sequence(first, getattr(module, "batch_first", True))
        return value, (torch.arange(int(lengths.max()))[None] < lengths[:, None]).to(value.device)
    nested = tensor_of(torch, output)
    if not getattr(nested, "is_nested", False):
        return None
    lengths = torch.tensor([len(part) for part in nested.unbind()], device=nested.device)
    longest = max(int(lengths.max()), 0 if mask is None else mask.shape[-1])
    value = torch.nested.to_padded_tensor(nested, 0.0, (len(lengths), longest, nested.size(-1)))
    there = torch.arange(longest, device=nested.device) < lengths[:, None]
    return value, there if mask is None or mask.shape != there.shape else there & mask.to(there.device).bool()


def device_of(output):
    while not hasattr(output, "device") and output:
        output = next(iter(output.values() if hasattr(output, "values") else output))
    return getattr(getattr(output, "device", None), "type", "cpu")


def channels_first(torch):
    """Modules whose outputs are (N, C, ...)."""
    nn = torch.nn
    kinds = ("Conv", "ConvTranspose", "LazyConv", "BatchNorm", "InstanceNorm", "MaxPool", "AvgPool", "AdaptiveMaxPool",
             "AdaptiveAvgPool")
    return tuple(getattr(nn, f"{kind}{n}d") for kind in kinds for n in (1, 2, 3)) + (nn.GroupNorm, nn.SyncBatchNorm)


def features_last(torch):
    """Modules whose outputs are (N, ..., C)."""
    return torch.nn.Linear, torch.nn.LayerNorm, torch.nn.Embedding


def is_tokens(torch, module, value):
    return value.dim() == 3 and not isinstance(module, channels_first(torch))


def has_channels_first(torch, module, value):
    return isinstance(module, channels_first(torch)) or (value.dim() > 3 and not isinstance(module, features_last(torch)))


def channels_last(torch, module, value):
    return value.movedim(1, -1) if has_channels_first(torch, module, value) else value


def refuse_replica(module):
    if getattr(module, "_is_replica", False):
        raise MomentsError("torch.nn.DataParallel runs copies of the model in threads, which cannot be tracked; use "
                           "DistributedDataParallel, with which each process writes its own part")


def in_backward(torch):
    """True inside a backward pass, where gradient checkpointing calls modules again."""
    graph = getattr(torch._C, "_current_graph_task_id", None)
    return graph is not None and graph() != -1
