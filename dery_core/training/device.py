"""Which device a run computes on."""

import torch

from dery_core.errors import DeryError


def resolve_device(name: str) -> torch.device:
    """The torch device called `name`: cpu, cuda, cuda:N, or auto (a GPU if there is one).

    Raises DeryError when this machine has no such device.
    """
    count = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda:0" if count else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeryError(f"device is {name}; it must be cpu, cuda, cuda:N or auto.") from error
    if device.type == "cuda" and (device.index or 0) >= count:
        found = f"only {count} CUDA device{'s' if count > 1 else ''}" if count else "no CUDA device"
        raise DeryError(f"This machine has {found}, so {name} can't be used: choose cpu or auto.")
    return device
