"""Pictures for readers without JavaScript: small SVG in the page's own colours, with the same marks as its figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from peftrec.outputs.safe_text import for_line
from peftrec.results.tpme import pareto_front

WIDTH, HEIGHT = 340, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 8, 34
MANY_TIMES = 10.0
"""An axis is logarithmic where its largest value is at least this many times its smallest."""
NUM_TICKS = 4
NUM_COLOURS = 7
SHAPES = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "M-4,-4h8v8h-8z",
    "M0,-5l5,9h-10z",
    "M0,-5.5l5.5,5.5l-5.5,5.5l-5.5,-5.5z",
    "M0,5l5,-9h-10z",
    "M-2,-5h4v3h3v4h-3v3h-4v-3h-3v-4h3z",
    "M-5,-2.5l2.5,-2.5l2.5,2.5l2.5,-2.5l2.5,2.5l-2.5,2.5l2.5,2.5l-2.5,2.5l-2.5,-2.5l-2.5,2.5l-2.5,-2.5l2.5,-2.5z",
    "M-5,0l2.5,-4.5h5l2.5,4.5l-2.5,4.5h-5z",
)
"""Around the origin; the page's script has them from here."""


@dataclass(frozen=True)
class Dot:
    """A strategy in a picture."""

    place: int
    """Of its row, which decides mark and number."""
    name: str
    x: float
    y: float
    interval: tuple[float, float] | None = None
    """Of y."""


@dataclass(frozen=True)
class Scale:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float
    is_logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high, value = (
            (math.log10(each) for each in (self.low, self.high, value))
            if self.is_logarithmic
            else (
                self.low,
                self.high,
                value,
            )
        )
        return round(self.start + (self.end - self.start) * (value - low) / (high - low or 1.0), 1)

    def ticks(self) -> list[float]:
        """Return a few round values."""
        if self.is_logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(powers) <= NUM_TICKS else (1,)
            every = [step * 10.0**power for power in powers for step in steps]
        else:
            rough = (self.high - self.low) / NUM_TICKS or 1.0
            power = 10.0 ** math.floor(math.log10(rough))
            step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough)
            places = range(math.floor(self.low / step), math.ceil(self.high / step) + 1)
            every = [round(place * step, 12) for place in places]
        return [value for value in every if self.low <= value <= self.high]


def scale_of(values: Sequence[float], start: float, end: float, *, is_linear: bool = True) -> Scale:
    """Return a scale with some air around values; unless it must be linear, logarithmic for a wide range of them."""
    low, high = min(values), max(values)
    if not is_linear and low > 0 and high / low >= MANY_TIMES:
        return Scale(low / 1.3, high * 1.3, start, end, is_logarithmic=True)
    air = 0.06 * (high - low or abs(high) or 1.0)
    return Scale(low - air, high + air, start, end)


def scatter(
    dots: Sequence[Dot], title: str, levels: Sequence[tuple[str, float]] = (), *, is_linear: bool = False
) -> Markup:
    """Draw quality against a cost: points with their numbers, the front as steps, `levels` as lines across."""
    x = scale_of([dot.x for dot in dots], LEFT, WIDTH - RIGHT, is_linear=is_linear)
    heights = [each for dot in dots for each in (dot.y, *(dot.interval or ()))]
    y = scale_of([0.0, *heights, *(level for _, level in levels)], HEIGHT - BOTTOM, TOP)
    parts = [*_axes(x, y, title)]
    for name, level in levels:
        parts.append(
            Markup('<path class="level" d="M{},{}H{}"><title>{}</title></path>').format(
                LEFT, y.at(level), WIDTH - RIGHT, for_line(name)
            )
        )
    parts.append(Markup('<path class="front" d="M{}"/>').format("L".join(_corners(dots, x, y))))
    for dot in dots:
        if dot.interval:
            low, high = (y.at(value) for value in dot.interval)
            parts.append(Markup('<path class="bar" d="M{},{}V{}"/>').format(x.at(dot.x), low, high))
    parts += [_mark(dot, x, y) for dot in dots]
    return _picture(title, parts)


def _corners(dots: Sequence[Dot], x: Scale, y: Scale) -> list[str]:
    names = pareto_front({dot.name: (dot.y, dot.x) for dot in dots})
    front = sorted((dot for dot in dots if dot.name in names), key=lambda dot: (dot.x, dot.y))
    corners: list[str] = []
    for place, dot in enumerate(front):
        if place:
            corners.append(f"{x.at(dot.x)},{y.at(front[place - 1].y)}")
        corners.append(f"{x.at(dot.x)},{y.at(dot.y)}")
    return corners


def _mark(dot: Dot, x: Scale, y: Scale) -> Markup:
    return Markup(
        '<g class="c{}" transform="translate({},{})"><path class="mark" d="{}"/>'
        '<text x="7" y="-5">{}</text><title>{}</title></g>'
    ).format(
        dot.place % NUM_COLOURS,
        x.at(dot.x),
        y.at(dot.y),
        SHAPES[dot.place % len(SHAPES)],
        dot.place + 1,
        for_line(dot.name),
    )


def curves(lines: Sequence[tuple[int, str, Sequence[float | None]]], title: str) -> Markup:
    """Draw one line a run over its epochs; each is the place of its row, a name, and values."""
    longest = max(len(values) for _, _, values in lines)
    x = Scale(1, max(longest, 2), LEFT, WIDTH - RIGHT)
    y = scale_of([value for _, _, values in lines for value in values if value is not None], HEIGHT - BOTTOM, TOP)
    parts = [*_axes(x, y, "epoch")]
    for place, name, values in lines:
        points = [f"{x.at(number)},{y.at(value)}" for number, value in enumerate(values, start=1) if value is not None]
        parts.append(
            Markup('<path class="line c{}" d="M{}"><title>{}</title></path>').format(
                place % NUM_COLOURS, "L".join(points), for_line(name)
            )
        )
    return _picture(title, parts)


def _axes(x: Scale, y: Scale, title: str) -> list[Markup]:
    parts = [Markup('<path class="axis" d="M{},{}V{}H{}"/>').format(LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT)]
    parts += [_text(x.at(value), HEIGHT - BOTTOM + 13, tick_text(value), "middle") for value in x.ticks()]
    for value in y.ticks():
        parts.append(Markup('<path class="grid" d="M{},{}H{}"/>').format(LEFT, y.at(value), WIDTH - RIGHT))
        parts.append(_text(LEFT - 5, y.at(value) + 4, tick_text(value), "end"))
    return [*parts, _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, title, "middle")]


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, y, anchor, for_line(text))


def _picture(title: str, parts: Sequence[Markup]) -> Markup:
    return Markup('<svg class="chart" role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}">{}</svg>').format(
        for_line(title), WIDTH, HEIGHT, WIDTH, Markup("").join(parts)
    )


def tick_text(value: float) -> str:
    """Return a value in few characters: `0.05`, `12k`, `3.5M`."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{value:.4g}"
