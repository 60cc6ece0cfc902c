"""CheckLayerSat with delve's arguments and columns, for scripts that use delve: change the import, and every batch counts.

    from eigenscope import CheckLayerSat       # was: from delve import CheckLayerSat

delve 0.1.50 starts a new covariance with every batch, so its numbers are those of the last batch of an epoch; here they are
those of all batches. Saturation is k/width, k the smallest number of eigenvalues that sum to the share `sat_threshold`. The
moments go to <savefile>.h5 as well, for `source: moments`.
"""
import csv
import os

import numpy as np

from . import moments
from .moments import MomentsError
from .sums import Sums
from .tracker import Tracker, batch_first, device_of, in_backward, refuse_replica, unpack

COLUMNS = {"lsat": "saturation", "idim": "intrinsic-dimensionality", "trc": "covariance-trace", "dtrc": "diagonal-trace",
           "det": "covariance-determinant", "cov": "covariance-matrix"}
METHODS = ("channelwise", "mean", "max", "median", "flatten")


class Table:
    """A column for each number, a row for each epoch, separated by semicolons."""

    def __init__(self, path):
        self.path, self.columns = f"{path}.csv", {}

    def resume_from_saved_state(self, _epoch):
        if os.path.exists(self.path):
            with open(self.path, newline="") as file:
                rows = list(csv.reader(file, delimiter=";"))
            self.columns = {name: [row[i] for row in rows[1:]] for i, name in enumerate(rows[0]) if i}

    def add_scalar(self, name, value, **_):
        if "covariance-matrix" not in name:
            self.columns.setdefault(name, []).append(value)

    def save(self):
        longest = max((len(values) for values in self.columns.values()), default=0)
        with open(f"{self.path}.new", "w", newline="") as file:
            write = csv.writer(file, delimiter=";", lineterminator="\n").writerow
            write([""] + list(self.columns))
            for i in range(longest):
                write([i] + [values[i] if i < len(values) else "" for values in self.columns.values()])
        os.replace(f"{self.path}.new", self.path)

    def close(self):
        pass


class Printer(Table):
    """Prints each number."""

    def add_scalar(self, name, value, **_):
        print(name, ":", value)

    def save(self):
        pass


def writers_of(save_to, savefile, arguments):
    """The writers of a name, an object of delve's, or a list of both."""
    if isinstance(save_to, (list, tuple)):
        return [writer for one in save_to for writer in writers_of(one, savefile, arguments)]
    if hasattr(save_to, "add_scalar"):
        return [save_to]
    if save_to in ("csv", "print"):
        return [{"csv": Table, "print": Printer}[save_to](savefile)]
    try:
        from delve.writers import WRITERS
    except ImportError:
        raise MomentsError(f"save_to is {save_to!r}; without the package delve it must be csv, print or an object with "
                           "add_scalar, save and close") from None
    if save_to not in WRITERS:
        raise MomentsError(f"save_to is {save_to!r}; it must be one of {', '.join(WRITERS)}")
    return [WRITERS[save_to](savepath=savefile, **arguments)]


def named_as_in_delve(modules, wanted):
    """{name: module}: Module-1-Linear of a layer, fc of the fc inside another module. delve drops the first of two equal
    names; here the second one is 1-fc."""
    named = {}
    for i, module in enumerate(modules):
        inside = {f"Module-{i}-{type(module).__name__}": module} if isinstance(module, wanted) else dict(module.named_children())
        named.update({name if name not in named else f"{i}-{name}": part for name, part in inside.items()})
    return named


class CheckLayerSat(Tracker):
    """delve's tracker: hooks that always record, and add_saturations() at the end of an epoch."""

    def __init__(self, savefile, save_to, modules, layer_filter=None, writer_args=None, log_interval=1, max_samples=None,
                 stats=("lsat",), layerwise_sat=True, reset_covariance=True, average_sat=False, ignore_layer_names=(),
                 include_conv=True, conv_method="channelwise", timeseries_method="last_timestep", sat_threshold=0.99,
                 nosave=False, verbose=False, device=None, initial_epoch=0, interpolation_strategy=None,
                 interpolation_downsampling=32):
        for stat in stats:
            if stat not in COLUMNS:
                raise MomentsError(f"stats has {stat!r}; it must be of {', '.join(COLUMNS)}")
        if conv_method not in METHODS:
            raise MomentsError(f"conv_method is {conv_method!r}; it must be one of {', '.join(METHODS)}")
        if timeseries_method not in ("last_timestep", "timestepwise"):
            raise MomentsError(f"timeseries_method is {timeseries_method!r}; it must be last_timestep or timestepwise")
        import torch
        self.stats, self.threshold, self.ignored, self.verbose = stats, float(sat_threshold), ignore_layer_names, verbose
        self.include_conv, self.conv_method, self.timeseries_method = include_conv, conv_method, timeseries_method
        self.filter, self.interval, self.max_samples = layer_filter, log_interval, max_samples
        self.reset, self.layerwise, self.average = reset_covariance, layerwise_sat, average_sat
        self.resize, self.size = interpolation_strategy, interpolation_downsampling
        self.recording, self.epoch_number, self.calls, self.seen = True, initial_epoch, {}, {}
        self.totals = {"train": {}, "eval": {}}
        self.writers = [] if nosave else writers_of(save_to, savefile, writer_args or {})
        self.anew = initial_epoch == 0  # as delve: a run from epoch 0 replaces what is there
        wanted = (torch.nn.Conv2d, torch.nn.Linear, torch.nn.LSTM) if include_conv else (torch.nn.Linear, torch.nn.LSTM)
        if isinstance(modules, (list, tuple)):
            modules = torch.nn.ModuleDict(named_as_in_delve(modules, wanted))
        super().__init__(modules, to=None if nosave else f"{savefile}.h5", layers=list(wanted), keep=device)
        if initial_epoch:
            for writer in self.writers:
                writer.resume_from_saved_state(initial_epoch)
        self.active = (initial_epoch, "train")

    def attach(self, model, layers):
        super().attach(model, layers)
        if self.filter is not None:
            kept = self.filter({name.replace(".", "-"): module for name, module in self.chosen.items()})
            self.chosen = {name: module for name, module in self.chosen.items() if name.replace(".", "-") in kept}

    def hook(self, name):
        def add(module, _, output):
            if self.recording and self.chosen.get(name) is not module:
                refuse_replica(module)
            if not self.recording or self.chosen.get(name) is not module or in_backward(self.torch):
                return
            split = "train" if module.training else "eval"
            self.calls[split, name] = self.calls.get((split, name), 0) + 1
            if self.calls[split, name] % self.interval:
                return
            self.kinds.setdefault(name, type(module).__name__)
            with self.torch.no_grad(), self.torch.autocast(device_of(output), enabled=False):
                value, there = unpack(self.torch, module, output, None) or (output[0] if isinstance(output, tuple) else output, None)
                rows = self.rows(name, module, value, there, split)
                if rows is not None:
                    rows = rows if self.keep is None else rows.to(self.keep)
                    self.totals[split].setdefault(name, Sums(rows.shape[-1])).add_samples(rows if rows.dim() == 3 else rows[None])
        return add

    def rows(self, name, module, value, there, split):
        value = value.detach() if there is None else batch_first(module, value.detach())
        if self.max_samples is not None:
            left = self.max_samples - self.seen.get((split, name), 0)
            if left <= 0:
                return None
            value = value[:left]
            self.seen[split, name] = self.seen.get((split, name), 0) + len(value)
        if there is not None and self.timeseries_method == "last_timestep":
            return value[self.torch.arange(len(value)), there[:len(value)].sum(dim=1) - 1]
        if value.dim() == 3:
            return value[:, -1] if self.timeseries_method == "last_timestep" else value.flatten(1)
        if value.dim() != 4:
            return value.reshape(-1, value.shape[-1])
        if self.resize is not None and max(value.shape[2:]) > self.size:
            value = self.torch.nn.functional.interpolate(value.float(), size=self.size, mode=self.resize)
        flat = value.flatten(2)
        if self.conv_method == "channelwise":
            return flat.transpose(1, 2)
        if self.conv_method == "flatten":
            return value.flatten(1)
        return {"mean": lambda: flat.float().mean(2), "max": lambda: flat.amax(2),
                "median": lambda: flat.median(2).values}[self.conv_method]()

    def is_recording(self):
        return self.recording

    def stop(self):
        self.recording = False

    def resume(self):
        self.recording = True

    def add_scalar(self, name, value, **more):
        for writer in self.writers:
            writer.add_scalar(name, value, **more)

    def add_saturations(self, save=True):
        """Writes the numbers of all batches since the last call, and starts again."""
        for split, totals in self.totals.items():
            states = {name: sums.state() for name, sums in totals.items()}
            shares = []
            for name, (n, mean, moment) in states.items():
                label = name.replace(".", "-")
                if label in self.ignored:
                    continue
                values = self.numbers(n, mean, moment)
                shares.append(values["lsat"])
                for stat in self.stats if self.layerwise else ():
                    self.add_scalar(f"{split}-{COLUMNS[stat]}_{label}", values[stat])
                if self.verbose:
                    print(f"{split} {label}: {values['lsat']:.4f}")
            if self.average and shares:
                self.add_scalar(f"average-{split}-sat", float(np.mean(shares)))
            if self.writer is not None and states:
                self.writer.append(self.epoch_number, split,
                                   [(name, self.kinds[name], len(mean)) for name, (_, mean, _) in states.items()],
                                   list(states.values()))
        self.epoch_number += 1
        if self.reset:
            self.totals, self.seen = {"train": {}, "eval": {}}, {}
        if save:
            self.save()

    def numbers(self, n, mean, moment):
        covariance = moment / max(n, 1)
        finite = n > 0 and bool(np.isfinite(covariance).all())
        share = moments.saturation(n, moment, self.threshold)
        return {"lsat": share, "idim": round(share * len(mean)) if finite else np.nan, "cov": covariance,
                "trc": float(np.trace(covariance)), "dtrc": float(np.trace(covariance)),
                "det": float(np.linalg.det(covariance)) if "det" in self.stats and finite else np.nan}

    def save(self):
        for writer in self.writers:
            writer.save()

    def close(self):
        super().close()
        for writer in self.writers:
            writer.close()
