"""The folder that keeps what was computed (features, tables, partitions, scores, hybrids, runs) and the
user's own zoo."""

import os
from dataclasses import dataclass
from pathlib import Path

from dery_core.files import check_writable, user_path


@dataclass(frozen=True)
class Workspace:
    """Paths inside one workspace folder. Make one with `Workspace.open`."""

    root: Path

    @classmethod
    def at(cls, root: str | Path | None = None) -> "Workspace":
        """The workspace at `root` ($DERY_HOME, or ~/.dery, by default), to read what may be there."""
        return cls(user_path(root or os.environ.get("DERY_HOME") or "~/.dery"))

    @classmethod
    def open(cls, root: str | Path | None = None) -> "Workspace":
        """The workspace at `root` (see `at`), made if needed. DeryError when it can't be written."""
        workspace = cls.at(root)
        instead = "choose another folder with --workspace or the variable DERY_HOME"
        check_writable(workspace.root, "workspace", instead)
        return workspace

    @property
    def zoo(self) -> Path:
        """The user's own networks, and what is known of timm's."""
        return self.root / "zoo"

    @property
    def features(self) -> Path:
        return self.root / "features"

    @property
    def tables(self) -> Path:
        return self.root / "tables"

    def table(self, key: str) -> Path:
        """File of the similarity table with that key."""
        return self.tables / f"{key}.npz"

    @property
    def partitions(self) -> Path:
        return self.root / "partitions"

    def partition(self, key: str) -> Path:
        """File of the partition with that key."""
        return self.partitions / f"{key}.json"

    @property
    def scores(self) -> Path:
        return self.root / "scores"

    @property
    def hybrids(self) -> Path:
        return self.root / "hybrids"

    @property
    def runs(self) -> Path:
        return self.root / "runs"
