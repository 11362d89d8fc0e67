"""The hybrids that the official code publishes, as `HybridSpec`s of timm's architectures."""

from collections.abc import Mapping
from dataclasses import dataclass

from dery_core.reassembly.candidates import block_named
from dery_core.reassembly.style import SEAM_STYLES
from dery_core.reassembly.table import priced
from dery_core.reassembly.value import HybridSpec
from dery_core.zoo import LineGraph, ZooModel

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Published:
    """A hybrid of the paper's table 7: `blocks` are model, first and last node of every stage.

    `trainable` are the parameters that train when the blocks are frozen. `macs` are the paper's,
    which leave the matrix products of attention out and count norms, activations and poolings.
    """

    name: str
    blocks: tuple[tuple[str, str, str], ...]
    params: int
    trainable: int
    macs: float
    strides: tuple[int, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the networks that it takes blocks of."""
        return tuple(dict.fromkeys(model for model, _, _ in self.blocks))

    def spec(self, graphs: Mapping[str, LineGraph]) -> HybridSpec:
        """The hybrid, from the line graphs of its networks by name."""
        spec = HybridSpec(
            blocks=tuple(block_named(graphs[model], first, last) for model, first, last in self.blocks),
            models=tuple(SOURCES[name] for name in self.models),
            num_classes=1000,
            params=0,
            macs=0,
            seam=SEAM_STYLES["official"],
            strides=self.strides,
        )
        return priced(spec, graphs)


def _source(name: str, weights: str, architecture: str = "") -> ZooModel:
    settings = {"source_task": "ImageNet", "input_size": (3, 224, 224), "mean": _MEAN, "std": _STD}
    return ZooModel(name, architecture or name, f"timm:{weights}", **settings)  # type: ignore[arg-type]


SOURCES = {
    source.name: source
    for source in (
        _source("regnety_160", "pycls_in1k"),
        _source("regnety_032", "ra_in1k"),
        _source("regnety_016", "pycls_in1k"),
        _source("regnety_008", "pycls_in1k"),
        _source("mobilenetv3_large_100", "ra_in1k"),
        _source("swsl_resnext50_32x4d", "fb_swsl_ig1b_ft_in1k", "resnext50_32x4d"),
        _source("resnet50", "tv_in1k"),
        # Two blocks of (4,30,6) overlap in resnet50, so one comes from other weights of it; the
        # published file doesn't say which.
        _source("ssl_resnet50", "fb_ssl_yfcc100m_ft_in1k", "resnet50"),
        _source("resnet101", "tv_in1k"),
        _source("swin_small", "ms_in1k", "swin_small_patch4_window7_224"),
        _source("swin_base", "ms_in1k", "swin_base_patch4_window7_224"),
    )
}

PUBLISHED = (
    Published(
        "(4,10,3)",
        (
            ("regnety_160", "s1.b1", "s1.b2"),
            ("mobilenetv3_large_100", "blocks.2.2", "blocks.2.2"),
            ("regnety_008", "s3.b4", "s3.b8"),
            ("regnety_016", "s3.b16", "s4.b2"),
        ),
        params=7_834_434,
        trainable=1_024_216,
        macs=2.99e9,
    ),
    Published(
        "(4,30,6)",
        (
            ("swsl_resnext50_32x4d", "layer1.0", "layer1.2"),
            ("resnet50", "layer1.2", "layer3.1"),
            ("ssl_resnet50", "layer2.2", "layer2.2"),
            ("swin_small", "layers.2.blocks.16", "layers.3.blocks.1"),
        ),
        params=24_893_616,
        trainable=1_568_552,
        macs=4.47e9,
    ),
    Published(
        "(4,50,10)",
        (
            ("resnet50", "layer1.0", "layer1.1"),
            ("regnety_032", "s2.b2", "s3.b2"),
            ("resnet101", "layer3.8", "layer3.22"),
            ("resnet50", "layer3.4", "layer4.2"),
        ),
        params=40_414_054,
        trainable=3_921_832,
        macs=6.43e9,
        strides=(2, 1, 1),
    ),
    Published(
        "(4,90,20)",
        (
            ("swsl_resnext50_32x4d", "layer1.0", "layer1.2"),
            ("swin_small", "layers.0.blocks.1", "layers.0.blocks.1"),
            ("swin_small", "layers.1.downsample", "layers.2.blocks.15"),
            ("swin_base", "layers.2.blocks.11", "layers.3.blocks.1"),
        ),
        params=80_661_279,
        trainable=1_266_408,
        macs=13.29e9,
    ),
)
