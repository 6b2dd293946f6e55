"""The recording is what tensorflow-addons does, here and now."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
def test_tensorflow_addons_does_what_was_recorded(
    addons_python, addons_environment, recorded, tmp_path
):
    path = tmp_path / "recorded.npz"
    command = [addons_python, str(HERE / "make_recorded.py"), str(path)]
    subprocess.run(command, check=True, env=addons_environment)
    with np.load(path) as again:
        assert set(again.files) == set(recorded)
        for name in again.files:
            found, wanted = again[name].astype(float), recorded[name].astype(float)
            # Another processor may round the last digit another way.
            step = 1 if again[name].dtype == np.uint8 else 1e-6
            np.testing.assert_allclose(found, wanted, atol=step, err_msg=name)
