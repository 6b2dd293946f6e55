"""What tests of workdirs by URL share."""

import pytest

from keras_convnext._data import remote_files


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A machine's cache of its own; a broken connection is tried again at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remote_files, "PAUSES", (0.0, 0.0, 0.0))
    return tmp_path / "cache"
