"""The four published hybrids as specs, priced and built: parameters and MACs against the paper's.

python benchmarks/official_hybrids.py            prints the table
python benchmarks/official_hybrids.py --write    writes docs/official_hybrids.md too

Nothing is downloaded and no number is computed: networks are built on the meta device.
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from tabulate import tabulate
from torch import Tensor, nn

from dery_core.files import write_text
from dery_core.reassembly import PUBLISHED, Hybrid, Published, assemble, fit_report
from dery_core.reassembly.official import SOURCES
from dery_core.zoo import LineGraph, build_architecture, count_macs, line_graph

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "official_hybrids.md"

_NORMS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
_ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.ReLU6)
_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)

TEXT = """# The published hybrids

The four hybrids that the official code ships (configs/dery/imagenet), written as specs of timm's
architectures with seams of the style "official", priced in closed form and built. Made by
`python benchmarks/official_hybrids.py --write` with timm {timm} in {seconds:.0f} s; the networks are built
on the meta device, so no weights are loaded and none are computed.

{table}

- **params**: of the built hybrid, with 1000 classes; equal to the closed form and to the published count.
- **trainable**: stem, seams and head, what trains when the blocks are frozen; the published counts hold
  only with the stem among them.
- **GMACs**: ours, of convolutions, linear layers and the matrix products of attention; equal in closed
  form and counted on the built hybrid.
- **counted as published**: convolutions, linear layers, 2 for every element that a norm gives, 1 for every
  one of ReLU-like activations and poolings, nothing for attention's products: how the paper's counter
  (mmcv's) counts. The last columns are the gaps to the published {macs}.

{verdict}

What every seam bridges, as the fit report says before anything is built:

{fits}
"""


@dataclass(frozen=True)
class Figures:
    """What is measured on one built hybrid."""

    published: Published
    params: int
    trainable: int
    macs: int
    macs_as_published: int

    def gap(self, macs: int) -> float:
        """Percent above the published MACs."""
        return 100 * (macs / self.published.macs - 1)

    @property
    def row(self) -> dict[str, str]:
        return {
            "hybrid": self.published.name,
            "params": _against(self.params, self.published.params),
            "trainable": _against(self.trainable, self.published.trainable),
            "GMACs": f"{self.macs / 1e9:.3f}",
            "counted as published": f"{self.macs_as_published / 1e9:.3f}",
            "published": f"{self.published.macs / 1e9:.2f}",
            "gap of ours": f"{self.gap(self.macs):+.2f} %",
            "gap as published": f"{self.gap(self.macs_as_published):+.2f} %",
        }


def measured(published: Published, graphs: dict[str, LineGraph]) -> Figures:
    """Build the hybrid on the meta device and count; the closed form must say the same."""
    spec = published.spec(graphs)
    with torch.device("meta"):
        hybrid = assemble(spec, graphs)
        image = torch.empty(1, *spec.source.input_size)
    params = sum(parameter.numel() for parameter in hybrid.parameters())
    trainable = sum(parameter.numel() for parameter in hybrid.new_parameters())
    macs = count_macs(hybrid, image)
    if (params, macs) != (spec.params, spec.macs):
        raise SystemExit(f"{published.name}: closed form {spec.params}, {spec.macs}; built {params}, {macs}.")
    return Figures(published, params, trainable, macs, counted_as_published(hybrid, image))


def meta_graphs(hybrids: Sequence[Published] = PUBLISHED) -> dict[str, LineGraph]:
    """Line graphs, on the meta device, of the networks that the hybrids take blocks of."""
    graphs = {}
    for name in dict.fromkeys(model for published in hybrids for model in published.models):
        source = SOURCES[name]
        with torch.device("meta"):
            module = build_architecture(source)
        graphs[name] = line_graph(module, source.input_size, name, check=False)
    return graphs


def counted_as_published(hybrid: Hybrid, image: Tensor) -> int:
    """MACs as mmcv counts them: convolutions, linear layers, norms, activations and poolings."""
    counts: Counter[str] = Counter()

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts["all"] += _module_macs(module, inputs[0], output)

    hooks = [
        m.register_forward_hook(count) for m in hybrid.modules() if not list(m.children()) or _is_norm(m)
    ]
    with torch.no_grad():
        hybrid(image)
    for hook in hooks:
        hook.remove()
    return counts["all"]


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, _NORMS)


def _module_macs(module: nn.Module, taken: Tensor, given: Tensor) -> int:
    if isinstance(module, nn.Conv2d | nn.Linear):
        per_position = module.weight.numel() // module.weight.shape[0]
        return given.numel() * (per_position + (module.bias is not None))
    if _is_norm(module):
        return 2 * taken.numel()
    if isinstance(module, _ACTIVATIONS):
        return given.numel()
    return taken.numel() if isinstance(module, _POOLS) else 0


def _against(found: int, published: int) -> str:
    return f"{found:,}" if found == published else f"{found:,} (published {published:,})"


def _verdict(figures: Sequence[Figures]) -> str:
    ours = [abs(each.gap(each.macs)) for each in figures]
    theirs = [abs(each.gap(each.macs_as_published)) for each in figures]
    within = sum(gap < 1 for gap in ours)
    return (
        f"Counted as published all four lie within {max(theirs):.2f} % of the paper. Counted our way\n"
        f"{within} of {len(ours)} lie within 1 %, the farthest at {max(ours):.2f} %: norms, activations and\n"
        "poolings weigh something in the small hybrid, attention's products in the large one."
    )


def _fits(graphs: dict[str, LineGraph]) -> str:
    rows = [
        {
            "hybrid": published.name,
            "after": "stem" if fit.stage < 0 else f"block {fit.stage + 1}",
            "fit": fit.summary,
            "remarks": "; ".join(fit.remarks),
        }
        for published in PUBLISHED
        for fit in fit_report(published.spec(graphs), graphs)
    ]
    return tabulate(rows, headers="keys", tablefmt="github")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write docs/official_hybrids.md")
    write = parser.parse_args().write
    started = time.monotonic()
    graphs = meta_graphs()
    figures = [measured(published, graphs) for published in PUBLISHED]
    table = tabulate([each.row for each in figures], headers="keys", tablefmt="github", disable_numparse=True)
    print(table)
    print(f"{_verdict(figures)}\n{time.monotonic() - started:.1f} s")
    if write:
        text = TEXT.format(
            timm=timm.__version__,
            seconds=time.monotonic() - started,
            table=table,
            macs=" / ".join(f"{published.macs / 1e9:.2f}" for published in PUBLISHED),
            verdict=_verdict(figures),
            fits=_fits(graphs),
        )
        write_text(DOCUMENT, text)


if __name__ == "__main__":
    main()
