"""Asks a server over REST which classes images show. The standard library suffices.

python -m export.server.deploy.rest_client --image=photo.jpg
python -m export.server.deploy.rest_client --url=http://server:8501 --image a.jpg b.png
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path


def predict(url: str, model: str, files: list[bytes], timeout_s: float = 30) -> list:
    """Returns the classes of images.

    Args:
        url: The server, such as `http://127.0.0.1:8501`.
        model: What the server calls the model.
        files: Encoded images.
        timeout_s: How long to wait.

    Returns:
        For each image `classes` and `scores`, the best first, and `status`, which is
        empty unless the file could not be classified.

    Raises:
        RuntimeError: The server refuses, or is of another kind; the text is its
            answer.
        OSError: There is no server.
        ValueError: The URL is none.
    """
    instances = [{"b64": base64.b64encode(file).decode("ascii")} for file in files]
    body = json.dumps({"signature_name": "bytes", "instances": instances})
    path = f"/v1/models/{urllib.parse.quote(model, safe='')}:predict"
    request = urllib.request.Request(url.rstrip("/") + path, body.encode("ascii"))
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            answer, said = response.read(), ""
    except urllib.error.HTTPError as error:
        with error:
            answer, said = error.read(), f"{error.code} {error.reason}: "
    except http.client.HTTPException as error:
        raise RuntimeError(f"{url} does not speak HTTP ({error!r})") from None
    try:
        document = json.loads(answer)
        if "error" in document:
            raise RuntimeError(document["error"])
        found: list = document["predictions"]
    except (ValueError, TypeError, KeyError):
        raise RuntimeError(f"{url} is no model server: {said}{answer[:80]!r}") from None
    return found


def main(argv: list[str]) -> int:
    """Asks about the images of the command line and prints what the server says.

    Args:
        argv: The program's name and its arguments.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8501")
    parser.add_argument("--model", default="default")
    parser.add_argument("--image", nargs="+", required=True, type=Path)
    try:
        options = parser.parse_args(argv[1:])
    except SystemExit as end:
        return int(end.code or 0)
    try:
        files = [path.read_bytes() for path in options.image]
        answers = predict(options.url, options.model, files)
        for path, answer in zip(options.image, answers, strict=True):
            best = zip(answer["classes"], answer["scores"], strict=True)
            shown = ", ".join(f"{name} {score:.3f}" for name, score in best)
            print(f"{path}: {answer['status'] or shown}")
    except (OSError, RuntimeError, ValueError) as error:
        print(f"rest_client: {error}", file=sys.stderr)
        return 1
    except (KeyError, TypeError):
        print(
            f"rest_client: {options.model} does not answer with classes, scores and "
            f"status: {answers}"[:200],
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
