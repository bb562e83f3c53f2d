"""EEGNet and ShallowFBCSPNet compute what braindecode's classes compute with the same weights."""

import warnings

import pytest
import torch

from labram.models.braindecode_class import braindecode_class
from labram.models.convolutional import NETWORKS, EEGNet

THEIRS = {
    "eegnet": ("EEGNet", {"kernel_length": 100, "depthwise_kernel_length": 25, "final_layer_with_constraint": True}),
    "shallow-fbcsp": (
        "ShallowFBCSPNet",
        {"filter_time_length": 20, "pool_time_length": 60, "pool_time_stride": 12},
    ),
}


def windows(channels=5, samples=800):
    return torch.randn(3, channels, samples, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_output_is_that_of_braindecode(name):
    class_name, settings = THEIRS[name]
    found = braindecode_class(class_name)
    if found is None:
        pytest.skip("braindecode is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = found(n_chans=5, n_outputs=4, n_times=800, **settings).eval()
    ours = NETWORKS[name](5, 800, 4).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in ours.state_dict().values():
            if value.is_floating_point():
                value.add_(0.1 * torch.rand(value.shape, generator=generator))
    ours.constrain()  # braindecode bounds the same norms in every forward pass
    own = ours.state_dict()
    for key, value in theirs.state_dict().items():
        last = "weight" if ".weight.original" in key else key.rpartition(".")[2]
        stem = next((part for part in key.split(".") if f"{part}.{last}" in own), "classifier")
        value.copy_(own[f"{stem}.{last}"].reshape(value.shape))
    with torch.no_grad():
        torch.testing.assert_close(ours(windows()), theirs(windows()).reshape(3, 4), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("samples", [200, 401, 2000])
def test_windows_of_any_length_have_an_output(name, samples):
    assert NETWORKS[name](2, samples, 3)(windows(2, samples)).shape == (3, 3)


def test_norms_are_bounded_as_in_the_paper():
    model = EEGNet(30, 200, 2)
    with torch.no_grad():
        model.conv_spatial.weight.fill_(1.0)
        model.classifier.weight.fill_(1e-4)
    model.constrain()
    assert float(model.conv_spatial.weight.detach().flatten(1).norm(dim=1).max()) == pytest.approx(1.0, rel=1e-4)
    assert float(model.classifier.weight.detach()[0, 0]) == pytest.approx(1e-4)
