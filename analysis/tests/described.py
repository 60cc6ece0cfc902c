"""Computes a description of a network (export_network.items_of) with PyTorch, independently of the exporter's trace."""
import torch
from torch.nn import functional as F

SIMPLE = {"relu": F.relu, "relu6": F.relu6, "silu": F.silu, "sigmoid": torch.sigmoid, "hard_sigmoid": F.hardsigmoid,
          "hard_swish": F.hardswish, "tanh": torch.tanh, "dropout": lambda x: x, "drop_path": lambda x: x}


class Described:
    """A network of layers (operation, settings) with weights {name: array}. Values are (N, C, H, W), or (N, T, C) for tokens."""

    def __init__(self, items, weights, classes):
        self.items, self.classes = items, classes
        self.weights = {name: torch.from_numpy(value).double() for name, value in weights.items()}
        self.used = set()

    def run(self, images):
        values, before = {"input": images.double()}, "input"
        for op, settings in self.items:
            settings = dict(settings)
            name, source = settings.pop("name"), settings.pop("from", before)
            inputs = [values[key] for key in (source if isinstance(source, list) else [source])]
            assert name not in values, name
            self.name, self.tensors, self.input = name, settings.pop("tensors", {}), inputs[0]
            values[name] = self.layer(op, inputs, settings)
            before = name
        assert self.used == set(self.weights), self.used ^ set(self.weights)
        return values[before].flatten(1)

    def tensor(self, slot):
        name = self.tensors.get(slot, f"{self.name}.{slot}")
        self.used.add(name)
        return self.weights[name]

    def layer(self, op, inputs, s):
        if op in SIMPLE:
            return SIMPLE[op](inputs[0])
        return getattr(self, op)(*inputs, **s)

    def affine(self, bias=True):
        return self.tensor("weight"), self.tensor("bias") if bias else None

    def number(self, n):
        return self.classes if n == "classes" else n

    def conv(self, x, channels, kernel, stride=1, padding=0, dilation=1, groups=1, bias=True, fixed=False):
        weight, bias = self.affine(bias)
        groups = x.shape[1] if groups == "channels" else groups
        assert weight.shape[0] == self.number(channels)
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)

    def linear(self, x, features, bias=True, each=None, fixed=False):
        weight, bias = self.affine(bias)
        assert weight.shape[0] == self.number(features)
        if x.dim() == 3:
            return F.linear(x, weight, bias)
        if each:
            return F.linear(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)
        return F.linear(x.flatten(1), weight, bias)[:, :, None, None]

    def batch_norm(self, x, epsilon=1e-5, momentum=0.1):
        mean, var = self.tensor("running_mean"), self.tensor("running_var")
        if x.dim() == 3:
            return F.batch_norm(x.transpose(1, 2), mean, var, *self.affine(), eps=epsilon).transpose(1, 2)
        return F.batch_norm(x, mean, var, *self.affine(), eps=epsilon)

    def layer_norm(self, x, epsilon=1e-5):
        if x.dim() == 3:
            return F.layer_norm(x, x.shape[-1:], *self.affine(), epsilon)
        return F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], *self.affine(), epsilon).permute(0, 3, 1, 2)

    def group_norm(self, x, groups, epsilon=1e-5):
        return F.group_norm(x, groups, *self.affine(), epsilon)

    def gelu(self, x, approximate="none"):
        return F.gelu(x, approximate=approximate)

    def leaky_relu(self, x, slope=0.01):
        return F.leaky_relu(x, slope)

    def max_pool(self, x, kernel, stride=None, padding=0, dilation=1, ceil=False):
        return F.max_pool2d(x, kernel, stride, padding, dilation, ceil)

    def avg_pool(self, x, kernel, stride=None, padding=0, ceil=False, count_padding=True):
        return F.avg_pool2d(x, kernel, stride, padding, ceil, count_padding)

    def adaptive_avg_pool(self, x, size=1):
        if x.dim() == 3:
            return x.mean(1)[:, :, None, None]
        return F.adaptive_avg_pool2d(x, size)

    def sum(self, a, b):
        assert a.shape == b.shape
        return a + b

    def product(self, a, b):
        if a.dim() == 3 and b.dim() == 4:
            b = b.flatten(1)[:, None]
        return a * b

    def concat(self, *parts):
        return torch.cat(parts, 1 if parts[0].dim() == 4 else 2)

    def slice(self, x, first, channels, scaled=False):
        return x.narrow(1 if x.dim() == 4 else 2, first, channels)

    def shuffle(self, x, groups):
        n, c, h, w = x.shape
        return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)

    def flatten(self, x):
        return x.flatten(1)[:, :, None, None]

    def tokens(self, x):
        return x.flatten(2).transpose(1, 2)

    def class_token(self, x):
        return torch.cat([self.tensor("weight").expand(x.shape[0], -1, -1), x], 1)

    def position(self, x):
        return x + self.tensor("weight")

    def pick(self, x, token):
        return x[:, token, :, None, None]

    def layer_scale(self, x, initial=1e-6):
        weight = self.tensor("weight")
        return x * (weight if x.dim() == 3 else weight[:, None, None])

    def attention(self, x, heads):
        n, t, c = x.shape
        q, k, v = x.view(n, t, 3, heads, c // 3 // heads).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-2, -1)) / (c // 3 // heads) ** 0.5
        return (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, t, c // 3)

    def self_attention(self, x, heads, bias=True):
        qkv = F.linear(x, self.tensor("in_proj_weight"), self.tensor("in_proj_bias") if bias else None)
        return F.linear(self.attention(qkv, heads), self.tensor("out_proj.weight"), self.tensor("out_proj.bias") if bias else None)
