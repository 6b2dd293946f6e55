"""The server's parts without a socket: versions that come and go, and batches."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra serve")

from export import serve_main
from export.server import batching_file, model_config
from export.server.batching import Batcher, Parameters
from export.server.errors import Refusal
from export.server.versions import ModelConfig, Models, State


def make_folders(base, *numbers):
    for number in numbers:
        (base / str(number)).mkdir()


def states(models, name="m"):
    return {status.number: status.state for status in models.status(name)}


def loaded_path(folder):
    """Stands for a loaded version."""
    if (folder / "broken").exists():
        raise OSError("half of it is missing")
    return folder


def served_number(models):
    with models.held("m") as handle:
        return handle.number


def test_the_newest_version_is_served_by_number_and_not_by_letters(tmp_path):
    make_folders(tmp_path, 2, 9, 10)
    (tmp_path / "temporary").mkdir()
    models = Models(loaded_path)
    models.configure([ModelConfig("m", tmp_path)])
    assert states(models) == {10: State.AVAILABLE}
    assert served_number(models) == 10


@pytest.mark.parametrize(
    ("policy", "expected"),
    [({"newest": 2}, {2, 3}), ({"newest": 0}, {1, 2, 3}), ({"specific": (1, 7)}, {1})],
)
def test_a_policy_chooses_the_versions(tmp_path, policy, expected):
    make_folders(tmp_path, 1, 2, 3)
    models = Models(loaded_path)
    models.configure([ModelConfig("m", tmp_path, **policy)])
    assert set(states(models)) == expected


def test_a_version_stays_for_those_who_hold_it_while_others_get_the_new_one(tmp_path):
    make_folders(tmp_path, 1)
    models = Models(loaded_path)
    models.configure([ModelConfig("m", tmp_path)])
    with models.held("m") as handle:
        make_folders(tmp_path, 2)
        swap = threading.Thread(target=models.reconcile)
        swap.start()
        for _ in range(500):
            if states(models).get(1) is State.UNLOADING:
                break
            time.sleep(0.01)
        assert states(models) == {1: State.UNLOADING, 2: State.AVAILABLE}
        assert served_number(models) == 2
        assert handle.servable == tmp_path / "1"
        assert swap.is_alive()
    swap.join(10)
    assert states(models) == {1: State.END, 2: State.AVAILABLE}


def test_a_version_that_does_not_load_changes_nothing_until_its_files_change(tmp_path):
    make_folders(tmp_path, 1)
    models = Models(loaded_path)
    models.configure([ModelConfig("m", tmp_path)])
    make_folders(tmp_path, 2)
    (tmp_path / "2" / "broken").touch()
    models.reconcile()
    models.reconcile()
    assert served_number(models) == 1
    (failed, _) = models.status("m")
    assert failed.state is State.END
    assert "half of it is missing" in failed.message
    (tmp_path / "2" / "broken").unlink()
    models.reconcile()
    assert served_number(models) == 2


def test_taking_the_newest_version_away_goes_back_to_the_one_before(tmp_path):
    make_folders(tmp_path, 1, 2)
    models = Models(loaded_path)
    models.configure([ModelConfig("m", tmp_path)])
    (tmp_path / "2").rmdir()
    models.reconcile()
    assert served_number(models) == 1


def test_the_same_number_in_another_base_path_is_another_version(tmp_path):
    places = [tmp_path / "one", tmp_path / "two"]
    for place in places:
        place.mkdir()
        make_folders(place, 1)
    models = Models(loaded_path)
    for place in places:
        models.configure([ModelConfig("m", place)])
        with models.held("m") as handle:
            assert handle.servable == place / "1"
    # One that does not load leaves the one that answers.
    (places[0] / "1" / "broken").touch()
    models.configure([ModelConfig("m", places[0])])
    models.reconcile()
    with models.held("m") as handle:
        assert handle.servable == places[1] / "1"


def test_a_base_path_that_is_empty_for_a_moment_takes_nothing_away(tmp_path):
    make_folders(tmp_path, 1)
    models = Models(loaded_path)
    models.configure([ModelConfig("m", tmp_path)])
    (tmp_path / "1").rmdir()
    models.reconcile()
    assert served_number(models) == 1


class Recorder:
    """Stands for a signature: doubles, notes its batches, and waits to be let go."""

    takes_any_batch = True

    def __init__(self):
        self.batches = []
        self.begun = threading.Event()
        self.gate = threading.Event()

    def run(self, arrays):
        self.begun.set()
        assert self.gate.wait(10)
        x = arrays["x"]
        self.batches.append(x.tolist())
        if (x < 0).any():
            raise ValueError("negative")
        return {"y": 2 * x}


def submit(batcher, signature, *values, wait_s=60.0):
    arrays = {"x": np.array(values)}
    return batcher.submit(signature, arrays, time.monotonic() + wait_s)


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def busy(recorder):
    """A batcher whose only thread is at work on the value 0."""
    batcher = Batcher(Parameters(4, 0, 2, 1))
    submit(batcher, recorder, 0)
    assert recorder.begun.wait(10)
    yield batcher
    recorder.gate.set()
    batcher.close()


def test_requests_that_have_to_wait_are_computed_together(busy, recorder):
    pending = [submit(busy, recorder, n) for n in (1, 2)] + [
        submit(busy, recorder, 3, 4)
    ]
    full = submit(busy, recorder, 5)
    recorder.gate.set()
    assert [p.result(10)["y"].tolist() for p in pending] == [[2], [4], [6, 8]]
    assert full.result(10)["y"].tolist() == [10]
    assert recorder.batches == [[0], [1, 2, 3, 4], [5]]


def test_an_error_is_for_the_request_that_made_it(busy, recorder):
    good, bad = submit(busy, recorder, 1), submit(busy, recorder, -1)
    recorder.gate.set()
    assert good.result(10)["y"].tolist() == [2]
    with pytest.raises(ValueError, match="negative"):
        bad.result(10)


def test_other_shapes_are_other_batches(busy, recorder):
    one = submit(busy, recorder, 1)
    two = busy.submit(recorder, {"x": np.array([[7, 8]])}, time.monotonic() + 60)
    recorder.gate.set()
    assert one.result(10)["y"].tolist() == [2]
    assert two.result(10)["y"].tolist() == [[14, 16]]


def test_a_full_queue_and_a_large_request_are_refused(busy, recorder):
    for _ in range(8):
        submit(busy, recorder, 1)
    with pytest.raises(Refusal, match="is full") as caught:
        submit(busy, recorder, 1)
    assert caught.value.http_status == 503
    with pytest.raises(Refusal, match="Task size 5 is larger") as caught:
        submit(busy, recorder, *range(5))
    assert caught.value.http_status == 400


def test_what_nobody_waits_for_any_more_is_not_computed(busy, recorder):
    late = submit(busy, recorder, 1, wait_s=-1.0)
    recorder.gate.set()
    with pytest.raises(Refusal, match="Deadline exceeded"):
        late.result(10)
    assert recorder.batches == [[0]]


def test_closing_computes_what_was_submitted(recorder):
    recorder.gate.set()
    batcher = Batcher(Parameters(4, 10_000_000, 5, 1))
    pending = submit(batcher, recorder, 1)
    batcher.close()
    assert pending.result(0)["y"].tolist() == [2]


def test_a_request_waits_for_company_as_long_as_it_is_told(recorder):
    recorder.gate.set()
    batcher = Batcher(Parameters(2, 300_000, 5, 1))
    begun = time.monotonic()
    submit(batcher, recorder, 1).result(10)
    assert time.monotonic() - begun >= 0.3
    pair = [submit(batcher, recorder, n) for n in (2, 3)]
    for pending in pair:
        pending.result(10)
    assert recorder.batches == [[1], [2, 3]]
    batcher.close()


def test_the_deployment_files_are_read_by_the_server_too():
    serving = Path(serve_main.__file__).parent / "server" / "deploy"
    parameters = batching_file.read(serving / "batching_parameters.txt")
    assert parameters == Parameters(32, 5000, 100, 4)


def test_a_model_configuration_is_read(tmp_path):
    (tmp_path / "flowers").mkdir()
    file = tmp_path / "model.config"
    file.write_text(
        'model_config_list { config { name: "f" base_path: "flowers" '
        'model_platform: "tensorflow" model_version_policy { specific { versions: 4 '
        'versions: 5 } } version_labels { key: "stable" value: 4 } } }'
    )
    (config,) = model_config.read(file)
    assert config == ModelConfig("f", tmp_path / "flowers", 1, (4, 5), {"stable": 4})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no model"),
        ("model_config_lost {}", "model_config_lost"),
        ('model_config_list { config { base_path: "x" } }', "has no name"),
        ('model_config_list { config { name: "f" base_path: "x" } }', "no folder"),
        ('model_config_list { config { name: "f" } }', "absolute path"),
        (
            'model_config_list { config { name: "f" base_path: "." '
            "model_version_policy { specific {} } } }",
            "names no versions",
        ),
    ],
)
def test_a_wrong_model_configuration_is_one_line(tmp_path, text, words):
    file = tmp_path / "model.config"
    file.write_text(text)
    with pytest.raises(Refusal, match=words) as caught:
        model_config.read(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "one of --model_dir and --model_config_file"),
        (["--model_dir=nowhere"], "there is no folder nowhere"),
        (["--model_dir=."], "has no version in it"),
        (["--model_dir=one"], "is a single version"),
        (["--model_dir=.", "--max_batch_size=0"], "max_batch_size"),
        (["--model_dir=.", "--port=0", "--rest_api_port=0"], "nothing to listen at"),
        (["--model_dir=.", "--port=65536"], "port"),
        (["--model_dir=.", "--rest_api_port=65536"], "rest_api_port"),
        (["--model_base_path=nowhere"], "there is no folder nowhere"),
        (["--model_dir=.", "--model_name="], "--model_name is empty"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path, monkeypatch, capsys, flags, words
):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "saved_model.pb").touch()
    monkeypatch.chdir(tmp_path)
    assert serve_main.main(["serve", *flags]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.startswith("serve: error: ")
    assert said.count("\n") == 1


def test_the_help_fits_on_a_screen(capsys):
    assert serve_main.main(["serve", "--help"]) == 0
    assert len(capsys.readouterr().out.splitlines()) <= 40
