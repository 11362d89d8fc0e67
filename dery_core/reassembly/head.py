"""`Head`: what a hybrid's classes are read from."""

from torch import Tensor, nn

from dery_core.zoo import Layout, feature_map


class Head(nn.Module):
    """(B, *source.shape) → mean over the feature map → LayerNorm (unless `norm` is off) → Linear →
    (B, classes)."""

    def __init__(self, source: Layout, num_classes: int, norm: bool = True) -> None:
        super().__init__()
        self.source = source
        self.norm = nn.LayerNorm(source.channels) if norm else nn.Identity()
        self.classifier = nn.Linear(source.channels, num_classes)
        nn.init.trunc_normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.norm(feature_map(x, self.source).mean((2, 3))))


def head_cost(source: Layout, num_classes: int, norm: bool = True) -> tuple[int, int]:
    """Parameters and MACs (for one image) of `Head(source, num_classes, norm)`."""
    weights = source.channels * num_classes
    return weights + num_classes + (2 * source.channels if norm else 0), weights
