"""Clips in windows of few lengths, so that a GPU's codec decodes several clips in one batch of a shape it knows.

Plain arithmetic over frames: no codec, no tensor. For a context of 2 frames and windows of 8, a clip of 17 frames:

    frames       0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16
    window 0    [=  =  =  =  =  =  .  .]
    window 1                [.  .  =  =  =  =  .  .]
    window 2                               [.  .  .  =  =  =  =  =]

`=` is kept, `.` is context: seen, and thrown away. The first window begins where the clip does and the last ends where
it does, for there the codec pads with zeros of its own, in every layer, and no frame of context could stand for those.
So no window is longer than its clip, and a clip shorter than all of them is decoded whole.
"""

from __future__ import annotations

from dataclasses import dataclass

_LENGTHS = (4, 8, 16)  # of windows, in contexts: of these, at most a half, a quarter, an eighth is seen in vain
_BATCH = 128  # likewise, of a batch: 1,500 frames of the published codec, which are work enough for all of a GPU
_CONTEXT_MULTIPLE = 4


@dataclass(frozen=True)
class Window:
    """A part of a clip, in frames of the clip."""

    start: int  # of what the codec sees
    length: int
    keep_start: int  # of what is kept of it
    keep_end: int


class Windows:
    """How clips are cut for a codec that looks `context` frames to either side."""

    def __init__(self, context: int) -> None:
        self._context = context
        unit = -(-max(1, context) // _CONTEXT_MULTIPLE) * _CONTEXT_MULTIPLE
        self._batch = _BATCH * unit
        self.lengths = tuple(times * unit for times in _LENGTHS)

    def rows(self, length: int) -> int:
        """Windows of this length that are decoded at once: always so many, so that there is one shape of each length.

        A clip that is shorter than all windows is decoded alone: hardly two have the same length.
        """
        return self._batch // length if length in self.lengths else 1

    def cut(self, num_frames: int) -> list[Window]:
        """Cuts a clip into windows of one length: of the one that computes the fewest frames.

        A function of the clip's own length, so that a clip is cut alike in any company.
        """
        if num_frames == 0:
            return []
        fitting = [length for length in self.lengths if length <= num_frames]
        length = min(
            fitting, key=lambda length: (self._count(num_frames, length) * length, -length), default=num_frames
        )
        windows, kept = [], 0
        for index in range(self._count(num_frames, length)):
            start = min(index * (length - 2 * self._context), num_frames - length)
            end = start + length - (0 if start + length == num_frames else self._context)
            windows.append(Window(start, length, kept, end))
            kept = end
        return windows

    def _count(self, num_frames: int, length: int) -> int:
        """Each window keeps what is not its context; the first and the last have one on one side only."""
        if length == num_frames:
            return 1
        return -(-(num_frames - 2 * self._context) // (length - 2 * self._context))
