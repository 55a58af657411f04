"""Pictures of the room's figures: reliability diagram and review curve, as PNG or SVG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.errors import UserError

if TYPE_CHECKING:
    from annotator.quality.fit import Reliability

_BLUE, _ORANGE, _GREY = "#1f5fa8", "#d9730d", "#8a8f98"


def draw_reliability(path: str | Path, raw: Reliability, calibrated: Reliability) -> None:
    """Share of right joints over confidence, before and after, with how many joints are at each.

    Raises:
        UserError: the file cannot be written.
    """
    figure, (top, bottom) = _figure(2, height_ratios=(3, 1))
    top.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle=":")
    for name, one, colour in (("raw score", raw, _ORANGE), ("probability", calibrated, _BLUE)):
        some = one.count > 0
        label = f"{name}: ECE {one.ece:.3f}"
        top.plot(one.confidence[some], one.right[some], "o-", color=colour, label=label, markersize=4)
        edges = np.linspace(0, 1, len(one.count) + 1)
        bottom.stairs(one.count, edges, color=colour)
    top.set(ylabel="share of joints that are right", ylim=(0, 1.02))
    top.legend(frameon=False, loc="upper left")
    bottom.set(xlabel="confidence", ylabel="joints", xlim=(0, 1))
    _save(figure, path)


def draw_curve(
    path: str | Path, shares: np.ndarray, captured: np.ndarray, low: np.ndarray, high: np.ndarray, base: float
) -> None:
    """Share of bad labels found over share of people looked at.

    Args:
        shares, captured, low, high: (M,) in [0, 1]; low and high bound the interval.
        base: share of bad labels among all, which makes the ceiling.

    Raises:
        UserError: the file cannot be written.
    """
    figure, (axis,) = _figure(1)
    axis.fill_between(shares, low, high, color=_BLUE, alpha=0.18, linewidth=0, label="95% interval")
    axis.plot(shares, captured, color=_BLUE, label="this queue")
    ceiling = np.minimum(shares / base, 1) if base else np.ones_like(shares)
    axis.plot(shares, ceiling, color=_GREY, linestyle="--", label="ceiling: all bad ones first")
    axis.plot([0, 1], [0, 1], color=_GREY, linestyle=":", label="any order")
    axis.set(
        xlabel="share of people looked at", ylabel="share of bad labels found", xlim=(0, 1), ylim=(0, 1.02)
    )
    axis.legend(frameon=False, loc="lower right")
    _save(figure, path)


def _figure(rows: int, **ratios: Any) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5 if rows > 1 else 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(rows, sharex=True, gridspec_kw=ratios or None))
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: str | Path) -> None:
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"cannot draw {path}: {error}; name a .png or .svg file") from None
