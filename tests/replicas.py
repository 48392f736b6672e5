"""Replicas of the published Parler-TTS checkpoints: everything as published except the widths and the weights.

What a replica shares with its original: repository and revision names, the layout of a hub cache, file names, every key
of config.json and generation_config.json, tensor names (old and new weight-norm names), the place where shards are
cut, the classes and settings of tokenizers. What it does not share: hidden sizes, numbers of layers, vocabularies and
the weights, which are random.

Facts and their sources: the model cards, the published sizes of the files, and parler-tts' own scripts.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import LlamaTokenizerFast, T5TokenizerFast

from pipeline.synthesis import upstream
from pipeline.synthesis.untrained import BOS, EOS, UntrainedShape, set_end_probability

T5_REPOSITORY = "google/flan-t5-large"  # the description tokenizer of the checkpoints with a Llama tokenizer
T5_COMMIT = "0613663d0d48ea86ba8cb3d7a44f0f65dc596a2a"
_OLD_NAMES = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
_TEXT = Path(__file__).resolve().parent.parent / "pipeline" / "text" / "story.md"
_T5_WORDS, _LLAMA_WORDS = 400, 700
_T5_VOCABULARY = 512  # of the text encoder: more than its tokenizer has (500), as in flan-t5 (32,128 and 32,100)

Names = Callable[[str], str]


def new_names(name: str) -> str:
    """Names of weight norm as torch 2 saves them."""
    return name


def old_names(name: str) -> str:
    """Names of weight norm as torch saved them before parametrizations."""
    for new, old in _OLD_NAMES.items():
        name = name.replace(new, old)
    return name


@dataclass(frozen=True)
class Replica:
    """One published checkpoint."""

    group: str  # what is typed: model=GROUP
    repository: str
    transformers_version: str
    commit: str
    ref: str = "main"
    names: Names = old_names
    has_own_codec: bool = True  # parler_tts' DACModel; False: transformers' DacModel
    codec_model_type: str = "dac"
    has_llama_tokenizer: bool = False
    fused_heads: bool = False
    hidden: int = 64
    layers: int = 2
    text_encoder: str = "google/flan-t5-large"
    text_hidden: int = 64  # other than hidden: with `enc_to_dec_proj`
    max_length: int = 2580
    min_new_tokens: int | None = None
    first_of_second_shard: str | None = None
    add_prefix_space: bool = True
    is_full_size: bool = False  # widths, depths and vocabularies as published; gigabytes

    @property
    def name(self) -> str:
        """Short and unique, for test ids."""
        return self.group if self.ref == "main" else f"{self.group}@{self.ref}"

    @property
    def vocabulary(self) -> int:
        """Prompt tokens that the model has embeddings for."""
        if self.is_full_size:
            return 90_714 if self.has_llama_tokenizer else 32_128
        return _LLAMA_WORDS + 4 if self.has_llama_tokenizer else _T5_VOCABULARY


LARGE = Replica(
    "large",
    "parler-tts/parler-tts-large-v1",
    "4.43.3",
    commit="50cb4b8a" + "0" * 32,
    hidden=96,
    layers=3,
    text_encoder="google/flan-t5-xl",
    text_hidden=128,
    # The published boundary: torch's hook for old names needs both halves of a weight in one file.
    first_of_second_shard="audio_encoder.model.decoder.model.0.weight_v",
)
V0_1 = Replica(
    "mini-v0.1",
    "parler-tts/parler_tts_mini_v0.1",
    "4.38.2",
    commit="e02fd18e77d38b49a85c7a9a85189a64b8472544",
    text_encoder="google/flan-t5-base",
    text_hidden=48,
    min_new_tokens=50,
    add_prefix_space=False,
)
MULTILINGUAL = Replica(
    "multilingual",
    "parler-tts/parler-tts-mini-multilingual-v1.1",
    "4.46.1",
    commit="11b27d57855dec1ce0914ba1f12363bf2ea75ba3",
    names=new_names,
    has_own_codec=False,
    has_llama_tokenizer=True,
    fused_heads=True,
    max_length=2610,
)
MINI = Replica(
    "mini",
    "parler-tts/parler-tts-mini-v1",
    "4.40.2",
    commit="0392b9451a601e528fd863bbb0598431fee810d9",
    min_new_tokens=10,
)


def _like(replica: Replica, **changes: Any) -> Replica:
    return Replica(**{**vars(replica), **changes})


REPLICAS = (
    MINI,
    LARGE,
    _like(
        LARGE,
        ref="refs/pr/9",
        commit="adcffcde0015cbeee553136a34f5b8c01aa54bcb",
        transformers_version="4.47.0.dev0",
        names=new_names,
        codec_model_type="dac_on_the_hub",
        first_of_second_shard="audio_encoder.model.decoder.model.0.parametrizations.weight.original1",
    ),
    _like(
        MULTILINGUAL,
        group="mini-v1.1",
        repository="parler-tts/parler-tts-mini-v1.1",
        transformers_version="4.46.0.dev0",
        commit="b1e9cc1e" + "0" * 32,
    ),
    MULTILINGUAL,
    _like(MULTILINGUAL, group="indic", repository="ai4bharat/indic-parler-tts", commit="7b527af5" + "0" * 32),
    Replica(
        "tiny",
        "parler-tts/parler-tts-tiny-v1",
        "4.43.3",
        commit="fe1bd93" + "0" * 33,
        text_encoder="google/flan-t5-base",
        hidden=32,
        text_hidden=48,
    ),
    V0_1,
    _like(V0_1, group="expresso", repository="parler-tts/parler-tts-mini-expresso", commit="e5e0b5e" + "0" * 33),
    _like(V0_1, group="jenny", repository="parler-tts/parler-tts-mini-jenny-30H", commit="3e1e1ee" + "0" * 33),
)


def full_size(replica: Replica) -> Replica:
    """The replica of a checkpoint of mini's size, with all its layers at their full width."""
    return _like(replica, is_full_size=True, hidden=1024, text_hidden=1024, layers=24)


class Publisher:
    """Writes replicas into a hub cache, `<home>/hub`; each one once."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._work = home / "work"
        self._work.mkdir(parents=True)
        _train(self._work / "t5", _T5_WORDS, model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
        settings = {"unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1}
        _train(self._work / "llama", _LLAMA_WORDS, model_type="bpe", byte_fallback=True, **settings)
        self._published: dict[str, Path] = {}

    def publish(self, replica: Replica) -> Path:
        """Puts the replica into the cache, and the description tokenizer that it names; returns its snapshot."""
        if replica.name not in self._published:
            folder = self._folder(replica.name)
            self.write(replica, folder)
            self._published[replica.name] = self._move(folder, replica.repository, replica.commit, replica.ref)
        if replica.has_llama_tokenizer:
            self.publish_t5()
        return self._published[replica.name]

    def publish_t5(self) -> Path:
        """Puts google/flan-t5-large into the cache, as far as a pipeline may fetch it."""
        if T5_REPOSITORY not in self._published:
            folder = self._folder("flan")
            self._write_t5_tokenizer(folder, add_prefix_space=True)
            _write_json(folder / "config.json", {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]})
            self._published[T5_REPOSITORY] = self._move(folder, T5_REPOSITORY, T5_COMMIT, "main")
        return self._published[T5_REPOSITORY]

    def write(self, replica: Replica, folder: Path) -> None:
        """Writes the files of a repository."""
        config = config_of(replica)
        _write_json(folder / "config.json", config)
        _write_json(folder / "generation_config.json", generation_of(replica))
        _write_json(folder / "preprocessor_config.json", _preprocessor(replica))
        (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
        (folder / "handler.py").write_text("raise SystemExit('code of a checkpoint was run')\n", encoding="utf-8")
        if replica.has_llama_tokenizer:
            self._write_llama_tokenizer(folder)
        else:
            self._write_t5_tokenizer(folder, replica.add_prefix_space)
        _save(_random_weights(replica, config), replica, folder)

    def _folder(self, name: str) -> Path:
        folder = self._work / name.replace("/", "-")
        folder.mkdir()
        return folder

    def _write_t5_tokenizer(self, folder: Path, add_prefix_space: bool) -> None:
        tokenizer = T5TokenizerFast(vocab_file=str(self._work / "t5.model"), extra_ids=100, model_max_length=512)
        tokenizer.save_pretrained(folder)
        shutil.copy(self._work / "t5.model", folder / "spiece.model")
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        settings |= {"tokenizer_class": "T5Tokenizer", "sp_model_kwargs": {}}
        if add_prefix_space:
            settings["add_prefix_space"] = True
        _write_json(folder / "tokenizer_config.json", settings)

    def _write_llama_tokenizer(self, folder: Path) -> None:
        tokenizer = LlamaTokenizerFast(
            vocab_file=str(self._work / "llama.model"), legacy=False, pad_token="<unk>", padding_side="left"
        )
        tokenizer.save_pretrained(folder)
        shutil.copy(self._work / "llama.model", folder / "tokenizer.model")
        _write_json(folder / "tokenizer_config.json", _LLAMA_SETTINGS)

    def _move(self, folder: Path, repository: str, commit: str, ref: str) -> Path:
        """Lays a folder out as huggingface_hub does: blobs, links to them, and a ref that names the commit."""
        base = self.home / "hub" / f"models--{repository.replace('/', '--')}"
        snapshot = base / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (base / "blobs").mkdir(exist_ok=True)
        for path in folder.iterdir():
            blob = hashlib.sha1(f"{commit}{path.name}".encode()).hexdigest()
            path.replace(base / "blobs" / blob)
            (snapshot / path.name).symlink_to(Path("..") / ".." / "blobs" / blob)
        (base / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (base / "refs" / ref).write_text(commit, encoding="utf-8")
        return snapshot


def config_of(replica: Replica) -> dict[str, Any]:
    """config.json as published, with smaller numbers."""
    is_recent = replica.transformers_version >= "4.46"
    parts = {
        "text_encoder": _text_encoder(replica),
        "audio_encoder": _own_codec(replica) if replica.has_own_codec else _hub_codec(replica),
        "decoder": _decoder(replica),
    }
    if is_recent:
        parts["decoder"] |= {"codebook_weights": None, "use_fused_lm_heads": replica.fused_heads}
        for part in parts.values():
            part["_attn_implementation_autoset"] = False
    return {
        **({} if replica.ref != "main" else {"_name_or_path": "artefacts/training/checkpoint-100000-epoch-6/"}),
        "architectures": ["ParlerTTSForConditionalGeneration"],
        "decoder_start_token_id": BOS,
        "is_encoder_decoder": True,
        "model_type": "parler_tts",
        "pad_token_id": EOS,
        "prompt_cross_attention": False,
        "torch_dtype": "float32",
        "transformers_version": replica.transformers_version,
        "vocab_size": replica.vocabulary,
        **parts,
    }


def generation_of(replica: Replica) -> dict[str, Any]:
    """generation_config.json as published."""
    return {
        "_from_model_config": True,
        "bos_token_id": BOS,
        "decoder_start_token_id": BOS,
        "do_sample": True,
        "eos_token_id": EOS,
        **({} if replica.has_llama_tokenizer else {"guidance_scale": 1}),
        "max_length": replica.max_length,
        **({"min_new_tokens": replica.min_new_tokens} if replica.min_new_tokens else {}),
        "pad_token_id": EOS,
        "transformers_version": replica.transformers_version,
    }


_LLAMA_SETTINGS: dict[str, Any] = {  # tokenizer_config.json of mini-v1.1, multilingual and indic, key for key
    "add_bos_token": True,
    "add_eos_token": False,
    "add_prefix_space": True,
    "added_tokens_decoder": {
        str(index): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for index, token in enumerate(("<unk>", "<s>", "</s>"))
    },
    "bos_token": "<s>",
    "clean_up_tokenization_spaces": False,
    "eos_token": "</s>",
    "legacy": False,
    "model_max_length": 1000000000000000019884624838656,
    "pad_token": "<unk>",
    "padding_side": "left",
    "sp_model_kwargs": {},
    "spaces_between_special_tokens": False,
    "tokenizer_class": "LlamaTokenizer",
    "unk_token": "<unk>",
    "use_default_system_prompt": False,
}

_COMMON: dict[str, Any] = {  # what transformers 4.40 to 4.46 wrote into the config of every part
    "add_cross_attention": False,
    "bad_words_ids": None,
    "begin_suppress_tokens": None,
    "bos_token_id": None,
    "chunk_size_feed_forward": 0,
    "cross_attention_hidden_size": None,
    "decoder_start_token_id": None,
    "diversity_penalty": 0.0,
    "do_sample": False,
    "early_stopping": False,
    "encoder_no_repeat_ngram_size": 0,
    "eos_token_id": None,
    "exponential_decay_length_penalty": None,
    "finetuning_task": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "is_decoder": False,
    "is_encoder_decoder": False,
    "label2id": {"LABEL_0": 0, "LABEL_1": 1},
    "length_penalty": 1.0,
    "max_length": 20,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "num_beam_groups": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_scores": False,
    "pad_token_id": None,
    "prefix": None,
    "problem_type": None,
    "pruned_heads": {},
    "remove_invalid_values": False,
    "repetition_penalty": 1.0,
    "return_dict": True,
    "return_dict_in_generate": False,
    "sep_token_id": None,
    "suppress_tokens": None,
    "task_specific_params": None,
    "temperature": 1.0,
    "tf_legacy_loss": False,
    "tie_encoder_decoder": False,
    "tie_word_embeddings": True,
    "tokenizer_class": None,
    "top_k": 50,
    "top_p": 1.0,
    "torch_dtype": "float32",
    "torchscript": False,
    "typical_p": 1.0,
    "use_bfloat16": False,
}


def _text_encoder(replica: Replica) -> dict[str, Any]:
    return copy.deepcopy(_COMMON) | {
        "_name_or_path": replica.text_encoder,
        "architectures": ["T5ForConditionalGeneration"],
        "classifier_dropout": 0.0,
        "d_ff": 2816 if replica.is_full_size else 2 * replica.text_hidden,
        "d_kv": 64 if replica.is_full_size else 16,
        "d_model": replica.text_hidden,
        "decoder_start_token_id": 0,
        "dense_act_fn": "gelu_new",
        "dropout_rate": 0.1,
        "eos_token_id": 1,
        "feed_forward_proj": "gated-gelu",
        "initializer_factor": 1.0,
        "is_encoder_decoder": True,
        "is_gated_act": True,
        "layer_norm_epsilon": 1e-06,
        "model_type": "t5",
        "n_positions": 512,
        "num_decoder_layers": 24,
        "num_heads": 16 if replica.is_full_size else 4,
        "num_layers": 24 if replica.is_full_size else 2,
        "output_past": True,
        "pad_token_id": 0,
        "relative_attention_max_distance": 128,
        "relative_attention_num_buckets": 32,
        "tie_word_embeddings": False,
        "torch_dtype": None,
        "use_cache": True,
        "vocab_size": 32_128 if replica.is_full_size else _T5_VOCABULARY,
    }


def _own_codec(replica: Replica) -> dict[str, Any]:
    return copy.deepcopy(_COMMON) | {
        "_name_or_path": "parler-tts/dac_44khZ_8kbps",
        "architectures": ["DACModel"],
        "codebook_size": 1024,
        "frame_rate": 86,
        "latent_dim": 1024,
        "model_bitrate": 8,
        "model_type": replica.codec_model_type,
        "num_codebooks": 9,
        "sampling_rate": 44100,
    }


def _hub_codec(replica: Replica) -> dict[str, Any]:
    return copy.deepcopy(_COMMON) | {
        "_name_or_path": "ylacombe/dac_44khz",
        "architectures": ["DacModel"],
        "codebook_dim": 8,
        "codebook_loss_weight": 1.0,
        "codebook_size": 1024,
        "commitment_loss_weight": 0.25,
        "decoder_hidden_size": 1536 if replica.is_full_size else 64,
        "downsampling_ratios": [2, 4, 8, 8],
        "encoder_hidden_size": 64 if replica.is_full_size else 4,
        "hidden_size": 1024 if replica.is_full_size else 64,
        "hop_length": 512,
        "model_type": "dac",
        "n_codebooks": 9,
        "quantizer_dropout": 0,
        "sampling_rate": 44100,
        "upsampling_ratios": [8, 8, 4, 2],
    }


def _decoder(replica: Replica) -> dict[str, Any]:
    heads = 16 if replica.is_full_size else 4
    return copy.deepcopy(_COMMON) | {
        "_name_or_path": "artefacts/parler-tts-mini/decoder",
        "activation_dropout": 0.0,
        "activation_function": "gelu",
        "architectures": ["ParlerTTSForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": BOS,
        "cross_attention_implementation_strategy": None,
        "dropout": 0.1,
        "eos_token_id": EOS,
        "ffn_dim": 4 * replica.hidden,
        "hidden_size": replica.hidden,
        "initializer_factor": 0.02,
        "layerdrop": 0.0,
        "max_position_embeddings": 4096,
        "model_type": "parler_tts_decoder",
        "num_attention_heads": heads,
        "num_codebooks": 9,
        "num_cross_attention_key_value_heads": heads,
        "num_hidden_layers": replica.layers,
        "num_key_value_heads": heads,
        "pad_token_id": EOS,
        "rope_embeddings": False,
        "rope_theta": 10000.0,
        "scale_embedding": False,
        "tie_word_embeddings": False,
        "use_cache": True,
        "vocab_size": 1088,
    }


def _preprocessor(replica: Replica) -> dict[str, Any]:
    kind = "DacFeatureExtractor" if replica.has_llama_tokenizer else "EncodecFeatureExtractor"
    return {"feature_extractor_type": kind, "feature_size": 1, "padding_value": 0.0, "sampling_rate": 44100}


def _train(prefix: Path, words: int, **settings: Any) -> None:
    """A sentencepiece model of the story that ships: the kinds of the published tokenizers, with few words."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_TEXT.read_text(encoding="utf-8").splitlines()),
        model_prefix=str(prefix),
        vocab_size=words,
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=3,
        pad_piece="<pad>",
        **settings,
    )


def _random_weights(replica: Replica, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Random weights under the names that torch 2 gives them; generation ends by itself after half a second."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(hashlib.sha1(replica.repository.encode()).hexdigest()[:8], 16))
        model = upstream.ParlerTTSForConditionalGeneration(
            upstream.ParlerTTSConfig.from_dict(json.loads(json.dumps(config)))
        )
        with torch.no_grad():
            for module in model.audio_encoder.modules():
                if isinstance(module, nn.Conv1d | nn.ConvTranspose1d) and not replica.has_own_codec:
                    module.reset_parameters()  # transformers' own initialisation gives silence
            for embedding in (*model.decoder.model.decoder.embed_tokens, model.embed_prompts):
                embedding.weight.normal_(std=0.3)
        shape = UntrainedShape(
            hidden=replica.hidden,
            fused_heads=replica.fused_heads,
            hub_codec=True,
            sampling_rate=44_100,
            mean_seconds=0.5,
        )
        set_end_probability(model, shape)
    shared = "text_encoder.encoder.embed_tokens.weight"  # the same tensor as text_encoder.shared.weight
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name != shared}


def _save(weights: Mapping[str, Tensor], replica: Replica, folder: Path) -> None:
    named = {replica.names(name): tensor for name, tensor in weights.items()}
    if replica.first_of_second_shard is None:
        save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(named)
    cut = names.index(replica.first_of_second_shard)
    file_of: dict[str, str] = {}
    for number, part in enumerate((names[:cut], names[cut:]), start=1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save_file({name: named[name] for name in part}, folder / file, metadata={"format": "pt"})
        file_of |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": sum(4 * t.numel() for t in named.values())}, "weight_map": file_of}
    _write_json(folder / "model.safetensors.index.json", index)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def ids(replicas: Iterable[Replica]) -> list[str]:
    """Names for pytest."""
    return [replica.name for replica in replicas]
