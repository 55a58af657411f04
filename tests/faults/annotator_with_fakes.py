"""The command line as it is, but with the models of `fake_models`: the program whose faults are tested.

`--weights-dir 0.01` means 0.01 s a picture. `ANNOTATOR_FAILPOINT=name` in the environment breaks one step of
a commit.
"""

from __future__ import annotations

import os
from functools import partial

import failpoints

from annotator.cli import main
from annotator.models.sources import ModelSource
from annotator.runtime import ingredients, launch, retry
from annotator.runtime.engine_settings import Resolved
from annotator.runtime.job import Job
from annotator.store.schema import ModelRecord, Provenance


def _resolve(config, listener):
    return ModelSource(config.pose, "pose", "", None, "random"), None


def _provenance(config, plan, pose, detector, second=None, calibration=None):
    return Provenance(ModelRecord("fake"), None, None, config.sha256(), plan.sha256)


def pretend() -> None:
    """From here on this process annotates with fakes."""
    ingredients.resolve_models = _resolve
    ingredients.make_provenance = _provenance
    launch.resolve_engines = lambda config, pose, detector, second: Resolved(config, "fakes")
    launch.Job = retry.Job = partial(Job, models="fake_models:build")
    failpoints.arm(os.environ.get("ANNOTATOR_FAILPOINT", ""))


if __name__ == "__main__":
    pretend()
    main()
