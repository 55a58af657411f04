"""The reviewer's plugin of pose-annotator. It stands in FiftyOne's plugin folder; what it does is in the package."""

from annotator.review.operators import OPERATORS
from annotator.review.panel import ReviewPanel


def register(plugin):
    """Called by FiftyOne."""
    for operator in OPERATORS:
        plugin.register(operator)
    plugin.register(ReviewPanel)
