"""Tables about a sweep, and sentences made from the tables. A sentence claims a direction only if an interval over seeds says so;
if the points do not decide a question, the sentence says that."""
import numpy as np
import pandas as pd

from . import early, statistics, transfer
from .kinds import OTHER, kind_of, kinds_of
from .steps import ORDERED, Steps, settled
from .sweep import STABLE, last_finite, mean_known, width_text
from .words import bounds, count, direction, equal, listing, number, points_of, sentence

WITHIN = 0.01  # in accuracy: one percentage point
VERDICTS = ("under-parameterised", "balanced", "over-parameterised")
NOT_COMPARED = "not decidable: no other width"
AT_CHANCE = "none: no better than chance"
RULE = (f"Networks that are equal in all but their width and seed are compared. Accuracy is the mean over seeds, on the eval split "
        f"after the last epoch. The smallest width within {100 * WITHIN:g} percentage point of the best accuracy is balanced; "
        f"narrower networks are under-parameterised, wider ones over-parameterised. A network that predicts no better than chance, "
        f"or that has no other width to compare with, gets no verdict.")

# Sets of layers for the mean saturation: name, column of Sweep.points, wording in a sentence.
VARIANTS = (("all layers", "saturation", "over all layers but the output layer"),
            ("without tail layers", "saturation_without_tail", "without the tail layers (by probes) and the output layer"),
            ("before the border layer", "saturation_before_border", "over the layers before the border layer"))
NAMES = {"width": "width", "classes": "number of classes"}


# Optional measures of layers, in the order of the columns of the table of layers.
MEASURES = ("nc1", "nc2_norms", "nc2_angles", "nc3", "nc4", "class_center_accuracy", "lda_rank", "dead_units", "dormant_units",
            "gradient_norm", "gradient_ratio", "weights_frobenius_norm", "weights_spectral_norm", "weights_stable_rank", "weights_alpha",
            "weights_ks_distance", "weights_distance_first", "rankme", "spectral_entropy", "stable_rank", "numerical_rank", "alpha_req",
            "alpha_req_r2", "participation_ratio", "participation_ratio_corrected")


class Findings:
    """tables: name -> DataFrame; sentences: (title, text, where the numbers are) in page order."""

    def __init__(self, sweep):
        self.sweep = sweep
        self.tables, self.sentences = {}, []
        self.complete = sweep.points[sweep.points["complete"]]
        self.at_delta = f"δ = {sweep.delta:g}"
        self._networks()
        self._recommend()
        self._effects()
        self._datasets()
        self._stability()
        self._steps()
        self._verdicts()
        self._probes()
        transfer.add(self)
        self._unsolved()
        self._rounding()
        self._layers()
        self._kinds()
        self._early()
        if self.sweep.foreign:
            self._leave_out()

    def say(self, title, text, numbers=""):
        if self.sweep.foreign and ("Not decidable" in text or "no network gets a verdict" in text):
            return  # nobody asked
        self.sentences.append({"title": title, "text": text, "numbers": numbers})

    def _early(self):
        rates = early.error_rates(self.sweep, early.cases(self.sweep))
        of = rates[rates["number"] == "saturation"]
        if not len(of):
            return
        self.tables["early"] = rates
        guess = float(rates.loc[rates["number"] == early.GUESS, "error_rate"].iloc[0])
        first, last = of.iloc[0], of.iloc[-1]
        self.say("Is it visible early that a wider network would be better?",
                 f"A rule on the mean saturation, fitted on one dataset and tested on the others, errs for {100 * first['error_rate']:.0f} % of the "
                 f"networks after epoch {int(first['epoch'])}, and for {100 * last['error_rate']:.0f} % after epoch {int(last['epoch'])}. "
                 f"Guessing {early.GUESS} errs for {100 * guess:.0f} %.", "early")

    # ---- networks, recommendation, verdict ----

    def _networks(self):
        rows = []
        for network in self.sweep.networks:
            points = self.sweep.points.loc[network.rows]
            row = dict(network.key, seeds=len(network))
            for name in ("accuracy", "saturation", "saturation_without_tail", "saturation_before_border", "tail_share",
                         "stable_epoch"):
                row[name] = points[name].astype(float).mean()
                if name in ("accuracy", "saturation"):
                    row[f"{name}_half_interval"] = statistics.half_width(points[name])
                if name == "accuracy":
                    row["standard_error"], row["standard_error_over"] = standard_error(points)
                    row["delta"] = self.sweep.delta
            row["at_chance"] = bool(points["mcc"].mean() <= points["chance_mcc"].mean())
            rows.append(row)
        self.networks = pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*self.sweep.keys, "seeds", "accuracy", "saturation"])

    def _groups(self, leave_out):
        """Groups of networks that are equal in all axes but one."""
        keys = [k for k in self.sweep.keys if k != leave_out]
        return self.networks.groupby(keys, sort=False, dropna=False) if keys else [((), self.networks)]

    def _recommend(self):
        rows, hopeless = [], 0
        self.networks["verdict"] = NOT_COMPARED
        if "width" in self.networks and len(self.networks):
            self.networks.loc[self.networks["at_chance"], "verdict"] = AT_CHANCE
            for _, group in self._groups("width"):
                group = group[np.isfinite(group["accuracy"])].sort_values("width")
                if group["width"].nunique() < 2:
                    continue
                learned = group[~group["at_chance"]]
                if len(learned) == 0:
                    hopeless += 1
                    continue
                rows.append(self._choose(group, learned))
        self.tables["recommend"] = pd.DataFrame(rows)
        title = "Width to choose"
        chance = (f" In {count(hopeless, 'problem')} no network predicts better than chance, so no width is recommended."
                  if hopeless else "")
        if not rows:
            self.say(title, f"Not decidable.{chance}" if hopeless else "Not decidable: no two networks differ in width alone.")
            return
        widest = sum(r["width"] == r["widths_tried"].split(", ")[-1] for r in rows)
        least = sum(r["width"] == r["widths_tried"].split(", ")[0] for r in rows)
        unsure = sum(not r["certain"] for r in rows)
        self.say(title,
                 f"A problem is a setting of all axes but width and seed. Of {count(rows, 'problem')}: in {least} the narrowest "
                 f"network tried is within {100 * WITHIN:g} percentage point of the best accuracy; in {widest} only the widest is, "
                 f"so a still wider one may do better; in {unsure} the choice is not certain, because a network lies within two "
                 f"standard errors of the {100 * WITHIN:g}-point limit or has one seed.{chance}", "table recommend")

    def _choose(self, group, learned):
        """Gives the networks of one problem their verdicts; returns the row of the table of recommendations."""
        best = learned.loc[learned["accuracy"].idxmax()]
        limit = best["accuracy"] - WITHIN
        chosen = learned[learned["accuracy"] >= limit].iloc[0]
        self.networks.loc[learned.index, "verdict"] = np.select(
            [learned["width"] < chosen["width"], learned["width"] > chosen["width"]], [VERDICTS[0], VERDICTS[2]], VERDICTS[1])
        # The choice rests on the networks up to the chosen one. The best network itself cannot miss the limit.
        rivals = group[(group["width"] <= chosen["width"]) & (group.index != best.name)]
        doubt = 2 * np.hypot(rivals["standard_error"], best["standard_error"])
        return {**{k: chosen[k] for k in self.sweep.keys if k != "width"}, "width": width_text(chosen["width"]),
                "accuracy": chosen["accuracy"], "standard_error": chosen["standard_error"],
                "standard_error_over": chosen["standard_error_over"], "delta": self.sweep.delta, "saturation": chosen["saturation"],
                "best_width": width_text(best["width"]), "best_accuracy": best["accuracy"],
                "best_standard_error": best["standard_error"],
                "certain": bool(((rivals["accuracy"] - limit).abs() > doubt).all() and group["seeds"].min() > 1),
                "widths_tried": ", ".join(map(width_text, group["width"])), "seeds": int(group["seeds"].min())}

    # ---- effects of width and difficulty ----

    def _effects(self):
        rows = []
        self.tables["effects"] = pd.DataFrame()
        if not any(axis in self.complete and self.complete[axis].nunique() > 1 for axis in NAMES):
            self.say("Effects of width and difficulty", "Not decidable: neither width nor the number of classes varies.")
            return
        for response, variants in (("saturation", VARIANTS), ("accuracy", (("", "accuracy", ""),))):
            for variant, column, words in variants:
                values = self.complete[np.isfinite(self.complete[column].astype(float))]
                if len(values) == 0:
                    if variant:
                        self.say(f"Effects on saturation, {variant}", self._no_tails(variant))
                    continue
                found = [self._rank_correlation(values, column, axis) for axis in NAMES]
                found = [{"response": response, "layers": variant, "delta": self.sweep.delta if variant else np.nan, **row}
                         for row in (*filter(None, found), *self._two_factors(values, column))]
                self._say_effects(response, variant, words, found)
                rows += found
        self.tables["effects"] = pd.DataFrame(rows, columns=["response", "layers", "delta", "effect", "estimate", "low", "high",
                                                             "unit", "comparisons", "points", "seeds", "r_squared"])
        self._say_whether_tails_matter(rows)

    def _say_whether_tails_matter(self, rows):
        """Compares the effect of a doubling on the mean saturation over sets of layers with that over all layers."""
        texts = []
        for axis, name in NAMES.items():
            found = {r["layers"]: r for r in rows if r["response"] == "saturation" and r["effect"] == f"doubling the {name}"}
            whole = found.pop("all layers", None)
            if not whole or not found:
                continue
            told = []
            for variant, row in found.items():
                if min(row["seeds"], whole["seeds"]) < 2:
                    verdict = ""
                elif equal(row) or equal(whole):
                    verdict = ": not compared, because seeds that are equal have no interval"
                elif direction(row) == 0:
                    verdict = ": the interval contains 0"
                else:
                    verdict = ": the same direction" if direction(row) == direction(whole) else \
                        ": the opposite direction" if direction(whole) else ": a direction that all layers together do not show"
                told.append(f"{points_of(row)} {variant}{bounds(row, 1)}{verdict}")
            texts.append(f"Doubling the {name} changes mean saturation by {points_of(whole)} over all layers{bounds(whole, 1)}; "
                         f"{'; '.join(told)}.")
        if texts:
            if all(r["seeds"] < 2 for r in rows):
                texts.insert(0, "Not decidable, because one seed has no interval over seeds.")
            self.say("Do the effects hold without the tail?", " ".join(texts), "table effects")

    def _no_tails(self, variant):
        if "tail" in variant:
            return "Not decidable: no probes were fitted, so the tail is not known (probe.epochs: last fits them)."
        return "Not decidable: no border layer is known, or no layer before it was measured."

    def _seeds(self, values):
        return values["seed"].to_numpy() if "seed" in values else np.zeros(len(values))

    def _rank_correlation(self, values, column, axis):
        """Mean rank correlation over sets of points that are equal in all other axes. No claim depends on it."""
        if axis not in values or values[axis].nunique() < 2:
            return None
        others = [k for k in self.sweep.axes if k != axis]
        groups = values.groupby(others, sort=False, dropna=False) if others else [((), values)]
        found = [(self._seeds(group)[0], statistics.spearman(group[axis], group[column])) for _, group in groups]
        found = pd.DataFrame(found, columns=["seed", "r"]).dropna(subset="r")
        if len(found) == 0:
            return None
        return {"effect": f"rank correlation with {axis}", "estimate": found["r"].mean(), "low": np.nan, "high": np.nan, "unit": "1",
                "comparisons": len(found), "points": len(values), "seeds": found["seed"].nunique()}

    def _two_factors(self, values, column):
        """Least squares on log2 width, log2 classes and their product (each centred), with a constant for each combination of the
        other axes, for each seed alone. The estimate is the mean over seeds, its interval Student's t. A factor that does not vary
        alone has no row."""
        factors = [f for f in NAMES if f in values and values[f].nunique() > 1]
        if not factors:
            return []
        others = [k for k in self.sweep.keys if k not in NAMES]
        constants = indicators(values, others)
        logs = [np.log2(values[f].to_numpy(float)) for f in factors]
        columns = [log - log.mean() for log in logs]
        names = [f"doubling the {NAMES[f]}" for f in factors]
        response = 100 * values[column].to_numpy(float)
        if len(factors) == 2:
            rows = self._fit([*columns, columns[0] * columns[1]], [*names, "interaction: both doubled, beyond the sum"], constants,
                             response, values)
            if rows:
                return rows
        rows = self._fit(columns, names, constants, response, values)  # no seed determines the interaction
        if rows or len(factors) < 2:
            return rows
        # No seed tells both effects apart, as where each dataset has its own number of classes: each effect among points that are
        # equal in the other factor.
        return [row for i in (0, 1) for row in self._fit(columns[i:i + 1], names[i:i + 1],
                                                         indicators(values, [*others, factors[1 - i]]), response, values)]

    def _fit(self, columns, names, constants, response, values):
        factors = np.column_stack(columns)
        fits = statistics.fits_by_seed(factors, constants, response, self._seeds(values))
        if len(fits) == 0:
            return []
        r_squared = statistics.least_squares(np.column_stack([factors, constants]), response)[1]
        return [{"effect": name, **statistics.mean_interval(fit), "unit": "percentage points", "comparisons": len(values),
                 "points": len(values), "r_squared": r_squared} for name, fit in zip(names, fits.T)]

    def _say_effects(self, response, variant, words, rows):
        title = "Effects on accuracy" if response == "accuracy" else f"Effects on saturation, {variant}"
        by_name = {r["effect"]: r for r in rows}
        found = [axis for axis in NAMES if f"doubling the {NAMES[axis]}" in by_name]
        if not found:
            self.say(title, "Not decidable: neither width nor the number of classes varies alone.")
            return
        parts = [f"Mean saturation {words} ({self.at_delta})."] if words else []
        fit = by_name[f"doubling the {NAMES[found[0]]}"]
        if fit["seeds"] < 2:
            parts.append("No direction is claimed, because one seed has no interval over seeds.")
        parts += [self._effect_of(axis, response, by_name) for axis in found]
        parts += [f"The effect of the {name} is not decidable: it does not vary alone." for axis, name in NAMES.items()
                  if axis not in found and axis in self.complete and self.complete[axis].nunique() > 1]
        product = next((f"; the interaction of both doublings is {points_of(r)}{bounds(r, 1)}" for r in rows
                        if r["effect"].startswith("interaction")), "")
        explained = f", R² {fit['r_squared']:.2f}" if np.isfinite(fit["r_squared"]) else ""
        self.say(title, f"{' '.join(parts)} The fit has {fit['points']} points{explained}{product}.", "table effects")

    def _effect_of(self, axis, response, by_name):
        """One sentence about the effect of an axis. Only an interval over seeds without 0 gives it a direction."""
        row, correlation = by_name[f"doubling the {NAMES[axis]}"], by_name.get(f"rank correlation with {axis}")
        change = f"doubling the {NAMES[axis]} changes {'accuracy' if response == 'accuracy' else 'it'} by {points_of(row)}"
        who = {"width": "Wider networks are", "classes": "Problems of more classes are"}[axis]
        word = {"saturation": ("less saturated", "more saturated"), "accuracy": ("less accurate", "more accurate")}[response]
        if row["seeds"] < 2:
            text = f"In this seed {change}"
        elif direction(row):
            text = f"{who} {word[direction(row) > 0]}: {change}{bounds(row, 1)}"
        else:
            why = "because the seeds are equal, the interval says nothing" if equal(row) else "the interval contains 0"
            text = f"No effect of the {NAMES[axis]} can be claimed: {change}, and {why}{bounds(row, 1)}"
        if correlation:
            text += (f"; the mean rank correlation is {number(correlation['estimate'], 2)} in "
                     f"{count(correlation['comparisons'], 'set')} of points that differ in nothing else")
        return text + "."

    # ---- datasets as difficulty ----

    def _datasets(self):
        if "dataset" not in self.networks or self.networks["dataset"].nunique() < 2:
            return
        others = [k for k in self.sweep.keys if k != "dataset"]
        differ = "classes" in others and self.networks.groupby("dataset")["classes"].max().nunique() > 1
        text = " Datasets are compared at equal numbers of classes alone." if differ else ""
        names = self.networks["dataset"].unique()
        learned = self.networks[~self.networks["at_chance"]]
        accuracy, saturation = (learned.pivot_table(index=others or [lambda _: 0], columns="dataset", values=v, observed=True)
                                .reindex(columns=names).dropna() for v in ("accuracy", "saturation"))
        if len(accuracy) == 0:
            self.say("Datasets", "Not decidable: no network was trained on all datasets and predicts better than chance on each.")
            return
        order = accuracy.mean().sort_values(ascending=False).index
        leads = [self._lead(accuracy.index, others, a, b) for a, b in zip(order, order[1:])]
        table = pd.DataFrame({"dataset": order, "accuracy": accuracy.mean()[order].to_numpy(), "delta": self.sweep.delta,
                              "saturation": saturation.mean()[order].to_numpy(), "networks": len(accuracy)})
        self.tables["datasets"] = table.join(pd.DataFrame(leads, columns=["estimate", "low", "high", "seeds"]).add_prefix("lead_"))
        harder = [np.sign((accuracy[a] - accuracy[b]) * (saturation[b] - saturation[a]))
                  for i, a in enumerate(order) for b in order[i + 1:]]
        agree, total = sum(int((h > 0).sum()) for h in harder), sum(len(h) for h in harder)
        listed = ", ".join(f"{d} (accuracy {accuracy[d].mean():.3f}, saturation {100 * saturation[d].mean():.1f} %)" for d in order)
        ordered = "from easy to hard " if all(direction(lead) > 0 for lead in leads) else ""
        compared = " ".join(self._say_lead(a, b, lead) for a, b, lead in zip(order, order[1:], leads))
        self.say("Datasets", f"Datasets {ordered}by mean accuracy over the {count(len(accuracy), 'network')} trained on all of them and "
                 f"better than chance on each ({self.at_delta}): {listed}. {compared} Of {count(total, 'pair')} of one network on two "
                 f"datasets, the less accurate one is the more saturated in {agree}.{text}", "table datasets")

    def _say_lead(self, a, b, lead):
        claim = f"{a} is easier than {b}" if direction(lead) > 0 else f"It is not decided whether {a} is easier than {b}"
        why = ", and one seed has no interval over seeds" if lead["seeds"] < 2 else ""
        return f"{claim}: their accuracies differ by {points_of(lead)}{bounds(lead, 1)}{why}."

    def _lead(self, networks, others, a, b):
        """Accuracy on dataset a minus that on b: the mean over `networks` (an index of `others`) of each seed; mean and Student's t over
        seeds. `low` and `high` are NaN for one seed."""
        points = self.complete.assign(seed=self._seeds(self.complete))
        table = points.pivot_table(index=[*others, "seed"], columns="dataset", values="accuracy", observed=True)
        lead = 100 * (table[a] - table[b]).dropna()
        of_network = lead.index.droplevel("seed") if others else None
        by_seed = lead[of_network.isin(networks) if others else slice(None)].groupby(level="seed").mean()
        return statistics.mean_interval(by_seed)

    # ---- stability ----

    def _stability(self):
        stable, epochs = self.complete["stable_epoch"].astype(float), self.complete["epochs"]
        if self.sweep.stability is None or not np.isfinite(self.sweep.stability).any() or (epochs < 2).all():
            self.say("Epoch of stability", "Not decidable: saturation was not measured after at least two epochs of training.")
            return
        settled = stable[np.isfinite(stable)]
        text = (f"The saturations of the hidden layers ({self.at_delta}) at an epoch are correlated with those at the last epoch. A "
                f"point is stable from the first epoch from which this correlation stays at {STABLE:g} or above. "
                f"Stable before the last epoch: {len(settled)} of {count(len(stable), 'point')}.")
        if len(settled):
            share = (settled / epochs[settled.index]).median()
            text += (f" Their median is stable from epoch {settled.median():g} on, after {100 * share:.0f} % of the training "
                     f"(earliest {settled.min():g}, latest {settled.max():g}).")
        self.say("Epoch of stability", text, "table points")

    def _steps(self):
        """After how many training steps the final order of layers, and of networks, is there."""
        steps = Steps(self.sweep)
        if not steps.there:
            return
        known = np.isfinite(steps.tau[self.complete.index])
        rows = [{"step": int(step), "epochs": float(mean_known(steps.epochs[self.complete.index, at])), "points": int(known[:, at].sum()),
                 "tau": float(mean_known(steps.tau[self.complete.index, at])),
                 "lowest": float(np.nanmin(steps.tau[self.complete.index, at])), "networks_tau": float(steps.networks_tau[at])} for at, step in enumerate(steps.steps) if known[:, at].any()]
        self.tables["steps"] = pd.DataFrame(rows)
        text = (f"The order of the hidden layers by saturation ({self.at_delta}, eval split) after a training step is compared with that "
                f"{steps.reference}. An order is there from the first measured step from which Kendall's τ with the final order stays at "
                f"{ORDERED:g} or above (nine of ten pairs are ordered alike). ")
        points = steps.of_points()
        there = [(row, at) for row, at in points if at is not None]
        if not points:
            text += "Layers: not decidable, because no complete point has three layers that can be compared."
        elif not there:
            text += f"Layers: the final order is not there at the last measured step in any of {count(points, 'point')}."
        else:
            found = np.array([steps.steps[at] for _, at in there])
            epochs = np.median([steps.epochs[row, at] for row, at in there])
            text += (f"Layers: it is there in {len(there)} of {count(points, 'point')}; in their median from step {np.median(found):g} on, "
                     f"after {epochs:.3g} epochs (earliest step {found.min()}, latest {found.max()}).")
        at = settled(steps.networks_tau)
        if len(self.sweep.networks) < 3 or not np.isfinite(steps.networks_tau).any():
            text += " Networks: not decidable, because fewer than three networks were measured after the same number of steps."
        elif at is None:
            text += f" Networks: the final order of the {len(self.sweep.networks)} is not there at the last measured step."
        else:
            text += (f" Networks: the final order of the {len(self.sweep.networks)} by mean saturation is there from step "
                     f"{int(steps.steps[at])} on (each at its latest measured step).")
        self.say("Inside an epoch", text, "table steps" if rows else "")

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
            self.say("Over- and under-parameterised", f"{RULE} Here no network gets a verdict.")
            return
        parts = [f"{counts[v]} {v} (mean saturation {100 * self._mean(v, 'saturation'):.1f} %)" for v in VERDICTS if v in counts]
        parts += [f"{counts[v]} without a verdict ({v.partition(': ')[2]})" for v in (AT_CHANCE, NOT_COMPARED) if v in counts]
        text = f"{RULE} Here ({self.at_delta}): {', '.join(parts)}. {self._errors()} {self._told_apart()}"
        named = [name for name in ("points", "networks", "told_apart") if len(self.tables[name])]
        self.say("Over- and under-parameterised", text, f"tables {', '.join(named)}")

    def _keys_of(self, table):
        return [tuple(map(str, row)) for row in table[self.sweep.keys].itertuples(index=False)] if self.sweep.keys else \
            [()] * len(table)

    def _mean(self, verdict, column):
        return self.networks.loc[self.networks["verdict"] == verdict, column].mean()

    def _errors(self):
        """The standard errors of the accuracies that the rule compares."""
        parts = []
        for over, words in (("seeds", "over seeds"), ("eval samples", "of one seed, or of equal seeds, from the number of eval samples,")):
            errors = 100 * self.networks.loc[self.networks["standard_error_over"] == over, "standard_error"]
            if len(errors):
                parts.append(f"the standard error of an accuracy {words} is {number(errors.median(), 2)} percentage points in the "
                             f"median network and {number(errors.max(), 2)} at most")
        return sentence("; ".join(parts)) or "The standard error of the accuracies is not known: there is one seed."

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
            return "No problem has both under- and over-parameterised networks, so their saturations are not compared."
        first, last = trained.iloc[0], trained.iloc[-1]
        return (f"Of an under- and an over-parameterised network of one problem, the under-parameterised one has the higher mean "
                f"saturation in {100 * first['under_more_saturated']:.0f} % of {count(int(first['pairs']), 'pair')} at epoch "
                f"{int(first['epoch'])}, and in {100 * last['under_more_saturated']:.0f} % at epoch {int(last['epoch'])}.")

    # ---- probes ----

    def _probes(self):
        """Names the probes whose fit did not meet its tolerance, and those that were not fitted."""
        converged, sweep = self.sweep.probes_converged(), self.sweep
        if converged is None or not np.isfinite(converged).any():
            return
        fitted = np.isfinite(converged)
        failed = converged == 0
        expected = (sweep.layer_names != "")[:, None, :] & fitted.any(axis=2, keepdims=True)
        absent = int((expected & ~fitted).sum())
        text = f"All {count(fitted.sum(), 'probe')} converged."
        if failed.any():
            text = (f"{int(failed.sum())} of {count(fitted.sum(), 'probe')} did not converge: their fits ended before they met the "
                    f"tolerance, so their accuracies, and the tails that follow from them, are not certain. Layers: "
                    f"{sweep.named(failed)}. Points: {listing(sweep.points['point'][failed.any(axis=(1, 2))])}.")
        if absent:
            text += f" {count(absent, 'layer output')} had no probe, because features were not finite."
        self.say("Convergence of the probes", text, "table layers")
        self._probe_path()

    def _probe_path(self):
        """Says which strengths were chosen where `probe.l2` is a list, and which fits of the path did not meet their tolerance."""
        sweep, chosen = self.sweep, self.sweep.values("probe_l2")
        if chosen is None or not np.isfinite(chosen).any():
            return
        path = sweep.data["l2"].values
        known = chosen[np.isfinite(chosen)]
        times = [f"{value:g} ({(known == value).sum()})" for value in path if (known == value).any()]
        text = f"Chosen on held-out samples from l2 = {', '.join(f'{value:g}' for value in path)}, with the number of probes: {', '.join(times)}."
        ends = int(np.isin(known, [path[0], path[-1]]).sum())
        if ends:
            text += f" {count(ends, 'choice')} at an end of the list: a longer list may have a better strength."
        fits = sweep.values("probe_path_converged")  # (point, l2, probe epoch, layer)
        if fits is not None and (fits == 0).any():
            at = [f"l2 = {value:g} ({int((fits[:, i] == 0).sum())})" for i, value in enumerate(path) if (fits[:, i] == 0).any()]
            text += (f" {int((fits == 0).sum())} of {int((fits <= 1).sum())} fits along the path did not converge, so the choice is less certain: "
                     f"{', '.join(at)}. Layers: {sweep.named(fits == 0)}.")
        self.say("Strength of the probes", text, "table layers")

    # ---- layers ----

    def _unsolved(self):
        """Names the layers without numbers, because no eigensolver passed its check."""
        unsolved = self.sweep.unsolved
        if unsolved.any():
            self.say("Unsolved layers", f"{count(unsolved.sum(), 'measurement')} (of a layer in one epoch and split of a point) "
                     f"{'has' if unsolved.sum() == 1 else 'have'} no numbers, because no eigensolver passed its check. Means leave them "
                     f"out. Layers: {self.sweep.named(unsolved)}. Points: "
                     f"{listing(self.sweep.points['point'][unsolved.any(axis=(1, 2, 3))])}.")

    def _rounding(self):
        """Names the layers in bfloat16 whose last counted directions may be rounding errors."""
        rounding = self.sweep.rounding
        if rounding.any():
            self.say("Rounding to bfloat16", f"In {count(rounding.sum(), 'measurement')} (of a layer in one epoch and split of a point) "
                     "the last direction counted at the largest δ has less variance than rounding to bfloat16 adds, so the tail of the "
                     f"spectrum may be rounding errors. Layers: {self.sweep.named(rounding)}. Points: "
                     f"{listing(self.sweep.points['point'][rounding.any(axis=(1, 2, 3))])}.")

    def _measures(self):
        """{name: (point, layer)} of the optional measures of layers that the file has, in the last epoch that has them."""
        found = {}
        for name in MEASURES:
            values = self.sweep.values(name)
            if values is None:
                continue
            if "split" in self.sweep.data[name].dims:
                values = values[:, self.sweep.split_at]
            found[name] = last_finite(np.moveaxis(values, 1, -1))
        return found

    def _layers(self):
        sweep, frames, probes = self.sweep, [], self.sweep.probes
        converged = sweep.probes_converged()
        last = None if converged is None else last_finite(np.moveaxis(converged, 1, -1))
        strengths = sweep.values("probe_l2")
        strengths = None if strengths is None else last_finite(np.moveaxis(strengths, 1, -1))
        for network in sweep.networks:
            layers, first = network.layers, network.first
            frame = pd.DataFrame({"layer": network.names(), "width_of_layer": sweep.layer_width[first][layers].astype(int),
                                  "border": sweep.border[first][layers], "output": sweep.output[first][layers],
                                  "delta": sweep.delta, "saturation": mean_known(network.last_saturation())})
            with np.errstate(all="ignore"):
                tails = sweep.tail[network.rows][:, layers]
                frame["tail"] = np.where(np.isfinite(tails).any(axis=0), np.nanmax(np.nan_to_num(tails, nan=-1), axis=0), np.nan)
            if sweep.foreign and not frame["border"].any():
                frame = frame.drop(columns="border")
            if kinds_of(network.names()) is not None:
                frame.insert(1, "kind", [kind_of(name) for name in network.names()])
            frame["probe_split"] = sweep.probe_split or ""
            frame["probe_accuracy"] = np.nan if probes is None else mean_known(probes[network.rows][:, layers])
            frame["probes_not_converged"] = np.nan if last is None else (last[network.rows][:, layers] == 0).sum(axis=0)
            if strengths is not None:
                frame["probe_l2"] = [", ".join(f"{value:g}" for value in np.unique(column[np.isfinite(column)]))
                                     for column in strengths[network.rows][:, layers].T]
            for name, values in self._measures().items():
                frame[name] = mean_known(values[network.rows][:, layers])
            for name in reversed(sweep.keys):
                frame.insert(0, name, network.key[name])
            frames.append(frame)
        self.tables["layers"] = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


    def _kinds(self):
        """Means over the kinds of layers of transformers."""
        sweep, rows = self.sweep, []
        for network in sweep.networks:
            saturation = mean_known(network.last_saturation())
            probes = None if sweep.probes is None else mean_known(sweep.probes[network.rows][:, network.layers])
            for kind, at in network.kinds() or ():
                if kind == OTHER:
                    continue
                widths = sorted(set(sweep.layer_width[network.first][network.layers][at].astype(int)))
                rows.append({**network.key, "kind": kind, "layers_of_kind": len(at), "width_of_layer": ", ".join(map(str, widths)),
                             "delta": sweep.delta, "saturation": mean_known(saturation[at]), "lowest": np.nanmin(saturation[at], initial=1),
                             "highest": np.nanmax(saturation[at], initial=0), "probe_split": sweep.probe_split or "",
                             "probe_accuracy": np.nan if probes is None else mean_known(probes[at])})
        self.tables["kinds"] = pd.DataFrame(rows)
        if rows:
            means = self.tables["kinds"].groupby("kind", sort=False)["saturation"].mean().sort_values()
            listed = ", ".join(f"{kind} {100 * value:.1f} %" for kind, value in means.items())
            self.say("Kinds of layers", f"Mean saturation ({self.at_delta}, {sweep.split} split) after the last epoch, from low to high: "
                     f"{listed}.", "table kinds")

    def _leave_out(self):
        """Removes columns and tables that only sweeps over widths need."""
        for name, columns in (("points", ("verdict", "chance_mcc")), ("networks", ("at_chance", "verdict"))):
            self.tables[name] = self.tables[name].drop(columns=[c for c in columns if c in self.tables[name]])
        if all(len(network) == 1 for network in self.sweep.networks):
            self.tables.pop("networks", None)  # equal to the points


def indicators(values, axes):
    """(rows, groups): one column of ones and zeros for each combination of the axes."""
    groups = values.groupby(axes, sort=False, dropna=False).ngroup().to_numpy() if axes else np.zeros(len(values))
    return (groups[:, None] == np.unique(groups)[None, :]).astype(float)


def standard_error(points):
    """(standard error of the mean accuracy of the points of a network, what it is over): seeds; for one seed, or equal seeds, the samples of
    the eval split, √(p(1 − p)/n). NaN if neither is known."""
    over_seeds = statistics.standard_error(points["accuracy"])
    if 100 * over_seeds > statistics.ROUNDING:
        return over_seeds, "seeds"
    p, n = points["accuracy"].mean(), points["eval_samples"].mean()
    return (np.sqrt(p * (1 - p) / n), "eval samples") if np.isfinite(p) and np.isfinite(n) else (np.nan, "")
