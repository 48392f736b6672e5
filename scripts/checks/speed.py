"""Is it fast: steps beside what the memory allows, the codec by batch, the whole engine, the first audio."""

from __future__ import annotations

import dataclasses
import gc
import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.synthesis.engine.batched_codec import BatchedCodec, PendingCodes
from pipeline.synthesis.engine.cache import bytes_per_position
from pipeline.synthesis.engine.decoder_loop import Stats
from pipeline.synthesis.engine.engine import EngineSynthesizer
from pipeline.synthesis.engine.runner import Request, Runner, SlotShape
from pipeline.synthesis.engine.transfers import record_event
from pipeline.synthesis.untrained import UntrainedShape
from pipeline.types import Bucket, Utterance
from scripts.bench import SHAPES, sentences, shares
from scripts.cases import TINY
from scripts.checks.exactness import DTYPES, name_of
from scripts.checks.setting import PUBLISHED_CODEC, Check, Setting


@dataclass(frozen=True)
class Load:
    """What is measured with."""

    slots: tuple[int, ...]
    clip_seconds: float
    clips_of_a_codec: tuple[int, ...]
    steps: int


FULL = Load((32, 64, 128, 256), 10.0, (1, 4, 16), 40)
SMALL = Load((4, 8), 1.0, (1, 3), 3)


def checks(setting: Setting) -> list[Check]:
    """All of this file."""
    load = SMALL if setting.tiny else FULL
    dtypes = DTYPES[:1] if setting.tiny else DTYPES
    return [
        *[
            Check(f"codec, {name_of(dtype)}", partial(codec_factor, setting, load, dtype), measures=True)
            for dtype in dtypes
        ],
        Check(
            "codec, float16, channels last",
            partial(codec_factor, setting, load, torch.float16, channels_last),
            True,
            needs_cuda=True,
        ),
        Check("attention of one layer", partial(attentions, setting), measures=True, needs_cuda=True),
        *[check for name in setting.shapes for check in checks_of_a_shape(setting, load, name)],
    ]


def checks_of_a_shape(setting: Setting, load: Load, name: str) -> list[Check]:
    """Those that share one engine, which the last of them closes."""
    shape = SHAPES[name]

    @cache
    def engine() -> EngineSynthesizer:
        return setting.engine(shape, dtype=setting.dtype, slots=0 if setting.device.type == "cuda" else load.slots[-1])

    def close() -> str:
        peak = engine().stats.peak_bytes
        engine().close()
        engine.cache_clear()
        gc.collect()
        return f"peak memory {peak / 2**30:.1f} GiB"

    return [
        *[
            Check(f"{name}: step of {slots} slots", partial(step_time, setting, load, engine, shape, slots), True)
            for slots in load.slots
        ],
        Check(f"{name}: warm-up of a plan", lambda: warm_up(engine()), needs_cuda=True),
        Check(f"{name}: clips of {load.clip_seconds:.0f} s", lambda: whole(load, engine(), shape), True),
        Check(f"{name}: first audio of a stream", lambda: first_audio(load, engine(), shape), True),
        Check(f"{name}: memory", close, True),
    ]


def codec_factor(
    setting: Setting, load: Load, dtype: torch.dtype, prepare: Callable[[nn.Module], None] = lambda module: None
) -> str:
    """Seconds of audio that the codec makes in a second, by clips at once."""
    codec, shape = setting.codec(dtype), TINY if setting.tiny else PUBLISHED_CODEC
    for stage in codec.stages:
        prepare(stage.module)
    batched, frames, found = BatchedCodec(codec), round(load.clip_seconds * shape.frames_per_second), []
    for count in load.clips_of_a_codec:
        codes = torch.zeros(shape.codebooks, frames, dtype=torch.int64, device=setting.device)
        clips = [PendingCodes(codes, record_event(setting.device)) for _ in range(count)]
        seconds = setting.seconds(lambda clips=clips: batched.decode(clips), 3)  # type: ignore[misc]
        found.append(f"{count}: {count * load.clip_seconds / seconds:.0f}x")
    return f"real time by clips of {load.clip_seconds:.0f} s at once: " + ", ".join(found)


class ChannelsLast(nn.Module):
    """A convolution in two dimensions, one of them of length 1: only such ones keep channels last."""

    def __init__(self, convolution: nn.Conv1d | nn.ConvTranspose1d) -> None:
        super().__init__()
        self.convolution = convolution
        self.weight = convolution.weight.detach()[:, :, None].contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, channels, L]` to `[B, channels', L']`."""
        old, x = self.convolution, x[:, :, None].contiguous(memory_format=torch.channels_last)
        stride, padding, dilation = (1, old.stride[0]), (0, int(old.padding[0])), (1, old.dilation[0])
        if isinstance(old, nn.ConvTranspose1d):
            rest = (0, old.output_padding[0])
            made = functional.conv_transpose2d(x, self.weight, old.bias, stride, padding, rest, 1, dilation)
        else:
            made = functional.conv2d(x, self.weight, old.bias, stride, padding, dilation)
        return made[:, :, 0]


def channels_last(module: nn.Module) -> None:
    """Keep activations in the order that tensor cores read, which the engine does not do yet."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv1d | nn.ConvTranspose1d):
                setattr(parent, name, ChannelsLast(child))


@torch.inference_mode()
def attentions(setting: Setting) -> str:
    """Rows spread over a clip: the engine's attention, and others that might take its place."""
    rows, heads, capacity, width = 128, 16, 1024, 64
    options: Any = {"dtype": torch.bfloat16, "device": setting.device}
    q = torch.randn(rows, heads, 1, width, **options)
    k, v = torch.randn(2, rows, heads, capacity, width, **options)
    lengths = torch.linspace(1, capacity, rows, device=setting.device).int()
    seen = torch.arange(capacity, device=setting.device) < lengths[:, None]
    bias = torch.zeros(rows, capacity, **options).masked_fill(~seen, -torch.inf)[:, None, None]
    starts = torch.arange(rows + 1, device=setting.device, dtype=torch.int32)
    packed = [part.transpose(1, 2).reshape(-1, heads, width) for part in (q, k, v)]

    def products() -> Tensor:
        scores = torch.matmul(q * width**-0.5, k.transpose(2, 3)) + bias
        return torch.matmul(scores.softmax(dim=-1), v)

    def own_lengths() -> Tensor:
        from torch.nn.attention.varlen import varlen_attn  # some torch has none

        made = varlen_attn(packed[0], packed[1], packed[2], starts, starts * capacity, 1, capacity, seqused_k=lengths)
        assert isinstance(made, Tensor)
        return made.view(rows, heads, 1, width)

    candidates: dict[str, Callable[[], Tensor]] = {
        "as the engine does": lambda: functional.scaled_dot_product_attention(q, k, v, attn_mask=bias),
        "two products": products,
        "own lengths": own_lengths,
    }
    expected, found = candidates["as the engine does"](), []
    for name, candidate in candidates.items():
        try:
            off = float((candidate().float() - expected.float()).abs().max())
            seconds = setting.seconds(lambda candidate=candidate: [candidate() for _ in range(20)], 3)  # type: ignore[misc]
            found.append(f"{name} {1e6 * seconds / 20:.0f} us (off by {off:.0e})")
        except (ImportError, RuntimeError, TypeError, ValueError) as error:  # of this torch or this GPU
            found.append(f"{name}: {str(error).splitlines()[0][:60]}")
    least = 2 * float(lengths.sum()) * heads * width * 2 / setting.bandwidth
    return ", ".join(found) + f"; the memory allows {1e6 * least:.0f} us"


@torch.inference_mode()
def step_time(
    setting: Setting, load: Load, engine: Callable[[], EngineSynthesizer], shape: UntrainedShape, slots: int
) -> str:
    """Rows spread evenly over a clip, so that their mean position is its half."""
    decoder, frames = engine().decoder, round(load.clip_seconds * shape.frames_per_second)
    decoder.release()  # its memory is needed
    limit = frames + 5 * load.steps
    runner = Runner(decoder.model, slots, SlotShape(limit + shape.codebooks + 16, 64, limit), decoder.strategy)
    runner.admit([(slot, Request((5,) * 16, (6,) * 16, limit, slot)) for slot in range(slots)])
    spread = torch.linspace(0, frames - 5 * load.steps, slots).long()  # halfway, the mean is half a clip
    runner.state.rows.positions.add_(spread.to(setting.device))
    runner.positions = {slot: at + int(spread[slot]) for slot, at in runner.positions.items()}

    seconds = setting.seconds(lambda: runner.advance(load.steps), 3) / load.steps
    of_weights = num_weights(shape) * decoder.weights.dtype.itemsize
    num_bytes = of_weights + slots * (16 + frames / 2) * bytes_per_position(decoder.weights)
    least = num_bytes / setting.bandwidth
    return (
        f"{1e3 * seconds:.2f} ms, {slots / seconds / shape.frames_per_second:.0f}x real time; {num_bytes / 1e9:.1f} GB "
        f"take {1e3 * least:.2f} ms: {least / seconds:.0%} of the roofline"
    )


def num_weights(shape: UntrainedShape) -> int:
    """Weights that a step reads; keys and values across are made once."""
    keys_and_values = 2 * shape.hidden // shape.heads * shape.kv_heads
    of_layer = shape.hidden * (4 * shape.hidden + keys_and_values + 2 * shape.ffn)
    return shape.layers * of_layer + shape.codebooks * 1088 * shape.hidden


def warm_up(engine: EngineSynthesizer) -> str:
    """With the longest bucket that the default plan has."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("pipeline.synthesis.engine.engine")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    began = time.perf_counter()
    try:
        engine.warm_up([Bucket(512, 256, engine.info.max_frames, 1)])
    finally:
        logger.removeHandler(handler)
    if (seconds := time.perf_counter() - began) > 60:
        raise AssertionError(f"{seconds:.0f} s, wanted are 60; {messages[-1]}")
    return messages[-1]


def whole(load: Load, engine: EngineSynthesizer, shape: UntrainedShape) -> str:
    """Clips of one length, three for each slot: at the end slots stand empty, as in a run."""
    slots = engine.decoder.max_slots
    list(engine.generate(forced(load, shape, slots)[: max(1, slots // 4)]))
    engine.decoder.stats = Stats()
    began = time.perf_counter()
    audio_seconds = sum(clip.seconds for clip in engine.generate(forced(load, shape, 3 * slots)))
    seconds, stats = time.perf_counter() - began, engine.stats
    return (
        f"{audio_seconds:.0f} s of audio in {seconds:.1f} s: {audio_seconds / seconds:.0f}x real time; "
        f"{stats.steps / seconds:.0f} steps/s, occupancy {stats.occupancy:.0%}; {shares(stats)}"
    )


def first_audio(load: Load, engine: EngineSynthesizer, shape: UntrainedShape) -> str:
    """From the call to the first piece that holds samples."""

    def once(utterance: Utterance) -> float:
        began = time.perf_counter()
        for samples in engine.stream(utterance):
            if len(samples):
                return time.perf_counter() - began
        raise AssertionError("a stream without samples")

    taken = [once(utterance) for utterance in forced(load, shape, 6)][1:]
    return f"{1e3 * statistics.median(taken):.0f} ms in the median, {1e3 * max(taken):.0f} at most"


def forced(load: Load, shape: UntrainedShape, count: int) -> list[Utterance]:
    """Utterances whose clips have one length."""
    bucket = Bucket(0, 0, round(load.clip_seconds * shape.frames_per_second), 1)
    return [
        dataclasses.replace(utterance, bucket=bucket, predicted_seconds=load.clip_seconds)
        for utterance in sentences(shape, count, 1.0)
    ]
