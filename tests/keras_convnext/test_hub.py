"""Models uploaded to and built from a hub: a server on this machine that acts as it."""

import base64
import hashlib
import http.server
import json
import threading
from pathlib import Path

import numpy as np
import pytest

import keras_convnext
from keras_convnext import hub
from keras_convnext.preprocessing import Preprocessing
from keras_convnext.weights.errors import DownloadError

VARIANT = "test_convnext2"
SEES = Preprocessing(16, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 0.9, "squash", "bilinear")
LABELS = ("daisy", "löwenzahn", "rose")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
RANDOM = np.random.default_rng(0)


class Handler(http.server.BaseHTTPRequestHandler):
    """The requests that the hub's own client makes of the hub, as it makes them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        server.tokens.add(self.headers.get("Authorization"))
        if self.path == "/api/repos/create":
            made = json.loads(body)
            name = f"{made['organization']}/{made['name']}"
            server.repositories.setdefault(name, {})
            self.tell({"url": f"{server.address}/{name}"})
        elif self.path == "/api/validate-yaml":
            server.cards.append(json.loads(body)["content"])
            self.tell({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            self.tell({"files": files})
        elif "/commit/" in self.path:
            name = self.path.removeprefix("/api/models/").partition("/commit/")[0]
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    assert value["encoding"] == "base64"
                    content = base64.b64decode(value["content"])
                    server.repositories[name][value["path"]] = content
            self.tell(
                {
                    "commitUrl": f"{server.address}/{name}/commit/{COMMIT}",
                    "commitOid": COMMIT,
                }
            )

    def do_HEAD(self) -> None:
        self.send_file(with_body=False)

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/"):
            self.tell({"sha": COMMIT, "siblings": []})
        else:
            self.send_file(with_body=True)

    def send_file(self, with_body: bool) -> None:
        # /<owner>/<repository>/resolve/<revision>/<file>; the client asks for more.
        repository, _, rest = self.path.strip("/").partition("/resolve/")
        file = rest.partition("/")[2]
        content = self.server.repositories.get(repository, {}).get(file)
        self.send_response(404 if content is None else 200)
        if content is None:
            self.send_header("X-Error-Code", "RepoNotFound")
        content = content or b""
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def tell(self, answer: dict) -> None:
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class Hub(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.cards: list[str] = []
        self.tokens: set[str | None] = set()


@pytest.fixture
def server():
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def model():
    """A classifier whose every weight counts, with a patch of another size."""
    model = keras_convnext.create(
        VARIANT,
        classes=3,
        input_shape=(16, 16, 3),
        patch_size=2,
        preprocessing=SEES,
    )
    for variable in model.trainable_variables:
        variable.assign(RANDOM.normal(0.3, 0.3, variable.shape))
    return model


ABOUT = {"variant": VARIANT, "labels": LABELS, "license": "cc-by-4.0"}


def test_what_was_pushed_is_pulled(model, server, tmp_path):
    url = hub.push_to_hub(
        model,
        "me/flowers",
        **ABOUT,
        preprocessing=SEES,
        metrics={"top1": 0.9375},
        data="700 photographs",
        token="hf_secret",
        endpoint=server.address,
    )
    assert url == f"{server.address}/me/flowers/commit/{COMMIT}"
    assert server.tokens == {"Bearer hf_secret"}
    files = server.repositories["me/flowers"]
    assert set(files) == {"README.md", "config.json", "model.safetensors"}
    assert not any(b"hf_secret" in content for content in files.values())

    [card] = server.cards
    assert card.startswith('---\nlicense: "cc-by-4.0"\n')
    for words in ("700 photographs", "| top1 | 0.9375 |", "löwenzahn", "squash"):
        assert words in card

    pulled = hub.pull_from_hub("me/flowers", cache=tmp_path, endpoint=server.address)
    assert pulled.class_names == LABELS
    x = RANDOM.uniform(0, 255, (2, 16, 16, 3)).astype("float32")
    # The same numbers through the same operations.
    np.testing.assert_array_equal(pulled(x), model(x))


def test_the_config_says_what_timm_asks_of_it(model, tmp_path):
    hub.write(model, tmp_path, **ABOUT, preprocessing=SEES)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architecture"] == VARIANT
    assert config["num_classes"] == 3
    assert config["model_args"] == {"patch_size": 2}
    assert config["label_names"] == list(LABELS)
    told = config["pretrained_cfg"]
    assert told["input_size"] == [3, 16, 16]
    assert (told["mean"], told["std"]) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    assert (told["crop_pct"], told["crop_mode"]) == (0.9, "squash")
    assert told["interpolation"] == "bilinear"
    assert told["license"] == "cc-by-4.0"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": ("a", "b")}, "2 labels for a model with 3 outputs"),
        ({"variant": "convnext_atto"}, "The model is no convnext_atto"),
        ({"variant": "convnext_atta"}, "convnext_atta"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_hub_is_asked(
    model, server, changes, words
):
    with pytest.raises(ValueError, match=words):
        hub.push_to_hub(
            model, "me/flowers", **{**ABOUT, **changes}, endpoint=server.address
        )
    assert server.repositories == {}


def test_a_repository_that_is_not_there_is_one_line(server, tmp_path):
    with pytest.raises(DownloadError, match="me/none") as caught:
        hub.pull_from_hub("me/none", cache=tmp_path, endpoint=server.address)
    assert "\n" not in str(caught.value)


def test_a_repository_of_something_else_is_refused(server, tmp_path):
    server.repositories["me/text"] = {
        "config.json": b'{"a": 1}',
        "model.safetensors": b"",
    }
    with pytest.raises(ValueError, match="me/text holds no model that push_to_hub"):
        hub.pull_from_hub("me/text", cache=tmp_path, endpoint=server.address)


def test_create_takes_hf_hub_names_and_no_arguments_with_them(monkeypatch):
    monkeypatch.setattr(hub, "pull_from_hub", lambda name: f"pulled {name}")
    assert keras_convnext.create("hf_hub:me/flowers") == "pulled me/flowers"
    with pytest.raises(ValueError, match="give no arguments"):
        keras_convnext.create("hf_hub:me/flowers", classes=3)


@pytest.mark.slow
def test_timm_builds_the_same_model_from_the_folder(tmp_path):
    """In an environment that has timm (`make parity`)."""
    pytest.importorskip("torch", reason="torch and timm are not installed")
    from tests.keras_convnext.weights import oracle  # noqa: F401

    timm = pytest.importorskip("timm", reason="timm is not installed")
    import torch

    model = keras_convnext.create("convnext_atto", classes=3, input_shape=(64, 64, 3))
    for variable in model.trainable_variables:
        if variable.name == "gamma":
            variable.assign(RANDOM.uniform(0.1, 1, variable.shape))
    folder = Path(tmp_path)
    hub.write(model, folder, **{**ABOUT, "variant": "convnext_atto"})
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    config = theirs.pretrained_cfg
    x = RANDOM.uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    normalized = (x / 255 - np.array(config["mean"])) / np.array(config["std"])
    with torch.no_grad():
        logits = theirs(torch.tensor(normalized.transpose(0, 3, 1, 2)).float())
    # Forty layers of float32 by other kernels.
    np.testing.assert_allclose(model(x), torch.softmax(logits, 1).numpy(), atol=1e-5)
