"""The card of a dataset: `README.md`, which the hub and `datasets` read, and `durations.png`.

Owns what is told about a finished dataset, and the statistics in it; they come from the manifests and from columns, no
audio is read. Knows nothing of how clips are made: the caller brings that as `CardFacts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import yaml

from pipeline.errors import printable
from pipeline.outputs.dataset.shards import finished_shards, iter_clips
from pipeline.planning.dataset_schema import COLUMNS
from pipeline.planning.kept_columns import Type, card_entry
from pipeline.quality.flaws import reason_codes
from pipeline.storage.atomic import write_atomically, write_text
from pipeline.storage.paths import open_for_arrow
from pipeline.storage.run_directory import TRAIN, RunDirectory
from pipeline.types import DIGITAL_SOURCE_TYPE, ModelInfo

NOT_NAMED = "(described, not named)"  # voice of a clip whose speaker has no name
_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M"))
_LOAD = """\
With `pip install datasets soundfile` and nothing else, from this folder or from the hub:

```python
import io

import soundfile
from datasets import Audio, load_dataset

dataset = load_dataset("path/to/this/folder", split="train")
dataset = dataset.cast_column("audio", Audio(decode=False))
row = dataset[0]
samples, sampling_rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
print(row["text"], samples.shape, sampling_rate)
```

Without waiting for all of it, row by row:

```python
import io

import soundfile
from datasets import Audio, load_dataset

dataset = load_dataset("path/to/this/folder", split="train", streaming=True)
for row in dataset.cast_column("audio", Audio(decode=False)).take(3):
    samples, sampling_rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
    print(row["id"], row["speaker_id"], len(samples) / sampling_rate)
```

`datasets` decodes `audio` by itself, without the cast, where `torchcodec` is installed.
"""
SYNTHETIC_NOTICE = "This is synthetic speech. Nobody said these words"
NOISE_NOTICE = "The model was never trained, so the audio is noise."
_LIMITS = f"""\
- {SYNTHETIC_NOTICE}; do not present them as a recording of a person.
- What the model gets wrong is in here: words left out or said twice, odd stress, a voice that drifts, noise. The checks
  look at the signal, not at the words.
- A voice here is the model's idea of a name or a description. A model that learns from this dataset learns its faults
  and its narrow range of voices as well.
- The texts and the model have terms of their own, whatever the licence of this dataset says.
"""


@dataclass(frozen=True)
class CardFacts:
    """What the card tells that neither manifests nor columns know."""

    title: str
    source: str  # what was read, in words for a reader: "Emma, by Jane Austen", "texts.jsonl"
    model: ModelInfo
    audio_format: str
    license: str  # as the hub knows it, e.g. "cc-by-4.0", "other"
    seed: int
    settings: Mapping[str, Mapping[str, object]]  # by group, e.g. sampling, checks: name and value
    version: str  # of this project
    is_noise: bool = False  # the weights were never trained
    kept_columns: Mapping[str, Type] = field(default_factory=dict)  # beside the standard ones, with their types
    check_meanings: Mapping[str, str] = field(default_factory=dict)  # of those that checks measured


@dataclass(frozen=True)
class Statistics:
    """Counts over all finished shards."""

    durations: npt.NDArray[np.float64]  # [clips], seconds, in reading order
    voice_clips: Mapping[str, int]
    voice_seconds: Mapping[str, float]
    languages: tuple[str, ...]  # the most frequent first
    reject_reasons: Mapping[str, int]  # by the code that a reason opens with
    num_bytes: int  # in memory, as `datasets` counts a split
    num_file_bytes: int
    sampling_rate: int  # Hz, as stored; 0 without clips
    splits: Mapping[str, tuple[int, int]]  # number of clips and of bytes in memory, train first

    @property
    def seconds(self) -> float:
        """Length of all audio."""
        return float(self.durations.sum())


def write_card(run_dir: Path, facts: CardFacts) -> None:
    """Write `README.md` and `durations.png`."""
    statistics = collect_statistics(run_dir)
    with write_atomically(RunDirectory(run_dir).duration_histogram) as temporary:
        _plot_durations(temporary, statistics.durations)
    write_text(RunDirectory(run_dir).card, render_card(facts, statistics))


def clip_durations(run_dir: Path) -> npt.NDArray[np.float64]:
    """Return the seconds of all clips, [clips], in reading order."""
    seconds = [row.columns["duration"] for row in iter_clips(run_dir, ["id", "duration"])]
    return np.array(seconds, dtype=np.float64)


def collect_statistics(run_dir: Path) -> Statistics:
    """Fold the manifests and a few small columns of all finished shards."""
    durations: list[npt.NDArray[np.float64]] = []
    voice_clips: Counter[str] = Counter()
    voice_seconds: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    splits: dict[str, tuple[int, int]] = {}
    num_file_bytes = sampling_rate = 0
    for manifest in finished_shards(run_dir):
        reasons.update(reason_codes(str(reject["reason"]))[0] for reject in manifest.rejects)
        if not manifest.clips:
            continue
        num_file_bytes += manifest.num_bytes
        with open_for_arrow(RunDirectory(run_dir).data / manifest.file) as source, pq.ParquetFile(source) as file:
            groups = range(file.metadata.num_row_groups)
            num_bytes = sum(file.metadata.row_group(group).total_byte_size for group in groups)
            columns = file.read(columns=["duration", "speaker_id", "language", "sampling_rate"]).to_pydict()
        before = splits.get(manifest.split, (0, 0))
        splits[manifest.split] = (before[0] + len(manifest.clips), before[1] + num_bytes)
        durations.append(np.array(columns["duration"], dtype=np.float64))
        sampling_rate = columns["sampling_rate"][0]
        languages.update(columns["language"])
        for speaker, seconds in zip(columns["speaker_id"], columns["duration"], strict=True):
            voice_clips[speaker or NOT_NAMED] += 1
            voice_seconds[speaker or NOT_NAMED] += seconds
    return Statistics(
        durations=np.concatenate(durations) if durations else np.zeros(0),
        voice_clips=voice_clips,
        voice_seconds=voice_seconds,
        languages=tuple(language for language, _ in languages.most_common()),
        reject_reasons=reasons,
        num_bytes=sum(num_bytes for _, num_bytes in splits.values()),
        num_file_bytes=num_file_bytes,
        sampling_rate=sampling_rate,
        splits=dict(sorted(splits.items(), key=lambda split: (split[0] != TRAIN, split[0]))),
    )


def render_card(facts: CardFacts, statistics: Statistics) -> str:
    """The whole text of `README.md`."""
    head = yaml.safe_dump(_metadata(facts, statistics), sort_keys=False, allow_unicode=True, width=120)
    sections = [
        f"# {pretty_name(facts.title)}\n",
        _introduction(facts, statistics),
        *([f"## Load it\n\n{_LOAD}"] if len(statistics.durations) else []),
        _making(facts),
        *([voice_table(statistics)] if len(statistics.durations) else []),
        reject_table(statistics),
        "## Columns\n\n" + _table(("Column", "Meaning"), _columns(facts)),
        f"## Limits\n\n{_LIMITS}",
    ]
    return f"---\n{head}---\n\n" + "\n".join(sections)


def _metadata(facts: CardFacts, statistics: Statistics) -> dict[str, object]:
    """The YAML of the card."""
    metadata = {"pretty_name": pretty_name(facts.title), "license": facts.license, **tags(statistics)}
    return metadata | loading(facts.kept_columns, statistics) if len(statistics.durations) else metadata


def pretty_name(title: str) -> str:
    """Return a title on one line."""
    return " ".join(title.split())


def tags(statistics: Statistics) -> dict[str, object]:
    """Return what the hub finds a dataset by, and what tells that its speech is synthetic."""
    num_clips = len(statistics.durations)
    return {
        "language": list(statistics.languages),
        "task_categories": ["text-to-speech"],
        "size_categories": [next((name for limit, name in _SIZES if num_clips < limit), "10M<n<100M")],
        "annotations_creators": ["machine-generated"],
        "tags": ["synthetic", "speech", "parler-tts"],
        "digital_source_type": DIGITAL_SOURCE_TYPE,
    }


def loading(kept_columns: Mapping[str, Type], statistics: Statistics) -> dict[str, object]:
    """What `datasets` loads by. With `num_examples` in it, `load_dataset` refuses a copy that lacks a shard."""
    features: list[dict[str, Any]] = [
        {
            "name": column.name,
            "dtype": {"audio": {"sampling_rate": statistics.sampling_rate}}
            if column.dtype == "audio"
            else column.dtype,
        }
        for column in COLUMNS
    ]
    files = [{"split": split, "path": f"data/{split}-*"} for split in statistics.splits]
    features += [{"name": name, **card_entry(column)} for name, column in kept_columns.items()]
    return {
        "configs": [{"config_name": "default", "data_files": files}],
        "dataset_info": {
            "features": features,
            "splits": [
                {"name": split, "num_bytes": num_bytes, "num_examples": num_clips}
                for split, (num_clips, num_bytes) in statistics.splits.items()
            ],
            "download_size": statistics.num_file_bytes,
            "dataset_size": statistics.num_bytes,
        },
    }


def _introduction(facts: CardFacts, statistics: Statistics) -> str:
    num_clips = len(statistics.durations)
    if not num_clips:
        return (
            f"Meant to be synthetic speech: {printable(facts.source)}, spoken by a text-to-speech model. **No clip was "
            "accepted**, so there is nothing to load; the rejects below say why.\n"
        )
    noise = f"> **{NOISE_NOTICE}** It shows the form of such a dataset, and that the pipeline works.\n\n"
    rows = figures(statistics)
    rows.insert(2, ("Format", f"{facts.audio_format}, {statistics.sampling_rate:,} Hz, mono"))
    return (
        f"{noise if facts.is_noise else ''}"
        f"Synthetic speech: {printable(facts.source)}, spoken by a text-to-speech model. Each clip comes with its "
        "text as written and as spoken, the description of its voice, its seed, and what was measured on it.\n\n"
        f"{_table(('', ''), rows)}\n![How long the clips are](durations.png)\n"
    )


def figures(statistics: Statistics) -> list[tuple[str, str]]:
    """Return the figures that stand first on the card, of a dataset that has clips."""
    num_clips = len(statistics.durations)
    return [
        ("Clips", f"{num_clips:,}"),
        ("Audio", f"{_length(statistics.seconds)}, {statistics.seconds / num_clips:.1f} s a clip on average"),
        ("Size", f"{statistics.num_file_bytes / 1e6:,.1f} MB"),
        ("Voices", f"{len(statistics.voice_clips):,}"),
        ("Rejected", f"{sum(statistics.reject_reasons.values()):,}"),
    ]


def _making(facts: CardFacts) -> str:
    model = facts.model
    rows = [
        ("Model", f"`{model.model_id}`"),
        ("Revision", f"`{model.revision}`"),
        *([("Description tokenizer", f"`{model.description_tokenizer}`")] if model.description_tokenizer else []),
        ("Numbers", f"{model.dtype} on {model.device}"),
        ("Seed of the run", str(facts.seed)),
        ("Made with", f"parler-pipeline {facts.version}"),
        *(
            (group.capitalize(), ", ".join(f"`{name}={value}`" for name, value in settings.items()))
            for group, settings in facts.settings.items()
        ),
    ]
    return (
        "## How it was made\n\n"
        "Each text was cut into segments, brought into spoken form, and spoken in one generation with a seed of its "
        "own. A take that failed a check was made again with another seed, which is the one recorded. The same "
        "model, settings, text, description and seed give the same clip on the same kind of device.\n\n"
        + _table(("", ""), rows)
    )


def voice_table(statistics: Statistics) -> str:
    """Return the section of the card about voices."""
    rows = [
        (voice, f"{statistics.voice_clips[voice]:,}", _length(seconds))
        for voice, seconds in sorted(statistics.voice_seconds.items(), key=lambda entry: (-entry[1], entry[0]))
    ]
    return "## Voices\n\n" + _table(("Voice", "Clips", "Audio"), rows)


def reject_table(statistics: Statistics) -> str:
    """Return the section of the card about rejects."""
    if not statistics.reject_reasons:
        return "## Rejects\n\nNone: every planned clip is here.\n"
    rows = [(reason, f"{count:,}") for reason, count in Counter(statistics.reject_reasons).most_common()]
    return (
        "## Rejects\n\nTexts that are not in the dataset, since no take passed the checks or there was nothing to say. "
        "`rejects.jsonl` has each with its reason and seeds.\n\n" + _table(("Reason", "Texts"), rows)
    )


def _columns(facts: CardFacts) -> Iterator[tuple[str, str]]:
    yield from ((f"`{column.name}`", column.meaning) for column in COLUMNS)
    yield from ((f"`{name}`", facts.check_meanings.get(name, "from the input")) for name in facts.kept_columns)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(
        f"| {' | '.join(printable(cell).replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines
    )


def _length(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:,.1f} hours"


def _plot_durations(path: Path, durations: npt.NDArray[np.float64]) -> None:
    """Draw a histogram. The same durations make the same file, so that a card can be compared."""
    # Slow to import, and only a run's last step draws. The canvas is named, so that no display is looked for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    longest = float(durations.max(initial=1.0))
    edges = np.linspace(0.0, longest, 41) if longest < 10 else np.arange(0.0, np.ceil(longest) + 0.5, 0.5)
    figure = Figure(figsize=(8.0, 2.8), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.hist(durations, bins=edges.tolist(), color="#3b6ea5")
    axes.set_xlim(0, float(edges[-1]))
    axes.set_xlabel("seconds")
    axes.set_ylabel("clips")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})
