"""The sums of the tracker: which numbers of a tensor are channels, and how exact the sums are. Skipped without PyTorch."""
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import eigenscope  # noqa: E402
import eigenscope.sums  # noqa: E402
from test_tracker_torch import agree  # noqa: E402


@pytest.mark.parametrize("layer,shape", [
    (nn.Conv1d(3, 4, 2), (2, 3, 6)), (nn.Conv2d(3, 4, 2), (2, 3, 60, 50)), (nn.Conv3d(3, 4, 2), (2, 3, 5, 4, 3)),
    (nn.ConvTranspose3d(3, 4, 2), (2, 3, 5, 4, 3)), (nn.BatchNorm1d(3), (5, 3, 6)), (nn.AvgPool3d(2), (2, 3, 4, 4, 4)),
    (nn.GroupNorm(1, 3), (4, 3, 6)), (nn.Linear(3, 4), (2, 5, 6, 3)), (nn.Linear(3, 4), (2, 5, 6, 7, 3)), (nn.LayerNorm(3), (2, 4, 5, 3)),
    (nn.Linear(3, 4), (7, 3)), (nn.Identity(), (2, 3, 4, 5, 6)), (nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last), (2, 3, 60, 50))])
def test_channels_are_where_the_module_has_them(layer, shape):
    model, values = nn.Sequential(layer), torch.randn(shape)
    with eigenscope.Tracker(model, layers="0", probes=2) as tracker, tracker.epoch(0), torch.no_grad():
        tracker.labels(torch.zeros(len(values)))
        output = model(values).double()
    output = output if isinstance(layer, (nn.Linear, nn.LayerNorm)) else output.movedim(1, -1)
    n, mean, moment = tracker.sums["0"].state()
    agree((n, mean, moment / n), output.reshape(-1, output.shape[-1]).numpy())
    sample = tracker.samples["0"]
    assert np.allclose(sample.features, output.reshape(len(output), -1, output.shape[-1]).mean(1).numpy()[sample.index], atol=1e-6)


@pytest.mark.parametrize("width", [5, 300, 1100])
def test_batches_of_1_and_of_1000_agree(width):
    values = torch.randn(3000, width) * torch.linspace(0.1, 3, width) + 100
    states = []
    for batch in (1, 1000):
        sums = eigenscope.sums.Sums(width)
        for part in values.split(batch):
            sums.add(part)
        states.append(sums.state())
    (n, mean, moment), (_, other_mean, other) = states
    agree((n, mean, moment / n), values.double().numpy())
    assert np.linalg.norm(moment - other, 2) <= 1e-10 * np.linalg.eigvalsh(moment)[-1]
    assert np.allclose(mean, other_mean, rtol=1e-12)


def test_a_constant_column_has_no_variance():
    sums = eigenscope.sums.Sums(2)
    sums.add(torch.stack([torch.full((2000,), 0.1), torch.randn(2000)], dim=1))
    assert sums.state()[2][0].tolist() == [0, 0]


@pytest.mark.parametrize("setting", ["medium", "new"])
def test_products_stay_float32_whatever_the_user_sets(setting):
    values, matmul = torch.randn(1024, 300), torch.backends.cuda.matmul
    if setting == "new" and not hasattr(matmul, "fp32_precision"):
        pytest.skip("this PyTorch has no fp32_precision")
    try:
        if setting == "new":
            matmul.fp32_precision = "tf32"
            torch.backends.mkldnn.matmul.fp32_precision = "bf16"
        else:
            torch.set_float32_matmul_precision("medium")
        sums = eigenscope.sums.Sums(300)
        sums.add(values)
        n, mean, moment = sums.state()
        agree((n, mean, moment / n), values.double().numpy())
        assert setting == "new" or torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
