"""UPerNet against transformers' with random weights, read by our own names' tables.

Run by `make parity`. transformers' heads equal mmsegmentation's.
"""

import importlib.util

import numpy as np
import pytest

import keras_convnext

if importlib.util.find_spec("torch") is None:
    pytest.skip("PyTorch is not installed: see make parity", allow_module_level=True)

import torch
from safetensors.torch import save_file

from tests.keras_convnext.reference.name_seeded import images, normalized_nchw
from tests.keras_convnext.reference.torch_models import SIZES, transformers_library

# Float32 over a hundred layers; the requirement is 2e-4 of the largest logit.
TOLERANCE = 2e-5
# Neither a multiple of 32, so that every resize has another factor.
SHAPE = (2, 136, 200, 3)


def reference(family, size):
    library = transformers_library()
    depths, widths = SIZES[size]
    config = {"convnext": "ConvNextConfig", "convnextv2": "ConvNextV2Config"}[family]
    backbone = getattr(library, config)(
        depths=list(depths),
        hidden_sizes=list(widths),
        out_features=[f"stage{number}" for number in (1, 2, 3, 4)],
    )
    torch.manual_seed(0)
    model = library.UperNetForSemanticSegmentation(
        library.UperNetConfig(
            backbone_config=backbone, num_labels=7, auxiliary_in_channels=widths[2]
        )
    ).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if "layer_scale" in name or ".grn." in name:
                tensor.uniform_(0.2, 1.2)
            elif tensor.ndim == 1:
                tensor.add_(torch.empty_like(tensor).uniform_(-0.3, 0.3))
        for name, tensor in model.named_buffers():
            if name.endswith("running_mean"):
                tensor.normal_(0, 0.2)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
    return model


@pytest.mark.parametrize(
    ("family", "size"),
    [
        ("convnext", "tiny"),
        ("convnextv2", "atto"),
        pytest.param("convnext", "base", marks=pytest.mark.slow),
    ],
)
def test_logits_equal_those_of_transformers(family, size, tmp_path):
    theirs = reference(family, size)
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    ours = keras_convnext.UPerNet(f"{family}_{size}", 7, input_shape=(None, None, 3))
    report = keras_convnext.load_weights(ours, tmp_path / "model.safetensors")
    assert (report.dialect, report.kept) == ("huggingface", ())
    assert all(name.endswith("num_batches_tracked") for name in report.dropped)
    batch = images(SHAPE)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(normalized_nchw(batch))).logits.numpy()
    expected = expected.transpose(0, 2, 3, 1)
    logits = ours.predict(batch, verbose=0)
    assert np.abs(logits - expected).max() < TOLERANCE * np.abs(expected).max()
