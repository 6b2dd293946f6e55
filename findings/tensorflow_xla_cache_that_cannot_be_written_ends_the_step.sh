#!/usr/bin/env bash
# Behavior: where TensorFlow's cache of XLA programs (the flag
#   tf_xla_persistent_cache_directory) cannot be read or written, the compiled function
#   itself fails, although its program has been compiled.
# Guess: a cache is a help: TensorFlow warns and goes on without it, as JAX does, whose
#   compilation cache in the same place costs a warning.
# Hurts: training runs whose cache can no longer be written, on a share that went away
#   for instance: hours later a new shape, such as the last batch's, ends the run.
# Seen: 2026-11-30, tensorflow 2.21.0: FailedPreconditionError with a file in the
#   folder's place; jax 0.10.2: the right answer.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet tensorflow==2.21.0 jax==0.10.2
cat >cache.py <<'PYTHON'
import os
import shutil
import warnings
from importlib.metadata import version
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
cache = Path("cache")
cache.mkdir()
os.environ["TF_XLA_FLAGS"] = f"--tf_xla_persistent_cache_directory={cache.absolute()}"

import jax
import numpy as np
import tensorflow as tf

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_compilation_cache_dir", str(cache.absolute()))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def ask(compiled, size):
    try:
        return f"{float(np.sum(compiled(np.ones(size, np.float32)))):.4f}"
    except tf.errors.OpError as error:
        return type(error).__name__


found = {}
for name, compiled in (
    ("tensorflow", tf.function(lambda x: tf.sin(x) + tf.exp(x), jit_compile=True)),
    ("jax", jax.jit(lambda x: jax.numpy.sin(x) + jax.numpy.exp(x))),
):
    with_folder = ask(compiled, 10)
    # From now on nothing can be written there.
    shutil.rmtree(cache)
    cache.touch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        without = ask(compiled, 20)
    cache.unlink()
    cache.mkdir()
    found[name] = with_folder, without
    print(name, version(name), "with the folder", with_folder, "without", without)
right = [f"{size * (np.sin(1) + np.e):.4f}" for size in (10, 20)]
assert found["jax"] == tuple(right), (found, right)
assert found["tensorflow"][0] == right[0], (found, right)
assert "Error" in found["tensorflow"][1], found
PYTHON
venv/bin/python cache.py
