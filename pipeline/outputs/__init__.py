"""Everything that is made of accepted clips.

`deliverable` has the protocol and the registry of what a finished run makes: `dataset` writes the shards and the card,
`audiobook` the chapters, the m4b and the subtitles. Both can verify their files.
"""

from pipeline.outputs.deliverable import DELIVERABLES, Deliverable, FinishedRun

__all__ = ["DELIVERABLES", "Deliverable", "FinishedRun"]
