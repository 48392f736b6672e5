"""The engine's `Synthesizer`: utterances in, clips out, with decoder, codec and caller in threads of their own."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from pipeline.config import EngineConfig
from pipeline.synthesis.build import LoadedModel
from pipeline.synthesis.engine.async_pipeline import PipelineLimits, run_pipeline
from pipeline.synthesis.engine.batched_codec import BatchedCodec, PendingCodes
from pipeline.synthesis.engine.codec import Codec, CodecStream, Samples, codec_dtype
from pipeline.synthesis.engine.conditioning import DescriptionEncoder
from pipeline.synthesis.engine.decoder_loop import DecoderLoop, GeneratedCodes, QueuedRequest, Stats
from pipeline.synthesis.engine.runner import DecoderModel, Request
from pipeline.synthesis.engine.sampling import TokenRules
from pipeline.synthesis.engine.strategy import Strategy, cpu_strategy, cuda_strategy
from pipeline.synthesis.engine.weights import fuse_decoder
from pipeline.types import Bucket, Clip, Utterance

MAX_IN_FLIGHT_PER_SLOT = 3  # utterances: one runs, one waits, one is with the codec or the caller
_FIRST_PIECE_FRAMES = 8  # of a stream: a tenth of a second
_MAX_BATCHED_CLIPS = 16  # that the codec decodes at once on a GPU
_LINGER_SECONDS = 0.2  # for so many clips: at 500 times real time, ten clips of ten seconds are generated in it

_log = logging.getLogger(__name__)


class EngineSynthesizer:
    """A `Synthesizer` with continuous batching, which can also stream. Made by `build_synthesizer`.

    Args:
        loaded: The model. Its decoder and codec cannot be used afterwards.
        engine: `slots` and `compile` are used.
        strategy: How the device is used; None: chosen by the kind of device.

    Attributes:
        decoder: The decoder stage.
        codec: The codec stage.
    """

    def __init__(self, loaded: LoadedModel, engine: EngineConfig, strategy: Strategy | None = None) -> None:
        model, self.info = loaded.parler, loaded.info
        is_cuda = model.device.type == "cuda"
        strategy = strategy or (cuda_strategy(model.device, engine.compile) if is_cuda else cpu_strategy())
        encoder = DescriptionEncoder(model)
        parts = DecoderModel(fuse_decoder(model), _token_rules(model), loaded.sampling, encoder)
        self.decoder = DecoderLoop(parts, loaded.info, engine, strategy)
        self.codec = Codec(model.audio_encoder, codec_dtype(model.device, parts.weights.dtype))
        self._batched_codec = BatchedCodec(self.codec) if strategy.batches_clips else None
        self._tokenizers = loaded.tokenizers
        self._in_use = threading.Lock()
        self._stats_lock = threading.Lock()

    @property
    def stats(self) -> Stats:
        """What has been done so far."""
        return self.decoder.stats

    @property
    def computed_frames(self) -> int:
        """Decoder steps so far, summed over all slots, idle ones included."""
        return self.stats.computed_frames

    def warm_up(self, buckets: Iterable[Bucket]) -> None:
        """Make slots large enough for these shapes, so that they need not grow; on a GPU, capture all graphs."""
        for bucket in buckets:
            self.decoder.reserve(bucket.prompt_tokens, bucket.description_tokens, bucket.max_frames)
        if self._batched_codec is None:
            return
        began = time.perf_counter()
        with self._exclusive():
            shapes = self.decoder.warm_up()
            captured = time.perf_counter()
            self._batched_codec.warm_up(self.info.num_codebooks)
        _log.info(
            "captured %d graphs (cache lengths %s; descriptions %s) in %.1f s; ran the codec's %d shapes in %.1f s",
            len(shapes),
            *(", ".join(map(str, sorted(set(sizes)))) for sizes in zip(*shapes, strict=True)),
            captured - began,
            len(self._batched_codec.windows.lengths),
            time.perf_counter() - captured,
        )

    def generate(self, utterances: Iterable[Utterance | None]) -> Iterator[Clip]:
        """Yield a clip for each utterance, as it is finished: about in the given order, at the end the longest first.

        At most `MAX_IN_FLIGHT_PER_SLOT` utterances for each slot are read before their clips are taken.

        Raises:
            ValueError: An utterance does not fit its bucket or the model; raised when it is read.
            ModelError: The model's output is not finite.
            RuntimeError: Another `generate` or `stream` of this synthesizer has not ended.
        """
        batches_clips = self._batched_codec is not None
        limits = PipelineLimits(
            max_in_flight=MAX_IN_FLIGHT_PER_SLOT * self.decoder.max_slots,
            num_finishers=self.decoder.codec_threads,
            max_batch=_MAX_BATCHED_CLIPS if batches_clips else 1,
            linger_seconds=_LINGER_SECONDS if batches_clips else 0.0,
        )
        requests = (
            utterance if utterance is None else QueuedRequest(utterance, self.encode(utterance))
            for utterance in utterances
        )
        with self._exclusive():
            yield from run_pipeline(requests, self.decoder.run, self._decode, limits)

    def stream(self, utterance: Utterance) -> Iterator[Samples]:
        """Yield the samples `[N]` of one utterance in pieces while it is generated. Together they are its clip.

        The first piece comes as early as the codec's context allows. Later pieces grow, since the codec decodes its
        context again for each of them.

        Raises:
            ValueError: The utterance does not fit its bucket or the model.
            ModelError: The model's output is not finite.
            RuntimeError: Another `generate` or `stream` of this synthesizer has not ended.
        """
        request = self.encode(utterance)
        with self._exclusive():
            runner = self.decoder.start(request)
            codec_stream = CodecStream(self.codec)
            ready, piece, is_last = 0, _FIRST_PIECE_FRAMES, False
            while not is_last:
                wanted = max(ready, self.codec.context_frames) + piece
                codes, is_last = self.decoder.extend(runner, utterance, wanted)
                yield codec_stream.extend(codes, is_last=is_last)
                ready, piece = codes.shape[1], min(2 * piece, round(self.info.frames_per_second))

    def close(self) -> None:
        """Release the memory of the model."""
        del self.decoder, self.codec, self._batched_codec
        gc.collect()
        if self.info.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def encode(self, utterance: Utterance) -> Request:
        """Return an utterance as token ids.

        Raises:
            ValueError: It does not fit its bucket or the positions of the model.
        """
        bucket = utterance.bucket
        prompt = self._tokenizers.prompts([utterance.prompt], bucket.prompt_tokens if bucket else 0)
        description = self._tokenizers.descriptions([utterance.description], bucket.description_tokens if bucket else 0)
        request = Request(
            prompt=tuple(prompt.ids[prompt.mask.bool()].tolist()),
            description=tuple(description.ids[description.mask.bool()].tolist()),
            max_frames=bucket.max_frames if bucket else self.info.max_frames,
            seed=utterance.seed,
        )
        positions = request.positions(self.info.num_codebooks)
        max_positions = self.decoder.weights.max_positions
        if request.max_frames < 1 or positions > max_positions:
            raise ValueError(
                f"{utterance.id or utterance.prompt[:80]!r} does not fit: {len(request.prompt)} prompt tokens and "
                f"{request.max_frames} frames need {positions} positions, and the model has {max_positions}"
            )
        return request

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Refuse a second caller, which would overwrite the slots and caches of the first one."""
        if not self._in_use.acquire(blocking=False):
            raise RuntimeError("this synthesizer is still generating: finish or close that generator first")
        try:
            yield
        finally:
            self._in_use.release()

    def _decode(self, generated: Sequence[GeneratedCodes]) -> list[Clip]:
        """Decode codes into clips. Runs in the codec's threads."""
        began = time.perf_counter()
        if self._batched_codec is not None:
            samples = self._batched_codec.decode([PendingCodes(each.codes, each.ready) for each in generated])
        else:
            torch.set_num_threads(1)
            samples = [self.codec.decode(each.codes) for each in generated]
        with self._stats_lock:
            self.stats.codec_seconds += time.perf_counter() - began
        return [self._clip(each, of_clip) for each, of_clip in zip(generated, samples, strict=True)]

    def _clip(self, generated: GeneratedCodes, samples: Samples) -> Clip:
        return Clip(
            utterance=generated.utterance,
            samples=samples,
            sampling_rate=self.info.sampling_rate,
            num_frames=generated.codes.shape[1],
            finish=generated.finish,
            seed=generated.utterance.seed,
        )


def _token_rules(model: Any) -> TokenRules:
    config = model.generation_config
    bias = torch.zeros(model.config.decoder.vocab_size, device=model.device)
    bias[config.suppress_tokens or []] = -torch.inf
    return TokenRules(
        bos=config.bos_token_id,
        eos=config.eos_token_id,
        pad=config.pad_token_id,
        min_steps=config.min_new_tokens or 0,
        bias=bias,
    )
