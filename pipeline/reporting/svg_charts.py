"""Charts of `report.html` as inline SVG. The CSS of the page defines the colours.

All functions return markup with escaped text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 720, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 22, 24, 28
_NUM_COLOURS = 8  # CSS classes `c0` ... `c7`
_WAVE_BARS = 120
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_STEPS = (1, 2, 5, 10, 20, 30)
_TIME_STEPS = (*_STEPS, *(_MINUTE * step for step in _STEPS), *(_HOUR * step for step in (1, 2, 4, 8)), _DAY)


@dataclass(frozen=True)
class Series:
    """A line of a chart, with gaps between its segments; each segment is a sequence of (x, y)."""

    name: str
    segments: tuple[tuple[tuple[float, float], ...], ...]


def line_chart(series: Sequence[Series], unit: str, x_text: Callable[[float], str]) -> Markup:
    """Return a line chart over time; both axes start at 0.

    Args:
        series: Lines; x is in seconds.
        unit: Unit of the y axis.
        x_text: Formats the labels of the x axis.
    """
    points = [point for line in series for segment in line.segments for point in segment]
    x_top = max((x for x, _ in points), default=1.0) or 1.0
    y_ticks = _ticks(max((y for _, y in points), default=1.0) or 1.0)
    shapes = [_axes(_time_ticks(x_top), x_top, y_ticks, x_text, unit)]
    for number, line in enumerate(series):
        for segment in line.segments:
            path = " ".join(f"{_x(x, x_top):.1f},{_y(y, y_ticks[-1]):.1f}" for x, y in segment)
            shapes.append(
                Markup('<polyline class="line c{}" points="{}"><title>{}</title></polyline>').format(
                    number % _NUM_COLOURS, path, line.name
                )
            )
    return _svg(shapes, f"{unit} over time")


def histogram(values: npt.NDArray[np.float64], unit: str, noun: str) -> Markup:
    """Return a histogram.

    Args:
        values: [N], not negative.
        unit: Unit of the values.
        noun: What is counted, in the plural.
    """
    x_top = float(values.max(initial=0.0)) or 1.0
    counts, edges = np.histogram(values, bins=min(40, max(5, len(values) // 2)), range=(0.0, x_top))
    y_ticks = _ticks(float(counts.max(initial=1)), whole=True)
    shapes = [_axes(_ticks(x_top, 8), x_top, y_ticks, lambda x: f"{x:g}", noun)]
    for number, low, high in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        left, top = _x(low, x_top), _y(number, y_ticks[-1])
        shapes.append(
            Markup(
                '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="1.5">'
                "<title>{:.1f} to {:.1f} {}: {:,} {}</title></rect>"
            ).format(
                left + 0.75, top, max(0.5, _x(high, x_top) - left - 1.5), _HEIGHT - _BOTTOM - top,
                low, high, unit, number, noun,
            )
        )  # fmt: skip
    return _svg(shapes, f"{noun} by {unit}")


def waveform(samples: npt.NDArray[np.float32]) -> Markup:
    """Return the waveform of a clip, scaled to its peak.

    Args:
        samples: [N], mono.
    """
    parts = np.array_split(np.abs(samples), min(_WAVE_BARS, max(1, len(samples))))
    peaks = np.array([part.max(initial=0.0) for part in parts])
    peaks = peaks / (peaks.max(initial=0.0) or 1.0)
    step = 480 / len(peaks)
    bars = Markup("").join(
        Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="1"/>').format(
            number * step, 24 - 22 * height, step * 0.7, max(1.0, 44 * height)
        )
        for number, height in enumerate(peaks.tolist())
    )
    return Markup(
        '<svg class="wave" viewBox="0 0 480 48" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(bars)


def _svg(shapes: Sequence[Markup], label: str) -> Markup:
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, label, Markup("").join(shapes)
    )


def _axes(
    x_ticks: Sequence[float], x_top: float, y_ticks: Sequence[float], x_text: Callable[[float], str], unit: str
) -> Markup:
    lines = [
        Markup('<line class="grid" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>{}').format(
            _LEFT, _WIDTH - _RIGHT, _text(_LEFT - 6, y + 4, f"{tick:,g}", "end"), y=y
        )
        for tick, y in ((tick, _y(tick, y_ticks[-1])) for tick in y_ticks)
    ]
    lines += [_text(_x(tick, x_top), _HEIGHT - 8, x_text(tick), "middle") for tick in x_ticks if tick <= x_top]
    return Markup("").join([*lines, _text(_LEFT, 12, unit, "start")])


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, escape(text))


def _x(value: float, top: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / top


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / top


def _time_ticks(top: float) -> list[float]:
    """Return up to seven round times from 0 to `top`."""
    step = next((step for step in _TIME_STEPS if top / step <= 6), math.ceil(top / 6 / _DAY) * _DAY)
    return [float(step * number) for number in range(int(top / step) + 1)]


def _ticks(top: float, max_steps: int = 5, whole: bool = False) -> list[float]:
    """Return round values from 0 to the first one that is not below `top`."""
    raw = max(top, 1e-9) / max_steps
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.9999)
    step = max(1.0, step) if whole else step
    return [step * number for number in range(math.ceil(top / step - 1e-9) + 1)]
