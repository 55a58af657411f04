"""What MMPose decodes with: the reference for the decoders."""

from __future__ import annotations

import pytest

from annotator.models.openmmlab.mmlab import prepare


@pytest.fixture(scope="session")
def codecs():
    """MMPose's registry of codecs."""
    prepare()
    import mmpose.codecs  # noqa: F401
    from mmpose.registry import KEYPOINT_CODECS

    return KEYPOINT_CODECS
