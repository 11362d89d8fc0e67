"""Trained weights from where timm keeps them, once, into the same caches that timm uses."""

import errno
import os
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
from huggingface_hub.file_download import repo_folder_name
from timm.models._hub import get_cache_dir

from dery_core.errors import Cancelled, DeryError, first_line
from dery_core.files import atomic_path
from dery_core.progress import Progress, ProgressFn, silent
from dery_core.zoo.architecture import timm_config

_FILES = ("model.safetensors", "pytorch_model.bin")
"""timm's names for weights on the hub, safetensors first, as timm looks for them."""
_POLL_SECONDS = 0.1
_TIMEOUT = 15
_CHUNK = 1 << 16
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}
_OFFLINE = {errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH}


def cached_weights(name: str) -> Path | None:
    """The file of timm's weights `name` ("resnet18.a1_in1k") on this machine, None if not there."""
    config = timm_config(name)
    if not config.hf_hub_id:
        path = _url_cache(config.url)
        return path if path.is_file() else None
    for file in _candidates(config):
        found = try_to_load_from_cache(config.hf_hub_id, file, cache_dir=constants.HF_HUB_CACHE)
        if isinstance(found, str):
            return Path(found)
    return None


def download_weights(name: str, report: ProgressFn = silent) -> Path:
    """The file of timm's weights `name`, downloaded if it isn't on this machine yet.

    Reports bytes. DeryError names the cache folder when the weights can't be reached; Cancelled,
    raised by `report`, ends the download.
    """
    if path := cached_weights(name):
        return path
    config = timm_config(name)
    if not config.hf_hub_id:
        return download(config.url, _url_cache(config.url), f"Downloading {name}", report)
    try:
        file, size = _on_the_hub(config)
        return _from_the_hub(config.hf_hub_id, file, _Count(f"Downloading {name}", size, report))
    except (DeryError, Cancelled):
        raise
    except Exception as error:  # huggingface_hub and the HTTP library below it raise many kinds
        raise _unreachable(name, config.hf_hub_id, error) from error


def download(url: str, path: Path, step: str, report: ProgressFn = silent) -> Path:
    """Keep what an address gives as the file `path`, atomically; DeryError when it can't be had."""
    try:
        answer = urllib.request.urlopen(url, timeout=_TIMEOUT)
        size = int(answer.headers.get("Content-Length") or 0)
    except (OSError, ValueError, HTTPException) as error:
        raise _undelivered(url, path, error) from error
    count = _Count(step, size, report)
    with answer, atomic_path(path) as temporary, temporary.open("wb") as file:
        for chunk in _chunks(answer, url, path):
            file.write(chunk)
            count.done += len(chunk)
            count.tell()
        if count.done < count.total:
            raise _undelivered(url, path, EOFError("the connection ended early"))
    return path


def _chunks(answer: IO[bytes], url: str, path: Path) -> Iterator[bytes]:
    while True:
        try:
            chunk = answer.read(_CHUNK)
        except (OSError, HTTPException) as error:
            raise _undelivered(url, path, error) from error
        if not chunk:
            return
        yield chunk


def _undelivered(url: str, path: Path, error: Exception) -> DeryError:
    return DeryError(
        f"{url} can't be downloaded ({_reason(error)}): connect to the network, or save it as {path}."
    )


def _reason(error: Exception) -> str:
    """Why there was no answer, in words: an address's name that nobody knows, or no way to it, is what
    a machine without a network meets."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror) or getattr(cause, "errno", None) in _OFFLINE:
            return "no network"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    reason = getattr(error, "reason", None)  # of urllib's own error, which puts <> around it
    return first_line(reason if isinstance(reason, Exception) else error)


@dataclass
class _Count:
    """Bytes so far of one download."""

    step: str
    total: int
    report: ProgressFn
    done: int = 0
    ended: bool = False

    def __post_init__(self) -> None:
        self.started = time.monotonic()

    def tell(self) -> None:
        done, seconds = self.done, time.monotonic() - self.started
        self.report(Progress(self.step, done, max(self.total, done), "B", seconds))


def _candidates(config: Any) -> tuple[str, ...]:
    return (config.hf_hub_filename,) if config.hf_hub_filename else _FILES


def _url_cache(url: str) -> Path:
    return Path(get_cache_dir()) / os.path.basename(url)


def _on_the_hub(config: Any) -> tuple[str, int]:
    """Name and bytes of the weights' file. Asks once, where the hub's own download would try for
    half a minute before it says that there is no network."""
    *others, last = _candidates(config)
    for file in others:
        try:
            return file, _size(config.hf_hub_id, file)
        except EntryNotFoundError:
            continue
    return last, _size(config.hf_hub_id, last)


def _size(repository: str, file: str) -> int:
    return get_hf_file_metadata(hf_hub_url(repository, file), timeout=_TIMEOUT).size or 0


def _from_the_hub(repository: str, file: str, count: _Count) -> Path:
    """The download runs in a thread of its own, so that `report` is called where it belongs and may
    end the wait at once."""

    def fetch() -> str:
        return hf_hub_download(repository, file, cache_dir=constants.HF_HUB_CACHE, tqdm_class=_bar(count))

    work = _Thread(fetch)
    work.start()
    try:
        while work.is_alive():
            count.tell()
            work.join(_POLL_SECONDS)
    finally:
        count.ended = True
    path = work.value()
    count.tell()
    return Path(path)


class _Thread(threading.Thread):
    def __init__(self, function: Callable[[], str]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._value = ""
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error

    def value(self) -> str:
        if self._error is not None:
            raise self._error
        return self._value


def _bar(count: _Count) -> Any:
    """What huggingface_hub takes for a tqdm class: it counts, and stops a download nobody waits for.

    With `update_transfer` the hub's two ways of downloading make one bar, not one for the network
    and one for the disk.
    """

    class Bar:
        n = transferred = 0

        def __init__(self, *arguments: Any, total: int | None = None, **settings: Any) -> None:
            self.total = total

        def update(self, size: float = 1) -> None:
            self.n += int(size)
            self._tell()

        def update_transfer(self, size: float = 1) -> None:
            self.transferred += int(size)
            self._tell()

        def _tell(self) -> None:
            if count.ended:
                raise Cancelled
            count.total = max(count.total, self.total or 0)
            count.done = min(max(self.n, self.transferred), count.total)

        def set_postfix_str(self, *arguments: Any, **settings: Any) -> None: ...

        set_transfer_postfix_str = refresh = close = set_postfix_str

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *error: object) -> None: ...

    return Bar


def _unreachable(name: str, repository: str, error: Exception) -> DeryError:
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status is not None and status < 500:
        return DeryError(
            f"'{name}': {constants.ENDPOINT} doesn't give out {repository} (status {status}): see its page "
            "there for what it asks of you."
        )
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        return DeryError(
            f"the cache {constants.HF_HUB_CACHE} can't be written ({error.strerror}): free some space, or "
            "set the variable HF_HOME to another folder."
        )
    folder = repo_folder_name(repo_id=repository, repo_type="model")
    return DeryError(
        f"'{name}' is not in the cache {constants.HF_HUB_CACHE}, and {constants.ENDPOINT} can't be reached "
        f"({_reason(error)}): connect to the network, or copy the folder {folder} into that cache from a "
        "machine that has it."
    )
