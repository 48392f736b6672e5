"""Every published checkpoint: found as a user types it, loaded whole, and spoken with, from its replica.

The replicas lie in a hub cache that is used offline. `tests/replicas.py` says what they share with the originals.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
import torch
from engine_cases import assert_same, by_id
from replicas import LARGE, MINI, MULTILINGUAL, REPLICAS, Publisher, Replica, ids, old_names
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pipeline.__main__ import main
from pipeline.config import ModelConfig
from pipeline.config.compose import compose_config
from pipeline.errors import ModelError
from pipeline.outputs.dataset.shards import finished_shards
from pipeline.planning.plan_store import read_shard_plan
from pipeline.synthesis import build_synthesizer, upstream
from pipeline.synthesis.checkpoint import find_checkpoint
from pipeline.synthesis.tokenizers import load_tokenizers
from pipeline.types import Bucket, Utterance

CPU = torch.device("cpu")
REFERENCES = {
    "eager": {"attention": "eager"},
    "sdpa": {"attention": "sdpa"},
    "static cache": {"attention": "sdpa", "cache": "static"},
}
each_replica = pytest.mark.parametrize("replica", REPLICAS, ids=ids(REPLICAS))
BOOK = "# The Lamp\n\n## Oil\n\nThe lamp was lit at last.\n\n## Wick\n\nThe wick was trimmed, for it had smoked.\n"


@pytest.fixture(scope="module", autouse=True)
def narrow_codec() -> Iterator[None]:
    """Make upstream's own codec narrow: at its published width it has 75 million weights."""
    from functools import partial

    from parler_tts.dac_wrapper import modeling_dac

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modeling_dac, "DAC", partial(modeling_dac.DAC, encoder_dim=4, decoder_dim=64))
        yield


@pytest.fixture(scope="module")
def hub() -> Iterator[Publisher]:
    """An offline cache of the hub."""
    from huggingface_hub import constants

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        yield Publisher(Path(os.environ["HF_HOME"]))


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "lamp.md"
    path.write_text(BOOK, encoding="utf-8")
    return path


def model_arguments(replica: Replica) -> list[str]:
    """The arguments that choose a checkpoint."""
    revision = [] if replica.ref == "main" else [f"model.revision={replica.ref}"]
    return [f"model={replica.group}", *revision]


def found(replica: Replica) -> ModelConfig:
    return compose_config(model_arguments(replica)).model


def utterances(count: int = 3) -> list[Utterance]:
    texts = ("Yes, it is.", "The lamp was lit at last, and the wick was trimmed.", "Who goes there?")
    return [
        Utterance(text, "A calm voice, very close and clear.", seed=seed, id=str(seed))
        for seed, text in enumerate(texts[:count])
    ]


@each_replica
def test_the_name_that_is_typed_finds_the_checkpoint(replica: Replica, hub: Publisher) -> None:
    """Guards the config groups against a wrong repository, revision or limit."""
    snapshot = hub.publish(replica)
    checkpoint = find_checkpoint(found(replica))
    assert checkpoint.folder == snapshot
    assert checkpoint.revision == replica.commit
    assert (checkpoint.sampling_rate, checkpoint.num_codebooks) == (44_100, 9)
    assert checkpoint.max_frames == replica.max_length - 9
    assert checkpoint.generation.min_new_tokens == (replica.min_new_tokens or 0)
    assert checkpoint.generation.do_sample is True
    assert not checkpoint.generation.unsupported
    assert (checkpoint.description_tokenizer is not None) == replica.has_llama_tokenizer
    by_id = find_checkpoint(ModelConfig(name="x", path=replica.repository, revision=replica.ref))
    assert by_id.folder == snapshot


@each_replica
def test_every_weight_comes_from_the_files(replica: Replica, hub: Publisher) -> None:
    """Bug: the first convolution of large-v1's codec stayed random, because its two tensors are in different files."""
    snapshot = hub.publish(replica)
    model = upstream.load(snapshot, attention="sdpa", dtype=torch.float32, device=CPU)
    state = {old_names(name) if replica.names is old_names else name: t for name, t in model.state_dict().items()}
    saved = {name: tensor for path in snapshot.glob("*.safetensors") for name, tensor in load_file(path).items()}
    assert set(state) - set(saved) == {"text_encoder.encoder.embed_tokens.weight"}  # shared with another one
    assert all(torch.equal(state[name], tensor) for name, tensor in saved.items())
    own = (model.decoder.config._attn_implementation, model.text_encoder.config._attn_implementation)
    assert own == ("sdpa", "eager")


@pytest.mark.parametrize("backend", ["engine", "reference"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_in_two_shards_speak_the_same(backend: str, dtype: str, hub: Publisher, tmp_path: Path) -> None:
    """Bug: large-v1 generated noise, with both backends."""
    split = hub.publish(LARGE)
    whole = shutil.copytree(split, tmp_path / "whole", ignore=shutil.ignore_patterns("*.safetensors*"))
    tensors = {name: tensor for path in split.glob("*.safetensors") for name, tensor in load_file(path).items()}
    save_file(tensors, whole / "model.safetensors")
    clips = [
        by_id(build_synthesizer(str(folder), backend=backend, device="cpu", dtype=dtype).generate(utterances(1)))
        for folder in (split, whole)
    ]
    assert_same(*clips, tolerance=0.0)


@each_replica
@pytest.mark.parametrize("settings", REFERENCES.values(), ids=REFERENCES)
def test_the_engine_is_the_reference(replica: Replica, settings: dict[str, str], hub: Publisher) -> None:
    """Guards the engine with the peculiarities of each published checkpoint, against the reference."""
    hub.publish(replica)
    checkpoint = find_checkpoint(found(replica))
    reference = build_synthesizer(checkpoint, backend="reference", device="cpu", **settings)
    expected = by_id(clip for utterance in utterances() for clip in reference.generate([utterance]))
    engine = build_synthesizer(checkpoint, device="cpu")
    assert_same(by_id(engine.generate(utterances())), expected, tolerance=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")  # of torch's own compiler
def test_a_compiled_reference_speaks_too(hub: Publisher) -> None:
    """Guards the static cache and compilation with a published checkpoint."""
    hub.publish(MINI)
    checkpoint = find_checkpoint(found(MINI))
    plain, compiled = (
        build_synthesizer(checkpoint, backend="reference", device="cpu", cache="static", compile=mode)
        for mode in ("none", "default")
    )
    row = dataclasses.replace(utterances(1)[0], bucket=Bucket(32, 32, 120, 1))
    assert_same(by_id(compiled.generate([row])), by_id(plain.generate([row])), tolerance=1e-3)


@each_replica
def test_a_book_a_dataset_a_preview_and_a_dry_run(
    replica: Replica, hub: Publisher, book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards the first command of a user with every checkpoint: it ends with audio."""
    hub.publish(replica)
    out = book.parent / "out"
    common = [*model_arguments(replica), f"output_dir={out}", "checks.length_ratio=0"]
    assert main([*common, f"input={book}", "dry_run=true"]) == 0
    assert not out.exists()
    assert "estimated" not in capsys.readouterr().err, "tokens are counted with the checkpoint's own tokenizers"

    assert main([*common, f"input={book}", "name=book"]) == 0
    assert list((out / "book" / "book").glob("*.m4b"))
    card = (out / "book" / "README.md").read_text(encoding="utf-8")
    assert replica.repository in card
    assert replica.commit in card

    rows = book.with_suffix(".jsonl")
    rows.write_text('{"text": "The lamp was lit."}\n{"text": "It smoked a little."}\n', encoding="utf-8")
    assert main([*common, "task=dataset", f"input={rows}", "name=rows"]) == 0
    assert sum(len(manifest.clips) for manifest in finished_shards(out / "rows")) == 2

    assert main([*common, "task=preview", "text=Hello there, and welcome.", "name=hello"]) == 0
    info = soundfile.info(out / "hello.wav")
    assert info.samplerate == 44_100
    assert info.duration > 0.01
    told = capsys.readouterr().err
    for noise in ("weight_norm", "add_prefix_space", "legacy behaviour", "byte fallback", "Some weights"):
        assert noise not in told


def test_a_copy_of_the_folder_is_the_same_checkpoint(hub: Publisher, tmp_path: Path, book: Path) -> None:
    """Guards model=./folder on machines without a cache, also with a description tokenizer in the folder."""
    copy = shutil.copytree(hub.publish(MULTILINGUAL), tmp_path / "my-multilingual")
    shutil.copytree(hub.publish_t5(), copy / "description_tokenizer")
    checkpoint = find_checkpoint(ModelConfig(name="mine", path=str(copy)))
    assert checkpoint.description_tokenizer == copy / "description_tokenizer"
    ours = by_id(build_synthesizer(checkpoint, device="cpu").generate(utterances(1)))
    published = find_checkpoint(found(MULTILINGUAL))
    assert_same(ours, by_id(build_synthesizer(published, device="cpu").generate(utterances(1))), tolerance=0.0)


@pytest.mark.parametrize("replica", [MINI, MULTILINGUAL], ids=ids([MINI, MULTILINGUAL]))
def test_tokens_are_those_of_transformers(replica: Replica, hub: Publisher) -> None:
    """Guards the cache of converted tokenizers: their ids must be those of transformers."""
    from transformers import AutoTokenizer

    snapshot = hub.publish(replica)
    texts = [
        "The lamp was lit.",
        "  Two  spaces, 1984 & \u20ac5 \u2014 caf\u00e9\n",
        "\U0001f600",
        "",
        "<pad> </s> [sic]",
    ]
    first, kept = (load_tokenizers(find_checkpoint(found(replica))) for _ in range(2))
    for tokenizers in (first, kept):
        tokens = tokenizers.prompts(texts)
        rows = [ids[mask.bool()].tolist() for ids, mask in zip(tokens.ids, tokens.mask, strict=True)]
        assert rows == AutoTokenizer.from_pretrained(snapshot)(texts).input_ids
        description = tokenizers.descriptions(["A calm voice."])
        folder = hub.publish_t5() if replica.has_llama_tokenizer else snapshot
        assert description.ids.tolist() == [AutoTokenizer.from_pretrained(folder)("A calm voice.").input_ids]


def test_a_converted_tokenizer_is_kept_and_a_damaged_one_made_again(
    hub: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the start of each command, which would take six seconds without the cache of converted tokenizers."""
    from huggingface_hub import cached_assets_path
    from transformers import AutoTokenizer

    hub.publish(MULTILINGUAL)
    checkpoint = find_checkpoint(found(MULTILINGUAL))
    expected = load_tokenizers(checkpoint).count_prompts(["The lamp was lit."])
    kept = list(cached_assets_path("parler-pipeline", "tokenizers", "converted").glob("*.json"))
    assert kept
    for path in kept:
        path.write_text("{", encoding="utf-8")
    assert load_tokenizers(checkpoint).count_prompts(["The lamp was lit."]) == expected

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", fail)
    assert load_tokenizers(checkpoint).count_prompts(["The lamp was lit."]) == expected


def test_the_pins_fit_together() -> None:
    """Bug: sentencepiece 0.2.3 needs protobuf 5, and 4 is pinned; the conflict shows with published tokenizers only."""
    for module in (
        "sentencepiece.sentencepiece_model_pb2",
        "google.protobuf",
        "transformers.convert_slow_tokenizer",
        "transformers.models.t5.tokenization_t5",
        "transformers.models.t5.tokenization_t5_fast",
        "transformers.models.t5.modeling_t5",
        "transformers.models.llama.tokenization_llama",
        "transformers.models.llama.tokenization_llama_fast",
        "transformers.models.dac.modeling_dac",
        "transformers.models.dac.configuration_dac",
        "transformers.models.dac.feature_extraction_dac",
        "transformers.models.encodec.feature_extraction_encodec",
        "transformers.models.auto.modeling_auto",
        "transformers.models.auto.tokenization_auto",
        "parler_tts",
    ):
        importlib.import_module(module)


def test_saved_attention_is_ignored(hub: Publisher, tmp_path: Path) -> None:
    """Bug: T5 does not support SDPA, and checkpoints loaded only if their config named another attention."""
    folder = shutil.copytree(hub.publish(MULTILINGUAL), tmp_path / "marked")
    config = json.loads((folder / "config.json").read_text())
    config |= {"_attn_implementation_autoset": True, "attn_implementation": "flash_attention_2"}
    for part in ("text_encoder", "audio_encoder", "decoder"):
        config[part] |= {"_attn_implementation": "flash_attention_2", "_attn_implementation_autoset": True}
    rewrite(folder / "config.json", config)
    for attention in ("eager", "sdpa"):
        model = upstream.load(folder, attention=attention, dtype=torch.float32, device=CPU)
        parts = (model.decoder.config, model.text_encoder.config)
        assert [part._attn_implementation for part in parts] == [attention, "eager"]


@pytest.mark.parametrize("name", ["decoder.lm_heads.weight", "audio_encoder.decoder.conv1.weight"])
def test_a_missing_weight_ends_the_run_with_its_name(name: str, hub: Publisher, tmp_path: Path) -> None:
    """Bug: a missing tensor stayed random, and each run gave other audio."""
    folder = shutil.copytree(hub.publish(MULTILINGUAL), tmp_path / "less")
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    replace(folder / "model.safetensors", tensors)
    with pytest.raises(ModelError, match=re.escape(name)):
        upstream.load(folder, attention="sdpa", dtype=torch.float32, device=CPU)


def test_a_weight_too_many_or_of_another_shape_is_named(hub: Publisher, tmp_path: Path) -> None:
    """Guards against a checkpoint of another architecture that is loaded partly."""
    folder = shutil.copytree(hub.publish(MULTILINGUAL), tmp_path / "more")
    tensors = load_file(folder / "model.safetensors")
    tensors["decoder.adapter.weight"] = torch.zeros(3)
    tensors["enc_to_dec_proj.weight"] = torch.zeros(64, 64)
    tensors["decoder.model.decoder.layer_norm.weight"] = torch.zeros(65)
    replace(folder / "model.safetensors", tensors)
    with pytest.raises(ModelError) as caught:
        upstream.load(folder, attention="sdpa", dtype=torch.float32, device=CPU)
    for name in ("decoder.adapter.weight", "enc_to_dec_proj.weight", "decoder.model.decoder.layer_norm.weight"):
        assert name in str(caught.value)


def test_a_shared_weight_may_be_saved_twice(hub: Publisher, tmp_path: Path) -> None:
    """Guards checkpoints of other tools, which save T5's embedding under two names."""
    folder = shutil.copytree(hub.publish(MULTILINGUAL), tmp_path / "twice")
    tensors = load_file(folder / "model.safetensors")
    shared = tensors["text_encoder.shared.weight"]
    other = "text_encoder.encoder.embed_tokens.weight"
    replace(folder / "model.safetensors", {**tensors, other: shared.clone()})
    upstream.load(folder, attention="sdpa", dtype=torch.float32, device=CPU)
    replace(folder / "model.safetensors", {**tensors, other: shared + 1})
    with pytest.raises(ModelError, match=r"embed_tokens\.weight|shared\.weight"):
        upstream.load(folder, attention="sdpa", dtype=torch.float32, device=CPU)


def test_code_in_a_checkpoint_never_runs(
    hub: Publisher, tmp_path: Path, book: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bug: `yes | python -m pipeline model=./folder` ran a tokenizer's Python code, in a dry run too."""
    folder = shutil.copytree(hub.publish(MINI), tmp_path / "hostile")
    mark = tmp_path / "it-ran"
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Evil: pass\n")
    auto = {"AutoTokenizer": ["evil.Evil", "evil.Evil"], "AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}
    auto["AutoModelForTextEncoding"] = "evil.Evil"
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"auto_map": auto, "tokenizer_class": "Evil"}
    rewrite(folder / "tokenizer_config.json", settings)
    monkeypatch.setattr("builtins.input", lambda *_: "yes")
    assert main([f"model={folder}", f"input={book}", "dry_run=true"]) == 2
    assert "Python" in capsys.readouterr().err

    settings = json.loads((hub.publish(MINI) / "tokenizer_config.json").read_text())
    rewrite(folder / "tokenizer_config.json", settings)
    config = json.loads((folder / "config.json").read_text()) | {"auto_map": auto}
    for part in ("text_encoder", "audio_encoder", "decoder"):
        config[part]["auto_map"] = auto
    rewrite(folder / "config.json", config)
    upstream.load(folder, attention="sdpa", dtype=torch.float32, device=CPU)
    assert not mark.exists()


CHANGES = {
    "a list": lambda config: [config],
    "null": lambda config: None,
    "no decoder": lambda config: without(config, "decoder"),
    "decoder is text": lambda config: config | {"decoder": "large"},
    "rate 0": lambda config: changed(config, "audio_encoder", sampling_rate=0),
    "ratio 0": lambda config: changed(config, "audio_encoder", downsampling_ratios=[2, 0, 8, 8]),
    "ratios null": lambda config: changed(config, "audio_encoder", downsampling_ratios="8"),
    "too many codebooks": lambda config: changed(config, "decoder", num_codebooks=99999),
    "too many layers": lambda config: changed(config, "decoder", num_hidden_layers=10_000_000),
    "one layer more": lambda config: changed(config, "decoder", num_hidden_layers=3),
    "width is true": lambda config: changed(config, "decoder", hidden_size=True),
    "width 7": lambda config: changed(config, "decoder", hidden_size=7),
    "heads": lambda config: changed(config, "decoder", num_attention_heads=3),
    "eos out of range": lambda config: changed(config, "decoder", eos_token_id=5000),
    "eos is a code": lambda config: changed(config, "decoder", eos_token_id=7),
    "negative vocabulary": lambda config: config | {"vocab_size": -1},
    "another vocabulary": lambda config: config | {"vocab_size": 12},
    "another codec": lambda config: changed(config, "audio_encoder", model_type="mimi"),
    "positions": lambda config: changed(config, "decoder", max_position_embeddings=100),
    "no ratios": lambda config: changed(config, "audio_encoder", downsampling_ratios=[]),
    "300 ratios": lambda config: changed(config, "audio_encoder", downsampling_ratios=[999] * 300),
    "quantized": lambda config: config | {"quantization_config": {"load_in_8bit": True}},
    "not a number": lambda config: changed(config, "text_encoder", d_model=float("nan")),
}


def changed(config: dict, part: str, **values: object) -> dict:
    return config | {part: config[part] | values}


def without(config: dict, key: str) -> dict:
    return {name: value for name, value in config.items() if name != key}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_impossible_config_is_refused_in_the_dry_run(
    change, hub: Publisher, tmp_path: Path, book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bug: such configs ended in tracebacks, and a dry run did not report them."""
    folder = shutil.copytree(hub.publish(MINI), tmp_path / "odd")
    rewrite(folder / "config.json", change(json.loads((folder / "config.json").read_text())))
    assert main([f"model={folder}", f"input={book}", "dry_run=true"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert str(folder) in error


@pytest.mark.parametrize(
    "settings",
    [
        {"max_length": -5},
        {"max_length": 9},
        {"max_length": "long"},
        {"eos_token_id": 90_000},
        {"eos_token_id": [1, 2]},
        {"min_new_tokens": -1},
        {"temperature": "hot"},
        {"top_k": 2.5},
        {"top_k": -4},
        {"temperature": 0.0},
        {"temperature": float("inf")},
        {"top_p": 2},
        {"eos_token_id": 5},
        [],
        "{",
    ],
    ids=str,
)
def test_impossible_generation_settings_are_refused(settings: object, hub: Publisher, tmp_path: Path) -> None:
    """Guards the limits of plans, which come from this file."""
    folder = shutil.copytree(hub.publish(MINI), tmp_path / "odd")
    published = json.loads((folder / "generation_config.json").read_text())
    text = settings if isinstance(settings, str) else json.dumps(published | settings if settings else settings)
    (folder / "generation_config.json").unlink()
    (folder / "generation_config.json").write_text(text)
    with pytest.raises(ModelError, match=r"generation_config\.json"):
        find_checkpoint(ModelConfig(name="odd", path=str(folder)))


def test_settings_that_have_no_effect_are_named(hub: Publisher, tmp_path: Path) -> None:
    """Guards against settings, such as a repetition penalty, that are ignored silently."""
    folder = shutil.copytree(hub.publish(MINI), tmp_path / "penalised")
    published = json.loads((folder / "generation_config.json").read_text())
    rewrite(folder / "generation_config.json", published | {"repetition_penalty": 1.2, "num_beams": 1})
    assert find_checkpoint(ModelConfig(name="p", path=str(folder))).generation.unsupported == (
        "repetition_penalty=1.2",
    )


def test_segments_fit_into_what_the_checkpoint_can_say(
    hub: Publisher, tmp_path: Path, book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards fine-tunes of short clips: segments of 15 s would all be cut."""
    folder = shutil.copytree(hub.publish(MINI), tmp_path / "short")
    published = json.loads((folder / "generation_config.json").read_text())
    rewrite(folder / "generation_config.json", published | {"max_length": 440, "repetition_penalty": 1.2})
    book.write_text("# A\n\n" + "The lamp was lit, and the wick was trimmed, " * 12 + "at last.\n", encoding="utf-8")
    assert (
        main([f"model={folder}", f"input={book}", f"output_dir={tmp_path}", "name=run", "checks.length_ratio=0"]) == 0
    )
    told = capsys.readouterr().err
    assert re.search(r"text\.max_seconds\b.*\b4\b", told)
    assert "repetition_penalty=1.2" in told
    planned = read_shard_plan(tmp_path / "run", 0).utterances
    assert all(utterance.problem is None and utterance.predicted_seconds <= 4.0 for utterance in planned)


def test_pickles_and_files_elsewhere_are_not_weights(hub: Publisher, tmp_path: Path) -> None:
    """Bug: with an index that names pytorch_model.bin the pickle was opened."""
    folder = shutil.copytree(hub.publish(LARGE), tmp_path / "pickled")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    for name in ("pytorch_model.bin", "../elsewhere/model.safetensors", "/etc/model.safetensors"):
        index["weight_map"]["decoder.model.decoder.layer_norm.weight"] = name
        rewrite(folder / "model.safetensors.index.json", index)
        with pytest.raises(ModelError, match=re.escape(name)):
            find_checkpoint(ModelConfig(name="p", path=str(folder)))


def test_an_interrupted_copy_names_the_missing_shard(hub: Publisher, tmp_path: Path) -> None:
    """Guards against a download that stopped after the first of two files."""
    folder = shutil.copytree(hub.publish(LARGE), tmp_path / "half")
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match=r"\b1\b.*\b2\b.*model-00002-of-00002\.safetensors"):
        find_checkpoint(ModelConfig(name="half", path=str(folder)))
    shutil.copy(folder / "model-00001-of-00002.safetensors", folder / "model-00002-of-00002.safetensors")
    with (folder / "model-00002-of-00002.safetensors").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(ModelError, match=r"model-00002-of-00002\.safetensors"):
        find_checkpoint(ModelConfig(name="half", path=str(folder)))


@pytest.mark.parametrize(
    "path",
    [
        "owner/my--model",
        "owner/na me",
        "-x/y",
        "me/" + "a" * 300,
        "~nobody-here/x",
        "./" + "a" * 300,
        "https://hub.co/a/b",
    ],
)
@pytest.mark.parametrize("task", [["task=preview", "text=Hello."], ["dry_run=true"]], ids=["preview", "dry run"])
def test_a_model_that_cannot_be_named_so_is_one_line(
    path: str, task: list[str], hub: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bug: such names ended in tracebacks of the hub's library or of the file system."""
    assert main([f"model={path}", *task]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert path.rpartition("/")[2][:20] in error


def test_a_revision_of_a_folder_is_refused(hub: Publisher, capsys: pytest.CaptureFixture[str]) -> None:
    """Bug: it was silently ignored."""
    folder = hub.publish(MULTILINGUAL)
    for model in (f"model={folder}", "model=bundled"):
        assert main([model, "model.revision=v9", "dry_run=true"]) == 2
        assert "model.revision=v9" in capsys.readouterr().err


def test_names_of_a_fine_tune_win_over_its_groups(
    hub: Publisher, book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bug: for `model=mini model.path=owner/fine-tune` only mini's 34 speakers were known."""
    replica = dataclasses.replace(MULTILINGUAL, group="fine", repository="owner/fine-tune")
    (hub.publish(replica) / "voices.yaml").write_text("voices: [Otto, Lena]\n")
    model = ["model=mini", "model.path=owner/fine-tune"]
    for task in ([f"input={book}", "dry_run=true"], ["task=preview", "text=Hello.", "dry_run=true"]):
        assert main([*model, *task, "voice=otto"]) == 0
        assert main([*model, *task, "voice=jon"]) == 2
        assert "Otto" in capsys.readouterr().err.splitlines()[-1]
    assert main(["--voices", *model]) == 0
    assert "Lena" in capsys.readouterr().out


def test_a_prompt_tokenizer_may_have_a_folder_of_its_own(hub: Publisher) -> None:
    """Bug: offline, such a repository was reported as an interrupted download."""
    replica = dataclasses.replace(MULTILINGUAL, group="split", repository="owner/split-tokenizers")
    snapshot = hub.publish(replica)
    (snapshot / "prompt_tokenizer").mkdir()
    for path in [*snapshot.glob("tokenizer*"), snapshot / "special_tokens_map.json"]:
        shutil.move(path.resolve(), snapshot / "prompt_tokenizer" / path.name)
        path.unlink()
    checkpoint = find_checkpoint(ModelConfig(name="x", path="owner/split-tokenizers"))
    assert load_tokenizers(checkpoint).count_prompts(["The lamp was lit."]) == load_tokenizers(
        find_checkpoint(found(MULTILINGUAL))
    ).count_prompts(["The lamp was lit."])


def test_other_files_beside_the_weights_do_no_harm(hub: Publisher, tmp_path: Path) -> None:
    """Bug: a folder or a broken link with the name of a model file ended in a traceback."""
    folder = shutil.copytree(hub.publish(MINI), tmp_path / "work")
    before = find_checkpoint(ModelConfig(name="w", path=str(folder))).revision
    (folder / "checkpoints.safetensors").mkdir()
    (folder / "training_config.json").symlink_to(tmp_path / "nowhere")
    assert find_checkpoint(ModelConfig(name="w", path=str(folder))).revision == before


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool])
def test_weights_that_are_no_floating_point_numbers_are_refused(
    dtype: torch.dtype, hub: Publisher, tmp_path: Path
) -> None:
    """Bug: quantized weights were loaded without their scales, and generated noise."""
    folder = shutil.copytree(hub.publish(MULTILINGUAL), tmp_path / "quantized")
    tensors = load_file(folder / "model.safetensors")
    name = "decoder.model.decoder.layers.0.fc1.weight"
    replace(folder / "model.safetensors", {**tensors, name: tensors[name].to(dtype)})
    with pytest.raises(ModelError, match=name):
        upstream.load(folder, attention="sdpa", dtype=torch.float32, device=CPU)


def test_an_id_without_an_embedding_is_told(hub: Publisher, tmp_path: Path) -> None:
    """Guards against an index error in the model with the tokenizer of another checkpoint."""
    folder = shutil.copytree(hub.publish(MULTILINGUAL), tmp_path / "mixed")
    checkpoint = find_checkpoint(ModelConfig(name="mixed", path=str(folder)))
    small = {**checkpoint.config, "vocab_size": 20}
    object.__setattr__(checkpoint, "config", small)
    with pytest.raises(ModelError, match=r"\b20\b"):
        load_tokenizers(checkpoint).count_prompts(["The lamp was lit."])


def test_names_of_tensors_are_as_many_as_published(hub: Publisher) -> None:
    """Guards the replicas: with 24 layers they have the number of tensors of mini-v1 and multilingual."""
    for replica, published in ((MINI, 926), (MULTILINGUAL, 840)):
        with safe_open(hub.publish(replica) / "model.safetensors", framework="pt") as file:
            named = len(file.keys())
        more_layers = (24 - replica.layers) * 16 + (24 - 2) * 9  # of the decoder and of the text encoder
        assert named + more_layers == published


def test_offline_from_a_shell(hub: Publisher, book: Path) -> None:
    """Guards the command with HF_HUB_OFFLINE=1: the cache suffices, and there is no warning."""
    hub.publish(MULTILINGUAL)
    command = ["model=multilingual", f"input={book}", f"output_dir={book.parent / 'out'}", "checks.length_ratio=0"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *command],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert (book.parent / "out" / "lamp-multilingual" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("replica", "size"), [(MINI, 3_511_490_560), (MULTILINGUAL, 3_751_321_772)], ids=ids([MINI, MULTILINGUAL])
)
def test_full_widths(replica: Replica, size: int, tmp_path: Path) -> None:
    """Guards what only published sizes show: memory, the codec's 75 million weights, 90,714 tokens."""
    home, maker = tmp_path / "hub-home", Path(__file__).parents[1] / "full_size.py"
    subprocess.run([sys.executable, str(maker), replica.group, str(home)], check=True)
    (weights,) = home.glob("hub/*/snapshots/*/model.safetensors")
    assert weights.stat().st_size == size, "to the byte as published"
    command = [f"model={replica.group}", "task=preview", "text=Hi.", f"output_dir={tmp_path}"]
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-m", "pipeline", *command], env=environment, check=True)
    assert soundfile.info(tmp_path / "preview.wav").duration > 0.01


def rewrite(path: Path, content: object) -> None:
    """Replace a file that may be a link into the cache."""
    path.unlink()
    path.write_text(json.dumps(content), encoding="utf-8")


def replace(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    path.unlink()
    save_file(tensors, path)
