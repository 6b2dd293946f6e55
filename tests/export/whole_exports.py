"""What tests of exports from end to end share: the commands, and a client of them."""

import base64
import contextlib
import io
import json
import re

import tensorflow as tf

from export import main as command
from tests.export.server import server_support

_TIMEOUT_SECONDS = 120


def export(model, folder, *more):
    """Returns what was printed and what export.json says of each file."""
    argv = ["export", f"--model={model}", f"--out={folder}", *more]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert command.main(argv) == 0
    record = json.loads((folder / "export.json").read_text())
    return said.getvalue(), record["artefacts"]


def serve(folder, log):
    """Runs the server of an export while the body runs; its model is the toy."""
    flags = f"--model_dir={folder}", "--model_name=toy"
    timeout = f"--request_timeout_seconds={_TIMEOUT_SECONDS}"
    return server_support.command(*flags, timeout, log=log)


def predict_files(server, files):
    """Returns the rows that REST answers to encoded images."""
    import requests

    rows = [{"b64": base64.b64encode(file).decode()} for file in files]
    url, document = server.url + server_support.SERVED, {"instances": rows}
    answer = requests.post(url, json=document, timeout=_TIMEOUT_SECONDS)
    return answer.json()["predictions"]


def predict_pixels(server, image):
    """Returns the arrays by name that gRPC answers to an image's pixels."""
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    asked = predict_pb2.PredictRequest()
    asked.model_spec.name = "toy"
    asked.model_spec.signature_name = "images"
    asked.inputs["images"].CopyFrom(tf.make_tensor_proto(image[None]))
    with grpc.insecure_channel(server.target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        outputs = stub.Predict(asked, _TIMEOUT_SECONDS).outputs
    return {name: tf.make_ndarray(tensor) for name, tensor in outputs.items()}


def shown_on_page(server):
    """Returns what the page knows of the model."""
    import requests

    page = requests.get(server.url, timeout=20).text
    [shown] = json.loads(re.search(r"const models = (\[.*\]);", page)[1])
    return shown
