"""What the names in configurations of phd-lab mean. Networks, datasets and optimizers are those of github.com/MLRichter/phd-lab:
models/vgg.py at commit 46b3192, models/resnet.py at 9bf390c, models/resnetModified.py at b85918d, datasets/ at 46b3192 and fa1e133,
optimizers/factories.py at fad58d4; phdlab_networks.py names those of the described networks."""
import functools
import re
from typing import NamedTuple

from . import phdlab_networks as own

WIDTHS = {"XXXS": "1/16", "XXS": "1/8", "XS": "1/4", "S": "1/2", "": "1", "L": "2", "XL": "4", "XXL": "8", "XXXL": "16"}

# ---- networks ----

SIZED = re.compile(r"^(vgg(?:11|13|16|19)|resnet(?:18|34|50|101|152)|mobilenet_?v2)(?:_?(X{0,3}S|X{0,3}L))?$", re.IGNORECASE)
# Networks with sizes that differ from the built-in ones: torchvision's 7 x 7 stem with max pooling (MobileNetV2: two more strides), and
# vgg11_S, whose third and fourth convolutions have 126 channels instead of 128.
SIZED_MODELS = {"resnet18": ("resnet18-7x7", "{resnet: 18, stem: imagenet}"), "resnet34": ("resnet34-7x7", "{resnet: 34, stem: imagenet}"),
                "resnet50": ("resnet50-7x7", "{resnet: 50, stem: imagenet}"),
                "resnet101": ("resnet101-7x7", "{resnet: 101, stem: imagenet}"),
                "resnet152": ("resnet152-7x7", "{resnet: 152, stem: imagenet}"),
                "mobilenetv2": ("mobilenet_v2-224", "{mobilenet: v2, stem: imagenet}"),
                "vgg11_S": ("vgg11-126", "{vgg: [64, M, 128, M, 252, 252, M, 512, 512, M, 512, 512, M]}")}


def vgg(*stages, last="M"):
    """A list of channels with max pooling between the stages, and `last` at the end."""
    return f"{{vgg: [{', M, '.join(stages)}{', ' + last if last else ''}]}}"


def repeated(channels, times):
    return ", ".join([str(channels)] * times)


MODELS = {  # one network each, by its name in lower case without _
    "vgg11t": vgg("64", "128", "256, 256", "512, 512"), "vgg13t": vgg("64, 64", "128, 128", "256, 256", "512, 512"),
    "vgg16t": vgg("64, 64", "128, 128", "256, 256, 256", "512", last=""), "vgg19t": vgg("64, 64", "128, 128", repeated(256, 4)),
    "vgg19t2": vgg("64, 64", "128, 128", repeated(256, 3)),
    "vgg11_3": vgg("64", "128", "256, 256", "512, 512", repeated(512, 5)),
    "vgg13_3": vgg("64, 64", "128, 128", "256, 256", "512, 512", repeated(512, 5)),
    "vgg16_pruned": vgg("64, 64", "128, 128", "256, 256, 256", "512, 512", last=""),
    "vgg16_p": vgg("64, 64", "128, 128", "256, 256", "256, 512", repeated(512, 5)),
    "vgg16_p2": vgg("64", "64", "128", "128", "256, 256, 256, " + repeated(512, 6)),
    "vgg16AlteredPooling5": vgg("64, 64, 128, 128, 256, 256, 256, " + repeated(512, 6), last=""),
    "vgg19p0": vgg(*(repeated(c, 3) for c in (64, 128, 256, 512, 512))),
    "vgg19p1": vgg(repeated(64, 3), "128, 128, 128, 256", "256, 256, 512, 512", repeated(512, 4)),
    "vgg19p2": vgg("64, 64, 64, 128, 128", "128, 256, 256, 256, 512", repeated(512, 5)),
    "vgg19r0": vgg(*(repeated(c, 4) for c in (64, 128, 256, 512))),
    "vgg19r1": vgg(repeated(128, 6), repeated(256, 5), repeated(512, 5)), "vgg19r2": vgg(repeated(256, 8), repeated(512, 8)),
    "vgg19r3": vgg("64, 64", "128, 128", *(repeated(c, 3) for c in (256, 512, 512, 512)), last=""),
    "vgg19r4": vgg("64, 64", "128, 128", "256, 256", "256, 512, 512, 512", *[repeated(512, 3)] * 2, last=""),
    **{f"resnet{n}noskip": f"{{resnet: {n}, stem: imagenet, skip: false}}" for n in (18, 34, 50)},
    "resnet18t": "{resnet: [2, 2, 1], stem: imagenet}", "resnet18t2": "{resnet: [2], stem: imagenet}",
    "resnet18tnoskip": "{resnet: [2], stem: imagenet, skip: false}",
    "resnet34t": "{resnet: [3, 4, 1], stem: imagenet}", "resnet34t2": "{resnet: [2], stem: imagenet}",
    "resnet36": "{resnet: [4, 4, 4, 4], stem: imagenet}",
    "resnet18_dspl2": "{resnet: [4, 4], stem: imagenet}", "resnet18_dspl3": "{resnet: [2, 3, 3], stem: imagenet}",
    "resnet18noskip_dspl2": "{resnet: [4, 4], stem: imagenet, skip: false}",
    "resnet18noskip_dspl3": "{resnet: [2, 3, 3], stem: imagenet, skip: false}",
    **{f"resnet{n}_pc": f"{{resnet: {n}, stem: cifar, skip: false}}" for n in (18, 34, 50)},
    "resnet18t_pc": "{resnet: [2, 2, 2], stem: cifar, skip: false}", "resnet34t_pc": "{resnet: [3, 4, 1], stem: cifar, skip: false}"}

# ---- described networks: a function that returns the layers ----

ALL = dict.fromkeys(range(4), True)


def resnet(*blocks, **options):
    return functools.partial(own.resnet, blocks, **options)


def deep(*blocks, **options):
    return functools.partial(own.resnet, blocks, own.bottleneck, expansion=4, **options)


def mpnet(stages, lengths, kernels, dilations=(1, 1)):
    return functools.partial(own.mpnet, stages, lengths, kernels, dilations)


def bare(*stages):
    """The stages (from 1) without skip connections."""
    return {stage - 1: True for stage in stages}


def stages(*repeats):
    return [item for channels, times in zip((64, 128, 256, 512, 512), repeats) for item in (*[channels] * times, "M")]


VGG_STAGES = {"11": stages(1, 1, 2, 2, 2), "13": stages(2, 2, 2, 2, 2), "16": stages(2, 2, 3, 3, 3), "19": stages(2, 2, 4, 4, 4)}
VGG_RESNET = [(64, 2, 7), "M", *[128] * 4, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4]
WIDE, DEEP, PAIRS = (1, 1, 1, 1), (4, 4, 4, 4), (2, 2, 2, 2)
B0 = own.EFFICIENTNET_B0


def changed(number, **changes):
    """EfficientNet-B0's stages, one of them with other numbers."""
    names = ("expansion", "kernel", "stride", "inputs", "outputs", "blocks")
    return {number: tuple(changes.get(name, value) for name, value in zip(names, B0[number]))}


def b0(last=7, *changes):
    new = {number: stage for change in changes for number, stage in change.items()}
    return functools.partial(own.efficientnet, tuple(new.get(number, stage) for number, stage in enumerate(B0[:last])))


DESCRIBED = {
    **{f"resnet18_nr1_{k}": resnet(2, 2, 2, 2, plain=bare(k)) for k in (1, 2, 3, 4)},
    **{f"resnet18_nr2_{a}{b}": resnet(2, 2, 2, 2, plain=bare(a, b)) for a, b in ((1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4))},
    **{f"resnet18_nr3_{a}{b}{c}": resnet(2, 2, 2, 2, plain=bare(a, b, c)) for a, b, c in ((1, 2, 3), (1, 2, 4), (1, 3, 4), (2, 3, 4))},
    "resnet18_nr1": resnet(2, 2, 2, 2, plain=bare(1)), "resnet18_nr2": resnet(2, 2, 2, 2, plain=bare(1, 2)),
    "resnet18_nr3": resnet(2, 2, 2, 2, plain=bare(1, 2, 3)),
    "resnet18_nr32": resnet(2, 2, 2, 2, plain={0: True, 1: True, 2: [True, False]}),
    **{f"resnet18_{a}{b}": resnet(2, 2, 2, 2, plain=plain, stem=stem) for a, plain in (("", {}), ("noskip_", ALL))
       for b, stem in (("ep0", (7, 2, False)), ("ep00", (7, 1, False)), ("ep01", (7, 1, True)))},
    "resnet18_dp00_dspl2": resnet(4, 4, stem=(7, 1, False)), "resnet18noskip_dp00_dspl2": resnet(4, 4, plain=ALL, stem=(7, 1, False)),
    "resnet18_dspl8": resnet(*[1] * 8), "resnet36_dspl8": resnet(*[2] * 8),
    **{f"resnet18_o{k}": resnet(2, 2, 2, 2, skip_kernel=k) for k in (1, 3, 5, 7)},
    "resnet18_bottleneck": deep(2, 2, 2, 2), "resnet24": deep(2, 2, 2, 2), "resnet50t": deep(3, 4, 1),
    **{f"{se}iresnet18{dw}": resnet(2, 2, 2, 2, block=own.inverted(bool(dw), bool(se))) for se in ("", "se") for dw in ("", "_dw")},
    **{f"resnet{n}_pc_sized": functools.partial(own.resnet, blocks, plain=ALL, stem=(3, 1, False), names=("shortcut", "linear"), init={},
                                                fixed_stem=True) for n, blocks in ((18, (2, 2, 2, 2)), (34, (3, 4, 6, 3)))},
    **{f"vgg{n}_d{d}": functools.partial(own.vgg, VGG_STAGES[n], d) for n in VGG_STAGES for d in (2, 3)},
    "vggresnet": functools.partial(own.vgg, VGG_RESNET), "vggresnet3": functools.partial(own.vgg, VGG_RESNET, init={}),
    "mpnet36_8_1_3_7": mpnet(PAIRS, (8, 1), (3, 7)), "mpnet72_2_2_3_3": mpnet(DEEP, (3, 3), (3, 7)),
    "mpnet36_4_1_3_7": mpnet(PAIRS, (4, 1), (3, 7)), "mpnet36_1_1_3_11d2": mpnet(PAIRS, (1, 1), (3, 11), (1, 2)),
    "mpnet36_8_1_3_11d2": mpnet(PAIRS, (8, 1), (3, 11), (1, 2)), "mpnet18_8_1_3_11d2": mpnet(WIDE, (8, 1), (3, 11), (1, 2)),
    "mpnet36_1_3": mpnet(DEEP, (1,), (3,)), "mpnet36_1_11d2": mpnet(PAIRS, (1,), (11,), (2,)), "mpnet18_1_11d2": mpnet(WIDE, (1,), (11,), (2,)),
    "mpnet36_1_7d3": mpnet(PAIRS, (1,), (7,), (3,)), "mpnet36_4_3": mpnet(PAIRS, (4,), (3,)), "mpnet36_1_4_3_7": mpnet(PAIRS, (1, 4), (3, 7)),
    "mpnet36_4_7": mpnet(PAIRS, (4,), (7,)), "mpnet36_1_2_3_7": mpnet(DEEP, (1, 2), (3, 7)), "mpnet29_1_2_3_7": mpnet((4, 4, 3, 0), (1, 2), (3, 7)),
    "mpnet36_2_7": mpnet(DEEP, (2,), (7,)), "mpnet18_4_3": mpnet(WIDE, (4,), (3,)), "mpnet18_1_7": mpnet(WIDE, (1,), (7,)),
    "mpnet36_8_3": mpnet(PAIRS, (8,), (3,)), "mpnet36_1_7": mpnet(PAIRS, (1,), (7,)), "mpnet18_1_2_3_7": mpnet(PAIRS, (1, 2), (3, 7)),
    "mpnet18_1_4_3_7": mpnet(WIDE, (1, 4), (3, 7)), "mpnet18_4_1_3_7": mpnet(WIDE, (4, 1), (3, 7)), "mpnet18_8_1_3_7": mpnet(WIDE, (8, 1), (3, 7)),
    "mpnet18_8_3": mpnet(WIDE, (8,), (3,)), "mpnet18_1_4_1_7": mpnet(WIDE, (1, 4), (3, 7)), "mpnet18_2_7": mpnet(PAIRS, (2,), (7,)),
    "mpnet18_1_3": mpnet(PAIRS, (1,), (3,)), "mpnet18_1_1": mpnet(PAIRS, (1,), (1,)), "mpnet18_2_3": mpnet(PAIRS, (2,), (3,)),
    "mpnet18_1_2_1_7": mpnet(PAIRS, (1, 2), (1, 7)), "mpnet18_2_1": mpnet(PAIRS, (2,), (1,)), "mpnet18_1_2_1_3": mpnet(PAIRS, (1, 2), (1, 3)),
    "mpnet18_2_2_3_7": mpnet(PAIRS, (2, 2), (3, 7)), "mpnet12_2_2_3_7": mpnet((2, 2, 1, 0), (2, 2), (3, 7)),
    "mpnet12_2_3": mpnet((2, 2, 1, 0), (2,), (3,)), "mpnet12_2_7": mpnet((2, 2, 1, 0), (2,), (7,)), "mpnet18_4_4_3_7": mpnet(WIDE, (4, 4), (3, 7)),
    "mpnet18_4_4_1_7": mpnet(WIDE, (4, 4), (1, 7)), "mpnet18_4_7": mpnet(WIDE, (4,), (7,)), "mpnet18_4_1": mpnet(WIDE, (4,), (1,)),
    "mpnet18_2_2_1_7": mpnet(PAIRS, (2, 2), (1, 7)),
    "msnet18": functools.partial(own.msnet, PAIRS), "msnet18nt": functools.partial(own.msnet, PAIRS, first=False, second=False),
    "msnet18_ns": functools.partial(own.msnet, PAIRS, small=True),
    "msnet18_ntns": functools.partial(own.msnet, PAIRS, small=True, first=False, second=False),
    **{f"msnet22{name}": functools.partial(own.msnet, (2, 2, 3, 3), small=True, linear=True, **options) for name, options in (
        ("", {}), ("_nt", {"first": False, "second": False}), ("fpn", {"first": False}), ("_swish", {"act": "hard_swish"}))},
    "fatnet": own.fatnet, "alexnet": own.alexnet, "alainfc": own.alainfc, **{f"threenet{n}": functools.partial(own.threenet, n) for n in (8, 16, 32, 64, 128, 256, 512, 1024)},
    "densenet18": functools.partial(own.densenet, (4, 4, 4, 4)), "densenet65": functools.partial(own.densenet, (6, 8, 12, 6)),
    "densenet121": functools.partial(own.densenet, (6, 12, 24, 16)), "densenet161": functools.partial(own.densenet, (6, 12, 36, 24), 48, 96),
    "densenet169": functools.partial(own.densenet, (6, 12, 32, 32)), "densenet201": functools.partial(own.densenet, (6, 12, 48, 32)),
    "efficientnet_b0": b0(), "efficientnet_b0_eff": b0(6, changed(5, blocks=1)),
    "efficientnet_b0_perf2": b0(6, changed(1, blocks=3), changed(2, blocks=3), changed(3, blocks=4), changed(4, blocks=4), changed(5, blocks=1)),
    "efficientnet_b0_perf3": b0(7, changed(0, kernel=7), changed(1, kernel=7), changed(5, kernel=3)),
    "efficientnet_b0_perf4": b0(7, changed(5, stride=1)), "efficientnet_b0_perf5": b0(7, changed(3, stride=1), changed(4, stride=2), changed(5, stride=1)),
    "mobilenet_v3_small": functools.partial(own.mobilenet_v3, own.MOBILENET_V3_SMALL),
    "better_mobilenet_v3_small": functools.partial(own.mobilenet_v3, own.MOBILENET_V3_SMALL[:9]),
    **{f"squeezenet11{version}": functools.partial(own.squeezenet, version) for version in ("", "as", "ns", "res", "mp", "mpns", "dc")}}
PC_SIZED = re.compile(r"^resnet(18|34)_pc_(X{0,3}S|X{0,3}L)$", re.IGNORECASE)  # the first convolution has 64 channels at every size
SAME = {"vggresnet2": "vggresnet", "efficentnet_b0": "efficientnet_b0", "pc_resnet18": "resnet18_pc", "pc_resnet34": "resnet34_pc", "pc_resnet50": "resnet50_pc", "pc_resnet18t": "resnet18t_pc",
        "pc_resnet34t": "resnet34t_pc"}  # two names of one network
MODEL_NOTES = [  # (regular expression, difference)
    (r"^mpnet.*_8_1_3_11d2$|^mpnet18_1_11d2$|^resnet50t$|^resnet36_dspl8$|^resnet18_nr(\d|32)$",
     "phd-lab's published versions do not define mpnet18_8_1_3_11d2, mpnet36_8_1_3_11d2, mpnet18_1_11d2, resnet50t, resnet36_dspl8, resnet18_nr1, "
     "resnet18_nr2, resnet18_nr3 and resnet18_nr32; those here follow the scheme of its names"),
    (r"^alexnet$", "phd-lab's AlexNet has 1,000 outputs whatever the classes are"),
    (r"^fatnet$", "phd-lab's FatNet applies softmax before the loss, which does so again; the job's does not"),
    (r"^densenet|^squeezenet", "DenseNets and SqueezeNets start from Kaiming's initialisation by the number of inputs in phd-lab, here by that of outputs"),
    (r"_pc$", "ResNets with the small stem (PC) start from PyTorch's default initialisation in phd-lab, here from Kaiming's. Since commit "
              "a9de073 phd-lab builds them without skip connections whatever is asked for; for an experiment before that commit "
              "(configs/resnetComparison.json) write skip: true")]
# Why a network has no equivalent: (regular expression on the name, what it has).
NO_MODEL = [(re.compile(pattern, re.IGNORECASE), text) for pattern, text in (
    (r"^mpnet18_3_5_2_1$|^vgg19_g|^vgg19_se$|^vgg19_eurosat|^resnet18_ri_|^resnet18_se", "in no published version of phd-lab"),
    (r"_sesa", "spatial attention: means and maxima over channels"), (r"_sa(_|$)", "spatial attention: means and maxima over channels"),
    (r"_se(_|$)", "in no published version of phd-lab"), (r"^inception", "needs images of 75 x 75 pixels or more, also in PyTorch"),
    (r"^vit_", "attention of the package self_attention_cv with positions for 256 x 256 pixels"),
    (r"_pretrained$", "weights trained by torchvision as its start"), (r"^resnet18_involution", "involutions"),
    (r"^resnet1001$", "1,332 convolutions; a network has at most 512 convolutions and linear layers"))]

# ---- datasets ----


class Data(NamedTuple):
    name: str               # in the job
    text: str               # description in the job; {r}: the resolution of its file
    source: str             # what the environment variable must name; {r}, {shorter}: sizes of the images
    augment: tuple = ("crop", "flip")
    native: int = 0         # side of the stored images: shifts happen at this size
    differs: str = ""       # what is unlike phd-lab besides shifts at another size
    normalize: str = "{mean: [0.4914, 0.4822, 0.4465], std: [0.2023, 0.1994, 0.2010]}"

    @property
    def each(self):
        """True if each resolution has a file of its own."""
        return "{r}" in self.text


IMAGENET = "{mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}"
RANDOM_CROPS = "phd-lab trains on random parts of the whole images (RandomResizedCrop), the job on random parts of their centres"
PARTS = ("resized_crop", "flip")
PACK = "a file of `eigenscope data pack {} --to FILE.h5 --shorter {{shorter}} --size {{r}}`"
CIFAR10 = "a file of `eigenscope data pack` (or change the format to cifar10 and name the folder of the binary version)"
STRETCH = "a file of `eigenscope data pack {} --to FILE.h5 --size {{r}} --stretch`"
UPSIDE_DOWN = "phd-lab also turns images upside down at random"
PLACED = "phd-lab draws the places of eval images anew each time; in the job each has one place"


def shrunk(name, folder, size):
    """Images that are shrunk to a small square and enlarged again."""
    return Data(f"{name}-shrunk-{size}", f"format: hdf5, path: ${name.upper()}_SQUARE_{size}, fit: resize", STRETCH.format(folder).format(r=size), ("flip",),
                normalize=IMAGENET, differs="phd-lab changes colours at random (ColorJitter, Lighting), and evaluates on the centres of images that "
                                            "are enlarged by 1.14")


DATASETS = {  # by name in lower case without signs
    "mnist": Data("mnist", "format: idx, path: $MNIST, fit: resize", "the folder of the IDX files", native=28),
    "amnist": Data("mnist-plain", "format: idx, path: $MNIST, fit: resize", "the folder of the IDX files", (), 28,
                   normalize="{mean: [0], std: [1]}"),
    "fashionmnist": Data("fashion-mnist", "format: idx, path: /usr/share/datasets/fashion-mnist, fit: resize", "", native=28),
    "cifar10": Data("cifar10", "format: hdf5, path: $CIFAR10, fit: resize", CIFAR10, native=32),
    "blackbordercifar10": Data("cifar10-black-border", "format: hdf5, path: $CIFAR10, fit: pad", CIFAR10, ("flip",),
                               differs="phd-lab also shifts the images by up to 4 pixels before it adds the border"),
    "cifar100": Data("cifar100", "format: cifar100, path: $CIFAR100, fit: resize", "the folder of the binary version", native=32),
    "tinyimagenet": Data("tiny-imagenet", "format: hdf5, path: $TINY_IMAGENET, fit: resize", "a file of `eigenscope data pack`", native=64),
    "food101": Data("food101-{r}", "format: hdf5, path: $FOOD101_{r}", "a file of `eigenscope data pack food-101 --to FILE.h5 --size {r}`"),
    "imagenette": Data("imagenette-{r}", "format: hdf5, path: $IMAGENETTE_{r}", PACK.format("imagenette2"), PARTS, differs=RANDOM_CROPS,
                       normalize=IMAGENET),
    "imagewoof": Data("imagewoof-{r}", "format: hdf5, path: $IMAGEWOOF_{r}", PACK.format("imagewoof2"), PARTS, differs=RANDOM_CROPS,
                      normalize=IMAGENET),
    "imagenet": Data("imagenet-{r}", "format: hdf5, path: $IMAGENET_{r}", PACK.format("ImageNet"), PARTS, differs=RANDOM_CROPS, normalize=IMAGENET),
    "inaturalist": Data("inaturalist-{r}", "format: hdf5, path: $INATURALIST_{r}", PACK.format("inaturalist"), ("flip",), normalize=IMAGENET,
                        differs="phd-lab trains on whole images, stretched to squares and with random colours (ColorJitter, Lighting), the "
                                "job on their centres"),
    "malaria": Data("malaria-{r}", "format: hdf5, path: $MALARIA_{r}", STRETCH.format("malaria"), ("flip",), differs=UPSIDE_DOWN),
    "resizedmalaria": Data("malaria-shrunk", "format: hdf5, path: $MALARIA_32, fit: resize", STRETCH.format("malaria").format(r=32), ("flip",),
                           differs=UPSIDE_DOWN),
    "resizedimagenet": shrunk("imagenet", "ImageNet", 32), "resizedimagenet16": shrunk("imagenet", "ImageNet", 16),
    "resizedinaturalist": shrunk("inaturalist", "inaturalist", 32),
    "cifar10smallrandompositioning": Data("cifar10-placed", "format: hdf5, path: $CIFAR10, fit: place", CIFAR10, ("place", "flip"), differs=PLACED),
    "mnistsmallrandompositioning": Data("mnist-placed", "format: idx, path: $MNIST, fit: place", "the folder of the IDX files", ("place", "flip"),
                                        differs=PLACED)}
NO_DATASET = {"cifar10smallrandompositioningnoise": "images at random places of a larger canvas of noise",
              "reflectbordercifar10": "a border that reflects the image",
              **dict.fromkeys(("ageface", "agefacev2", "agefacev3", "urbansounds"),
                              "training images of each class drawn equally often, from images that are not public"),
              **dict.fromkeys(("cifar10a", "cifar10aa", "cifar10rc", "eurosat"), "in no published version of phd-lab"),
              **dict.fromkeys(("zielc", "zieluc"), "images that are not public")}

# ---- optimizers and metrics ----

SGD = "optimizer: sgd, learning_rate: 0.1, momentum: 0.9, weight_decay: {decay}, schedule: {{step: {step}, gamma: 0.1}}"
OPTIMIZERS = {"adam": "optimizer: adam, learning_rate: 0.001, weight_decay: 0",
              "sgd": "optimizer: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 5.0e-4",
              **{name: SGD.format(decay="5.0e-4", step=step) for name, step in (("lrs", 10), ("lrs60", 20), ("lrs90", 30), ("lrs180", 50))},
              **{name: SGD.format(decay="1.0e-4", step=step) for name, step in (("lrs_imgnet", 10), ("lrs60_imgnet", 20))},
              "noopt": "optimizer: sgd, learning_rate: 0, momentum: 0, weight_decay: 0",
              "adamw": "optimizer: adamw, learning_rate: 0.001, weight_decay: 0.01", "radam": "optimizer: radam, learning_rate: 0.001, weight_decay: 0"}
OPTIMIZER_NOTES = {"lrs": "lrs is taken as phd-lab defined it from commit 6fdc811 to a9de073. An early copy has steps of 30 epochs; at commit "
                          "fad58d4 momentum and weight decay are 0, and at 62e1971 the learning rate is 0, too"}
MEASURED = {"accuracy", "top5accuracy", "mcc", "recall", "sensitivity", "precision", "f1", "specificity", "balancedaccuracy",
            "adjustedbalancedaccuracy"}  # metrics that results hold, or that follow from them (eigenscope_analysis.scores)
