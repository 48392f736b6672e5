"""The reference backend: upstream's `generate()` in padded batches. It is slow, and defines the right result.

It adds to upstream's call: padding to the lengths of a bucket, noise that is keyed by each utterance's seed, a stop as
soon as the audio of every row is complete, and the cut of each output to its own length.
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import groupby, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from pipeline.config import EngineConfig
from pipeline.errors import ConfigError
from pipeline.synthesis import noise, upstream
from pipeline.synthesis.build import LoadedModel, load_model
from pipeline.synthesis.checkpoint import Checkpoint
from pipeline.synthesis.devices import choose_device, choose_dtype
from pipeline.types import Bucket, Clip, Finish, Sampling, Utterance

NUM_WARM_UPS = {"none": 0, "default": 1, "reduce-overhead": 2}  # the second one captures the CUDA graphs
_WARM_UP_STEPS = 3  # the prefill, and two steps of the shape that all later ones have


class ReferenceBackend:
    """A `Backend` that calls upstream's `generate()`."""

    def check(self, engine: EngineConfig) -> None:
        """See `Backend.check`."""
        device = choose_device(engine.device)
        dtype = choose_dtype(engine.dtype, device)
        if engine.attention != "flash_attention_2":
            return
        if find_spec("flash_attn") is None:
            raise ConfigError(
                "engine.attention=flash_attention_2: the package flash-attn is not installed (pip install flash-attn "
                "--no-build-isolation); engine.attention=sdpa needs no other package"
            )
        if device.type != "cuda" or dtype == torch.float32:
            raise ConfigError(
                "engine.attention=flash_attention_2: needs a CUDA device and bfloat16 or float16, not "
                f"{device} and {str(dtype).removeprefix('torch.')}; give engine.attention=sdpa"
            )

    def build(self, checkpoint: Checkpoint, engine: EngineConfig) -> ReferenceSynthesizer:
        """See `Backend.build`."""
        return ReferenceSynthesizer(load_model(checkpoint, engine), engine)


class ReferenceSynthesizer:
    """A `Synthesizer` that calls upstream's `generate()`. Made by `build_synthesizer`.

    Attributes:
        model: The loaded model.
    """

    def __init__(self, loaded: LoadedModel, engine: EngineConfig) -> None:
        model = loaded.parler
        self.info = loaded.info
        self.computed_frames = 0
        self.model = model
        self._tokenizers = loaded.tokenizers
        self._engine = engine
        self._sampling = loaded.sampling
        self._generation_config = copy.deepcopy(model.generation_config)
        if engine.compile != "none":
            # The dynamic cache counts its tokens in an attribute. As a constant it would cause a compilation each step.
            torch._dynamo.config.allow_unspec_int_on_nn_module = True
            model.forward = torch.compile(model.forward, mode=engine.compile)

    def warm_up(self, buckets: Iterable[Bucket]) -> None:
        """Compile for these shapes, with as many short generations as the mode of compilation needs."""
        for bucket in buckets:
            for _ in range(NUM_WARM_UPS[self._engine.compile]):
                rows = [Utterance("Warm up.", "A voice.")] * bucket.batch_size
                self._run(rows, bucket, max_steps=_WARM_UP_STEPS)

    def generate(self, utterances: Iterable[Utterance | None]) -> Iterator[Clip]:
        """Yield a clip for each utterance, batch by batch; None ends a batch.

        Consecutive utterances of the same bucket share a batch. Utterances without a bucket are padded to the longest
        in their batch of `engine.batch_size`.

        Raises:
            ValueError: A prompt or description is longer than its bucket.
        """
        for _, group in groupby(utterances, key=lambda utterance: utterance and (utterance.bucket,)):
            rows = (utterance for utterance in group if utterance is not None)
            while batch := list(islice(rows, 1)):
                shape = batch[0].bucket or Bucket(0, 0, self.info.max_frames, self._engine.batch_size)
                batch += islice(rows, shape.batch_size - 1)
                yield from self._generate_batch(batch, shape)

    def close(self) -> None:
        """Release the memory of the model."""
        del self.model
        gc.collect()
        if self.info.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def _generate_batch(self, rows: Sequence[Utterance], bucket: Bucket) -> Iterator[Clip]:
        # The shape of a bucket is fixed: a smaller batch is padded with copies of its first row.
        filled = [*rows, *[rows[0]] * (bucket.batch_size - len(rows))] if bucket.prompt_tokens else rows
        output, ended = self._run(filled, bucket)
        samples_per_frame = self.info.sampling_rate / self.info.frames_per_second
        for row, utterance in enumerate(rows):
            num_samples = int(output.audios_length[row])
            yield Clip(
                utterance=utterance,
                samples=output.sequences[row, :num_samples].float().cpu().numpy().astype(np.float32),
                sampling_rate=self.info.sampling_rate,
                num_frames=round(num_samples / samples_per_frame),
                finish=Finish.EOS if ended[row] else Finish.MAX_FRAMES,
                seed=utterance.seed,
            )

    @torch.inference_mode()
    def _run(self, rows: Sequence[Utterance], bucket: Bucket, max_steps: int | None = None) -> tuple[Any, Tensor]:
        """Call upstream's `generate()`; return its output, and `[B]` whether each row drew an end of sequence."""
        model, device = self.model, self.info.device
        prompts = self._tokenizers.prompts([row.prompt for row in rows], bucket.prompt_tokens).to(device)
        descriptions = self._tokenizers.descriptions([row.description for row in rows], bucket.description_tokens).to(
            device
        )
        padding = prompts.mask.shape[1] - prompts.mask.sum(dim=1)  # [B]
        model.set_prompt_padding(padding if bucket.prompt_tokens or padding.any() else None)

        config = copy.deepcopy(self._generation_config)
        config.max_length = bucket.max_frames + self.info.num_codebooks  # one start step, K - 1 steps of delay
        config.cache_implementation = "static" if self._engine.cache == "static" else None
        config.return_dict_in_generate = True
        config.do_sample = False  # the logits processors add noise: the largest score is the draw (see `noise`)
        config.temperature, config.top_k, config.top_p = 1.0, 50, 1.0
        model.generation_config = config  # upstream reads some settings from here, not from the call

        ending = _EndOfAudio(config.eos_token_id, self.info.num_codebooks, bucket.max_frames, max_steps)
        output = model.generate(
            input_ids=descriptions.ids,
            attention_mask=descriptions.mask,
            prompt_input_ids=prompts.ids,
            prompt_attention_mask=prompts.mask,
            logits_processor=self._logits_processors(rows, config.eos_token_id),
            stopping_criteria=StoppingCriteriaList([ending]),
        )
        self.computed_frames += len(rows) * ending.step
        return output, ending.ended

    def _logits_processors(self, rows: Sequence[Utterance], eos_token_id: int) -> LogitsProcessorList:
        device = self.info.device
        order_of_ends = upstream.ParlerTTSLogitsProcessor(eos_token_id, self.info.num_codebooks, len(rows), device)
        seeds = torch.tensor([row.seed for row in rows], device=device)
        return LogitsProcessorList([order_of_ends, *_warpers(self._sampling, seeds, self.info.num_codebooks)])


BACKEND = ReferenceBackend()


def _warpers(sampling: Sampling, seeds: Tensor, num_codebooks: int) -> list[LogitsProcessor]:
    """Return the processors after which the largest score is a draw; none for greedy decoding."""
    if not sampling.do_sample:
        return []
    chain: list[LogitsProcessor] = []
    if sampling.temperature != 1.0:
        chain.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        chain.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1.0:
        chain.append(TopPLogitsWarper(sampling.top_p))
    return [*chain, _KeyedNoise(seeds, num_codebooks)]


class _KeyedNoise(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed here
    """Adds Gumbel noise, keyed by each row's seed, to scores `[B * K, V]`."""

    def __init__(self, seeds: Tensor, num_codebooks: int) -> None:
        self.seeds = seeds  # [B]
        self.num_codebooks = num_codebooks

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        steps = torch.full_like(self.seeds, input_ids.shape[1] - 1)
        return scores + noise.gumbel(self.seeds, steps, self.num_codebooks, scores.shape[1]).flatten(0, 1)


class _EndOfAudio(StoppingCriteria):  # type: ignore[misc]
    """Stops a row K - 1 steps after its first codebook has ended: later steps do not change its audio.

    Upstream continues until every codebook of every row has drawn an end of sequence. It drops frames with special ids
    before decoding, so the audio is complete when the frame before the end has all its codes.
    """

    def __init__(self, eos_token_id: int, num_codebooks: int, max_frames: int, max_steps: int | None) -> None:
        self.eos_token_id = eos_token_id
        self.num_codebooks = num_codebooks
        self.max_frames = max_frames
        self.max_steps = max_steps
        self.step = 0
        self.ended = torch.zeros(0, dtype=torch.bool)  # [B] whether codebook 0 has drawn its end
        self.end_step = torch.zeros(0)  # [B] the step at which it did

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        self.step = step = input_ids.shape[1] - 1  # steps done
        first_codebook = input_ids[:: self.num_codebooks, -1]  # [B]
        if step == 1:
            self.ended = torch.zeros_like(first_codebook, dtype=torch.bool)
            self.end_step = torch.zeros_like(first_codebook)
        if step <= self.max_frames:
            ends_now = ~self.ended & (first_codebook == self.eos_token_id)
            self.end_step = torch.where(ends_now, step, self.end_step)
            self.ended = self.ended | ends_now
        done = self.ended & (step >= self.end_step + self.num_codebooks - 1)
        if self.max_steps is not None and step >= self.max_steps:
            done = torch.ones_like(done)
        return done.repeat_interleave(self.num_codebooks)
