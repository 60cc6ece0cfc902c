"""analysis/torch_file.py and convert_checkpoint.py: checkpoints that PyTorch 1.13 and 2.15 wrote, read without PyTorch, and files
that are no checkpoints. fixtures/torch/make_checkpoints.py made the checkpoints."""
import collections
import gzip
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import unittest
import zipfile

import h5py
import numpy as np

import harness
import results

sys.path.insert(0, str(harness.SOURCE / "analysis"))
import convert_checkpoint
import torch_file
from convert_checkpoint import ConvertError, convert, read_safetensors, write_safetensors
from torch_file import FileError

try:
    import torch
except ImportError:
    torch = None

CHECKPOINTS = harness.FIXTURES / "torch" / "checkpoints"
VERSIONS = ("1.13", "2.15")
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0ab1\nsize 46830571\n"


class Case(harness.Case):
    def said(self, source, **options):
        """The text about a conversion, or the sentence of its failure."""
        (self.folder / "t.safetensors").unlink(missing_ok=True)
        try:
            return convert(source, self.folder / "t.safetensors", **options)
        except (ConvertError, FileError) as error:
            self.assertFalse((self.folder / "t.safetensors").exists())
            self.assertNotIn("Traceback", str(error))
            return str(error)

    def tensors(self):
        return read_safetensors(self.folder / "t.safetensors")[0]


class Checkpoints(Case):
    NETWORK = {"fc.weight": np.arange(6, dtype="f4").reshape(2, 3), "fc.bias": np.arange(2, dtype="f4") + 1,
               "bn.weight": np.arange(2, dtype="f4") + 2, "bn.bias": np.arange(2, dtype="f4") + 3,
               "bn.running_mean": np.arange(2, dtype="f4") + 4, "bn.running_var": np.arange(2, dtype="f4") + 5,
               "bn.num_batches_tracked": np.array(6)}

    def test_networks(self):
        """With optimizers, settings of Lightning or timm, numbers of numpy 2, whole modules, in both formats: without --trust."""
        for version in VERSIONS:
            for name, words in (("optimizer", " from model_state_dict"), ("older", " from state_dict; removed the prefix module."),
                                ("lightning", " from state_dict; removed the prefix model._orig_mod."), ("module", " from the state_dict"),
                                ("older-module", " from the state_dict"),
                                ("extra", " from the state_dict; left out, because no weights: fc._extra_state, bn._extra_state")):
                with self.subTest(version=version, name=name):
                    self.assertEqual(self.said(CHECKPOINTS / f"{version}-{name}.pt"), "7 tensors, 16 parameters" + words)
                    self.assertEqual(results.different(self.NETWORK, self.tensors()), [])

    def test_views(self):
        """Strides, offsets, bfloat16, parameters, single numbers, empty tensors."""
        for version in VERSIONS:
            self.said(CHECKPOINTS / f"{version}-views.pt")
            arrays, _, dtypes = read_safetensors(self.folder / "t.safetensors")
            expected = {"a": np.arange(12, dtype="f4").reshape(3, 4).T[1:], "b": np.array([0x3f80, 0x4000, 0x4040], "u2"),
                        "p": np.ones(2, "f4"), "n": np.array(7), "none": np.zeros((0, 3), "f4")}
            self.assertEqual(results.different({k: np.ascontiguousarray(v).reshape(v.shape) for k, v in expected.items()}, arrays), [])
            self.assertEqual(dtypes["b"], "BF16")

    def test_refused(self):
        for version in VERSIONS:
            for name, words in (("meta", f"fc.weight {torch_file.NO_VALUES}"),
                                ("sparse", "fc.weight is sparse, which safetensors cannot hold; save it as a dense tensor"),
                                ("script", "is a TorchScript program (torch.jit.save); save its weights with "
                                           "torch.save(torch.jit.load(FILE).state_dict(), \"weights.pt\")")):
                self.assertEqual(self.said(CHECKPOINTS / f"{version}-{name}.pt"), words)
        self.assertEqual(self.said(CHECKPOINTS / "2.15-float8.pt"),
                         "fc.weight has the type float8_e4m3fn, which eigenscope does not read; save it as float32 or bfloat16")

    def test_damage(self):
        """Cut or changed anywhere: one sentence, or the same tensors."""
        for name in ("2.15-lightning", "1.13-older"):
            data = (CHECKPOINTS / f"{name}.pt").read_bytes()
            path = self.folder / "cut.pt"
            for end in range(0, len(data), 97):
                path.write_bytes(data[:end])
                words = self.said(path)
                self.assertRegex(words, "^is (empty|cut off|damaged|no PyTorch)")
                self.assertNotIn("--trust", words)
        whole = bytearray((CHECKPOINTS / "1.13-optimizer.pt").read_bytes())
        at = whole.index(np.arange(6, dtype="<f4").tobytes())
        whole[at + 3] ^= 1
        path.write_bytes(whole)
        self.assertRegex(self.said(path), r"^fc.weight cannot be read: Bad CRC-32")

    def test_numpy_pickles(self):
        """Plain pickles of numpy arrays, with the module names of numpy 1 and 2, as Detectron2 writes them."""
        values = {"model": {"w": np.arange(6.0).reshape(2, 3).T, "big": np.arange(3, dtype=">i4"), "text": np.array(["x"])}}
        data = pickle.dumps(values, 2)
        for change in (data, data.replace(b"numpy.core.multiarray", b"numpy._core.multiarray"), pickle.dumps(values, 5)):
            (self.folder / "d.pkl").write_bytes(change)
            self.assertRegex(self.said(self.folder / "d.pkl"), "^text is a numpy array of U1, not of numbers$")
            self.said(self.folder / "d.pkl", drop=["text"])
            self.assertEqual(results.different({"w": np.ascontiguousarray(values["model"]["w"]), "big": np.arange(3, dtype="<i4")},
                                               self.tensors()), [])

    def test_no_code_runs(self):
        class Evil:
            def __reduce__(self):
                return os.system, (f"touch {self.place}",)
        evil = Evil()
        Evil.place = self.folder / "ran"
        for value in (evil, {"w": np.zeros(2), "x": evil}, collections.OrderedDict(x=[evil])):
            (self.folder / "e.pkl").write_bytes(pickle.dumps(value, 2))
            self.said(self.folder / "e.pkl")
        self.assertFalse(Evil.place.exists())
        self.assertEqual(self.said(self.folder / "e.pkl"), "the file holds no state_dict; it holds: x")
        (self.folder / "e.pkl").write_bytes(pickle.dumps({"model": evil}, 2))
        self.assertEqual(self.said(self.folder / "e.pkl"), "the file holds no state_dict; it holds: model (an object of posix.system); "
                         "--trust reads such objects with PyTorch, but may run code from the file")

    def test_tensors_beyond_their_storage(self):
        data = (CHECKPOINTS / "1.13-views.pt").read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as old:
            members = {info.filename: old.read(info) for info in old.infolist()}
        name = next(name for name in members if name.endswith("data.pkl"))
        shape = b"K\x03K\x03\x86"  # (3, 3) of `a`
        self.assertEqual(members[name].count(shape), 1)
        members[name] = members[name].replace(shape, b"K\x63K\x03\x86")
        with zipfile.ZipFile(self.folder / "far.pt", "w") as new:
            for member, content in members.items():
                new.writestr(member, content)
        self.assertRegex(self.said(self.folder / "far.pt"), r"^a is damaged: it needs \d+ bytes of a storage of 48$")

    @unittest.skipIf(torch is None, "python3-torch is not installed")
    def test_trust(self):
        """Also where weights_only is the default (PyTorch 2.6)."""
        if torch.__version__.startswith("1."):
            self.assertIn("7 tensors", self.said(CHECKPOINTS / "1.13-optimizer.pt", trust=True))
        else:
            self.assertIn("7 tensors", self.said(CHECKPOINTS / "2.15-lightning.pt", trust=True))
            self.assertIn("fc.weight cannot be read: ", self.said(CHECKPOINTS / "2.15-float8.pt", trust=True))
        self.assertIn("(device `meta`, or", self.said(CHECKPOINTS / "1.13-meta.pt", trust=True))
        self.assertRegex(self.said(CHECKPOINTS / "1.13-module.pt", trust=True), "^PyTorch cannot read the file: AttributeError: ")


class OtherFiles(Case):
    def packed(self):
        """(content, sentence) of files that carry the name of a checkpoint and are none."""
        whole = (CHECKPOINTS / "1.13-views.pt").read_bytes()
        tar, archive, arrays, script = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as file:
            file.addfile(tarfile.TarInfo("x.pt"), None)
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("run/x.pt", whole)
        np.savez(arrays, a=np.zeros(2))
        with h5py.File(script, "w") as file:
            file["w"] = 1
        write_safetensors(self.folder / "s", {"a": np.zeros(2)})
        yield b"", "^is empty"
        yield LFS, "^is a pointer of Git LFS, not the file itself of 46830571 bytes; fetch the file with git lfs pull$"
        yield b"\n<!DOCTYPE html><html>", "^is a web page"
        yield b"<?xml version='1.0'?><Error/>", "^is XML text"
        yield b'{"error": "Repository not found"}', "^is JSON text"
        yield b'{"metadata": {}, "weight_map": {}}', "^is an index that names the parts"
        yield b"404: Not Found", "^is text, not a checkpoint; it begins: 404: Not Found$"
        yield gzip.compress(tar.getvalue()), "^is an archive .tar, gzip.; unpack it with tar -xzf"
        yield gzip.compress(whole), "^is compressed by gzip; unpack it with gunzip"
        yield gzip.compress(whole)[:20], "^is compressed by gzip, and damaged or cut off"
        yield tar.getvalue(), "^is an archive .tar.; unpack it with tar -xf"
        yield (self.folder / "s").read_bytes(), "^is a safetensors file, which eigenscope reads as it is"
        yield (self.folder / "s").read_bytes()[:30], "^is a safetensors file that is cut off"
        yield whole[:-30], "^is cut off or damaged: it begins as a zip file"
        yield archive.getvalue(), "^is a zip archive of other files .run/x.pt.; unpack it"
        yield arrays.getvalue(), "^is a NumPy archive"
        yield script.getvalue(), "^is an HDF5 file, perhaps weights of Keras"
        yield b"\x08\x07\x12\x07pytorch\x1a\x052.1.0", "^is an ONNX model"
        yield bytes(5000), "^begins with 4096 bytes of zeros"
        yield b"\x7fELF\2\1\1\0", "^is no PyTorch checkpoint; its first bytes are 7f 45 4c 46 02 01 01 00$"

    def test_first_bytes(self):
        path = self.folder / "model.pt"
        for data, words in self.packed():
            path.write_bytes(data)
            for trust in (False, True):  # --trust gives PyTorch no such file
                self.assertRegex(self.said(path, trust=trust), words)
            self.assertNotIn("trust", self.said(path))

    def test_named_safetensors(self):
        """The program and the way back say the same of files that carry the name of safetensors files."""
        for data, words in ((LFS, "is a pointer of Git LFS"), (b"<!DOCTYPE html>", "is a web page"),
                            ((CHECKPOINTS / "1.13-views.pt").read_bytes(), "a PyTorch file")):
            (self.folder / "x.safetensors").write_bytes(data)
            with self.assertRaisesRegex(ConvertError, words):
                read_safetensors(self.folder / "x.safetensors")


class Paths(Case):
    def test_folders(self):
        file, script = CHECKPOINTS / "1.13-views.pt", harness.SOURCE / "analysis" / "convert_checkpoint.py"
        for source, target, words in ((file, "no/x.safetensors", "there is no folder no for no/x.safetensors; make it with mkdir -p"),
                                      (self.folder, "x.safetensors", "is a folder; name the checkpoint in it"),
                                      (self.folder / "x.pt", "x.safetensors", "there is no such file")):
            done = subprocess.run([sys.executable, script, source, "--to", target], cwd=self.folder, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (1, f"convert_checkpoint: {source}: {words}\n"))


class Prefixes(Case):
    def test_any_order(self):
        """torch.compile, DDP, FSDP, Lightning and averages."""
        own = {"layer1.0.conv1.weight": 1, "fc.weight": 2}
        for prefix in ("module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.module._orig_mod.", "ema_model.module.",
                       "model_ema.", "net._orig_mod.", "_forward_module.model.", "_fsdp_wrapped_module.net.", "model.net.module."):
            self.assertEqual(convert_checkpoint.select({prefix + name: value for name, value in own.items()}),
                             (own, f"; removed the prefix {prefix}"))
        self.assertEqual(convert_checkpoint.select({"model.layer1._orig_mod.0.conv1.weight": 1, "model.fc._orig_mod.weight": 2}),
                         (own, "; renamed model.layer1._orig_mod.0.conv1.weight to layer1.0.conv1.weight, and others so"))
        self.assertEqual(convert_checkpoint.select(own), (own, ""))

    def test_network_beside_others(self):
        state = {"model.fc.weight": 1, "model.fc.bias": 2, "loss.weight": 3}
        plain, said = convert_checkpoint.select(state)
        self.assertEqual((plain, said), (state, "; names begin with model, loss: --only model keeps one part, without this prefix"))
        twice = {**state, "ema_model.module.fc.weight": 4, "ema_model.module.fc.bias": 5}
        with self.assertRaisesRegex(ConvertError, "holds 2 networks with equal names; choose one with --only: model, ema_model$"):
            convert_checkpoint.select(twice)
        self.assertEqual(convert_checkpoint.select(twice, "ema_model")[0], {"fc.weight": 4, "fc.bias": 5})


if __name__ == "__main__":
    harness.main()
