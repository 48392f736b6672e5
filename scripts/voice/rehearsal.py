"""True speech with the codes that the decoder draws while it hears it, and what these codes are to stand for.

The decoder draws the residual codes of speech that it is shown, level by level, each after the lower ones that it has
drawn. Place and sound stay true, and so does what it has heard before: the codes stay in time with the speech.

A code that is drawn is rarely the nearest one, and the higher its level, the more it is a guess: with the quantizer's
own codebooks, those above the third only take a drawn frame further from the true one. `refitted` moves each code
towards what is true, on average, where the decoder draws it; so a level of guesses fades. Guesses of neighbouring
frames err in different ways: `fit_smoother` finds what all of them together say of each.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scripts.voice.codec import Codes, codes_path
from scripts.voice.decoder import Decoder, Example, collate
from scripts.voice.decoder_training import Order
from scripts.voice.loop import quick_products
from scripts.voice.quantizer import Quantizer, in_turn, mean_error
from scripts.voice.reading import Reader
from scripts.voice.recipe import Recipe
from scripts.voice.speech import Shard, Utterance, write_shard

_BATCH_POSITIONS = 8_000
_REFITTED = 0.6  # how far codes go from what they stood for to their means, which are nearest but sound dull
_TAPS = 7  # frames that the first layer of a DacDecoder hears
_RIDGE = 3.0  # added to the sum of squares of each latent, of some hundred thousand frames
_RARE = 10.0  # a code that is drawn no more often than this is trusted half


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


def refitted(quantizer: Quantizer, speech: Sequence[Shard], codes: Sequence[Codes], recipe: Recipe) -> Quantizer:
    """The quantizer with codebooks that fit drawn codes, and prints what they leave of the true frames."""
    frames, drawn = zip(*_frames_and_codes(quantizer, speech, codes, recipe), strict=True)
    rest, columns = torch.cat(frames), torch.cat(drawn).T
    rest = rest - quantizer.codebooks[0][columns[0]]
    old, new, codebooks, left = rest, rest, [quantizer.codebooks[0]], []
    for column, codebook in zip(columns[1:], quantizer.codebooks[1:], strict=True):
        count = torch.bincount(column, minlength=len(codebook))[:, None]
        means = torch.zeros_like(codebook).index_add_(0, column, rest) / (count + _RARE)
        rest = rest - means[column]
        codebooks.append(torch.lerp(codebook, means, _REFITTED))
        old, new = old - codebook[column], new - codebooks[-1][column]
        left.append(f"{mean_error(old):.3f} -> {mean_error(new):.3f}")
    print(
        f"rehearsal: {len(rest)} frames; left by drawn codes before and after, by codebook: {', '.join(left)}",
        flush=True,
    )
    return replace(quantizer, codebooks=torch.stack(codebooks))


def fit_smoother(quantizer: Quantizer, speech: Sequence[Shard], codes: Sequence[Codes], recipe: Recipe) -> Tensor:
    """Fits what true frames are, given the drawn codes there and around them, and prints how near that comes.

    It is linear in what codes stand for, each codebook by itself, so that the first layer of the codec's decoder, which
    hears as many frames, can take it in (`whole.assembled`): a Wiener filter, by least squares.

    Args:
        quantizer: With the codebooks that the codec is to have, K - 1.
        speech: Shards of speech.
        codes: What was drawn for each.
        recipe: Of the voice.

    Returns:
        `[taps * (K - 1) * hidden + 1, taps * hidden]`: from latents of all taps, tap by tap and codebook by codebook,
        and a one, to the true frames of all taps.
    """
    size = _TAPS * quantizer.codebooks.shape[2]
    gram = torch.zeros(len(quantizer.codebooks) * size + 1, len(quantizer.codebooks) * size + 1, dtype=torch.float64)
    products = torch.zeros(len(gram), size, dtype=torch.float64)
    pairs = list(_frames_and_codes(quantizer, speech, codes, recipe))
    for frames, drawn in pairs:
        heard = _heard(quantizer, drawn)
        gram += (heard.T @ heard).double()
        products += (heard.T @ _windows(frames)).double()
    gram.diagonal().add_(_RIDGE)
    smoother: Tensor = torch.linalg.solve(gram, products).float()
    middle = slice(_TAPS // 2 * frames.shape[1], (_TAPS // 2 + 1) * frames.shape[1])
    alone = torch.cat([frames - quantizer.latents(drawn) for frames, drawn in pairs])
    smooth = torch.cat([frames - _heard(quantizer, drawn) @ smoother[:, middle] for frames, drawn in pairs])
    print(f"rehearsal: left by drawn codes {mean_error(alone):.3f}, smoothed {mean_error(smooth):.3f}", flush=True)
    return smoother


def _heard(quantizer: Quantizer, codes: Tensor) -> Tensor:
    """What the first layer hears of codes `[T, K - 1]`, and a one: `[T, taps * (K - 1) * hidden + 1]`."""
    latents = [book[column] for book, column in zip(quantizer.codebooks, codes.T, strict=True)]
    return functional.pad(_windows(torch.cat(latents, dim=1)), (0, 1), value=1.0)


def _windows(frames: Tensor) -> Tensor:
    """Each frame with those around it, zeros beyond the ends: `[T, taps * hidden]` of `[T, hidden]`."""
    padded = functional.pad(frames, (0, 0, _TAPS // 2, _TAPS // 2))
    return padded.unfold(0, _TAPS, 1).transpose(1, 2).flatten(1)


def _frames_and_codes(
    quantizer: Quantizer, speech: Sequence[Shard], codes: Sequence[Codes], recipe: Recipe
) -> Iterator[tuple[Tensor, Tensor]]:
    """True frames `[T, hidden]` and drawn codes `[T, K - 1]` of each utterance."""
    hop = recipe.codec.hop
    for shard, rows in zip(speech, codes, strict=True):
        for one in shard.utterances:
            drawn = rows[one.start // hop : (one.start + one.num_samples) // hop].astype(np.int64)
            yield quantizer.frames(torch.from_numpy(shard.audio(one)), recipe.codec), torch.from_numpy(drawn)
