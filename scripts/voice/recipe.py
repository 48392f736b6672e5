"""Every size and number of the recipe, in one place, with presets for the machines it was written for.

`tiny` proves in seconds that all stages run; `cpu` is what a few hours on two cores can train; `gpu` has the shape of
the voices that ship (docs/log/voice.md says how far a quarter of an hour of one large GPU took it). A folder is made
with one recipe from beginning to end: it is kept there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod


@dataclass(frozen=True)
class SpeechRecipe:
    """What is spoken, and how much of it."""

    hours: float = 6.0  # of training speech
    held_out: int = 1_000  # sentences that are spoken, but never trained on
    counted: int = 1_000  # sentences of which silent and runaway clips are counted; the teacher does not speak them
    segment_seconds: tuple[float, ...] = (4.0, 8.0, 14.0)  # books are cut with each of these limits in turn
    own_share: float = 0.15  # of the segments: our own sentences with numbers, names, questions
    paces: tuple[tuple[str, float, float], ...] = (  # word of the description, speed of the teacher, weight
        ("slow", 0.8, 1.0),
        ("moderate", 1.0, 3.0),
        ("fast", 1.25, 1.0),
    )
    shard_lines: int = 100
    lexicon: int = 8_000  # words that the tokenizer knows by sound, at most


@dataclass(frozen=True)
class CodecRecipe:
    """Shape and training of the codec. Ratios are even: an odd one loses samples in transformers' DacDecoder.

    That goes through them backwards: 80, 800, 8,000 and 16,000 steps a second with the ratios below. The last of them
    is 2: codes say how high a voice is for both halves of a frame.
    """

    sampling_rate: int = 16_000
    ratios: tuple[int, ...] = (2, 10, 10, 2)  # hop 400: 40 frames/s, the teacher's own grid of phoneme durations
    hidden: int = 64  # width of the vectors in a codebook
    decoder_hidden: int = 512
    codebook_size: int = 512
    quantizer_frames: int = 300_000  # that the quantizer is fitted to
    heard_hours: float = 2.0  # of speech that the codec's decoder hears, of all speakers alike
    crop_frames: int = 40
    batch: int = 32
    decoder_steps: int = 12_000
    adversarial_from: int = 4_000  # step at which the discriminators join; at or over decoder_steps: never
    discriminator_width: int = 128
    learning_rate: float = 1e-3

    @property
    def codebooks(self) -> int:
        """K. Which token of the prompt is spoken, which sound, who speaks how high, how loud, and the voice's phase."""
        return 5

    @property
    def hop(self) -> int:
        """Samples in a frame."""
        return prod(self.ratios)

    @property
    def frames_per_second(self) -> float:
        """Codec frames in a second of audio."""
        return self.sampling_rate / self.hop


@dataclass(frozen=True)
class DecoderRecipe:
    """Shape and training of the Parler decoder and its text encoder."""

    hidden: int = 256
    layers: int = 8
    heads: int = 4
    ffn: int = 1024
    text_hidden: int = 128
    text_layers: int = 2
    dropout: float = 0.0
    max_positions: int = 2048
    batch_positions: int = 4_000  # of prompts and frames
    steps: int = 12_000
    warm_up_steps: int = 500
    learning_rate: float = 1e-3
    corrupted: float = 0.03  # share of input frames replaced by random codes: the decoder learns to recover
    guided_layers: tuple[int, ...] = (0, 2)  # whose first head is shown where in the prompt the speech is
    guidance: float = 0.5  # weight of that loss
    spelled: float = 0.07  # share of known words that are given as letters: the decoder learns to read the others
    max_seconds: float = 20.0  # longest audio that it is asked for
    temperature: float = 0.25  # of its sampling, in the checkpoint's own generation config and in the evaluation
    ending: float = 1.5  # factor of the weights of the end, in the checkpoint: at a low temperature it is missed else
    top_k: int = 50


@dataclass(frozen=True)
class Recipe:
    """The whole recipe."""

    speech: SpeechRecipe = field(default_factory=SpeechRecipe)
    codec: CodecRecipe = field(default_factory=CodecRecipe)
    decoder: DecoderRecipe = field(default_factory=DecoderRecipe)
    seed: int = 0
    save_seconds: float = 120.0  # time between two checkpoints of a training


TINY = Recipe(
    SpeechRecipe(hours=0.02, held_out=4, counted=4, segment_seconds=(3.0,), shard_lines=10),
    CodecRecipe(
        hidden=16,
        decoder_hidden=256,
        codebook_size=64,
        quantizer_frames=1_000,
        heard_hours=0.01,
        crop_frames=16,
        batch=4,
        decoder_steps=4,
        adversarial_from=2,
        discriminator_width=16,
    ),
    DecoderRecipe(
        hidden=32, layers=2, heads=2, ffn=64, text_hidden=32, text_layers=1, batch_positions=300, steps=6,
        warm_up_steps=2, guided_layers=(0,), max_seconds=4.0,
    ),
)  # fmt: skip

CPU = Recipe(
    SpeechRecipe(hours=12.0, held_out=300),
    CodecRecipe(
        quantizer_frames=120_000, crop_frames=32, batch=8, decoder_steps=20_000, adversarial_from=600,
    ),
    DecoderRecipe(
        hidden=256, layers=6, batch_positions=4_000, steps=20_000, warm_up_steps=50, learning_rate=1e-3
    ),
)  # fmt: skip

GPU = Recipe(
    SpeechRecipe(hours=24.0, held_out=200),
    CodecRecipe(
        quantizer_frames=150_000, decoder_steps=20_000, adversarial_from=300,
        discriminator_width=256,
    ),
    DecoderRecipe(dropout=0.1, batch_positions=32_000, steps=20_000, warm_up_steps=50),
)  # fmt: skip

PRESETS = {"tiny": TINY, "cpu": CPU, "gpu": GPU}
