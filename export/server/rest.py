"""TensorFlow Serving's REST interface, metrics, and a page to try an image."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .. import version_folders
from . import examples, json_values, metrics, protos, tensors, web_folder
from .errors import Code, Refusal, invalid
from .inference_service import InferenceService, Target
from .limits import Body, ClientDisconnect, Limits, Quota
from .servable import Arrays

_MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_ASK = re.compile(rf"(?i:{_MODEL}:(classify|regress|predict))", re.ASCII)
_LOOK = re.compile(rf"(?i:{_MODEL}(/metadata)?)", re.ASCII)
# All of them, since what TensorFlow Serving says to a wrong one is not 405.
_METHODS_OF_HTTP = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# More of them are no number for Python, and no version for anybody.
_MOST_DIGITS = 100
# What lets a web page that comes from elsewhere read an answer, where that is wanted.
_CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_PAGE = Path(__file__).with_name("page.html")
_MODELS_MARK = "/*MODELS*/[]"
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def _target(match: re.Match[str], signature: str = "") -> Target:
    name, number, label = match[1], match[2], match[3]
    if number is not None and (
        len(number) > _MOST_DIGITS or int(number) > version_folders.MOST_VERSION
    ):
        raise invalid(f"Failed to convert version: {number} to numeric.")
    return Target(
        unquote(name), None if number is None else int(number), unquote(label or ""),
        signature,
    )  # fmt: skip


def _predict(
    service: InferenceService, match: re.Match[str], body: bytes
) -> dict[str, Any]:
    document = json_values.parse(body)
    target = _target(match, json_values.signature_name(document))
    answer = service.predict(
        target, lambda signature: tensors.from_json(document, signature)
    )
    return tensors.to_json(answer.outputs, document)


def _ask_examples(
    service: InferenceService, kind: examples.Kind, match: re.Match[str], body: bytes
) -> tuple[Arrays, int]:
    """Returns the outputs for a request's examples, and how many they are."""
    document = json_values.parse(body)
    target = _target(match, json_values.signature_name(document))
    serialized = examples.from_json(document)
    return service.ask_examples(kind, target, serialized).outputs, len(serialized)


def _classify(
    service: InferenceService, match: re.Match[str], body: bytes
) -> dict[str, Any]:
    answer = _ask_examples(service, examples.CLASSIFICATION, match, body)
    return {"results": examples.classes(*answer)}


def _regress(
    service: InferenceService, match: re.Match[str], body: bytes
) -> dict[str, Any]:
    answer = _ask_examples(service, examples.REGRESSION, match, body)
    return {"results": examples.values(*answer)}


_METHODS: dict[
    str, Callable[[InferenceService, re.Match[str], bytes], dict[str, Any]]
] = {
    "predict": _predict,
    "classify": _classify,
    "regress": _regress,
}


def _look(service: InferenceService, match: re.Match[str]) -> dict[str, Any]:
    target = _target(match)
    if not match[4]:
        return protos.to_json(protos.status(service.models, target))
    number, signatures = protos.metadata(service.models, target)
    return {
        "model_spec": {
            "name": target.model,
            "signature_name": "",
            "version": str(number),
        },
        "metadata": {protos.SIGNATURES: protos.to_json(signatures)},
    }


def _json(document: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(document), status, media_type="application/json")


def _refused(refusal: Refusal, close: bool = False) -> Response:
    response = _json({"error": str(refusal)}, refusal.http_status)
    if close:
        # What is left of the body is not read, so no request can follow it.
        response.headers["Connection"] = "close"
    return response


def _preflight(request: Request) -> Response:
    """Answers a browser that asks whether a web page may ask.

    Raises:
        Refusal: It does not say where the page comes from.
    """
    if not re.search("https?://", request.headers.get("origin", "")):
        raise Refusal(
            Code.FAILED_PRECONDITION, "Origin header is missing in CORS preflight"
        )
    return Response()


class Rest:
    """The HTTP side of the server.

    Attributes:
        app: The ASGI application.
    """

    def __init__(
        self,
        service: InferenceService,
        limits: Limits,
        cors: bool = False,
        web: Path | None = None,
    ):
        """Makes it.

        Args:
            service: Answers.
            limits: What a client may take.
            cors: Whether web pages from elsewhere may read the answers.
            web: A folder for the browser that is served, too.
        """
        self._service = service
        self._headers = _CORS_HEADERS if cors else {}
        self._limits = limits
        self._bytes = Quota(limits.max_bytes, "too many bytes of requests wait")
        self._places = Quota(limits.max_requests, "too many requests are worked on")
        self._threads = ThreadPoolExecutor(limits.max_requests, "rest")
        self._closing = False
        self.app = Starlette(
            routes=[
                Route("/", self._page),
                *(web_folder.routes(web) if web else ()),
                Route(metrics.PATH, self._metrics, methods=_METHODS_OF_HTTP),
                Route("/{path:path}", self._any, methods=_METHODS_OF_HTTP),
            ]
        )

    def start_draining(self) -> None:
        """Tells clients with every further answer that the connection ends."""
        self._closing = True

    async def _any(self, request: Request) -> Response:
        body = Body(self._bytes, self._limits)
        try:
            response = await self._respond(request, body)
        except Refusal as refusal:
            # Raised before the body was read, or while.
            response = _refused(refusal, close=True)
        except ClientDisconnect:
            return Response(status_code=499)
        finally:
            body.release()
        response.headers.update(self._headers)
        if self._closing:
            response.headers["Connection"] = "close"
        return response

    async def _respond(self, request: Request, body: Body) -> Response:
        path = request.scope["raw_path"].decode("ascii", errors="replace")
        if not path.lower().startswith("/v1/"):
            raise Refusal(Code.NOT_FOUND, f"Not found: {path}")
        if request.method == "OPTIONS":
            return _preflight(request)
        if request.scope["query_string"]:
            path += "?" + request.scope["query_string"].decode("ascii", "replace")
        ask = _ASK.fullmatch(path) if request.method == "POST" else None
        look = _LOOK.fullmatch(path) if request.method == "GET" else None
        if ask is None and look is None:
            raise invalid(f"Malformed request: {request.method} {path}")
        contents = await body.read(request)
        if ask:
            method = ask[4].lower()
            return await self._in_thread(
                unquote(ask[1]),
                method,
                lambda: _METHODS[method](self._service, ask, contents),
            )
        assert look is not None
        method = "metadata" if look[4] else "status"
        return await self._in_thread(
            unquote(look[1]), method, lambda: _look(self._service, look)
        )

    async def _in_thread(
        self, model: str, method: str, work: Callable[[], dict[str, Any]]
    ) -> Response:
        """Returns the answer that a thread has made, whether good or bad."""

        def answer() -> Response:
            try:
                with self._service.counted(model, method, "REST"):
                    return _json(work())
            except Refusal as refusal:
                return _refused(refusal)

        try:
            self._places.take(1)
        except Refusal as refusal:
            return _refused(refusal)
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, answer)
        finally:
            self._places.give(1)

    async def _metrics(self, request: Request) -> Response:
        return Response(self._service.metrics.text(), media_type=metrics.CONTENT_TYPE)

    async def _page(self, request: Request) -> Response:
        # In a script `<` could end it; JSON has another way to write it.
        listed = json.dumps(self._shown_models()).replace("<", "\\u003c")
        text = _PAGE.read_text(encoding="utf-8").replace(_MODELS_MARK, listed)
        return Response(text, media_type="text/html", headers=_PAGE_HEADERS)

    def _shown_models(self) -> list[dict[str, Any]]:
        """Returns the models that take encoded images, for whatever the page shows."""
        found = []
        for name in self._service.models.names():
            with self._service.models.held(name) as handle:
                for signature in handle.servable.signatures.values():
                    inputs = list(signature.definition.inputs)
                    outputs = set(signature.definition.outputs)
                    of_file = len(inputs) == 1 and inputs[0].endswith("_bytes")
                    shown = {"model": name, "signature": signature.name}
                    # Label maps and boxes are shown in the colors of their classes.
                    if of_file and outputs >= {"classes", "sizes"}:
                        found.append({**shown, **_colors(handle.servable.labels)})
                        break
                    told = ({"classes", "scores"}, {"number", "status"})
                    if of_file and any(outputs >= names for names in told):
                        found.append(shown)
                        break
        return found


def _colors(labels: Sequence[str]) -> dict[str, Any]:
    """Returns names and colors of the classes of pixels or objects, for the page."""
    # It loads Keras, which servers of classifiers do without.
    from keras_convnext.segmentation import palette_for

    names = labels or [f"class {number}" for number in range(256)]
    return {"labels": list(names), "colors": palette_for(names).tolist()}
