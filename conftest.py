"""For all tests and doctests: nothing that this machine has stored about backbones is read or written."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("SAVS_HOME")
    os.environ["SAVS_HOME"] = str(tmp_path_factory.mktemp("savs-home"))
    yield
    if before is None:
        del os.environ["SAVS_HOME"]
    else:
        os.environ["SAVS_HOME"] = before
