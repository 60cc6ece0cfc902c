"""What the names in configurations of phd-lab mean. Networks, datasets and optimizers are those of github.com/MLRichter/phd-lab:
models/vgg.py at commit 46b3192, models/resnet.py at 9bf390c, models/resnetModified.py at b85918d, datasets/ at 46b3192,
optimizers/factories.py at fad58d4."""
import re
from typing import NamedTuple

WIDTHS = {"XXXS": "1/16", "XXS": "1/8", "XS": "1/4", "S": "1/2", "": "1", "L": "2", "XL": "4", "XXL": "8", "XXXL": "16"}

# ---- networks ----

SIZED = re.compile(r"^(vgg(?:11|13|16|19)|resnet(?:18|34|50)|mobilenet_?v2)(?:_?(X{0,3}S|X{0,3}L))?$", re.IGNORECASE)
# Networks with sizes that differ from the built-in ones: torchvision's 7 x 7 stem with max pooling (MobileNetV2: two more strides), and
# vgg11_S, whose third and fourth convolutions have 126 channels instead of 128.
SIZED_MODELS = {"resnet18": ("resnet18-7x7", "{resnet: 18, stem: imagenet}"), "resnet34": ("resnet34-7x7", "{resnet: 34, stem: imagenet}"),
                "resnet50": ("resnet50-7x7", "{resnet: 50, stem: imagenet}"),
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
SAME = {"pc_resnet18": "resnet18_pc", "pc_resnet34": "resnet34_pc", "pc_resnet50": "resnet50_pc", "pc_resnet18t": "resnet18t_pc",
        "pc_resnet34t": "resnet34t_pc"}  # two names of one network
MODEL_NOTES = [  # (regular expression, difference)
    (r"_pc$", "ResNets with the small stem (PC) start from PyTorch's default initialisation in phd-lab, here from Kaiming's. Since commit "
              "a9de073 phd-lab builds them without skip connections whatever is asked for; for an experiment before that commit "
              "(configs/resnetComparison.json) write skip: true")]
# Why a network has no equivalent: (regular expression on the name, what it has).
NO_MODEL = [(re.compile(pattern, re.IGNORECASE), text) for pattern, text in (
    (r"^mpnet|^inception", "parallel paths with kernels of several sizes"), (r"^densenet", "concatenated layers"),
    (r"^eff", "squeeze and excitation in inverted bottlenecks (EfficientNet)"),
    (r"mobilenet_v3", "squeeze and excitation and hard swish (MobileNetV3)"),
    (r"^vit_", "attention over patches"), (r"^vgg.*_d\d$", "dilated convolutions"), (r"^vgg.*_g", "grouped convolutions"),
    (r"^vggresnet", "a strided 7 x 7 convolution in a VGG"), (r"^resnet.*_nr", "skip connections in some stages only"),
    (r"^resnet.*(_ep|_dp)0", "a 7 x 7 stem without its stride or without its pooling"), (r"_dspl8$", "stages of equal width"),
    (r"^resnet\d+_o\d$", "convolutions in every skip connection"), (r"sesa", "squeeze and excitation and spatial attention"),
    (r"_se(_|$)", "squeeze and excitation"), (r"_sa(_|$)", "spatial attention"), (r"^(se)?iresnet", "inverted bottlenecks"),
    (r"_pretrained$", "weights trained by torchvision as its start"),
    (r"(^|_)pc_|_pc_", "a first convolution of 64 channels at every size"),
    (r"^resnet(24|50t|101|152|1001|18_bottleneck)$", "bottleneck blocks in other numbers than resnet50's"),
    (r"^resnet18_involution", "involutions"), (r"^squeezenet", "fire modules with concatenated outputs"),
    (r"^alexnet", "kernels of 11 and 5 pixels and no batch norm"), (r"^(threenet|alainfc)", "linear layers without batch norm"),
    (r"^fatnet|^msnet", "blocks of its own"))]

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
RANDOM_CROPS = "phd-lab trains on random parts of the images (RandomResizedCrop), the job on their centres"
PACK = "a file of `eigenscope data pack {} --to FILE.h5 --shorter {{shorter}} --size {{r}}`"
CIFAR10 = "a file of `eigenscope data pack` (or change the format to cifar10 and name the folder of the binary version)"
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
    "imagenette": Data("imagenette-{r}", "format: hdf5, path: $IMAGENETTE_{r}", PACK.format("imagenette2"), differs=RANDOM_CROPS,
                       normalize=IMAGENET),
    "imagewoof": Data("imagewoof-{r}", "format: hdf5, path: $IMAGEWOOF_{r}", PACK.format("imagewoof2"), differs=RANDOM_CROPS,
                      normalize=IMAGENET),
    "imagenet": Data("imagenet-{r}", "format: hdf5, path: $IMAGENET_{r}", PACK.format("ImageNet"), differs=RANDOM_CROPS, normalize=IMAGENET),
    "inaturalist": Data("inaturalist-{r}", "format: hdf5, path: $INATURALIST_{r}", PACK.format("inaturalist"), ("flip",), normalize=IMAGENET,
                        differs="phd-lab trains on whole images, stretched to squares and with random colours (ColorJitter, Lighting), the "
                                "job on their centres")}
SHRUNK = "images shrunk to 32 x 32 pixels and enlarged again"
CANVAS = "images at random places of a larger canvas"
WEIGHTED = "training images of each class drawn equally often"
NO_DATASET = {"malaria": "images of many shapes stretched to squares", "resizedmalaria": SHRUNK, "resizedimagenet": SHRUNK,
              "resizedinaturalist": SHRUNK, "reflectbordercifar10": "a border that reflects the image",
              "cifar10smallrandompositioning": CANVAS, "cifar10smallrandompositioningnoise": CANVAS + " of noise",
              "mnistsmallrandompositioning": CANVAS, "ageface": WEIGHTED, "agefacev2": WEIGHTED, "agefacev3": WEIGHTED,
              "urbansounds": WEIGHTED}

# ---- optimizers and metrics ----

SGD = "optimizer: sgd, learning_rate: 0.1, momentum: 0.9, weight_decay: {decay}, schedule: {{step: {step}, gamma: 0.1}}"
OPTIMIZERS = {"adam": "optimizer: adam, learning_rate: 0.001, weight_decay: 0",
              "sgd": "optimizer: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 5.0e-4",
              **{name: SGD.format(decay="5.0e-4", step=step) for name, step in (("lrs", 10), ("lrs60", 20), ("lrs90", 30), ("lrs180", 50))},
              **{name: SGD.format(decay="1.0e-4", step=step) for name, step in (("lrs_imgnet", 10), ("lrs60_imgnet", 20))}}
OPTIMIZER_NOTES = {"lrs": "lrs is taken as phd-lab defined it from commit 6fdc811 to a9de073. An early copy has steps of 30 epochs; at commit "
                          "fad58d4 momentum and weight decay are 0, and at 62e1971 the learning rate is"}
NO_OPTIMIZER = {"noopt": "learning rate 0", "adamw": "decoupled weight decay", "radam": "rectified Adam"}
MEASURED = {"accuracy", "top5accuracy", "mcc", "recall", "sensitivity"}  # metrics that results hold
