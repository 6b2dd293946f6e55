"""TensorFlow Serving's gRPC services."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from . import examples, model_config, protos, tensors
from .core import Core, Target
from .errors import Code, Refusal, invalid
from .servable import Arrays, Signature

_Response = TypeVar("_Response")
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _target(spec: Any) -> Target:
    if not spec.name:
        raise invalid("Missing ModelSpec")
    number = spec.version.value if spec.HasField("version") else None
    return Target(spec.name, number, spec.version_label, spec.signature_name)


def _answered(spec: Any, target: Target, number: int, signature: str = "") -> None:
    """Says in an answer who gave it."""
    spec.name = target.model
    spec.version.value = number
    spec.signature_name = signature


class _Service:
    """What the two services share."""

    def __init__(self, core: Core, max_bytes: int):
        self._core = core
        self._max_bytes = max_bytes

    def _run(
        self,
        context: grpc.ServicerContext,
        model: str,
        method: str,
        work: Callable[[], _Response],
    ) -> _Response:
        try:
            with self._core.counted(model, method, "GRPC"):
                return work()
        except Refusal as refusal:
            context.abort(_CODES[int(refusal.code)], str(refusal))
            raise AssertionError("abort returned") from refusal


class PredictionService(
    _Service, prediction_service_pb2_grpc.PredictionServiceServicer
):
    """Predict, Classify and GetModelMetadata; the rest is refused."""

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        def inputs(signature: Signature) -> Arrays:
            return {
                name: tensors.from_proto(name, proto, self._max_bytes)
                for name, proto in request.inputs.items()
            }

        def work() -> predict_pb2.PredictResponse:
            target = _target(request.model_spec)
            answer = self._core.predict(target, inputs, context.time_remaining())
            response = predict_pb2.PredictResponse()
            _answered(response.model_spec, target, answer.number, answer.signature)
            for name in _chosen(request.output_filter, answer.outputs):
                proto = _tensor_proto(answer.outputs[name])
                response.outputs[name].CopyFrom(proto)
            return response

        return self._run(context, request.model_spec.name, "predict", work)

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> classification_pb2.ClassificationResponse:
            target = _target(request.model_spec)
            serialized = examples.from_proto(request.input)
            answer, rows = self._core.classify(
                target, serialized, context.time_remaining()
            )
            response = classification_pb2.ClassificationResponse()
            _answered(response.model_spec, target, answer.number, answer.signature)
            for row in rows:
                classifications = response.result.classifications.add()
                for label, score in row:
                    classifications.classes.add(label=label, score=score)
            return response

        return self._run(context, request.model_spec.name, "classify", work)

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> None:
            self._core.regress(_target(request.model_spec))

        return self._run(context, request.model_spec.name, "regress", work)

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> None:
            raise Refusal(
                Code.UNIMPLEMENTED, "MultiInference is not implemented by this server"
            )

        return self._run(context, "", "multi_inference", work)

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> get_model_metadata_pb2.GetModelMetadataResponse:
            target = _target(request.model_spec)
            if not request.metadata_field:
                raise invalid(
                    "GetModelMetadataRequest must specify at least one metadata_field"
                )
            for field in request.metadata_field:
                if field != protos.SIGNATURES:
                    raise invalid(f"Metadata field {field} is not supported")
            number, signatures = protos.metadata(self._core.models, target)
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            _answered(response.model_spec, target, number)
            response.metadata[protos.SIGNATURES].Pack(signatures)
            return response

        return self._run(context, request.model_spec.name, "metadata", work)


class ModelService(_Service, model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and, where it is allowed, HandleReloadConfigRequest."""

    def __init__(self, core: Core, max_bytes: int, may_reload: bool):
        super().__init__(core, max_bytes)
        self._may_reload = may_reload

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            return protos.status(self._core.models, _target(request.model_spec))

        return self._run(context, request.model_spec.name, "status", work)

    def HandleReloadConfigRequest(
        self, request: Any, context: grpc.ServicerContext
    ) -> Any:
        def work() -> Any:
            if not self._may_reload:
                # A client could have any folder of this machine read.
                raise Refusal(
                    Code.PERMISSION_DENIED,
                    "Reloading is allowed where the server was started with "
                    "--model_config_file",
                )
            response = model_management_pb2.ReloadConfigResponse()
            configs = model_config.from_proto(request.config, Path())
            self._core.models.configure(configs)
            failures = self._core.models.failures()
            if failures:
                raise Refusal(Code.FAILED_PRECONDITION, "; ".join(failures))
            response.status.error_code = int(Code.OK)
            return response

        return self._run(context, "", "reload_config", work)


def _chosen(output_filter: Any, outputs: Arrays) -> list[str]:
    """Returns the names of the outputs that a client wants: all if it does not say."""
    chosen = list(output_filter) or list(outputs)
    for name in chosen:
        if name not in outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected "
                f"to be in the set {{{','.join(sorted(outputs))}}}."
            )
    if len(set(chosen)) != len(chosen):
        raise invalid("duplicate output tensor alias")
    return chosen


def _tensor_proto(array: np.ndarray) -> Any:
    return tf.make_tensor_proto(array, shape=array.shape)
