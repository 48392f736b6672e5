"""Balanced choice of speakers, for `voice.balance=true`: each speaks equally often."""

from __future__ import annotations

from collections import Counter

from pipeline.seeds import content_fraction


class BalancedDraw:
    """Choice of speakers by position in the plan instead of by content.

    In each shard, and in each split as a whole, the numbers of clips of two speakers differ by at most one. Rows with
    their own voice and rows that cannot be spoken are not counted.

    In each round every speaker is chosen once. Speakers with the fewest clips come first, and the order changes from
    round to round, so that an incomplete last round of a shard or a pattern in the input favors no speaker.

    Args:
        num_speakers: Number of speakers.
        shard_size: Utterances of a shard.
    """

    def __init__(self, num_speakers: int, shard_size: int) -> None:
        self._num_speakers = num_speakers
        self._shard_size = shard_size
        self._num_utterances: Counter[str] = Counter()  # by split
        self._round: dict[str, list[int]] = {}  # by split: speakers left in this round, the next one last
        self._num_clips: dict[str, list[int]] = {}  # by split and speaker

    def draw(self, run_seed: int, split: str) -> int:
        """Return the index of the next speaker of a split.

        Args:
            run_seed: Seed of the order of speakers.
            split: Name of the split. Each split has its own shards and is balanced separately.
        """
        num_clips = self._num_clips.setdefault(split, [0] * self._num_speakers)
        waiting = self._round.get(split)
        if not waiting:
            place = ("balance", run_seed, split, self._num_utterances[split])
            waiting = sorted(
                range(self._num_speakers), key=lambda each: (num_clips[each], content_fraction(*place, each))
            )[::-1]
            self._round[split] = waiting
        speaker = waiting.pop()
        num_clips[speaker] += 1
        return speaker

    def end_utterance(self, split: str) -> None:
        """Count an utterance of a split, with any speaker. A full shard ends the round."""
        self._num_utterances[split] += 1
        if self._num_utterances[split] % self._shard_size == 0:
            self._round.pop(split, None)
