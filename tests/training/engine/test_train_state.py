"""What learns: the learning rate of every step of a run."""

import numpy as np
import pytest

import keras_convnext
from keras_convnext import weights
from training.engine import train_state
from training.recipes import table

IMAGENET_IMAGES = 1_281_167


def official_rates(peak, low, epochs, steps_an_epoch, warmup_epochs):
    """The published code's `cosine_scheduler`, step by step in float64."""
    warmup = warmup_epochs * steps_an_epoch
    rise = np.linspace(0, peak, warmup) if warmup_epochs else []
    left = np.arange(epochs * steps_an_epoch - warmup)
    fall = low + 0.5 * (peak - low) * (1 + np.cos(np.pi * left / len(left)))
    return np.concatenate([rise, fall])


@pytest.mark.parametrize(
    ("name", "batch", "peak", "epochs", "warmup"),
    [
        # arXiv:2201.03545, table 5, with the paper's batch and with a smaller one.
        ("v1_tiny_in1k", 4096, 4e-3, 300, 20),
        ("v1_tiny_in1k", 1024, 1e-3, 300, 20),
        ("v1_isotropic_small_in1k", 4096, 4e-3, 300, 50),
        # arXiv:2301.00808, appendix: a base rate of 2e-4, no warm-up.
        ("v2_nano_fcmae_ft_in1k", 1024, 8e-4, 600, 0),
    ],
)
def test_the_rate_of_every_step_is_the_official_codes(
    name, batch, peak, epochs, warmup
):
    recipe = table.resolve(name, [f"global_batch={batch}"])
    steps_an_epoch = IMAGENET_IMAGES // batch
    steps = epochs * steps_an_epoch
    rates = train_state.schedule(recipe, steps)(np.arange(steps)).numpy()
    wanted = official_rates(peak, 1e-6, epochs, steps_an_epoch, warmup)
    # float32 against float64, at a rate of 4e-3 at most.
    np.testing.assert_allclose(rates, wanted, atol=3e-9)


def test_weights_without_layer_scale_say_how_to_take_them(tmp_path):
    def make(variant, **settings):
        return keras_convnext.create(
            variant, weights=None, input_shape=(32, 32, 3), classes=3, **settings
        )

    def why_unfit(model, file):
        with pytest.raises(weights.WeightsMismatchError) as caught:
            weights.load(model, file)
        return train_state._why_unfit(str(caught.value), "convnextv2_atto")

    file = tmp_path / "encoder.keras"
    make("convnextv2_atto").save(file)
    scaled = why_unfit(make("convnextv2_atto", layer_scale_init_value=1.0), file)
    assert "missing from the file (12)" in scaled
    assert scaled.endswith(": --set layer_scale_init_value=none for weights without it")
    assert scaled.count("\n") == 0
    # Where more than that differs, it is not the way.
    other = why_unfit(make("convnextv2_femto", layer_scale_init_value=1.0), file)
    assert other.endswith("is that what the weights are of? (--set variant=)")
