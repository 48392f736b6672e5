"""Puts the trained halves together into a checkpoint folder that plain parler_tts loads, and writes its model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline.synthesis import upstream

_CARD = Path(__file__).with_name("model_card.md")


def export(model: Any, codec: Any, tokenizer: Any, folder: Path, dtype: torch.dtype = torch.float16) -> float:
    """Write the checkpoint, made of the trained `model` and the trained `codec`. Returns its size in MB.

    The weights are checked to survive `dtype`, and are stored under the names that upstream gives them.
    """
    plain = upstream.ParlerTTSForConditionalGeneration(model.config)
    plain.load_state_dict(model.state_dict())
    plain.audio_encoder.load_state_dict(codec.state_dict())
    plain.generation_config = model.generation_config
    largest = max(float(parameter.detach().abs().max()) for parameter in plain.parameters())
    if not largest < torch.finfo(dtype).max:
        raise ValueError(f"a weight of {largest:g} cannot be stored as {dtype}")
    plain.to(dtype).save_pretrained(folder, safe_serialization=True, max_shard_size="15MB")
    tokenizer.save_pretrained(folder)
    rules = folder / "tokenizer.json"  # whose indents would be a third of it
    known = json.loads(rules.read_text(encoding="utf-8"))
    rules.write_text(json.dumps(known, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    rate = codec.config.sampling_rate
    (folder / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": rate}) + "\n")
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def write_card(folder: Path, facts: Mapping[str, object], speakers: Sequence[str], report: Mapping[str, Any]) -> None:
    """Fill in the model card. `report` is the evaluation, or empty before there is one."""
    names = {"teacher": "teacher", "codec": "codec alone", "voice": "this checkpoint"}
    rows = [
        f"| {names[kind]} | {100 * report[kind]['word_error_rate']:.1f} % | {report[kind]['distillmos']:.2f} "
        f"| {report[kind]['similarity_within_speakers']} | {report[kind]['silent']} | {report[kind]['runaway']} |"
        for kind in names
        if kind in report
    ]
    count = report["voice"]["sentences"] if report else 0
    head = (
        f"On {count} held-out sentences:\n\n| | WER (whisper-tiny.en) | DistillMOS | similarity | silent | runaway |\n"
        "|---|---|---|---|---|---|\n"
    )
    values = {
        "speakers": ", ".join(speakers),
        "facts": "\n".join(f"| {key} | {value} |" for key, value in facts.items()),
        "figures": head + "\n".join(rows) + _counted(report) + _verdict(report) if rows else "Not evaluated yet.",
    }
    (folder / "README.md").write_text(_CARD.read_text(encoding="utf-8").format(**values), encoding="utf-8")


def _counted(report: Mapping[str, Any]) -> str:
    counted, teacher = report["counted"], report["counted_teacher"]
    return (
        f"\n\nOf {counted['sentences']} further sentences {counted['silent']} were silent, {counted['runaway']} ran "
        f"into the limit, {counted['shorter_than_half']} were shorter than half and {counted['longer_than_twice']} "
        f"longer than twice the length expected; of {teacher['sentences']} others that the teacher spoke "
        f"{teacher['silent']} were silent, {teacher['shorter_than_half']} shorter and {teacher['longer_than_twice']} "
        "longer than that."
    )


def _verdict(report: Mapping[str, Any]) -> str:
    """What a word error rate that is not good means to a listener."""
    rate = report["voice"]["word_error_rate"]
    if rate > 0.5:
        return "\n\nMost of its words are not understood: this is a stage of a training that is to go on."
    return "\n\nMany of its words are not understood yet." if rate > 0.15 else ""
