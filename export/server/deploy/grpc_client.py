"""Asks a server over gRPC which classes images show.

    python -m export.server.deploy.grpc_client --image=photo.jpg
    python -m export.server.deploy.grpc_client --target=server:8500 --image a.jpg b.png

It needs grpcio and tensorflow-serving-api (the extra `serve`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


def predict(
    channel: grpc.Channel, model: str, files: list[bytes], timeout_s: float = 30
) -> list[dict]:
    """Returns the classes of images.

    Args:
        channel: The connection; it may be used for many calls, from many threads.
        model: What the server calls the model.
        files: Encoded images.
        timeout_s: How long to wait.

    Returns:
        For each image `classes` and `scores`, the best first, and `status`, which is
        empty unless the file could not be classified.

    Raises:
        grpc.RpcError: The server refuses, or there is none.
        KeyError: The model answers something else.
    """
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "bytes"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(files))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    response = stub.Predict(request, timeout_s)
    outputs = {name: tf.make_ndarray(t) for name, t in response.outputs.items()}
    return [
        {
            "classes": [name.decode() for name in outputs["classes"][row]],
            "scores": outputs["scores"][row].tolist(),
            "status": outputs["status"][row].decode(),
        }
        for row in range(len(files))
    ]


def main(argv: list[str]) -> int:
    """Asks about the images of the command line and prints what the server says.

    Args:
        argv: The program's name and its arguments.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", default="127.0.0.1:8500")
    parser.add_argument("--model", default="default")
    parser.add_argument("--image", nargs="+", required=True, type=Path)
    try:
        options = parser.parse_args(argv[1:])
    except SystemExit as end:
        return int(end.code or 0)
    try:
        files = [path.read_bytes() for path in options.image]
        with grpc.insecure_channel(options.target) as channel:
            answers = predict(channel, options.model, files)
    except (OSError, ValueError) as error:
        print(f"grpc_client: {error}", file=sys.stderr)
        return 1
    except KeyError as missing:
        print(f"grpc_client: {options.model} does not say {missing}", file=sys.stderr)
        return 1
    except grpc.RpcError as error:
        print(f"grpc_client: {error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    for path, answer in zip(options.image, answers, strict=True):
        best = zip(answer["classes"], answer["scores"], strict=True)
        shown = ", ".join(f"{name} {score:.3f}" for name, score in best)
        print(f"{path}: {answer['status'] or shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
