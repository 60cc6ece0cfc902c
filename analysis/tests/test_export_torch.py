"""The exporter of PyTorch networks: each is described, and the description, computed by described.py, gives PyTorch's logits; what
cannot be expressed is named. With EIGENSCOPE, the program computes the logits, too. Skipped without PyTorch; any version from
1.13 on."""
import copy
import math
import os
import pathlib
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import convert_checkpoint  # noqa: E402
import export_network  # noqa: E402
from described import Described  # noqa: E402

CLASSES = 5


def spread(model):
    """Gives all weights and statistics values that matter."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in list(model.named_parameters()) + list(model.named_buffers()):
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator)
                fan = math.prod(tensor.shape[1:]) if tensor.dim() > 1 else 16
                tensor.copy_(1 + 0.2 * noise.abs() if "var" in name or (tensor.dim() == 1 and "weight" in name) else noise / fan**0.5)
    return model.eval()


def compare(model, tmp_path, resolution=16, program=True):
    """Exports a model, computes its description in two ways, and returns [(operation, settings)]."""
    spread(model)
    made = export_network.trace(model, resolution)
    items = export_network.items_of(made.layers)
    images = export_network.random_images(3, export_network.pair_of(resolution), 1)
    expected = export_network.logits_of(model, images)
    found = Described(items, made.weights, CLASSES).run(images).numpy()
    assert found.shape == expected.shape == (3, CLASSES)
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
    if program and "EIGENSCOPE" in os.environ:
        to, weights = str(tmp_path / "net.yaml"), str(tmp_path / "net.safetensors")
        export_network.export(model, to, weights, resolution)
        export_network.check(model, to, weights, resolution)
    return items, made.notes


def operations(items):
    return [op for op, _ in items]


class Net(nn.Module):
    """A stem of 8 channels, what a test wants, and a classifier."""

    def __init__(self, features=8, **modules):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8, eps=1e-3, momentum=0.01)
        for name, module in modules.items():
            setattr(self, name, module)
        self.fc = nn.Linear(features, CLASSES)

    def body(self, x):
        return x

    def forward(self, x):
        x = self.body(F.relu(self.bn(self.stem(x)), inplace=True))
        return self.fc(x.mean([2, 3]) if x.dim() == 4 else x)


class Tokens(Net):
    """A body that gets tokens (N, T, C) of 4 x 4 patches."""

    def __init__(self, **modules):
        super().__init__(16, patch=nn.Conv2d(8, 16, 4, 4), norm=nn.LayerNorm(16, eps=1e-6), **modules)

    def forward(self, x):
        x = self.patch(self.bn(self.stem(x))).flatten(2).transpose(1, 2)
        return self.fc(self.norm(self.body(x)).mean(dim=1))


# ---- networks of many kinds ----

def test_sequential(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 6, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 1)), nn.BatchNorm2d(6), nn.ReLU6(),
                          nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), nn.GroupNorm(3, 6), nn.LeakyReLU(0.2),
                          nn.MaxPool2d(2, ceil_mode=True), nn.Flatten(), nn.Dropout(0.3), nn.Linear(6 * 3 * 5, 12), nn.BatchNorm1d(12),
                          nn.Tanh(), nn.Linear(12, CLASSES))
    items, notes = compare(model, tmp_path)
    assert not notes
    assert items[0] == ("conv", {"name": "0", "channels": 6, "kernel": [3, 5], "stride": [2, 1], "padding": [1, 2]})
    assert ("avg_pool", {"name": "3", "kernel": 3, "stride": 2, "padding": 1, "ceil": True, "count_padding": False}) in items
    assert items[-1] == ("linear", {"name": "12", "features": "classes"})


class Excited(Net):
    """Squeeze-and-excitation, with the functions of several people."""

    def __init__(self, gate, act):
        super().__init__(down=nn.Conv2d(8, 4, 1), up=nn.Conv2d(4, 8, 1), deep=nn.Conv2d(8, 8, 3, padding="same", groups=8))
        self.gate, self.act = gate, act

    def body(self, x):
        x = self.act(self.deep(x))
        s = self.gate(self.up(self.act(self.down(F.adaptive_avg_pool2d(x, 1)))))
        return s * x


@pytest.mark.parametrize("gate, act, op", [
    (torch.sigmoid, F.silu, "sigmoid"), (F.hardsigmoid, F.hardswish, "hard_sigmoid"),
    (lambda x: F.relu6(x + 3) / 6, lambda x: x * F.relu6(x + 3.0) / 6.0, "hard_sigmoid"),
    (lambda x: (x + 3).clamp(0, 6) * (1 / 6), F.gelu, "hard_sigmoid"), (nn.Hardsigmoid(), nn.GELU(approximate="tanh"), "hard_sigmoid")])
def test_excitation(tmp_path, gate, act, op):
    items, _ = compare(Excited(gate, act), tmp_path)
    assert op in operations(items) and "product" in operations(items)
    assert dict(items[3][1])["groups"] == "channels" or items[2][0] != "relu"


def test_settings_of_batch_norm(tmp_path):
    items, _ = compare(Net(), tmp_path)
    assert items[1] == ("batch_norm", {"name": "bn", "epsilon": 0.001, "momentum": 0.01})


class Shuffled(Net):
    def body(self, x):
        a, b = x.chunk(2, dim=1)
        c, d = torch.split(x, [3, 5], dim=1)
        x = torch.cat((b, a[:, 1:], torch.cat([c, d], 1)[:, :1]), 1)
        n, c, h, w = x.size()
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)
        return F.relu(x)[:, :, ::2, ::2]


def test_shuffle(tmp_path):
    items, _ = compare(Shuffled(), tmp_path)
    assert ("shuffle", {"name": "shuffle", "groups": 2}) in items
    assert [s["first"] for op, s in items if op == "slice"][:2] != []


class Block(nn.Module):
    """ConvNeXt's block as its authors wrote it, with a layer scale of one axis."""

    def __init__(self, c):
        super().__init__()
        self.dwconv, self.norm = nn.Conv2d(c, c, 7, padding=3, groups=c), nn.LayerNorm(c, eps=1e-6)
        self.pwconv1, self.act, self.pwconv2 = nn.Linear(c, 4 * c), nn.GELU(), nn.Linear(4 * c, c)
        self.gamma = nn.Parameter(1e-6 * torch.ones(c))

    def forward(self, x):
        y = self.dwconv(x).permute(0, 2, 3, 1)
        y = self.gamma * self.pwconv2(self.act(self.pwconv1(self.norm(y))))
        return x + y.permute(0, 3, 1, 2)


class ChannelsFirst(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c))

    def forward(self, x):
        return F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-6).permute(0, 3, 1, 2)


class Next(Net):
    def body(self, x):
        return self.norm(self.block(x))


def test_convnext(tmp_path):
    items, _ = compare(Next(block=Block(8), norm=ChannelsFirst(8)), tmp_path)
    by_name = {settings["name"]: (op, settings) for op, settings in items}
    assert by_name["block.pwconv1"] == ("linear", {"name": "block.pwconv1", "features": 32, "each": True})
    assert by_name["block.gamma"][1]["tensors"] == {"weight": "block.gamma"}
    assert by_name["norm"] == ("layer_norm", {"name": "norm", "epsilon": 1e-06})


class Attention(nn.Module):
    """Attention in three ways."""

    def __init__(self, c, heads, how):
        super().__init__()
        self.heads, self.how, self.scale = heads, how, (c // heads) ** -0.5
        self.qkv, self.proj, self.drop = nn.Linear(c, 3 * c), nn.Linear(c, c), nn.Dropout(0.1)
        self.q, self.k, self.v = nn.Linear(c, c), nn.Linear(c, c), nn.Linear(c, c)

    def forward(self, x):
        n, t, c = x.shape
        if self.how == "separate":
            q, k, v = (f(x).view(n, t, self.heads, c // self.heads).transpose(1, 2) for f in (self.q, self.k, self.v))
        elif self.how == "chunks":
            q, k, v = (part.reshape(n, t, self.heads, -1).permute(0, 2, 1, 3) for part in self.qkv(x).chunk(3, dim=-1))
        else:
            q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        if self.how == "fused" and hasattr(F, "scaled_dot_product_attention"):
            y = F.scaled_dot_product_attention(q, k, v)
        elif self.how == "chunks":
            y = self.drop(((q @ k.transpose(-2, -1)) / math.sqrt(c // self.heads)).softmax(dim=-1)) @ v
        else:
            y = torch.matmul(F.softmax(torch.matmul(q * self.scale, k.transpose(-1, -2)), dim=-1), v)
        return self.proj(y.transpose(1, 2).reshape(n, t, c))


class Attending(Tokens):
    def body(self, x):
        return x + self.attention(x)


@pytest.mark.parametrize("how", ["fused", "chunks", "separate", "by hand"])
def test_attention(tmp_path, how):
    items, notes = compare(Attending(attention=Attention(16, 4, how)), tmp_path)
    assert ("attention", 4) in [(op, settings.get("heads")) for op, settings in items]
    assert ("concat" in operations(items)) == (how == "separate") and "slice" not in operations(items)
    assert ("dropout of attention" in " ".join(notes)) == (how == "chunks")


class Vision(Tokens):
    """A class token and a learned position, picked at the end."""

    def __init__(self, layer):
        super().__init__(layer=layer)
        self.cls, self.pos = nn.Parameter(torch.zeros(1, 1, 16)), nn.Parameter(torch.zeros(1, 17, 16))

    def forward(self, x):
        x = self.patch(self.bn(self.stem(x))).flatten(2).permute(0, 2, 1)
        x = torch.cat((self.cls.expand(x.shape[0], -1, -1), x), dim=1)
        x = self.layer(x + self.pos[:, :x.shape[1]])
        return self.fc(self.norm(x)[:, 0])


@pytest.mark.parametrize("first", [True, False])
def test_transformer_layer(tmp_path, first):
    layer = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 24, 0.1, "gelu", batch_first=True, norm_first=first), 2,
                                  **({} if first else {"norm": nn.LayerNorm(16)}), enable_nested_tensor=False)
    items, notes = compare(Vision(layer), tmp_path)
    assert ("self_attention", {"name": "layer.layers.1.self_attn", "heads": 4}) in [
        (op, {key: value for key, value in settings.items() if key != "from"}) for op, settings in items]
    assert ("class_token", {"name": "cls", "tensors": {"weight": "cls"}}) in items and "pick" in operations(items)
    assert any("dropout of attention (0.1)" in note for note in notes)


class DropPath(nn.Module):
    def __init__(self, drop_prob):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x):
        return x


class Deep(Net):
    def body(self, x):
        return x + self.drop(self.conv(F.pad(x, (1, 1, 1, 1))))


def test_drop_path(tmp_path):
    items, _ = compare(Deep(conv=nn.Conv2d(8, 8, 3), drop=DropPath(0.2)), tmp_path)
    assert ("drop_path", {"name": "drop", "rate": 0.2}) in items
    assert dict(items)["sum"]["from"] == ["relu", "drop"] and items[3][1]["padding"] == 1


def test_branches_on_shapes(tmp_path):
    class Branching(Net):
        def body(self, x):
            while x.shape[-1] > 4:
                x = F.max_pool2d(x, 2) if x.shape[1] == 8 else x
            return torch.flatten(x, 1)
    items, _ = compare(Branching(features=128), tmp_path)
    assert operations(items).count("max_pool") == 2


def test_numbers(tmp_path):
    class Scaled(Net):
        def body(self, x):
            return x + 0.2 * self.conv(x) / 3

        def forward(self, x):
            return super().forward(x) * 0.5
    items, notes = compare(Scaled(conv=nn.Conv2d(8, 8, 1)), tmp_path)
    assert ("layer_scale", {"name": "layer_scale", "initial": 0.06666667}) in items
    assert notes[0] == "the model (Scaled) multiplies by 0.0666667, which is stored as a layer scale, and training would change it"
    assert operations(items)[-1] == "layer_scale" and len(notes) == 2


def test_norm_without_weights(tmp_path):
    class Bare(Net):
        def body(self, x):
            return self.norm(x)
    _, notes = compare(Bare(norm=nn.BatchNorm2d(8, affine=False)), tmp_path)
    assert "norm (BatchNorm2d) has weight a constant; it is stored as norm.weight, and training would change it" in notes


# ---- torchvision's families, small; as large as they are: tests/fixtures/torch/zoo.py ----

def family(name):
    models = pytest.importorskip("torchvision").models
    from torchvision.models import convnext, regnet
    make = {
        "densenet": lambda: models.DenseNet(8, (2, 2), 8, num_classes=CLASSES, drop_rate=0.1),
        "resnext": lambda: models.ResNet(models.resnet.Bottleneck, [1, 1, 1, 1], CLASSES, groups=4, width_per_group=4),
        "shufflenet": lambda: models.ShuffleNetV2([1, 2, 1], [8, 8, 16, 32, 16], CLASSES),
        "squeezenet": lambda: models.squeezenet1_1(num_classes=CLASSES),
        "mnasnet": lambda: models.MNASNet(0.25, CLASSES),
        "mobilenet_v3": lambda: models.mobilenet_v3_small(num_classes=CLASSES, width_mult=0.25),
        "efficientnet": lambda: models.efficientnet.EfficientNet(
            [models.efficientnet.MBConvConfig(1, 3, 1, 16, 8, 1), models.efficientnet.MBConvConfig(4, 5, 2, 8, 16, 2),
             models.efficientnet.FusedMBConvConfig(2, 3, 1, 16, 16, 1)], 0.2, num_classes=CLASSES, last_channel=64),
        "regnet": lambda: regnet.RegNet(regnet.BlockParams.from_init_params(depth=4, w_0=16, w_a=8.0, w_m=2.0, group_width=8,
                                                                            se_ratio=0.25), CLASSES, stem_width=8),
        "convnext": lambda: convnext.ConvNeXt([convnext.CNBlockConfig(8, 16, 2), convnext.CNBlockConfig(16, None, 1)], 0.1,
                                              num_classes=CLASSES),
        "vit": lambda: models.VisionTransformer(32, 8, 2, 4, 32, 48, dropout=0.1, num_classes=CLASSES),
    }
    torch.manual_seed(1)
    return make[name]()


@pytest.mark.parametrize("name", ["densenet", "resnext", "shufflenet", "squeezenet", "mnasnet", "mobilenet_v3", "efficientnet", "regnet",
                                  "convnext", "vit"])
def test_torchvision(tmp_path, name):
    """The state_dict of the network itself fits the description, too."""
    model = family(name)
    compare(model, tmp_path, 32)
    if "EIGENSCOPE" not in os.environ:
        return
    convert_checkpoint.write_safetensors(tmp_path / "own.safetensors", {key: value.numpy() for key, value in model.state_dict().items()})
    export_network.check(model, str(tmp_path / "net.yaml"), str(tmp_path / "own.safetensors"), 32)


@pytest.mark.skipif("EIGENSCOPE" not in os.environ, reason="needs the program")
def test_eigenvalues():
    pytest.importorskip("torchvision")
    pytest.importorskip("h5py")
    sys.path.insert(0, str(HERE.parent.parent / "tests" / "fixtures" / "torch"))
    import zoo
    found = zoo.Comparison("shufflenet_v2_x0_5", 16, 32, 1)
    assert found.good, str(found)


class Patches(Net):
    """Attention straight on a map: nothing has made tokens of it before."""

    def body(self, x):
        x = x.flatten(2).transpose(1, 2)
        return self.layer(x)

    def forward(self, x):
        return self.fc(self.body(self.stem(x)).mean(1))


@pytest.mark.parametrize("first", [True, False])
def test_attention_on_patches(tmp_path, first):
    class First(Patches):
        def body(self, x):
            x = x.flatten(2).permute(2, 0, 1)
            return self.layer(x, x, x)[0].transpose(0, 1)
    made = Patches(layer=nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)) if first else First(layer=nn.MultiheadAttention(8, 2))
    items, _ = compare(made, tmp_path)
    assert operations(items)[1:3] == ["tokens", "self_attention"]


def test_parts_of_multiplied_values(tmp_path):
    class Parted(Net):
        def body(self, x):
            a, b = (3 * self.c(x)).unflatten(1, (2, 8)).unbind(1)
            return a + b.tanh()
    compare(Parted(c=nn.Conv2d(8, 16, 1)), tmp_path)


def test_input_by_name(tmp_path):
    class Named(Net):
        def body(self, x):
            return F.silu(input=F.gelu(input=x))
    found = operations(compare(Named(), tmp_path)[0])
    assert found[found.index("gelu") + 1] == "silu"


def test_module_named_input(tmp_path):
    """The name input is that of the images."""
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.input, self.c, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, CLASSES)

        def forward(self, x):
            x = self.input(x)
            return self.fc((self.c(x) + x).mean((2, 3)))
    items, _ = compare(Named(), tmp_path)
    assert items[0][1]["name"] == "input_2" and items[0][1]["tensors"] == {"weight": "input.weight", "bias": "input.bias"}


def test_added_image(tmp_path):
    """A network that no other width has: its maps are added to the images."""
    class Added(nn.Module):
        def __init__(self):
            super().__init__()
            self.c, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, CLASSES)

        def forward(self, x):
            return self.fc((self.c(x) + x).mean((2, 3)))
    compare(Added(), tmp_path)


def test_added_heads(tmp_path):
    class Added(Net):
        def forward(self, x):
            x = self.stem(x).mean((2, 3))
            return self.fc(x) + self.other(x.tanh())
    items, _ = compare(Added(other=nn.Linear(8, CLASSES)), tmp_path)
    assert [settings["features"] for op, settings in items if op == "linear"] == ["classes", "classes"]


def test_check_of_zeros(tmp_path, monkeypatch):
    """Logits that are all zero before training show nothing; the check repeats with random numbers."""
    model, given, wrong = Net().eval(), [], 1.0
    nn.init.zeros_(model.fc.weight)
    nn.init.zeros_(model.fc.bias)
    to, weights = str(tmp_path / "net.yaml"), str(tmp_path / "net.safetensors")

    def program(_, description, file, images):
        assert description == to
        state = {name: torch.tensor(value) for name, value in convert_checkpoint.read_safetensors(file)[0].items()}
        given.append(bool(state["fc.weight"].any()))
        other = copy.deepcopy(model)
        other.load_state_dict(state, strict=False)
        return export_network.logits_of(other, images) * wrong
    monkeypatch.setattr(export_network, "run_program", program)
    export_network.export(model, to, weights, 16)
    assert export_network.hiding(model) == ["fc.weight"]
    assert export_network.check(model, to, weights, 16, "any")[1] > 0.1
    wrong = 1.1
    with pytest.raises(export_network.ExportError, match="differ from PyTorch's"):
        export_network.check(model, to, weights, 16, "any")
    assert given == [False, True, False, True]
    assert not model.fc.weight.any()


# ---- what cannot be expressed ----

def refusal(body, **modules):
    class Refused(Net):
        def forward(self, x):
            return body(self, self.stem(x))
    with pytest.raises(export_network.ExportError) as caught:
        export_network.trace(Refused(**modules), 16)
    return str(caught.value)


def test_refusals():
    def several(net, x):
        x = F.softplus(x)
        x = net.up(net.elu(x))
        return net.fc(x.mean((2, 3)))
    words = refusal(several, up=nn.Upsample(scale_factor=2), elu=nn.ELU())
    assert words.startswith("the network has 3 operations that eigenscope cannot express:\n  the model (Refused): softplus is no operation")
    assert "elu (ELU): elu is no operation of eigenscope (" in words and "up (Upsample): interpolate is no operation" in words
    assert words.count("test_export_torch.py:") == 3
    for body, modules, part in [
            (lambda net, x: net.fc(net.elu(x).mean((2, 3))), {"elu": nn.ELU()}, "elu (ELU): elu is no operation of eigenscope"),
            (lambda net, x: net.fc(net.c(net.c(x)).mean((2, 3))), {"c": nn.Conv2d(8, 8, 1)}, "uses c.weight a second time"),
            (lambda net, x: F.softmax(net.fc(x.mean((2, 3))), 1), {}, "the output must be logits"),
            (lambda net, x: net.fc(x.mean((2, 3)) + 2), {}, "to which a number was added"),
            (lambda net, x: net.fc((x + x.flip(3)).mean((2, 3))), {}, "flip is no operation"),
            (lambda net, x: net.fc(x.mean((2, 3)) if x.mean() > 0 else x.amax((2, 3))), {}, "averages over everything"),
            (lambda net, x: net.fc(x.mean((2, 3)) if x[0, 0, 0, 0] > 0 else x.amax((2, 3))), {}, "takes one index"),
            (lambda net, x: net.fc(F.pad(x, (0, 0, 0, 0, 1, 1))[:, :8].mean((2, 3))), {}, "pads other than rows and columns"),
            (lambda net, x: net.fc(net.d(x).mean((2, 3))), {"d": nn.ConvTranspose2d(8, 8, 2)}, "d (ConvTranspose2d): conv_transpose2d"),
            (lambda net, x: x, {}, "it must be (N, classes)"),
            (lambda net, x: torch.cat([net.fc(x.mean((2, 3)))] * 2, 1), {}, "must be that of a linear layer or convolution"),
            (lambda net, x: net.fc(net.m(*[x.flatten(2).transpose(1, 2)] * 2, 2 * x.flatten(2).transpose(1, 2))[0].mean(1)),
             {"m": nn.MultiheadAttention(8, 2, batch_first=True)}, "attends to other tokens than its own"),
            (lambda net, x: net.fc((x * x.mean(1, keepdim=True)).mean((2, 3))), {}, "averages over other axes")]:
        assert part in refusal(body, **modules), part


def test_refusals_of_modules():
    """Where only modules of PyTorch call each other there is no line of the user."""
    with pytest.raises(export_network.ExportError) as caught:
        export_network.trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ELU()), 16)
    assert str(caught.value).endswith("\n  1 (ELU): elu is no operation of eigenscope")


def test_failing_network():
    with pytest.raises(Exception, match="the network on 2 images of 3 x 4 x 4 failed: RuntimeError: .* at test_export_torch.py"):
        export_network.trace(Next(block=nn.Conv2d(8, 8, 7), norm=nn.Identity()), 4)
    with pytest.raises(export_network.ExportError, match="takes 1 channel, but eigenscope's images have 3"):
        export_network.trace(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), 8)


# ---- the command ----

def command(monkeypatch, capsys, *arguments):
    """Runs the command in this process; returns (standard output, message)."""
    monkeypatch.setattr(sys, "argv", ["export_network.py", *arguments])
    try:
        export_network.main()
    except SystemExit as error:
        return capsys.readouterr().out, str(error)
    return capsys.readouterr().out, ""


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def build(num_classes=4):\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))\n"
        "def nothing():\n    return 3\n")
    files = ["--to", "net.yaml", "--weights", "net.safetensors"]
    done = command(monkeypatch, capsys, "mine.py:build", *files, "--classes", "7", "--fixed", "0", "--no-check")
    assert done == ("net.yaml: 4 operations\nnet.safetensors: 4 tensors, 147 numbers\nnot checked\n", "")
    assert (tmp_path / "net.yaml").read_text().splitlines()[1:] == [
        "layers:", '  - conv: {name: "0", channels: 4, kernel: 3, fixed: true}', '  - relu: {name: "1"}',
        '  - adaptive_avg_pool: {name: "2"}', '  - linear: {name: "4", features: classes}']
    tensors, _, _ = convert_checkpoint.read_safetensors(tmp_path / "net.safetensors")
    assert {name: value.shape for name, value in tensors.items()} == {
        "0.weight": (4, 3, 3, 3), "0.bias": (4,), "4.weight": (7, 4), "4.bias": (7,)}
    state = {name: torch.full(value.shape, 0.5) for name, value in tensors.items()}
    torch.save({"model": state, "epoch": 3}, tmp_path / "trained.pt")
    done = command(monkeypatch, capsys, "mine.py:build", *files, "--classes", "7", "--load", "trained.pt", "--no-check")
    assert done[1] == ""
    assert (convert_checkpoint.read_safetensors(tmp_path / "net.safetensors")[0]["4.weight"] == 0.5).all()
    for arguments, words in [
            (["mine.py:nothing"], "mine.py:nothing returned int; it must return a torch.nn.Module"),
            (["mine.py:other"], "mine.py has no function other; it has build, nothing"),
            (["mine.py:nothing", "--classes", "3"], "mine.py:nothing takes no num_classes, so --classes cannot set it"),
            (["mine.py:build", "--load", "trained.pt"], "trained.pt does not fit the network: Error"),
            (["mine.py:build", "--resolution", "2"], "the network on 2 images of 3 x 2 x 2 failed: RuntimeError"),
            (["mine.py:build", "--program", "/nowhere/eigenscope"], "/nowhere/eigenscope does not start")]:
        _, message = command(monkeypatch, capsys, *arguments, *files, *([] if "--program" in arguments else ["--no-check"]))
        assert message.startswith(f"export_network: {words}"), message
