"""Small datasets for the variables in converted jobs, and the authors' public configurations."""
import gzip
import json
import re
import struct

import numpy as np
from conftest import HERE, run_program

CLASSES = {"CIFAR10": 10, "TINY_IMAGENET": 200, "IMAGENETTE": 10, "IMAGEWOOF": 10, "IMAGENET": 1000, "INATURALIST": 1010, "FOOD101": 101,
           "MALARIA": 2, "IMAGENET_SQUARE": 1000, "INATURALIST_SQUARE": 1010}


def public():
    """[(name, text)] of the 201 configurations of github.com/MLRichter/phd-lab, without settings that change no number."""
    lines = (HERE.parents[1] / "tests/fixtures/phdlab/public.jsonl").read_text().splitlines()
    configs = [json.loads(line) for line in lines]
    return [(config.pop("name"), json.dumps(config)) for config in configs]


def write_mnist(folder):
    folder.mkdir()
    for name in ("train", "t10k"):
        with gzip.open(folder / f"{name}-images-idx3-ubyte.gz", "wb") as file:
            file.write(struct.pack(">HBB3I", 0, 8, 3, 200, 28, 28) + np.zeros((200, 28, 28), np.uint8).tobytes())
        with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(struct.pack(">HBBI", 0, 8, 1, 200) + (np.arange(200) % 10).astype(np.uint8).tobytes())


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
