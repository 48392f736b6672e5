"""Predict the speed of a run from the key `speed`, or from an earlier run with the same settings.

If the output folder has no such run, the speed is not known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.config.frozen import frozen_config, run_directory
from pipeline.errors import PipelineError
from pipeline.reporting.journal import WorkerSession, read_journals
from pipeline.storage.paths import is_local, read_json
from pipeline.storage.run_directory import CONFIG_NAME, RunDirectory

_MAX_RUNS = 50  # runs to read, newest first
_MIN_SECONDS = 10.0  # of audio; shorter runs do not use the devices fully
_ENOUGH_SECONDS = 60.0  # of audio; the newest run with at least this much is used, otherwise the longest run


@dataclass(frozen=True)
class Speed:
    """Speed of all devices together, and where it was measured."""

    ratio: float  # seconds of audio per second of generation
    run: str = ""  # directory of the measured run; "": set by the key `speed`
    device: str = ""
    measured_seconds: float = 0.0  # audio of the measured run

    def __str__(self) -> str:
        if not self.run:
            return f"at speed={self.ratio:g}"
        return f"at {self.ratio:.2f}x real time, measured with {self.measured_seconds:.0f} s of audio in {self.run}"


def find_speed(config: Config) -> Speed | None:
    """Return the expected speed; None if it is not known."""
    if config.speed is not None:
        return Speed(config.speed)
    found = [speed for run_dir in _runs(run_directory(config)) if (speed := _measured(run_dir, config))]
    long_enough = (speed for speed in found if speed.measured_seconds >= _ENOUGH_SECONDS)
    return next(long_enough, max(found, key=lambda speed: speed.measured_seconds, default=None))


def _runs(run_dir: Path) -> list[Path]:
    """Return the run itself, if it exists, then the other runs in its folder, newest first."""
    outputs = run_dir.parent
    if not is_local(outputs) or not outputs.is_dir():
        return []
    configs = outputs.glob(f"*/{CONFIG_NAME}")
    newest = sorted(configs, key=lambda path: (path.parent.name == run_dir.name, _changed(path)), reverse=True)
    return [path.parent for path in newest[:_MAX_RUNS]]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # deleted meanwhile, or not readable
        return 0.0


def _measured(run_dir: Path, config: Config) -> Speed | None:
    """Return the speed of a run, if its model and its settings of engine and executor are the same."""
    try:
        if _settings(frozen_config(run_dir)) != _settings(config):
            return None
    except PipelineError:  # damaged, or of another version
        return None
    found = _reported(run_dir) or _journalled(run_dir)
    return found if found and found.measured_seconds >= _MIN_SECONDS else None


def _settings(config: Config) -> dict[str, Any]:
    """Return the settings that affect the speed."""
    values = asdict(config)
    engine = {key: value for key, value in values["engine"].items() if key != "sampling"}
    model = config.model.path or config.model.name
    return {"model": model, "engine": engine} | {
        key: values["executor"][key] for key in ("kind", "devices", "workers", "gpus_per_worker")
    }


def _reported(run_dir: Path) -> Speed | None:
    """Return the speed of the last command, from the report of a finished run."""
    try:
        report = read_json(RunDirectory(run_dir).report)
        audio, wall = float(report["session"]["audio_seconds"]), float(report["session"]["wall_seconds"])
        return _speed(run_dir, audio, wall, str(report["model"]["device"]))
    except (OSError, ValueError, TypeError, KeyError, OverflowError):  # not finished, or of another version
        return None


def _journalled(run_dir: Path) -> Speed | None:
    """Return the speed of the last session of each worker, from the journals of an unfinished run."""
    try:
        workers = read_journals(run_dir).workers
    except OSError:
        return None
    spans = [span for worker in workers if worker.sessions for span in _spans(worker.sessions[-1])]
    ratio = sum(audio / elapsed for audio, elapsed, _ in spans)
    audio = sum(audio for audio, _, _ in spans)
    devices = ", ".join(sorted({device for _, _, device in spans}))
    return _speed(run_dir, audio, audio / ratio, devices) if ratio else None


def _spans(session: WorkerSession) -> Iterator[tuple[float, float, str]]:
    """Yield (audio seconds, elapsed seconds, device) from the first to the last progress line.

    The time before the first progress line is excluded, because it includes loading the model.
    """
    if len(session.points) > 1:
        first, last = session.points[0], session.points[-1]
        elapsed, audio = last.elapsed - first.elapsed, last.counts.audio_seconds - first.counts.audio_seconds
        if elapsed > 0 and audio > 0:
            yield audio, elapsed, session.device


def _speed(run_dir: Path, audio: float, wall: float, device: str) -> Speed | None:
    ratio = audio / wall if wall > 0 else 0.0
    return Speed(ratio, str(run_dir), device, audio) if math.isfinite(ratio) and ratio > 0 else None
