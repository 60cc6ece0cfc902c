"""Compares a tracker with numpy in float64 over all rows, for the examples beside this file."""
import numpy as np

from eigenscope import moments


class Reference:
    """Plain hooks that add up all rows of some layers in float64, in numpy. rows_of(output) gives the rows of an output."""

    def __init__(self, model, names, rows_of):
        modules, self.sums, self.rows_of = dict(model.named_modules()), {}, rows_of
        self.handles = [modules[name].register_forward_hook(self.hook(name)) for name in names]

    def hook(self, name):
        def add(_module, _inputs, output):
            rows = self.rows_of((output[0] if isinstance(output, tuple) else output).detach()).double().numpy()
            n, total, product = self.sums.get(name, (0, 0, 0))
            self.sums[name] = n + len(rows), total + rows.sum(0), product + rows.T @ rows
        return add

    def remove(self):
        for handle in self.handles:
            handle.remove()

    def covariances(self):
        """{layer: (rows, covariance)}"""
        return {name: (n, product / n - np.outer(total / n, total / n)) for name, (n, total, product) in self.sums.items()}


def eigenvalues(covariance):
    return np.linalg.eigvalsh(covariance)[::-1]


def compare(what, found, reference, delta=0.99):
    """Prints the largest error of an eigenvalue relative to the first, and how many layers have the same k. found: {layer:
    (rows, eigenvalues)}. Returns true if all is well."""
    worst, same = 0.0, 0
    for name, (n, covariance) in reference.items():
        assert found[name][0] == n, f"{name}: {found[name][0]} rows, not {n}"
        want = eigenvalues(covariance)
        worst = max(worst, float(np.abs(found[name][1][:len(want)] - want).max() / want[0]))
        same += moments.count(found[name][1][:len(want)], delta) == moments.count(want, delta)
    print(f"{what}: {len(reference)} layers against numpy in float64: largest error {worst:.1e} of the first eigenvalue, "
          f"k({delta}) equal in {same}")
    return worst <= 1e-6 and same == len(reference)


def of_file(layers):
    """{layer: (rows, eigenvalues)} of what eigenscope.read gives for an epoch and split."""
    return {name: (n, eigenvalues(covariance)) for name, (n, _, covariance) in layers.items()}
