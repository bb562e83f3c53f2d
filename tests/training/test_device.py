import pytest
import torch

from labram.errors import PlatformError
from labram.training.device import select_device


@pytest.fixture
def gpus(monkeypatch):
    def pretend(count):
        monkeypatch.setattr("torch.cuda.is_available", lambda: count > 0)
        monkeypatch.setattr("torch.cuda.device_count", lambda: count)

    monkeypatch.delenv("LABRAM_DEVICE", raising=False)
    return pretend


@pytest.mark.parametrize(
    ("count", "device", "expected"),
    [
        (0, None, "cpu"),
        (0, "auto", "cpu"),
        (2, None, "cuda"),
        (2, "cpu", "cpu"),
        (2, "cuda", "cuda"),
        (2, "cuda:1", "cuda:1"),
    ],
)
def test_a_device_is_selected_by_name_and_by_what_is_there(gpus, count, device, expected):
    gpus(count)
    assert select_device(device) == torch.device(expected)


def test_the_environment_decides_unless_a_device_is_passed(gpus, monkeypatch):
    gpus(2)
    monkeypatch.setenv("LABRAM_DEVICE", "cuda:1")
    assert select_device() == torch.device("cuda:1")
    assert select_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("count", "device", "problem"),
    [
        (0, "cuda", "cuda is not available: PyTorch finds 0 GPUs"),
        (2, "cuda:2", "cuda:2 is not available: PyTorch finds 2 GPUs"),
        (0, "gpu", "expected auto, cpu, cuda or cuda:N, got 'gpu'"),
    ],
)
def test_a_device_that_is_not_there_is_an_error(gpus, count, device, problem):
    gpus(count)
    with pytest.raises(PlatformError, match=problem):
        select_device(device)
