"""Descriptions (`layers`) of networks of phd-lab that no built-in model is: its ResNets with other blocks, DenseNets, EfficientNets, networks
with parallel paths. Names are those of the authors' modules, so that their weights fit. A description is nested lists and
dictionaries; described() writes it as YAML."""

OUT = {"init": "kaiming_fan_out"}  # of phd-lab's ResNets and VGGs; other networks have PyTorch's default


def conv(name, channels, kernel, stride=1, padding=None, bias=False, **more):
    """A convolution; the padding keeps the size at stride 1."""
    padding = (kernel - 1) // 2 * more.get("dilation", 1) if padding is None else padding
    own = {"name": name, "channels": channels, "kernel": kernel, "stride": stride, "padding": padding, "bias": bias, **more}
    default = {"stride": 1, "padding": 0, "bias": True, "dilation": 1, "groups": 1}
    return {"conv": {key: value for key, value in own.items() if default.get(key) != value or key == "name"}}


def norm(name):
    return {"batch_norm": {"name": name}}


def scope(name, layers):
    return {"scope": {"name": name, "layers": layers}}


def repeated(times, layers):
    return [] if times == 0 else layers if times == 1 and "{i" not in str(layers) else [{"repeat": {"times": times, "layers": layers}}]


def head(name="fc", **more):
    return ["adaptive_avg_pool", {"linear": {"name": name, "features": "classes", **more}}]


# ---- ResNets of phd-lab (models/resnet.py at 8bc3177, models/resnetModified.py) ----

def basic(channels, stride, init):
    return [conv("conv1", channels, 3, stride, **init), norm("bn1"), "relu", conv("conv2", channels, 3, **init), norm("bn2")]


def bottleneck(channels, stride, init):
    return [conv("conv1", channels, 1, **init), norm("bn1"), "relu", conv("conv2", channels, 3, stride, **init), norm("bn2"), "relu",
            conv("conv3", 4 * channels, 1, **init), norm("bn3")]


def inverted(depthwise=False, excited=False):
    def block(channels, stride, init):
        inner = 2 * channels
        path = [conv("conv1", inner, 1, **init), norm("bn1"), "relu",
                conv("conv2", inner, 3, stride, **({"groups": "channels"} if depthwise else {}), **init), norm("bn2"), "relu",
                conv("conv3", channels, 1, **init), norm("bn3")]
        return path + (excitation(channels, channels // 4) if excited else [])
    return block


def excitation(channels, reduced):
    """SELayer: the mean over positions, two linear layers without bias, and a factor for each channel of the output before it."""
    path = ["adaptive_avg_pool", {"linear": {"name": "fc.0", "features": reduced, "bias": False}}, "relu",
            {"linear": {"name": "fc.2", "features": channels, "bias": False}}, "sigmoid"]
    return [scope("se", [{"parallel": {"join": "product", "branches": [[], path]}}])]


def resnet(blocks, block=basic, plain=(), stem=(7, 2, True), skip_kernel=0, widths=(64, 128, 256, 512, 512, 512, 512, 512), expansion=1,
           names=("downsample", "fc"), init=OUT, fixed_stem=False):
    """`blocks`: number of blocks in each stage. `plain`: stages (from 0) without skip connections, or for a stage a list of
    True for each such block. `stem`: kernel, stride, max pooling. `skip_kernel`: a convolution in every skip connection."""
    kernel, stride, pool = stem
    layers = [conv("conv1", 64, kernel, stride, **init, **({"fixed": True} if fixed_stem else {})), norm("bn1"), "relu"]
    layers += [{"max_pool": {"kernel": 3, "stride": 2, "padding": 1}}] if pool else []
    inputs = 64
    for stage, times in enumerate(blocks):
        bare = plain.get(stage, False) if isinstance(plain, dict) else stage in plain
        for i in range(times):
            channels, step = widths[stage], 2 if stage > 0 and i == 0 else 1
            path = block(channels, step, init)
            without = bare[i] if isinstance(bare, (list, tuple)) else bare
            if not without:
                changes = step != 1 or inputs != expansion * channels or (fixed_stem and stage == 0 and i == 0)
                shortcut = [conv(f"{names[0]}.0", expansion * channels, skip_kernel or 1, step, **init), norm(f"{names[0]}.1")]
                path = [{"residual": {"layers": path, **({"shortcut": shortcut} if changes or skip_kernel else {})}}]
            layers.append(scope(f"layer{stage + 1}.{i}", [*path, "relu"]))
            inputs = expansion * channels
    return layers + head(names[1])


# ---- VGGs of phd-lab with other convolutions (models/vgg.py at a9de073) ----

def vgg(stages, dilation=1, init=None):
    """`stages`: channels, (channels, stride, kernel), or "M". The padding is phd-lab's: the extent of the kernel less 2."""
    init = {"init": "kaiming_fan_out", "bias_init": "zero"} if init is None else init
    layers, place, channels = [], 0, 0
    for item in stages:
        if item == "M":
            layers.append({"max_pool": {"kernel": 2}})
            place += 1
            continue
        channels, stride, kernel = item if isinstance(item, tuple) else (item, 1, 3)
        padding = dilation * (kernel - 1) - 1 if kernel == 3 else kernel - 2
        layers += [conv(f"features.{place}", channels, kernel, stride, padding, True, **({"dilation": dilation} if dilation > 1 else {}), **init),
                   norm(f"features.{place + 1}"), "relu"]
        place += 3
    small = {"init": "normal_001", "bias_init": "zero"} if init else {}
    return layers + ["adaptive_avg_pool", "flatten", norm("classifier.0"), {"dropout": {"rate": 0.25}},
                     {"linear": {"name": "classifier.2", "features": channels // 2, **small}}, "relu", norm("classifier.4"),
                     {"dropout": {"rate": 0.25}}, {"linear": {"name": "classifier.6", "features": "classes", **small}}]


# ---- parallel paths (models/multipath.py at ee99726) ----

def mpnet(stages, lengths, kernels, dilations=(1, 1)):
    """`lengths`, `kernels` and `dilations` of the convolutions of each path. The last convolution of a stage's last block has stride 2."""
    def path(number, channels, stride):
        def one(i, step):
            return [conv(f"layers.{i}.0", channels, kernels[number], step, dilation=dilations[number]), norm(f"layers.{i}.1"), "relu"]
        last = lengths[number] - 1
        return [scope(f"pathway{number}", [*repeated(last, one("{i}" if last > 1 else 0, 1)), *one(last, stride)])]

    def block(channels, stride):
        paths = [path(number, channels, stride) for number in range(len(lengths))]
        return paths[0] if len(paths) == 1 else [{"parallel": {"join": "sum", "branches": paths}}]
    layers = [conv("conv1", 64, 3), norm("bn1"), "relu"]
    for stage, blocks in enumerate(stages):
        channels, last = 64 << stage, blocks - 1
        if blocks:
            layers += repeated(last, [scope(f"stage{stage + 1}.{{i}}", block(channels, 1))]) if last else []
            layers.append(scope(f"stage{stage + 1}.{last}", block(channels, 2)))
    return layers + head("linear")


def msnet(blocks, small=False, first=True, second=True, linear=False, act="relu"):
    """msnet.py at 8c9ae65; linear: msnet2.py at 21c2ca5, whose transitions have no batch norm and are always there. Every second
    position (interpolate with scale 0.5) is taken by pooling with kernel 1 and stride 2."""
    layers = [conv("stem.0", 64, 3), norm("stem.1"), act] if small else \
             [conv("stem.0", 64, 7, 2), norm("stem.1"), act, {"max_pool": {"kernel": 3, "stride": 2, "padding": 1}}]

    def stage(number, channels, down):
        for i in range(blocks[number - 1]):
            for k in (1, 2):
                last = i == blocks[number - 1] - 1 and k == 2
                layers.extend([conv(f"stage{number}.{i}.conv{k}.0", channels, 3, 2 if down and i == 0 and k == 2 else 1, bias=True),
                               norm(f"stage{number}.{i}.conv{k}.1"), {act: {"name": f"stage{number}"}} if last else act])

    def transition(number, there, sources, channels):
        if there:
            parts = []
            for source, step in sources:
                parts.append(source if step == 1 else f"small{number}.{source}")
                if step > 1:
                    layers.append({"max_pool": {"kernel": 1, "stride": step, "from": source, "name": f"small{number}.{source}"}})
            layers.append({"concat": {"from": parts}})
        if there or linear:
            layers.append(conv(f"transition{number}.compress.0", channels, 1))
            layers.extend([] if linear else [norm(f"transition{number}.compress.1")])
    stage(1, 64, False)
    stage(2, 128, True)
    transition(1, first, (("stage1", 2), ("stage2", 1)), 256 if linear else 128)
    stage(3, 256, True)
    transition(2, second, (("stage1", 4), ("stage2", 2), ("stage3", 1)), 512 if linear else 256)
    stage(4, 512, True)
    return layers + head("classifier")


def fatnet():
    """fatnet.py at 1038900, without its softmax."""
    def step(name, channels, kernel, stride=1):
        return [conv(f"{name}.0", channels, kernel, stride), norm(f"{name}.1"), "relu"]
    layers = step("stem.conv1", 256, 3)
    for i, (channels, scale) in enumerate(((512, 5), (1024, 3), (1024, 3))):
        path = step("conv1", channels, scale, scale) + step("conv2", channels, scale) + step("conv3", channels, scale)
        layers.append(scope(f"block{i}", [{"residual": {"layers": path, "shortcut": [conv("skip.0", channels, 1, scale)]}}]))
    return layers + head()


def alexnet():
    """torchvision's AlexNet, with as many outputs as there are classes."""
    layers, pool = [], {"max_pool": {"kernel": 3, "stride": 2}}
    for place, channels, kernel, stride, padding in ((0, 64, 11, 4, 2), (3, 192, 5, 1, 2), (6, 384, 3, 1, 1), (8, 256, 3, 1, 1), (10, 256, 3, 1, 1)):
        layers += [conv(f"features.{place}", channels, kernel, stride, padding, True), "relu", *([pool] if place in (0, 3, 10) else [])]
    layers.append({"adaptive_avg_pool": {"size": 6}})
    for place in (1, 4):
        layers += ["flatten"] if place == 1 else []
        layers += [{"dropout": {"rate": 0.5}}, {"linear": {"name": f"classifier.{place}", "features": 4096}}, "relu"]
    return layers + [{"linear": {"name": "classifier.6", "features": "classes"}}]


# ---- linear layers ----

def threenet(middle):
    """linear.py at 9f63ff4."""
    return ["flatten", {"linear": {"name": "first_layer.0", "features": 2 * middle}}, "relu",
            {"linear": {"name": "layers1.0", "features": middle}}, "relu", {"linear": {"name": "output", "features": "classes"}}]


def alainfc():
    """AlainFC of multipath.py at 00d98de: 128 layers and then 8, on the first channel of the images."""
    def many(name, times):
        return repeated(times, [{"linear": {"name": f"{name}.{{i}}.0", "features": 128}}, "relu"])
    return [{"slice": {"channels": 1}}, "flatten", {"linear": {"name": "first_layer.0", "features": 128}}, {"relu": {"name": "first"}},
            {"residual": {"layers": many("layers1", 128)}}, *many("layers2", 8), {"linear": {"name": "output", "features": "classes"}}]


# ---- torchvision's, with the authors' numbers ----

def densenet(blocks, growth=32, first=64):
    """densenet.py at 228929d, and torchvision's."""
    layers = [conv("features.conv0", first, 7, 2, **OUT), norm("features.norm0"), "relu", {"max_pool": {"kernel": 3, "stride": 2, "padding": 1}}]
    channels = first
    for number, times in enumerate(blocks, 1):
        layer = [norm("norm1"), "relu", conv("conv1", 4 * growth, 1, **OUT), norm("norm2"), "relu", conv("conv2", growth, 3, **OUT)]
        layers += repeated(times, [{"parallel": {"join": "concat", "branches": [
            [], [scope(f"features.denseblock{number}.denselayer{{i+1}}", layer)]]}}])
        channels += times * growth
        if number < len(blocks):
            name = f"features.transition{number}"
            channels //= 2
            layers += [norm(f"{name}.norm"), "relu", conv(f"{name}.conv", channels, 1, **OUT), {"avg_pool": {"kernel": 2}}]
    return layers + [norm("features.norm5"), "relu", *head("classifier", bias_init="zero")]


def excite(name, channels, squeezed, first, last):
    """torchvision's SqueezeExcitation with two convolutions."""
    path = ["adaptive_avg_pool", conv("fc1", squeezed, 1, bias=True, **OUT, bias_init="zero"), first,
            conv("fc2", channels, 1, bias=True, **OUT, bias_init="zero"), last]
    return scope(name, [{"parallel": {"join": "product", "branches": [[], path]}}])


def mobile_block(name, inputs, expanded, kernel, stride, outputs, act, squeezed, gates, normalised, drop=0.0):
    """An inverted bottleneck of EfficientNet or MobileNetV3."""
    def step(at, channels, size, step_=1, **more):
        return [conv(f"block.{at}.0", channels, size, step_, **more, **OUT), normalised(f"block.{at}.1")]
    path, at = [], 0
    if expanded != inputs:
        path += [*step(0, expanded, 1), act]
        at = 1
    path += [*step(at, expanded, kernel, stride, groups="channels"), act]
    if squeezed:
        at += 1
        path.append(excite(f"block.{at}", expanded, squeezed, *gates))
    path += step(at + 1, outputs, 1)
    path += [{"drop_path": {"rate": drop}}] if drop else []
    return scope(name, [{"residual": {"layers": path}}] if stride == 1 and inputs == outputs else path)


def efficientnet(stages):
    """efficentnet.py at 1038900. `stages`: (expansion, kernel, stride, inputs, outputs, blocks)."""
    layers = [conv("features.0.0", 32, 3, 2, **OUT), norm("features.0.1"), "silu"]
    total, done = sum(stage[5] for stage in stages), 0
    for number, (expansion, kernel, stride, inputs, outputs, blocks) in enumerate(stages, 1):
        for i in range(blocks):
            at = inputs if i == 0 else outputs
            layers.append(mobile_block(f"features.{number}.{i}", at, expansion * at, kernel, stride if i == 0 else 1, outputs, "silu",
                                       max(1, at // 4), ("silu", "sigmoid"), norm, round(0.2 * done / total, 6)))
            done += 1
    last, end = stages[-1][4], f"features.{len(stages) + 1}"
    return layers + [conv(f"{end}.0", 4 * last, 1, **OUT), norm(f"{end}.1"), "silu", "adaptive_avg_pool", {"dropout": {"rate": 0.2}},
                     {"linear": {"name": "classifier.1", "features": "classes", "bias_init": "zero"}}]


EFFICIENTNET_B0 = ((1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3), (6, 5, 1, 80, 112, 3),
                   (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1))
# inputs, kernel, expanded, outputs, excited, activation, stride
MOBILENET_V3_SMALL = ((16, 3, 16, 16, True, "relu", 2), (16, 3, 72, 24, False, "relu", 2), (24, 3, 88, 24, False, "relu", 1),
                      (24, 5, 96, 40, True, "hard_swish", 2), (40, 5, 240, 40, True, "hard_swish", 1), (40, 5, 240, 40, True, "hard_swish", 1),
                      (40, 5, 120, 48, True, "hard_swish", 1), (48, 5, 144, 48, True, "hard_swish", 1), (48, 5, 288, 96, True, "hard_swish", 2),
                      (96, 5, 576, 96, True, "hard_swish", 1), (96, 5, 576, 96, True, "hard_swish", 1))


def divisible(channels):
    """torchvision's _make_divisible by 8."""
    rounded = max(8, (channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def mobilenet_v3(blocks, last=1024):
    """mobilenet.py at 228929d."""
    def own(name):
        return {"batch_norm": {"name": name, "epsilon": 0.001, "momentum": 0.01}}
    small = {"init": "normal_001", "bias_init": "zero"}
    layers = [conv("features.0.0", 16, 3, 2, **OUT), own("features.0.1"), "hard_swish"]
    for number, (inputs, kernel, expanded, outputs, excited, act, stride) in enumerate(blocks, 1):
        layers.append(mobile_block(f"features.{number}", inputs, expanded, kernel, stride, outputs, act,
                                   divisible(expanded // 4) if excited else 0, ("relu", "hard_sigmoid"), own))
    end, channels = f"features.{len(blocks) + 1}", 6 * blocks[-1][3]
    return layers + [conv(f"{end}.0", channels, 1, **OUT), own(f"{end}.1"), "hard_swish", "adaptive_avg_pool",
                     {"linear": {"name": "classifier.0", "features": last, **small}}, "hard_swish", {"dropout": {"rate": 0.2}},
                     {"linear": {"name": "classifier.3", "features": "classes", **small}}]


def squeezenet(version=""):
    """squeeze.py at cd975f6 and torchvision's squeezenet1_1. Versions: as, ns, res, mp, mpns, dc."""
    init = {**OUT, "bias_init": "zero"}

    def fire(place, squeezed, expanded):
        one, three = "expand1x1", "expand3x3" if version == "" else "main_path.0"
        path = []
        if "ns" not in version:
            path += [conv(f"features.{place}.squeeze", expanded if version == "as" else squeezed, 1, bias=True, **init), "relu"]
        main = [conv(f"features.{place}.{three}", expanded, 3, bias=True, **init), "relu"]
        if version == "dc":
            main += [conv(f"features.{place}.main_path.2", expanded, 3, bias=True, **init), "relu"]
        if "mp" in version:
            return path + main
        side = [] if version == "res" else [conv(f"features.{place}.{one}", expanded, 1, bias=True, **init), "relu"]
        return path + [{"parallel": {"join": "concat", "branches": [side, main]}}]
    pool = {"max_pool": {"kernel": 3, "stride": 2, "ceil": True}}
    layers = [conv("features.0", 64, 3, 2, 0, True, **init), "relu", pool]
    for item in ((3, 16, 64), (4, 16, 64), None, (6, 32, 128), (7, 32, 128), None, (9, 48, 192), (10, 48, 192), (11, 64, 256), (12, 64, 256)):
        layers += [pool] if item is None else fire(*item)
    return layers + [{"dropout": {"rate": 0.5}}, conv("classifier.1", "classes", 1, bias=True, init="normal_001", bias_init="zero"), "relu",
                     "adaptive_avg_pool", "flatten"]


# ---- YAML ----

def plain(value):
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) and "{" in value else str(value)


def is_flat(value):
    return not isinstance(value, (dict, list, tuple)) or all(not isinstance(v, (dict, list, tuple)) for v in
                                                            (value.values() if isinstance(value, dict) else value))


def inline(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {inline(v)}" for k, v in value.items()) + "}"
    return "[" + ", ".join(map(inline, value)) + "]" if isinstance(value, (list, tuple)) else plain(value)


def lines_of(value, indent):
    """The lines of a list or a dictionary; values without lists inside are written on one line."""
    pad = " " * indent
    if isinstance(value, dict):
        for key, item in value.items():
            if is_flat(item) and not (isinstance(item, list) and item and key in ("layers", "shortcut")):
                yield f"{pad}{key}: {inline(item)}"
            else:
                yield f"{pad}{key}:"
                yield from lines_of(item, indent + 2)
        return
    for item in value:
        simple = not isinstance(item, (dict, list)) or (isinstance(item, dict) and all(is_flat(v) and "layers" not in v for v in item.values()
                                                                                   if isinstance(v, dict))) or item == []
        if simple:
            yield f"{pad}- {inline(item)[1:-1] if isinstance(item, dict) else inline(item)}"
        else:
            first, *rest = lines_of(item, indent + 2)
            yield f"{pad}- {first[indent + 2:]}"
            yield from rest


def described(layers, indent=4):
    """The lines of `layers: …`, indented."""
    return [" " * indent + "layers:", *lines_of(layers, indent + 2)]
