"""Networks of torchvision for images of 32 x 32 and ten classes, at a share of their width: what `analysis/export_network.py
tests/bench/networks.py:NAME` exports and torch_train.py trains. First layers have stride 1, as eigenscope's `stem: cifar`."""
from torch import nn
from torchvision.models import convnext, densenet, efficientnet, mobilenetv2, vision_transformer


def mobilenet_v2():
    """MobileNetV2 at width 1/2."""
    network = mobilenetv2.MobileNetV2(num_classes=10, width_mult=0.5)
    network.features[0][0].stride = network.features[2].conv[1][0].stride = (1, 1)
    return network


def efficientnet_b0():
    """EfficientNet-B0 at width 1/2."""
    blocks, last = efficientnet._efficientnet_conf("efficientnet_b0", width_mult=0.5, depth_mult=1.0)
    network = efficientnet.EfficientNet(blocks, dropout=0.2, num_classes=10, last_channel=last)
    network.features[0][0].stride = (1, 1)
    return network


def densenet121():
    """DenseNet-121 at width 1/4."""
    network = densenet.DenseNet(growth_rate=8, block_config=(6, 12, 24, 16), num_init_features=16, num_classes=10)
    network.features.conv0 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
    network.features.pool0 = nn.Identity()
    return network


def vit_tiny():
    """12 blocks of 192 features, patches of 4 x 4."""
    return vision_transformer.VisionTransformer(image_size=32, patch_size=4, num_layers=12, num_heads=3, hidden_dim=192,
                                                mlp_dim=768, num_classes=10)


def convnext_tiny():
    """ConvNeXt-tiny at width 1/4, patches of 2 x 2."""
    blocks = [convnext.CNBlockConfig(*row) for row in ((24, 48, 3), (48, 96, 3), (96, 192, 9), (192, None, 3))]
    network = convnext.ConvNeXt(blocks, stochastic_depth_prob=0.1, num_classes=10)
    first = network.features[0][0]
    network.features[0][0] = nn.Conv2d(3, first.out_channels, 2, 2)
    return network


NAMES = {function.__name__: function for function in (mobilenet_v2, efficientnet_b0, densenet121, vit_tiny, convnext_tiny)}


class Measured(nn.Module):
    """Returns logits and the outputs of all convolutions and linear layers that are called as modules: those inside
    nn.MultiheadAttention are not, so PyTorch is spared them."""
    def __init__(self, network):
        super().__init__()
        self.network, self.outputs = network, []
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.register_forward_hook(self.keep)

    def keep(self, module, inputs, output):
        self.outputs.append((output, isinstance(module, nn.Conv2d)))

    def forward(self, x):
        self.outputs = []
        return self.network(x), self.outputs
