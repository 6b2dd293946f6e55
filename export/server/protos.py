"""Answers that both protocols give as the same messages: state and signatures."""

from __future__ import annotations

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from .inference_service import Target
from .versions import Models

SIGNATURES = "signature_def"


def status(
    models: Models, target: Target
) -> get_model_status_pb2.GetModelStatusResponse:
    """Returns the states of a model's versions.

    Raises:
        Refusal: There is no such model or version.
    """
    response = get_model_status_pb2.GetModelStatusResponse()
    for found in models.status(target.model, target.number, target.label):
        entry = response.model_version_status.add(
            version=found.number, state=int(found.state)
        )
        entry.status.error_code = int(found.code)
        entry.status.error_message = found.message
    return response


def metadata(
    models: Models, target: Target
) -> tuple[int, get_model_metadata_pb2.SignatureDefMap]:
    """Returns which version would answer, and its signatures.

    Raises:
        Refusal: There is no such model or version.
    """
    with models.held(target.model, target.number, target.label) as handle:
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in handle.servable.signatures.items():
            signatures.signature_def[name].CopyFrom(signature.definition)
        return handle.number, signatures


def to_json(message: object) -> dict:
    """Returns a message as TensorFlow Serving writes it: all fields, by their names."""
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
