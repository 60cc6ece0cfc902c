"""Trains a ResNet-18 on images in two processes, each with its own part of the moments, and compares with numpy.

    pip install torch torchvision pillow
    PYTHONPATH=analysis torchrun --nproc-per-node 2 analysis/examples/track_parallel.py cifar10-jpeg.tar.xz --program build/eigenscope

The argument is a folder or a tar archive of <split>/<class>/<image>, such as train/dog/0001.jpg. With --program, the
program merges the two parts (source: moments), and its eigenvalues are compared as well.
"""
import argparse
import pathlib
import subprocess
import sys

import h5py
import torch
import torchvision
from check import Reference, compare, of_file
from images import load
from torch import distributed, nn

import eigenscope

BATCH = 32


def resnet(classes):
    """torchvision's ResNet-18 with the first layers for images of 32 × 32."""
    model = torchvision.models.resnet18(num_classes=classes)
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return model


def run_epoch(model, optimizer, images, labels, train):
    """(mean loss, accuracy) over the images of this process."""
    model.train(train)
    loss, right = 0.0, 0
    with torch.set_grad_enabled(train):
        for batch, classes in zip(images.split(BATCH), labels.split(BATCH)):
            outputs = model(batch)
            cost = nn.functional.cross_entropy(outputs, classes)
            if train:
                optimizer.zero_grad()
                cost.backward()
                optimizer.step()
            loss, right = loss + float(cost.detach()) * len(batch), right + int((outputs.argmax(1) == classes).sum())
    return loss / len(images), right / len(images)


def gathered(reference):
    """The sums of all processes."""
    for name, sums in reference.sums.items():
        sums = [torch.as_tensor(value) for value in sums]
        for value in sums:
            distributed.all_reduce(value)
        reference.sums[name] = int(sums[0]), sums[1].numpy(), sums[2].numpy()
    return reference.covariances()


def of_program(program, to, epoch, split):
    """{layer: (rows, eigenvalues)} of the program's result."""
    job = pathlib.Path(to).with_suffix(".yaml")
    job.write_text(f"name: {job.stem}\noutput: {job.stem}-results\nsource: moments\nmoments: {{files: {pathlib.Path(to).name}}}\n")
    subprocess.run([pathlib.Path(program).resolve(), "run", job.name, "--quiet"], cwd=job.parent, check=True)
    points = (job.parent / f"{job.stem}-results" / "points").glob("*.h5")
    with h5py.File(max(points, key=lambda path: path.stat().st_mtime)) as result:
        at, time = list(result["split"].asstr()[:]).index(split), list(result["epoch"][:]).index(epoch)
        return {name: (int(result["samples"][at, time, i]), result["eigenvalues"][at, time, i])
                for i, name in enumerate(result["layer"].asstr()[:])}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images")
    parser.add_argument("--for-each-class", type=int, default=64, help="images of each class for training; a quarter for evaluation")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--to", default="parallel.h5")
    parser.add_argument("--program")
    options = parser.parse_args()
    distributed.init_process_group("gloo")
    rank, size = distributed.get_rank(), distributed.get_world_size()
    torch.manual_seed(0)
    data = {}
    for split, part, n in (("train", "train", options.for_each_class), ("eval", "test", options.for_each_class // 4)):
        images, labels, names = load(options.images, part, n, 32)
        data[split] = images[rank::size] * 4 - 2, labels[rank::size]
    network = resnet(len(names))
    model = nn.parallel.DistributedDataParallel(network)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    layers = [name for name, module in network.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    want = {}
    with eigenscope.Tracker(model, to=options.to) as tracker:
        for epoch in range(options.epochs):
            for split, (images, labels) in data.items():
                last = Reference(network, layers, lambda value: value.movedim(1, -1).flatten(0, -2)) if epoch == options.epochs - 1 else None
                with tracker.epoch(epoch, split=split):
                    loss, accuracy = run_epoch(model, optimizer, images, labels, split == "train")
                tracker.log(loss=loss, accuracy=accuracy)
                if last is not None:
                    last.remove()
                    want[split] = gathered(last)
    distributed.barrier()
    distributed.destroy_process_group()
    if rank > 0:
        return
    epoch, good = options.epochs - 1, True
    for split in data:
        good &= compare(f"epoch {epoch}, {split}, {size} parts", of_file(eigenscope.read(options.to)[epoch, split]), want[split])
        if options.program:
            good &= compare(f"epoch {epoch}, {split}, merged by the program", of_program(options.program, options.to, epoch, split), want[split])
    sys.exit(not good)


if __name__ == "__main__":
    main()
