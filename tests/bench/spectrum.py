#!/usr/bin/env python3
"""Eigensolvers side by side by order and number of ranks, as the table in README.md beside this file: `eigenscope bench spectrum`
on 1, 2, 4 ranks.

Eigenvalues alone, float64. A cell is seconds, GFLOP/s (4/3 n^3, whatever the algorithm does) and how many times faster that is than
the best LAPACK on one rank. "each": every rank solves one of its own, seconds are the time over their number; else all ranks
solve one. Rank counts are interleaved; medians over the rounds (3, but 1 above order 4096). About 6 minutes; by hand:
  python3 tests/bench/spectrum.py [--orders 512,1024,2048,4096,8192] [--ranks 1,2,4] [--rounds 3] [--program build/eigenscope]

--fit adds the constants of the cost model in src/spectrum/cost.c, fitted to the same measurements.
"""
import argparse
import collections
import statistics

from machine import describe, ranks

NAMES = {"dsyevd": "dsyevd", "lapack": "two-stage LAPACK", "scalapack": "ScaLAPACK", "elpa": "ELPA"}
EACH_MOST = 4096  # above this order, one solve on each rank adds no information and takes minutes


def measure(program, count, order):
    """Seconds by (solver, who, ranks), and the line about the libraries."""
    who = "alone" if count == 1 else "each,together" if order <= EACH_MOST else "together"
    lines = ranks(count, program, "bench", "spectrum", "--orders", order, "--who", who, "--repeats",
                  3 if order <= 2048 else 1).splitlines()
    rows = [line.split() for line in lines[2:]]
    return {(row[1], row[2], int(row[3])): float(row[5]) for row in rows}, lines[0].split("; ")[1:3]


def heading(key):
    solver, who, count = key
    return f"{NAMES[solver]}, {'each of ' if who == 'each' else ''}{count} rank{'s' if count > 1 else ''}"


def cell(order, seconds, best):
    return f"{seconds:.3g} s, {4e-9 / 3 * order ** 3 / seconds:.0f}, {best / seconds:.2f}"


def fit(rows):
    """Least squares of relative errors, from all (n, P, seconds) of a solver: seconds = (a·n³ + b·n²)/P + c·n·(P > 1)."""
    weighted = [([n ** 3 / p / s, n ** 2 / p / s, n * (p > 1) / s], 1.0) for n, p, s in rows]
    columns = [i for i in range(3) if any(row[i] for row, _ in weighted)]
    while True:  # leave out constants that would be negative
        found = solve([[sum(row[i] * row[j] for row, _ in weighted) for j in columns] for i in columns],
                      [sum(row[i] for row, _ in weighted) for i in columns])
        worst = min(range(len(columns)), key=lambda i: found[i])
        if found[worst] >= 0:
            break
        del columns[worst]
    constants = [found[columns.index(i)] if i in columns else 0.0 for i in range(3)]
    errors = [abs(sum(c * x for c, x in zip(constants, row)) - 1) for row, _ in weighted]
    return constants, max(errors)


def solve(matrix, right):
    """Gaussian elimination without pivoting, for small normal equations."""
    rows = [line + [value] for line, value in zip(matrix, right)]
    for i, row in enumerate(rows):
        for other in rows[:i] + rows[i + 1:]:
            factor = other[i] / row[i]
            other[i:] = [a - factor * b for a, b in zip(other[i:], row[i:])]
    return [row[-1] / row[i] for i, row in enumerate(rows)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", default="512,1024,2048,4096,8192")
    parser.add_argument("--ranks", default="1,2,4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fit", action="store_true", help="also print the constants of src/spectrum/cost.c")
    parser.add_argument("--program", default="build/eigenscope")
    options = parser.parse_args()
    counts = sorted({1, *map(int, options.ranks.split(","))})
    medians = {}
    for order in map(int, options.orders.split(",")):
        seconds = collections.defaultdict(list)
        for _ in range(options.rounds if order <= 4096 else 1):
            for count in counts:
                found, libraries = measure(options.program, count, order)
                for key, value in found.items():
                    seconds[key].append(value)
        if not medians:
            print(f"{describe()}; {'; '.join(libraries)}; medians of {options.rounds} interleaved rounds (1 above order 4096)")
            print("seconds, GFLOP/s, times the best LAPACK on one rank")
            keys = sorted(seconds, key=lambda key: (list(NAMES).index(key[0]), key[1] == "together", key[2]))
            print("| order | " + " | ".join(map(heading, keys)) + " |")
            print("|---" * (len(keys) + 1) + "|")
        medians[order] = {key: statistics.median(values) for key, values in seconds.items()}
        best = min(medians[order]["dsyevd", "alone", 1], medians[order]["lapack", "alone", 1])
        print(f"| {order} | " + " | ".join(cell(order, medians[order][key], best) if key in medians[order] else ""
                                        for key in keys) + " |", flush=True)
    if not options.fit:
        return
    for solver, who in (("lapack", "alone"), ("scalapack", "together")):
        rows = [(order, key[2], value) for order, found in medians.items() for key, value in found.items()
                if key[:2] == (solver, who)]
        if rows:
            constants, error = fit(rows)
            print(f"{solver}: {{{', '.join(f'{c:.3g}' for c in constants)}}}  (within {100 * error:.0f} %)")


if __name__ == "__main__":
    main()
