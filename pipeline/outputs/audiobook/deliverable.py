"""Deliverable: the audiobook, in the folder `book/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.config import Config
from pipeline.config.frozen import is_of_first_format
from pipeline.errors import PipelineError
from pipeline.outputs.dataset.shards import finished_shards
from pipeline.outputs.deliverable import Deliverable, FinishedRun
from pipeline.storage.run_directory import RunDirectory


class AudiobookDeliverable:
    """Make the audiobook of runs with task=audiobook."""

    paths = ("book/",)

    def applies(self, config: Config) -> bool:
        """See `Deliverable`."""
        return config.task.name == "audiobook"

    def make(self, run: FinishedRun) -> Mapping[str, Any]:
        """See `Deliverable`. Makes nothing if no clip was accepted."""
        if not any(shard.clips for shard in finished_shards(run.directory)):
            return {}
        from pipeline.outputs.audiobook.from_run import make_run_book  # imports scipy, which takes a second

        return make_run_book(run.directory, run.config, run.head, run.narrator, run.warn)

    def problems(self, run: FinishedRun) -> Iterator[str]:
        """See `Deliverable`. If the clips are damaged or of run format 1, only the lengths are compared."""
        if not RunDirectory(run.directory).book.is_dir():
            return
        if run.is_whole and not is_of_first_format(run.directory):
            from pipeline.outputs.audiobook.from_run import book_problems  # imports PyAV and scipy

            try:
                yield from book_problems(run.directory, run.config, run.head, run.narrator)
            except PipelineError as error:
                yield f"book/: cannot be compared with the clips: {error}"
        else:
            from pipeline.outputs.audiobook.verify_audio import audio_problems  # imports PyAV

            yield from audio_problems(RunDirectory(run.directory).book)


AUDIOBOOK: Deliverable = AudiobookDeliverable()
