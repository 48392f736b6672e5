"""What is made of accepted clips: the shards of a dataset with its card, and the audiobook."""

from pipeline.outputs.deliverable import DELIVERABLES, Deliverable, FinishedRun

__all__ = ["DELIVERABLES", "Deliverable", "FinishedRun"]
