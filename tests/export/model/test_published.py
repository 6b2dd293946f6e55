"""Published checkpoints as what is exported, without fetching any."""

import pytest

import keras_convnext
from export import main as command
from export.export_error import ExportError
from export.model import keras_file, published
from keras_convnext._messages import UsageError

NAME = "convnext_atto.d2_in1k"


@pytest.mark.parametrize(
    ("named", "is_name"),
    [
        (NAME, True),
        ("convnext_tiny.fb_in22k_ft_in1k_384", True),
        ("model.keras", False),
        ("runs/demo", False),
        ("runs/demo.old", False),
        ("demo", False),
    ],
)
def test_names_of_checkpoints_are_told_from_paths(named, is_name):
    assert keras_file.names_a_checkpoint(named) == is_name


def test_a_folder_wins_over_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir()
    assert not keras_file.names_a_checkpoint(NAME)


def test_a_checkpoint_brings_labels_preprocessing_and_license(monkeypatch, tiny_model):
    asked = []

    def create(name):
        asked.append(name)
        return tiny_model

    monkeypatch.setattr("keras_convnext.inference.loaded_model.create", create)
    loaded = published.load(NAME)
    assert asked == [NAME]
    assert len(loaded.labels) == 1000
    # Source: the first and the last class of ILSVRC-2012, by WordNet id.
    assert loaded.labels[0] == "tench"
    assert loaded.labels[-1] == "toilet_tissue"
    assert loaded.preprocessing.size_px == 224
    assert loaded.license == keras_convnext.weights.find(NAME).license
    assert len(loaded.sha256) == 64


def test_unknown_and_headless_checkpoints_are_mistakes():
    with pytest.raises(UsageError, match="convnext_atto"):
        published.load("convnext_atto.d2_in1")
    headless = next(
        name
        for name in keras_convnext.weights.list_weights("*")
        if keras_convnext.weights.find(name).labels is None
    )
    with pytest.raises(UsageError, match="has no classifier"):
        published.load(headless)


def test_a_checkpoint_that_cannot_be_fetched_is_a_failure(monkeypatch):
    def create(name):
        raise keras_convnext.weights.DownloadError("no network here")

    monkeypatch.setattr("keras_convnext.inference.loaded_model.create", create)
    with pytest.raises(ExportError, match="could not be loaded: no network here"):
        published.load(NAME)


def test_an_unknown_name_is_one_line_and_exit_code_2(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["export", "--model=convnext_tony.fb_in1k", f"--out={out}"]
    assert command.main(arguments) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("export: error: ")
    assert "\n" not in message
    assert not out.exists()
