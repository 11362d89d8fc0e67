"""Reading and writing files so that a crash never leaves half of one behind."""

import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dery_core.errors import DeryError, first_line


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary neighbour of `path`; it takes `path`'s place when the block succeeds.

    What a link points to is written, not the link; a file that is there keeps its mode. Raises
    DeryError when the folder can't be written or the disk is full.
    """
    temporary: Path | None = None
    target = resolved(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if target.exists() else None
        neighbour = target.with_name(f".{target.name[:60]}.{secrets.token_hex(8)}{target.suffix}")
        # tempfile would make it for its owner alone; this leaves that to the umask
        os.close(os.open(neighbour, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        temporary = neighbour
        yield temporary
        if mode is not None:
            temporary.chmod(mode)
        os.replace(temporary, target)
    except OSError as error:
        raise DeryError(
            f"{path} can't be written ({error.strerror or error}): free some space or choose another folder."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file `path`: one thread or process at a time changes it. DeryError where
    the folder can't be written."""
    path = resolved(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDONLY, 0o666)
    except OSError as error:
        raise DeryError(f"{path} can't be written ({error.strerror or error}).") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def resolved(path: Path) -> Path:
    """The absolute path without links; DeryError for one that can be none: a loop of links, a zero
    character in it."""
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise DeryError(f"{str(path)!r} can't be a path ({first_line(error)}).") from error


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
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise DeryError(f"{str(path)!r} can't be read ({reason}).") from error


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
