"""A backend of another distribution: a tone generator, plugged in without a change of the package."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from pipeline.__main__ import main
from pipeline.config import EngineConfig
from pipeline.errors import ConfigError
from pipeline.synthesis import BACKENDS, Backend, build_synthesizer, describe_model
from pipeline.synthesis.checkpoint import Checkpoint
from pipeline.types import Bucket, Clip, Finish, ModelInfo, Utterance

HERE = Path(__file__).resolve()


class ToneSynthesizer:
    """Speaks every utterance as a tone of its predicted length; the seed decides the pitch."""

    def __init__(self, info: ModelInfo) -> None:
        self.info = info
        self.computed_frames = 0

    def warm_up(self, buckets: Iterable[Bucket]) -> None:
        """Needs no preparation."""

    def generate(self, utterances: Iterable[Utterance | None]) -> Iterator[Clip]:
        for utterance in filter(None, utterances):
            num_frames = round((utterance.predicted_seconds or 1.0) * self.info.frames_per_second)
            num_samples = round(num_frames / self.info.frames_per_second * self.info.sampling_rate)
            phase = np.arange(num_samples) * 2 * np.pi * (200 + utterance.seed % 200) / self.info.sampling_rate
            self.computed_frames += num_frames
            samples = (0.3 * np.sin(phase)).astype(np.float32)
            yield Clip(utterance, samples, self.info.sampling_rate, num_frames, Finish.EOS, seed=utterance.seed)

    def close(self) -> None:
        """Holds nothing."""


class ToneBackend:
    def check(self, engine: EngineConfig) -> None:
        if engine.compile != "none":
            raise ConfigError(f"engine.compile={engine.compile}: a tone has nothing to compile; give none")

    def build(self, checkpoint: Checkpoint, engine: EngineConfig) -> ToneSynthesizer:
        return ToneSynthesizer(describe_model(checkpoint, engine))


TONE: Backend = ToneBackend()


def arguments(folder: Path) -> list[str]:
    (folder / "texts.txt").write_text("It is a bright cold day.\n\nThe clocks are striking.\n")
    return [
        *("task=dataset", f"input={folder / 'texts.txt'}", f"output_dir={folder}", "name=tones"),
        *("engine.backend=tone", "engine.device=cpu", "dataset.format=wav"),
    ]


def dominant_hz(run: Path) -> list[float]:
    """Loudest frequency of each clip of a run."""
    found = []
    for shard in sorted((run / "data").glob("*.parquet")):
        for audio in pq.read_table(shard, columns=["audio"])["audio"].to_pylist():
            path = run / "tone.wav"
            path.write_bytes(audio["bytes"])
            samples, rate = soundfile.read(path)
            found.append(float(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)))
    return found


@pytest.fixture
def tone() -> Iterator[None]:
    BACKENDS.add("tone", TONE)
    yield
    BACKENDS.remove("tone")


@pytest.mark.usefixtures("tone")
def test_a_backend_of_a_program_renders_a_run(tmp_path: Path) -> None:
    """Guards the extension point: the clips of the run are those of the added backend."""
    assert main(arguments(tmp_path)) == 0
    heard = dominant_hz(tmp_path / "tones")
    assert len(heard) == 2
    assert all(195 < hz < 405 for hz in heard)


@pytest.mark.usefixtures("tone")
def test_an_added_backend_refuses_settings_before_the_model_is_searched() -> None:
    """Guards late failures: a setting that cannot work is refused before a download."""
    with pytest.raises(ConfigError, match=r"engine\.compile=default"):
        build_synthesizer("no-such/model", backend="tone", compile="default")


def test_a_backend_of_another_distribution_renders_a_run(tmp_path: Path) -> None:
    """Guards installed backends: the schema accepts the name, and the command finds the code."""
    info = tmp_path / "site" / "tone-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tone\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{BACKENDS.group}]\ntone = {HERE.stem}:TONE\n")
    paths = [str(info.parent), *map(str, HERE.parents[:3])]
    command = [sys.executable, "-m", "pipeline", *arguments(tmp_path)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(dominant_hz(tmp_path / "tones")) == 2


def test_names_of_backends_are_known_without_their_code() -> None:
    """Guards quick commands and errors that help: a wrong name is refused with the right ones, and no torch loaded."""
    program = (
        "import sys\nfrom pipeline.config import EngineConfig\nfrom pipeline.errors import ConfigError\n"
        "EngineConfig(backend='reference')\n"
        "try:\n    EngineConfig(backend='enigne')\nexcept ConfigError as error:\n    print(error)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    message, has_torch = done.stdout.splitlines()
    assert "engine.backend=enigne" in message
    assert "engine, reference" in message
    assert has_torch == "False"
