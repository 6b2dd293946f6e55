"""The export command from end to end: what it writes, says and refuses."""

import json
import pathlib
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from export import main as command
from export.convert import precisions, saved_model, tflite
from export.publish.staging import Staging
from export.summary_main import main as summarize
from keras_convnext._messages import UsageError


def export(*arguments):
    return command.main(["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def shown(exported):
    return exported[1]


@pytest.fixture(scope="module")
def manifest(out):
    return json.loads((out / "export.json").read_text())


def test_an_export_leaves_what_is_documented_and_nothing_else(out):
    assert sorted(path.name for path in out.iterdir()) == [
        "export.json",
        "labels.txt",
        "model_float32.tflite",
        "preprocessing.json",
        "report.html",
        "saved_model",
    ]


def test_labels_and_preprocessing_are_those_of_the_model(out, workdir):
    assert (out / "labels.txt").read_text() == (workdir / "labels.txt").read_text()
    for folder in (out, workdir):
        record = json.loads((folder / "preprocessing.json").read_text())
        assert record["size_px"] == 32
        assert record["crop_fraction"] == 0.875


def test_the_manifest_states_each_files_figures(out, manifest):
    assert set(manifest["artefacts"]) == {"saved_model/8", "model_float32.tflite"}
    for place, entry in manifest["artefacts"].items():
        path = out / place
        files = [path] if path.is_file() else path.rglob("*")
        size = sum(file.stat().st_size for file in files if file.is_file())
        assert entry["bytes"] == size
        assert entry["max_abs_diff"] <= 1e-4
        assert entry["top1_agreement"] == 1.0
        assert entry["cosine"] == pytest.approx(1.0, abs=1e-6)
        assert 0 < entry["latency_ms"]["p50"] <= entry["latency_ms"]["p95"]
        assert entry["versions"]["tensorflow"] == tf.__version__
        assert entry["pictures"]["count"] > 0
    assert manifest["source"]["classes"] == 7


@pytest.mark.slow
def test_the_model_is_folded_unless_told_otherwise(manifest, workdir, tmp_path):
    assert manifest["folding"]["folded"]
    # The head's norm makes the features, which are an output.
    assert list(manifest["folding"]["left"]) == ["stem_norm", "head_norm"]
    arguments = [f"--model={workdir}", f"--out={tmp_path}", "--format=tflite"]
    assert export(*arguments, "--nofold") == 0
    plain = json.loads((tmp_path / "export.json").read_text())
    assert not plain["folding"]["folded"]


def test_the_tflite_file_agrees_with_keras(out, tiny_model):
    interpreter = Interpreter(str(out / "model_float32.tflite"))
    runner = interpreter.get_signature_runner()
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3))
    image = image.astype(np.float32)
    found = runner(tensors=image)["probabilities"]
    np.testing.assert_allclose(found, tiny_model.predict(image, verbose=0), atol=1e-5)


def test_the_tflite_file_has_builtin_operators_and_its_labels(out):
    contents = (out / "model_float32.tflite").read_bytes()
    builtin, other = tflite.operators(contents)
    assert other == []
    # GELU as one operator, and the depthwise convolution as the fast one.
    assert {"GELU", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"} <= set(builtin)
    with zipfile.ZipFile(out / "model_float32.tflite") as archive:
        assert archive.read("labels.txt") == (out / "labels.txt").read_bytes()


def test_operators_that_are_not_tflites_own_are_told_apart():
    @tf.function(input_signature=[tf.TensorSpec([1, 3])])
    def inverse_error_function(x):
        return tf.math.erfinv(x)

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [inverse_error_function.get_concrete_function()]
    )
    converter.allow_custom_ops = True
    assert tflite.operators(converter.convert()) == ([], ["Erfinv"])


def test_the_report_stands_alone_and_shows_every_file(out, manifest):
    page = (out / "report.html").read_text()
    for place in manifest["artefacts"]:
        assert place in page
    assert "http" not in page
    assert page.count("<figure>") == 16


def test_an_older_version_is_kept_and_the_next_number_taken(out):
    assert sorted(path.name for path in (out / "saved_model").iterdir()) == ["7", "8"]
    older = out / "saved_model" / "7" / "saved_model.pb"
    assert older.read_bytes() == b"older"


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ((), 1),
        (("1", "007", "notes"), 8),
        # Three in Arabic digits; 2**63, which no int64 holds; a long row of nines.
        (("2", "٣", "9223372036854775808", "9" * 200), 3),
    ],
)
def test_only_names_that_serving_takes_for_versions_are_counted(
    taken, expected, tmp_path
):
    for name in taken:
        (tmp_path / name).mkdir()
    assert saved_model.next_version(tmp_path) == expected


def test_no_version_follows_the_highest_there_can_be(tmp_path):
    (tmp_path / "9223372036854775807").mkdir()
    with pytest.raises(UsageError, match="has the highest number a version can have"):
        saved_model.next_version(tmp_path)


def test_the_last_lines_are_a_table_of_the_files(shown):
    lines = shown.splitlines()[-3:]
    titles = ["file", "MB", "max", "diff", "top-1", "agreement", "ms"]
    assert lines[0].split() == titles
    assert [line.split()[0] for line in lines[1:]] == [
        "saved_model/8",
        "model_float32.tflite",
    ]


def test_a_folder_is_never_published_over_another(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "file").write_text("old")
    with Staging(tmp_path) as staging:
        (staging.folder / "1").mkdir()
        (staging.folder / "1" / "file").write_text("new")
        with pytest.raises(OSError, match="not empty"):
            staging.publish("1")
    assert (tmp_path / "1" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize(
    ("more", "last"),
    [
        ((), "; nothing was written"),
        (
            ("--precision=float16,float32",),
            "; nothing was written; --precision=float16 leaves it out",
        ),
        (
            ("--format=saved_model,tflite",),
            "; nothing was written; --format=tflite leaves it out",
        ),
    ],
)
@pytest.mark.slow
def test_a_file_that_disagrees_is_not_left_behind(
    workdir, tmp_path, capsys, monkeypatch, more, last
):
    # No difference is below zero, so every file is past this limit.
    strict = precisions.Precision("float32", "strict", -1.0, 1.0)
    monkeypatch.setitem(precisions.PRECISIONS, "float32", strict)
    place = tmp_path / "made" / "here"
    argv = [f"--model={workdir}", "--format=tflite", f"--out={place}", *more]
    assert export(*argv) == 1
    message = capsys.readouterr().err.strip()
    assert message.startswith("export: error: ")
    assert " does not agree with Keras: " in message
    assert message.endswith(last)
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_missing_labels_and_preprocessing_are_told_and_made_up(
    workdir, tmp_path, capsys
):
    model = tmp_path / "model.keras"
    model.write_bytes((workdir / "model.keras").read_bytes())
    out = tmp_path / "out"
    assert export(f"--model={model}", "--format=tflite", f"--out={out}") == 0
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert "no labels.txt" in told[0]
    assert "no preprocessing.json" in told[1]
    assert (out / "labels.txt").read_text().splitlines()[:2] == ["class 0", "class 1"]
    assert json.loads((out / "preprocessing.json").read_text())["size_px"] == 32


def mistakes(workdir, tmp_path):
    text = tmp_path / "text.keras"
    text.write_text("no model")
    archive = tmp_path / "archive.keras"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "no model either")
    (tmp_path / "empty").mkdir()
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    model, out = f"--model={workdir}", f"--out={tmp_path / 'out'}"
    return {
        "no model at": (f"--model={tmp_path / 'nothing.keras'}", out),
        "no zip archive": (f"--model={text}", out),
        "cannot be read as weights": (f"--model={weights}", out),
        "no config.json": (f"--model={archive}", out),
        "unknown 'coreml'": (model, out, "--format=tflite,coreml"),
        "unknown 'int3'": (model, out, "--precision=int3"),
        "unknown 'pixels'": (model, out, "--default_signature=pixels"),
        "cannot be written": (model, f"--out={text / 'out'}"),
        "--out must be given": (model,),
        "--model and --out must": (),
        "Unknown command line flag": (model, out, "--color=red"),
        "unrecognized argument": (model, out, "model.keras"),
        "there is no folder": (model, out, f"--images=folder:{tmp_path / 'no'}"),
        "holds no": (model, out, f"--images=folder:{tmp_path / 'empty'}"),
        "tfds:tulips cannot be loaded": (model, out, "--images=tulips"),
    }


def test_every_mistake_is_one_line_and_exit_code_2(workdir, tmp_path, capsys):
    for words, arguments in mistakes(workdir, tmp_path).items():
        assert export(*arguments) == 2, words
        message = capsys.readouterr().err.strip()
        assert words in message
        assert message.startswith("export: error: ")
        assert "\n" not in message
    assert not (tmp_path / "out").exists()


def test_flags_work_under_their_old_names_and_say_the_new_ones(capsys):
    values = command.options()
    values(["export", "--pictures=folder:flowers", "--most_pictures=4"])
    assert (values.images, values.most_images) == ("folder:flowers", 4)
    assert export("--pictures=folder:flowers") == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first == "export: --pictures is an old name of --images"


def test_labels_that_do_not_fit_the_model_are_a_mistake(workdir, tmp_path, capsys):
    for name in ("model.keras", "preprocessing.json"):
        (tmp_path / name).write_bytes((workdir / name).read_bytes())
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    out = tmp_path / "out"
    assert export(f"--model={tmp_path}", f"--out={out}") == 2
    assert "has 2 lines, but the model has 7 outputs" in capsys.readouterr().err
    assert not out.exists()


def test_a_broken_preprocessing_record_is_a_mistake(workdir, tmp_path, capsys):
    for name in ("model.keras", "labels.txt"):
        (tmp_path / name).write_bytes((workdir / name).read_bytes())
    for record, words in (
        ('{"size_px": 32', "does not describe a preprocessing"),
        ('{"size": 32, "mean": [0], "std": [1]}', "does not describe a preprocessing"),
        ('{"size_px": 64, "mean": [0], "std": [1]}', "says 64 px, but the model takes"),
    ):
        (tmp_path / "preprocessing.json").write_text(record)
        assert export(f"--model={tmp_path}", f"--out={tmp_path / 'out'}") == 2
        assert words in capsys.readouterr().err


def test_help_fits_on_a_screen(capsys):
    assert export("--help") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 88


def test_the_summary_prints_accuracy_parity_and_places(out, tmp_path, capsys):
    (tmp_path / "metrics.json").write_text('{"top1": 0.9875}')
    assert summarize(["summary", f"--workdir={tmp_path}", f"--out={out}"]) == 0
    shown = capsys.readouterr().out
    assert "98.75%" in shown
    assert f"{out / 'model_float32.tflite'}: differs from Keras by" in shown
    assert str(tmp_path / "pictures") in shown


def test_the_summary_reads_an_export_that_knows_the_first_class_alone(tmp_path, capsys):
    entry = {"max_abs_diff": 1e-6, "top1_agreement": 0.5, "pictures": {"count": 4}}
    manifest = {"artefacts": {"model_float32.tflite": entry}}
    (tmp_path / "export.json").write_text(json.dumps(manifest))
    (tmp_path / "metrics.json").write_text('{"top1": 0.9875}')
    assert summarize(["summary", f"--workdir={tmp_path}", f"--out={tmp_path}"]) == 0
    assert "top-1 agreement 50.0% on 4 images" in capsys.readouterr().out


def test_the_summary_of_nothing_is_a_mistake(tmp_path, capsys):
    assert summarize(["summary", f"--workdir={tmp_path}", f"--out={tmp_path}"]) == 2
    assert "metrics.json cannot be read" in capsys.readouterr().err


def test_the_fresh_process_knows_nothing_of_this_project():
    runner = pathlib.Path(command.__file__).parent / "verify" / "isolated_runner.py"
    source = runner.read_text()
    assert "keras" not in source.partition('"""\n')[2].partition('"""')[2].lower()
