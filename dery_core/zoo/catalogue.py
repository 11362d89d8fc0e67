"""The embedded zoo's members: which architecture learns which task, and for how long."""

from dataclasses import dataclass, field
from typing import Any

_RESNET_S = {"channels": [12, 16, 24, 32], "layers": [2, 2, 2, 2], "output_stride": 8}
_RESNET_M = {"channels": [24, 32, 64, 96], "layers": [2, 2, 2, 2], "output_stride": 8}
_RESNET_L = {"channels": [32, 48, 80, 112], "layers": [2, 2, 2, 2], "output_stride": 8}
_REGNET = {
    "depth": 9,
    "w0": 16,
    "wa": 12,
    "wm": 2.0,
    "group_size": 8,
    "stem_width": 16,
    "output_stride": 8,
}
_EFFICIENTNET = {"depth_multiplier": 2.0, "output_stride": 8}
_REPVGG = {"width_factor": 0.25, "stem_chs": 16, "output_stride": 8}
_CONVNEXT = {"depths": [2, 2, 4, 2], "dims": [16, 24, 48, 64], "output_stride": 8}
_VIT = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 64,
    "depth": 8,
    "num_heads": 4,
    "mlp_ratio": 3.0,
    "global_pool": "avg",
}
_SWIN = {
    "img_size": 32,
    "patch_size": 4,
    "window_size": 4,
    "embed_dim": 40,
    "depths": [4, 4],
    "num_heads": [2, 4],
}
_POOLFORMER = {"depths": [3, 4, 3], "dims": [24, 48, 72], "res_scale_init_values": [None, 1.0, 1.0]}
_MLP = {"img_size": 32, "patch_size": 4, "embed_dim": 48, "num_blocks": 8}


@dataclass(frozen=True)
class Member:
    """One network of the embedded zoo. `name` is `<architecture>.<task>`, in short."""

    name: str
    architecture: str
    task: str
    epochs: int
    seed: int
    model_kwargs: dict[str, Any] = field(default_factory=dict)
    learning_rate: float = 2e-3


CATALOGUE: tuple[Member, ...] = (
    Member("resnet_s.clutter", "resnet18", "digits-clutter", 9, 1, _RESNET_S),
    Member("resnet_m.clutter", "resnet18", "digits-clutter", 7, 2, _RESNET_M),
    Member("regnet.clutter", "regnety_002", "digits-clutter", 9, 3, _REGNET),
    Member("efficientnet.clutter", "test_efficientnet", "digits-clutter", 8, 4, _EFFICIENTNET),
    Member("convnext.clutter", "convnext_atto", "digits-clutter", 6, 5, _CONVNEXT),
    Member("vit.clutter", "vit_tiny_patch16_224", "digits-clutter", 20, 6, _VIT, learning_rate=5e-4),
    Member(
        "swin.clutter", "swin_tiny_patch4_window7_224", "digits-clutter", 12, 7, _SWIN, learning_rate=5e-4
    ),
    Member("mixer.clutter", "mixer_compact", "digits-clutter", 12, 8, _MLP),
    Member("resnet_m.larger", "resnet18", "digits-larger", 7, 9, _RESNET_M),
    Member("resnet_l.larger", "resnet18", "digits-larger", 7, 10, _RESNET_L),
    Member("repvgg.larger", "repvgg_a0", "digits-larger", 8, 11, _REPVGG),
    Member("efficientnet.larger", "test_efficientnet", "digits-larger", 8, 12, _EFFICIENTNET),
    Member("convnext.larger", "convnext_atto", "digits-larger", 6, 13, _CONVNEXT),
    Member("poolformer.larger", "poolformer_compact", "digits-larger", 12, 14, _POOLFORMER),
    Member("resmlp.larger", "resmlp_compact", "digits-larger", 12, 15, _MLP),
)
