"""Small charts as inline SVG that follow the page's colours, light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from annotator.quality.curve import ReviewCurve
from annotator.report.figures import Histogram

_WIDTH, _HEIGHT = 340, 168
_LEFT, _RIGHT, _TOP, _BOTTOM = 6, 6, 18, 22


def columns(
    counts: Sequence[int], labels: Sequence[str], ticks: dict[float, str], summary: str, marked: int = -1
) -> Markup:
    """A column chart.

    Args:
        counts: height of each column.
        labels: what a column stands for, shown with its count when pointed at.
        ticks: text below the axis by place, in columns from the left edge.
        summary: one sentence for those who cannot see it.
        marked: columns before this one are drawn faint.
    """
    most = max(1, *counts)
    inner = _WIDTH - _LEFT - _RIGHT
    step = inner / len(counts)
    base = _HEIGHT - _BOTTOM
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(summary)}">'
    ]
    for n, (count, label) in enumerate(zip(counts, labels, strict=True)):
        height = (base - _TOP) * count / most
        # A single one among millions is still there.
        height = max(height, 1.5) if count else 0.0
        kind = "bar faint" if n < marked else "bar"
        parts.append(
            f'<rect class="{kind}" x="{_LEFT + n * step + 1:.1f}" y="{base - height:.1f}" '
            f'width="{max(1.0, step - 2):.1f}" height="{height:.1f}" rx="1.5">'
            f"<title>{escape(label)}: {count:,}</title></rect>"
        )
    parts.append(f'<line class="axis" x1="{_LEFT}" y1="{base}" x2="{_WIDTH - _RIGHT}" y2="{base}"/>')
    highest = int(np.argmax(counts))
    if counts[highest]:
        x = float(np.clip(_LEFT + (highest + 0.5) * step, 22, _WIDTH - 22))
        parts.append(f'<text class="peak" x="{x:.1f}" y="{_TOP - 5}">{counts[highest]:,}</text>')
    for place, text in ticks.items():
        x = _LEFT + place * step
        anchor = "start" if place == 0 else "end" if place == len(counts) else "middle"
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{escape(text)}</text>'
        )
    return Markup("".join(parts) + "</svg>")


def score_chart(histogram: Histogram, summary: str, threshold: float | None = None) -> Markup:
    """Scores from 0 to 1; columns below `threshold` are faint."""
    bins = len(histogram.counts)
    labels = [f"{n / bins:.2f} to {(n + 1) / bins:.2f}" for n in range(bins)]
    ticks = {bins * share: f"{share:g}" for share in (0, 0.25, 0.5, 0.75, 1)}
    return columns(histogram.counts.tolist(), labels, ticks, summary, marked=round((threshold or 0) * bins))


def class_chart(histogram: Histogram, summary: str) -> Markup:
    """Classes of whole numbers, such as people per picture: every column has its label below."""
    edges = [0, *(int(edge) for edge in histogram.edges)]
    labels = [_class_label(low, high) for low, high in zip(edges, [*edges[1:], None], strict=True)]
    ticks = {n + 0.5: label for n, label in enumerate(labels)}
    return columns(histogram.counts.tolist(), labels, ticks, summary)


def size_chart(histogram: Histogram, summary: str) -> Markup:
    """Classes that double: labels stand at the edges between the columns."""
    edges = [f"{edge:g}" for edge in histogram.edges]
    labels = [
        f"below {edges[0]}",
        *(f"{low} to {high}" for low, high in pairwise(edges)),
        f"{edges[-1]} and more",
    ]
    ticks = {float(n + 1): edge for n, edge in enumerate(edges)}
    return columns(histogram.counts.tolist(), labels, ticks, summary)


def review_chart(curve: ReviewCurve) -> Markup:
    """Share of bad labels found over share of people looked at, with interval, ceiling and any order."""
    left, top, side, across = 38, 10, 150, 286
    foot, middle = top + side, left + across / 2

    def points(xs: Iterable[float], ys: Iterable[float]) -> str:
        return " ".join(
            f"{left + x * across:.1f},{top + (1 - y) * side:.1f}" for x, y in zip(xs, ys, strict=True)
        )

    shares, base = curve.shares.tolist(), curve.base_rate
    band = points([*shares, *reversed(shares)], [*curve.low.tolist(), *reversed(curve.high.tolist())])
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} 194" role="img" '
        'aria-label="Share of bad labels found over share of people looked at">',
        f'<polygon class="faint" opacity=".55" points="{band}"/>',
        f'<polyline class="ideal" points="{points((0, base, 1), (0, 1, 1))}"/>',
        f'<polyline class="chance" points="{points((0, 1), (0, 1))}"/>',
        f'<polyline class="curve" points="{points(shares, curve.found.tolist())}"/>',
        f'<line class="axis" x1="{left}" y1="{foot}" x2="{left + across}" y2="{foot}"/>',
        f'<text class="tick" x="{middle:.0f}" y="{foot + 31}" text-anchor="middle">people looked at</text>',
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = left + share * across, top + (1 - share) * side
        parts += [
            f'<text class="tick" x="{x:.0f}" y="{foot + 16}" text-anchor="middle">{share:.0%}</text>',
            f'<text class="tick" x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{share:.0%}</text>',
        ]
    return Markup("".join(parts) + "</svg>")


def spark(histogram: Histogram) -> Markup:
    """A joint's scores from 0 to 1 in the height of a line of text."""
    counts = histogram.counts
    most = max(1, int(counts.max()))
    bars = "".join(
        f'<rect class="bar" x="{n * 6}" y="{22 - 22 * count / most:.1f}" width="5" '
        f'height="{22 * count / most:.1f}"/>'
        for n, count in enumerate(counts.tolist())
    )
    return Markup(
        f'<svg class="spark" viewBox="0 0 {6 * len(counts)} 22" preserveAspectRatio="none" '
        f'aria-hidden="true">{bars}</svg>'
    )


def _class_label(low: int, high: int | None) -> str:
    if high is None:
        return f"{low}+"
    return str(low) if high == low + 1 else f"{low}–{high - 1}"
