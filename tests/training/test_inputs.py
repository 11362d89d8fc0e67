import torch
from torch import Tensor

from dery_core.data import ImageSet
from dery_core.progress import Progress
from dery_core.training.inputs import Inputs

DATA = ImageSet(torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 3, 2, 2), torch.arange(10))
CPU = torch.device("cpu")


def test_kept_and_recomputed_inputs_are_the_same() -> None:
    index = torch.tensor([7, 0, 9])
    for kept_bytes in (1 << 20, 0):
        inputs = Inputs(DATA, lambda images: images.float() * 2, 4, CPU, kept_bytes)
        assert (inputs.kept is None) == (kept_bytes == 0)
        values, labels = inputs[index]
        assert values[:, 0, 0, 0].tolist() == [14.0, 0.0, 18.0]
        assert labels.tolist() == [7, 0, 9]


def test_what_is_constant_is_computed_once_and_always_at_one_batch_size() -> None:
    sizes: list[int] = []

    def constant(images: Tensor) -> Tensor:
        sizes.append(len(images))
        return images.float()

    reports: list[Progress] = []
    inputs = Inputs(DATA, constant, 4, CPU, report=reports.append)
    computed = len(sizes)
    inputs[torch.arange(4)], inputs[torch.arange(2)]
    assert len(sizes) == computed
    assert set(sizes) == {4}
    assert (reports[-1].done, reports[-1].total) == (10, 10)


def test_kept_and_recomputed_inputs_lie_in_memory_alike() -> None:
    def channels_last(images: Tensor) -> Tensor:
        return images.float().to(memory_format=torch.channels_last)

    for kept_bytes in (1 << 20, 0):
        assert Inputs(DATA, channels_last, 4, CPU, kept_bytes)[torch.arange(4)][0].is_contiguous()


def test_inputs_are_kept_up_to_the_limit_and_not_beyond() -> None:
    bytes_needed = 10 * 3 * 2 * 2 * 4
    for limit, kept in ((bytes_needed, True), (bytes_needed - 1, False)):
        assert (Inputs(DATA, lambda x: x.float(), 4, CPU, limit).kept is not None) == kept


def test_a_batch_larger_than_the_set_costs_no_more_than_the_set() -> None:
    sizes: list[int] = []

    def constant(images: Tensor) -> Tensor:
        sizes.append(len(images))
        return images.float()

    inputs = Inputs(DATA, constant, 10**12, CPU)
    assert inputs[torch.arange(10)][1].tolist() == list(range(10))
    assert set(sizes) == {10}
