"""Every family at two widths in a whole run from weights that PyTorch saved: eigenvalues of every layer equal PyTorch's in
float64 to 1e-5 of the largest (tests/fixtures/torch/make_networks.py), and the intrinsic dimensions are equal."""
import h5py
import numpy as np

import harness
import results

NETWORKS = harness.FIXTURES / "torch" / "networks"
DELTAS = [0.5, 0.9, 0.99, 0.999]
JOB = f"""\
name: golden
source: checkpoint
checkpoints: {{files: "{NETWORKS}/{{model}}-{{width}}.safetensors"}}
grid:
  - {{dataset: images, model: [vgg, plain, basic, bottleneck], width: [1/32, 1/16]}}
  - {{dataset: images, model: [imagenet, chain], width: 1/32}}
  - {{dataset: images, model: mobile, width: [1/16, 1/8]}}
  - {{dataset: small, model: mlp, width: [1/64, 1/16], resolution: 16}}
models:
  vgg: {{vgg: vgg11}}
  plain: {{vgg: vgg11, head: torchvision, batch_norm: false}}
  basic: {{resnet: 18}}
  imagenet: {{resnet: 18, stem: imagenet}}
  chain: {{resnet: 18, skip: false}}
  bottleneck: {{resnet: 50}}
  mobile: {{mobilenet: v2}}
datasets:
  images: {{format: hdf5, path: images.h5, normalize: {{mean: [0.5], std: [0.25]}}}}
  small: {{format: hdf5, path: small.h5, normalize: {{mean: [0.5], std: [0.25]}}}}
measure: {{delta: {DELTAS}}}
"""


def explained(values, delta):
    """(smallest number of directions that explain the share, distance of the nearest cumulative share)"""
    shares = np.cumsum(values) / values.sum()
    return int(np.argmax(shares >= delta)) + 1, np.abs(shares - delta).min()


class Golden(results.Case):
    job = JOB

    def setUp(self):
        super().setUp()
        images, _ = results.read_safetensors(NETWORKS / "images.safetensors")
        for name in ("images", "small"):
            with h5py.File(self.folder / f"{name}.h5", "w") as file:
                for split in ("train", "eval"):
                    file[f"{split}/images"], file[f"{split}/labels"] = images[name], images["labels"]

    def test_eigenvalues(self):
        golden, _ = results.read_safetensors(NETWORKS / "golden.safetensors")
        self.run_job("--quiet", ranks=2)
        checked = set()
        for path in self.points().values():
            with h5py.File(path) as file:
                case = f"{file.attrs['model']}-{file.attrs['width']:g}"
                for i, (name, width) in enumerate(zip(file["layer"].asstr(), file["layer_width"])):
                    truth = golden[f"{case}/{name}"]
                    self.assertEqual(len(truth), width)
                    for split in (0, 1):
                        found = file["eigenvalues"][split, 0, i, :width]
                        self.assertLessEqual(np.abs(found - truth).max(), 1e-5 * truth[0], f"{case} {name}")
                        for k, delta in enumerate(DELTAS):
                            expected, margin = explained(truth, delta)
                            if margin > 1e-5:
                                self.assertEqual(file["intrinsic_dimension"][split, 0, i, k], expected, f"{case} {name} {delta}")
                    checked.add(f"{case}/{name}")
                logits = golden[f"{case}/logits"]
                labels = np.arange(len(logits)) % 5
                losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(logits)), labels]
                np.testing.assert_allclose(file["loss"][:, 0], losses.mean(), rtol=1e-4)
        self.assertEqual(checked, {name for name in golden if not name.endswith("/logits")})


if __name__ == "__main__":
    harness.main()
