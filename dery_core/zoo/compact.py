"""Architectures in timm's registry whose sizes can be set.

timm's own entry points fix patch size, width or depth of these families, at sizes meant for
224 pixels. The classes are timm's; only the entry points are new.
"""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.metaformer import MetaFormer
from timm.models.mlp_mixer import Affine, MlpMixer, ResBlock
from torch import nn

COMPACT_FAMILIES = {
    "mixer_compact": "mlp_mixer",
    "resmlp_compact": "mlp_mixer",
    "poolformer_compact": "metaformer",
}
"""timm family file of every architecture registered here."""

default_cfgs = generate_default_cfgs(
    {name: {"url": "", "num_classes": 10, "input_size": (3, 32, 32)} for name in COMPACT_FAMILIES}
)


@register_model
def mixer_compact(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """MLP-Mixer; needs `img_size`, `patch_size`, `embed_dim` and `num_blocks`."""
    return build_model_with_cfg(MlpMixer, "mixer_compact", pretrained, **kwargs)


@register_model
def resmlp_compact(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """ResMLP; takes the same settings as `mixer_compact`."""
    settings = {"mlp_ratio": 4, "block_layer": ResBlock, "norm_layer": Affine, **kwargs}
    return build_model_with_cfg(MlpMixer, "resmlp_compact", pretrained, **settings)


@register_model
def poolformer_compact(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """PoolFormer V2; needs `depths` and `dims`, four stages each."""
    return build_model_with_cfg(MetaFormer, "poolformer_compact", pretrained, use_mlp_head=False, **kwargs)
