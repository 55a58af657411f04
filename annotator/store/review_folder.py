"""What lies beside a run on this machine for its review: RUN.review, and copies of the pictures in it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from annotator.store.run_info import RunInfo


def review_folder(run_dir: str | Path) -> Path:
    """RUN.review, beside the run."""
    run_dir = Path(run_dir).absolute()
    return run_dir.with_name(run_dir.name + ".review")


def run_key(info: RunInfo) -> bytes:
    """20 bytes that tell this run from every other, and stay when its folder is moved or copied."""
    text = f"{info.provenance.plan_sha256} {info.provenance.config_sha256} {info.started_at}"
    return hashlib.sha1(text.encode(), usedforsecurity=False).digest()


def copies_folder(run_dir: str | Path, info: RunInfo) -> Path:
    """Where JPEGs of what no browser shows lie, as INDEX.jpg.

    RUN.review outlives its run: one that is made anew in the same folder has copies of its own.
    """
    return review_folder(run_dir) / "copies" / run_key(info).hex()[:8]


def other_copies(run_dir: str | Path, info: RunInfo) -> list[Path]:
    """Files among the copies that are not this run's: nobody can say of what they are.

    They are of a run that was in this folder before, or of loads from when runs had no folder of their own.
    """
    own = copies_folder(run_dir, info)
    found = own.parent.rglob("*")
    return sorted(path for path in found if own not in path.parents and not path.is_dir())


def copies_of(run_dir: str | Path, info: RunInfo, indices: Collection[int]) -> list[Path]:
    """Files that show items, or may show them.

    Args:
        indices: their places in the plan.
    """
    own, stems = copies_folder(run_dir, info), {str(index) for index in indices}
    # By stem: a copy that was never finished shows its item as well.
    certain = sorted(path for path in own.glob("*") if path.stem in stems)
    return certain + other_copies(run_dir, info)
