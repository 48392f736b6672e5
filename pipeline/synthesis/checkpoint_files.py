"""Read and validate the files of a checkpoint folder, before any weight is loaded.

`config.json`, `generation_config.json` and the headers of weight files are untrusted: they are read as data, never as
code, and every value that the pipeline relies on is checked here. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.synthesis.json_section import Section, read_object

TEXT_ENCODERS = ("t5", "mt5", "umt5")
CODECS = ("dac", "dac_on_the_hub")
_TOKENIZER_PATTERNS = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model")
_TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_SINGLE_FILE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_CODEBOOK_SIZE = 1024  # of all published codecs
_DEFAULT_MAX_LENGTH = 2580  # of the published checkpoints: 30 s
_MAX_LISTED = 5  # names in an error message
_MAX_RATIOS = 8
_MIN_POSITIVE = 1e-6  # of a temperature or a probability
_LOADING_KEYS = ("auto_map", "attn_implementation", "torch_dtype", "pruned_heads")  # say how to load the model

# Sampling settings that no backend implements, each with the value that has no effect.
_UNSUPPORTED = {
    "num_beams": 1,
    "num_beam_groups": 1,
    "guidance_scale": 1,
    "repetition_penalty": 1,
    "no_repeat_ngram_size": 0,
    "typical_p": 1,
    "min_p": None,
    "epsilon_cutoff": 0,
    "eta_cutoff": 0,
    "penalty_alpha": None,
    "exponential_decay_length_penalty": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "bad_words_ids": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "sequence_bias": None,
    "encoder_repetition_penalty": 1,
    "encoder_no_repeat_ngram_size": 0,
    "diversity_penalty": 0,
    "watermarking_config": None,
    "stop_strings": None,
}


@dataclass(frozen=True)
class GenerationSettings:
    """Settings of generation_config.json, completed by config.json and the defaults of transformers."""

    bos: int
    eos: int
    pad: int
    decoder_start: int
    max_length: int = _DEFAULT_MAX_LENGTH  # steps, including the start step
    min_new_tokens: int = 0  # steps before the first end of sequence may be drawn
    do_sample: bool | None = None  # None: not given; likewise below
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    unsupported: tuple[str, ...] = ()  # settings that are ignored, as key=value


def read_config(folder: Path) -> dict[str, Any]:
    """Read and validate config.json, without the keys that say how to load the model (attention, remote code).

    Raises:
        ModelError: The file is missing, not a JSON object, of another kind of model, or has a value that is not valid.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder}: no config.json; a Parler-TTS checkpoint has config.json and model.safetensors")
    config = _without_loading_keys(read_object(path))
    if config.get("model_type") != "parler_tts":
        raise ModelError(f"{path}: model_type is {config.get('model_type')!r}, not 'parler_tts': another kind of model")
    if "quantization_config" in config:
        raise ModelError(f"{path}: quantized weights are not supported; give the checkpoint before quantization")
    for part in ("text_encoder", "audio_encoder", "decoder"):
        if not isinstance(config.get(part), dict):
            raise ModelError(f"{path}: {part} is missing or not an object; the file is damaged, download it again")
    _check_config(Section(path, config))
    return config


def read_generation(folder: Path, config: Mapping[str, Any]) -> GenerationSettings:
    """Read and validate generation_config.json, which may be missing.

    Args:
        folder: Of the checkpoint.
        config: As returned by `read_config`; it has the values that generation_config.json leaves out.

    Raises:
        ModelError: The file is not a JSON object, or has a value that is not valid.
    """
    path = folder / "generation_config.json"
    given = read_object(path) if path.is_file() else {}
    section, decoder = Section(path, given), config["decoder"]
    ids = _special_ids(section, given, config)
    if given.get("max_new_tokens") is not None:
        max_length = section.integer("max_new_tokens", 1) + 1
    else:
        max_length = section.integer("max_length", 1, default=_DEFAULT_MAX_LENGTH)
    if max_length <= decoder["num_codebooks"]:
        raise ModelError(f"{path}: max_length={max_length} leaves no frame for {decoder['num_codebooks']} codebooks")
    min_new_tokens = section.integer("min_new_tokens", 0, default=0)
    if not min_new_tokens and given.get("min_length"):
        min_new_tokens = section.integer("min_length", 0) - 1
    return GenerationSettings(
        bos=ids["bos_token_id"],
        eos=ids["eos_token_id"],
        pad=ids["pad_token_id"],
        decoder_start=ids["decoder_start_token_id"],
        max_length=max_length,
        min_new_tokens=min(max(min_new_tokens, 0), max_length - 1),
        do_sample=section.optional("do_sample", bool),
        temperature=section.within("temperature", 0 if given.get("do_sample") is False else _MIN_POSITIVE, 1e6),
        top_k=section.optional("top_k", int, 0),
        top_p=section.within("top_p", _MIN_POSITIVE, 1.0),
        unsupported=tuple(
            f"{key}={ascii(given[key])[:40]}"
            for key, neutral in _UNSUPPORTED.items()
            if given.get(key) not in (None, neutral)
        ),
    )


def weight_files(folder: Path) -> list[Path]:
    """Return the weight files of a checkpoint: `model.safetensors`, or those that its index names.

    Raises:
        ModelError: There are none, one is missing, or the index names files that are not safetensors.
    """
    if (folder / _SINGLE_FILE).is_file():
        return [folder / _SINGLE_FILE]
    index = folder / _INDEX
    if not index.is_file():
        found = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8])
        hint = "; weights as .bin are pickles, which are never read" if any(folder.glob("*.bin")) else ""
        raise ModelError(f"{folder}: no weights; {_SINGLE_FILE} is missing (the folder contains {found}){hint}")
    file_of = read_object(index).get("weight_map")
    if not isinstance(file_of, dict) or not file_of or not all(isinstance(name, str) for name in file_of.values()):
        raise ModelError(f"{index}: no weight_map; the file is damaged, download it again")
    names = sorted(set(file_of.values()))
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ModelError(f"{index}: it names {name!r}; weights are read from safetensors files of the folder only")
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise ModelError(
            f"{folder}: {len(missing)} of {len(names)} files of weights are missing ({_listed(missing)}); the download "
            "or copy was interrupted: repeat it"
        )
    return [folder / name for name in names]


def tokenizer_files(folder: Path) -> list[Path]:
    """Return the files of the tokenizer in a folder; an empty list if there is none."""
    files = sorted({path for pattern in _TOKENIZER_PATTERNS for path in folder.glob(pattern) if path.is_file()})
    return files if any(path.name not in _TOKENIZER_SETTINGS for path in files) else []


def weight_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of all tensors of a checkpoint, from the headers of its files."""
    return {name: shape for path in weight_files(folder) for name, shape in _shapes(path).items()}


def check_weights(folder: Path, config: Mapping[str, Any]) -> None:
    """Compare the shapes in the headers of the weight files with config.json, without reading the weights.

    It finds truncated files and a config that belongs to other weights before gigabytes are read.

    Raises:
        ModelError: A file is damaged, or a shape differs from the config.
    """
    shapes = weight_shapes(folder)
    decoder, text_encoder = config["decoder"], config["text_encoder"]
    layers = _count(shapes, "decoder.model.decoder.layers.")
    counts = [
        ("decoder.num_hidden_layers", decoder["num_hidden_layers"], layers),
        ("text_encoder.num_layers", text_encoder["num_layers"], _count(shapes, "text_encoder.encoder.block.")),
        ("decoder.num_codebooks", decoder["num_codebooks"], _count(shapes, "decoder.model.decoder.embed_tokens.")),
    ]
    for key, expected_count, found in counts:
        if expected_count != found:
            raise ModelError(
                f"{folder}: config.json has {key}={expected_count}, but the weights have {found}; download both again"
            )
    width = decoder["hidden_size"]
    expected = {
        "embed_prompts.weight": (config["vocab_size"], width),
        "text_encoder.shared.weight": (text_encoder["vocab_size"], text_encoder["d_model"]),
        "decoder.model.decoder.embed_tokens.0.weight": (decoder["vocab_size"] + 1, width),
        "decoder.model.decoder.layers.0.fc1.weight": (decoder["ffn_dim"], width),
    }
    if not decoder.get("rope_embeddings"):
        expected["decoder.model.decoder.embed_positions.weights"] = (decoder["max_position_embeddings"], width)
    for name, shape in expected.items():
        if name in shapes and shapes[name] != shape:
            raise ModelError(f"{folder}: {name} has the shape {shapes[name]}, and config.json says {shape}")


def _codebook_size(config: Mapping[str, Any]) -> int:
    return int(config["audio_encoder"].get("codebook_size") or _CODEBOOK_SIZE)


def _special_ids(section: Section, given: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, int]:
    """Return the special ids of generation_config.json, or else of config.json."""
    decoder = config["decoder"]
    ids = {}
    for key, fallback in (
        ("bos_token_id", decoder.get("bos_token_id")),
        ("eos_token_id", decoder.get("eos_token_id")),
        ("pad_token_id", decoder.get("pad_token_id")),
        ("decoder_start_token_id", config.get("decoder_start_token_id") or decoder.get("bos_token_id")),
    ):
        value = given.get(key) if given.get(key) is not None else fallback
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        ids[key] = section.check(key, value, int, _codebook_size(config), decoder["vocab_size"])
    return ids


def _check_config(config: Section) -> None:
    config.integer("vocab_size", 1)
    text_encoder, codec, decoder = (config.part(part) for part in ("text_encoder", "audio_encoder", "decoder"))
    text_encoder.choice("model_type", TEXT_ENCODERS)
    for key in ("vocab_size", "d_model", "d_ff", "d_kv", "num_layers", "num_heads"):
        text_encoder.integer(key, 1)
    codec.choice("model_type", CODECS)
    codebook_size = codec.integer("codebook_size", 1, default=_CODEBOOK_SIZE)
    codec.integer("sampling_rate", 1_000, default=44_100)
    ratios = codec.optional("downsampling_ratios", list)
    if ratios is not None and not 1 <= len(ratios) <= _MAX_RATIOS:
        raise ModelError(f"{codec.path}: audio_encoder.downsampling_ratios={ratios!r:.60}; give 1 to {_MAX_RATIOS}")
    for ratio in ratios if ratios is not None else [2, 4, 8, 8]:
        codec.check("downsampling_ratios", ratio, int, 1, 1_000)
    for key in ("hidden_size", "ffn_dim", "num_hidden_layers", "num_attention_heads", "num_codebooks"):
        decoder.integer(key, 1)
    vocabulary = decoder.integer("vocab_size", codebook_size + 1)
    decoder.integer("max_position_embeddings", 1, default=2048)
    heads, width = decoder.integer("num_attention_heads", 1), decoder.integer("hidden_size", 1)
    for key in ("num_key_value_heads", "num_cross_attention_key_value_heads"):
        if heads % decoder.integer(key, 1, default=heads):
            raise ModelError(f"{decoder.path}: decoder.num_attention_heads={heads} is not a multiple of decoder.{key}")
    if width % heads:
        raise ModelError(f"{decoder.path}: decoder.hidden_size={width} is not a multiple of {heads} heads")
    for key in ("eos_token_id", "bos_token_id", "pad_token_id"):
        decoder.check(key, decoder.optional(key, int), int, codebook_size, vocabulary)
    quantizers = max(codec.integer(key, 0, default=0) for key in ("num_codebooks", "n_codebooks"))
    codebooks = decoder.integer("num_codebooks", 1)
    if quantizers and quantizers < codebooks:
        raise ModelError(f"{decoder.path}: decoder.num_codebooks={codebooks}, and the codec has only {quantizers}")


def _without_loading_keys(config: dict[str, Any]) -> dict[str, Any]:
    """Drop the keys that say how to load a model: an attention that may not run here, code of the checkpoint."""
    return {
        key: _without_loading_keys(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in _LOADING_KEYS and not key.startswith("_attn_implementation")
    }


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the tensors in the header of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  # not a mapping
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged or not safetensors ({error}); download it again") from error


def _count(shapes: Mapping[str, Any], prefix: str) -> int:
    """Count the different path elements that follow a prefix, e.g. layers."""
    return len({name[len(prefix) :].partition(".")[0] for name in shapes if name.startswith(prefix)})


def _listed(names: list[str]) -> str:
    rest = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {rest} more" if rest > 0 else "")
