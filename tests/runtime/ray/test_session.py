"""What has to be so before Ray is imported; no Ray is started."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

from annotator.errors import UserError
from annotator.runtime.ray.session import LOOPBACK, prepare_environment


@pytest.fixture
def unset():
    """No variable of Ray is set; what is set here is put back."""
    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("RAY_")]:
            del os.environ[name]
        yield


def test_a_ray_of_our_own_has_a_private_token_and_may_be_started_again(unset, monkeypatch):
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    prepare_environment(local=True)
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    assert (os.environ[LOOPBACK], os.environ["RAY_AUTH_MODE"]) == ("0", "token")
    assert token.stat().st_mode & 0o077 == 0 and Path.home() not in token.parents
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    prepare_environment(local=True)
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(token)


@pytest.mark.parametrize("prepared", [{}, {LOOPBACK: "0"}, {"RAY_AUTH_TOKEN": "f" * 64}])
def test_a_ray_imported_unprepared_is_not_started(unset, monkeypatch, prepared):
    """It would listen on all interfaces, or leave a token in the home folder: it has read its environment."""
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    os.environ.update(prepared)
    for _ in range(2):
        with pytest.raises(UserError, match="before anything imports Ray"):
            prepare_environment(local=True)
    prepare_environment(local=False)
