"""The server as a process, under load, under attack, and while it changes and stops."""

import csv
import ctypes
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

grpc = pytest.importorskip("grpc")
requests = pytest.importorskip("requests")
pytest.importorskip("tensorflow_serving", reason="needs the extra serve")
pytest.importorskip("uvicorn", reason="needs the extra serve")

from export.convert import saved_model  # noqa: E402
from export.model import loaded_model  # noqa: E402
from export.model.forward import Network, with_features  # noqa: E402
from export.server.deploy import load_generator  # noqa: E402
from keras_convnext.folding import fold  # noqa: E402
from tests.export.server.server_support import (  # noqa: E402
    ROOT,
    command,
    free_port,
    write_version,
)

pytestmark = pytest.mark.slow

CLIENTS = 32
ODD_IMAGES = Path(
    os.environ.get("ODD_IMAGES", ROOT.parent / "shared" / "data" / "odd_images")
)


@pytest.fixture(scope="module")
def exported(workdir, tmp_path_factory):
    loaded = loaded_model.load(workdir / "model.keras")
    base = tmp_path_factory.mktemp("exported") / "saved_model"
    base.mkdir()
    network = Network(
        loaded.model, loaded.preprocessing, fold(with_features(loaded.model))
    )
    saved_model.write(loaded, network, base / "1")
    (base / "labels.txt").unlink()
    return base


@pytest.fixture(scope="module")
def expected(tiny_model, workdir, photographs):
    """What Keras says of each photograph, in the form of the server's answers."""
    from keras_convnext.image import decode, evaluation_view

    loaded = loaded_model.load(workdir / "model.keras")
    views = [evaluation_view(decode(f), loaded.preprocessing) for f in photographs]
    answers = []
    for row in tiny_model.predict(np.stack(views), verbose=0):
        best = np.argsort(-row)[:5]
        answers.append(
            {
                "classes": [loaded.labels[index] for index in best],
                "scores": row[best].tolist(),
                "status": "",
            }
        )
    return answers


@pytest.fixture(scope="module")
def server(exported, tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "log"
    with command(f"--model_dir={exported}", log=log) as server:
        yield server


def clients(server, stack, count=CLIENTS):
    """Half of them REST, half gRPC, each with a connection of its own."""
    return [
        load_generator.rest_client(server.url, "default", stack)
        if index % 2
        else load_generator.grpc_client(server.target, "default", stack)
        for index in range(count)
    ]


def test_ten_thousand_requests_get_the_answers_that_keras_gives(
    server, photographs, expected
):
    with ExitStack() as stack:
        asking = clients(server, stack)
        # Until every thread and every connection has worked once.
        warm = load_generator.run(asking, photographs, 1000, expected)
        before_mb = server.rss_mb()
        tally = load_generator.run(asking, photographs, 10_000, expected)
        after_mb = server.rss_mb()
    print(tally.line(), f"RSS {before_mb:.0f} MB to {after_mb:.0f} MB")
    assert (warm.wrong, warm.errors) == (0, {})
    assert (len(tally.seconds), tally.wrong, tally.errors) == (10_000, 0, {})
    # A leak of 10 kB a request would be 100 MB.
    assert after_mb - before_mb < 50


def test_odd_images_and_random_bytes_get_a_status_and_their_neighbors_an_answer(
    server, photographs, expected
):
    generator = random.Random(1)
    odd = {f"random {n}": generator.randbytes(2**n) for n in range(0, 18)}
    readable = set()
    if ODD_IMAGES.is_dir():
        with (ODD_IMAGES / "manifest.csv").open(newline="") as manifest:
            for row in csv.DictReader(manifest):
                odd[row["file"]] = (ODD_IMAGES / row["file"]).read_bytes()
                if row["pil13_result"].startswith("ok") and row[
                    "tf_decode_image"
                ].startswith("ok"):
                    readable.add(row["file"])
    with ExitStack() as stack:
        rest = load_generator.rest_client(server.url, "default", stack)
        channel = stack.enter_context(grpc.insecure_channel(server.target))
        from export.server.deploy import grpc_client

        answered = set()
        for name, contents in odd.items():
            three = [photographs[0], contents, photographs[1]]
            first, middle, last = grpc_client.predict(channel, "default", three, 60)
            assert load_generator.is_same(first, expected[0]), name
            assert load_generator.is_same(last, expected[1]), name
            assert load_generator.is_same(rest(contents), middle), name
            if not middle["status"]:
                answered.add(name)
    assert not any(name.startswith("random") for name in answered)
    print(f"{len(odd)} odd files, {len(answered)} classified")
    # What its upper eight bits show is black alone: test_pixels.py
    # has more of that.
    assert readable - answered <= {"png16/pil_i_trns.png"}


def test_a_new_version_under_load_loses_no_request(tmp_path):
    base = tmp_path / "toy"
    base.mkdir()
    write_version(base, 1)
    stop, problems, seen = threading.Event(), [], []

    def client(server, index):
        with requests.Session() as session:
            while not stop.is_set():
                answer = session.post(
                    f"{server.url}/v1/models/default:predict",
                    json={"instances": [[index, 0]]},
                    timeout=60,
                )
                if answer.status_code != 200:
                    problems.append(answer.text)
                    continue
                ((first, second),) = answer.json()["predictions"]
                # Both numbers are of one version, and it is one that exists.
                if first - second != 0.5 * index or second not in (1, 2, 3, 4):
                    problems.append(answer.text)
                seen.append(second)

    flags = (f"--model_dir={base}", "--poll_seconds=0.1")
    with command(*flags, log=tmp_path / "log") as server:
        threads = [
            threading.Thread(target=client, args=(server, index)) for index in range(8)
        ]
        for thread in threads:
            thread.start()
        for version in (2, 3, 4):
            write_version(base, version)
            for _ in range(600):
                if f"version {version - 1} was unloaded" in server.log.read_text():
                    break
                time.sleep(0.1)
        stop.set()
        for thread in threads:
            thread.join()
        assert server.terminate() == 0
    print(f"{len(seen)} requests over {len(set(seen))} versions")
    assert problems == []
    assert set(seen) == {1, 2, 3, 4}


def test_new_versions_under_load_over_both_protocols_lose_no_request(
    exported, photographs, expected, tmp_path
):
    base = tmp_path / "saved_model"
    shutil.copytree(exported, base)
    tallies, stop = [], threading.Event()
    with (
        command(f"--model_dir={base}", "--poll_seconds=0.1", log=tmp_path / "log") as s,
        ExitStack() as stack,
    ):
        asking = clients(s, stack)

        def load():
            while not stop.is_set():
                tallies.append(load_generator.run(asking, photographs, 500, expected))

        loading = threading.Thread(target=load)
        loading.start()
        try:
            for version in (2, 3, 4):
                shutil.copytree(base / str(version - 1), base / f".{version}")
                (base / f".{version}").rename(base / str(version))
                gone = f"version {version - 1} was unloaded"
                while gone not in s.log.read_text():
                    assert s.process.poll() is None
                    time.sleep(0.1)
        finally:
            stop.set()
            loading.join()
        assert s.terminate() == 0
        said = s.log.read_text().splitlines()[-1]
    answered = sum(len(tally.seconds) for tally in tallies)
    print(f"{answered} requests from {CLIENTS} clients over 4 versions")
    assert [(tally.wrong, tally.errors) for tally in tallies] == [(0, {})] * len(
        tallies
    )
    assert said == f"serve: answered {answered} of {answered} requests"


def test_a_signal_to_stop_finishes_what_was_taken(
    exported, photographs, expected, tmp_path
):
    answered, wrong, refused = [], [], []
    cut_off = []

    def client(ask):
        for number in range(100_000):
            index = number % len(photographs)
            try:
                answer = ask(photographs[index])
            except (ConnectionRefusedError, grpc.RpcError) as error:
                refused.append(error)
                return
            except Exception as error:
                cut_off.append(repr(error))
                return
            answered.append(index)
            if not load_generator.is_same(answer, expected[index]):
                wrong.append(answer)

    with (
        command(f"--model_dir={exported}", log=tmp_path / "log") as server,
        ExitStack() as stack,
    ):
        threads = [
            threading.Thread(target=client, args=(ask,))
            for ask in clients(server, stack)
        ]
        for thread in threads:
            thread.start()
        while len(answered) < 300:
            time.sleep(0.05)
        code = server.terminate()
        for thread in threads:
            thread.join()
        said = server.log.read_text().splitlines()[-1]
    print(said)
    assert (code, wrong, cut_off) == (0, [], [])
    # A gRPC client is told that the server is gone, never left without a word: gRPC
    # itself answers CANCELLED to a call that comes in between, before it is taken.
    codes = {e.code().name for e in refused if isinstance(e, grpc.RpcError)}
    assert codes <= {"UNAVAILABLE", "CANCELLED"}
    # What clients have and what the server says that it gave: the same number.
    assert said == f"serve: answered {len(answered)} of {len(answered)} requests"


def test_a_server_whose_lines_nobody_reads_ends_in_order(tmp_path):
    (tmp_path / "toy").mkdir()
    write_version(tmp_path / "toy", 1)
    flags = (f"--model_dir={tmp_path / 'toy'}", f"--rest_api_port={free_port()}")
    with subprocess.Popen(
        [sys.executable, "-m", "export.serve_main", *flags, "--port=0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert any("ready" in line for line in process.stdout)
        process.stdout.close()
        process.terminate()
        assert process.wait(60) == 0


def test_what_cannot_be_finished_does_not_keep_the_server_from_ending(tmp_path):
    (tmp_path / "toy").mkdir()
    write_version(tmp_path / "toy", 1)
    flags = (f"--model_dir={tmp_path / 'toy'}", "--drain_seconds=2")
    with command(*flags, log=tmp_path / "log") as server:
        document = {"signature_name": "patient", "inputs": {"n": [2**31 - 1]}}
        with pytest.raises(requests.ReadTimeout):
            requests.post(
                f"{server.url}/v1/models/default:predict", json=document, timeout=2
            )
        begun = time.monotonic()
        assert server.terminate() == 1
        assert time.monotonic() - begun < 10
        said = server.log.read_text().splitlines()[-1]
    assert said == "serve: answered 0 of 1 requests"


def test_a_signal_that_another_thread_gets_stops_the_server_too(tmp_path):
    # The system chooses the thread; after SIGSTOP and SIGCONT it may be any of them.
    tell = getattr(ctypes.CDLL(None), "tgkill", None)
    if tell is None:
        pytest.skip("this system cannot send a signal to one thread")
    (tmp_path / "toy").mkdir()
    write_version(tmp_path / "toy", 1)
    with command(f"--model_dir={tmp_path / 'toy'}", log=tmp_path / "log") as server:
        main = server.process.pid
        threads = {int(task.name) for task in Path(f"/proc/{main}/task").iterdir()}
        assert tell(main, max(threads - {main}), signal.SIGTERM) == 0
        assert server.process.wait(60) == 0


def test_slow_and_large_and_broken_clients_take_nothing_from_the_others(
    server, photographs, expected
):
    before_mb = server.rss_mb()
    place = ("127.0.0.1", server.rest)
    path = "/v1/models/default:predict"
    with ExitStack() as stack:
        # Three hundred that never finish their headers, or their bodies.
        for index in range(300):
            slow = stack.enter_context(socket.create_connection(place, 60))
            body = b"Content-Length: 1000\r\n\r\n{" if index % 2 else b""
            slow.sendall(f"POST {path} HTTP/1.1\r\nHost: h\r\n".encode() + body)
        for index in range(50):
            broken = socket.create_connection(place, 60)
            broken.sendall(random.Random(index).randbytes(4096))
            broken.close()

        def gigabyte():
            for _ in range(1024):
                yield bytes(2**20)

        for body in (gigabyte(), Zeros(2**30)):
            try:
                refused = requests.post(server.url + path, data=body, timeout=60)
                assert refused.status_code == 413
            except requests.ConnectionError:
                # The connection was closed before all was sent, as it has to be.
                pass
        ask = load_generator.rest_client(server.url, "default", stack)
        assert load_generator.is_same(ask(photographs[0]), expected[0])
        deep = requests.post(server.url + path, data=b'{"a":' * 10**6, timeout=60)
        assert deep.status_code == 400
        assert json.loads(deep.text)["error"]
        assert load_generator.is_same(ask(photographs[0]), expected[0])
    grown_mb = server.rss_mb() - before_mb
    print(f"RSS grew by {grown_mb:.0f} MB")
    # The limit for bodies is 64 MiB, a fraction of what was sent.
    assert grown_mb < 200


class Zeros:
    """A file of zeros that nobody has to store; requests reads its length from it."""

    def __init__(self, size):
        self.left = size
        self.len = size

    def read(self, count=-1):
        count = self.left if count < 0 else min(count, self.left)
        self.left -= count
        return bytes(count)


def test_many_versions_after_each_other_leave_no_memory_behind(tmp_path):
    base = tmp_path / "toy"
    base.mkdir()
    write_version(base, 1)
    flags = (f"--model_dir={base}", "--poll_seconds=0.05")
    with command(*flags, log=tmp_path / "log") as server:
        sizes = []
        for version in range(2, 22):
            hidden = base / f".{version}"
            shutil.copytree(base / str(version - 1), hidden)
            hidden.rename(base / str(version))
            while f"version {version - 1} was unloaded" not in server.log.read_text():
                time.sleep(0.05)
            sizes.append(server.rss_mb())
    print(f"RSS after each swap, MB: {[round(size) for size in sizes]}")
    # The first ones fill the allocator's pools.
    assert sizes[-1] - sizes[9] < 20
