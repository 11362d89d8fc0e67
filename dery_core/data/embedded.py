"""The embedded tasks: three ways to draw the same strokes, each with labels of its own."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator

from dery_core.data.render import (
    clouds,
    colour_pair,
    filled,
    finish,
    fragments,
    outlined,
    paint,
    stripes,
    warp,
)
from dery_core.data.strokes import Strokes, split_strokes
from dery_core.data.task import ImageSet, Task

Renderer = Callable[[Strokes, int, Generator], ImageSet]
"""Draws a number of labelled pictures from strokes."""


@dataclass(frozen=True)
class EmbeddedTask:
    """How an embedded task is made; its classes, in label order, and its sizes."""

    name: str
    title: str
    classes: tuple[str, ...]
    train_count: int
    test_count: int
    seed: int
    render: Renderer


def clutter(strokes: Strokes, count: int, generator: Generator) -> ImageSet:
    """One digit of low contrast on a cloudy ground, among pieces of other digits."""
    digits = torch.randint(10, (count,), generator=generator)
    ink = strokes.ink[strokes.draw(digits, generator)]
    mask = filled(warp(ink, generator, scale=(0.8, 1.15), degrees=20, shear=0.25, shift=0.18))
    paper, colour = colour_pair(count, 0.25, "light", generator)
    picture = paper + 0.08 * clouds(count, 5, generator) + 0.04 * clouds(count, 12, generator)
    for _ in range(2):
        other = strokes.ink[torch.randint(len(strokes.ink), (count,), generator=generator)]
        piece = fragments(warp(other, generator, degrees=180, shift=0.4), generator)
        tint = colour + 0.12 * torch.randn(count, 3, 1, 1, generator=generator)
        picture = paint(picture, filled(piece), tint)
    return ImageSet(finish(paint(picture, mask, colour), 0.06, generator), digits)


def larger(strokes: Strokes, count: int, generator: Generator) -> ImageSet:
    """Two digits side by side on stripes; the label is the larger one, less 1."""
    label = torch.randint(9, (count,), generator=generator)
    high = label + 1
    low = (torch.rand(count, generator=generator) * high).long()
    swap = torch.rand(count, generator=generator) < 0.5
    left, right = torch.where(swap, high, low), torch.where(swap, low, high)
    paper, colour = colour_pair(count, 0.3, "dark", generator)
    picture = paper + 0.09 * stripes(count, generator) * torch.randn(count, 3, 1, 1, generator=generator)
    for digits, side in ((left, -0.42), (right, 0.42)):
        ink = strokes.ink[strokes.draw(digits, generator)]
        placed = warp(ink, generator, scale=(0.6, 0.85), degrees=15, shear=0.2, shift=0.1, centre=(side, 0))
        tint = colour + 0.08 * torch.randn(count, 3, 1, 1, generator=generator)
        picture = paint(picture, filled(placed), tint)
    return ImageSet(finish(picture, 0.04, generator), label)


MIRRORED_DIGITS = (2, 3, 4, 6, 7, 9)
"""Digits whose mirror image is another shape; 5 is left out, for mirrored it is much like a 2."""


def mirror(strokes: Strokes, count: int, generator: Generator) -> ImageSet:
    """The outline of a digit, as written or mirrored, on faint stripes and clouds."""
    label = torch.randint(2 * len(MIRRORED_DIGITS), (count,), generator=generator)
    digits = torch.tensor(MIRRORED_DIGITS)[label // 2]
    ink = strokes.ink[strokes.draw(digits, generator)]
    placed = warp(ink, generator, scale=(0.95, 1.25), degrees=15, shift=0.12, mirror=label % 2 == 1)
    paper, colour = colour_pair(count, 0.35, "light", generator)
    tint = 0.06 * torch.randn(count, 3, 1, 1, generator=generator)
    picture = paper + tint * stripes(count, generator) + 0.06 * clouds(count, 6, generator)
    picture = paint(picture, outlined(placed, threshold=0.35, width=0.3), colour)
    return ImageSet(finish(picture, 0.04, generator), label)


_DIGIT_NAMES = tuple("0123456789")

EMBEDDED: dict[str, EmbeddedTask] = {
    task.name: task
    for task in (
        EmbeddedTask("digits-clutter", "Digit among clutter", _DIGIT_NAMES, 6000, 1500, 101, clutter),
        EmbeddedTask("digits-larger", "Larger of two digits", _DIGIT_NAMES[1:], 6000, 1500, 202, larger),
        EmbeddedTask(
            "digits-mirror",
            "Outlined digit, as written or mirrored",
            tuple(f"{digit}{way}" for digit in MIRRORED_DIGITS for way in ("", " mirrored")),
            2000,
            1000,
            303,
            mirror,
        ),
    )
}

TARGET_TASK = "digits-mirror"
"""Where hybrids are fine-tuned: no embedded model is trained on it."""

SOURCE_TASKS = tuple(name for name in EMBEDDED if name != TARGET_TASK)


def render_task(task: EmbeddedTask) -> Task:
    """Draw a task: the same pictures each time, on every machine."""
    train_strokes, test_strokes = split_strokes()
    train = task.render(train_strokes, task.train_count, _generator(task.seed))
    test = task.render(test_strokes, task.test_count, _generator(task.seed + 1))
    return Task(task.name, task.title, task.classes, train, test)


def fresh_pictures(task: EmbeddedTask, count: int, seed: int) -> ImageSet:
    """New pictures of the task's train strokes, none of them in its train set: augmentation without end."""
    return task.render(split_strokes()[0], count, _generator(1_000_003 * (task.seed + 2) + seed))


def _generator(seed: int) -> Generator:
    return torch.Generator().manual_seed(seed)
