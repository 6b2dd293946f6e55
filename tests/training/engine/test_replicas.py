"""Replicas that train together drop different rows and mix different pairs."""

import itertools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
BATCH = 16
# To be run in a process of its own: logical processors cannot be made later, nor can
# the workers of a cluster.
PROGRAM = f"""
import sys
from keras_convnext import _cli
_cli.import_tensorflow()
import numpy as np
import tensorflow as tf
import keras_convnext
from training import data
from training.engine import cluster, distribution
from training.recipes.augmentation import Augmentation
devices, out = sys.argv[1:]
processes = cluster.read()
strategy = distribution.make_strategy(distribution.parse(devices), processes)
with strategy.scope():
    model = keras_convnext.create(
        "test_convnext2", input_shape=(16, 16, 3), patch_size=2, classes=3, seed=1,
        classifier_activation=None, layer_scale_init_value=1.0,
        stochastic_depth_rate=0.5,
    )
# Every image is a class of its own, so that a soft label says what was mixed.
count = {BATCH}
images = np.zeros((count, 16, 16, 3), np.uint8)
source = data.from_arrays(
    *(images, np.arange(count)) * 2, [str(number) for number in range(count)]
)
share = lambda worker, workers: source.train(
    count, epoch=0, seed=0, augment=Augmentation(mixup=0.8, cutmix=1.0),
    worker=worker, workers=workers,
)
_, labels = next(iter(distribution.distribute(share, strategy, processes)))
parts = strategy.experimental_local_results(labels)
alike = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3)).astype(np.float32)
outputs = tf.function(lambda: strategy.run(lambda: model(alike, training=True)))()
np.savez(
    out,
    labels=np.stack([part.numpy() for part in parts]),
    outputs=np.stack(
        [part.numpy() for part in strategy.experimental_local_results(outputs)]
    ),
)
"""


def on_four_devices(folder):
    command = [sys.executable, "-c", PROGRAM, "cpu:4", str(folder / "four.npz")]
    subprocess.run(command, check=True, cwd=ROOT)
    with np.load(folder / "four.npz") as made:
        return dict(made)


def on_two_workers(folder):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(2)]
    addresses = [f"localhost:{held.getsockname()[1]}" for held in sockets]
    for held in sockets:
        held.close()
    processes = []
    for index in range(2):
        config = {
            "cluster": {"worker": addresses},
            "task": {"type": "worker", "index": index},
        }
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        environment["TF_CONFIG"] = json.dumps(config)
        command = [sys.executable, "-c", PROGRAM, "all", str(folder / f"{index}.npz")]
        processes.append(subprocess.Popen(command, cwd=ROOT, env=environment))
    assert [process.wait(timeout=600) for process in processes] == [0, 0]
    made = [np.load(folder / f"{index}.npz") for index in range(2)]
    return {name: np.concatenate([one[name] for one in made]) for name in made[0]}


def pairs(labels):
    """Which image each row has the more of, and which the less."""
    order = np.argsort(-labels, axis=1)
    return {tuple(row) for row in order[:, :2].tolist()}


@pytest.mark.slow
@pytest.mark.parametrize("made_by", [on_four_devices, on_two_workers])
def test_replicas_drop_different_rows_and_mix_different_pairs(tmp_path, made_by):
    made = made_by(tmp_path)
    labels, outputs = made["labels"], made["outputs"]
    replicas = len(labels)
    assert replicas == {"on_four_devices": 4, "on_two_workers": 2}[made_by.__name__]
    assert labels.shape == (replicas, BATCH // replicas, BATCH)
    # All of them are mixed, and every image leads or follows somewhere.
    assert ((labels > 0).sum(axis=2) == 2).all()
    for one, other in itertools.combinations(range(replicas), 2):
        assert not pairs(labels[one]) & pairs(labels[other])
        # The same weights saw the same images: only what was dropped differs.
        differ = (outputs[one] != outputs[other]).any(axis=1)
        # Two blocks drop with 0.5 and with less; a row alike in both is rare enough.
        assert differ.mean() > 0.25
