"""What holds for every test: no log noise, no screen and, if asked, a budget."""

from __future__ import annotations

import gc
import os
import time

import pytest

# Before anything imports TensorFlow or matplotlib.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# What the commands choose for themselves: a test and the processes that it starts then
# round alike.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


# Its multiples, without their whole parts, spread evenly over 0..1.
GOLDEN_RATIO = (5**0.5 - 1) / 2
HAS_RUN = pytest.StashKey[bool]()


class TimeBudget:
    """Skips every test that would begin after the budget is spent, and names them."""

    def __init__(self, budget_s: float):
        self.budget_s = budget_s
        self.ends_at = time.monotonic() + budget_s
        self.reason = f"the time budget of {budget_s:.0f} s is spent"

    def pytest_runtest_setup(self) -> None:
        if time.monotonic() > self.ends_at:
            pytest.skip(self.reason)

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        # By the reports, which come from all of xdist's workers.
        left_out = [
            report.nodeid
            for report in terminalreporter.getreports("skipped")
            if report.longrepr[-1].endswith(self.reason)
        ]
        terminalreporter.section("time budget")
        if not left_out:
            terminalreporter.line(f"Every test ran within {self.budget_s:.0f} s.")
            return
        terminalreporter.line(
            f"{len(left_out)} tests were NOT RUN: the budget of "
            f"{self.budget_s:.0f} s was spent before their turn."
        )
        for nodeid in left_out:
            terminalreporter.line(f"  not run: {nodeid}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--time-budget",
        type=float,
        metavar="SECONDS",
        help="begin no test after this many seconds; say which were not run",
    )
    parser.addoption(
        "--turn",
        type=int,
        metavar="NUMBER",
        help="begin with another test file for every number, so that each comes first",
    )


def pytest_configure(config: pytest.Config) -> None:
    budget_s = config.getoption("--time-budget")
    if budget_s is not None:
        config.pluginmanager.register(TimeBudget(budget_s), "time-budget")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Rotates the files by the turn; successive turns start far from each other."""
    turn = config.getoption("--turn")
    files = list(dict.fromkeys(item.path for item in items))
    if turn is None or not files:
        return
    first = int(turn * GOLDEN_RATIO * len(files)) % len(files)
    place = {path: i for i, path in enumerate(files[first:] + files[:first])}
    items.sort(key=lambda item: place[item.path])


def pytest_collection_finish() -> None:
    """Takes what exists by now, half a million objects, out of the collector's sight.

    Every collection would walk through it again, half a second each time.
    """
    gc.collect()
    gc.freeze()


def pytest_runtest_call(item: pytest.Item) -> None:
    item.stash[HAS_RUN] = True


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Lets go of a slow test's models, which are the large ones.

    A Keras model refers to itself, so that only the collector ends it; and that goes
    by the number of objects, not by the hundreds of megabytes that one may hold.
    """
    if item.get_closest_marker("slow") and HAS_RUN in item.stash:
        gc.collect()
