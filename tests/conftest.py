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


class TimeBudget:
    """Skips every test that would begin after the budget is spent, and counts them."""

    def __init__(self, budget_s: float):
        self.budget_s = budget_s
        self.ends_at = time.monotonic() + budget_s
        self.left_out: list[str] = []

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if time.monotonic() > self.ends_at:
            self.left_out.append(item.nodeid)
            pytest.skip(f"the time budget of {self.budget_s:.0f} s is spent")

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        terminalreporter.section("time budget")
        if not self.left_out:
            terminalreporter.line(f"Every test ran within {self.budget_s:.0f} s.")
            return
        terminalreporter.line(
            f"{len(self.left_out)} tests were NOT RUN: the budget of "
            f"{self.budget_s:.0f} s was spent before their turn."
        )
        for nodeid in self.left_out:
            terminalreporter.line(f"  not run: {nodeid}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--time-budget",
        type=float,
        metavar="SECONDS",
        help="begin no test after this many seconds; say which were not run",
    )


def pytest_configure(config: pytest.Config) -> None:
    budget_s = config.getoption("--time-budget")
    if budget_s is not None:
        config.pluginmanager.register(TimeBudget(budget_s), "time-budget")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Lets go of a slow test's models, which are the large ones.

    A Keras model refers to itself, so that only the collector ends it; and that goes
    by the number of objects, not by the hundreds of megabytes that one may hold.
    """
    if item.get_closest_marker("slow"):
        gc.collect()
