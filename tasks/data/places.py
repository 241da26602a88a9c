"""Where the files of a benchmark are: a folder with one folder a set, ``NAME/test.jsonl`` or ``NAME/test.parquet``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sdbench.tasks.data.sources import Source
from sdbench.tasks.errors import UserError

DATA_DIR_VARIABLE = "SDBENCH_DATA_DIR"
GOLDS_ONLY = "golds_only.jsonl"


class AbsentDataError(UserError):
    """A benchmark whose data is not at hand."""


@dataclass(frozen=True, kw_only=True)
class DataFolder:
    """The folder of the sets, and whether it was named (by option or environment) or is the user's own cache."""

    path: Path
    named: bool

    @property
    def lock_file(self) -> Path:
        """The user's own locks, beside the sets."""
        return self.path / "sdbench-lock.json"


def data_folder(data_dir: Path | None = None) -> DataFolder:
    """The folder that sets are read from: the one given, else ``SDBENCH_DATA_DIR``, else the user's cache.

    Raises:
        UserError: a folder that was named is none.
    """
    variable = os.environ.get(DATA_DIR_VARIABLE, "")
    if data_dir is None and not variable:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return DataFolder(path=cache / "sdbench" / "data", named=False)
    path = data_dir if data_dir is not None else Path(variable)
    if not path.is_dir():
        name = f"data folder {path}" if data_dir is not None else f"{DATA_DIR_VARIABLE}={variable}"
        raise UserError(f"{name} is no folder; make it, or name the one that holds the data sets")
    return DataFolder(path=path, named=True)


def find_files(source: Source, folder: DataFolder, *, stem: str = "test") -> tuple[Path, ...]:
    """The file of a set, or its parts in order where it lies there as its repository holds it (``SPLIT-00000-of-...``).

    Args:
        source: the benchmark.
        folder: where the sets are.
        stem: the file's name without its ending.

    Raises:
        AbsentDataError: there is none.
        UserError: there are two.
    """
    for name in (source.name, *source.folders):
        place = folder.path / name
        whole = [path for suffix in (".jsonl", ".parquet") if (path := place / f"{stem}{suffix}").is_file()]
        if len(whole) > 1:
            raise UserError(f"{place} holds {whole[0].name} and {whole[1].name}; remove one of them")
        if whole:
            return tuple(whole)
        parts = sorted(place.rglob(f"{source.split}-*.parquet"))
        if source.configuration is not None and len({path.parent for path in parts}) > 1:
            parts = [path for path in parts if source.configuration in path.parts]
        if parts and stem == "test":
            return tuple(parts)
    golds = find_golds(source, folder)
    holds = f"holds no {source.name}" if golds is None else f"holds only the golds of {source.name} ({GOLDS_ONLY})"
    raise AbsentDataError(
        f"{folder.path} {holds}; run `sdbench data fetch {source.name}`, or put it there as {source.name}/{stem}.jsonl"
    )


def find_golds(source: Source, folder: DataFolder) -> Path | None:
    """The file of a set's golds without its problems, with the columns idx and answer; None where there is none."""
    places = (folder.path / name / GOLDS_ONLY for name in (source.name, *source.folders))
    return next((path for path in places if path.is_file()), None)
