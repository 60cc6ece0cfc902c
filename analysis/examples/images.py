"""Reads images of classes for the examples beside this file: a folder or a tar archive of <split>/<class>/<image>."""
import io
import pathlib
import tarfile

import numpy as np
import torch
from PIL import Image

ENDINGS = (".jpg", ".jpeg", ".png")


def files(place):
    """(split, class, bytes) of every image."""
    place = pathlib.Path(place)
    if place.is_dir():
        for path in sorted(place.glob("*/*/*")):
            if path.suffix.lower() in ENDINGS:
                yield path.parts[-3], path.parts[-2], path.read_bytes()
        return
    with tarfile.open(place) as archive:
        for member in archive:
            parts = pathlib.PurePath(member.name).parts
            if member.isfile() and len(parts) >= 3 and member.name.lower().endswith(ENDINGS):
                yield parts[-3], parts[-2], archive.extractfile(member).read()


def load(place, split, for_each_class, size):
    """(images (N, 3, size, size) in 0..1, labels (N), names of the classes), classes in turn."""
    kept = {}
    for found, name, data in files(place):
        if found == split and len(kept.setdefault(name, [])) < for_each_class:
            kept[name].append(np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((size, size), Image.BICUBIC)))
        elif kept and min(map(len, kept.values())) == for_each_class and found != split:
            break
    names = sorted(kept)
    pairs = [(kept[name][i], label) for i in range(for_each_class) for label, name in enumerate(names) if i < len(kept[name])]
    assert pairs, f"{place} has no images {split}/<class>/<image>"
    return (torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2) / 255,
            torch.tensor([label for _, label in pairs]), names)
