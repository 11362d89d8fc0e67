"""docs/line_graphs.md, made from the results of benchmarks/line_graphs.py."""

import dataclasses
import os
import platform
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tabulate import tabulate

from benchmarks.job_pool import Result
from benchmarks.line_graph_trials import LIMIT
from dery_core.units import quantity
from dery_core.zoo.architecture import family_of

ENOUGH = 5
# found by hand
WHY = {
    "vit_srelpos_small_patch16_224": "its blocks share a position bias that is made from weights alone, "
    "with a dropout of its own: the network draws that once, every node that makes the bias draws it anew",
}


@dataclass(frozen=True)
class Results:
    """By architecture, all that were asked for; {"missing": True} where there is no result."""

    sizes: dict[str, Result]
    families: dict[str, Result]
    default: dict[str, Result]
    random: dict[str, Result]
    structure: dict[str, Result]

    def stages(self) -> dict[str, dict[str, Result]]:
        return {"families": self.families, "default": self.default} | {
            "random": self.random,
            "structure": self.structure,
        }

    def missing(self) -> list[str]:
        """Stage and name of what has no result."""
        stages = self.stages().items()
        return [f"{stage} {name}" for stage, rows in stages for name, row in rows.items() if "missing" in row]


def report(results: Results, most_params: int) -> str:
    code = _code(results)
    at_default = {name: row for name, row in results.default.items() if "missing" not in row}
    families = {name: row | at_default.get(name, {}) for name, row in results.families.items()}
    results = dataclasses.replace(results, families=families)
    parts = [
        "# Line graphs of timm's architectures",
        f"Made by `python -m benchmarks.line_graphs`; {_machine()}. {code}",
        _reading(),
        "## The smallest network of every family",
        _families_summary(results),
        _families_table(results),
        f"## {len(results.random)} architectures drawn with seed 0",
        _random_summary(results, most_params),
        _random_faults(results),
        "## Every architecture, without numbers",
        _structure_summary(results),
        _reasons(results.structure),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "timm"))
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    python = platform.python_version()
    return f"{versions}, Python {python}, {model}, {os.cpu_count()} cores, one thread a network"


def _code(results: Results) -> str:
    """Which versions of the code the results are of."""
    stages = []
    for stage, rows in results.stages().items():
        count = Counter(row.get("code", "not run") for row in rows.values())
        if count:
            stages.append(f"{stage} {', '.join(f'{code} ({number})' for code, number in count.items())}")
    return (
        "Versions of the code, by a digest of the files that a line graph and its measuring follow from: "
        f"{'; '.join(stages)}."
    )


def _reading() -> str:
    return f"""How to read it. *Cuts* are the places where a hybrid may leave or enter a network, the
last of them before the head; at those under *streams* several tensors are alive, which cross packed into one.
*Bit-equal*: nodes put one after the other give exactly the network's output in eval mode, for two
batch sizes, with random weights that were all moved a little, normalisation statistics too; the output is
finite and differs from image to image. *Train* says the same of a step in train mode under one seed, with
the drop rates (0.2) that the architecture takes, of what batch normalisation then remembers, and of the
gradient of every parameter; a * says that the step was on a smaller input, for at the default one an
image costs more than {quantity(LIMIT)} MACs. *Sums*: parameters and MACs of the nodes and the head sum to
the network's. *Largest* is the largest node's or the head's share of the MACs. Seconds are the
processor's, for making the line graph with its own exactness check."""


def _families_summary(results: Results) -> str:
    rows = results.families
    trained = [row for row in rows.values() if _good_training(row)]
    alive = sum(bool(row.get("alive")) for row in trained)
    seconds = [row["seconds"] for row in rows.values() if "seconds" in row]
    largest = [row["largest"] for row in rows.values() if "nodes" in row]
    return (
        f"**Bit-equal: {_count(rows, _equal)} of {len(rows)}. At least {ENOUGH} cuts: "
        f"{_count(rows, _enough)} of {len(rows)}.** Equal in train mode: {len(trained)}, in {alive} of them "
        f"with something dropped at random. Costs sum to the network's in "
        f"{sum(_sums(name, row, results) for name, row in rows.items())}. "
        f"Largest node: {_spread([100 * share for share in largest], '%')}. "
        f"Seconds: {_spread(seconds, 's')}."
    )


def _families_table(results: Results) -> str:
    coverage = _coverage(results.structure)
    rows = []
    for name, row in sorted(results.families.items(), key=lambda item: family_of(item[0])):
        cut, total = coverage[family_of(name)]
        state = "refused" if "refusal" in row else "not run" if "missing" in row else "failed"
        cells = [family_of(name), f"`{name}`"]
        if "nodes" in row:
            cells += [
                "×".join(map(str, row["input_size"][1:])),
                _yes(_equal(row)),
                str(row["nodes"]),
                str(row["streams"] or ""),
                f"{100 * row['largest']:.0f}",
                _yes(_sums(name, row, results)),
                _yes(_good_training(row)) + ("*" if name in results.default else "") + _drops(row),
                f"{row['seconds']:.1f}",
            ]
        else:
            cells += ["", state, *[""] * 6]
        rows.append([*cells, f"{cut}/{total}"])
    headers = [
        "family",
        "network",
        "input",
        "bit-equal",
        "cuts",
        "streams",
        "largest %",
        "sums",
        "train",
        "s",
        "family cut",
    ]
    table = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    unseen = [f"`{name}`" for name, row in results.default.items() if "missing" in row]
    late = f"Not run at their default input size: {', '.join(unseen)}." if unseen else ""
    note = f"*Family cut*: architectures of the family with at least {ENOUGH} cuts (last section)."
    families = results.families
    faults = [_reasons(families), _unequal_sums(families, results), _fewer(families), late]
    return "\n\n".join(filter(None, [table, note, *faults]))


def _drops(row: Result) -> str:
    return "" if row.get("alive") else ", nothing to drop"


def _random_summary(results: Results, most_params: int) -> str:
    rows = results.random
    earnest = {name: size for name, size in results.sizes.items() if not name.startswith("test_")}
    left_out = sum(size["params"] > most_params for size in earnest.values())
    reduced = sum(
        row["input_size"] != results.sizes[name]["input_size"]
        for name, row in rows.items()
        if "input_size" in row
    )
    return (
        f"From the {len(earnest) - left_out} that have at most {quantity(most_params)} parameters, timm's "
        f"{len(results.sizes) - len(earnest)} test models left out; {left_out} larger ones don't fit into "
        f"this machine's memory three times. **Bit-equal: {_count(rows, _equal)} of {len(rows)}; "
        f"at least {ENOUGH} cuts: {_count(rows, _enough)}.** {reduced} ran on a smaller input than "
        f"the default one, where an image costs more than {quantity(LIMIT)} MACs. They are of "
        f"{len({family_of(name) for name in rows})} families."
    )


def _random_faults(results: Results) -> str:
    return "\n\n".join(filter(None, [_reasons(results.random), _fewer(results.random)]))


def _structure_summary(results: Results) -> str:
    rows = results.structure
    cut = sum("nodes" in row for row in rows.values())
    sums = sum(_sums(name, row, results) for name, row in rows.items())
    streams = sum(row.get("streams", 0) > 0 for row in rows.values())
    shares = [row["largest"] for row in rows.values() if "nodes" in row]
    text = (
        f"Cut on the meta device: **of all {len(rows)} architectures {cut} have a line graph, "
        f"{_count(rows, _enough)} of them with at least {ENOUGH} cuts**; {streams} use cuts with several "
        f"tensors, and in {sums} parameters and MACs sum to the network's. In "
        f"{sum(share > 0.25 for share in shares)} one node holds more than a quarter of the MACs, in "
        f"{sum(share > 0.4 for share in shares)} more than 40 %."
    )
    return "\n\n".join(filter(None, [text, _unequal_sums(rows, results), _fewer(rows)]))


def _unequal_sums(rows: dict[str, Result], results: Results) -> str:
    lines = []
    for name, row in rows.items():
        size = results.sizes[name]
        if row.get("input_size") == size["input_size"] and not _sums(name, row, results):
            off = [k for k in ("params", "macs") if row[k] != size[k]]
            figures = ", ".join(f"{key} {row[key]:,} for {size[key]:,}" for key in off)
            lines.append(f"- `{name}`: {figures}" + (f": {WHY[name]}" if name in WHY else ""))
    return "\n".join(lines)


def _fewer(rows: dict[str, Result]) -> str:
    few = [f"`{name}` ({row['nodes']})" for name, row in rows.items() if row.get("nodes", ENOUGH) < ENOUGH]
    return f"Fewer than {ENOUGH} cuts: {', '.join(few)}." if few else ""


def _reasons(rows: dict[str, Result]) -> str:
    """Whatever isn't equal, wasn't cut or has no result, in words."""
    named = defaultdict(list)
    for name, row in rows.items():
        if "missing" in row:
            named["not run"].append(name)
        elif "failure" in row:
            named[f"no result: {row['failure']}"].append(name)
        elif "refusal" in row:
            named[row["refusal"].removeprefix(f"{name} ")].append(name)
        elif "equal" in row and not _equal(row):
            named["nodes and network differ, or the output says nothing"].append(name)
        elif "train_equal" in row and not _good_training(row):
            faults = [k for k in ("train_equal", "statistics_equal", "gradients_equal") if not row[k]]
            what = f"a step in train mode differs ({', '.join(faults)})"
            named[f"{what}: {WHY[name]}" if name in WHY else what].append(name)
    return "\n".join(f"- {', '.join(f'`{name}`' for name in names)}: {why}" for why, names in named.items())


def _coverage(rows: dict[str, Result]) -> dict[str, tuple[int, int]]:
    """Architectures of every family that have enough cuts, and all of them."""
    total = Counter(family_of(name) for name in rows)
    cut = Counter(family_of(name) for name, row in rows.items() if _enough(row))
    return defaultdict(lambda: (0, 0), {name: (cut[name], total[name]) for name in total})


def _count(rows: dict[str, Result], holds: object) -> int:
    assert callable(holds)
    return sum(bool(holds(row)) for row in rows.values())


def _equal(row: Result) -> bool:
    return bool(row.get("equal") and row.get("telling"))


def _enough(row: Result) -> bool:
    return int(row.get("nodes", 0)) >= ENOUGH


def _good_training(row: Result) -> bool:
    return all(row.get(key) for key in ("train_equal", "statistics_equal", "gradients_equal"))


def _sums(name: str, row: Result, results: Results) -> bool:
    """Whether parameters and MACs sum to those of the network at its default input size."""
    size = results.sizes[name]
    return all(row.get(key) == size[key] for key in ("params", "macs"))


def _spread(values: Iterable[float], unit: str) -> str:
    ordered = sorted(values) or [float("nan")]
    return f"median {statistics.median(ordered):.1f} {unit}, at most {ordered[-1]:.1f} {unit}"


def _yes(holds: bool) -> str:
    return "yes" if holds else "**no**"
