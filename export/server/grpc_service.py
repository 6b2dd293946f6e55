"""TensorFlow Serving's gRPC services."""

from __future__ import annotations

from collections.abc import Callable
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
    regression_pb2,
)

from . import examples, model_config, protos, tensors
from .errors import Code, Refusal, invalid
from .inference_service import Answer, InferenceService, Target
from .servable import Arrays, Signature

_Response = TypeVar("_Response")
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _target(request: Any) -> Target:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec = request.model_spec
    number = spec.version.value if spec.HasField("version") else None
    return Target(spec.name, number, spec.version_label, spec.signature_name)


def _answered(spec: Any, answer: Answer) -> None:
    """Says in an answer who gave it."""
    spec.name = answer.model
    spec.version.value = answer.number
    spec.signature_name = answer.signature


class _Service:
    """What the two services share."""

    def __init__(self, service: InferenceService, max_bytes: int):
        self._service = service
        self._max_bytes = max_bytes

    def _run(
        self,
        context: grpc.ServicerContext,
        model: str,
        method: str,
        work: Callable[[], _Response],
    ) -> _Response:
        try:
            with self._service.counted(model, method, "GRPC"):
                return work()
        except Refusal as refusal:
            context.abort(_CODES[int(refusal.code)], str(refusal))
            raise AssertionError("abort returned") from refusal


class PredictionService(
    _Service, prediction_service_pb2_grpc.PredictionServiceServicer
):
    """All but MultiInference."""

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        def inputs(signature: Signature) -> Arrays:
            return {
                name: tensors.from_proto(name, proto, self._max_bytes)
                for name, proto in request.inputs.items()
            }

        def work() -> predict_pb2.PredictResponse:
            answer = self._service.predict(
                _target(request),
                inputs,
                context.time_remaining(),
                unsigned=Code.FAILED_PRECONDITION,
            )
            response = predict_pb2.PredictResponse()
            _answered(response.model_spec, answer)
            for name in _chosen(request.output_filter, answer.outputs):
                proto = _tensor_proto(answer.outputs[name])
                response.outputs[name].CopyFrom(proto)
            return response

        return self._run(context, request.model_spec.name, "predict", work)

    def _ask_examples(
        self, kind: examples.Kind, request: Any, context: grpc.ServicerContext
    ) -> tuple[Answer, int]:
        """Returns the answer to a request's examples, and how many they are."""
        serialized = examples.from_proto(request.input)
        answer = self._service.ask_examples(
            kind, _target(request), serialized, context.time_remaining()
        )
        return answer, len(serialized)

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> classification_pb2.ClassificationResponse:
            answer, count = self._ask_examples(
                examples.CLASSIFICATION, request, context
            )
            response = classification_pb2.ClassificationResponse()
            _answered(response.model_spec, answer)
            for row in examples.classes(answer.outputs, count):
                classifications = response.result.classifications.add()
                for label, score in row:
                    classifications.classes.add(label=label, score=score)
            return response

        return self._run(context, request.model_spec.name, "classify", work)

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> regression_pb2.RegressionResponse:
            answer, count = self._ask_examples(examples.REGRESSION, request, context)
            response = regression_pb2.RegressionResponse()
            _answered(response.model_spec, answer)
            for value in examples.values(answer.outputs, count):
                response.result.regressions.add(value=value)
            return response

        return self._run(context, request.model_spec.name, "regress", work)

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> None:
            raise Refusal(
                Code.UNIMPLEMENTED, "MultiInference is not implemented by this server"
            )

        return self._run(context, "", "multi_inference", work)

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> get_model_metadata_pb2.GetModelMetadataResponse:
            target = _target(request)
            if not request.metadata_field:
                raise invalid(
                    "GetModelMetadataRequest must specify at least one metadata_field"
                )
            for field in request.metadata_field:
                if field != protos.SIGNATURES:
                    raise invalid(f"Metadata field {field} is not supported")
            number, signatures = protos.metadata(self._service.models, target)
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name = target.model
            response.model_spec.version.value = number
            response.metadata[protos.SIGNATURES].Pack(signatures)
            return response

        return self._run(context, request.model_spec.name, "metadata", work)


class ModelService(_Service, model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and, where it is allowed, HandleReloadConfigRequest."""

    def __init__(self, service: InferenceService, max_bytes: int, may_reload: bool):
        super().__init__(service, max_bytes)
        self._may_reload = may_reload

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            return protos.status(self._service.models, _target(request))

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
            if request.config.WhichOneof("config"):
                configs = model_config.from_proto(request.config)
                self._service.models.configure(configs)
                failures = self._service.models.failures()
                if failures:
                    raise Refusal(Code.UNKNOWN, "; ".join(failures))
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
