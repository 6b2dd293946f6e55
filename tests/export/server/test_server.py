"""The embedded server, asked as the official clients ask TensorFlow Serving."""

import base64
import json
import threading

import numpy as np
import pytest
import tensorflow as tf

grpc = pytest.importorskip("grpc")
requests = pytest.importorskip("requests")
pytest.importorskip("tensorflow_serving", reason="needs the extra serve")
pytest.importorskip("uvicorn", reason="needs the extra serve")

from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from tests.export.server.server_support import (  # noqa: E402
    LABELS,
    LARGEST,
    ROWS,
    ROWS_ANSWER,
    SERVED,
    ask,
)


def predict_request(name="toy", signature="", version=None, label="", **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    request.model_spec.version_label = label
    if version is not None:
        request.model_spec.version.value = version
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


FILES = [b"\xff\xd8four", b"", b"1234"]


def b64(contents):
    return {"b64": base64.b64encode(contents).decode()}


def said_of_files(contents):
    """What the model answers, worked out from its description."""
    first = len(contents) % 3
    return {
        "classes": [LABELS[(first + k) % 3] for k in range(3)],
        "scores": [0.75, 0.5, 0.25],
        "status": "" if contents else "empty",
    }


@pytest.mark.parametrize(
    ("path", "document", "answer"),
    [
        (":predict", ROWS, ROWS_ANSWER),
        ("/versions/3:predict", ROWS, ROWS_ANSWER),
        ("/labels/stable:predict", ROWS, ROWS_ANSWER),
        (
            ":predict",
            {"inputs": [[1.0, 2.0]], "signature_name": "serving_default"},
            {"outputs": [[3.5, 4.0]]},
        ),
        (
            ":predict",
            {"signature_name": "pair", "instances": [{"a": 1.5, "b": 2}]},
            {"predictions": [{"raw_bytes": b64(b"2"), "total": 3.5}]},
        ),
        (
            ":predict",
            {"signature_name": "pair", "inputs": {"a": [1, 2.5], "b": [2, 7]}},
            {"outputs": {"raw_bytes": [b64(b"2"), b64(b"7")], "total": [3.0, 9.5]}},
        ),
        (
            ":predict",
            {"signature_name": "bytes", "instances": [b64(f) for f in FILES]},
            {"predictions": [said_of_files(f) for f in FILES]},
        ),
        (
            ":predict",
            {"signature_name": "bytes", "instances": [{"image_bytes": b64(FILES[0])}]},
            {"predictions": [said_of_files(FILES[0])]},
        ),
        (
            ":classify",
            {
                "signature_name": "classify",
                "context": {"bonus": 0.5},
                "examples": [{"size": 2}, {"size": [4], "bonus": 4.0}],
            },
            {
                "results": [
                    [["small", 0.4], ["large", 2.5]],
                    [["small", 0.125], ["large", 8.0]],
                ]
            },
        ),
    ],
)
def test_rest_answers_in_the_form_that_it_was_asked_in(url, path, document, answer):
    response = ask(url, document, "/v1/models/toy" + path)
    assert response.headers["content-type"] == "application/json"
    found = response.json()
    if "results" in found:
        found["results"] = [
            [[label, pytest.approx(score, rel=1e-6)] for label, score in row]
            for row in found["results"]
        ]
        assert answer == found
    else:
        assert (response.status_code, found) == (200, answer)


def test_grpc_predict_gives_the_outputs_and_who_gave_them(predictions):
    response = predictions.Predict(predict_request(x=[[1.0, 2.0]]), 20)
    assert tf.make_ndarray(response.outputs["y"]).tolist() == [[3.5, 4.0]]
    spec = response.model_spec
    assert (spec.name, spec.version.value) == ("toy", 3)
    assert spec.signature_name == "serving_default"


def test_grpc_predict_gives_only_the_outputs_that_are_asked_for(predictions):
    request = predict_request(signature="bytes", image_bytes=FILES, label="stable")
    request.output_filter.append("classes")
    response = predictions.Predict(request, 20)
    assert list(response.outputs) == ["classes"]
    found = tf.make_ndarray(response.outputs["classes"])
    expected = [[c.encode() for c in said_of_files(f)["classes"]] for f in FILES]
    assert found.tolist() == expected


def test_grpc_classify_gives_labels_and_scores(predictions):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "toy"
    request.model_spec.signature_name = "classify"
    example = request.input.example_list.examples.add()
    example.features.feature["size"].int64_list.value.append(4)
    response = predictions.Classify(request, 20)
    (row,) = response.result.classifications
    assert [(c.label, c.score) for c in row.classes] == [("small", 0.25), ("large", 4)]


def test_status_is_the_same_over_both_protocols(url, models):
    expected = {"version": "3", "state": "AVAILABLE"}
    ok = {"error_code": "OK", "error_message": ""}
    for path in ("", "/versions/3", "/labels/stable"):
        response = requests.get(f"{url}/v1/models/toy{path}", timeout=20)
        assert response.json() == {"model_version_status": [{**expected, "status": ok}]}
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "toy"
    (status,) = models.GetModelStatus(request, 20).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert (status.version, status.state) == (3, available)


def test_metadata_is_the_same_over_both_protocols(url, predictions):
    document = requests.get(f"{url}/v1/models/toy/metadata", timeout=20).json()
    assert document["model_spec"] == {
        "name": "toy",
        "signature_name": "",
        "version": "3",
    }
    signatures = document["metadata"]["signature_def"]["signature_def"]
    x = signatures["serving_default"]["inputs"]["x"]
    assert x["dtype"] == "DT_FLOAT"
    assert [d["size"] for d in x["tensor_shape"]["dim"]] == ["-1", "2"]
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "toy"
    request.metadata_field.append("signature_def")
    response = predictions.GetModelMetadata(request, 20)
    unpacked = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(unpacked)
    assert set(unpacked.signature_def) >= {"bytes", "pair", "serving_default"}
    assert set(signatures) == set(unpacked.signature_def)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/models/none:predict", ROWS, 404, "Latest(none)"),
        ("/v1/models/toy/versions/9:predict", ROWS, 404, "Specific(toy, 9)"),
        ("/v1/models/toy/labels/none:predict", ROWS, 400, "version label: none"),
        ("/v1/models/toy/labels/gone:predict", ROWS, 404, "Specific(toy, 2)"),
        ("/v1/models/toy/versions/99999999999999999999:predict", ROWS, 400, "numeric"),
        ("/v1/models/toy:explain", ROWS, 400, "Malformed request: POST"),
        ("/v1/nothing", ROWS, 400, "Malformed request: POST /v1/nothing"),
        ("/else", ROWS, 404, "Not found"),
        (SERVED, b"", 400, "The document is empty"),
        (SERVED, b"{", 400, "JSON Parse error"),
        (SERVED, b"\xff\xfe{}", 400, "JSON Parse error"),
        (SERVED, b"[" * 100_000, 400, "nested too deeply"),
        (SERVED, [1], 400, "Is not object"),
        (SERVED, {}, 400, "Missing 'inputs' or 'instances' key"),
        (SERVED, {**ROWS, "inputs": 1}, 400, "only one of"),
        (SERVED, {"instances": 1}, 400, "list/array"),
        (SERVED, {"instances": []}, 400, "No values in 'instances'"),
        (SERVED, {"instances": [[1, 2], [3]]}, 400, "unexpected"),
        (SERVED, {"instances": ["x"]}, 400, "not of expected type: float"),
        (SERVED, {"instances": [[True, 1.0]]}, 400, "not of expected type: float"),
        (SERVED, {"instances": [[1e300, 1.0]]}, 400, "without loss of precision"),
        (SERVED, {"instances": [[1, 2, 3]]}, 400, "shape [-1, 2] but [1, 3]"),
        (SERVED, {"instances": [{"z": 1}]}, 400, "keys must be equal to: x"),
        (SERVED, {"signature_name": 1}, 400, "must be a string value"),
        (SERVED, {"signature_name": "no", **ROWS}, 400, '"no" not found in signature'),
        (
            SERVED,
            {"signature_name": "pair", "instances": [1]},
            400,
            "expecting list of objects",
        ),
        (
            SERVED,
            {"signature_name": "pair", "instances": [{"a": 1, "b": 2.5}]},
            400,
            "not of expected type: int32",
        ),
        (
            SERVED,
            {"signature_name": "pair", "inputs": {"a": [1], "b": [2**40]}},
            400,
            "out of the range of type: int32",
        ),
        (
            SERVED,
            {"signature_name": "pair", "inputs": {"a": [1]}},
            400,
            "Missing named input: b",
        ),
        (
            SERVED,
            {"signature_name": "bytes", "instances": [{"b64": "?"}]},
            400,
            "Unable to base64 decode",
        ),
        (
            SERVED,
            {"signature_name": "bytes", "inputs": [{"b64": 1}]},
            400,
            "base64 data",
        ),
        (SERVED, {"instances": [[0, 0]] * 33}, 400, "larger than maximum input batch"),
        (
            SERVED,
            {"signature_name": "choosy", "instances": [-1.0]},
            400,
            "no negative numbers",
        ),
        ("/v1/models/toy:classify", {"examples": [{"s": 1}]}, 400, "classification"),
        ("/v1/models/toy:classify", {"examples": []}, 400, "empty array"),
        ("/v1/models/toy:regress", {"examples": [{"s": 1}]}, 400, "regression inputs"),
    ],
)
def test_rest_refuses_with_the_code_and_says_why(url, path, body, status, words):
    contents = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = requests.post(url + path, data=contents, timeout=20)
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    assert words in response.json()["error"]
    assert ask(url, ROWS).json() == ROWS_ANSWER


def resized(request, name, *sizes):
    """A tensor whose one value stands for all of a shape, as protocol buffers allow."""
    shape = request.inputs[name].tensor_shape
    del shape.dim[:]
    for size in sizes:
        shape.dim.add(size=size)
    return request


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (predict_request("none", x=[[1.0, 2]]), "NOT_FOUND", "Latest(none)"),
        (predict_request("", x=[[1.0, 2]]), "INVALID_ARGUMENT", "has no name"),
        (predict_request(version=9, x=[[1.0, 2]]), "NOT_FOUND", "Specific(toy, 9)"),
        (predict_request(label="no", x=[[1.0, 2]]), "INVALID_ARGUMENT", "label: no"),
        (predict_request(signature="no"), "FAILED_PRECONDITION", "not found in"),
        (predict_request(), "INVALID_ARGUMENT", "Missing but required: {x}"),
        (predict_request(z=[1.0]), "INVALID_ARGUMENT", "Sent extra: {z}"),
        (predict_request(x=[["a", "b"]]), "INVALID_ARGUMENT", "but string is provided"),
        (predict_request(x=[[1, 2]]), "INVALID_ARGUMENT", "but int32 is provided"),
        (predict_request(x=[1.0]), "INVALID_ARGUMENT", "but [1] is provided"),
        (
            resized(predict_request(x=[[1.0]]), "x", 10**6, 10**6),
            "INVALID_ARGUMENT",
            "larger than",
        ),
        (resized(predict_request(x=[[1.0]]), "x", -1, 2), "INVALID_ARGUMENT", "shape"),
        (resized(predict_request(x=[1.0] * 3), "x", 1, 2), "INVALID_ARGUMENT", "pars"),
        (
            predict_request(x=np.zeros((33, 2), np.float32)),
            "INVALID_ARGUMENT",
            "larger than maximum input batch size 32",
        ),
        (
            predict_request(x=np.zeros((LARGEST, 2), np.float32)),
            "RESOURCE_EXHAUSTED",
            "larger than max",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_grpc_refuses_with_the_code_and_says_why(predictions, request_, code, words):
    with pytest.raises(grpc.RpcError) as caught:
        predictions.Predict(request_, 20)
    assert caught.value.code().name == code
    assert words in caught.value.details()
    predictions.Predict(predict_request(x=[[1.0, 2.0]]), 20)


def test_what_is_not_offered_is_refused_as_such(predictions, models):
    regression = regression_pb2.RegressionRequest()
    regression.model_spec.name = "toy"
    for call, request, code in (
        (
            predictions.MultiInference,
            inference_pb2.MultiInferenceRequest(),
            "UNIMPLEMENTED",
        ),
        (predictions.Regress, regression, "INVALID_ARGUMENT"),
        (
            models.HandleReloadConfigRequest,
            model_management_pb2.ReloadConfigRequest(),
            "PERMISSION_DENIED",
        ),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(request, 20)
        assert caught.value.code().name == code


def test_bytes_that_are_no_message_are_an_error_and_not_an_end(channel, predictions):
    raw = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    for garbage in (b"\xff" * 50, b"\x0a\xff\xff\xff\xff\x0f", bytes(range(256))):
        with pytest.raises(grpc.RpcError) as caught:
            raw(garbage, timeout=20)
        assert caught.value.code().name == "INTERNAL"
    predictions.Predict(predict_request(x=[[1.0, 2.0]]), 20)


def test_metrics_count_requests_by_how_they_ended(url):
    name = ':tensorflow:serving:request_count{entrypoint="REST",model_name="%s",'

    def count(model, status):
        text = requests.get(f"{url}/monitoring/prometheus/metrics", timeout=20).text
        start = name % model + f'status="{status}"}} '
        lines = [line for line in text.splitlines() if line.startswith(start)]
        return float(lines[0].split()[-1]) if lines else 0.0

    before = count("toy", "OK"), count("", "NOT_FOUND")
    ask(url, ROWS)
    ask(url, ROWS, "/v1/models/made-up:predict")
    assert count("toy", "OK") == before[0] + 1
    assert count("", "NOT_FOUND") == before[1] + 1


def test_many_threads_each_get_their_own_answer(url, predictions):
    wrong = []

    def client(index):
        with requests.Session() as session:
            for step in range(10):
                x = [float(index), float(step)]
                expected = [0.5 * value + 3 for value in x]
                answer = session.post(url + SERVED, json={"instances": [x]}, timeout=20)
                response = predictions.Predict(predict_request(x=[x]), 20)
                both = (
                    answer.json()["predictions"],
                    tf.make_ndarray(response.outputs["y"]).tolist(),
                )
                if both != ([expected], [expected]):
                    wrong.append((x, both))

    threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_page_names_the_model_and_asks_nobody_else(url):
    response = requests.get(url + "/", timeout=20)
    assert '[{"model": "toy", "signature": "bytes"}]' in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "http://" not in response.text
    assert "https://" not in response.text
