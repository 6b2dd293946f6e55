"""The files in docs/clusters/ name every process; the schedulers are stood in for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from training import main
from training.engine import cluster
from training.engine.cluster import Cluster

ROOT = Path(__file__).resolve().parents[3]
FILES = ROOT / "docs" / "clusters"
# In place of the trainer: notes what the process was told, and ends as the test says.
TRAINER = f"""#!{sys.executable}
import json, os, sys
line = json.dumps([os.environ["TF_CONFIG"], sys.argv[1:]])
open(os.environ["TOLD"] + "/" + str(os.getpid()), "w").write(line)
sys.exit(int(os.environ["STATUS"]))
"""
# As `man scontrol` and `man srun` say: a name a line; a process a node, and the
# highest exit code of them.
SCONTROL = """#!/bin/bash
echo "$@" >>"$TOLD/scontrol"
if [ "$1 $2 $3" = "show hostnames node[07-08]" ]; then echo node07; echo node08; fi
"""
SRUN = """#!/bin/bash
while [ "${1#--}" != "$1" ]; do shift; done
status=0
for number in 0 1; do
    SLURM_PROCID=$number "$@" || status=$?
done
exit $status
"""


def run(tmp_path, command, programs, **environment):
    """Runs a command that finds these programs; returns what the trainers were told."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    told = tmp_path / "told"
    told.mkdir(exist_ok=True)
    variables = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "TOLD": str(told),
        "STATUS": "0",
        **environment,
    }
    done = subprocess.run(command, env=variables, check=False)
    lines = [json.loads(f.read_text()) for f in told.glob("[0-9]*")]
    return done.returncode, sorted(lines)


@pytest.mark.parametrize(("status", "again"), [(0, 0), (143, 1), (75, 1), (2, 0)])
def test_slurm_names_each_node_and_requeues_what_left_a_checkpoint(
    tmp_path, status, again
):
    code, told = run(
        tmp_path,
        ["bash", FILES / "slurm.sh", "--recipe=demo", "--set=seed=1 2"],
        {"scontrol": SCONTROL, "srun": SRUN, "python": TRAINER},
        SLURM_JOB_NODELIST="node[07-08]",
        SLURM_JOB_ID="42",
        STATUS=str(status),
    )
    assert code == status
    assert [cluster.read({"TF_CONFIG": text}) for text, _ in told] == [
        Cluster(0, 2),
        Cluster(1, 2),
    ]
    assert json.loads(told[0][0])["cluster"] == {
        "worker": ["node07:12345", "node08:12345"]
    }
    flags = ["-m", "training.main", "--recipe=demo", "--set=seed=1 2"]
    assert [words for _, words in told] == [flags, flags]
    asked = (tmp_path / "told" / "scontrol").read_text().splitlines()
    assert asked.count("requeue 42") == again


def jobs():
    yaml = pytest.importorskip("yaml")
    documents = yaml.safe_load_all((FILES / "kubeflow.yaml").read_text())
    return {document["metadata"]["name"]: document["spec"] for document in documents}


def test_kubeflows_variables_become_tf_config(tmp_path):
    trainer = jobs()["convnext-tensorflow"]["trainer"]
    for number in range(3):
        # As the JAX plugin of Kubeflow Trainer 2.3 sets them.
        address = "convnext-tensorflow-node-0-0.convnext-tensorflow:29400"
        code, told = run(
            tmp_path,
            [*trainer["command"], *trainer["args"]],
            {"keras-convnext-train": TRAINER},
            JAX_NUM_PROCESSES="3",
            JAX_PROCESS_ID=str(number),
            JAX_COORDINATOR_ADDRESS=address,
        )
        assert code == 0
    assert [cluster.read({"TF_CONFIG": text}) for text, _ in told] == [
        Cluster(number, 3) for number in range(3)
    ]
    assert json.loads(told[0][0])["cluster"]["worker"] == [
        address,
        address.replace("node-0-0", "node-0-1"),
        address.replace("node-0-0", "node-0-2"),
    ]
    assert [words for _, words in told] == [trainer["args"]] * 3


def test_the_flags_of_every_file_are_those_of_the_trainer():
    commands = [job["trainer"]["args"] for name, job in jobs().items() if "-" in name]
    service = (FILES / "keras-convnext.service").read_text().replace("\\\n", "")
    (line,) = (x for x in service.splitlines() if x.startswith("ExecStart="))
    commands.append(line.split()[1:])
    assert len(commands) == 3
    for flags in commands:
        assert main.options()(["train", *flags]) == ["train"]
