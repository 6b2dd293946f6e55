"""Requests that TensorFlow Serving's sources refuse, or take, in a way of their own.

What is expected is read off json_tensor.cc, http_rest_api_util.cc, http_server.cc and
evhttp_request.cc of TensorFlow Serving, and escaping.cc of Abseil.
"""

import gzip
import http.client
import json
import math
import tracemalloc

import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

grpc = pytest.importorskip("grpc")
requests = pytest.importorskip("requests")
pytest.importorskip("tensorflow_serving", reason="needs the extra serve")
pytest.importorskip("uvicorn", reason="needs the extra serve")

from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2,
    get_model_status_pb2,
    regression_pb2,
)

from export.server import json_values, tensors  # noqa: E402
from export.server.errors import Refusal  # noqa: E402
from tests.export.server.server_support import (  # noqa: E402
    LARGEST,
    ROWS,
    ROWS_ANSWER,
    SERVED,
    ask,
)

ROWS_TEXT = json.dumps(ROWS).encode()
PACKED = gzip.compress(ROWS_TEXT)


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        ("YWI=", b"ab"),
        ("YWI", b"ab"),
        ("YWI.", b"ab"),
        ("YQ", b"a"),
        ("YQ==", b"a"),
        ("YQ=.", b"a"),
        (" Y\nW\r\nI\t=\f\v", b"ab"),
        ("YQ= =", b"a"),
        ("", b""),
        (" ", b""),
        ("+/+/", b"\xfb\xff\xbf"),
        # The last bits of the last letter are not looked at.
        ("YR==", b"a"),
        ("YWI==", None),
        ("YQ=", None),
        ("YWJj=", None),
        ("=", None),
        ("Y", None),
        ("YWJjY", None),
        ("YQ==YQ==", None),
        ("-_-_", None),
        ("YW*=", None),
        ("YW\u00a0I=", None),
        ("YW\u2003I=", None),
        ("YWI\x00", None),
    ],
)
def test_base64_is_taken_as_abseil_takes_it(text, contents):
    if contents is None:
        with pytest.raises(Refusal, match="Unable to base64 decode"):
            json_values.from_base64({"b64": text})
    else:
        assert json_values.from_base64({"b64": text}) == contents


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"instances": [[1, 2]], "instances": [[3, 4]]}', "twice"),
        (
            b'{"signature_name": "pair", "instances": [{"a": 1, "a": 2, "b": 1}]}',
            "twic",
        ),
        (
            b'{"signature_name": "bytes", "instances": [{"b64": "", "b64": ""}]}',
            "twice",
        ),
        (json.dumps(ROWS).encode("utf-16"), "JSON Parse error"),
        (json.dumps(ROWS).encode("utf-32"), "JSON Parse error"),
        (b'{"instances": [[1e400, 1]]}', "without loss"),
        (b'{"instances": [[-1e400, 1]]}', "without loss"),
        (b'{"instances": [[1' + b"0" * 5000 + b", 1]]}", "JSON Parse error"),
        (b'{"signature_name": "bytes", "instances": ["\\ud800"]}', "surrogate"),
        (b'{"signature_name": "bytes", "instances": ["\\udc00"]}', "surrogate"),
        (
            b'{"signature_name": "half", "instances": [1.0]}',
            "is not supported",
        ),
        (b'{"signature_name": "narrow", "instances": [1.0]}', "Failed to write"),
        (b'{"signature_name": "constant", "instances": [{}]}', "input map"),
        (b'{"signature_name": "constant", "inputs": {}}', "input map"),
        (b'{"signature_name": null, "instances": [[1, 2]]}', "must be a string"),
        (b'{"instances": {"x": [[1, 2]]}}', "list/array"),
        (b'{"instances": null}', "list/array"),
        (b'{"instances": [[1, 2], {"x": [1, 2]}]}', "but got object at item 1"),
        (b'{"instances": [{"x": [1, 2]}, [1, 2]]}', "but got list at item 1"),
        (b'{"instances": [{"x": [1, 2], "z": 1}]}', "keys must be equal"),
        (b'{"instances": [{}]}', "keys must be equal"),
        (b'{"instances": [[[1, 2]]]}', "shape"),
        (b'{"instances": [[1, [2]]]}', "unexpected"),
        (b'{"instances": [[null, 1]]}', "Type: Null"),
        (b'{"instances": [["1", "2"]]}', "Type: String"),
        (b'{"instances": [[{"b64": "AA=="}, 1]]}', "Type: Object"),
        (b'{"inputs": {"y": [[1, 2]]}}', "Missing named input: x"),
        (b'{"signature_name": "patient", "instances": [3.0]}', "expected type: int32"),
        (b'{"signature_name": "patient", "instances": [1e2]}', "expected type: int32"),
        (b'{"signature_name": "patient", "instances": [true]}', "expected type: int32"),
        (b"{'instances': [[1, 2]]}", "JSON Parse error"),
        (b'{"instances": [[1, 2],]}', "JSON Parse error"),
        (b'{"instances": [[.5, 2]]}', "JSON Parse error"),
        (b'{"instances": [[+1, 2]]}', "JSON Parse error"),
        (b'{"instances": [["a\nb", 2]]}', "JSON Parse error"),
    ],
)
def test_json_that_serving_refuses_is_refused(url, body, words):
    response = requests.post(url + SERVED, data=body, timeout=20)
    assert response.status_code == 400
    assert words in response.json()["error"]


def test_words_for_what_is_no_number_go_in_and_come_out(url):
    body = b'\xef\xbb\xbf{"instances": [[NaN, Infinity], [-Infinity, 0]]}'
    response = requests.post(url + SERVED, data=body, timeout=20)
    ((nothing, most), (least, three)) = json.loads(response.text)["predictions"]
    assert math.isnan(nothing)
    assert (most, least, three) == (math.inf, -math.inf, 3.0)


def test_what_nobody_asked_for_does_not_matter(url):
    for document in (
        {**ROWS, "unknown": 1},
        {"inputs": {"x": ROWS["instances"], "other": 1}},
    ):
        assert ask(url, document).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", SERVED + "?x=1", 400),
        # What follows the question mark belongs to the model's name.
        ("GET", "/v1/models/toy?x=1", 404),
        ("GET", "/v1/models/toy/metadata?x=1", 400),
        ("HEAD", "/v1/models/toy", 400),
        ("GET", SERVED, 400),
        ("PUT", SERVED, 400),
        ("PATCH", SERVED, 400),
        ("DELETE", "/v1/models/toy", 400),
        ("POST", "/v1/models/toy/metadata", 400),
        ("POST", "/v1/models/toy", 400),
        ("GET", "/v1/models", 400),
        ("GET", "/v1/models/", 400),
        ("GET", "/v1/models/toy/metadata/", 400),
        ("GET", "/v1/models/toy/versions/x", 400),
        ("GET", "/v1/models/toy/versions/-3", 400),
        ("GET", "/v1/models/toy/versions/" + "9" * 5000, 400),
        ("GET", "/v1/models/toy/versions/9223372036854775808", 400),
        ("GET", "/v1/models/toy/versions/%33", 400),
        ("GET", "/v1/models/toy/versions/4", 404),
        ("GET", "/v1/models/toy/versions/0003", 200),
        ("GET", "/V1/Models/toy/Metadata", 200),
        ("GET", "/v1/models/%74oy", 200),
        ("GET", "/v1/models/Toy", 404),
        ("GET", "/v1/models/t%C3%B6y", 404),
        ("GET", "/v1/models/%ff%00", 404),
        ("GET", "/v1/models/a.b-c_d", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1x/models/toy", 404),
        ("POST", "/", 404),
        ("OPTIONS", "/", 404),
        ("HEAD", "/", 200),
        ("GET", "/monitoring/prometheus/metrics", 200),
        ("POST", "/monitoring/prometheus/metrics", 200),
        ("OPTIONS", SERVED, 400),
    ],
)
def test_method_and_path_have_the_status_that_serving_gives(
    served, method, path, status
):
    connection = http.client.HTTPConnection("127.0.0.1", served.rest_port, timeout=20)
    connection.request(method, path, json.dumps(ROWS) if method == "POST" else None)
    response = connection.getresponse()
    contents = response.read()
    connection.close()
    assert response.status == status
    if status != 200 and method != "HEAD":
        assert set(json.loads(contents)) == {"error"}


def test_a_long_name_is_the_name_of_no_model(url):
    path = "/v1/models/" + "a" * 30_000
    assert requests.get(url + path, timeout=20).status_code == 404
    assert ask(url, ROWS, path + ":predict").status_code == 404


def test_a_browser_that_asks_first_is_answered_but_may_not_read(url):
    origin = {"Origin": "https://shop.example"}
    response = requests.options(url + SERVED, headers=origin, timeout=20)
    assert (response.status_code, response.content) == (200, b"")
    answer = requests.post(url + SERVED, json=ROWS, headers=origin, timeout=20)
    for headers in (response.headers, answer.headers):
        assert not any(name.lower().startswith("access-control") for name in headers)


def packed_answer(url, body, encoding="gzip"):
    headers = {"Content-Encoding": encoding}
    return requests.post(url + SERVED, data=body, headers=headers, timeout=20)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (PACKED, "gzip"),
        (PACKED, "GZIP"),
        (
            gzip.compress(b'{"inst') + gzip.compress(json.dumps(ROWS)[6:].encode()),
            "gzip",
        ),
        (iter([PACKED[:9], PACKED[9:]]), "gzip"),
    ],
    ids=["plain", "upper case", "two members", "chunked"],
)
def test_a_packed_body_is_unpacked(url, body, encoding):
    assert packed_answer(url, body, encoding).json() == ROWS_ANSWER


@pytest.mark.parametrize(
    ("body", "encoding", "status", "words"),
    [
        (PACKED[:-9], "gzip", 400, "cannot be unpacked"),
        (PACKED[:-8] + bytes(8), "gzip", 400, "cannot be unpacked"),
        (ROWS_TEXT, "gzip", 400, "cannot be unpacked"),
        (b"", "gzip", 400, "The document is empty"),
        (PACKED, "identity", 400, "JSON Parse error"),
        (PACKED, "br", 400, "br is not supported"),
        (gzip.compress(bytes(LARGEST + 1)), "gzip", 413, "larger than 1048576 bytes"),
    ],
    # Packed bytes hold the time, and so would the tests' names.
    ids=["cut off", "wrong checksum", "text", "empty", "identity", "br", "too large"],
)
def test_a_body_that_is_not_packed_as_it_says_is_refused(
    url, body, encoding, status, words
):
    response = packed_answer(url, body, encoding)
    assert response.status_code == status
    assert words in response.json()["error"]
    assert ask(url, ROWS).json() == ROWS_ANSWER


def test_what_unpacks_a_thousandfold_takes_no_more_than_the_limit(url):
    # 64 MiB in 64 KiB, where a request may have one.
    packed = gzip.compress(bytes(64 * LARGEST))
    tracemalloc.start()
    assert packed_answer(url, packed).status_code == 413
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The parts that were unpacked, and the one at which it stopped.
    assert most < 8 * LARGEST


EXAMPLES = {"signature_name": "values", "examples": [{"size": 1.0}, {"size": []}]}


def test_regress_has_a_value_for_each_example(url, predictions):
    response = ask(url, EXAMPLES, "/v1/models/toy:regress")
    # Half the size, and version 3; an empty list is no value, and then the size is 6.
    assert response.json() == {"results": [3.5, 6.0]}
    request = regression_pb2.RegressionRequest()
    request.model_spec.name = "toy"
    request.model_spec.signature_name = "values"
    example = request.input.example_list.examples.add()
    example.features.feature["size"].float_list.value.append(0.2)
    (regression,) = predictions.Regress(request, 20).result.regressions
    assert regression.value == pytest.approx(3.1, rel=1e-6)


@pytest.mark.parametrize(
    ("method", "signature", "words"),
    [
        ("regress", "classify", '"outputs"'),
        ("classify", "values", '"classes" or "scores"'),
        ("classify", "bytes", "takes image_bytes"),
        ("regress", "none", "not found"),
    ],
)
def test_examples_are_for_signatures_that_take_them(url, method, signature, words):
    document = {**EXAMPLES, "signature_name": signature}
    response = ask(url, document, f"/v1/models/toy:{method}")
    assert response.status_code == 400
    assert words in response.json()["error"]


def test_codes_over_grpc_are_those_of_serving(predictions, models):
    def code(call, request):
        with pytest.raises(grpc.RpcError) as caught:
            call(request, 20)
        return caught.value.code().name

    nameless = get_model_status_pb2.GetModelStatusRequest()
    assert code(models.GetModelStatus, nameless) == "INVALID_ARGUMENT"
    nameless.model_spec.SetInParent()
    assert code(models.GetModelStatus, nameless) == "NOT_FOUND"
    nameless.model_spec.name = "toy"
    nameless.model_spec.version.value = -1
    assert code(models.GetModelStatus, nameless) == "NOT_FOUND"
    unsigned = classification_pb2.ClassificationRequest()
    unsigned.model_spec.name = "toy"
    assert code(predictions.Classify, unsigned) == "INVALID_ARGUMENT"
    unsigned.input.example_list.examples.add()
    unsigned.model_spec.signature_name = "none"
    assert code(predictions.Classify, unsigned) == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        ({"dtype": tf.float32, "float_val": [2.5]}, [2.5, 2.5, 2.5]),
        ({"dtype": tf.float32, "float_val": [2.5, 1.0]}, [2.5, 1.0, 1.0]),
        ({"dtype": tf.float32}, [0.0, 0.0, 0.0]),
        ({"dtype": tf.bool, "tensor_content": b"\0\1\1"}, [False, True, True]),
        ({"dtype": tf.int8, "int_val": [-128, 127, 0]}, [-128, 127, 0]),
        ({"dtype": tf.string, "string_val": [b"a", b"\xff"]}, [b"a", b"\xff", b"\xff"]),
        ({"dtype": tf.bool, "tensor_content": b"\0\1\2"}, None),
        ({"dtype": tf.float32, "tensor_content": b"\0" * 13}, None),
        ({"dtype": tf.float32, "float_val": [1.0] * 4}, None),
        ({"dtype": tf.int8, "int_val": [300]}, None),
    ],
)
def test_a_tensor_is_read_as_tensorflow_reads_it_or_refused(fields, values):
    dtype = fields["dtype"].as_datatype_enum
    proto = tensor_pb2.TensorProto(**{**fields, "dtype": dtype})
    proto.tensor_shape.dim.add(size=3)
    if values is None:
        with pytest.raises(Refusal, match="tensor parsing error: x"):
            tensors.from_proto("x", proto, LARGEST)
    else:
        assert tensors.from_proto("x", proto, LARGEST).tolist() == values
