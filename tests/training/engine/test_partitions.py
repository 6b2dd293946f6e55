"""Workers on several hosts: each in a network namespace of its own, on one bridge.

Needs Linux, root and iproute2, and is skipped without them.
"""

import os
import signal
import subprocess
import time
from dataclasses import dataclass

import numpy as np
import pytest

from tests.checks import write_arrays
from tests.training.engine.workers import finish, newest, start

PORT = 12345
# Twelve epochs of six steps: time to cut a cable in.
RUN = ("--set=global_batch=6", "--set=epochs=12")


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def inside(namespace, *words):
    ip("netns", "exec", namespace, *words)


@dataclass
class Network:
    """Hosts whose cables end in one switch."""

    name: str
    hosts: int

    def start(self, data, workdir, *more):
        addresses = [f"10.77.0.{11 + i}:{PORT}" for i in range(self.hosts)]
        return [
            start(
                data,
                workdir,
                {
                    "cluster": {"worker": addresses},
                    "task": {"type": "worker", "index": index},
                },
                *RUN,
                *more,
                host=("ip", "netns", "exec", f"{self.name}h{index}"),
            )
            for index in range(self.hosts)
        ]

    def plug(self, host, state):
        inside(f"{self.name}s", "ip", "link", "set", f"p{host}", state)


@pytest.fixture
def make_network():
    made = []

    def make(hosts):
        name = f"kc{os.getpid()}"
        switch = f"{name}s"
        try:
            ip("netns", "add", switch)
            made.append(switch)
            inside(switch, "ip", "link", "add", "br0", "type", "bridge")
            inside(switch, "ip", "link", "set", "br0", "up")
            for i in range(hosts):
                host = f"{name}h{i}"
                ip("netns", "add", host)
                made.append(host)
                ends = ("v0", "netns", host, "type", "veth", "peer", "name", f"p{i}")
                ip("link", "add", *ends, "netns", switch)
                inside(switch, "ip", "link", "set", f"p{i}", "master", "br0", "up")
                inside(host, "ip", "addr", "add", f"10.77.0.{11 + i}/24", "dev", "v0")
                inside(host, "ip", "link", "set", "v0", "up")
                inside(host, "ip", "link", "set", "lo", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no network namespaces here: {error}")
        return Network(name, hosts)

    yield make
    for namespace in made:
        ip("netns", "del", namespace)


@pytest.fixture
def data(tmp_path):
    return write_arrays(tmp_path / "data.npz", train=40, test=11)


def epochs(workdir):
    file = workdir / "history.csv"
    return len(file.read_text().splitlines()) - 1 if file.exists() else 0


def wait_for_epoch(workdir, processes, count):
    ends = time.monotonic() + 400
    while epochs(workdir) < count:
        assert time.monotonic() < ends, "no epoch came to its end"
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


def assert_equals_one_process(workdir, data, tmp_path):
    finish([start(data, tmp_path / "one", None, *RUN)])
    one, several = newest(tmp_path / "one"), newest(workdir)
    assert one.keys() == several.keys()
    for name, array in one.items():
        # 72 steps; the sums over the batch are taken in another order.
        np.testing.assert_allclose(several[name], array, atol=1e-5, err_msg=name)


def lines_of_the_lost(processes, seconds):
    """What each says last, once all have ended by themselves."""
    ends = time.monotonic() + seconds
    outputs = [p.communicate(timeout=ends - time.monotonic()) for p in processes]
    assert [process.returncode for process in processes] == [75] * len(processes)
    return [stderr.splitlines()[-1] for _, stderr in outputs]


@pytest.mark.slow
def test_a_cut_of_seconds_heals_and_a_lost_host_is_replaced(
    make_network, tmp_path, data
):
    network, run = make_network(2), tmp_path / "run"
    processes = network.start(data, run)
    wait_for_epoch(run, processes, 1)
    network.plug(1, "down")
    time.sleep(1)
    before = epochs(run)
    time.sleep(3)
    assert epochs(run) == before < 12  # they wait for each other
    network.plug(1, "up")
    wait_for_epoch(run, processes, before + 1)
    processes[1].kill()
    processes[1].communicate()
    [told] = lines_of_the_lost(processes[:1], seconds=60)
    assert told.startswith("train: error: another of the 2 workers is gone or cannot")
    assert epochs(run) < 12
    finish(network.start(data, run))
    assert_equals_one_process(run, data, tmp_path)


@pytest.mark.slow
def test_all_say_in_a_line_that_one_is_cut_off_and_the_restart_goes_on(
    make_network, tmp_path, data
):
    network, run = make_network(3), tmp_path / "run"
    processes = network.start(data, run)
    wait_for_epoch(run, processes, 1)
    # A host that stalls for seconds is waited for.
    processes[1].send_signal(signal.SIGSTOP)
    time.sleep(3)
    processes[1].send_signal(signal.SIGCONT)
    wait_for_epoch(run, processes, epochs(run) + 1)
    network.plug(2, "down")
    for told in lines_of_the_lost(processes, seconds=60):
        assert told.startswith("train: error: another of the 3 workers is gone or")
        assert told.endswith("they resume from the newest checkpoint")
    assert epochs(run) < 12
    network.plug(2, "up")
    finish(network.start(data, run))
    assert_equals_one_process(run, data, tmp_path)
