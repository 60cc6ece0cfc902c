"""A sample of a layer's features for probes: balanced over the classes, and the same samples in every layer."""
import numpy as np


def priorities(index):
    """A pseudo-random number for each index (splitmix64; Steele, Lea and Flood 2014)."""
    z = (index.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def allotments(counts, size):
    """How many of `size` samples each class gets: equal shares; what a small class leaves goes to the others."""
    shares, left = np.zeros(len(counts), int), size
    for rank, k in enumerate(np.argsort(counts, kind="stable")):
        shares[k] = min(counts[k], left // (len(counts) - rank))
        left -= shares[k]
    return shares


def balanced(labels, order, size):
    """Indices of at most `size` samples: of each class its allotment with the smallest `order`. Ascending."""
    kinds, where, counts = np.unique(labels, return_inverse=True, return_counts=True)
    kept = [np.flatnonzero(where == k) for k in range(len(kinds))]
    kept = [at[np.argsort(order[at], kind="stable")[:n]] for at, n in zip(kept, allotments(counts, size))]
    return np.sort(np.concatenate(kept))


class Sample:
    """Keeps the features of at most `size` samples. What is kept depends on the order of the samples alone, not on batches:
    allotments of classes only shrink, so what was dropped would never be taken."""

    def __init__(self, size):
        self.size, self.seen = size, 0
        self.index, self.labels, self.features = np.zeros(0, np.int64), np.zeros(0, np.int32), None

    def add(self, labels, take):
        """labels: (n) of the next samples, negative for none; take(rows): features of these rows of the batch, as numpy."""
        labels = np.asarray(labels, dtype=np.int32)
        index = np.arange(self.seen, self.seen + len(labels))
        self.seen += len(labels)
        known = np.flatnonzero(labels >= 0)
        all_labels = np.concatenate([self.labels, labels[known]])
        all_index = np.concatenate([self.index, index[known]])
        kept = balanced(all_labels, priorities(all_index), self.size) if len(all_labels) else np.zeros(0, int)
        old, new = kept[kept < len(self.labels)], kept[kept >= len(self.labels)] - len(self.labels)
        fresh = take(known[new]) if len(new) else None
        parts = [part for part in (self.features[old] if self.features is not None else None, fresh) if part is not None]
        self.features = np.concatenate(parts).astype(np.float32, copy=False) if parts else self.features
        self.labels, self.index = all_labels[kept], all_index[kept]
