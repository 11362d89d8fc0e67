"""Reading and writing files so that a crash never leaves half of one behind."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dery_core.errors import DeryError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary neighbour of `path`; it takes `path`'s place when the block succeeds.

    Raises DeryError when the folder can't be written or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise DeryError(
            f"{path} can't be written ({error.strerror or error}): free some space or choose another folder."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def user_path(path: Path | str) -> Path:
    """The absolute path, with ~ replaced by the home folder; DeryError when there is no such home."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise DeryError(f"{path} can't be found: there is no such home folder.") from error


def check_writable(folder: Path, what: str = "folder", instead: str = "choose another one") -> None:
    """Make `folder` if needed; DeryError when no file can be written there. For long work to ask
    before it begins. `what` names the folder in the message, `instead` says what to do."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DeryError(
            f"The {what} {folder} can't be written ({error.strerror or error}): {instead}."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_text(path: Path) -> str:
    """The text of `path`; a missing or unreadable file becomes a DeryError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DeryError(f"{path} does not exist.") from error
    except UnicodeDecodeError as error:
        raise DeryError(f"{path} is not a text file.") from error
    except OSError as error:
        raise DeryError(f"{path} can't be read ({error.strerror or error}).") from error


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes; a missing or unreadable file becomes a DeryError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DeryError(f"{path} can't be read ({error.strerror or error}).") from error


def digest(*parts: object) -> str:
    """Short stable key of the given parts, for cache file names: 16 hex digits."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:16]
