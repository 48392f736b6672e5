"""Judges an exported voice on held-out sentences, through the pipeline, beside the codec alone and the teacher."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch

from pipeline.config import SamplingConfig
from pipeline.seeds import content_seed
from pipeline.synthesis import build_synthesizer
from pipeline.types import Finish
from pipeline.types import Utterance as Request
from scripts.voice.codec import Codes
from scripts.voice.decoder import Example
from scripts.voice.descriptions import default_description
from scripts.voice.judges import SAMPLING_RATE, Judges, Samples, word_error_rate
from scripts.voice.lines import Line

_SILENT = 10 ** (-60 / 20)  # of full scale
_PRINTED = 10
_BATCH = 16


@dataclass(frozen=True)
class Heard:
    """One clip and what the judges say of it."""

    line: Line
    heard: str
    seconds: float
    naturalness: float
    voiceprint: Any
    silent: bool
    runaway: bool


def evaluate(
    model: Path,
    chosen: Sequence[Example],
    teacher: Sequence[Samples],
    rate: int,
    folder: Path,
    sampling: SamplingConfig,
) -> dict[str, Any]:
    """Judges teacher, codec and voice; prints and writes `evaluation.json`, and the first clips of each as sound.

    Args:
        model: The exported folder.
        chosen: Held-out sentences with their codes.
        teacher: The teacher's samples of these sentences.
        rate: Sampling rate of all samples, in Hz.
        folder: Where the results go.
        sampling: Of the voice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    judges = Judges()
    report: dict[str, Any] = {}
    spoken = {"teacher": ((samples, False) for samples in teacher), "codec": _through_codec(model, chosen)}
    for name, clips in spoken.items():
        report[name], _ = _judge(judges, name, chosen, clips, rate, folder)
    began = time.monotonic()
    voice = list(_through_decoder(model, chosen, sampling))
    elapsed = time.monotonic() - began
    report["voice"], heard = _judge(judges, "voice", chosen, voice, rate, folder)
    seconds = sum(len(samples) for samples, _ in voice) / rate
    report["voice"]["times_real_time"] = round(seconds / elapsed, 2)
    report["voice"] |= {"temperature": sampling.temperature, "top_k": sampling.top_k}
    report["first_sentences"] = [
        {"text": one.line.text, "heard": one.heard, "seconds": round(one.seconds, 2)} for one in heard[:_PRINTED]
    ]
    (folder / "evaluation.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1), flush=True)
    return report


def _through_codec(model: Path, chosen: Sequence[Example]) -> Iterator[tuple[Samples, bool]]:
    from pipeline.synthesis import upstream

    codec = upstream.load(model, attention="sdpa", dtype=torch.float32, device=torch.device("cpu")).audio_encoder
    for example in chosen:
        with torch.inference_mode():
            samples = codec.decode(audio_codes=_rows_of(example.codes)).audio_values[0]
        yield samples.numpy(), False


def _rows_of(codes: Codes) -> torch.Tensor:
    return torch.from_numpy(codes.astype(np.int64).T)[None]  # [1, K, T]


def _through_decoder(
    model: Path, chosen: Sequence[Example], sampling: SamplingConfig
) -> Iterator[tuple[Samples, bool]]:
    """In the order given, though the engine is asked for them by length."""
    requests = [
        Request(
            prompt=example.utterance.line.text,
            description=default_description(example.utterance.line),
            seed=content_seed("evaluation", example.utterance.line.text),
            id=str(i),
        )
        for i, example in enumerate(chosen)
    ]
    synthesizer = build_synthesizer(str(model.resolve()), batch_size=_BATCH, sampling=sampling)
    by_length = sorted(requests, key=lambda request: len(request.prompt))
    clips = {clip.utterance.id: clip for clip in synthesizer.generate(by_length)}
    for request in requests:
        clip = clips[request.id]
        yield clip.samples, clip.finish is Finish.MAX_FRAMES


def _judge(
    judges: Judges, name: str, chosen: Sequence[Example], clips: Any, rate: int, folder: Path
) -> tuple[dict[str, Any], list[Heard]]:
    results = []
    for i, (example, (samples, runaway)) in enumerate(zip(chosen, clips, strict=True)):
        if i < _PRINTED:
            soundfile.write(folder / f"{name}-{i}.flac", samples, rate)
        at_judges = soxr.resample(samples, rate, SAMPLING_RATE).astype(np.float32)
        silent = len(at_judges) < SAMPLING_RATE // 10 or float(np.abs(at_judges).max()) < _SILENT
        results.append(
            Heard(
                line=example.utterance.line,
                heard="" if silent else judges.hear(at_judges),
                seconds=len(samples) / rate,
                naturalness=1.0 if silent else judges.naturalness(at_judges),
                voiceprint=None if silent else judges.voiceprint(at_judges),
                silent=silent,
                runaway=runaway,
            )
        )
    return _summary(results), results


def _summary(results: Sequence[Heard]) -> dict[str, Any]:
    within, across = _similarities(results)
    paces = {}
    for pace in sorted({one.line.pace for one in results}):
        of_pace = [one for one in results if one.line.pace == pace]
        paces[pace] = round(sum(len(one.line.text) for one in of_pace) / sum(one.seconds for one in of_pace), 2)
    return {
        "sentences": len(results),
        "word_error_rate": round(word_error_rate([(one.line.text, one.heard) for one in results]), 4),
        "distillmos": round(float(np.mean([one.naturalness for one in results])), 3),
        "similarity_within_speakers": within,
        "similarity_across_speakers": across,
        "silent": sum(one.silent for one in results),
        "runaway": sum(one.runaway for one in results),
        "characters_per_second_by_pace": paces,
    }


def _similarities(results: Sequence[Heard]) -> tuple[float | None, float | None]:
    """Mean similarity of two clips of one speaker, and of two speakers; None where there are no two."""
    within: list[float] = []
    across: list[float] = []
    for one, other in combinations([one for one in results if one.voiceprint is not None], 2):
        same = one.line.speaker == other.line.speaker
        (within if same else across).append(float(one.voiceprint @ other.voiceprint))
    return _mean(within), _mean(across)


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None
