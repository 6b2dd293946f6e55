"""One small trained-looking model, saved as training saves it, and one export of it.

Both are made once for all files of tests: converting and exporting take seconds.
"""

import contextlib
import fcntl
import io
import json
import os

import numpy as np
import pytest
from PIL import Image

CLASSES = ("cat", "dog", "früh", "hen, or cock", "owl", "pig", "yak")
SIZE_PX = 32


def randomized(model, seed=0):
    """Gives every variable a value that shows in the output.

    At their initial values layer scale hides the blocks, and norms and biases are
    neutral: nothing that is wrong with them could be seen.
    """
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        shape = variable.shape
        if variable.name == "gamma":
            variable.assign(generator.uniform(0.1, 1.0, shape))
        elif variable.name in ("beta", "bias"):
            variable.assign(generator.normal(0, 0.1, shape))
        elif variable.name == "kernel":
            fan_in = np.prod(shape[:2] if "dwconv" in variable.path else shape[:-1])
            variable.assign(generator.normal(0, fan_in**-0.5, shape))
    return model


def smooth_images(count, size_px=32):
    """Blurred noise: colors and edges as in photographs."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3))
    return np.stack(
        [
            np.asarray(Image.fromarray(image).resize((size_px, size_px), 3))
            for image in coarse.astype(np.uint8)
        ]
    ).astype(np.float32)


def make_once(tmp_path_factory, name, make):
    """Returns a folder that one of xdist's workers makes and all of them read."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, made = root / name, root / f"{name}.made"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            make(folder)
            made.touch()
    return folder


@pytest.fixture(scope="session")
def tiny_variant():
    from tests.checks import tiny_variant

    return tiny_variant()


@pytest.fixture(scope="session")
def tiny_model(tiny_variant):
    from keras_convnext.models import build

    model = build(
        tiny_variant,
        weights=None,
        input_shape=(SIZE_PX, SIZE_PX, 3),
        classes=len(CLASSES),
        patch_size=2,
    )
    return randomized(model)


@pytest.fixture(scope="session")
def workdir(tiny_model, tmp_path_factory):
    """A finished training workdir, as far as exporting looks into it."""

    def make(folder):
        folder.mkdir()
        tiny_model.save(folder / "model.keras")
        (folder / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES))
        record = {
            "size_px": SIZE_PX,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "crop_fraction": 0.875,
            "crop_mode": "center",
            "interpolation": "bicubic",
        }
        (folder / "preprocessing.json").write_text(json.dumps(record))

    return make_once(tmp_path_factory, "export_workdir", make)


@pytest.fixture(scope="session")
def exported(workdir, tmp_path_factory):
    """The folder of an export beside an older version, and what was printed."""
    from export import main as command

    def make(base):
        folder = base / "new" / "folder"
        older = folder / "saved_model" / "7"
        older.mkdir(parents=True)
        (older / "saved_model.pb").write_bytes(b"older")
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            flags = [f"--model={workdir}", f"--out={folder}"]
            assert command.main(["export", *flags]) == 0
        (base / "shown.txt").write_text(shown.getvalue())

    base = make_once(tmp_path_factory, "export", make)
    return base / "new" / "folder", (base / "shown.txt").read_text()


@pytest.fixture(scope="session")
def out(exported):
    return exported[0]


@pytest.fixture(scope="session")
def network(tiny_model):
    """The small model as an export has it: folded."""
    from export.model.forward import Network, with_features
    from keras_convnext.folding import fold
    from keras_convnext.preprocessing import Preprocessing

    preprocessing = Preprocessing(size_px=SIZE_PX, crop_fraction=1.0)
    return Network(tiny_model, preprocessing, fold(with_features(tiny_model)))


@pytest.fixture(scope="session")
def exact(network):
    """Its TFLite file of float32, without metadata."""
    from export.convert import tflite
    from export.convert.precisions import PRECISIONS

    return tflite.convert(network, PRECISIONS["float32"])


def encoded(pixels, file_format="PNG", **how):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=file_format, **how)
    return file.getvalue()


@pytest.fixture(scope="session")
def photographs():
    """Encoded images of several sizes and formats."""
    generator = np.random.default_rng(5)
    files = []
    for height, width, file_format in (
        (48, 60, "PNG"),
        (70, 40, "JPEG"),
        (33, 33, "WEBP"),
        (20, 90, "BMP"),
    ):
        coarse = generator.integers(0, 256, (4, 5, 3)).astype(np.uint8)
        image = Image.fromarray(coarse).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        files.append(encoded(np.asarray(image), file_format))
    return files


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Serves a toy model, version 3, with small limits; needs the extra serve."""
    pytest.importorskip("tensorflow_serving", reason="needs the extra serve")
    pytest.importorskip("uvicorn", reason="needs the extra serve")
    from export.server.app import Server, Settings
    from export.server.limits import Limits
    from export.server.versions import ModelConfig
    from tests.export.server.server_support import (
        BODY_SECONDS,
        LARGEST,
        free_port,
        write_version,
    )

    base = tmp_path_factory.mktemp("toy")
    write_version(base, 3)
    settings = Settings(
        [ModelConfig("toy", base, labels={"stable": 3, "gone": 2})],
        rest_port=free_port(),
        grpc_port=free_port(),
        poll_seconds=0.05,
        limits=Limits(
            max_request_bytes=LARGEST, header_seconds=0.5, body_seconds=BODY_SECONDS
        ),
    )
    server = Server(settings, lambda line: None)
    server.start()
    yield settings
    server.stop()


@pytest.fixture(scope="module")
def url(served):
    return f"http://127.0.0.1:{served.rest_port}"


@pytest.fixture(scope="module")
def channel(served):
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
        yield channel


@pytest.fixture(scope="module")
def predictions(channel):
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel):
    from tensorflow_serving.apis import model_service_pb2_grpc

    return model_service_pb2_grpc.ModelServiceStub(channel)
