"""data pack: packs folders of JPEG and PNG files into one HDF5 file; pixels must equal PIL's."""
import os
import pathlib
import shutil
import struct
import zlib

import h5py
import numpy
from PIL import Image

import harness

SUMMARY = r"^{file}: {train} train and {eval} eval images \({folder}\) of {size}, {colour}, {classes} classes, fingerprint [0-9a-f]{{16}}\n"


def picture(seed, width=32, height=32, mode="RGB"):
    """A smooth picture with some noise, so that JPEG loses something."""
    random = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[0:height, 0:width].astype(float)
    bands = []
    for _ in range(len(Image.new(mode, (1, 1)).getbands())):
        a, b, c = random.uniform(-3, 3, 3)
        band = 127 + 90 * numpy.sin(a * x / 9 + b * y / 7 + c) + random.normal(0, 12, x.shape)
        bands.append(numpy.clip(band, 0, 255).astype(numpy.uint8))
    array = bands[0] if len(bands) == 1 else numpy.stack(bands, axis=-1)
    return Image.fromarray(array, mode)


def reference(path, size=0, shorter=0, mode="RGB", stretch=False):
    """Computes torchvision's Resize(shorter), CenterCrop(size) of an image, without torchvision."""
    image = Image.open(path).convert(mode)
    if stretch:
        image = image.resize((size, size), Image.BILINEAR) if image.size != (size, size) else image
    elif size:
        width, height = image.size
        shorter = shorter or size
        if width <= height:
            to = (shorter, int(shorter * height / width))
        else:
            to = (int(shorter * width / height), shorter)
        if to != image.size:
            image = image.resize(to, Image.BILINEAR)
        left, top = round((to[0] - size) / 2.0), round((to[1] - size) / 2.0)
        image = image.crop((left, top, left + size, top + size))
    array = numpy.asarray(image)
    return array if array.ndim == 3 else array[:, :, None]


class Pack(harness.Case):
    def save(self, name, image, **options):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
        return path

    def small(self, suffix="png", n=3, size=(32, 32), root="in"):
        """Writes two classes: n train images and one eval image each."""
        for c, name in enumerate(("cat", "dog")):
            for i in range(n):
                self.save(f"{root}/train/{name}/{i}.{suffix}", picture(10 * c + i, *size))
            self.save(f"{root}/val/{name}/0.{suffix}", picture(10 * c + 9, *size))

    def pack(self, *arguments, **options):
        return self.run_program("data", "pack", *arguments, **options)

    def same(self, file, split, index, expected):
        self.assertTrue(numpy.array_equal(file[f"{split}/images"][index], expected), f"{split} {index}")

    def test_png_as_they_are(self):
        self.small()
        done = self.pack("in", "--to", "out.h5")
        self.assertRegex(done.stdout, SUMMARY.format(file="out.h5", train=6, eval=2, folder="val", size="32 x 32",
                                                     colour="colour", classes=2) + "$")
        with h5py.File(self.folder / "out.h5") as file:
            self.assertEqual(list(file["class_names"].asstr()), ["cat", "dog"])
            self.assertEqual(list(file["train/labels"]), [0, 0, 0, 1, 1, 1])
            self.assertEqual(list(file["eval/labels"]), [0, 1])
            for i in range(6):
                self.same(file, "train", i, reference(self.folder / f"in/train/{('cat', 'dog')[i // 3]}/{i % 3}.png"))
            self.assertIn(str(file.attrs["fingerprint"]), done.stdout)
        info = self.run_program("data", "info", "out.h5").stdout
        self.assertIn(done.stdout.split()[-1], info)

    def test_every_kind_of_file_has_the_pixels_of_pil(self):
        """PNG is exact everywhere. JPEG is exact if PIL uses libjpeg-turbo, as Debian's does, else within 2."""
        kinds = {"l.jpg": picture(1, mode="L"), "rgb.jpg": picture(2), "cmyk.jpg": picture(3, mode="CMYK"),
                 "l.png": picture(4, mode="L"), "la.png": picture(5, mode="LA"), "rgba.png": picture(6, mode="RGBA"),
                 "p.png": picture(7).quantize(40), "p2.png": picture(8).quantize(4), "bit.png": picture(9, mode="L").convert("1"),
                 "rgb.png": picture(10)}
        paths = [self.save(f"in/train/a/{name}", image) for name, image in kinds.items()]
        paths.append(self.save("in/train/a/progressive.JPEG", picture(11), progressive=True, quality=60))
        paths.append(self.save("in/train/a/fine.jpeg", picture(12), subsampling=0, quality=95))
        paths.append(self.save("in/train/a/transparent.png", picture(13).quantize(9), transparency=3))
        turned = Image.Exif()
        turned[0x0112] = 6
        paths.append(self.save("in/train/a/turned.jpg", picture(14), exif=turned))
        os.rename(self.save("in/train/a/swapped.png", picture(15)), self.folder / "in/train/a/png.jpg")
        paths.append(self.folder / "in/train/a/png.jpg")
        self.save("in/val/a/0.png", picture(0))
        self.save("in/train/b/0.png", picture(0))
        for channels, mode in ((3, "RGB"), (1, "L")):
            self.pack("in", "--to", "out.h5", "--channels", channels)
            with h5py.File(self.folder / "out.h5") as file:
                for i, path in enumerate(sorted(paths, key=lambda p: os.fsencode(p.name))):
                    found, due = file["train/images"][i].astype(int), reference(path, mode=mode).astype(int)
                    if not numpy.array_equal(found, due):
                        self.assertNotEqual(path.suffix, ".png", path)
                        self.assertLessEqual(abs(found - due).max(), 2, path)

    def test_sixteen_bits_are_brought_to_eight(self):
        values = numpy.arange(256 * 4, dtype=numpy.uint16).reshape(32, 32) * 64
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        self.small(n=1)
        data = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 16, 0, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
        (self.folder / "in/train/cat/0.png").write_bytes(data)
        self.pack("in", "--to", "out.h5", "--channels", 1)
        with h5py.File(self.folder / "out.h5") as file:
            self.same(file, "train", 0, (values >> 8).astype(numpy.uint8)[:, :, None])

    def test_resized_and_cut_as_torchvision_does(self):
        sizes = [(40, 30), (30, 41), (33, 33), (7, 90), (200, 150), (24, 24), (1, 1)]
        for i, size in enumerate(sizes):
            self.save(f"in/train/a/{i}.png", picture(i, *size))
        self.save("in/train/b/0.png", picture(0))
        self.save("in/test/a/0.png", picture(0, 64, 48))
        for arguments in ({"size": 24}, {"size": 25}, {"size": 24, "shorter": 29}, {"size": 24, "stretch": True}):
            options = [str(word) for key, value in arguments.items() for word in (f"--{key}", value) if word is not True]
            self.pack("in", "out.h5", *options)
            with h5py.File(self.folder / "out.h5") as file:
                for i in range(len(sizes)):
                    with self.subTest(sizes[i], options=options):
                        self.same(file, "train", i, reference(self.folder / f"in/train/a/{i}.png", **arguments))

    def test_the_same_bytes_on_any_number_of_ranks(self):
        for i in range(90):  # several blocks of 4 MiB per rank
            self.save(f"in/train/{'ab'[i % 2]}/{i}.jpg", picture(i, 60, 60))
        self.save("in/val/a/0.jpg", picture(0, 80, 50))
        self.pack("in", "--to", "alone.h5", "--size", 256)
        alone = (self.folder / "alone.h5").read_bytes()
        for ranks in (1, 2, 3):
            self.pack("in", "--to", "many.h5", "--size", 256, ranks=ranks)
            self.assertEqual((self.folder / "many.h5").read_bytes(), alone, f"{ranks} ranks")
        self.assertEqual([p.name for p in self.folder.iterdir() if p.suffix == ".part"], [])

    def test_chunks_are_compressed_where_it_pays(self):
        self.small(n=40)
        for i in range(40):
            self.save(f"in/train/dog/{i}.png", Image.new("RGB", (32, 32), (i, 2, 3)))
        self.pack("in", "--to", "out.h5")
        with h5py.File(self.folder / "out.h5") as file:
            images = file["train/images"]
            self.assertEqual(images.chunks, (21, 32, 32, 3))
            self.assertEqual([images.id.get_chunk_info(i).filter_mask for i in range(4)], [1, 1, 0, 0])
            self.same(file, "train", 79, reference(self.folder / "in/train/dog/9.png"))

    def test_tiny_imagenet(self):
        for name in ("n02", "n01"):
            for i in range(2):
                self.save(f"in/train/{name}/images/{name}_{i}.JPEG", picture(i))
            self.write(f"in/train/{name}/{name}_boxes.txt", "0 0 1 1\n")
        for i in range(3):
            self.save(f"in/val/images/val_{i}.JPEG", picture(50 + i))
        self.save("in/test/images/test_0.JPEG", picture(99))
        lines = "val_2.JPEG\tn01\t0\t32\t44\t62\nval_0.JPEG\tn02\t1\t2\t3\t4\r\nval_1.JPEG\tn01\t0\t0\t1\t1\n"
        annotations = self.write("in/val/val_annotations.txt", lines)
        done = self.pack("in", "--to", "out.h5")
        self.assertRegex(done.stdout, "left out: 2 files without the name of an image, such as in/train/n01/n01_boxes.txt\n")
        with h5py.File(self.folder / "out.h5") as file:
            self.assertEqual(list(file["eval/labels"]), [0, 0, 1])
            for i, name in enumerate(("val_1", "val_2", "val_0")):
                self.same(file, "eval", i, reference(self.folder / f"in/val/images/{name}.JPEG"))
        for text, reason in (("val_0.JPEG n01\n", r"val_annotations.txt:1: the line has no tab"),
                             ("val_0.JPEG\tn01\nval_1.JPEG\tn03\n", r"val_annotations.txt:2: the line names a class that the train"),
                             ("../x.JPEG\tn01\n", r"val_annotations.txt:1: the line must start with the name of a file"),
                             ("val_0.JPEG\tn01\nval_0.JPEG\tn01\n", r"names in/val/images/val_0.JPEG more than once"),
                             ("", "has no image for the eval split")):
            annotations.write_text(text)
            self.assertRegex(self.pack("in", "--to", "out.h5", expect=1).stderr, reason)
        annotations.write_text(lines + "val_7.JPEG\tn02\n")
        self.assertRegex(self.pack("in", "--to", "out.h5", expect=1).stderr, r"val_7.JPEG: cannot be read: No such file")

    def break_some(self):
        """Unusable images by name, with the expected message for each."""
        self.small("jpg", n=8)
        cat, good = self.folder / "in/train/cat", (self.folder / "in/train/cat/0.jpg").read_bytes()
        png = self.save("p.png", picture(3)).read_bytes()
        crc = bytearray(png)
        crc[35] ^= 1
        bad = {"a_empty.jpg": (b"", "is empty"), "b_cut.jpg": (good[:len(good) // 2], r"is damaged .*JPEG.*at byte \d+ of \d+"),
               "c_head.jpg": (good[:30], "is damaged"), "d_text.jpg": (b"<html>", "neither JPEG nor PNG"),
               "e_cut.png": (png[:200], r"ends before its end mark \(at byte \d+ of 200\)"),
               "f_crc.png": (bytes(crc), "is damaged.*IDAT"), "g_huge.jpg": (self.claim(good), "60000 x 60000 pixels"),
               "h_huge.png": (self.claim_png(), "user limit")}
        for name, (data, _) in bad.items():
            (cat / name).write_bytes(data)
        os.symlink("nowhere", cat / "i_link.jpg")
        os.mkfifo(cat / "j_pipe.jpg")
        with open(cat / "k_large.jpg", "wb") as file:
            file.truncate(100 << 30)
        self.save("in/train/cat/l_other.jpg", picture(1, 20, 20))
        reasons = {name: reason for name, (_, reason) in bad.items()}
        return {**reasons, "i_link.jpg": "No such file", "j_pipe.jpg": "not a regular file", "k_large.jpg": "has 107374182400 bytes",
                "l_other.jpg": "is 20 x 20, but the first image is 32 x 32"}

    @staticmethod
    def claim(jpeg):
        at = jpeg.index(b"\xff\xc0")
        return jpeg[:at + 5] + struct.pack(">HH", 60000, 60000) + jpeg[at + 9:]

    @staticmethod
    def claim_png():
        head = b"IHDR" + struct.pack(">IIBBBBB", 1 << 30, 1 << 30, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))

    def test_broken_images_are_all_listed_and_stop_it(self):
        reasons = self.break_some()
        with h5py.File(self.folder / "out.h5", "w") as file:
            file["train/images"] = b"what was there before"
        before, lists = (self.folder / "out.h5").read_bytes(), []
        for ranks in (0, 2):
            done = self.pack("in", "--to", "out.h5", ranks=ranks, expect=1, timeout=60)
            lines = [line for line in done.stderr.splitlines() if line.startswith("eigenscope: ")]
            self.assertEqual(len(lines), len(reasons) + 1, done.stderr)
            for line, (name, reason) in zip(lines, reasons.items()):
                self.assertRegex(line, f"^eigenscope: in/train/cat/{name}: .*{reason}")
            self.assertEqual(lines[-1], f"eigenscope: in: {len(reasons)} of 30 images cannot be used, as listed above (1 of them because of "
                                        f"their size: give --size); repair or remove these images, or leave them out with --skip-broken")
            self.assertEqual((self.folder / "out.h5").read_bytes(), before)
            lists.append(lines)
        self.assertEqual(lists[0], lists[1])

    def test_other_sizes_are_counted(self):
        """A folder of photographs: one example and a summary with the remedy, which works."""
        for split in ("train", "val"):
            for c in "ab":
                for i in range(6):
                    self.save(f"in/{split}/{c}/{i}.png", picture(i, 40 + 3 * i, 30 + 2 * i))
        for ranks in (0, 2):
            lines = [line for line in self.pack("in", "--to", "out.h5", ranks=ranks, expect=1).stderr.splitlines()
                     if line.startswith("eigenscope: ")]
            self.assertEqual(lines, [
                "eigenscope: in/train/a/1.png: is 43 x 32, but the first image is 40 x 30; give --size to make all images equal",
                "eigenscope: in: 20 of 24 images have another size than the first, 40 x 30 (their shorter sides are 32 to 40 pixels); "
                "--size N cuts N x N pixels from each, as --size 30"])
        self.pack("in", "--to", "out.h5", "--size", 30)
        done = self.pack("in", "--to", "few.h5", "--skip-broken")
        self.assertEqual(done.stderr.count("left out: "), 1)
        self.assertIn("left out: 20 images that cannot be used\n20 of them because their size is not that of the first image; "
                      "--size makes all images equal\n", done.stdout)

    def test_broken_images_are_left_out_when_told_to(self):
        reasons = self.break_some()
        done = self.pack("in", "--to", "out.h5", "--skip-broken", ranks=2)
        self.assertEqual(done.stderr.count("eigenscope: left out: in/train/cat/"), len(reasons))
        self.assertIn(f"left out: {len(reasons)} images that cannot be used\n", done.stdout)
        shutil.rmtree(self.folder / "in")
        self.small("jpg", n=8)
        self.pack("in", "--to", "clean.h5")
        with h5py.File(self.folder / "out.h5") as file, h5py.File(self.folder / "clean.h5") as clean:
            self.assertEqual(file.attrs["fingerprint"], clean.attrs["fingerprint"])
            self.assertTrue(numpy.array_equal(file["train/images"], clean["train/images"]))

    def test_layouts_that_are_none(self):
        self.small(root="good")
        cases = {"nothing": "nothing: this folder does not exist", "empty": "empty: has no folder train",
                 "train_only": "train_only: has no folder val", "no_class": "has 0 folders of classes",
                 "bare": "the class has no image", "other": "val/wolf: the train images do not have this class",
                 "loop": "is a link to loop/train/cat, a folder that contains this link"}
        for name in list(cases)[1:]:
            (self.folder / name).mkdir()
        shutil.copytree(self.folder / "good/train", self.folder / "train_only/train")
        (self.folder / "no_class/train").mkdir()
        for name in ("bare", "other", "loop"):
            shutil.copytree(self.folder / "good", self.folder / name, dirs_exist_ok=True)
        (self.folder / "bare/train/empty").mkdir()
        self.save("other/val/wolf/0.png", picture(0))
        os.symlink("..", self.folder / "loop/train/cat/again")
        os.symlink("../cat", self.folder / "loop/train/cat/self")
        for name, reason in cases.items():
            with self.subTest(name):
                done = self.pack(name, "--to", "out.h5", expect=1)
                if name == "loop":
                    reason = "a folder that contains this link"
                self.assertRegex(done.stderr, f"^eigenscope: .*{reason}")
                self.assertEqual(done.stderr.count("\n"), 1)
        self.assertFalse((self.folder / "out.h5").exists())

    def test_links_are_followed(self):
        self.small()
        os.rename(self.folder / "in/train", self.folder / "elsewhere")
        os.symlink(self.folder / "elsewhere", self.folder / "in/train")
        os.symlink("0.png", self.folder / "elsewhere/cat/7.png")
        self.pack("in", "--to", "out.h5")
        with h5py.File(self.folder / "out.h5") as file:
            self.same(file, "train", 3, reference(self.folder / "elsewhere/cat/0.png"))

    def test_a_wrong_command(self):
        self.small()
        for arguments, reason in ((["in"], "--to is missing"), (["in", "a.h5", "--to", "b.h5"], "named twice"),
                                  (["in", "a.h5", "--size", "0"], "must be an integer from 1 to 8192"),
                                  (["in", "a.h5", "--shorter", "40"], "needs --size"),
                                  (["in", "a.h5", "--size", "40", "--shorter", "30"], "must be at least --size 40"),
                                  (["in", "a.h5", "--stretch"], "--stretch needs --size, the side of the square"),
                                  (["in", "a.h5", "--stretch", "--size", "40", "--shorter", "50"], "cannot be used with --shorter"),
                                  (["in", "a.h5", "--channels", "2"], "must be 1 .grey. or 3"),
                                  (["in", "no/where.h5"], "no/where.h5: cannot be written: No such file or directory")):
            with self.subTest(arguments):
                self.assertRegex(self.pack(*arguments, expect=1).stderr, f"^eigenscope: .*{reason}")

    def test_other_files_are_not_replaced(self):
        """A typing error in --to must not cost a job file or results; images are replaced."""
        self.small()
        (self.folder / "job.yaml").write_text("name: mine\n")
        with h5py.File(self.folder / "results.h5", "w") as file:
            file.attrs["schema"] = "eigenscope"
        for name in ("job.yaml", "results.h5"):
            before = (self.folder / name).read_bytes()
            for arguments in (("pack", "in"), ("synth",)):
                done = self.run_program("data", *arguments, "--to", name, expect=1)
                self.assertEqual(done.stderr, f"eigenscope: --to {name}: exists but is not a file of images; choose another name or remove "
                                              "the file\n")
            self.assertEqual((self.folder / name).read_bytes(), before)
        (self.folder / "out.h5").touch()
        for _ in range(2):
            self.pack("in", "--to", "out.h5")

    def test_a_full_disk(self):
        self.small("png", n=40)
        done = self.run_limited(100 * 1024, "data", "pack", "in", "--to", "out.h5")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stderr, "eigenscope: out.h5: cannot be written: File too large\n")
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["in"])

    def test_a_point_is_trained_on_it(self):
        self.small("jpg", n=40)
        self.pack("in", "--to", "out.h5", "--size", 16)
        self.write("job.yaml", "name: packed\ngrid: {dataset: pets, model: mlp, width: 1/32, resolution: 16}\n"
                               "datasets: {pets: {format: hdf5, path: out.h5}}\ntrain: {epochs: 1, batch: 16}\n")
        self.run_program("run", "job.yaml", "--output", "out")
        self.assertRegex(self.run_program("status", "job.yaml", "--output", "out").stdout, "complete")


if __name__ == "__main__":
    harness.main()
