"""Atomic writes: the old file stays whole whatever happens to the new one."""

import os
from pathlib import Path

import pytest

from dery_core.errors import DeryError
from dery_core.files import atomic_path, digest, read_text, resolved, sha256, write_text


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["value.json"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DeryError, match="No space left on device"), atomic_path(tmp_path / "x"):
        raise OSError(28, "No space left on device")


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeryError, match="can't be written"):
        write_text(tmp_path / "file" / "x", "text")


def test_sha256_is_the_known_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_digest_tells_parts_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a", 1) == digest("a", 1)


def test_a_link_stays_a_link_and_modes_stay(tmp_path: Path) -> None:
    real = tmp_path / "real.yaml"
    real.write_text("old")
    real.chmod(0o664)
    (tmp_path / "link.yaml").symlink_to(real)
    write_text(tmp_path / "link.yaml", "new")
    assert (tmp_path / "link.yaml").is_symlink()
    assert (real.read_text(), real.stat().st_mode & 0o777) == ("new", 0o664)
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "fresh", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "fresh").stat().st_mode & 0o777 == 0o640


def test_what_can_be_no_path_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "a\0b", tmp_path / "loop"):
        with pytest.raises(DeryError, match="can't be"):
            resolved(path)
        with pytest.raises(DeryError, match="can't be read"):
            read_text(path)
