"""Numbers of layers do not depend on the scale of their activations; a layer that cannot be solved does not cost the others."""
import glob
import os
import unittest

import h5py
import numpy as np

import harness

JOB = "name: t\nsource: activations\nactivations: {file: acts.h5}\nmeasure: {delta: [0.9, 0.99], method: %s}\n"
SAME = ("intrinsic_dimension", "saturation", "effective_rank", "participation_ratio", "participation_ratio_corrected",
        "stable_rank", "first_component_share", "flags", "samples", "solver")
EXPONENTS = {"f4": (-105, -83, -66, 40, 60, 100, 122), "f8": (-1000, -800, -530, -270, 270, 530, 800, 1015)}


class Scale(harness.Case):
    def setUp(self):
        super().setUp()
        self.generator = np.random.default_rng(3)

    def rows(self, *shape):
        """Correlated numbers, multiples of 2^-12, so that they stay normal when they are scaled."""
        x = self.generator.normal(size=shape) @ (self.generator.normal(size=shape[-1:] * 2) * 0.8 ** np.arange(shape[-1]))
        return np.round(4096 * (0.3 + x * 12 / np.abs(x).max())) / 4096

    def measure(self, layers, ranks=0, method="channelwise", env=None, expect=0):
        with h5py.File(self.folder / "acts.h5", "w", track_order=True) as file:
            for name, values in layers.items():
                file[name] = values
        job = self.write("job.yaml", JOB % method)
        self.output = f"out-{ranks}-{method[:4]}"
        self.done = self.run_program("run", job, "--quiet", "--output", self.output, ranks=ranks, env=env, expect=expect)
        file = h5py.File(glob.glob(f"{self.folder}/{self.output}/points/*.h5")[0])
        self.names = list(file["layer"].asstr()[:])
        return file

    def check_scales(self, ranks, method, *, few=False):
        layers = {}
        shapes = {"narrow": (500, 12), "gram": (500, 700), "map": (500, 2, 2, 16)}
        for kind, exponents in EXPONENTS.items():
            for name, shape in shapes.items():
                x = self.rows(*shape).astype(kind)
                for e in (0, *(exponents[::3] if few else exponents)):
                    layers[f"{kind}_{name}_{e}".replace("-", "m")] = np.ldexp(x, e)
        file = self.measure(layers, ranks, method)
        for i, layer in enumerate(self.names):
            kind, name, exponent = layer.split("_")
            e, first = int(exponent.replace("m", "-")), self.names.index(f"{kind}_{name}_0")
            for field in SAME:
                np.testing.assert_array_equal(file[field][0, 0, i], file[field][0, 0, first], f"{layer} {field}")
            with np.errstate(over="ignore", under="ignore"):  # beyond double: Inf or 0
                for field in ("eigenvalues", "trace"):
                    np.testing.assert_array_equal(file[field][0, 0, i], np.ldexp(file[field][0, 0, first], 2 * e), f"{layer} {field}")
        return file

    def test_powers_of_two(self):
        files = [self.check_scales(1, "channelwise")]
        self.assertIn("layer f8_narrow_m1000: the eigenvalues or the trace do not fit double (Inf or 0); the other numbers are valid",
                      self.done.stderr)
        self.generator = np.random.default_rng(3)
        files.append(self.check_scales(3, "channelwise"))
        for field in (*SAME, "eigenvalues"):
            np.testing.assert_array_equal(files[0][field][()], files[1][field][()])
        for method in ("mean", "{pool: 2}", "flatten"):
            self.check_scales(0, method, few=True)

    def test_other_factors(self):
        """k at 1e-24 is k at 1, and that of the same values as float64."""
        x = self.rows(500, 12)
        layers = {"plain": x.astype("f4")}
        for power in (-24, -22, 18, 30, 38):
            layers[f"single{power}"] = (x * 10.0 ** power / (20 if power == 38 else 1)).astype("f4")
            layers[f"double{power}"] = layers[f"single{power}"].astype("f8")
        file = self.measure(layers)
        self.assertFalse(file["flags"][0, 0].any())
        for i in range(len(self.names)):
            np.testing.assert_array_equal(file["intrinsic_dimension"][0, 0, i], file["intrinsic_dimension"][0, 0, 0])
            np.testing.assert_allclose(file["effective_rank"][0, 0, i], file["effective_rank"][0, 0, 0], 1e-5)

    def test_neurons_of_different_scales(self):
        """Columns that are small compared with the trace may be lost; columns beside a constant one may not."""
        x = self.rows(600, 20)
        mixed, beside = x.copy(), x * 1e-24
        mixed[:, ::2] *= 1e-24
        beside[:, 3] = 1.0
        file = self.measure({"mixed": mixed.astype("f4"), "half": x[:, 1::2].astype("f4"), "beside": beside.astype("f4"),
                             "constant": np.where(np.arange(20) == 3, 1.0, x).astype("f4"), "dead": np.full((600, 5), 1e-30, "f4"),
                             "late": (x * np.where(np.arange(600) < 400, 1e-30, 1e10)[:, None]).astype("f4"),
                             "rest": (x * np.where(np.arange(600) < 400, 0, 1)[:, None]).astype("f4")})
        k = dict(zip(self.names, file["intrinsic_dimension"][0, 0].tolist()))
        self.assertEqual(k["mixed"], k["half"])
        self.assertEqual(k["beside"], k["constant"])
        self.assertEqual(k["late"], k["rest"])
        self.assertEqual(dict(zip(self.names, file["flags"][0, 0]))["dead"], 1)

    def test_seventy_layers_without_bias(self):
        """Linear + ReLU, initialised as by PyTorch: activations shrink to 1e-28."""
        d, layers = 32, {}
        x = self.generator.normal(size=(800, d)).astype("f4")
        for i in range(70):
            bound = np.float32(d ** -0.5)
            x = x @ self.generator.uniform(-bound, bound, (d, d)).astype("f4")
            if i % 10 == 9:
                layers[f"linear{i}"], layers[f"double{i}"] = x, x.astype("f8")
            x = np.maximum(x, 0)
        self.assertLess(x.max(), 1e-25)
        file = self.measure(layers)
        for i in range(0, len(self.names), 2):
            np.testing.assert_array_equal(file["intrinsic_dimension"][0, 0, i], file["intrinsic_dimension"][0, 0, i + 1])
        self.assertFalse(file["flags"][0, 0].any())

    @harness.not_sanitized("their library must be loaded first")
    def test_unsolvable_layer(self):
        layers = {"first": self.rows(200, 8), "bad": self.rows(200, 13), "last": self.rows(200, 9)}
        for ranks in (0, 3):
            file = self.measure(layers, ranks, env={"LD_PRELOAD": os.environ["EIGENSCOPE_UNSOLVABLE"]})
            flags = dict(zip(self.names, file["flags"][0, 0]))
            self.assertEqual(flags, {"first": 0, "bad": 16, "last": 0})
            self.assertRegex(self.done.stderr, "warning: layer bad: no eigensolver passed its check.*: dsyevd")
            bad = self.names.index("bad")
            self.assertTrue(np.isnan(file["eigenvalues"][0, 0, bad]).all() and np.isnan(file["saturation"][0, 0, bad]).all())
            self.assertEqual((file["intrinsic_dimension"][0, 0, bad] == -1).all() and file["solver"][0, 0, bad], 0)
            self.assertEqual(file.attrs["outcome"], "complete")
            self.assertTrue((file["intrinsic_dimension"][0, 0, [self.names.index("first"), self.names.index("last")]] > 0).all())
            shown = self.run_program("show", glob.glob(f"{self.folder}/{self.output}/points/*.h5")[0]).stdout
            self.assertIn("s  unsolved: no eigensolver passed its check (left out of the mean)", shown)


if __name__ == "__main__":
    unittest.main()
