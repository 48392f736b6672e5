"""The stages of training: text, speech, codes, codec, decoder, export, evaluate. Each resumes where it was stopped."""

from __future__ import annotations

import functools
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pipeline.config import SamplingConfig
from pipeline.errors import ConfigError
from scripts.voice import checkpoints, quantizer
from scripts.voice.codec import Crops, make_codec, read_codes, set_codebooks, write_codes
from scripts.voice.manifest import Line, read_lines
from scripts.voice.neural_teachers import make_teacher
from scripts.voice.recipe import Recipe
from scripts.voice.setup import WORKSHOP
from scripts.voice.speech import Shard, TeacherPool, render, shards


@dataclass(frozen=True)
class VoiceRecipe:
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
        """Choose what is spoken, once."""
        from scripts.voice.sentences import choose_lines

        if not (self.folder / "text" / "train.jsonl").exists():
            choose_lines(self.texts, self.folder / "text", self.recipe.speech, self._speakers(), self.recipe.seed)

    def speech(self) -> None:
        """Have it spoken by the teacher."""
        studio = TeacherPool(self.teacher, self.recipe.codec.sampling_rate, self.recipe.seed, self.voice_packs)
        lines = self.recipe.speech.shard_lines
        render(self.folder / "text", self.folder / "speech", studio, lines, self.processes)

    def codes(self) -> None:
        """Fit the quantizer and turn all speech into codes."""
        recipe = self.recipe.codec
        if not (self.folder / "quantizer").exists():
            fitted = quantizer.fit(self._shards("train"), recipe, self.recipe.seed)
            checkpoints.save(self.folder / "quantizer", fitted.state())
        write_codes(self._quantizer(), self.folder / "speech", self.folder / "codes", recipe)
        if not (self.folder / "lexicon.json").exists():
            self._write_lexicon()

    def codec(self) -> None:
        """Train the codec's decoder."""
        from scripts.voice.codec_decoder import train_codec_decoder

        recipe, training = self.recipe.codec, self._codec_training()
        if self.start:  # which spectra alone would make worse until discriminators join
            recipe = replace(recipe, adversarial_from=0)
        speech = self._shards("train")
        codes = read_codes(self.folder / "codes", speech)
        crops = Crops(speech, codes, self._quantizer(), recipe, self.recipe.seed)
        train_codec_decoder(training, crops, replace(self.recipe, codec=recipe), self.device, self._workers)

    def decoder(self) -> None:
        """Train the Parler decoder."""
        from scripts.voice import decoder_training

        training = self._decoder_training()
        examples = self._examples("train")
        training_set = decoder_training.TrainingSet(examples, self._tokenizer, self._workers)
        decoder_training.train(training, training_set, self.recipe, self.device)

    def export(self) -> None:
        """Write `model/`, the checkpoint."""
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
        """Judge the checkpoint on held-out sentences."""
        from scripts.voice.evaluate import EvaluationSet, evaluate

        chosen = self._examples("held_out")[: self.evaluated]
        audio = [shard.audio(utterance) for shard in self._shards("held_out") for utterance in shard.utterances]
        rate, results = self.recipe.codec.sampling_rate, self.folder / "evaluation"
        teacher = audio[: self.evaluated]
        sampling = SamplingConfig(temperature=self.recipe.decoder.temperature, top_k=self.recipe.decoder.top_k)
        counted = read_lines(self.folder / "text" / "counted.jsonl")[: self.counted]
        taught = list(itertools.islice(self._taught(), len(counted)))
        judged_by = EvaluationSet(chosen, teacher, counted, taught, rate)
        report = evaluate(self.folder / "model", judged_by, results, sampling)
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
        """Note how the words of the training speech are spoken."""
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
        from scripts.voice.trainer import Training

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
        from scripts.voice.trainer import Training

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
        """Make the end of an utterance more likely where it is likely, and less where it is not.

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
