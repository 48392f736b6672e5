"""Deal speakers so that each speaks equally often, for `voice.balance=true`."""

from __future__ import annotations

from collections import Counter

from pipeline.seeds import content_fraction


class BalancedDraw:
    """Chooses speakers by position in the plan, in place of draws by content.

    In each shard, and in each split as a whole, the numbers of clips of any two speakers differ by one at most. Rows
    that name their own voice, and those that cannot be spoken, are not counted.

    Speakers come in rounds in which each speaks once. Those that have spoken least come first, in an order that differs
    from round to round, so that neither the last round of a shard, which may be incomplete, nor a pattern in the
    input favours anyone.
    """

    def __init__(self, num_speakers: int, shard_size: int) -> None:
        self._num_speakers = num_speakers
        self._shard_size = shard_size
        self._num_utterances: Counter[str] = Counter()  # of each split
        self._round: dict[str, list[int]] = {}  # of each split: who is still to speak, the next one last
        self._num_clips: dict[str, list[int]] = {}  # of each split, by speaker

    def draw(self, run_seed: int, split: str) -> int:
        """Return the index of the next speaker of a split.

        Args:
            run_seed: Decides the order of the speakers.
            split: Splits are balanced apart from each other, since each has its own shards.
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
        """Count an utterance of a split, whoever speaks it; a shard that is full ends the round."""
        self._num_utterances[split] += 1
        if self._num_utterances[split] % self._shard_size == 0:
            self._round.pop(split, None)
