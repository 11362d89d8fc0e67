"""Any block after any block: random hybrids of all families, built, run both ways and counted.

python benchmarks/any_to_any.py                     500 hybrids, and writes docs/any_to_any.md
python benchmarks/any_to_any.py --hybrids 30        fewer, and writes nothing

What is done is kept for this version of the code, so an interrupted run goes on where it stopped, and
changed code runs anew; --fresh begins anew too. Networks have random weights: nothing is downloaded.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from tabulate import tabulate

from dery_core.errors import DeryError
from dery_core.files import digest, write_text
from dery_core.partition import Block
from dery_core.progress import TerminalProgress, Ticker
from dery_core.reassembly import SEAM_STYLES, Hybrid, HybridSpec, assemble, priced
from dery_core.units import quantity
from dery_core.zoo import LineGraph, ZooModel, build_architecture, count_macs, family, line_graph

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "any_to_any.md"
KEPT = Path(tempfile.gettempdir()) / "dery_any_to_any.jsonl"
K, CLASSES, BATCH, SEED, HYBRIDS = 4, 10, 2, 0, 500
STYLES, SHARES = ("default", "plain", "official"), (0.8, 0.1, 0.1)

Member = tuple[str, int, dict[str, Any]]
"""Architecture, image size and timm's settings."""

# A small network of each family, on the smallest images that it takes and that make it quick.
MEMBERS: tuple[Member, ...] = (
    ("cait_xxs24_224", 64, {"img_size": 64}),
    ("coat_tiny", 64, {"img_size": 64}),
    ("convit_tiny", 64, {"img_size": 64}),
    ("convnext_zepto_rms", 64, {}),
    ("cpubone_nano", 64, {}),
    ("crossvit_tiny_240", 120, {"img_size": 120}),
    ("cs3darknet_focus_s", 64, {}),
    ("csatv2", 64, {}),
    ("cspnext_tiny", 64, {}),
    ("deit_tiny_patch16_224", 64, {"img_size": 64}),
    ("densenet121", 64, {}),
    ("dla46x_c", 64, {}),
    ("dpn48b", 64, {}),
    ("edgenext_xx_small", 64, {}),
    ("efficientformerv2_s0", 64, {"img_size": 64}),
    ("efficientvim_m1", 64, {}),
    ("efficientvit_b0", 64, {}),
    ("efficientvit_m0", 64, {}),
    ("ese_vovnet19b_slim_dw", 64, {}),
    ("fasternet_t0", 64, {}),
    ("fastvit_t8", 64, {}),
    ("focalnet_tiny_srf", 64, {}),
    ("gcvit_xxtiny", 64, {"img_size": 64}),
    ("ghostnet_050", 64, {}),
    ("gmlp_ti16_224", 64, {"img_size": 64}),
    ("hardcorenas_b", 64, {}),
    ("hgnetv2_b0", 64, {}),
    ("hiera_tiny_224", 64, {"img_size": 64}),
    ("hrnet_w18_small", 64, {}),
    ("iformer_t", 64, {}),
    ("inception_next_atto", 64, {}),
    ("inception_v3", 96, {}),
    ("lcnetv2_small", 64, {}),
    ("legacy_seresnet18", 64, {}),
    ("legacy_xception", 64, {}),
    ("levit_128s", 64, {"img_size": 64}),
    ("lowformer_b0", 64, {}),
    ("mambaout_femto", 64, {}),
    ("mobilenetv2_035", 64, {}),
    ("mobilenetv3_small_050", 64, {}),
    ("mobileone_s1", 64, {}),
    ("mobilevit_xxs", 64, {}),
    ("mvitv2_tiny", 64, {}),
    ("nf_regnet_b0", 64, {}),
    ("pit_ti_224", 64, {"img_size": 64}),
    ("poolformerv2_s12", 64, {}),
    ("pvt_v2_b0", 64, {}),
    ("rdnet_tiny", 64, {}),
    ("regnetx_002", 64, {}),
    ("repghostnet_050", 64, {}),
    ("repvit_m1", 64, {}),
    ("res2next50", 64, {}),
    ("resnest14d", 64, {}),
    ("resnet10t", 64, {}),
    ("resnetv2_18", 64, {}),
    ("rexnet_100", 64, {}),
    ("shvit_s1", 64, {}),
    ("skresnet18", 64, {}),
    ("starnet_s050", 64, {}),
    ("swiftformer_xs", 64, {}),
    ("swinv2_cr_tiny_224", 64, {"img_size": 64}),
    ("swinv2_tiny_window8_256", 64, {"img_size": 64}),
    ("tiny_vit_5m_224", 64, {}),
    ("tnt_s_legacy_patch16_224", 64, {"img_size": 64}),
    ("twins_svt_small", 64, {}),
    ("visformer_tiny", 64, {"img_size": 64}),
    ("vit_srelpos_small_patch16_224", 64, {"img_size": 64}),
    ("vit_tiny_patch16_224", 64, {"img_size": 64}),
    ("vit_tiny_patch16_dinov3_qkvb", 64, {}),
    ("vit_tiny_r_s16_p8_224", 64, {"img_size": 64}),
    ("xception41p", 64, {}),
    ("xcit_nano_12_p8_224", 64, {}),
)

TEXT = """# Any block after any block

{passed} of {count} random hybrids pass. Each takes K = {k} blocks, stage k from a random one of {families}
families, cut by MACs, and gets seams ({styles}).
It is built, run in train mode on {batch} images with gradients, and counted; it passes when its output and
every gradient are finite, when every parameter of its seams and head has a gradient, and when its parameters
and MACs in closed form, seams and head included, are exactly those of the built module. Made by
`python benchmarks/any_to_any.py` (seed {seed}, timm {timm}, torch {torch}, random weights; code
{code}, a digest of dery_core/zoo, dery_core/reassembly and the benchmark); median {seconds:.2f} s a
hybrid on one core of a busy machine.

{refused}

{failures}

| style | hybrids | passed |
| --- | --- | --- |
{by_style}

"cut kinds" are the layouts at the three inner cuts; "used" is how many hybrids have a block of the family,
"failed" how many of those fail.

{table}
"""


@dataclass(frozen=True)
class Trial:
    """What became of one hybrid; `fault` is "" when it passed.

    `refused` is the sentence by which the style first drawn was refused; then it was built by default.
    """

    index: int
    models: tuple[str, ...]
    style: str
    seconds: float
    params: int
    macs: int
    fault: str
    refused: str = ""


def record(member: Member) -> ZooModel:
    name, size, settings = member
    return ZooModel(name, name, "none", "none", (3, size, size), (0.5,) * 3, (0.5,) * 3, dict(settings))


def cut(member: Member) -> LineGraph:
    """The line graph of a member with random weights."""
    model = record(member)
    torch.manual_seed(SEED)
    return line_graph(build_architecture(model, CLASSES), model.input_size, model.name)


def balanced(graph: LineGraph, k: int = K) -> tuple[Block, ...]:
    """The network in k blocks of about the same MACs."""
    cumulative, length = np.array(graph.cumulative("macs")), len(graph.nodes)
    cuts = [0]
    for stage in range(1, k):
        wanted = int(np.abs(cumulative - stage * cumulative[-1] / k).argmin())
        cuts.append(min(max(wanted, cuts[-1] + 1), length - k + stage))
    cuts.append(length)
    return tuple(Block(graph.name, a, b - 1) for a, b in zip(cuts, cuts[1:], strict=False))


def drawn(index: int, names: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The families and the style of hybrid `index`."""
    random = np.random.default_rng((SEED, index))
    models = tuple(names[i] for i in random.integers(len(names), size=K))
    return models, str(random.choice(STYLES, p=SHARES))


def tried(
    index: int,
    models: tuple[str, ...],
    style: str,
    graphs: Mapping[str, LineGraph],
    members: Sequence[Member] = MEMBERS,
) -> Trial:
    """Build, run and count one hybrid of the members."""
    records = {member[0]: record(member) for member in members}
    started = time.perf_counter()
    trial = Trial(index, models, style, 0.0, 0, 0, "")
    try:
        spec = specified(models, style, graphs, records)
    except DeryError as error:
        if style == "default":
            return replace(trial, fault=str(error))
        trial = replace(trial, style="default", refused=str(error))
        spec = specified(models, "default", graphs, records)
    try:
        fault = check(spec, assemble(spec, graphs, seed=index))
    except Exception as error:  # whatever a network raises is the finding
        fault = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    seconds = round(time.perf_counter() - started, 3)
    return replace(trial, seconds=seconds, params=spec.params, macs=spec.macs, fault=fault)


def specified(
    models: tuple[str, ...], style: str, graphs: Mapping[str, LineGraph], records: Mapping[str, ZooModel]
) -> HybridSpec:
    """The hybrid with stage k from the k-th of `models`, priced in closed form."""
    blocks = tuple(balanced(graphs[name])[stage] for stage, name in enumerate(models))
    sources = tuple(records[name] for name in dict.fromkeys(models))
    return priced(HybridSpec(blocks, sources, CLASSES, 0, 0, SEAM_STYLES[style]), graphs)


def check(spec: HybridSpec, hybrid: Hybrid) -> str:
    """What is wrong with a built hybrid, "" if nothing."""
    images = torch.randn(BATCH, *spec.source.input_size, generator=torch.Generator().manual_seed(SEED))
    params = sum(parameter.numel() for parameter in hybrid.parameters())
    macs = count_macs(hybrid, images[:1])
    if (params, macs) != (spec.params, spec.macs):
        return f"costs: closed form {spec.params:,} and {spec.macs:,}, built {params:,} and {macs:,}"
    logits = hybrid.train()(images)
    if logits.shape != (BATCH, CLASSES) or not logits.isfinite().all():
        return f"output: {tuple(logits.shape)}, finite {bool(logits.isfinite().all())}"
    torch.nn.functional.cross_entropy(logits, torch.arange(BATCH)).backward()
    if any(parameter.grad is None for parameter in hybrid.new_parameters()):
        return "gradients: a seam or the head gets none"
    gradients = [parameter.grad for parameter in hybrid.parameters() if parameter.grad is not None]
    if not torch.stack(torch._foreach_norm(gradients, float("inf"))).isfinite().all():
        return "gradients: not all are finite"
    return ""


def run(count: int, kept: Path) -> tuple[dict[str, LineGraph], list[Trial]]:
    """Try hybrids 0 to `count`; those in `kept` are done."""
    code()  # of the files as they were read, should they change meanwhile
    with TerminalProgress() as report:
        tick = Ticker("Line graphs", len(MEMBERS), "networks", report)
        graphs = {}
        for member in MEMBERS:
            graphs[member[0]] = cut(member)
            tick()
        names = tuple(graphs)
        done = {trial.index: trial for trial in _read(kept)}
        todo = [index for index in range(count) if index not in done]
        tick = Ticker("Any to any", len(todo), "hybrids", report)
        with kept.open("a") as file:
            for index in todo:
                done[index] = tried(index, *drawn(index, names), graphs)
                file.write(json.dumps({"code": code(), **asdict(done[index])}) + "\n")
                file.flush()
                tick()
    return graphs, [done[index] for index in range(count)]


@cache
def code() -> str:
    """Changes with whatever a trial follows from."""
    sources = [path for room in ("zoo", "reassembly") for path in (ROOT / "dery_core" / room).glob("*.py")]
    texts = [path.read_text() for path in (*sorted(sources), Path(__file__))]
    return digest(*texts, torch.__version__, timm.__version__)


def _read(path: Path) -> list[Trial]:
    """What is kept of this version of the code."""
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [Trial(**{**row, "models": tuple(row["models"])}) for row in rows if row.pop("code", "") == code()]


def document(graphs: Mapping[str, LineGraph], trials: Sequence[Trial]) -> str:
    failed = [trial for trial in trials if trial.fault]
    refused = [trial for trial in trials if trial.refused]
    styles = Counter(trial.style for trial in trials)
    rows = [_row(member, graphs[member[0]], trials) for member in MEMBERS]
    rows.sort(key=lambda row: row["family"])
    return TEXT.format(
        passed=len(trials) - len(failed),
        count=len(trials),
        k=K,
        families=len(graphs),
        styles=", ".join(f"{styles[style]} times {style}" for style in STYLES),
        code=code(),
        batch=BATCH,
        seed=SEED,
        timm=timm.__version__,
        torch=torch.__version__,
        seconds=statistics.median(trial.seconds for trial in trials),
        refused=_refusals(refused, styles["official"]),
        failures="No hybrid failed." if not failed else tabulate(map(_failure, failed), "keys", "github"),
        by_style="\n".join(
            f"| {style} | {styles[style]} | {sum(t.style == style and not t.fault for t in trials)} |"
            for style in STYLES
        ),
        table=tabulate(rows, "keys", "github", disable_numparse=True),
    )


def _refusals(refused: Sequence[Trial], official: int) -> str:
    if not refused:
        return "No style was refused."
    return (
        f"Official seams were built {official} times of the {official + len(refused)} that they were drawn: "
        "else a block\ndoesn't run on the grid that flows to it. "
        f"Each of these {len(refused)} was refused in a sentence before anything was\nbuilt; the hybrid got "
        "default seams. Such as:\n\n"
        f"> {refused[0].refused}"
    )


def _failure(trial: Trial) -> dict[str, str]:
    return {
        "#": str(trial.index),
        "networks": ", ".join(trial.models),
        "style": trial.style,
        "why": trial.fault,
    }


def _row(member: Member, graph: LineGraph, trials: Sequence[Trial]) -> dict[str, str]:
    name, size, _ = member
    inner = [graph.layouts[block.start] for block in balanced(graph)[1:]]
    kinds = [
        f"{each.kind}{' (unrolled)' if each.order else ''}{' + prefix' if each.prefix else ''}"
        for each in inner
    ]
    used = [trial for trial in trials if name in trial.models]
    return {
        "family": family(record(member)),
        "network": f"`{name}`",
        "image": f"{size}×{size}",
        "nodes": str(len(graph.nodes)),
        "params": quantity(graph.params),
        "MACs": quantity(graph.macs),
        "cut kinds": ", ".join(dict.fromkeys(kinds)),
        "used": str(len(used)),
        "failed": str(sum(bool(trial.fault) for trial in used)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hybrids", type=int, default=HYBRIDS)
    parser.add_argument("--kept", type=Path, default=KEPT, help="file of what is done")
    parser.add_argument("--fresh", action="store_true", help="forget what is done")
    arguments = parser.parse_args()
    if arguments.fresh:
        arguments.kept.unlink(missing_ok=True)
    graphs, trials = run(arguments.hybrids, arguments.kept)
    for trial in trials:
        if trial.fault:
            print(trial.index, *trial.models, trial.style, trial.fault, sep="  ")
    passed = sum(not trial.fault for trial in trials)
    seconds = statistics.median(trial.seconds for trial in trials)
    print(f"{passed} of {len(trials)} hybrids of {len(graphs)} families pass; median {seconds:.2f} s.")
    if arguments.hybrids >= HYBRIDS:
        write_text(DOCUMENT, document(graphs, trials))


if __name__ == "__main__":
    main()
