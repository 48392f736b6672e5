"""The engine's Synthesizer: utterances in, clips out, with decoder, codec and caller side by side.

Owns how an utterance becomes ids, and codes a clip. The work itself is done in the other files of this folder.
"""

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
from pipeline.synthesis.engine.async_pipeline import overlapped
from pipeline.synthesis.engine.batches import BatchedCodec, Codes
from pipeline.synthesis.engine.codec import Codec, CodecStream, Samples, codec_dtype
from pipeline.synthesis.engine.conditioning import DescriptionEncoder
from pipeline.synthesis.engine.decoder_loop import DecoderLoop, GeneratedCodes, QueuedRequest, Stats
from pipeline.synthesis.engine.runner import Request
from pipeline.synthesis.engine.sampling import Rules
from pipeline.synthesis.engine.weights import weights_of
from pipeline.types import Bucket, Clip, Finish, Utterance

_log = logging.getLogger(__name__)
_FIRST_PIECE_FRAMES = 8  # of a stream: a tenth of a second
_UNDER_WAY = 3  # utterances for each slot: one runs, one waits, one is with the codec or the caller
_TOGETHER_ON_GPU = 16  # clips that the codec decodes at once, at most
_LINGER_SECONDS_ON_GPU = 0.2  # for so many; at 500 times real time ten clips of ten seconds come in it


class EngineSynthesizer:
    """Synthesizer with continuous batching. Made by `build_synthesizer`."""

    def __init__(self, loaded: LoadedModel, engine: EngineConfig) -> None:
        self.info = info = loaded.info
        self._tokenizers = loaded.tokenizers
        model = loaded.parler
        encoder = DescriptionEncoder(model)
        self._decoding = DecoderLoop(weights_of(model), _rules(model), encoder, info, engine, loaded.sampling)
        self._codec = Codec(model.audio_encoder, codec_dtype(model.device, self._decoding.weights.dtype))
        self._busy = threading.Lock()
        self._codec_lock = threading.Lock()
        on_gpu = model.device.type == "cuda"
        self._batched_codec = BatchedCodec(self._codec) if on_gpu else None

    @property
    def stats(self) -> Stats:
        """What has been done so far."""
        return self._decoding.stats

    @property
    def computed_frames(self) -> int:
        """Rows x steps so far, empty rows included."""
        return self.stats.computed_frames

    def warm_up(self, buckets: Iterable[Bucket]) -> None:
        """Makes slots large enough for these shapes, so that they need not grow later; on a GPU, records all graphs."""
        for bucket in buckets:
            self._decoding.announce(bucket.prompt_tokens, bucket.description_tokens, bucket.max_frames)
        if self._batched_codec is None:
            return
        began = time.perf_counter()
        with self._alone():
            shapes = self._decoding.warm_up()
            recorded = time.perf_counter()
            self._batched_codec.warm_up(self.info.num_codebooks)
        _log.info(
            "recorded %d graphs (cache lengths %s; descriptions %s) in %.1f s; met the codec's %d shapes in %.1f s",
            len(shapes),
            *(", ".join(map(str, sorted(set(sizes)))) for sizes in zip(*shapes, strict=True)),
            recorded - began,
            len(self._batched_codec.windows.lengths),
            time.perf_counter() - recorded,
        )

    def generate(self, utterances: Iterable[Utterance | None]) -> Iterator[Clip]:
        """Yields a clip for each utterance, as they are done: about in the order given, at the end the longest first.

        Utterances are drawn in the caller's thread, inside `next`, and only a few times as many as there are slots
        before their clips are taken: an iterable may be endless, and may depend on the clips that came of it.

        Raises:
            ValueError: An utterance that cannot fit, when it is drawn.
            ModelError: The model's output is not finite.
            RuntimeError: Another `generate` or `stream` of this synthesizer has not come to its end.
        """
        with self._alone():
            yield from overlapped(
                (
                    utterance if utterance is None else QueuedRequest(utterance, self._request(utterance))
                    for utterance in utterances
                ),
                self._decoding.run,
                self._finish,
                finishers=self._decoding.codec_threads,
                under_way=_UNDER_WAY * self._decoding.max_slots,
                at_once=_TOGETHER_ON_GPU if self._batched_codec else 1,
                linger_seconds=_LINGER_SECONDS_ON_GPU if self._batched_codec else 0.0,
            )

    def stream(self, utterance: Utterance) -> Iterator[Samples]:
        """Yields the clip of one utterance in pieces, while it is generated. Together they are its clip.

        The first piece comes as early as the codec's context allows; the later ones grow, since each decodes its
        context anew.

        Raises:
            Like `generate`.
        """
        request = self._request(utterance)
        with self._alone():
            runner = self._decoding.begin(request)
            pieces = CodecStream(self._codec)
            ready, piece, is_last = 0, _FIRST_PIECE_FRAMES, False
            while not is_last:
                wanted = max(ready, self._codec.context_frames) + piece
                codes, is_last = self._decoding.grow(runner, utterance, wanted)
                yield pieces.extend(codes, is_last=is_last)
                ready, piece = codes.shape[1], min(2 * piece, round(self.info.frames_per_second))

    def close(self) -> None:
        """Frees the model's memory."""
        del self._decoding, self._codec, self._batched_codec
        gc.collect()
        if self.info.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def _request(self, utterance: Utterance) -> Request:
        """The utterance in ids, if it fits."""
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
        most = self._decoding.weights.max_positions
        if request.max_frames < 1 or positions > most:
            raise ValueError(
                f"{utterance.id or utterance.prompt[:80]!r} does not fit: {len(request.prompt)} prompt tokens and "
                f"{request.max_frames} frames take {positions} positions of the model's {most}"
            )
        return request

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Slots and caches are there once: two callers at a time would write over each other."""
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("this synthesizer is still generating: finish or close that generator first")
        try:
            yield
        finally:
            self._busy.release()

    def _finish(self, takes: Sequence[GeneratedCodes]) -> list[Clip]:
        """A codec thread's work."""
        began = time.perf_counter()
        if self._batched_codec is not None:
            samples = self._batched_codec.decode([Codes(take.codes, take.made) for take in takes])
        else:
            torch.set_num_threads(1)
            samples = [self._codec.decode(take.codes) for take in takes]
        with self._codec_lock:
            self.stats.codec_seconds += time.perf_counter() - began
        return [self._clip(take, of_take) for take, of_take in zip(takes, samples, strict=True)]

    def _clip(self, take: GeneratedCodes, samples: Samples) -> Clip:
        return Clip(
            utterance=take.utterance,
            samples=samples,
            sampling_rate=self.info.sampling_rate,
            num_frames=take.codes.shape[1],
            finish=Finish.EOS if take.ended else Finish.MAX_FRAMES,
            seed=take.utterance.seed,
        )


def _rules(model: Any) -> Rules:
    config = model.generation_config
    bias = torch.zeros(model.config.decoder.vocab_size, device=model.device)
    bias[config.suppress_tokens or []] = -torch.inf
    return Rules(
        bos=config.bos_token_id,
        eos=config.eos_token_id,
        pad=config.pad_token_id,
        min_steps=config.min_new_tokens or 0,
        bias=bias,
    )
