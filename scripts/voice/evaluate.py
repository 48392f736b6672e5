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
import torch

from pipeline.config import SamplingConfig
from pipeline.planning import predict_seconds
from pipeline.seeds import content_seed
from pipeline.synthesis import Synthesizer, build_synthesizer
from pipeline.types import Clip, Finish
from pipeline.types import Utterance as Request
from scripts.voice.codec import Codes, with_places
from scripts.voice.decoder import Example
from scripts.voice.descriptions import default_description
from scripts.voice.judges import SAMPLING_RATE, Judges, Samples, resampled, word_error_rate
from scripts.voice.manifest import Line

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


@dataclass(frozen=True)
class EvaluationSet:
    """What a voice is judged by."""

    chosen: Sequence[Example]  # held-out sentences with their codes
    teacher: Sequence[Samples]  # the teacher's samples of these sentences
    counted: Sequence[Line]  # many more sentences, of which the failures of the voice are counted
    taught: Sequence[tuple[Line, Samples]]  # as many by the teacher, for comparison; not the same sentences
    rate: int  # of all samples, in Hz


def evaluate(model: Path, by: EvaluationSet, folder: Path, sampling: SamplingConfig) -> dict[str, Any]:
    """Judge teacher, codec and voice; print and write `evaluation.json`, and the first clips of each as FLAC.

    Args:
        model: The exported folder.
        by: What the voice is judged by.
        folder: Where the results are written.
        sampling: Of the voice.
    """
    chosen, rate = by.chosen, by.rate
    folder.mkdir(parents=True, exist_ok=True)
    judges = Judges()
    report: dict[str, Any] = {}
    spoken = {"teacher": ((samples, False) for samples in by.teacher), "codec": _through_codec(model, chosen)}
    for name, clips in spoken.items():
        report[name], _ = _judge(judges, by, clips, folder / name)
    synthesizer = build_synthesizer(str(model.resolve()), batch_size=_BATCH, sampling=sampling)
    made = _clips(synthesizer, [example.utterance.line for example in chosen])
    voice = ((clip.samples, clip.finish is Finish.MAX_FRAMES) for clip in made)
    report["voice"], heard = _judge(judges, by, voice, folder / "voice")
    report["voice"] |= {"temperature": sampling.temperature, "top_k": sampling.top_k}
    report["counted"] = _speak_and_count(synthesizer, by.counted)
    report["counted_teacher"] = _count([line for line, _ in by.taught], [samples for _, samples in by.taught], rate)
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
    return torch.from_numpy(with_places(codes).T)[None]  # [1, K, T]


def _clips(synthesizer: Synthesizer, lines: Sequence[Line]) -> list[Clip]:
    """In the order given, though the engine is asked for them by length."""
    requests = [
        Request(line.text, default_description(line), seed=content_seed("evaluation", line.text), id=str(i))
        for i, line in enumerate(lines)
    ]
    by_length = sorted(requests, key=lambda request: len(request.prompt))
    return sorted(synthesizer.generate(by_length), key=lambda clip: int(clip.utterance.id))


def _speak_and_count(synthesizer: Synthesizer, lines: Sequence[Line]) -> dict[str, Any]:
    """What went wrong in many sentences, and how fast they were spoken."""
    began = time.monotonic()
    clips = _clips(synthesizer, lines)
    elapsed = time.monotonic() - began
    return {
        **_count(lines, [clip.samples for clip in clips], synthesizer.info.sampling_rate),
        "runaway": sum(clip.finish is Finish.MAX_FRAMES for clip in clips),
        "times_real_time": round(sum(clip.seconds for clip in clips) / elapsed, 2),
    }


def _count(lines: Sequence[Line], spoken: Sequence[Samples], rate: int) -> dict[str, Any]:
    """How many of these are silent, or far from the length that their text lets expect."""
    ratios = [
        len(samples) / rate / (predict_seconds(line.text) / line.speed)
        for line, samples in zip(lines, spoken, strict=True)
    ]
    return {
        "sentences": len(spoken),
        "silent": sum(_is_silent(samples, rate) for samples in spoken),
        "shorter_than_half": sum(ratio < 0.5 for ratio in ratios),
        "longer_than_twice": sum(ratio > 2 for ratio in ratios),
    }


def _is_silent(samples: Samples, rate: int) -> bool:
    return len(samples) < rate // 10 or float(np.abs(samples).max()) < _SILENT


def _judge(judges: Judges, by: EvaluationSet, clips: Any, prefix: Path) -> tuple[dict[str, Any], list[Heard]]:
    results, rate = [], by.rate
    for i, (example, (samples, runaway)) in enumerate(zip(by.chosen, clips, strict=True)):
        if i < _PRINTED:
            soundfile.write(prefix.with_name(f"{prefix.name}-{i}.flac"), samples, rate)
        at_judges = resampled(samples, rate)
        silent = _is_silent(at_judges, SAMPLING_RATE)
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
    speakers = {}
    for speaker in dict.fromkeys(one.line.speaker for one in results):
        of_speaker = [one for one in results if one.line.speaker == speaker]
        speakers[speaker] = {"word_error_rate": _word_error_rate(of_speaker), "distillmos": _distillmos(of_speaker)}
    paces = {}
    for pace in sorted({one.line.pace for one in results}):
        of_pace = [one for one in results if one.line.pace == pace]
        paces[pace] = round(sum(len(one.line.text) for one in of_pace) / sum(one.seconds for one in of_pace), 2)
    return {
        "sentences": len(results),
        "word_error_rate": _word_error_rate(results),
        "distillmos": _distillmos(results),
        "by_speaker": speakers,
        "similarity_within_speakers": within,
        "similarity_across_speakers": across,
        "silent": sum(one.silent for one in results),
        "runaway": sum(one.runaway for one in results),
        "characters_per_second_by_pace": paces,
    }


def _word_error_rate(results: Sequence[Heard]) -> float:
    return round(word_error_rate([(one.line.text, one.heard) for one in results]), 4)


def _distillmos(results: Sequence[Heard]) -> float:
    return round(float(np.mean([one.naturalness for one in results])), 3)


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
