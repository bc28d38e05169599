"""A worker whose engine answers by a script."""

from __future__ import annotations

import pytest
from scripted_worker import runner


@pytest.fixture
def run(model_folder, tokenizer, monkeypatch):
    """See :func:`scripted_worker.runner`."""
    return runner(model_folder, tokenizer, monkeypatch)
