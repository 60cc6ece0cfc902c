"""from-phdlab: the job has the grid and the settings of the config, and `plan` accepts it."""
import gzip
import io
import json
import re
import struct
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from conftest import HERE, run_program

from eigenscope_analysis import SchemaError, phdlab
from eigenscope_analysis.__main__ import main

CONFIG = {"model": ["vgg16", "vgg16_XXXS", "vgg19", "vgg19_XXXS", "resnet18"], "epoch": [60], "batch_size": [64, 128],
          "dataset": ["MNIST"], "resolution": [32], "optimizer": ["lrs60"], "metrics": ["Accuracy"], "logs_dir": ["./logs/"],
          "device": ["cuda:0"], "conv_method": ["channelwise"], "delta": [0.99], "data_parallel": [False], "downsampling": [4]}


@pytest.fixture
def config(tmp_path):
    def config(**changes):
        path = tmp_path / "config.json"
        path.write_text(json.dumps({k: v for k, v in {**CONFIG, **changes}.items() if v != "left out"}))
        return path
    return config


def write_mnist(folder):
    folder.mkdir()
    for name in ("train", "t10k"):
        with gzip.open(folder / f"{name}-images-idx3-ubyte.gz", "wb") as file:
            file.write(struct.pack(">HBB3I", 0, 8, 3, 200, 28, 28) + np.zeros((200, 28, 28), np.uint8).tobytes())
        with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(struct.pack(">HBBI", 0, 8, 1, 200) + (np.arange(200) % 10).astype(np.uint8).tobytes())


def test_plan_accepts_the_job(config, tmp_path, small):
    path = config()
    assert main(["from-phdlab", str(path), "--to", str(tmp_path / "job.yaml")]) == 0
    write_mnist(tmp_path / "mnist")
    plan = json.loads(run_program("plan", "job.yaml", "--format", "json", cwd=tmp_path, MNIST=str(tmp_path / "mnist")).stdout)
    found = {(p["axes"]["model"], p["axes"]["width"], p["axes"]["train.batch"]) for p in plan["points"]}
    assert found == {(m, w, b) for m, w in (("vgg16", 1), ("vgg16", 0.0625), ("vgg19", 1), ("vgg19", 0.0625), ("resnet18-7x7", 1))
                     for b in (64, 128)}
    text = (tmp_path / "job.yaml").read_text()
    assert "train: {epochs: 60, optimizer: sgd, learning_rate: 0.1, momentum: 0.9, weight_decay: 5.0e-4, " \
           "schedule: {step: 20, gamma: 0.1}" in text
    assert "method: {nearest: 4}, convention: delve" in text
    assert main(["from-phdlab", str(path), "--to", str(tmp_path / "job.yaml")]) == 1  # the file exists


# ---- the authors' own configurations ----

FIXTURES = HERE.parents[1] / "tests/fixtures/phdlab"  # copies of a few, in folders of their repository that are left out here
CLASSES = {"CIFAR10": 10, "TINY_IMAGENET": 200, "IMAGENETTE": 10, "IMAGEWOOF": 10, "IMAGENET": 1000, "INATURALIST": 1010}


class StandIns:
    """Makes small datasets for the variables in a job, so that `plan` can check all the rest of it."""

    def __init__(self, folder):
        self.folder, self.made = folder, {}

    def make(self, variable):
        name = re.sub(r"_\d+$", "", variable)
        path = self.folder / name
        if name == "MNIST":
            write_mnist(path)
        elif name == "CIFAR100":
            path.mkdir()
            for split in ("train", "test"):
                (path / f"{split}.bin").write_bytes(b"".join(bytes([i // 5, i]) + bytes(3072) for i in range(100)))
        else:
            run_program("data", "synth", "--to", path, "--classes", CLASSES[name], "--train", 2 * CLASSES[name], "--eval", CLASSES[name],
                        "--size", 8, cwd=self.folder)
        return str(path)

    def plan(self, job):
        """The points of `plan`; fails if plan refuses the job."""
        for variable in re.findall(r"\$(\w+)", job):
            name = re.sub(r"_\d+$", "", variable)
            self.made[name] = self.made.get(name) or self.make(variable)
        (self.folder / "job.yaml").write_text(job)
        env = {variable: self.made[re.sub(r"_\d+$", "", variable)] for variable in re.findall(r"\$(\w+)", job)}
        return json.loads(run_program("plan", "job.yaml", "--format", "json", cwd=self.folder, **env).stdout)["points"]


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory, small):
    return StandIns(tmp_path_factory.mktemp("stand-ins"))


def test_fixtures(stand_ins, capsys, tmp_path):
    assert main(["from-phdlab", str(FIXTURES), "--to", str(tmp_path / "jobs")]) == 2
    out = capsys.readouterr().out
    expected = {"blackpadding4": 6, "bmvca10": 12, "noskipVG": 1, "optimized": 5, "section41": 2, "section444": 6, "vgg11": 2, "vgg19r3": 2,
                "width1": 80}
    assert out.endswith("9 of 12 configurations convert. Each job file names its differences from phd-lab.\n")
    assert {p.stem for p in (tmp_path / "jobs").iterdir()} == set(expected)
    for name, points in expected.items():
        found = stand_ins.plan((tmp_path / f"jobs/{name}.yaml").read_text())
        assert len(found) == points and len({p["id"] for p in found}) == points, name
        assert f"yes   {points} point" in next(line for line in out.splitlines() if line.startswith(f"{name}.json")), name
    refused = {line.split()[0]: line for line in out.splitlines() if "  no   " in line}
    assert set(refused) == {"models.json", "icmla.json", "pretrained_rf.json"}
    assert refused["pretrained_rf.json"].endswith(
        "a job has no equivalent for epoch 0 (a job has 1 to 100000); model resnet18_dspl8, resnet36_dspl8 (stages of equal width); model "
        "resnet1001, resnet101, resnet152 (bottleneck blocks in other numbers than resnet50's); model densenet121, densenet161, densenet169, "
        "densenet201 (concatenated layers); optimizer noopt (learning rate 0)")


def test_fixtures_mean_the_same():
    def job(name):
        return phdlab.convert(FIXTURES / f"{name}.json")
    vgg11 = job("vgg11")
    assert "weight_decay: 1.0e-4, schedule: {step: 10, gamma: 0.1}" in vgg11 and "method: {nearest: 1}" in vgg11
    assert "# - IMAGENETTE_134: a file of `eigenscope data pack imagenette2 --to FILE.h5 --shorter 152 --size 134`" in vgg11
    assert "dataset: [imagenette-134]\n    model: [vgg11]\n    width: [1]\n    classes: [all]\n    resolution: [134]" in vgg11
    assert "# Differences from phd-lab:\n# - dataset imagenette-N: phd-lab trains on random parts of the images" in vgg11
    assert "skip: true" in job("section444") and "  resnet50_pc: {resnet: 50, stem: cifar, skip: false}" in job("section444")
    assert "  vgg19t2: {vgg: [64, 64, M, 128, 128, M, 256, 256, 256, M]}" in job("optimized")
    assert "{resnet: 34, stem: imagenet, skip: false}" in job("noskipVG") and "not used: cache_dir, data_parallel" in job("noskipVG")
    assert "fit: pad" in job("blackpadding4") and "augment: [flip]" in job("blackpadding4")
    assert "augment: [flip]}" in job("section41") and "lacks what phd-lab does with imagenet-N" in job("section41").replace("\n#   ", " ")


def shared_archive():
    found = [path for parent in HERE.parents if (path := parent / "shared/data/phdlab-configs.tar.xz").is_file()]
    if not found:
        pytest.skip("shared/data/phdlab-configs.tar.xz is not there")
    return found[0]


def test_all_public_configurations(stand_ins):
    """81 of 201 convert, and `plan` accepts each of them. Prints the summary (pytest -s)."""
    path = shared_archive()
    rows = phdlab.convert_all(path, phdlab.collection(path))
    print(phdlab.summary(rows))
    converted = [job for _, job, _ in rows if job is not None]
    assert len(rows) == 201 and len(converted) >= 80
    for job in converted:
        assert stand_ins.plan(job)
    refused = [sentence for _, job, sentence in rows if job is None]
    assert all(sentence.startswith("a job has no equivalent for ") and "\n" not in sentence for sentence in refused)


def test_archives_and_folders(tmp_path, capsys):
    with tarfile.open(tmp_path / "configs.tar.xz", "w:xz") as archive:
        for name in ("configs/a/noskipVG.json", "configs/models.json", "configs/readme.txt"):
            content = (FIXTURES / name.split("/")[-1]).read_bytes() if name.endswith("json") else b"x"
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert main(["from-phdlab", str(tmp_path / "configs.tar.xz"), "--to", str(tmp_path / "jobs")]) == 2
    assert [str(p.relative_to(tmp_path)) for p in (tmp_path / "jobs").rglob("*.yaml")] == ["jobs/a/noskipVG.yaml"]
    assert "name: a-noskipVG" in (tmp_path / "jobs/a/noskipVG.yaml").read_text()
    assert "1 of 2 configurations convert" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert main(["from-phdlab", str(tmp_path / "empty")]) == 1
    assert "holds no .json files" in capsys.readouterr().err
    (tmp_path / "one").mkdir()
    (tmp_path / "one/good.json").write_text("{}")
    assert main(["from-phdlab", str(tmp_path / "one")]) == 0
    (tmp_path / "cut.tar.xz").write_bytes((tmp_path / "configs.tar.xz").read_bytes()[:200])
    assert main(["from-phdlab", str(tmp_path / "cut.tar.xz")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_needs_no_other_package():
    code = "import sys; sys.modules.update(dict.fromkeys(['h5py', 'h5netcdf', 'numpy', 'pandas', 'xarray', 'matplotlib', 'jinja2']))\n" \
           "from eigenscope_analysis.__main__ import main; sys.exit(main(['from-phdlab', sys.argv[1]]))"
    done = subprocess.run([sys.executable, "-B", "-c", code, str(FIXTURES / "noskipVG.json")], cwd=HERE.parent, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("# From noskipVG.json"), done.stderr


def vgg_parameters(channels, classes=10):
    """Of phd-lab's VGG: convolutions with biases and batch norm, then the head of two linear layers and two batch norms."""
    last = channels[-1]
    convolutions = sum(9 * a * b + b + 2 * b for a, b in zip([3, *channels], channels))
    return convolutions + 2 * last + (last + 1) * (last // 2) + 2 * (last // 2) + (last // 2 + 1) * classes


def test_networks_are_phd_labs(config, tmp_path, small):
    """torchvision's numbers of parameters for ten classes; phd-lab's list AS has 126 channels where the others halve 256."""
    models = {"vgg11": vgg_parameters([64, 128, 256, 256, 512, 512, 512, 512]), "resnet18": 11181642, "resnet34": 21289802,
              "vgg11_S": vgg_parameters([32, 64, 126, 126, 256, 256, 256, 256]),
              "vgg11_XS": vgg_parameters([16, 32, 64, 64, 128, 128, 128, 128]),
              "vgg13_S": vgg_parameters([32, 32, 64, 64, 128, 128, 256, 256, 256, 256]), "resnet50": 23528522, "mobilenetV2": 2236682,
              "vgg16t": vgg_parameters([64, 64, 128, 128, 256, 256, 256, 512]), "vgg19t": vgg_parameters([64, 64, 128, 128] + 4 * [256]),
              "vgg19r1": vgg_parameters(6 * [128] + 5 * [256] + 5 * [512]),
              "vgg16_p2": vgg_parameters([64, 64, 128, 128, 256, 256, 256] + 6 * [512]),
              # Without the 1 x 1 convolutions of 64·128, 128·256 and 256·512 weights, each with its batch norm.
              "resnet18noskip": 11181642 - 64 * 128 - 256 - 128 * 256 - 512 - 256 * 512 - 1024,
              # A 3 x 3 stem has 27 weights for each of 64 channels, a 7 x 7 one 147.
              "PC_ResNet18": 11181642 - 64 * 128 - 256 - 128 * 256 - 512 - 256 * 512 - 1024 - 64 * (147 - 27)}
    write_mnist(tmp_path / "mnist")
    for model, parameters in models.items():
        (tmp_path / "job.yaml").write_text(phdlab.convert(config(model=[model], batch_size=[64])))
        plan = json.loads(run_program("plan", "job.yaml", "--format", "json", cwd=tmp_path, MNIST=str(tmp_path / "mnist")).stdout)
        assert [p["parameters"] for p in plan["points"]] == [parameters], model


def test_defaults_are_phd_labs(config):
    text = phdlab.convert(config(**{k: "left out" for k in CONFIG}))
    assert "model: [resnet18-7x7]" in text and "dataset: [cifar10]" in text
    assert "epochs: 30, batch: 128, optimizer: adam, learning_rate: 0.001" in text and "method: channelwise" in text


def test_what_is_named_twice_is_there_once(config, tmp_path, small):
    path = config(model=["resnet18", "resnet18_XS", "ResNet18", "resnet18_S"], dataset=["MNIST", "mnist"], resolution=[32, 32],
                  epoch=[60, 60], batch_size=[64, 128, 64], optimizer=["lrs60", "lrs60"])
    (tmp_path / "job.yaml").write_text(phdlab.convert(path))
    assert "width: [1, 1/4, 1/2]\n" in (tmp_path / "job.yaml").read_text()
    write_mnist(tmp_path / "mnist")
    plan = json.loads(run_program("plan", "job.yaml", "--format", "json", cwd=tmp_path, MNIST=str(tmp_path / "mnist")).stdout)
    assert len(plan["points"]) == 3 * 2


@pytest.mark.parametrize("changes, sentence", [
    ({"model": ["densenet"]}, "a job has no equivalent for model densenet (concatenated layers)"),
    ({"model": ["vgg99"], "dataset": ["Malaria"], "resolution": [1024, 4]},
     "a job has no equivalent for resolution 1024, 4 (a job has 8 to 512); model vgg99 (not known); dataset Malaria (images of many shapes"),
    ({"model": ["ResNet18_PC_XS"]}, "model ResNet18_PC_XS (a first convolution of 64 channels at every size)"),
    ({"optimizer": ["radam"]}, "optimizer radam (rectified Adam)"),
    ({"optimizer": ["adam", "sgd"]}, "optimizer adam, sgd (a job has one; write a configuration for each)"),
    ({"colour": ["red"]}, "unknown setting colour"),
    ({"epoch": ["many"]}, "epoch must be numbers"),
    ({"model": []}, "model is an empty list"),
    ({"dataset": [1]}, "dataset 1 (not known)"),
    ({"epoch": [float("inf")]}, "epoch must be numbers"),
    ({"conv_method": [{"a": 1}], "downsampling": [True]}, "conv_method {'a': 1} (not known); downsampling True (only channelwise"),
    ({"conv_method": ["mean"]}, "downsampling 4 (only channelwise, to 1 to 64 positions)"),
])
def test_what_has_no_equivalent(config, changes, sentence):
    with pytest.raises(SchemaError) as error:
        phdlab.convert(config(**changes))
    assert str(error.value).startswith(f"{config(**changes)}: ") and sentence in str(error.value)


def test_a_byte_order_mark_is_no_fault(config):
    path = config()
    text = phdlab.convert(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert phdlab.convert(path) == text


def test_no_json(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(SchemaError, match="is no JSON"):
        phdlab.convert(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("[" * 100000)
    with pytest.raises(SchemaError, match="is no JSON"):
        phdlab.convert(tmp_path / "config.json")
