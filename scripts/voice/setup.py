"""The beginning of a folder in which a voice is made: what it is made with, and the checkpoint that it goes on from.

Refuses what does not fit together, before anything is rendered or trained.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from scripts.voice.recipe import Recipe

WORKSHOP = "workshop"  # folder of a checkpoint for what is needed beside it to train it further

# What may change in a folder that has been begun: how it is trained, not what.
_FREE_KEYS = (
    *("steps", "decoder_steps", "adversarial_from", "learning_rate", "warm_up_steps", "save_seconds"),
    *("batch", "batch_positions", "crop_frames", "heard_hours", "corrupted", "guidance", "spelled", "max_seconds"),
    *("temperature", "top_k", "ending"),
)


def begin(folder: Path, recipe: Recipe, teacher: str, start: Path | None = None) -> None:
    """Note in `folder` what it is made with, and put there what belongs to the checkpoint that it goes on from.

    Raises:
        ConfigError: It was begun with something else, or the checkpoint has another shape.
    """
    fixed = {"teacher": teacher} | _flat(asdict(recipe))
    path = folder / "recipe.json"
    if path.exists():
        before, after = json.loads(path.read_text()), json.loads(json.dumps(fixed))
        fixed_keys = [key for key in after if key in before and key.rpartition(".")[2] not in _FREE_KEYS]
        changed = [key for key in fixed_keys if before[key] != after[key]]
        if changed:
            raise ConfigError(
                f"{folder}: begun with {changed[0]}={before[changed[0]]}, now {after[changed[0]]}; "
                "give the same preset and teacher as before, or another folder"
            )
    if start is not None:
        _check_shape(start, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    if start is not None and not (folder / "quantizer").exists():
        shutil.copy(start / WORKSHOP / "lexicon.json", folder)
        shutil.copytree(start / WORKSHOP / "quantizer", folder / "quantizer")
    path.write_text(json.dumps(fixed, indent=1) + "\n")


def _check_shape(start: Path, recipe: Recipe) -> None:
    """Refuse a checkpoint whose weights do not fit the recipe."""
    if not (start / WORKSHOP).is_dir():
        raise ConfigError(f"{start}: no checkpoint with a folder {WORKSHOP}; give one that the stage export wrote")
    config = json.loads((start / "config.json").read_text(encoding="utf-8"))
    codec, decoder = config["audio_encoder"], config["decoder"]
    shape = {
        "codec.sampling_rate": codec["sampling_rate"],
        "codec.ratios": codec["downsampling_ratios"],
        "codec.hidden": codec["codebook_dim"],
        "codec.decoder_hidden": codec["decoder_hidden_size"],
        "codec.codebooks": codec["n_codebooks"],
        "codec.codebook_size": codec["codebook_size"],
        "decoder.hidden": decoder["hidden_size"],
        "decoder.layers": decoder["num_hidden_layers"],
        "decoder.ffn": decoder["ffn_dim"],
    }
    wanted = json.loads(json.dumps(_flat(asdict(recipe)))) | {"codec.codebooks": recipe.codec.codebooks}
    for key, value in shape.items():
        if wanted[key] != value:
            raise ConfigError(f"{start}: has {key}={value}, the preset {wanted[key]}; give the preset that made it")


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
