"""What is done again and again while the server runs."""

from __future__ import annotations

import threading
from collections.abc import Callable

from .errors import Refusal


class Poller:
    """A thread that does the same thing again and again."""

    def __init__(
        self, work: Callable[[], None], seconds: float, say: Callable[[str], None]
    ):
        """Begins, unless there is nothing to wait for.

        Args:
            work: What is done.
            seconds: How long to wait before each time; 0 for never doing it.
            say: Is told why it could not be done, once for each reason.
        """
        self._work = work
        self._seconds = seconds
        self._say = say
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="poller", daemon=True)
        if seconds:
            self._thread.start()

    def stop(self, longest_s: float | None = None) -> None:
        """Returns when the thread has ended, or the time is up.

        Args:
            longest_s: How long to wait; without end if `None`.
        """
        self._stop.set()
        if self._seconds:
            self._thread.join(longest_s)

    def _poll(self) -> None:
        said = ""
        while not self._stop.wait(self._seconds):
            reason = ""
            try:
                self._work()
            except OSError:
                # A file may vanish while it is looked at; the next look will see that.
                continue
            except Refusal as refusal:
                reason = str(refusal)
            if reason and reason != said:
                self._say(reason)
            said = reason
