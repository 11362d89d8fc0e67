"""How long the Reassemble page takes to show the best hybrid of the budget that a slider was dragged to.

    python benchmarks/drag.py [--members A,B,...] [--home FOLDER] [--out docs/drag.md]

Drags both sliders by the mouse across their range and back in Chromium, 40 steps. Every step must show a
hybrid within its budget and no error. A step's time begins with the mouse button's release and ends with
the frame in which hybrid, figures and plane show the new budget. It has three parts, told apart by what
goes over the wire: until the browser asks (the slider waits for a pause of the fingers), until the
script's last answer, until all is drawn. Scores that the workspace (--home, a new one without) doesn't
keep are measured first: minutes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS

import numpy as np
from playwright.sync_api import Page, sync_playwright

from dery_core.units import parse_quantity
from dery_core.zoo import embedded_zoo

ROOT = Path(__file__).resolve().parents[1]
PORT = 8741
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
STEPS = 40
BOUND = 500
"""Milliseconds that 95 of 100 steps are to stay below."""
MEASURING = 1_800_000
DRAWING = 60_000
# What the figures are of, and that the plane was drawn for the same.
SHOWN = """() => {
    const figures = document.querySelector('.dery-shown');
    const plane = document.querySelector('.st-key-score_plane .js-plotly-plot');
    const text = key => document.querySelector(`.st-key-${key} [data-testid=stSliderThumbValue]`)?.innerText;
    if (!figures || !plane || !plane.layout) return null;
    const {params, macs, maxParams, maxMacs} = figures.dataset;
    const same = plane.layout.meta === `${params} ${macs} ${maxParams} ${maxMacs}`;
    const new_ = maxParams === text('max_params') && maxMacs === text('max_macs');
    return same && new_ ? {params, macs, maxParams, maxMacs} : null;
}"""


@dataclass
class Wire:
    """When the page last asked its script for something, and when the script last answered."""

    asked: float = 0.0
    answered: float = 0.0

    def watch(self, tab: Page) -> None:
        def watch(socket: Any) -> None:
            socket.on("framesent", lambda _: self._ask())
            socket.on("framereceived", lambda _: self._answer())

        tab.on("websocket", watch)

    def _ask(self) -> None:
        self.asked = time.perf_counter()

    def _answer(self) -> None:
        self.answered = time.perf_counter()


@dataclass
class Times:
    """Milliseconds of every step."""

    whole: list[float] = field(default_factory=list)
    asking: list[float] = field(default_factory=list)
    script: list[float] = field(default_factory=list)
    drawing: list[float] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", default=",".join(embedded_zoo().names[::2]))
    parser.add_argument("--home", type=Path, help="workspace that keeps the scores")
    parser.add_argument("--out", type=Path, help="write the figures there too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(args.home or Path(folder)):
        times, broken = dragged(args.members)
    text = told(args.members, times, broken)
    print(text)
    if args.out:
        args.out.write_text(text)
    return 1 if broken else 0


def dragged(members: str) -> tuple[Times, list[str]]:
    """The times of all steps, and what was wrong at some."""
    times, broken, wire = Times(), [], Wire()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        tab = chromium.new_page(viewport={"width": 1440, "height": 1000})
        wire.watch(tab)
        tab.goto(f"http://localhost:{PORT}/reassemble?members={members}")
        tab.wait_for_function(SHOWN, timeout=MEASURING)
        for key, fraction in walk():
            hold(tab, key, fraction)
            begun = time.perf_counter()
            tab.mouse.up()
            shown = tab.wait_for_function(SHOWN, polling="raf", timeout=DRAWING).json_value()
            ended = time.perf_counter()
            broken += wrong(tab, shown)
            times.whole.append(1000 * (ended - begun))
            if begun <= wire.asked <= wire.answered:
                times.asking.append(1000 * (wire.asked - begun))
                times.script.append(1000 * (wire.answered - wire.asked))
                times.drawing.append(1000 * (ended - wire.answered))
        chromium.close()
    return times, broken


def walk() -> Iterator[tuple[str, float]]:
    """Which slider is dragged to which part of its track: each to its smallest and back, the second while the
    first stands at three fifths."""
    quarter = STEPS // 4
    down = [1 - (step + 1) / quarter for step in range(quarter)]
    up = [(step + 1) / quarter for step in range(quarter)]
    yield from (("max_params", fraction) for fraction in down)
    yield from (("max_params", 0.6 * fraction) for fraction in up)
    yield from (("max_macs", fraction) for fraction in down)
    yield from (("max_macs", fraction) for fraction in up)


def hold(tab: Page, key: str, fraction: float) -> None:
    """Take a slider's thumb, move it to a fraction of its track, and don't let it go yet."""
    now = tab.locator(f".st-key-{key} input").evaluate("input => input.value / input.max")
    track = tab.locator(f".st-key-{key} .stSlider [data-orientation]").last.bounding_box()
    assert track is not None
    y = track["y"] + track["height"] / 2
    tab.mouse.move(track["x"] + now * track["width"], y)
    tab.mouse.down()
    tab.mouse.move(track["x"] + fraction * track["width"], y, steps=4)


def wrong(tab: Page, shown: dict[str, str]) -> list[str]:
    """What a step shows that it must not."""
    found = [
        f"{shown[cost]} {cost}, at most {shown[most]} allowed"
        for cost, most in (("params", "maxParams"), ("macs", "maxMacs"))
        if int(shown[cost]) > parse_quantity(shown[most])
    ]
    alerts = tab.locator("[data-testid=stException], [data-testid=stAlertContentError]")
    return found + alerts.all_inner_texts()


def told(members: str, times: Times, broken: list[str]) -> str:
    """The figures as a page of docs."""
    late = float(np.percentile(times.whole, 95))
    rows = {
        "release to redraw": times.whole,
        "until the browser asks": times.asking,
        "until the script's last answer": times.script,
        "until all is drawn": times.drawing,
    }
    lines = [
        f"| {what} | {len(values)} | " + " | ".join(f"{value:.0f}" for value in _spread(values)) + " |"
        for what, values in rows.items()
        if values
    ]
    kept = "Every step showed a hybrid within its budget and no error."
    return "\n".join(
        [
            "# How fast the Reassemble page follows its sliders",
            "",
            "Both sliders are dragged by the mouse across their range and back in Chromium, without a",
            "graphics card, by `python benchmarks/drag.py`. Milliseconds from the mouse button's release to",
            "the frame in which hybrid, figures and plane show the new budget, and its three parts:",
            "",
            "| what | steps | p50 | p95 | max |",
            "| --- | --- | --- | --- | --- |",
            *lines,
            "",
            f"- {len(members.split(','))} networks; load average {os.getloadavg()[0]:.1f} on "
            f"{os.cpu_count()} cores, server and browser on the same machine.",
            f"- {kept if not broken else 'Not as it must be: ' + '; '.join(broken)}",
            f"- 95 of 100 steps below {BOUND} ms: "
            + ("holds." if late < BOUND else f"**does not hold**: {late:.0f} ms."),
            "",
        ]
    )


def _spread(values: list[float]) -> list[float]:
    return [float(value) for value in np.percentile(values, [50, 95, 100])]


@contextmanager
def served(home: Path) -> Iterator[None]:
    """The app on that workspace, as long as the block lasts."""
    server = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(ROOT / "app" / "main.py")]
        + ["--server.port", str(PORT), "--server.headless", "true"],
        cwd=ROOT,
        env={**os.environ, "DERY_HOME": str(home), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            with suppress(OSError), urllib.request.urlopen(f"http://localhost:{PORT}/_stcore/health"):
                break
            time.sleep(0.2)
        yield
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    sys.exit(main())
