"""Output of commands with `json=true`: one JSON object on one line. `docs/dry_run.md` documents the keys."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.outputs.dataset.verify import VerifyReport
from pipeline.reporting.progress import show
from pipeline.reporting.status import Status

_MAX_FAILURES = 100  # failures in the output; the latest ones are kept


def show_json(values: Mapping[str, Any]) -> None:
    """Print a JSON object in ASCII, so that no string in it can control a terminal or cause an encoding error."""
    show(json.dumps(_finite(values), allow_nan=False))


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not support, by None; a damaged manifest may contain them."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def status_values(status: Status) -> dict[str, Any]:
    """Return the values of `task=status`."""
    head = status.head
    return {
        "run": status.directory,
        "state": _state(status),
        "shards_planned": head.num_shards if head else None,
        "shards_finished": status.done,
        "utterances_planned": head.num_utterances if head else None,
        "clips": status.clips,
        "rejected": status.rejects,
        "rejected_by_reason": dict(status.reasons.most_common()),
        "audio_seconds": status.audio_seconds,
        "audio_seconds_predicted": head.predicted_seconds if head else None,
        "speed": status.rate or None,
        "seconds_left": status.seconds_left,
        "workers": _workers(status),
        "num_failures": len(status.history.failures),
        "failures": [vars(failure) for failure in status.history.failures[-_MAX_FAILURES:]],
        "damage": list(status.damage),
    }


def verify_values(report: VerifyReport) -> dict[str, Any]:
    """Return the values of `task=verify`."""
    return {
        "is_whole": not report.problems,
        "problems": list(report.problems),
        "shards_planned": report.num_shards,
        "utterances_planned": report.num_planned,
        "clips": report.num_written,
        "rejected": report.num_rejected,
        "audio_seconds": report.audio_seconds,
        "deep": report.deep,
    }


def _state(status: Status) -> str:
    """Return the state as one word; `docs/dry_run.md` lists the values."""
    if any(holder.is_alive is not False for holder in status.holders):
        return "planning" if status.num_staged else "working"
    if status.head is None:
        return "damaged" if status.damage else "unplanned"
    if status.done < status.head.num_shards:
        return "stopped"
    return "finished" if status.is_complete and not status.holders else "unfinished"


def _workers(status: Status) -> list[dict[str, Any]]:
    failures = Counter(failure.worker for failure in status.history.failures)
    live = {worker.worker for worker, _ in status.live_sessions}
    return [
        {
            "name": worker.worker,
            "device": worker.sessions[-1].device or None,
            "host": worker.sessions[-1].host,
            "is_working": worker.worker in live,
            "speed": worker.sessions[-1].rate() if worker.worker in live else None,
            "shards": sum(len(session.shards) for session in worker.sessions),
            "starts": len(worker.sessions),
            "failures": failures[worker.worker],
            "last_seen_seconds_ago": max(0.0, status.now - worker.sessions[-1].last_seen),
        }
        for worker in status.history.workers
        if worker.sessions
    ]
