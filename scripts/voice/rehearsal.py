"""True speech with the codes that the decoder draws while it hears it: what the codec is trained on at last.

A codec that has only seen the quantizer's codes meets the decoder's small errors for the first time when the voice
speaks, and makes noise of them. Here the decoder draws the residual codes of speech that it is shown, level by level,
each after the lower ones that it has drawn. Place and sound stay true, and so does what it has heard before: the codes
stay in time with the speech.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scripts.voice.codec import Codes, codes_path
from scripts.voice.decoder import Decoder, Example, collate
from scripts.voice.decoder_training import Order
from scripts.voice.loop import quick_products
from scripts.voice.quantizer import in_turn
from scripts.voice.reading import Reader
from scripts.voice.recipe import Recipe
from scripts.voice.speech import Shard, Utterance, write_shard

_BATCH_POSITIONS = 8_000


@dataclass(frozen=True)
class Rehearsal:
    """A decoder that draws, and how it does."""

    decoder: Decoder
    reader: Reader
    recipe: Recipe
    device: torch.device

    def write(self, speech: Sequence[Shard], codes: Sequence[Codes], folder: Path) -> None:
        """Writes new shards of `recipe.rehearsed_hours`, all speakers alike: `speech/NAME` and `codes/NAME`.

        Those that are there already are left alone.
        """
        began, frames, hop = time.monotonic(), 0, self.recipe.codec.hop
        for name in ("speech", "codes"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.decoder.model.eval()
        codes_of = {shard.path: rows for shard, rows in zip(speech, codes, strict=True)}
        for number, chosen in enumerate(self._chosen(speech)):
            path = folder / "speech" / f"train-{number:04d}.npy"
            if path.exists():
                continue
            true = [
                codes_of[shard.path][one.start // hop : (one.start + one.num_samples) // hop] for shard, one in chosen
            ]
            drawn = self.drawn([Example(one, rows) for (_, one), rows in zip(chosen, true, strict=True)])
            np.save(codes_path(folder / "codes", Shard(path)), np.concatenate(drawn))
            pieces = [shard.samples[one.start : one.start + one.num_samples] for shard, one in chosen]
            write_shard(path, [one for _, one in chosen], pieces)  # last: it says that all is there
            frames += sum(map(len, drawn))
            print(f"rehearsal: {path.stem}, {frames / (time.monotonic() - began):.0f} frames/s", flush=True)

    def _chosen(self, speech: Sequence[Shard]) -> Iterator[list[tuple[Shard, Utterance]]]:
        """The utterances of each new shard."""
        chosen: list[tuple[Shard, Utterance]] = []
        seconds = 0.0
        for shard, utterance in in_turn(speech, self.recipe.seed):
            if seconds >= self.recipe.rehearsed_hours * 3600:
                break
            chosen.append((shard, utterance))
            seconds += utterance.num_samples / self.recipe.codec.sampling_rate
            if len(chosen) == self.recipe.speech.shard_lines:
                yield chosen
                chosen = []
        if chosen:
            yield chosen

    @torch.inference_mode()
    def drawn(self, examples: Sequence[Example]) -> list[Codes]:
        """For each example its codes `[T, K - 1]`, all but the first column as the decoder draws them."""
        generator = torch.Generator(self.device).manual_seed(self.recipe.seed)
        now = {id(example.utterance): example for example in examples}
        for group in Order(examples, _BATCH_POSITIONS, seed=0).batches:
            keys = [id(example.utterance) for example in group]
            for level in range(1, group[0].codes.shape[1]):
                columns = self._draw([now[key] for key in keys], level, generator)
                for key, column in zip(keys, columns, strict=True):
                    codes = now[key].codes.copy()
                    codes[:, level] = column.cpu().numpy()
                    now[key] = replace(now[key], codes=codes)
        return [now[id(example.utterance)].codes for example in examples]

    def _draw(self, examples: Sequence[Example], level: int, generator: torch.Generator) -> list[Tensor]:
        """What the decoder draws at one level of the quantizer `[T]`, of each example."""
        recipe = replace(self.recipe.decoder, corrupted=0.0, spelled=0.0)
        batch = collate(examples, self.reader, recipe, self.recipe.codec, (self.recipe.seed, level)).to(self.device)
        codebook = level + 1  # places come first, which the quantizer does not know
        with quick_products(self.device):
            states = self.decoder.states(batch)[:, -batch.labels.shape[2] :]
            scores = self.decoder.model.decoder.lm_heads[codebook](states)[..., : self.recipe.codec.codebook_size]
        best, ids = (scores.float() / recipe.temperature).topk(min(recipe.top_k, scores.shape[-1]))
        picks = torch.multinomial(best.softmax(dim=-1).flatten(0, 1), 1, generator=generator)
        chosen = ids.gather(2, picks.view(*ids.shape[:2], 1))[..., 0]
        # A codebook's code of a frame is drawn as many steps later as the codebook counts.
        return [chosen[row, codebook : codebook + len(one.codes)] for row, one in enumerate(examples)]
