"""Makes a voice: text, speech, codec, decoder, export, evaluation. Each stage goes on where it was stopped.

    python -m scripts.voice FOLDER --preset cpu --texts novels/
    python -m scripts.voice FOLDER --stages decoder --seconds 540   # a slice of one stage; then again

The stages `codec` and `decoder` need only the codes, so that they can be trained at the same time.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pipeline.config import SamplingConfig
from pipeline.errors import ConfigError, PipelineError
from scripts.voice import checkpoints, quantizer
from scripts.voice.beginning import WORKSHOP, begin
from scripts.voice.codec import Crops, make_codec, read_codes, set_codebooks, write_codes
from scripts.voice.lines import Line, read_lines
from scripts.voice.neural_teachers import TEACHERS, make_teacher
from scripts.voice.recipe import PRESETS, Recipe
from scripts.voice.speech import Shard, Studio, render, shards


@dataclass(frozen=True)
class Workshop:
    """One folder in which a voice is made, and the stages of its making."""

    folder: Path
    recipe: Recipe
    teacher: str
    texts: Path
    device: torch.device
    voice_packs: Path | None = None
    processes: int = 1
    stop_seconds: float = float("inf")
    cool: bool = False
    evaluated: int = 100  # sentences
    counted: int = 1_000
    words: Path | None = None  # more words for the lexicon
    start: Path | None = None  # an exported checkpoint to go on from
    rate: float = 1.0  # times the recipe's learning rates

    def text(self) -> None:
        """Chooses what is spoken, once."""
        from scripts.voice.sentences import choose_lines

        if not (self.folder / "text" / "train.jsonl").exists():
            choose_lines(self.texts, self.folder / "text", self.recipe.speech, self._speakers(), self.recipe.seed)

    def speech(self) -> None:
        """Has it spoken by the teacher."""
        studio = Studio(self.teacher, self.recipe.codec.sampling_rate, self.recipe.seed, self.voice_packs)
        lines = self.recipe.speech.shard_lines
        render(self.folder / "text", self.folder / "speech", studio, lines, self.processes)

    def codes(self) -> None:
        """Fits the quantizer and turns all speech into codes."""
        recipe = self.recipe.codec
        if not (self.folder / "quantizer").exists():
            fitted = quantizer.fit(self._shards("train"), recipe, self.recipe.seed)
            checkpoints.save(self.folder / "quantizer", fitted.state())
        write_codes(self._quantizer(), self.folder / "speech", self.folder / "codes", recipe)
        if not (self.folder / "lexicon.json").exists():
            self._write_lexicon()

    def codec(self) -> None:
        """Trains the codec's decoder."""
        from scripts.voice.codec_decoder import train_codec_decoder

        recipe, training = self.recipe.codec, self._codec_training()
        if self.start:  # which spectra alone would make worse until discriminators join
            recipe = replace(recipe, adversarial_from=0)
        speech = self._shards("train")
        codes = read_codes(self.folder / "codes", speech)
        crops = Crops(speech, codes, self._quantizer(), recipe, self.recipe.seed)
        train_codec_decoder(training, crops, recipe, self.recipe.seed, self.device, self._workers)

    def decoder(self) -> None:
        """Trains the Parler decoder."""
        from scripts.voice import decoder_training

        training = self._decoder_training()
        examples = self._examples("train")
        decoder_training.train(training, examples, self._tokenizer, self.recipe, self.device, self._workers)

    def export(self) -> None:
        """Writes `model/`, the checkpoint."""
        from scripts.voice.export import export

        training, decoder = self._codec_training(), self._decoder_training()
        training.take_average()
        decoder.take_average()
        self._weigh_end(decoder.model, self.recipe.decoder.ending)
        model = self.folder / "model"
        size = export(decoder.model.cpu(), training.model.codec.cpu(), self._tokenizer, model)
        shutil.copytree(self.folder / "quantizer", model / WORKSHOP / "quantizer", dirs_exist_ok=True)
        shutil.copy(self.folder / "lexicon.json", model / WORKSHOP)
        print(f"export: {self.folder / 'model'}, {size:.1f} MB; {self._progress()}", flush=True)
        self._write_card({})

    def evaluate(self) -> None:
        """Judges the checkpoint on held-out sentences."""
        from scripts.voice.evaluate import evaluate

        chosen = self._examples("held_out")[: self.evaluated]
        audio = [shard.audio(utterance) for shard in self._shards("held_out") for utterance in shard.utterances]
        rate, results = self.recipe.codec.sampling_rate, self.folder / "evaluation"
        teacher = audio[: self.evaluated]
        sampling = SamplingConfig(temperature=self.recipe.decoder.temperature, top_k=self.recipe.decoder.top_k)
        counted = read_lines(self.folder / "text" / "counted.jsonl")[: self.counted]
        taught = list(itertools.islice(self._taught(), len(counted)))
        report = evaluate(self.folder / "model", chosen, teacher, counted, taught, rate, results, sampling)
        self._write_card(report)

    def _taught(self) -> Iterator[tuple[Line, Any]]:
        """What the teacher has spoken for the training."""
        for shard in self._shards("train"):
            for utterance in shard.utterances:
                yield utterance.line, shard.audio(utterance)

    @functools.cached_property
    def _tokenizer(self) -> Any:
        from scripts.voice.tokenizer import make_tokenizer

        path = self.folder / "lexicon.json"
        if not path.exists():
            raise ConfigError(f"{path}: not there yet; run the stage codes first")
        known = json.loads(path.read_text(encoding="utf-8"))
        return make_tokenizer(known["lexicon"], known["sounds"])

    def _write_lexicon(self) -> None:
        """Notes how the words of the training speech are spoken."""
        from scripts.voice.tokenizer import add_words, make_lexicon

        teacher = make_teacher(self.teacher, self.recipe.codec.sampling_rate)
        utterances = [utterance for shard in self._shards("train") for utterance in shard.utterances]
        spoken = (word for utterance in utterances for word in teacher.pronounce(utterance.line))
        lexicon = make_lexicon(spoken, self.recipe.speech.lexicon)
        heard = {sound.name for utterance in utterances for sound in utterance.sounds if sound.name[-1].isalpha()}
        sounds = sorted(heard.union(*lexicon.values()))
        if self.words is not None:
            others = (Line(word, next(iter(teacher.speakers)), "", 1.0) for word in self.words.read_text().split())
            add_words(lexicon, (word for line in others for word in teacher.pronounce(line)), sounds)
        known = {"sounds": sounds, "lexicon": lexicon}
        (self.folder / "lexicon.json").write_text(json.dumps(known, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"lexicon: {len(lexicon)} words, {len(sounds)} sounds", flush=True)

    @property
    def _workers(self) -> int:
        """Processes that prepare batches: a CPU that trains has none to spare."""
        return min(8, self.processes) if self.device.type == "cuda" else 0

    def _speakers(self) -> Mapping[str, float]:
        return make_teacher(self.teacher, self.recipe.codec.sampling_rate).speakers

    def _shards(self, part: str) -> list[Shard]:
        found = shards(self.folder / "speech", part)
        if not found:
            raise ConfigError(f"{self.folder / 'speech'}: no speech yet; run the stages text and speech first")
        return found

    def _quantizer(self) -> quantizer.Quantizer:
        state = checkpoints.load(self.folder / "quantizer")
        if state is None:
            raise ConfigError(f"{self.folder / 'quantizer'}: not there yet; run the stage codes first")
        return quantizer.Quantizer(**state)

    def _examples(self, part: str) -> Any:
        from scripts.voice.decoder_training import examples_of

        speech = self._shards(part)
        return examples_of(speech, read_codes(self.folder / "codes", speech), self.recipe.codec.hop)

    def _codec_training(self) -> Any:
        from scripts.voice.codec_decoder import Speaking
        from scripts.voice.loop import Training

        recipe = self.recipe.codec
        torch.manual_seed(self.recipe.seed)
        codec = make_codec(recipe)
        vectors = self._quantizer().vectors(recipe.hidden, self.recipe.seed)
        set_codebooks(codec, vectors, self.recipe.seed)
        if self.start:
            codec.load_state_dict(self._exported().audio_encoder.state_dict())
        model = Speaking(codec, recipe).to(self.device)
        training = Training(
            name="codec",
            folder=self.folder / "codec",
            model=model,
            steps=recipe.decoder_steps,
            learning_rate=self.rate * recipe.learning_rate,
            warm_up_steps=50,
            save_seconds=self.recipe.save_seconds,
            weight_decay=0.0,  # or what is set would fade
            slower=list(model.discriminators.parameters()),
            matrices=[kernel for kernel in codec.decoder.parameters() if kernel.ndim == 3 and kernel.shape[0] > 1],
            betas=(0.8, 0.99),
            stop_seconds=self.stop_seconds,
            cool=self.cool,
        )
        training.resume()
        return training

    def _decoder_training(self) -> Any:
        from scripts.voice.decoder import make_model
        from scripts.voice.loop import Training

        recipe = self.recipe.decoder
        torch.manual_seed(self.recipe.seed)
        model = make_model(recipe, self.recipe.codec, make_codec(self.recipe.codec), len(self._tokenizer))
        if self.start:
            model.load_state_dict(self._exported().state_dict())
            self._weigh_end(model, 1 / self.recipe.decoder.ending)
        training = Training(
            name="decoder",
            folder=self.folder / "decoder",
            model=model.to(self.device),
            steps=recipe.steps,
            learning_rate=self.rate * recipe.learning_rate,
            warm_up_steps=recipe.warm_up_steps,
            save_seconds=self.recipe.save_seconds,
            matrices=[matrix for matrix in model.decoder.model.decoder.layers.parameters() if matrix.ndim == 2],
            stop_seconds=self.stop_seconds,
            cool=self.cool,
        )
        training.resume()
        return training

    def _weigh_end(self, model: Any, factor: float) -> None:
        """Makes the end of an utterance more likely where it is likely, and less where it is not.

        At a temperature of a quarter an end with a chance of a third is drawn once in 17 times, and a voice that has
        missed it talks on.
        """
        with torch.no_grad():
            model.decoder.lm_heads[0].weight[self.recipe.codec.codebook_size] *= factor

    def _exported(self) -> Any:
        """The checkpoint that a new folder goes on from; what a folder has of its own comes before it."""
        from pipeline.synthesis.upstream import ParlerTTSForConditionalGeneration

        return ParlerTTSForConditionalGeneration.from_pretrained(self.start).float()

    def _progress(self) -> str:
        done = {name: (checkpoints.load(self.folder / name) or {"step": 0})["step"] for name in ("codec", "decoder")}
        codec, decoder = self.recipe.codec.decoder_steps, self.recipe.decoder.steps
        return f"codec at step {done['codec']} of {codec}, decoder at step {done['decoder']} of {decoder}"

    def _write_card(self, report: dict[str, Any]) -> None:
        from scripts.voice.export import write_card

        seconds = sum(len(shard.samples) for shard in self._shards("train")) / self.recipe.codec.sampling_rate
        facts = {
            "speech": f"{seconds / 3600:.1f} hours by the teacher `{self.teacher}`",
            "recipe": f"`{json.dumps(asdict(self.recipe))}`",
            "trained": self._progress(),
        }
        write_card(self.folder / "model", facts, list(self._speakers()), report)


STAGES = ("text", "speech", "codes", "codec", "decoder", "export", "evaluate")


def main(arguments: list[str] | None = None) -> int:
    """Runs the stages asked for."""
    parser = argparse.ArgumentParser("python -m scripts.voice", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="where everything is kept; the checkpoint ends up in FOLDER/model")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="cpu", help="sizes, see recipe.py")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="default: all, in this order")
    parser.add_argument("--teacher", choices=sorted(TEACHERS), default="hibari")
    parser.add_argument("--texts", type=Path, default=Path("novels"), help="folder of books as *.txt; may be missing")
    parser.add_argument("--voice-packs", type=Path, help="folder of Kokoro's voices, for the teachers kokoro and choir")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 1) - 1), help="that render speech")
    parser.add_argument("--threads", type=int, default=0, help="of torch; default: its own choice")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end each training after so long")
    parser.add_argument("--cool", action="store_true", help="let the learning rate fall to nothing over --seconds")
    parser.add_argument("--rate", type=float, default=1.0, help="times the learning rates of the recipe")
    parser.add_argument("--evaluated", type=int, default=100, help="held-out sentences to judge")
    parser.add_argument("--counted", type=int, default=1_000, help="further ones, to count silent and runaway clips")
    parser.add_argument("--words", type=Path, help="a file of words, one a line, that the tokenizer shall know too")
    parser.add_argument("--start", type=Path, help="an exported checkpoint: a new folder goes on from it")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    if given.device.startswith("cuda"):
        torch.set_float32_matmul_precision("high")  # TF32
        torch.backends.cudnn.benchmark = True  # crops have one shape
    recipe = PRESETS[given.preset]
    try:
        begin(given.folder, recipe, given.teacher, given.start)
        workshop = Workshop(
            given.folder, recipe, given.teacher, given.texts, torch.device(given.device), given.voice_packs,
            given.processes, given.seconds, given.cool, given.evaluated, given.counted, given.words, given.start,
            given.rate,
        )  # fmt: skip
        for stage in STAGES:
            if stage in given.stages:
                run: Callable[[], None] = getattr(workshop, stage)
                run()
    except PipelineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
