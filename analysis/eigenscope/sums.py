"""Rows, mean and centred second moment of the rows of one layer, in numpy or PyTorch.

Rows are gathered in panels of PANEL rows or more. A panel is centred around its own mean and multiplied in float32 (float64
rows in float64); panels are merged in float64 by Chan, Golub and LeVeque (1979, eq. 2.1). Raw second moments are never formed, so
a large mean costs no digits. The cuts between panels depend only on the number of rows, not on the batches.
"""
import functools

import numpy as np

PANEL = 512  # and more in wide layers, where a product's way into float64 costs as much as 512 rows
PANELS_AT_ONCE = 64  # of narrow layers
BLOCKS = 4  # of columns of a wide layer: PyTorch has no product that computes one triangle


class Numpy:
    """The operations of a panel, for numpy arrays."""

    def __init__(self, _=None):
        pass

    def rows(self, array):
        return array if array.dtype == np.float64 else np.asarray(array, dtype=np.float32)

    def zeros(self, *shape):
        return np.zeros(shape)

    def join(self, parts):
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def copy(self, array):
        return array.copy()

    def centred(self, panels):
        """(panels (p, rows, width) less numbers near their means, the means in float64, what the numbers miss of them)."""
        means = panels.mean(axis=1, dtype=np.float64)
        near = means.astype(panels.dtype)
        return panels - near[:, None, :], means, means - near

    def add_products(self, moment, panels):
        for panel in panels:
            moment += panel.T @ panel

    def add_outer(self, moment, rows, weights):
        moment += (rows * weights[:, None]).T @ rows

    def numbers(self, values):
        return np.array(values, dtype=np.float64)

    def numpy(self, array):
        return np.asarray(array)


class Torch:
    """The same for tensors; sums stay on the device of the rows, or go to the CPU where a device has no float64."""

    def __init__(self, like):
        import torch
        self.torch = torch
        self.sums = like.device if like.device.type != "mps" else torch.device("cpu")

    def rows(self, array):
        return array if array.dtype == self.torch.float64 else array.float()

    def zeros(self, *shape):
        with self.torch.inference_mode(False):  # else only inference mode could add to them
            return self.torch.zeros(shape, dtype=self.torch.float64, device=self.sums)

    def double(self, array):
        return array.to(self.sums, self.torch.float64)

    def join(self, parts):
        return parts[0] if len(parts) == 1 else self.torch.cat(parts)

    def copy(self, array):
        return array.clone()

    def centred(self, panels):
        """As above, without float64 copies of panels: means are right to about 1e-7 of the deviation, whose square is nothing.
        Around the first row, a large mean costs no digits and a constant column is exactly 0."""
        first = panels[:, :1].clone()
        panels = panels - first
        means = panels.mean(dim=1, keepdim=True)
        panels -= means
        means = (self.double(first) + self.double(means))[:, 0]
        return panels, means, means[:0]

    def add_products(self, moment, panels):
        """Adds to the lower triangle; of the blocks on the diagonal, to both."""
        width = moment.shape[1]
        blocks = BLOCKS if width >= 256 else 1
        with exact_products(self.torch):
            for i in range(blocks):
                low, high = width * i // blocks, width * (i + 1) // blocks
                products = self.torch.bmm(panels[:, :, low:high].transpose(1, 2), panels[:, :, :high])
                block = moment[low:high, :high]
                if products.device.type == "cpu":
                    for product in products:  # without a copy in float64
                        block += product
                else:
                    block += self.double(products).sum(dim=0)

    def add_outer(self, moment, rows, weights):
        moment.addmm_((rows * weights[:, None]).T, rows)

    def numbers(self, values):
        return self.torch.tensor(values, dtype=self.torch.float64, device=self.sums)

    def numpy(self, array):
        return array.cpu().numpy()


class exact_products:
    """Products of float32 without TensorFloat-32 (GPUs) or bfloat16 (CPUs with AMX), whatever the user's own setting is."""

    def __init__(self, torch):
        self.torch = torch
        kinds = [getattr(getattr(torch.backends, kind, None), "matmul", None) for kind in ("cuda", "mkldnn")]
        self.kinds = [kind for kind in kinds if hasattr(kind, "fp32_precision")]  # PyTorch 2.9 and later

    def __enter__(self):
        if self.kinds:
            self.before = [kind.fp32_precision for kind in self.kinds]
            for kind in self.kinds:
                kind.fp32_precision = "ieee"
        else:
            self.before = self.torch.get_float32_matmul_precision()
            self.torch.set_float32_matmul_precision("highest")

    def __exit__(self, *_):
        if not self.kinds:
            self.torch.set_float32_matmul_precision(self.before)
        for kind, before in zip(self.kinds, self.before):
            kind.fp32_precision = before


LARGE_MAP = 2048  # positions; a sample of a larger map is a transposed view, which no product needs copied


class Sums:
    """The sums of one layer. add() takes (rows, width); state() includes the rows of the last, shorter panel."""

    def __init__(self, width):
        self.width, self.n, self.tools, self.waiting, self.n_waiting = width, 0, None, [], 0
        self.panel = PANEL * min(4, max(1, width // 256))
        self.mean = self.moment = None  # of moment, the lower triangle

    def add(self, rows):
        if self.tools is None:
            self.tools = Numpy() if isinstance(rows, np.ndarray) else Torch(rows)
            self.mean, self.moment = self.tools.zeros(self.width), self.tools.zeros(self.width, self.width)
        rows = self.tools.rows(rows)
        done, total, panel = 0, self.n_waiting + len(rows), self.panel
        if total >= panel and self.n_waiting:  # the open panel first
            done = panel - self.n_waiting
            self.n, self.mean = self.merge(self.moment, self.tools.join(self.waiting + [rows[:done]])[None])
            self.waiting, self.n_waiting = [], 0
        step = panel * max(1, PANELS_AT_ONCE * 64 // max(64, self.width))
        while self.n_waiting == 0 and len(rows) - done >= panel:
            n = min(step, (len(rows) - done) // panel * panel)
            self.n, self.mean = self.merge(self.moment, rows[done:done + n].reshape(-1, panel, self.width))
            done += n
        if done < len(rows):
            self.waiting.append(self.tools.copy(rows[done:]))
            self.n_waiting += len(rows) - done

    def add_samples(self, samples):
        """Adds (samples, positions, width), of which any axis may be the one without gaps."""
        large = samples.shape[1] >= LARGE_MAP
        for rows in samples if large else [samples.reshape(-1, self.width)]:
            self.add(rows)

    def merge(self, moment, panels):
        """Adds panels (p, rows, width) to moment; (rows, mean) of all."""
        count, tools = panels.shape[1], self.tools
        panels, means, left = tools.centred(panels)
        total = self.n + count * len(means)
        common = (self.n * self.mean + count * means.sum(0)) / total
        tools.add_products(moment, panels)
        around = tools.join([left, means - common, (self.mean - common)[None]])
        tools.add_outer(moment, around, tools.numbers([-count] * len(left) + [count] * len(means) + [self.n]))
        return total, common

    def state(self):
        """(rows, mean (width), second moment (width, width)) as numpy arrays."""
        if self.tools is None:
            return 0, np.zeros(self.width), np.zeros((self.width, self.width))
        n, mean, moment = self.n, self.mean, self.tools.copy(self.moment)
        if self.n_waiting:
            n, mean = self.merge(moment, self.tools.join(self.waiting)[None])
        lower = np.tril(self.tools.numpy(moment))
        return n, self.tools.numpy(mean), lower + np.tril(lower, -1).T


class LaneSums:
    """The sums of one layer in lanes: parts of the samples, each with sums of its own."""

    def __init__(self, width, lanes):
        self.width, self.sums = width, [Sums(width) for _ in range(lanes)]

    def add_samples(self, samples, batch):
        self.sums[batch % len(self.sums)].add_samples(samples)

    def states(self):
        return [sums.state() for sums in self.sums]

    def state(self):
        """Of all lanes together."""
        return together(self.states())


class ClassSums:
    """The sums of one layer for each class. Rows whose class is negative belong to none."""

    def __init__(self, width, classes):
        self.width, self.sums = width, [Sums(width) for _ in range(classes)]

    def add(self, rows, labels):
        """labels: (rows) integers in numpy, below the number of classes."""
        rows = rows.reshape(-1, self.width)
        for label in np.unique(labels[labels >= 0]):
            at = np.flatnonzero(labels == label)
            self.sums[label].add(rows[at if isinstance(rows, np.ndarray) else at.tolist()])


def together(sums):
    return functools.reduce(chan, sums)


def chan(a, b):
    """Sums of two sets of rows (Chan, Golub and LeVeque 1979, eq. 2.1)."""
    n = a[0] + b[0]
    if a[0] == 0 or b[0] == 0:
        return a if b[0] == 0 else b
    apart = b[1] - a[1]
    return n, a[1] + apart * (b[0] / n), a[2] + b[2] + np.outer(apart, apart) * (a[0] * b[0] / n)
