"""The weights a finished run leaves behind, in the form the other rooms read."""

import json
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save

from dery_core.files import atomic_path, sha256, write_text
from dery_core.reassembly import Hybrid, save_hybrid
from dery_core.training.result import Result
from dery_core.training.spec import RunSpec
from dery_core.training.subject import Subject


def save_subject(subject: Subject, spec: RunSpec, result: Result, folder: Path) -> None:
    """Write the trained network to `folder`: a hybrid as `load_hybrid` reads it, a member as a
    zoo file of one, `zoo.json`, with `model.safetensors` beside it."""
    if spec.hybrid is not None:
        assert isinstance(subject.module, Hybrid)
        save_hybrid(subject.module, spec.hybrid, folder)
        return
    weights = folder / "model.safetensors"
    tensors = {name: tensor.contiguous() for name, tensor in subject.module.state_dict().items()}
    with atomic_path(weights) as temporary:
        temporary.write_bytes(save(tensors))
    record = replace(
        subject.source,
        weights=weights.name,
        source_task=spec.task,
        model_kwargs={**subject.source.model_kwargs, "num_classes": len(result.classes)},
        sha256=sha256(weights),
        top1=result.top1,
        params=result.params,
        macs=result.macs,
        provenance={
            "from": subject.source.name,
            "source_weights_sha256": subject.source.sha256,
            "protocol": spec.protocol,
            "seed": spec.seed,
            "recipe": spec.recipe.to_dict(),
        },
    )
    zoo = {"schema_version": 1, "models": [record.to_dict()]}
    write_text(folder / "zoo.json", json.dumps(zoo, indent=1) + "\n")
