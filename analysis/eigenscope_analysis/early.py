"""Is it visible early that a wider network would be more accurate? A rule on one number after k epochs, fitted on one dataset and tested
on the others, with its error rate beside those of other numbers.

    python3 -m eigenscope_analysis early SWEEP.h5

A case is a trained network that has a wider neighbour: the next width among networks that are equal in all else but their seed. The
wider one helps if its mean accuracy over seeds exceeds that of the network by more than the network's own accuracies differ among its
seeds (largest minus smallest). The rule says that it helps where the number lies on one side of a threshold; side and threshold make the
fewest errors on the dataset that it is fitted on."""
import itertools

import numpy as np
import pandas as pd

NUMBERS = ("saturation", "training accuracy", "training loss", "probe gain", "width")  # the width is known before training
GUESS = "the majority of the dataset of the fit"
COLUMNS = ["number", "epoch", "errors", "tested", "error_rate"]


def after_epochs(sweep):
    """{number: (point, epoch)}, NaN where it is unknown. The probe gain is that of the last hidden layer over the first."""
    found = {"saturation": sweep.mean_over_layers()}
    at = sweep.splits.index("train") if "train" in sweep.splits else None
    for name, variable in (("training accuracy", "accuracy"), ("training loss", "loss")):
        if at is not None and (values := sweep.values(variable, split=at)) is not None:
            found[name] = values
    if sweep.probe_split is not None:
        accuracy = sweep.values("probe_accuracy", split=sweep.splits.index(sweep.probe_split))  # (point, probe epoch, layer)
        gain = np.full(found["saturation"].shape, np.nan)
        epochs = list(sweep.epochs)
        for k, epoch in enumerate(sweep.data["probe_epoch"].values):
            for point, row in enumerate(accuracy[:, k]):
                hidden = row[np.isfinite(row) & ~sweep.output[point]]
                if len(hidden) and epoch in epochs:
                    gain[point, epochs.index(epoch)] = hidden[-1] - hidden[0]
        found["probe gain"] = gain
    if "width" in sweep.points:
        found["width"] = np.repeat(sweep.points["width"].to_numpy(float)[:, None], len(sweep.epochs), axis=1)
    return found


def cases(sweep):
    """A row for each network with a wider neighbour and each of its seeds: dataset, model, row of the point, helps."""
    rows = []
    groups = {}
    for network in sweep.networks:
        rest = tuple((k, v) for k, v in network.key.items() if k != "width")
        groups.setdefault(rest, []).append(network)
    for networks in groups.values():
        if any("width" not in network.key for network in networks):
            continue
        networks.sort(key=lambda network: network.key["width"])
        for network, wider in itertools.pairwise(networks):
            own = sweep.points.loc[network.rows, "accuracy"].astype(float)
            if len(own) < 2:
                continue
            gain = wider.mean("accuracy") - own.mean()
            dataset, model = (str(sweep.points.loc[network.rows, name].iloc[0]) if name in sweep.points else "" for name in ("dataset", "model"))
            rows += [{"dataset": dataset, "model": model, "row": int(row), "width": network.key["width"], "gain": gain, "spread": own.max() - own.min(),
                      "helps": bool(gain > own.max() - own.min())} for row in network.rows]
    return pd.DataFrame(rows, columns=["dataset", "model", "row", "width", "gain", "spread", "helps"])


def fit(values, helps):
    """(threshold, side) with the fewest errors: it helps where side * (value - threshold) > 0. The first of equal ones."""
    order = np.unique(values)
    thresholds = np.concatenate(([-np.inf], (order[1:] + order[:-1]) / 2, [np.inf]))
    tried = [(np.count_nonzero((side * (values - t) > 0) != helps), i, t, side)
             for side in (1, -1) for i, t in enumerate(thresholds)]
    _, _, threshold, side = min(tried, key=lambda one: (one[0], abs(one[1] - len(thresholds) / 2)))
    return threshold, side


def error_rates(sweep, table):
    """A row for each number and epoch k: errors on the datasets that the rule was not fitted on, over all choices of the dataset of the
    fit. The first row is a guess without a number. Empty unless several datasets have cases. `table`: cases(sweep), or some of them."""
    numbers, rows = after_epochs(sweep), []
    datasets = sorted(set(table["dataset"]))
    if len(datasets) < 2:
        return pd.DataFrame(columns=COLUMNS)

    def add(name, epoch, errors, tested):
        if tested:
            rows.append({"number": name, "epoch": epoch, "errors": errors, "tested": tested, "error_rate": errors / tested})

    sides = [(table[table["dataset"] == one], table[table["dataset"] != one]) for one in datasets]
    add(GUESS, np.nan, sum(np.count_nonzero(test["helps"] != (learn["helps"].mean() > 0.5)) for learn, test in sides),
        sum(len(test) for _, test in sides))
    for name, (k, epoch) in itertools.product(NUMBERS, enumerate(sweep.epochs)):
        values = numbers[name][:, k] if name in numbers and epoch > 0 else np.full(len(sweep.points), np.nan)
        if not len(table) or not np.isfinite(values[table["row"]]).all():
            continue
        errors = tested = 0
        for learn, test in sides:
            threshold, side = fit(values[learn["row"]], learn["helps"].to_numpy())
            errors += np.count_nonzero((side * (values[test["row"]] - threshold) > 0) != test["helps"].to_numpy())
            tested += len(test)
        add(name, int(epoch), errors, tested)
    return pd.DataFrame(rows, columns=COLUMNS)


def describe(table, rates):
    """The error rates by epoch, as text."""
    shown = rates[rates["number"] != GUESS].pivot(index="epoch", columns="number", values="error_rate")
    shown = shown[[name for name in NUMBERS if name in shown]].rename(columns={"width": "width alone"})
    shown.index = [f"after epoch {int(epoch)}" for epoch in shown.index]
    guess = float(rates.loc[rates["number"] == GUESS, "error_rate"].iloc[0])
    return (f"{len(table)} trained networks with a wider neighbour, {int(table['helps'].sum())} of which gain by it\n"
            f"{shown.to_string(float_format=lambda value: f'{100 * value:.0f} %', na_rep='-')}\n{GUESS}: {100 * guess:.0f} %\n")


def run(path):
    """Prints the table of error rates by epoch, for all models together and for each; returns the exit code."""
    from .files import open as open_file
    from .sweep import Sweep
    with open_file(path) as dataset:
        sweep = Sweep(dataset)
        table = cases(sweep)
        rates = error_rates(sweep, table)
        if not len(rates):
            print("not decidable: this needs networks of several widths and at least two seeds on at least two datasets")
            return 2
        print("Error rates of rules that are fitted on one dataset and tested on the others.\n")
        models = sorted(set(table["model"]))
        print(f"{' and '.join(models)}: {describe(table, rates)}")
        for model in models if len(models) > 1 else ():
            part = table[table["model"] == model]
            if len(rates := error_rates(sweep, part)):
                print(f"{model}: {describe(part, rates)}")
    return 0
