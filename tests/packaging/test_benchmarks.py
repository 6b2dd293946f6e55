"""The races of benchmarks/ run, and say who could not take part."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_convnext.preprocessing import DETECTION_IMAGE
from tests.checks import tiny_detector
from tests.training.data.coco_files import content, write_coco

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def benchmarks(monkeypatch):
    """Imports from benchmarks/, as its commands do."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import cases
    import page
    import race

    yield cases, race, page
    own = (
        *("cases", "race", "page", "limits", "kernels", "pipeline"),
        *("pipeline_profile", "card_kernels", "coco_evaluation"),
        "fixed_roi_align",
    )
    for name in own:
        sys.modules.pop(name, None)


def test_every_contestant_of_every_race_is_there_and_has_a_title(benchmarks):
    cases, _, _ = benchmarks
    named = {name for case in cases.CASES for name in case.contestants}
    files = {path.stem for path in (ROOT / "benchmarks/contestants").glob("*.py")}
    assert named == set(cases.TITLES)
    assert named <= files
    for case in cases.CASES:
        for target in case.targets:
            assert {target.faster, target.slower} <= set(case.contestants)
        for limit in case.memory:
            assert {limit.contestant, limit.other} <= set(case.contestants)


def test_ratios_are_of_median_times_and_a_missing_peer_leaves_none(benchmarks):
    cases, race, _ = benchmarks
    case = cases.Case(
        "s", "inference", "m", 4, ("a", "b"), targets=(cases.Target("a", "b", 2.0),)
    )
    results = {
        "a": race.summary([1.0, 2.0, 9.0], case.batch),
        "b": race.summary([5.0, 6.0, 7.0], case.batch),
    }
    assert results["a"]["samples_per_s"] == 2.0
    assert results["a"]["min_s"] == 1.0
    assert race.reached(case, results)[0]["reached"] == 3.0
    assert race.reached(case, {"a": results["a"]})[0]["reached"] is None


def test_memory_is_compared_above_what_each_held_once_imported(benchmarks):
    cases, race, page = benchmarks
    case = cases.Case(
        *("s", "inference", "m", 4, (cases.OURS, cases.EAGER)),
        memory=(cases.MemoryLimit(cases.OURS, cases.EAGER, 1.0),),
    )
    ours, theirs = (
        {"base_mb": base, "peak_mb": peak} for base, peak in ((700, 1000), (300, 700))
    )
    found = race.held(case, {cases.OURS: ours, cases.EAGER: theirs})
    assert found[0]["reached"] == 0.75
    assert race.held(case, {cases.OURS: ours})[0]["reached"] is None
    without_proc = {**theirs, "peak_mb": None}
    both = {cases.OURS: ours, cases.EAGER: without_proc}
    assert race.held(case, both)[0]["reached"] is None
    assert page.at_most(0.75, 1.0) == ["at most 1.0", "**0.75**"]
    assert page.at_most(1.01, 1.0) == ["at most 1.0", "**1.01** (missed)"]


def test_who_is_slow_has_fewer_turns(benchmarks, monkeypatch):
    cases, race, _ = benchmarks
    call_s = {"quick": 0.1, "slow": 60.0}

    class Recorded:
        def __init__(self, contestant, case, python):
            self.contestant, self.start = contestant, {"base_mb": 1.0}

        def order(self, words):
            return {"peak_mb": 2.0, "seconds": [call_s[self.contestant]]}

        def close(self):
            pass

    monkeypatch.setattr(race, "Runner", Recorded)
    case = cases.Case("s", "inference", "m", 1, tuple(call_s))
    result = race.run(case, dict.fromkeys(call_s, ROOT), rounds=4, seconds=1.0)
    calls = {name: each["calls"] for name, each in result["results"].items()}
    assert calls == {"quick": 4, "slow": 2}


def test_the_page_shows_what_the_commands_measured_and_what_they_did_not(benchmarks):
    cases, _, page = benchmarks
    assert all(
        (ROOT / "benchmarks" / row[0][0]).exists() for row in cases.COMMANDS.values()
    )
    others = {
        "startup": {"median_s": dict.fromkeys(page.START_S, 2.0)},
        "growth": {"growth": {"a pixel": 1.2}, "most": 1.15},
        "pipeline": {"missing": "no environment"},
    }
    lines = page.commands(others)
    assert "| build ConvNeXtTiny, s | at most 1.0 | **2.00** (missed) |" in lines
    assert "| build ConvNeXtXLarge, s | at most 5.0 | **2.00** |" in lines
    shown = "| growth of the cost of a pixel | at most 1.15 | **1.20** (missed) |"
    assert shown in lines
    assert "pipeline was not measured: no environment" in lines


def test_the_limit_is_every_dense_product_of_the_network_and_its_profile(benchmarks):
    cases, _, page = benchmarks
    import limits

    # Counted by hand: the stem, three downsamplings, and 18 blocks that cost the same.
    products = 3136 * 48 * 96 + 3 * (784 * 384 * 192) + 18 * (3136 * 8 * 96**2)
    case = cases.Case("limits", "inference", "convnext_tiny", 2, ())
    assert limits.products(case)[1] == 2 * 2 * products
    case = cases.Case("limits", "training", "convnext_tiny", 2, ())
    assert limits.products(case)[1] == 2 * 2 * 3 * products

    case = cases.Case("limits", "inference", "convnext_atto", 2, (), 32, classes=10)
    found = limits.measure(cases.FOLDED, case, rounds=2)
    assert found["products_share"] > 0
    assert found["large_product_gflops"] > 0
    operators = found["operators"]
    assert sum(operators.values()) == pytest.approx(1)
    # The convolutions may be called by another name; a product is one.
    assert any("MatMul" in kind for kind in operators)
    assert not any("inference" in kind for kind in operators)
    text = "\n".join(page.limits([found]))
    assert found["name"] in text
    assert "MatMul" in text


@pytest.mark.slow
def test_an_images_time_is_told_by_purpose_and_beside_decoding_alone(
    benchmarks, tmp_path
):
    _, _, page = benchmarks
    out = tmp_path / "found.json"
    core = min(os.sched_getaffinity(0))
    command = [sys.executable, ROOT / "benchmarks/pipeline_profile.py", f"--out={out}"]
    few = ["--images=5", "--batch=2", "--batches=2", "--rounds=1", f"--core={core}"]
    ran = subprocess.run([*command, *few], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(out.read_text())
    # Who only decodes has less to do than who also does everything after it.
    assert 0 < found["ratio"] < 1
    assert sum(found["spent"].values()) == pytest.approx(1)
    assert {"decoding", "resizing", "reading files"} <= set(found["spent"])
    assert found["spent"]["decoding"] > found["spent"]["reading files"]
    lines = page.pipeline_profile(found)
    assert f"| operators: decoding | {found['spent']['decoding']:.0%} |" in lines
    assert page.pipeline_profile({"missing": "it failed"}) == []


def test_what_is_compiled_is_told_as_one_and_waiting_is_no_work(benchmarks):
    import pipeline_profile

    times = {
        "a:DecodeAndCropJpeg": 3.0,
        "b:Transpose": 1.0,
        "c:Add": 0.5,
        "d:Mul": 0.5,
        "CpuExecutable::ExecuteAsyncOnStream": 5.0,
        "main: some_fusion": 5.0,
        "next:IteratorGetNext": 10.0,
        "PrefetchProduce": 10.0,
    }
    assert pipeline_profile.spent(times) == {
        "compiled augmentation": 0.5,
        "decoding": 0.3,
        "transposes of resizing": 0.1,
        "other operators": 0.1,
    }


def test_onednn_is_off_in_one_process_and_on_in_the_other(benchmarks, monkeypatch):
    cases, race, page = benchmarks
    import kernels

    class Recorded:
        def __init__(self, contestant, case, python):
            self.call_s = {"0": 3.0, "1": 2.0}[os.environ[kernels.SWITCH]]

        def order(self, words):
            return {"seconds": [self.call_s]}

        def close(self):
            pass

    monkeypatch.setattr(race, "Runner", Recorded)
    monkeypatch.setenv(kernels.SWITCH, "1")
    found = kernels.measure(*kernels.WORKS[0], rounds=2, seconds=1.0)
    assert (found["own_s"], found["onednn_s"], found["gain"]) == (3.0, 2.0, 1.5)
    row = f"| {found['name']} | 3000 | 2000 | **1.50** |"
    assert row in page.kernels([found])


def test_cocos_figures_are_timed_and_compared(benchmarks, monkeypatch, tmp_path):
    import coco_evaluation

    out = tmp_path / "figures.json"
    words = ["coco_evaluation", "--images=4", "--rounds=1", f"--out={out}"]
    monkeypatch.setattr(sys, "argv", words)
    coco_evaluation.main()
    found = json.loads(out.read_text())
    medians = found["medians_s"]
    assert found["ratio"] == medians["pycocotools"] / medians["ours"]
    assert found["difference"] == 0


@pytest.mark.slow
def test_files_with_and_without_a_fixed_number_of_points_are_compared(
    benchmarks, monkeypatch, tmp_path, capsys
):
    import fixed_roi_align

    # Of a plane a bin is the value in its middle, by any points.
    rows, columns = np.mgrid[:16, :24].astype("float32")
    level = (3 * rows - columns)[None, ..., None]
    boxes = np.float32([[[8, 8, 40, 80], [4, 20, 60, 70]]])
    aligned = fixed_roi_align.with_points(2)([level], boxes, 7, [4])
    for (y0, x0, y1, x1), found in zip(boxes[0], aligned[0], strict=True):
        middle = (np.arange(7) + 0.5) / 7
        y = (y0 + (y1 - y0) * middle) / 4 - 0.5
        x = (x0 + (x1 - x0) * middle) / 4 - 0.5
        np.testing.assert_allclose(found[..., 0], 3 * y[:, None] - x, atol=1e-4)
    tiny_detector(classes=2).save(tmp_path / "model.keras")
    seen = dataclasses.asdict(dataclasses.replace(DETECTION_IMAGE, size_px=64))
    (tmp_path / "preprocessing.json").write_text(json.dumps(seen))
    data = write_coco(tmp_path / "data", content(4))
    words = [f"--model={tmp_path / 'model.keras'}", f"--data=coco:{data}", "--most=2"]
    monkeypatch.setattr(sys, "argv", ["fixed_roi_align", *words])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fixed_roi_align.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if ":" in line]
    assert sum(line.startswith(("adaptive: ", "fixed: ")) for line in lines) == 4


def test_a_missing_environment_is_named(benchmarks, tmp_path):
    cases, race, _ = benchmarks
    case = next(c for c in cases.CASES if c.suite == "gpu_rehearsal")
    nowhere = dict.fromkeys(case.contestants, tmp_path / "nowhere/python")
    with pytest.raises(race.Missing, match="nowhere"):
        race.Runner(case.contestants[0], case, nowhere[case.contestants[0]])


@pytest.mark.slow
@pytest.mark.parametrize("work", ["inference", "training"])
def test_the_mode_for_a_gpu_runs_on_a_processor(benchmarks, work, tmp_path):
    cases, race, page = benchmarks
    case = next(c for c in cases.CASES if (c.suite, c.work) == ("gpu_rehearsal", work))
    pythons = {name: Path(sys.executable) for name in case.contestants}
    pythons[cases.EAGER] = tmp_path / "no/python"
    result = race.run(case, pythons, rounds=1, seconds=0.1)
    assert set(result["missing"]) == {cases.EAGER}
    assert result["results"][cases.JAX]["median_s"] > 0
    assert "cpu" in result["results"][cases.JAX]["versions"]["device"].lower()
    # A processor with other threads beside may take longer; with fewer, never more.
    kernels = result["results"][cases.JAX]["kernels"]
    assert 0 < sum(kernels.values()) < 60
    assert any("fusion" in name for name in kernels)
    # What the page and its plot are made of.
    races = [json.loads(json.dumps({**result, "date": "2000-01-01"}))]
    page.plot(races, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert "did not take part" in "\n".join(page.figures(races[0]))


def test_a_profiler_that_fails_takes_no_figures_with_it(
    benchmarks, monkeypatch, capsys
):
    cases, race, _ = benchmarks

    class Recorded:
        def __init__(self, contestant, case, python):
            self.contestant, self.start = contestant, {"base_mb": 1.0}

        def order(self, words):
            if words == "profile" and self.contestant == "fails":
                raise race.Missing("no permission")
            return {"peak_mb": 2.0, "seconds": [1.0], "kernels": {"a": 0.5}}

        def close(self):
            pass

    monkeypatch.setattr(race, "Runner", Recorded)
    case = cases.Case("s", "training", "m", 1, ("fails", "works"), profiled=True)
    pythons = dict.fromkeys(case.contestants, ROOT)
    results = race.run(case, pythons, rounds=1, seconds=1.0)["results"]
    assert results["fails"]["median_s"] == results["works"]["median_s"] == 1.0
    assert results["works"]["kernels"] == {"a": 0.5}
    assert "fails has no profile: no permission" in capsys.readouterr().out


def test_a_cards_kernels_are_told_by_what_they_do(benchmarks):
    *_, page = benchmarks
    # Names as cuDNN, cuBLAS, XLA, Triton and CUDA give them.
    kernels = {
        "void cudnn::cnn::wgrad2d_grouped_direct_kernel<false, true>": 4e-3,
        "void cudnn::cnn::conv2d_c1_k1_nhwc_kernel<__nv_bfloat16>": 1e-3,
        "nvjet_tst_128x256_64x4_1x2_h_bz_TNT": 3e-3,
        "gemm_fusion_dot_12": 1e-3,
        "sm90_xmma_fprop_implicit_gemm_bf16": 2e-3,
        "loop_convert_fusion_3": 1e-3,
        "triton_per_fused__to_copy_convolution_native_layer_norm_0": 2e-3,
        "void at::native::elementwise_kernel<128, 4>": 1e-3,
        "Memcpy DtoD (Device -> Device)": 5e-4,
    }
    expected = {
        "depthwise convolutions": 5e-3,
        "matrix products": 4e-3,
        "other convolutions": 2e-3,
        "loops and sums": 4e-3,
        "copies": 5e-4,
    }
    assert page.by_kind(kernels) == pytest.approx(expected)
    race = on_a_card("training")
    assert page.profiles([race]) == []
    race["results"]["keras_convnext_jax"]["kernels"] = kernels
    lines = page.profiles([race])
    assert "| depthwise convolutions | 5.00 |" in lines
    assert any("`nvjet_tst_128x256_64x4_1x2_h_bz_TNT` 3.00" in line for line in lines)


def on_a_card(work, precision="mixed_bfloat16"):
    case = {
        "name": f"{work}, convnext_tiny",
        "work": work,
        "model": "convnext_tiny",
        "size_px": 224,
        "classes": 1000,
        "precision": precision,
    }
    figures = {"samples_per_s": 10_000.0, "device_peak_mb": 2_345.0}
    return {"case": case, "results": {"keras_convnext_jax": figures}}


@pytest.mark.parametrize(("work", "passes"), [("inference", 1), ("training", 3)])
def test_the_share_of_a_cards_arithmetic_is_told(benchmarks, work, passes):
    *_, page = benchmarks
    race = on_a_card(work)
    # The paper's 4.5 billion multiplications an image, two operations each, and
    # 989e12 operations a second.
    share = passes * 2 * 4.5e9 * 10_000 / 989e12
    found = page.utilization(race["case"], 10_000.0, "NVIDIA H200")
    assert found == pytest.approx(share, rel=0.02)
    assert f"| {found:.1%} | 2.35 |" in "\n".join(page.on_the_card([race], "an H200"))


def test_no_share_is_made_up_for_other_cards_and_types(benchmarks):
    *_, page = benchmarks
    race = on_a_card("inference")
    assert page.utilization(race["case"], 1.0, "NVIDIA T4") is None
    race = on_a_card("inference", precision="float32")
    assert page.utilization(race["case"], 1.0, "NVIDIA H200") is None
    assert "|  | 2.35 |" in "\n".join(page.on_the_card([race], "NVIDIA H200"))
