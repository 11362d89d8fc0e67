import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from dery_core.errors import DeryError
from dery_core.reassembly import (
    SEAM_STYLES,
    Candidates,
    HybridSpec,
    Seam,
    build_hybrid,
    load_hybrid,
    save_hybrid,
)
from dery_core.training import RunSpec
from dery_core.zoo import Zoo, zoo_line_graph

_LOGITS = """
import sys, torch
from pathlib import Path
from dery_core.reassembly import load_hybrid
hybrid, spec = load_hybrid(Path(sys.argv[1]))
with torch.no_grad():
    torch.save(hybrid(torch.load(sys.argv[2], weights_only=True)), sys.argv[3])
"""


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def spec(zoo: Zoo, priced: Candidates) -> HybridSpec:
    """Blocks of all three networks: map, then tokens, then channels-last map."""
    return priced.spec(zoo, (0, 1, 2))


def test_own_chain_equals_the_source_network_up_to_the_head(zoo: Zoo, priced: Candidates) -> None:
    for i, name in enumerate(zoo.names):
        hybrid = build_hybrid(priced.spec(zoo, (i, i, i)), zoo)
        assert all(type(seam) is nn.Identity for seam in hybrid.seams)
        graph, x, expected = zoo_line_graph(zoo, name), images(), images()
        with torch.no_grad():
            for stage in hybrid.stages:
                x = stage(x)
            for node in graph.nodes:
                expected = node.module(expected)
        assert torch.equal(x, expected)


def test_logits_have_the_target_classes_and_gradients_reach_all_new_parameters(
    zoo: Zoo, spec: HybridSpec
) -> None:
    hybrid = build_hybrid(spec, zoo)
    logits = hybrid(images())
    assert logits.shape == (4, 5)
    logits.logsumexp(1).sum().backward()
    assert all(p.grad is not None for p in hybrid.new_parameters())


def test_new_and_reused_parameters_are_all_parameters(zoo: Zoo, spec: HybridSpec) -> None:
    hybrid = build_hybrid(spec, zoo)
    new = {id(p) for p in hybrid.new_parameters()}
    reused = {id(p) for module in hybrid.reused_modules() for p in module.parameters()}
    assert new.isdisjoint(reused)
    assert new | reused == {id(p) for p in hybrid.parameters()}


def test_blocks_of_one_network_share_no_weights(zoo: Zoo, priced: Candidates) -> None:
    # The same block twice, which no partition would ask for, is the hardest case.
    spec = priced.spec(zoo, (1, 0, 1))
    twice = HybridSpec.from_dict({**spec.to_dict(), "blocks": [spec.blocks[0].to_dict()] * 2})
    hybrid = build_hybrid(twice, zoo)
    assert isinstance(hybrid.seams[0], Seam)
    first, second = ({p.data_ptr() for p in stage.parameters()} for stage in hybrid.stages)
    assert first
    assert first.isdisjoint(second)


def test_same_seed_same_hybrid_whatever_the_global_generator(zoo: Zoo, spec: HybridSpec) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = build_hybrid(spec, zoo, seed=3).state_dict()
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    two = build_hybrid(spec, zoo, seed=3).state_dict()
    other = build_hybrid(spec, zoo, seed=4).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    changed = {name.split(".")[0] for name in one if not torch.equal(one[name], other[name])}
    assert changed == {"seams", "head"}


def test_saved_hybrid_gives_the_same_logits_in_a_new_process_without_the_zoo(
    zoo: Zoo, spec: HybridSpec, tmp_path: Path
) -> None:
    hybrid = build_hybrid(spec, zoo, seed=5)
    with torch.no_grad():
        # Batch statistics move too, as they do in full tuning.
        hybrid.train()(images(8))
        expected = hybrid.eval()(images())
    folder, inputs, outputs = tmp_path / "hybrid", tmp_path / "in.pt", tmp_path / "out.pt"
    save_hybrid(hybrid, spec, folder)
    torch.save(images(), inputs)
    arguments = [sys.executable, "-c", _LOGITS, str(folder), str(inputs), str(outputs)]
    subprocess.run(arguments, check=True, env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())})
    assert torch.equal(torch.load(outputs, weights_only=True), expected)


def test_loaded_spec_is_the_saved_one(zoo: Zoo, spec: HybridSpec, tmp_path: Path) -> None:
    save_hybrid(build_hybrid(spec, zoo), spec, tmp_path)
    hybrid, loaded = load_hybrid(tmp_path)
    assert loaded == spec
    assert not any(module.training for module in hybrid.modules())


def test_broken_files_are_a_sentence(zoo: Zoo, spec: HybridSpec, priced: Candidates, tmp_path: Path) -> None:
    save_hybrid(build_hybrid(spec, zoo), spec, tmp_path)
    weights = tmp_path / "hybrid.safetensors"
    tensors = load_file(weights)

    save_file({**tensors, "head.classifier.bias": torch.zeros(7)}, weights)
    with pytest.raises(DeryError, match="does not hold the weights of"):
        load_hybrid(tmp_path)
    save_file({name: tensor for name, tensor in tensors.items() if name != "head.norm.weight"}, weights)
    with pytest.raises(DeryError, match="does not hold the weights of"):
        load_hybrid(tmp_path)
    weights.write_bytes(b"nonsense")
    with pytest.raises(DeryError, match="does not hold the weights of"):
        load_hybrid(tmp_path)
    weights.unlink()
    with pytest.raises(DeryError, match="does not exist"):
        load_hybrid(tmp_path)
    (tmp_path / "hybrid.json").write_text("{}")
    with pytest.raises(DeryError, match="field 'blocks'"):
        load_hybrid(tmp_path)


def test_other_weights_under_the_same_name_are_refused(zoo: Zoo, spec: HybridSpec) -> None:
    changed = spec.to_dict()
    changed["models"][0]["sha256"] = "0" * 64
    with pytest.raises(DeryError, match="not the network this hybrid was made from"):
        build_hybrid(HybridSpec.from_dict(changed), zoo)


def test_a_block_of_an_unlisted_network_is_refused(spec: HybridSpec) -> None:
    with pytest.raises(DeryError, match="no record of it"):
        HybridSpec.from_dict({**spec.to_dict(), "models": []})


def test_a_spec_of_the_earlier_version_is_read(spec: HybridSpec, tmp_path: Path) -> None:
    earlier = {key: value for key, value in spec.to_dict().items() if key not in ("seam", "strides")}
    for norm, name in ((True, "default"), (False, "plain")):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({**earlier, "seam_norm": norm}))
        read = HybridSpec.load(path)
        assert read.seam == SEAM_STYLES[name]
        # What the earlier version could say is written as it wrote it: digests made of it stay.
        assert read.to_dict() == {**earlier, "seam_norm": norm}


def test_a_spec_in_another_style_is_kept_in_full(spec: HybridSpec, tmp_path: Path) -> None:
    styled = dataclasses.replace(spec, seam=SEAM_STYLES["official"], strides=(2, 1))
    styled.save(tmp_path / "spec.json")
    assert HybridSpec.load(tmp_path / "spec.json") == styled
    assert [styled.seam_at(k).stride for k in range(2)] == [2, 1]
    with pytest.raises(DeryError, match="'strides' has 3 numbers"):
        dataclasses.replace(spec, strides=(1, 1, 1))


def test_an_earlier_spec_stays_as_it_was_inside_a_run(spec: HybridSpec) -> None:
    # A run's checkpoint is tied to what its specification saves, the hybrid's among it.
    run = RunSpec("a run", "zoo.json", "task", hybrid=spec)
    inside = run.to_dict()["hybrid"]
    assert inside["seam_norm"] is True
    assert {"seam", "strides", "schema_version"}.isdisjoint(inside)
    assert RunSpec.from_dict(run.to_dict()) == run
