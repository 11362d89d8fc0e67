"""AdamW and its learning rate."""

import math

from torch import nn
from torch.optim import AdamW

from dery_core.training.spec import Recipe


def make_optimiser(module: nn.Module, recipe: Recipe) -> AdamW:
    """AdamW over the parameters of `module` that require a gradient; norms and biases (all
    vectors) don't decay."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trainable if parameter.ndim > 1]
    vectors = [parameter for parameter in trainable if parameter.ndim <= 1]
    return AdamW(
        [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
    )


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Rate of a step, counted from 0 over the whole run: linear warm-up, then half a cosine."""
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    total = recipe.epochs * steps_per_epoch
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - 1 - warmup)
    cosine = (1 + math.cos(math.pi * progress)) / 2
    return recipe.learning_rate * (recipe.min_lr_ratio + (1 - recipe.min_lr_ratio) * cosine)
