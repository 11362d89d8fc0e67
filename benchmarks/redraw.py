"""How long the Partition page takes to answer when K or ε changes, with 30 networks in the table.

    python benchmarks/redraw.py [TABLE.npz ...] [--browser] [--serve PORT]

Engine: one answer of `solve_partition` within the time the page gives it, from the last answer, along
a walk over K = 2 to 12 and ε = 0 to 1. Page: a run of the page's script after a slider moved; with
--browser also from the key press to the drawn figure in Chromium. A table holds `cka` (M, M), `model`,
`cut`, `cum_size` (M,) and `names`; without one those of ../shared/bench/partition that have 30 networks.
--serve shows the first table's networks in the app and does nothing else.
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
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS

import numpy as np
import pandas as pd

from app import steps, work
from app.proof import ANSWER_SECONDS
from dery_core.data import Probe
from dery_core.partition import K_RANGE, Partition, Variant, solve_partition
from dery_core.similarity import SimilarityTable
from dery_core.zoo import Zoo, ZooModel

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT.parent / "shared" / "bench" / "partition"
EPSILONS = [0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0]
PORT = 8619
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
# A legend entry and a bar of every set: Plotly draws them last.
DRAWN = """k => document.querySelectorAll('.st-key-partition_bars .legendtext').length === k
    && document.querySelectorAll('.st-key-partition_bars .barlayer .trace').length === k"""
VARIANTS: tuple[Variant, ...] = ("staged", "free")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", type=Path)
    parser.add_argument("--browser", action="store_true", help="measure in Chromium as well")
    parser.add_argument("--serve", type=int, metavar="PORT", help="only show the first table in the app")
    args = parser.parse_args()
    paths = args.tables or sorted(BENCH.glob("zoo30*.npz"))
    if not paths:
        print(f"No tables given and {BENCH} is not here.", file=sys.stderr)
        return 2
    if args.serve:
        return serve(load(paths[0]), args.serve)
    print(
        f"Milliseconds, numpy on one thread; {1000 * ANSWER_SECONDS:.0f} ms of search an answer; "
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."
    )
    print(f"{'':<50} {'elapsed':>20} {'CPU':>20}")
    print(
        f"{'table':<12} {'variant':<7} {'what':<23} {'count':>5}" + 2 * f" {'p50':>6} {'p95':>6} {'max':>6}"
    )
    for path in paths:
        table = load(path)
        for variant in VARIANTS:
            times = list(engine(table, variant))
            proved = sum(answer.proved for *_, answer in times)
            line(path, variant, "engine", [t[0] for t in times], [t[1] for t in times])
            line(path, variant, "page's script", *map(list, zip(*page(table, variant), strict=True)))
            if args.browser:
                line(path, variant, "key press to picture", browser(path, variant))
            print(f"{path.stem:<12} {variant:<7} proved at once: {proved} of {len(times)}", flush=True)
    return 0


def line(path: Path, variant: str, what: str, *measured: list[float]) -> None:
    figures = [f" {value:>6.0f}" for times in measured for value in np.percentile(times, [50, 95, 100])]
    print(f"{path.stem:<12} {variant:<7} {what:<23} {len(measured[0]):>5}" + "".join(figures), flush=True)


def engine(table: SimilarityTable, variant: Variant) -> Iterator[tuple[float, float, Partition]]:
    """Milliseconds elapsed, milliseconds of CPU and answer at every place of the walk, each from the one
    before."""
    answer = None
    for k, epsilon in walk():
        begun, used = time.perf_counter(), time.process_time()
        answer = solve_partition(
            table, k, epsilon, "params", variant=variant, warm=answer, max_seconds=ANSWER_SECONDS
        )
        yield 1000 * (time.perf_counter() - begun), 1000 * (time.process_time() - used), answer


def walk() -> Iterator[tuple[int, float]]:
    """K up and down again, with an ever larger ε: every step moves one slider a little."""
    low, high = K_RANGE
    for turn, epsilon in enumerate(EPSILONS):
        for k in range(low, high + 1)[:: -1 if turn % 2 else 1]:
            yield k, epsilon


def page(table: SimilarityTable, variant: Variant) -> Iterator[tuple[float, float]]:
    """Milliseconds elapsed and of CPU for a run of the page's script at every place of the walk, engine and
    figure included. The CPU is the whole process's: proofs in the background count as well."""
    from streamlit.testing.v1 import AppTest

    with tempfile.TemporaryDirectory() as home:
        os.environ["DERY_HOME"] = home
        put(table)
        app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60)
        app.query_params["members"] = ",".join(table.models)
        app.query_params["variant"] = variant
        app.run()
        app.switch_page(str(ROOT / "pages" / "partition.py")).run()
        for k, epsilon in walk():
            app.slider(key="k").set_value(k)
            app.slider(key="epsilon").set_value(epsilon)
            begun, used = time.perf_counter(), time.process_time()
            app.run()
            yield 1000 * (time.perf_counter() - begun), 1000 * (time.process_time() - used)
            if app.exception or app.error:
                raise SystemExit(f"The page failed at K = {k}, ε = {epsilon}.")
    for task in list(work._works.values()):
        task.cancel()
    work._works.clear()


def browser(path: Path, variant: Variant) -> list[float]:
    """Milliseconds from pressing a key on a slider to the figure drawn anew, in a real browser: K up and
    down again. The slider waits for a pause of the fingers first, which is counted here."""
    from playwright.sync_api import sync_playwright

    members = ",".join(load(path).models)
    low, high = K_RANGE
    with tempfile.TemporaryDirectory() as home, served(path, home), sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        tab = chromium.new_page(viewport={"width": 1440, "height": 1000})
        tab.goto(f"http://localhost:{PORT}/partition?members={members}&variant={variant}&k={low}")
        tab.wait_for_function(DRAWN, arg=low, timeout=60_000)
        tab.locator(".st-key-k input[type=range]").focus()
        times = []
        pressed = [("ArrowRight", k) for k in range(low + 1, high + 1)]
        pressed += [("ArrowLeft", k) for k in range(high - 1, low - 1, -1)]
        for key, k in pressed:
            begun = time.perf_counter()
            tab.keyboard.press(key)
            tab.wait_for_function(DRAWN, arg=k, polling="raf", timeout=60_000)
            times.append(1000 * (time.perf_counter() - begun))
        return times


@contextmanager
def served(path: Path, home: str) -> Iterator[None]:
    """The app with the table's networks, as long as the block lasts."""
    server = subprocess.Popen(
        [sys.executable, __file__, str(path), "--serve", str(PORT)],
        env={**os.environ, "DERY_HOME": home},
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


def serve(table: SimilarityTable, port: int) -> int:
    """The app with the table's networks for a zoo."""
    from streamlit.web.cli import main as streamlit

    put(table)
    # In this process, where the zoo and the table were put.
    return int(streamlit(["run", str(ROOT / "app" / "main.py"), "--server.port", str(port)]) or 0)


def put(table: SimilarityTable) -> None:
    """Let the app take the table's networks for its zoo, and the table for what it measured."""
    ends = table.index.groupby("model", sort=False).last()
    half = (0.5, 0.5, 0.5)
    zoo = Zoo(
        Path("bench.json"),
        tuple(
            ZooModel(
                name,
                "resnet18",
                "none",
                "bench",
                (3, 32, 32),
                half,
                half,
                params=int(ends["params"][name]),
                macs=int(ends["macs"][name]),
                top1=50.0,
            )
            for name in table.models
        ),
    )
    steps.zoo = lambda: zoo
    steps.table = lambda names: (work.start("bench table", lambda report: table), "bench table")


def load(path: Path) -> SimilarityTable:
    """A bare table as one of ours; its size stands for parameters and MACs alike."""
    with np.load(path) as file:
        values = file["cka"].astype(np.float64)
        names = file["names"].astype(str)[file["model"]]
        cuts, size = file["cut"].astype(np.int64), file["cum_size"]
    np.fill_diagonal(values, 1.0)
    whole = np.round(1e6 * size / size.max()).astype(np.int64)
    index = pd.DataFrame(
        {
            "model": names,
            "cut": cuts,
            "node": [f"node{cut}" if cut else "input" for cut in cuts],
            "layout": "",
            "params": whole,
            "macs": whole,
            "weights": "",
        }
    )
    return SimilarityTable((values + values.T) / 2, index, Probe("bench", 256), path.stem)


if __name__ == "__main__":
    sys.exit(main())
