"""What is served, and where: configuration that changes, labels, folders, addresses."""

import socket
import time

import pytest

grpc = pytest.importorskip("grpc")
requests = pytest.importorskip("requests")
pytest.importorskip("tensorflow_serving", reason="needs the extra serve")
pytest.importorskip("uvicorn", reason="needs the extra serve")

import functools  # noqa: E402

import tensorflow as tf  # noqa: E402
from google.protobuf import text_format  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
)

from export import version_folders  # noqa: E402
from export.server import app, model_config, servable  # noqa: E402
from export.server.errors import Code, Refusal  # noqa: E402
from export.server.versions import ModelConfig  # noqa: E402
from keras_convnext._messages import UsageError  # noqa: E402
from tests.export.server.server_support import (  # noqa: E402
    ROWS,
    free_port,
    write_version,
)

CONFIG = """model_config_list { config { name: "%s" base_path: "%s"
model_version_policy { all {} } version_labels { key: "stable" value: %d } } }"""


def loopback():
    """The address of the sixth version where this machine has one."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return "::1"
    except OSError:
        return "127.0.0.1"


class Running:
    """A server whose configuration is read again ten times a second."""

    def __init__(self, folder):
        self.folder = folder
        self.lines = []
        (folder / "toy").mkdir()
        write_version(folder / "toy", 1)
        (folder / "toy" / "1").rename(folder / "toy" / "00000001")
        self.write("toy", 1)
        read = functools.partial(model_config.read, folder / "model.config")
        settings = app.Settings(
            read(),
            host=loopback(),
            rest_port=free_port(),
            grpc_port=free_port(),
            poll_seconds=0,
            read_models=read,
            read_seconds=0.1,
            may_reload=True,
            cors=True,
        )
        self.server = app.Server(settings, self.lines.append)
        self.server.start()
        self.url = f"http://{app.address(settings.host, settings.rest_port)}"
        self.target = app.address(settings.host, settings.grpc_port)

    def write(self, name, stable):
        """Writes the configuration under another name first, as an editor does."""
        hidden = self.folder / ".config"
        hidden.write_text(CONFIG % (name, self.folder / "toy", stable))
        hidden.rename(self.folder / "model.config")

    def ask(self, path):
        return requests.post(
            f"{self.url}/v1/models/{path}:predict", json=ROWS, timeout=20
        )

    def wait_for(self, condition):
        for _ in range(200):
            if condition():
                return
            time.sleep(0.1)
        raise AssertionError(self.lines)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("configured"))
    yield running
    running.server.stop()


@pytest.fixture(scope="module")
def models(running):
    with grpc.insecure_channel(running.target) as channel:
        yield model_service_pb2_grpc.ModelServiceStub(channel)


def test_a_folder_with_leading_zeros_is_that_version_for_both(running, models):
    assert running.ask("toy/versions/1").status_code == 200
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "toy"
    (status,) = models.GetModelStatus(request, 20).model_version_status
    assert status.version == 1


def test_pages_from_elsewhere_may_read_where_that_is_wanted(running):
    origin = {"Origin": "http://shop.example"}
    place = f"{running.url}/v1/models/toy:predict"
    for response, status in (
        (requests.options(place, headers=origin, timeout=20), 200),
        (requests.post(place, json=ROWS, timeout=20), 200),
        (requests.post(place, data=b"{", timeout=20), 400),
    ):
        assert response.status_code == status
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Access-Control-Allow-Methods"] == "POST, GET"
        assert response.headers["Access-Control-Allow-Headers"] == "Content-Type"
    page = requests.get(running.url + "/", timeout=20)
    assert "Access-Control-Allow-Origin" not in page.headers


def reload(models, text):
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(text, request.config)
    try:
        models.HandleReloadConfigRequest(request, 20)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def test_a_label_in_use_does_not_move_to_nothing(running, models):
    before = running.ask("toy/labels/stable")
    folder = running.folder / "toy"
    assert reload(models, CONFIG % ("toy", folder, 2)) == "FAILED_PRECONDITION"
    # The file may not either; that is said once, and again after another reason alone.
    running.write("toy", 2)
    running.wait_for(lambda: any("assign label" in line for line in running.lines))
    time.sleep(0.5)
    assert sum("assign label" in line for line in running.lines) == 1
    assert running.ask("toy/labels/stable").json() == before.json()
    running.write("toy", 1)


def test_reloading_nothing_changes_nothing(running, models):
    assert reload(models, "") == "OK"
    assert reload(models, CONFIG % ("toy", "toy", 1)) == "INVALID_ARGUMENT"
    assert running.ask("toy").status_code == 200


def test_a_model_that_cannot_answer_is_what_a_reload_tells(running, models):
    empty = running.folder / "empty"
    empty.mkdir()
    both = (CONFIG % ("toy", running.folder / "toy", 1))[:-1]
    both += f'config {{ name: "empty" base_path: "{empty}" }} }}'
    assert reload(models, both) == "UNKNOWN"
    assert running.ask("toy").status_code == 200


def test_an_edited_configuration_is_read_again(running):
    running.write("other.name-2", 1)
    running.wait_for(lambda: running.ask("other.name-2").status_code == 200)
    running.wait_for(lambda: running.ask("toy").status_code == 404)
    (running.folder / "model.config").write_text("model_config_list { config {")
    running.wait_for(lambda: "model.config" in running.lines[-1])
    assert running.ask("other.name-2/labels/stable").status_code == 200


def test_only_digits_make_a_version(tmp_path):
    for name in ("1", "01", "002", "3", "x", "1.5", "-4", "٣", "5x", "9" * 30):
        (tmp_path / name).mkdir()
    (tmp_path / "7").touch()
    found = version_folders.find(tmp_path)
    assert {number: path.name for number, path in found.items()} == {
        1: "1",
        2: "002",
        3: "3",
    }
    assert version_folders.find(tmp_path / "nowhere") == {}


def write_graphs(folder, *tag_sets):
    """Writes a SavedModel with a graph for each set of tags; number n says x/2 + n."""
    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(str(folder))
    for step, tags in enumerate(tag_sets):
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, [None])
            y = 0.5 * x + step
            signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
            if step:
                builder.add_meta_graph(tags, {"serving_default": signature})
            else:
                builder.add_meta_graph_and_variables(
                    session, tags, {"serving_default": signature}
                )
    builder.save()


def test_of_several_graphs_the_one_for_serving_is_served(tmp_path):
    write_graphs(tmp_path / "1", ["train"], ["serve"], ["serve", "gpu"])
    loaded = servable.load(tmp_path / "1")
    answer = loaded.signature("").run({"x": tf.constant([1.0, 2.0]).numpy()})
    assert answer["y"].tolist() == [1.5, 2.0]


def test_a_model_without_a_graph_for_serving_is_refused_with_its_tags(tmp_path):
    write_graphs(tmp_path / "1", ["train"], ["serve", "gpu"])
    with pytest.raises(Refusal, match="tags found: train; gpu, serve") as caught:
        servable.load(tmp_path / "1")
    assert caught.value.code is Code.NOT_FOUND
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(Refusal, match="tags found: none"):
        servable.load(tmp_path / "1")


@pytest.mark.parametrize("flag", ["rest_api_port", "port"])
def test_a_port_that_is_taken_is_a_line_before_any_work(tmp_path, flag):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"rest_api_port": (port, 0), "port": (0, port)}[flag]
        models = [ModelConfig("m", tmp_path / "nowhere")]
        settings = app.Settings(models, rest_port=ports[0], grpc_port=ports[1])
        with pytest.raises(UsageError, match=f"127.0.0.1:{port} .*--{flag}"):
            app.Server(settings, lambda line: None)
