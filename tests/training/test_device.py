import pytest
import torch

from dery_core.errors import DeryError
from dery_core.training import resolve_device


def test_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("count", "expected"), [(0, "cpu"), (2, "cuda:0")])
def test_auto_takes_a_gpu_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, count: int, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize(
    ("name", "count", "said"),
    [("cuda", 0, "no CUDA device, so cuda"), ("cuda:2", 1, "only 1 CUDA device, so cuda:2")],
)
def test_a_gpu_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, count: int, said: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(DeryError, match=said):
        resolve_device(name)
