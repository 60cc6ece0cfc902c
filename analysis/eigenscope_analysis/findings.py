"""Tables about a sweep, and sentences made from the tables. No assumptions: if the points do not decide a question, the
sentence says so."""
import numpy as np
import pandas as pd

from . import statistics
from .sweep import STABLE, last_finite, width_text

WITHIN = 0.01  # in accuracy: one percentage point
RULE = (f"Among networks that are equal in all but their width (accuracy is the mean over seeds, on the eval split after the "
        f"last epoch), the smallest width within {100 * WITHIN:g} percentage point of the best accuracy is balanced; narrower "
        f"networks are under-parameterised, wider ones over-parameterised. Where one width was tried alone, nothing can be said.")
VERDICTS = ("under-parameterised", "balanced", "over-parameterised")
NOT_COMPARED = "not decidable: no other width"

# Sets of layers for the mean saturation: name, column of Sweep.points, wording in a sentence.
VARIANTS = (("all layers", "saturation", "over all layers but the output"),
            ("without tail layers", "saturation_without_tail", "with the tail layers (by probes) left out"),
            ("before the border layer", "saturation_before_border", "with the border layer and all behind it left out"))


class Findings:
    """tables: name -> DataFrame; sentences: (title, text, verdict or "") in page order."""

    def __init__(self, sweep):
        self.sweep = sweep
        self.generator = np.random.default_rng(0)  # equal files give equal findings
        self.tables, self.sentences = {}, []
        self.complete = sweep.points[sweep.points["complete"]]
        self._networks()
        self._recommend()
        self._effects()
        self._datasets()
        self._stability()
        self._verdicts()
        self._layers()

    def say(self, title, text, numbers=""):
        self.sentences.append({"title": title, "text": text, "numbers": numbers})

    # ---- networks, recommendation, verdict ----

    def _networks(self):
        rows = []
        for network in self.sweep.networks:
            row = dict(network.key, seeds=len(network))
            for name in ("accuracy", "saturation", "saturation_without_tail", "saturation_before_border", "tail_share",
                         "stable_epoch"):
                values = self.sweep.points.loc[network.rows, name].astype(float)
                row[name] = values.mean()
                if name in ("accuracy", "saturation"):
                    row[f"{name}_half_interval"] = statistics.half_width(values)
            rows.append(row)
        self.networks = pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*self.sweep.keys, "seeds", "accuracy", "saturation"])

    def _groups(self, leave_out):
        """Groups of networks that are equal in all axes but one."""
        keys = [k for k in self.sweep.keys if k != leave_out]
        return self.networks.groupby(keys, sort=False, dropna=False) if keys else [((), self.networks)]

    def _recommend(self):
        rows = []
        self.networks["verdict"] = NOT_COMPARED
        if "width" in self.networks:
            for _, group in self._groups("width"):
                group = group[np.isfinite(group["accuracy"])].sort_values("width")
                if group["width"].nunique() < 2:
                    continue
                best = group.loc[group["accuracy"].idxmax()]
                chosen = group[group["accuracy"] >= best["accuracy"] - WITHIN].iloc[0]
                self.networks.loc[group.index, "verdict"] = np.select(
                    [group["width"] < chosen["width"], group["width"] > chosen["width"]], [VERDICTS[0], VERDICTS[2]],
                    VERDICTS[1])
                rows.append({**{k: chosen[k] for k in self.sweep.keys if k != "width"}, "width": width_text(chosen["width"]),
                             "accuracy": chosen["accuracy"], "saturation": chosen["saturation"],
                             "best_width": width_text(best["width"]), "best_accuracy": best["accuracy"],
                             "widths_tried": ", ".join(map(width_text, group["width"])), "seeds": int(group["seeds"].min())})
        self.tables["recommend"] = pd.DataFrame(rows)
        if not rows:
            self.say("Width to choose", "Not decidable: no two networks differ in width alone.")
            return
        at_most = [r for r in rows if r["width"] == r["widths_tried"].split(", ")[-1] and r["best_width"] == r["width"]]
        least = sum(r["width"] == r["widths_tried"].split(", ")[0] for r in rows)
        self.say("Width to choose",
                 f"In {least} of {count(rows, 'problem')} the narrowest network tried is within {100 * WITHIN:g} percentage "
                 f"point of the best accuracy; in {len(at_most)} only the widest is, so that a still wider one may do better.",
                 "table recommend")

    # ---- effects of width and difficulty ----

    def _effects(self):
        rows = []
        for response, variants in (("saturation", VARIANTS), ("accuracy", (("", "accuracy", ""),))):
            for variant, column, words in variants:
                values = self.complete[np.isfinite(self.complete[column].astype(float))]
                if len(values) == 0:
                    if variant:
                        self.say(f"Effects on saturation, {variant}", self._no_tails(variant))
                    continue
                for axis in ("width", "classes"):
                    found = self._rank_correlation(values, column, axis)
                    if found:
                        rows.append({"response": response, "layers": variant, "effect": f"rank correlation with {axis}",
                                     **found})
                rows += [{"response": response, "layers": variant, **row} for row in self._two_factors(values, column)]
                self._say_effects(response, variant, words, [r for r in rows if r["response"] == response
                                                             and r["layers"] == variant])
        self.tables["effects"] = pd.DataFrame(rows, columns=["response", "layers", "effect", "estimate", "low", "high", "unit",
                                                             "comparisons", "points", "seeds", "r_squared"])

        self._say_whether_tails_matter(rows)

    def _say_whether_tails_matter(self, rows):
        """Compares the sign of the effect of a doubling with and without the tail; 0 if its interval contains 0."""
        texts = []
        for effect in ("doubling the width", "doubling the number of classes"):
            found = {r["layers"]: r for r in rows if r["response"] == "saturation" and r["effect"] == effect}
            whole = found.pop("all layers", None)
            for variant, row in found.items() if whole else ():
                same = whole["estimate"] * row["estimate"] > 0
                sure = row["low"] > 0 or row["high"] < 0
                verdict = "holds" if same and sure else "cannot be told from 0" if same or not sure else "turns round"
                if same and row["seeds"] < 2:
                    verdict = "has the same sign (one seed: no interval)"
                texts.append(f"the effect of {effect} {verdict} {variant} ({number(row['estimate'], 1, True)} against "
                             f"{number(whole['estimate'], 1, True)} percentage points)")
        if texts:
            self.say("Do the effects hold without the tail?", sentence("; ".join(texts)), "table effects")

    def _no_tails(self, variant):
        if "tail" in variant:
            return "Not decidable: no probes were fitted, so it is not known which layers are the tail (probe.epochs: last)."
        return "Not decidable: no layer before the border was measured."

    def _seeds(self, values):
        return values["seed"].to_numpy() if "seed" in values else np.zeros(len(values))

    def _rank_correlation(self, values, column, axis):
        """Mean rank correlation over points that are equal in all other axes, seed by seed."""
        if axis not in values or values[axis].nunique() < 2:
            return None
        others = [k for k in self.sweep.axes if k != axis]
        found = []
        for _, group in values.groupby(others, sort=False, dropna=False) if others else [((), values)]:
            r = statistics.spearman(group[axis], group[column])
            if np.isfinite(r):
                found.append((self._seeds(group)[0], r))
        if not found:
            return None
        found = pd.DataFrame(found, columns=["seed", "r"])
        low, high = statistics.bootstrap_mean(found.groupby("seed")["r"].mean(), self.generator)
        return {"estimate": found["r"].mean(), "low": low, "high": high, "unit": "1", "comparisons": len(found),
                "points": len(values), "seeds": found["seed"].nunique()}

    def _two_factors(self, values, column):
        """Least squares on log2 width, log2 classes and their product (each centred), with a constant for each combination of
        the other axes."""
        factors = [f for f in ("width", "classes") if f in values and values[f].nunique() > 1]
        if not factors:
            return []
        others = [k for k in self.sweep.keys if k not in ("width", "classes")]
        groups = values.groupby(others, sort=False, dropna=False).ngroup() if others else pd.Series(0, index=values.index)
        constants = (groups.to_numpy()[:, None] == np.unique(groups)[None, :]).astype(float)
        logs = [np.log2(values[f].to_numpy(float)) for f in factors]
        columns = [log - log.mean() for log in logs]
        names = [f"doubling the {'width' if f == 'width' else 'number of classes'}" for f in factors]
        if len(factors) == 2:
            columns.append(columns[0] * columns[1])
            names.append("interaction: both doubled, beyond the sum")
        design = np.column_stack([*columns, constants])
        if np.linalg.matrix_rank(design) < design.shape[1]:
            return []
        response = 100 * values[column].to_numpy(float)
        fit, r_squared = statistics.least_squares(design, response)
        seeds = self._seeds(values)
        bounds = statistics.bootstrap_least_squares(design, response, seeds, self.generator)
        return [{"effect": name, "estimate": fit[i], "low": bounds[i, 0], "high": bounds[i, 1], "unit": "percentage points",
                 "comparisons": len(values), "points": len(values), "seeds": len(np.unique(seeds)), "r_squared": r_squared}
                for i, name in enumerate(names)]

    def _say_effects(self, response, variant, words, rows):
        title = "Effects on accuracy" if response == "accuracy" else f"Effects on saturation, {variant}"
        if not rows:
            self.say(title, "Not decidable: neither width nor the number of classes varies alone.")
            return
        parts = []
        for axis, more in (("width", "wider networks are"), ("classes", "problems of more classes are")):
            row = next((r for r in rows if r["effect"] == f"rank correlation with {axis}"), None)
            if row is None:
                continue
            word = {"saturation": ("less saturated", "more saturated"), "accuracy": ("less accurate", "more accurate")}[response]
            if abs(row["estimate"]) < 0.1:
                what = f"{more} neither {word[0]} nor {word[1]}"
            else:
                what = f"{more} {word[int(row['estimate'] > 0)]}"
            parts.append(f"{what}: rank correlation {number(row['estimate'], 2)}{bounds(row, 2)} over "
                         f"{count(row['comparisons'], 'comparison')} of points that differ in nothing else{certainty(row)}")
        slopes = [f"{r['effect']} changes it by {number(r['estimate'], 1, True)} percentage points{bounds(r, 1)}"
                  for r in rows if r["effect"].startswith("doubling")]
        slopes += [f"the interaction is {number(r['estimate'], 1, True)}{bounds(r, 1)}"
                   for r in rows if r["effect"].startswith("interaction")]
        text = sentence("; ".join(parts))
        if words:
            text = f"Mean saturation {words}: " + text[:1].lower() + text[1:]
        fit = next((r for r in rows if np.isfinite(r.get("r_squared", np.nan))), None)
        if fit is not None:
            text += f" By least squares on log2: {'; '.join(slopes)} (R² {fit['r_squared']:.2f}, {fit['points']} points)."
        elif not parts:
            text += "it is the same for all points."
        self.say(title, text, "table effects")

    # ---- datasets as difficulty ----

    def _datasets(self):
        if "dataset" not in self.networks or self.networks["dataset"].nunique() < 2:
            return
        others = [k for k in self.sweep.keys if k != "dataset"]
        if "classes" in others and self.networks.groupby("dataset")["classes"].max().nunique() > 1:
            text = " Datasets of other class counts are compared only where the counts are equal."
        else:
            text = ""
        accuracy, saturation = (self.networks.pivot_table(index=others or [lambda _: 0], columns="dataset", values=v,
                                                          observed=True).dropna() for v in ("accuracy", "saturation"))
        if len(accuracy) == 0:
            self.say("Datasets", "Not decidable: no two datasets share a network.")
            return
        order = accuracy.mean().sort_values(ascending=False).index
        self.tables["datasets"] = pd.DataFrame({"dataset": order, "accuracy": accuracy.mean()[order].to_numpy(),
                                                "saturation": saturation.mean()[order].to_numpy(), "networks": len(accuracy)})
        harder = [np.sign((accuracy[a] - accuracy[b]) * (saturation[b] - saturation[a]))
                  for i, a in enumerate(order) for b in order[i + 1:]]
        agree, total = sum(int((h > 0).sum()) for h in harder), sum(len(h) for h in harder)
        listed = ", ".join(f"{d} (accuracy {accuracy[d].mean():.3f}, saturation {100 * saturation[d].mean():.1f} %)" for d in order)
        self.say("Datasets", f"From easy to hard by accuracy, over {count(len(accuracy), 'network')} that all of them share: "
                 f"{listed}. In {agree} of {total} pairs the one with less accuracy is more saturated.{text}", "table datasets")

    # ---- stability ----

    def _stability(self):
        stable, epochs = self.complete["stable_epoch"].astype(float), self.complete["epochs"]
        if self.sweep.stability is None or not np.isfinite(self.sweep.stability).any() or (epochs < 2).all():
            self.say("Epoch of stability", "Not decidable: saturation was not measured after at least two epochs of training.")
            return
        settled = stable[np.isfinite(stable)]
        text = (f"In {len(settled)} of {count(len(stable), 'point')} the correlation of all layers' saturation with the last "
                f"epoch's stays at {STABLE:g} or above before the last epoch.")
        if len(settled):
            share = (settled / epochs[settled.index]).median()
            text += (f" The median point does so from epoch {settled.median():g} on, after {100 * share:.0f} % of the training "
                     f"(earliest {settled.min():g}, latest {settled.max():g}).")
        self.say("Epoch of stability", text, "table points")

    # ---- verdicts, and how soon saturation tells them apart ----

    def _verdicts(self):
        verdict = {key: v for key, v in zip(self._keys_of(self.networks), self.networks["verdict"])}
        points = self.sweep.points.copy()
        points["verdict"] = [verdict.get(k, "none: " + (o or "no result")) if c else f"none: {o}"
                             for k, c, o in zip(self._keys_of(points), points["complete"], points["outcome"])]
        self.tables["points"] = points.drop(columns="complete")
        self.tables["networks"] = self.networks
        counts = self.networks["verdict"].value_counts()
        if not any(v in counts for v in VERDICTS):
            self.say("Over- and under-parameterised", f"{RULE} Here that is so for every network.")
            return
        parts = [f"{counts[v]} {v} (mean saturation {100 * self._mean(v, 'saturation'):.1f} %)" for v in VERDICTS if v in counts]
        text = f"{RULE} Here: {', '.join(parts)}."
        text += self._told_apart()
        named = [name for name in ("points", "networks", "told_apart") if len(self.tables[name])]
        self.say("Over- and under-parameterised", text, f"tables {', '.join(named)}")

    def _keys_of(self, table):
        return [tuple(map(str, row)) for row in table[self.sweep.keys].itertuples(index=False)] if self.sweep.keys else \
            [()] * len(table)

    def _mean(self, verdict, column):
        return self.networks.loc[self.networks["verdict"] == verdict, column].mean()

    def _told_apart(self):
        """Share of pairs (an under- and an over-parameterised network of one problem) in which the former has the higher
        saturation, epoch by epoch."""
        mean = np.stack([mean_known(self.sweep.mean_saturation[n.rows]) for n in self.sweep.networks])
        rows = []
        pairs = [(i, j) for _, group in self._groups("width")
                 for i in group.index[group["verdict"] == VERDICTS[0]] for j in group.index[group["verdict"] == VERDICTS[2]]]
        for at, epoch in enumerate(self.sweep.epochs):
            known = [(i, j) for i, j in pairs if np.isfinite(mean[[i, j], at]).all()]
            if known:
                higher = np.mean([mean[i, at] > mean[j, at] for i, j in known])
                rows.append({"epoch": int(epoch), "pairs": len(known), "under_more_saturated": higher})
        self.tables["told_apart"] = pd.DataFrame(rows, columns=["epoch", "pairs", "under_more_saturated"])
        trained = self.tables["told_apart"].query("epoch > 0")
        if len(trained) == 0:
            return " No problem has both kinds, so it cannot be said whether saturation tells them apart."
        first, last = trained.iloc[0], trained.iloc[-1]
        return (f" Of two networks of one problem the under-parameterised one is the more saturated in "
                f"{100 * first['under_more_saturated']:.0f} % of {count(int(first['pairs']), 'pair')} already at epoch "
                f"{int(first['epoch'])}, and in {100 * last['under_more_saturated']:.0f} % at epoch {int(last['epoch'])}.")

    # ---- layers ----

    def _layers(self):
        sweep, frames = self.sweep, []
        probes = last_probes(sweep)
        for network in sweep.networks:
            layers, first = network.layers, network.first
            frame = pd.DataFrame({"layer": network.names(), "width_of_layer": sweep.layer_width[first][layers].astype(int),
                                  "border": sweep.border[first][layers], "output": sweep.output[first][layers],
                                  "saturation": mean_known(network.last_saturation())})
            with np.errstate(all="ignore"):
                tails = sweep.tail[network.rows][:, layers]
                frame["tail"] = np.where(np.isfinite(tails).any(axis=0), np.nanmax(np.nan_to_num(tails, nan=-1), axis=0), np.nan)
            frame["probe_accuracy"] = np.nan if probes is None else mean_known(probes[network.rows][:, layers])
            for name in reversed(sweep.keys):
                frame.insert(0, name, network.key[name])
            frames.append(frame)
        self.tables["layers"] = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def mean_known(values):
    """Mean of known values over the first axis; NaN without a warning if none is known."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def last_probes(sweep):
    """Accuracy (point, layer) of the last probes on the eval split, or None."""
    if "probe_accuracy" not in sweep.data:
        return None
    accuracy = sweep.values("probe_accuracy", split=sweep.splits.index("eval") if "eval" in sweep.splits else 0)
    return last_finite_over(accuracy)


def last_finite_over(values):
    """(point, probe_epoch, layer) -> (point, layer): the last known value."""

    found = last_finite(np.moveaxis(values, 1, -1))
    return found if np.isfinite(found).any() else None


# ---- words ----

def count(n, what):
    n = len(n) if hasattr(n, "__len__") else int(n)
    return f"{n} {what}{'s' if n != 1 else ''}"


def number(value, digits, sign=False):
    value = round(float(value), digits) + 0.0  # no negative zero
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def bounds(row, digits):
    if not np.isfinite(row["low"]):
        return ""
    return f" (95 % over seeds {number(row['low'], digits)} … {number(row['high'], digits)})"


def certainty(row):
    if row["seeds"] < 2:
        return ", one seed: no interval"
    if row["low"] <= 0 <= row["high"]:
        return ", an interval that holds 0"
    return ""


def sentence(text):
    return text[:1].upper() + text[1:] + "." if text else ""


