"""Similarity tables beside torch_cka and ckatorch: the same networks, cuts and images, one thread.

    python -m benchmarks.similarity [--peers DIR] [--folder DIR] [--resume] [--write]

The peers are looked for in build/peers; they are put there, and the project's environment left alone, by

    python -m pip install --no-deps --target build/peers -r benchmarks/requirements.txt

Every contender runs in a process of its own. `--resume` keeps the measurements that are in the folder
(build/similarity) already, `--write` writes docs/similarity.md. About half an hour in all.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from tabulate import tabulate

from benchmarks.similarity_contenders import Job
from dery_core.data import SOURCE_TASKS, TARGET_TASK, Probe
from dery_core.errors import DeryError
from dery_core.files import write_text
from dery_core.zoo import EMBEDDED_ZOO, ZooModel, build_architecture, embedded_zoo

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "similarity.md"

TIMM = (
    "mobilenetv2_050", "vit_tiny_patch16_224", "regnety_002", "convnext_atto", "starnet_s1", "ghostnet_050",
    "edgenext_xx_small", "mnasnet_small", "efficientnet_lite0", "fasternet_t0", "inception_next_atto",
    "mobilenetv2_100",
)  # fmt: skip
SIDE, IMAGES, MEMORY = 48, 256, 256 * 2**20
COUNTS = {"timm": (2, 4, 8, 12), "embedded": (4, 8, 15)}
BATCHES = {"timm": 256, "embedded": 64}
MANY_IMAGES, SEEDS = 2048, 3
MEMORIES = (160 * 2**20,)
AIM, TOLERANCE = 20, 1e-5
OURS, PEERS = ("ours", "ours-kept", "ours-default"), ("torch_cka", "ckatorch")
NAMED = {
    "ours": "ours, like with like",
    "ours-kept": "the same, kept on disk",
    "ours-default": "ours, default, kept on disk",
}
CONTENDERS = (*OURS, *PEERS, "oracle")

TEXT = """# Similarity tables: speed, memory, agreement

Made by `python -m benchmarks.similarity --write`, one thread: torch {torch}, timm {timm}, torch_cka 0.21
and ckatorch 1.0.3 from the package registry (benchmarks/requirements.txt says how to install them beside
the project). CPU seconds are what to read where other work shares the processors. Every
contender ran in a process of its own on the same networks, cut at the same places, and the same {images}
images of `{task}`: `timm`, small architectures of timm at {side} px with random weights, in one
minibatch of {batches[timm]}, which is what torch_cka's own example takes; they were chosen for many cuts that
are cheap to run, where comparing weighs more than running: with dearer networks ratios are smaller.
`embedded`, the first of the trained networks that ship with DeRy Studio, in their order, at 32 px in
minibatches of {batches[embedded]}. The peers compare pairs; the table holds every two networks and each
with itself, so that is what they were given. CPU seconds are the processor's; the networks were built before
for everybody.
*Grew by* is what the process grew by at most while it compared, beyond what it had freed and kept before;
*peak* is all that it held, networks and libraries too.

**Like with like** is what torch_cka computes: linear CKA of whole activations by the unbiased HSIC, summed
over minibatches; ours by `cut_features` and `similarity_matrix`, from built networks to values in memory.
**Kept on disk** is `similarity_table`, which copies the networks from a cache, and hashes and keeps
features and table. **Our default** is what the app shows: pooled features, all images at once. Resizing the
pictures counts for ours alone; the peers got them resized. ckatorch's class takes activations of three axes
alone, so each cut was tapped to show it a batch of images in that form, and it ran one epoch, not its
default of ten, which would take ten times as long{plain}.

{speed}

{verdict}

## Agreement with a float64 oracle

Largest |difference| to unbiased CKA (our default: to biased CKA of pooled features) computed in float64
from the same float32 activations, over all pairs of cuts of different networks.

{agreement}

{faults}

## {cuts} cuts at {many} images

{models} networks (twelve architectures of timm at {side} px, {seeds} seeds of random weights), {many}
images of `{many_task}`, the default comparison. *Features*: every network built, cut, checked and run over
the images, its pooled features kept on disk. *Table*: a process that finds these features and computes all
similarities; `memory` is the setting of `similarity_table`.

{bounded}
"""


@dataclass(frozen=True)
class Bench:
    """Where things are, and what was measured."""

    folder: Path
    peers: Path
    resume: bool

    def measure(self, contender: str, name: str, job: Job) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        out = self.folder / f"{name}-{contender}"
        done = out.with_suffix(".json").is_file() and out.with_suffix(".npz").is_file()
        if not (self.resume and done):
            path = self.folder / f"{name}.job.json"
            job.save(path)
            command = [
                sys.executable,
                "-m",
                "benchmarks.similarity_contenders",
                contender,
                str(path),
                str(out),
            ]
            print(f"{name}: {contender} ...", file=sys.stderr, flush=True)
            subprocess.run(command, cwd=ROOT, env=self.environment(), check=True)
        with np.load(out.with_suffix(".npz")) as arrays:
            return json.loads(out.with_suffix(".json").read_text()), dict(arrays)

    def environment(self) -> dict[str, str]:
        one = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "MPLBACKEND": "Agg", "PYTHONWARNINGS": "ignore"}
        # the peers last: what they bring must not stand before the project's own packages
        return os.environ | one | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(self.peers)])}


@dataclass(frozen=True)
class Case:
    """All contenders on the first `count` networks of a zoo."""

    title: str
    count: int
    rows: dict[str, dict[str, Any]]
    values: dict[str, dict[str, NDArray[Any]]]

    @property
    def cuts(self) -> int:
        return int(self.rows["ours"]["cuts"])

    def ratio(self, peer: str, to: str = "ours") -> float:
        return float(self.rows[peer]["cpu"] / self.rows[to]["cpu"])

    def difference(self, contender: str, truth: str) -> float:
        """Largest |difference| to the oracle between cuts of two networks, where it is finite."""
        exact = self.values["oracle"][truth]
        between = ~np.isnan(self.values["ckatorch"]["values"])
        gaps = np.abs(self.values[contender]["values"] - exact)[between]
        return float(gaps[np.isfinite(gaps)].max())


def make_zoo(folder: Path, side: int, seeds: int) -> Path:
    """A zoo file of the architectures with random weights, seed after seed."""
    models = []
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        for architecture in TIMM:
            kwargs = {"img_size": side} if architecture.startswith("vit") else {}
            name, third = f"{architecture}.{seed}", (0.5, 0.5, 0.5)
            weights = f"{name}.safetensors"
            model = ZooModel(name, architecture, weights, "none", (3, side, side), third, third, kwargs)
            torch.manual_seed(seed)
            save_file(build_architecture(model).state_dict(), folder / weights)
            models.append({key: value for key, value in model.to_dict().items() if key != "schema_version"})
    path = folder / "zoo.json"
    write_text(path, json.dumps(models, indent=1))
    return path


def compare_all(bench: Bench) -> list[Case]:
    zoos = {"timm": make_zoo(bench.folder / "timm", SIDE, 1), "embedded": EMBEDDED_ZOO}
    names = {"timm": [f"{name}.0" for name in TIMM], "embedded": list(embedded_zoo().names)}
    cases = []
    for zoo, counts in COUNTS.items():
        for count in counts:
            name = f"{zoo}-{count}"
            rows, values = {}, {}
            for contender in CONTENDERS:
                job = Job(
                    str(zoos[zoo]),
                    tuple(names[zoo][:count]),
                    Probe(TARGET_TASK, IMAGES),
                    BATCHES[zoo],
                    MEMORY,
                    fresh(bench, f"{name}-{contender}"),
                )
                rows[contender], values[contender] = bench.measure(contender, name, job)
            cases.append(Case(zoo, count, rows, values))
    first = replace(
        job, zoo=str(zoos["timm"]), names=tuple(names["timm"][:2]), workspace=fresh(bench, "extra")
    )
    for contender in ("torch_cka-no_grad", "ckatorch-plain"):
        cases[0].rows[contender] = bench.measure(contender, "timm-2", first)[0]
    return cases


def fresh(bench: Bench, name: str) -> str:
    """A workspace that no run before has filled."""
    at = bench.folder / "workspaces"
    count = len(list(at.glob(f"{name}.*"))) if at.is_dir() else 0
    return str(at / f"{name}.{count}")


def many_cuts(bench: Bench) -> tuple[int, int, list[list[str]]]:
    """The networks and cuts, and the rows of the table."""
    path = make_zoo(bench.folder / "many", SIDE, SEEDS)
    names = [f"{name}.{seed}" for seed in range(SEEDS) for name in TIMM]
    job = Job(
        str(path), tuple(names), Probe(SOURCE_TASKS[0], MANY_IMAGES), IMAGES, MEMORY, fresh(bench, "many")
    )
    if bench.resume and (bench.folder / "many.job.json").is_file():
        job = Job.load(bench.folder / "many.job.json")
    features, _ = bench.measure("ours-default", "many", job)
    rows = [["features and table", quantity(MEMORY), *seconds_and_memory(features)]]
    for memory in MEMORIES:
        row, _ = bench.measure("table-only", f"many-{memory >> 20}", replace(job, memory=memory))
        rows.append(["table", quantity(memory), *seconds_and_memory(row)])
    return len(names), int(features["cuts"]), rows


def seconds_and_memory(row: dict[str, Any]) -> list[str]:
    return [f"{row['cpu']:.1f}", f"{row['wall']:.1f}", quantity(row["growth"]), quantity(row["peak"])]


def quantity(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"


def speed_table(cases: Sequence[Case]) -> str:
    rows = []
    for case in cases:
        rows.append([f"**{case.title}, {case.count} networks, {case.cuts} cuts**", *[""] * 7])
        for contender in (*OURS, *PEERS):
            row, name = case.rows[contender], NAMED.get(contender, contender)
            ratios = [f"{case.ratio(contender, to):.1f}" if contender in PEERS else "" for to in OURS]
            rows.append([name, *seconds_and_memory(row), *ratios])
    headers = [
        "",
        "CPU s",
        "wall s",
        "grew by",
        "peak",
        "CPU, theirs / ours",
        "/ kept on disk",
        "/ our default",
    ]
    return github(rows, headers)


def verdict(cases: Sequence[Case]) -> str:
    lines = []
    for title, peer in product(COUNTS, PEERS):
        several = [case for case in cases if case.title == title]
        ratios = [case.ratio(peer) for case in several]
        growing = all(a < b for a, b in pairwise(ratios))
        series = ", ".join(f"{r:.1f} at {case.count}" for r, case in zip(ratios, several, strict=True))
        lines.append(
            f"- Like with like {peer} takes this many times our CPU seconds on `{title}`: {series} networks; "
            f"{'growing' if growing else '**not** growing'} with their number."
        )
    for to, named in NAMED.items():
        eights = [(case, peer, case.ratio(peer, to)) for case in cases if case.count == 8 for peer in PEERS]
        met, missed = (
            [
                f"{peer} on `{case.title}` ({ratio:.1f})"
                for case, peer, ratio in eights
                if (ratio >= AIM) == well
            ]
            for well in (True, False)
        )
        parts = [f"met against {', '.join(met)}"] * bool(met)
        parts += [f"**missed** against {', '.join(missed)}"] * bool(missed)
        lines.append(f"- The aim of {AIM} times at 8 networks, beside *{named}*: {'; '.join(parts)}.")
    lines.append(
        "- Where it comes from: of 8 networks a peer runs each 9 times, and makes a Gram matrix anew for "
        "every two cuts where ours makes one a cut. So the ratio grows with networks, their cuts and "
        "with the images of a minibatch, and is the smaller the dearer the networks are to run beside that."
    )
    first = cases[0].rows
    graph, bare = first["torch_cka"], first["torch_cka-no_grad"]
    lines.append(
        "- torch_cka keeps the autograd graph while it compares. Inside `torch.no_grad()`, which its README "
        f"doesn't mention, the first two networks took {bare['cpu']:.1f} instead of {graph['cpu']:.1f} CPU s "
        f"and {quantity(bare['growth'])} instead of {quantity(graph['growth'])}."
    )
    largest = max((case for case in cases if case.title == "timm"), key=lambda case: case.count)
    lines.append(
        f"- Left out of the ratios: to read, build, cut and check the {largest.count} networks of `timm` "
        f"took us {largest.rows['ours-kept']['build']:.1f} CPU s more. A table that gains a network runs "
        "that network alone; a peer compares it with each of the others."
    )
    return "\n".join(lines)


def agreement_table(cases: Sequence[Case]) -> str:
    rows = [
        [
            f"{case.title}, {case.count}",
            *(
                f"{case.difference('ours', 'unbiased'):.1e}",
                f"{case.difference('ours-default', 'pooled'):.1e}",
            ),
            *(f"{case.difference('torch_cka', 'unbiased'):.1e}",),
            *(f"{case.difference('ckatorch', truth):.1e}" for truth in ("unbiased", "last")),
        ]
        for case in cases
    ]
    headers = ["networks", "ours", "ours, default", "torch_cka", "ckatorch", "ckatorch, last minibatch"]
    return github(rows, headers)


def faults(cases: Sequence[Case]) -> str:
    worst = {c: max(case.difference(c, "unbiased") for case in cases) for c in ("ours", *PEERS)}
    default = max(case.difference("ours-default", "pooled") for case in cases)
    last = max(case.difference("ckatorch", "last") for case in cases)
    kept = "keeps" if max(worst["ours"], default) <= TOLERANCE else "does **not** keep"
    return (
        f"- Ours {kept} the tolerance of {TOLERANCE:.0e}: at most {worst['ours']:.1e} like with like and "
        f"{default:.1e} by default.\n"
        f"- torch_cka is off by up to {worst['torch_cka']:.1e}: it doesn't centre features, so the unbiased "
        f"HSIC subtracts large float32 numbers from each other. {refusals(cases)}\n"
        "- ckatorch computes in float64, but each minibatch's value replaces the one before, so it answers "
        f"for the last minibatch alone: {last:.1e} off for its images, up to {worst['ckatorch']:.1e} for all "
        f"{IMAGES}."
    )


def refusals(cases: Sequence[Case]) -> str:
    pairs = {
        f"`{c.title}`, {c.count}": (c.rows["torch_cka"]["refused"], c.count * (c.count + 1) // 2)
        for c in cases
    }
    said = [f"{refused} of the {all_} pairs of {name}" for name, (refused, all_) in pairs.items() if refused]
    if not said:
        return "It gave a value everywhere."
    return (
        "Some of its values are NaN or infinite; where one is NaN it stops at the end with an "
        "AssertionError: "
        f"{' and '.join(said)}; the largest difference leaves such values out."
    )


def github(rows: Sequence[Sequence[str]], headers: Sequence[str], left: int = 1) -> str:
    aligned = ("left",) * left + ("right",) * (len(headers) - left)
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=aligned)


def document(cases: Sequence[Case], models: int, cuts: int, bounded: list[list[str]]) -> str:
    error = cases[0].rows["ckatorch-plain"]["error"]
    return TEXT.format(
        torch=torch.__version__.split("+")[0],
        timm=timm.__version__,
        images=IMAGES,
        task=TARGET_TASK,
        batches=BATCHES,
        plain=f"; on the networks as they are it stops with `{error}`" if error else "",
        speed=speed_table(cases),
        verdict=verdict(cases),
        agreement=agreement_table(cases),
        faults=faults(cases),
        cuts=f"{cuts:,}",
        many_task=SOURCE_TASKS[0],
        many=f"{MANY_IMAGES:,}",
        models=models,
        side=SIDE,
        seeds=SEEDS,
        bounded=github(bounded, ["", "`memory`", "CPU s", "wall s", "grew by", "peak of the process"]),
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "similarity")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)}")
    args = parser.parse_args()
    if not all((args.peers / peer).is_dir() for peer in PEERS):
        print(
            f"The peers are not in {args.peers}: install them with `python -m pip install --no-deps --target "
            f"{args.peers} -r benchmarks/requirements.txt`, or say with --peers where they are.",
            file=sys.stderr,
        )
        return 2
    args.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(args.folder.resolve(), args.peers.resolve(), args.resume)
    try:
        text = document(compare_all(bench), *many_cuts(bench))
    except DeryError as error:
        print(error, file=sys.stderr)
        return 1
    print(text)
    if args.write:
        write_text(DOCUMENT, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
