"""Logits of the program's named networks, with the weights of PyTorch's networks of the same names: torchvision's, and those of Richter
et al. as tests/fixtures/torch/make_families.py writes them."""
import json
import pathlib
import sys

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/torch"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import convert_checkpoint  # noqa: E402
import export_network  # noqa: E402
import make_families  # noqa: E402

# Networks and sizes of images: the smallest of each family.
NETWORKS = {"resnext50_32x4d": 32, "densenet121": 32, "efficientnet_b0": 32, "efficientnet_b5": 32, "mobilenet_v3_small": 32,
            "mobilenet_v3_large": 32, "convnext_tiny": 32, "vit_tiny": 224, "squeezenet1_0": 48, "squeezenet1_1": 48, "alexnet": 64,
            "se_resnet18": 16, "resnet24_se": 32, "resnet18_nr2_13": 32, "resnet34_nr32": 32, "resnet18_o3": 32, "resnet18_ep01": 32,
            "resnet18_noskip_ep0": 32, "vgg11_5": 32, "vgg13_d2": 32, "vgg19_g2": 32}


@pytest.mark.parametrize("name", NETWORKS)
def test_logits(name, tmp_path):
    torch.manual_seed(3)
    network = make_families.make(name)
    with torch.no_grad():
        for key, value in network.named_parameters():
            if key.endswith("layer_scale"):
                value.copy_(0.5 * torch.rand_like(value))
            elif not bool(value.any()):
                value.normal_(0, 0.02)
        images = torch.rand(4, 3, NETWORKS[name], NETWORKS[name])
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.momentum = None
        network.train()
        network(images)
        network.eval()
        truth = network.double()(images.double()).numpy()
        own = abs(network.float()(images).double().numpy() - truth).max()
    state = {key: value.squeeze() if key.endswith("layer_scale") else value for key, value in network.state_dict().items()
             if not key.endswith("num_batches_tracked")}
    weights = str(tmp_path / "weights.safetensors")
    convert_checkpoint.write_safetensors(weights, {key: value.numpy() for key, value in state.items()})
    found = export_network.run_program(export_network.find_program(), name, weights, images)
    assert abs(found - truth).max() <= max(1e-4 * abs(truth).max(), 4 * own)


def test_torchvision_is_as_recorded():
    """families.json is what the installed torchvision says, so that a new version that changes a network is noticed."""
    golden = json.loads(pathlib.Path(make_families.FILE).read_text(encoding="utf-8"))["networks"]
    for name in ("densenet121", "efficientnet_b3", "mobilenet_v3_large", "convnext_small", "vit_b_16", "squeezenet1_1"):
        with torch.device("meta"):
            tensors, outputs = make_families.describe(make_families.make(name))
        assert make_families.digest(tensors) == golden[name]["tensors"]
        assert make_families.digest(outputs) == golden[name]["outputs"]
