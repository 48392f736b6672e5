"""Dataset card: `README.md`, which the Hugging Face hub and `datasets` read, and `durations.png`.

The statistics come from the manifests and from small columns of the shards; no audio is read. The caller passes the
facts about the model and the settings as `CardFacts`.
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

NOT_NAMED = "(described, not named)"  # voice shown for clips without a speaker name
_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M"))
_LOAD = """\
Install the two packages that this needs with `pip install datasets soundfile`. The path is this folder, or the name of
the dataset on the hub:

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

Stream the dataset row by row, without downloading all of it first:

```python
import io

import soundfile
from datasets import Audio, load_dataset

dataset = load_dataset("path/to/this/folder", split="train", streaming=True)
for row in dataset.cast_column("audio", Audio(decode=False)).take(3):
    samples, sampling_rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
    print(row["id"], row["speaker_id"], len(samples) / sampling_rate)
```

If `torchcodec` is installed, `datasets` decodes the `audio` column itself, and the cast is not needed.
"""
SYNTHETIC_NOTICE = "This is synthetic speech. Nobody said these words"
NOISE_NOTICE = "The model was never trained, so the audio is noise."
_LIMITS = f"""\
- {SYNTHETIC_NOTICE}; do not present them as a recording of a person.
- The dataset contains errors of the model: omitted or repeated words, wrong stress, noise, a voice that changes within
  a clip. The automatic checks examine the signal, not the words.
- The voices are generated from a name or a description. A model trained on this dataset also learns their errors and
  their limited variety.
- The texts and the model have their own licences, which apply in addition to the licence of this dataset.
"""


@dataclass(frozen=True)
class CardFacts:
    """Facts on the card that neither the manifests nor the columns contain."""

    title: str
    source: str  # the input as shown to readers: "Emma, by Jane Austen", "texts.jsonl"
    model: ModelInfo
    audio_format: str
    license: str  # identifier on the hub, e.g. "cc-by-4.0", "other"
    seed: int
    settings: Mapping[str, Mapping[str, object]]  # group (sampling, checks) -> name -> value
    version: str  # of this package
    is_noise: bool = False  # the model has untrained weights
    kept_columns: Mapping[str, Type] = field(
        default_factory=dict
    )  # name -> type of the columns in addition to `COLUMNS`
    check_meanings: Mapping[str, str] = field(
        default_factory=dict
    )  # name -> description of the columns that checks measured


@dataclass(frozen=True)
class Statistics:
    """Counts over all finished shards."""

    durations: npt.NDArray[np.float64]  # [clips], seconds, in reading order
    voice_clips: Mapping[str, int]
    voice_seconds: Mapping[str, float]
    languages: tuple[str, ...]  # most frequent first
    reject_reasons: Mapping[str, int]  # reason code -> number of rejects
    num_bytes: int  # uncompressed, as `datasets` counts the size of a split
    num_file_bytes: int  # size of the Parquet files
    sampling_rate: int  # Hz, as stored; 0 without clips
    splits: Mapping[str, tuple[int, int]]  # split -> (clips, uncompressed bytes); train first

    @property
    def seconds(self) -> float:
        """Total duration of the audio."""
        return float(self.durations.sum())


def write_card(run_dir: Path, facts: CardFacts) -> None:
    """Write `README.md` and `durations.png`."""
    statistics = collect_statistics(run_dir)
    with write_atomically(RunDirectory(run_dir).duration_histogram) as temporary:
        _plot_durations(temporary, statistics.durations)
    write_text(RunDirectory(run_dir).card, render_card(facts, statistics))


def clip_durations(run_dir: Path) -> npt.NDArray[np.float64]:
    """Return the duration of each clip in seconds, [clips], in reading order."""
    seconds = [row.columns["duration"] for row in iter_clips(run_dir, ["id", "duration"])]
    return np.array(seconds, dtype=np.float64)


def collect_statistics(run_dir: Path) -> Statistics:
    """Compute the statistics of all finished shards from their manifests and small columns."""
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
    """Return the text of `README.md`."""
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
    """Return the YAML metadata of the card."""
    metadata = {"pretty_name": pretty_name(facts.title), "license": facts.license, **tags(statistics)}
    return metadata | loading(facts.kept_columns, statistics) if len(statistics.durations) else metadata


def pretty_name(title: str) -> str:
    """Return a title with all whitespace collapsed to single spaces."""
    return " ".join(title.split())


def tags(statistics: Statistics) -> dict[str, object]:
    """Return the metadata for search on the hub, and the label that marks the speech as synthetic."""
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
    """Return the metadata for `datasets`. With `num_examples`, `load_dataset` fails on a copy that lacks a shard."""
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
            "accepted**, so the dataset is empty; the section about rejects gives the reasons.\n"
        )
    noise = (
        f"> **{NOISE_NOTICE}** It demonstrates the format of the dataset and the operation of the pipeline only.\n\n"
    )
    rows = figures(statistics)
    rows.insert(2, ("Format", f"{facts.audio_format}, {statistics.sampling_rate:,} Hz, mono"))
    return (
        f"{noise if facts.is_noise else ''}"
        f"Synthetic speech: {printable(facts.source)}, spoken by a text-to-speech model. Each clip comes with its "
        "written and spoken text, the description of its voice, its seed, and the measurements of the checks.\n\n"
        f"{_table(('', ''), rows)}\n![Histogram of clip durations](durations.png)\n"
    )


def figures(statistics: Statistics) -> list[tuple[str, str]]:
    """Return label and value of the main figures on the card; the dataset must have clips."""
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
        "Each text was split into segments and normalized to spoken form. Each segment was generated separately, with "
        "its own seed. A take that failed a check was generated again with another seed; the dataset records the seed "
        "of the accepted take. The same model, settings, text, description and seed give the same clip on the same "
        "kind of device.\n\n" + _table(("", ""), rows)
    )


def voice_table(statistics: Statistics) -> str:
    """Return the section of the card that lists the voices."""
    rows = [
        (voice, f"{statistics.voice_clips[voice]:,}", _length(seconds))
        for voice, seconds in sorted(statistics.voice_seconds.items(), key=lambda entry: (-entry[1], entry[0]))
    ]
    return "## Voices\n\n" + _table(("Voice", "Clips", "Audio"), rows)


def reject_table(statistics: Statistics) -> str:
    """Return the section of the card that counts the rejects by reason."""
    if not statistics.reject_reasons:
        return "## Rejects\n\nNone: the dataset contains every planned clip.\n"
    rows = [(reason, f"{count:,}") for reason, count in Counter(statistics.reject_reasons).most_common()]
    return (
        "## Rejects\n\nThese texts are not in the dataset, because no take passed the checks or there was nothing "
        "to speak. `rejects.jsonl` lists each one with its reason and seeds.\n\n" + _table(("Reason", "Texts"), rows)
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
    """Write a histogram as PNG. The file is deterministic: it depends only on the durations."""
    # Imported here because matplotlib is slow to import. The Agg canvas needs no display.
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
