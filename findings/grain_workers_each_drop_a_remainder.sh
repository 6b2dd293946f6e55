#!/usr/bin/env bash
# Behavior: grain.DataLoader batches inside each worker process: drop_remainder drops one
#   remainder for each worker, and with few records all of them. Which records share a
#   batch depends on worker_count, too.
# Guess: worker_count is about speed; drop_remainder drops less than one batch in all.
# Hurts: training on small sets with many workers: images that are never seen, or epochs
#   without a step and without a message.
# Seen: 2026-11-28, grain 0.2.18, numpy 2.4.6: of 30 records in batches of 10, all are
#   seen with no or one worker, 20 with 2 and none at all with 4.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet grain==0.2.18 numpy==2.4.6
cat >count.py <<'PYTHON'
from importlib.metadata import version

import grain.python as grain
from absl import app


class Records:
    """Thirty records: the numbers 0 to 29."""

    def __len__(self) -> int:
        return 30

    def __getitem__(self, index: int) -> int:
        return index


def count_seen(worker_count: int) -> int:
    """How many records arrive in batches of ten."""
    sampler = grain.IndexSampler(
        30, shard_options=grain.NoSharding(), shuffle=False, num_epochs=1
    )
    loader = grain.DataLoader(
        data_source=Records(),
        sampler=sampler,
        operations=[grain.Batch(10, drop_remainder=True)],
        worker_count=worker_count,
    )
    return sum(len(batch) for batch in loader)


def main(_: list[str]) -> None:
    print("grain", version("grain"), "numpy", version("numpy"))
    seen = {workers: count_seen(workers) for workers in (0, 1, 2, 4)}
    for workers, records in seen.items():
        print(f"worker_count={workers}: {records} records seen of 30; guess: 30")
    if seen != {0: 30, 1: 30, 2: 20, 4: 0}:
        raise SystemExit("the behavior has changed")


if __name__ == "__main__":
    app.run(main)  # grain reads its flags in the workers
PYTHON
venv/bin/python count.py
