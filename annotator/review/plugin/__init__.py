"""The reviewer's plugin of pose-annotator. What it does is in the package, not in this folder."""

from annotator.review.operators import OPERATORS
from annotator.review.panel import ReviewPanel


def register(plugin):
    """Called by FiftyOne."""
    for operator in OPERATORS:
        plugin.register(operator)
    plugin.register(ReviewPanel)
