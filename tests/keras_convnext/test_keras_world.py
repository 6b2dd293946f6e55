"""What people do with Keras models, done with these: inputs, callbacks, int8, LoRA."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_convnext.models import build
from tests.checks import tiny_variant

SMALL = tiny_variant(name="small", widths=(16, 24, 32, 48), layer_scale_init_value=0.1)
SIDE_PX = 32
CLASSES = 3


def bars(count, seed):
    """Noise with a bright bar at the left, in the middle or at the right."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = random.uniform(0, 120, (count, SIDE_PX, SIDE_PX, 3)).astype("float32")
    for image, label in zip(images, labels, strict=True):
        image[:, 3 + 10 * label : 7 + 10 * label] += 130
    return images, labels.astype("int32")


def classifier(**arguments):
    return build(
        SMALL,
        classes=CLASSES,
        input_shape=(SIDE_PX, SIDE_PX, 3),
        patch_size=2,
        seed=0,
        **arguments,
    )


class Sequence(keras.utils.PyDataset):
    """Batches made in Python."""

    def __init__(self, images, labels):
        super().__init__()
        self.arrays = images, labels

    def __len__(self):
        return len(self.arrays[0]) // 8

    def __getitem__(self, number):
        rows = slice(8 * number, 8 * number + 8)
        return tuple(array[rows] for array in self.arrays)


@pytest.mark.slow
def test_arrays_tf_data_and_pydataset_train_alike():
    images, labels = bars(24, seed=1)
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)
    given = {
        "arrays": {"x": images, "y": labels, "batch_size": 8},
        "tf.data": {"x": batches},
        "PyDataset": {"x": Sequence(images, labels)},
    }
    start = classifier()
    trained = {}
    for name, arguments in given.items():
        model = classifier()
        model.set_weights(start.get_weights())
        model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
        model.fit(**arguments, epochs=2, shuffle=False, verbose=0)
        trained[name] = model.get_weights()
    moved = [
        np.abs(value - old).max()
        for value, old in zip(trained["arrays"], start.get_weights(), strict=True)
    ]
    assert max(moved) > 1e-3
    for name in ("tf.data", "PyDataset"):
        for value, expected in zip(trained[name], trained["arrays"], strict=True):
            # The same batches in the same order.
            np.testing.assert_allclose(value, expected, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("built", "traced"), [(True, 1), (False, 2)])
def test_keras_traces_a_step_once_where_the_optimizer_is_built_before(
    built, traced, monkeypatch
):
    # The least model: it is Keras of which this is said.
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(CLASSES)])
    model.build((None, SIDE_PX, SIDE_PX, 3))
    model.compile("adamw", "sparse_categorical_crossentropy", jit_compile=False)
    if built:
        model.optimizer.build(model.trainable_variables)
    train_step, calls = model.train_step, []
    monkeypatch.setattr(
        model, "train_step", lambda data: (calls.append(data), train_step(data))[1]
    )
    images, labels = bars(16, seed=1)
    model.fit(images, labels, batch_size=8, epochs=2, verbose=0)
    assert len(calls) == traced


@pytest.mark.slow
def test_the_tensorboard_callback_writes_what_tensorboard_reads(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    model = classifier()
    model.compile("sgd", "sparse_categorical_crossentropy")
    board = keras.callbacks.TensorBoard(tmp_path, histogram_freq=1)
    history = model.fit(*bars(16, seed=1), epochs=2, verbose=0, callbacks=[board])
    events = accumulator.EventAccumulator(
        str(tmp_path / "train"), size_guidance={"tensors": 0}
    )
    events.Reload()
    told = [
        float(tf.make_ndarray(event.tensor_proto))
        for event in events.Tensors("epoch_loss")
    ]
    assert told == pytest.approx(history.history["loss"])
    assert any("stage0_block0_dwconv" in tag for tag in events.Tags()["tensors"])


@pytest.fixture(scope="module")
def trained():
    """A model that tells the bars apart, and the images that it is asked of."""
    model = classifier()
    model.compile(keras.optimizers.AdamW(2e-3), "sparse_categorical_crossentropy")
    model.fit(*bars(96, seed=1), batch_size=16, epochs=12, verbose=0)
    images, labels = bars(48, seed=2)
    right = (model.predict(images, verbose=0).argmax(1) == labels).mean()
    assert right > 0.9
    return model, images, labels


@pytest.mark.slow
def test_quantized_to_int8_it_answers_as_before_and_is_smaller(trained, tmp_path):
    model, images, labels = trained
    before = model.predict(images, verbose=0)
    model.save(tmp_path / "float.keras")
    quantized = keras.saving.load_model(tmp_path / "float.keras")
    quantized.quantize("int8")
    dense = [d for d in quantized.layers if isinstance(d, keras.layers.Dense)]
    assert len(dense) == 2 * 5 + 1
    assert {keras.backend.standardize_dtype(d.kernel.dtype) for d in dense} == {"int8"}
    after = quantized.predict(images, verbose=0)
    # Seven bits a number: the answers stay, the shares move by a few hundredths.
    np.testing.assert_array_equal(after.argmax(1), before.argmax(1))
    np.testing.assert_allclose(after, before, atol=0.1)

    quantized.save(tmp_path / "int8.keras")
    again = keras.saving.load_model(tmp_path / "int8.keras")
    np.testing.assert_allclose(again.predict(images, verbose=0), after, atol=1e-6)
    small, large = (sum(w.nbytes for w in m.get_weights()) for m in (quantized, model))
    kernels = sum(int(np.prod(layer.kernel.shape)) for layer in dense)
    scales = sum(layer.units for layer in dense)
    # A byte for each of four, and a scale of four bytes for each output.
    assert small == large - 3 * kernels + 4 * scales


@pytest.mark.slow
def test_lora_on_the_dense_layers_trains_few_parameters_and_reloads(trained, tmp_path):
    model, _, _ = trained
    model.save(tmp_path / "base.keras")
    adapted = keras.saving.load_model(tmp_path / "base.keras")
    everything = adapted.count_params()
    for layer in adapted.layers:
        layer.trainable = False
    rank = 2
    wanted = 0
    for layer in adapted.layers:
        if re.fullmatch(r"stage\d_block\d_(expand|project)", layer.name):
            layer.trainable = True
            layer.enable_lora(rank)
            layer.bias.trainable = False
            # Two thin matrices beside each kernel.
            wanted += rank * sum(layer.kernel.shape)
    head = adapted.get_layer("head_dense")
    head.trainable = True
    wanted += head.count_params()
    thin = sum(int(np.prod(v.shape)) for v in adapted.trainable_variables)
    assert thin == wanted
    assert thin < 0.1 * everything

    # Another task: the classes go by other names.
    images, labels = bars(96, seed=3)
    labels = (labels + 1) % CLASSES
    frozen = {v.path: v.numpy().copy() for v in adapted.non_trainable_variables}
    adapted.compile(keras.optimizers.AdamW(1e-2), "sparse_categorical_crossentropy")
    adapted.fit(images, labels, batch_size=16, epochs=8, verbose=0)
    answers = adapted.predict(images, verbose=0)
    assert (answers.argmax(1) == labels).mean() > 0.9
    for variable in adapted.non_trainable_variables:
        if "seed" not in variable.path:
            np.testing.assert_array_equal(variable, frozen[variable.path])

    adapted.save(tmp_path / "adapted.keras")
    again = keras.saving.load_model(tmp_path / "adapted.keras")
    np.testing.assert_allclose(again.predict(images, verbose=0), answers, atol=1e-5)


@pytest.mark.slow
def test_frozen_and_then_unfrozen_with_layer_wise_rates_in_fit():
    """The adapter's two phases in ten lines, as the training application has them."""
    from keras_convnext.optimizers import LayerwiseAdamW, parameter_groups

    images, labels = bars(48, seed=1)
    model = classifier()
    backbone = keras.Model(model.input, model.get_layer("head_norm").output)
    start = [w.copy() for w in backbone.get_weights()]

    backbone.trainable = False
    model.compile("adamw", "sparse_categorical_crossentropy")
    model.fit(images, labels, batch_size=16, epochs=1, verbose=0)
    for value, old in zip(backbone.get_weights(), start, strict=True):
        np.testing.assert_array_equal(value, old)

    backbone.trainable = True
    groups = parameter_groups(model, layer_decay=0.8)
    model.compile(
        LayerwiseAdamW(1e-3, groups=groups), "sparse_categorical_crossentropy"
    )
    history = model.fit(images, labels, batch_size=16, epochs=6, verbose=0).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    changed = [
        (value != old).any()
        for value, old in zip(backbone.get_weights(), start, strict=True)
    ]
    # The mean and deviation of the images are no parameters.
    assert sum(changed) == len(backbone.trainable_variables)


TRANSFER = """
import keras
import numpy as np
from IMPORTED import ConvNeXtTiny, preprocess_input

random = np.random.default_rng(0)
images = random.uniform(0, 255, (32, 40, 40, 3)).astype("float32")
labels = np.arange(32) % 2
images[labels == 1, :, :20] *= 0.2

base = ConvNeXtTiny(weights=None, include_top=False, input_shape=(32, 32, 3))
base.trainable = False

inputs = keras.Input((40, 40, 3))
x = keras.layers.RandomFlip("vertical")(inputs)
x = keras.layers.Resizing(32, 32)(x)
x = preprocess_input(x)
x = base(x, training=False)
x = keras.layers.GlobalAveragePooling2D()(x)
x = keras.layers.Dropout(0.2)(x)
outputs = keras.layers.Dense(1)(x)
model = keras.Model(inputs, outputs)

loss = keras.losses.BinaryCrossentropy(from_logits=True)
accuracy = keras.metrics.BinaryAccuracy(threshold=0.0)
model.compile(keras.optimizers.Adam(1e-2), loss, metrics=[accuracy])
frozen = model.fit(images, labels, epochs=2, batch_size=16, verbose=0).history
trained_while_frozen = len(model.trainable_weights)

base.trainable = True
for layer in base.layers[:-10]:
    layer.trainable = False
model.compile(keras.optimizers.Adam(1e-5), loss, metrics=[accuracy])
tuned = model.fit(images, labels, epochs=1, batch_size=16, verbose=0).history
model.save("tuned.keras")
again = keras.models.load_model("tuned.keras")
told = model.predict(images, verbose=0)
repeated = again.predict(images, verbose=0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("library", ["keras.applications.convnext", "keras_convnext"])
def test_transfer_learning_code_runs_with_only_its_import_changed(
    library, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    names = {}
    exec(TRANSFER.replace("IMPORTED", library), names)
    assert np.isfinite(names["frozen"]["loss"] + names["tuned"]["loss"]).all()
    assert names["frozen"]["binary_accuracy"][-1] > 0.5
    assert names["trained_while_frozen"] == 2
    assert names["told"].shape == (32, 1)
    np.testing.assert_allclose(names["repeated"], names["told"], atol=1e-5)


@pytest.mark.slow
def test_keras_tuner_finds_the_rate_that_learns(tmp_path):
    tuners = pytest.importorskip("keras_tuner", reason="Keras Tuner is not installed")

    def build_model(choices):
        model = classifier()
        model.compile(
            keras.optimizers.AdamW(choices.Choice("learning_rate", [1e-8, 2e-3])),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model

    tuner = tuners.GridSearch(
        build_model,
        objective=tuners.Objective("val_loss", "min"),
        directory=tmp_path,
        project_name="rates",
    )
    tuner.search(
        *bars(48, seed=1), epochs=4, validation_data=bars(24, seed=2), verbose=0
    )
    assert tuner.get_best_hyperparameters()[0].get("learning_rate") == 2e-3
