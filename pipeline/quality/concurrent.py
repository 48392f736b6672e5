"""Run the checks of clips in a thread beside the synthesis.

The queue is bounded: if the checks are slower than the synthesis, the synthesis waits. Findings do not depend on the
batches in which clips are checked.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

from pipeline.quality.check import Checker, Finding
from pipeline.types import Clip

__all__ = ["ConcurrentChecker"]

_MAX_BATCH = 16  # clips that are checked together


class ConcurrentChecker:
    """Checks clips in the background, or at once if all checks are fast."""

    def __init__(self, checker: Checker, max_waiting: int) -> None:
        """Start the thread, if one is needed.

        Args:
            checker: The checks, loaded. The caller closes it.
            max_waiting: Maximum number of clips in the queue.
        """
        self._checker = checker
        self._waiting: queue.Queue[Clip | None] = queue.Queue(max_waiting)
        self._done: queue.Queue[list[tuple[Clip, Finding]] | BaseException] = queue.Queue()
        self._num_pending = 0
        self._thread: threading.Thread | None = None
        if not checker.is_fast:
            self._thread = threading.Thread(target=self._run, name="checks", daemon=True)
            self._thread.start()

    @property
    def num_pending(self) -> int:
        """Number of clips whose findings were not yet returned."""
        return self._num_pending

    def submit(self, clip: Clip) -> None:
        """Queue a clip; wait while the queue is full."""
        self._num_pending += 1
        if self._thread is None:
            [finding] = self._checker.inspect([clip])
            self._done.put([(clip, finding)])
            return
        while True:
            try:
                self._waiting.put(clip, timeout=1.0)
                return
            except queue.Full:
                if not self._thread.is_alive():  # it failed: `findings` raises its error
                    return

    def findings(self, wait: bool) -> Iterator[tuple[Clip, Finding]]:
        """Yield the clips that were checked since the last call, with their findings.

        Args:
            wait: If no clip is checked yet but some are pending, wait for the first one.

        Raises:
            Exception: An error of a check, as it was raised.
        """
        while self._num_pending:
            try:
                done = self._done.get(block=wait)
            except queue.Empty:
                return
            if isinstance(done, BaseException):
                raise done
            wait = False
            self._num_pending -= len(done)
            yield from done

    def close(self) -> None:
        """Discard pending clips and end the thread."""
        if self._thread is None:
            return
        while self._thread.is_alive():
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                self._waiting.put(None)
                self._thread.join(timeout=1.0)

    def _run(self) -> None:
        try:
            while (clip := self._waiting.get()) is not None:
                batch, is_end = [clip], False
                while len(batch) < _MAX_BATCH and not is_end:
                    try:
                        following = self._waiting.get_nowait()
                    except queue.Empty:
                        break
                    is_end = following is None
                    batch += [] if following is None else [following]
                self._done.put(list(zip(batch, self._checker.inspect(batch), strict=True)))
                if is_end:
                    return
        except BaseException as error:
            self._done.put(error)
