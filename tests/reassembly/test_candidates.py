import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dery_core.errors import DeryError
from dery_core.partition import Block, Partition
from dery_core.progress import Progress
from dery_core.reassembly import SEAM_STYLES, Candidates, build_hybrid, candidates
from dery_core.search import Finder, LinearScore, Rules
from dery_core.zoo import Zoo

CHOICES = [(0, 1, 2), (2, 1, 0), (1, 1, 0), (0, 2, 2), (1, 0, 1), (2, 2, 2)]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_cost_is_what_the_built_hybrid_measures(
    zoo: Zoo, priced: Candidates, choice: tuple[int, ...]
) -> None:
    hybrid = build_hybrid(priced.spec(zoo, choice), zoo)
    with FlopCounterMode(display=False) as counter:
        hybrid(torch.zeros(1, 3, 16, 16))
    measured = sum(p.numel() for p in hybrid.parameters()), counter.get_total_flops() // 2
    assert priced.cost(choice) == measured


def test_cost_without_norm_is_what_the_built_hybrid_measures(zoo: Zoo, partition: Partition) -> None:
    plain = candidates(zoo, partition, num_classes=3, seam=SEAM_STYLES["plain"])
    hybrid = build_hybrid(plain.spec(zoo, (0, 1, 2)), zoo)
    assert plain.cost((0, 1, 2))[0] == sum(p.numel() for p in hybrid.parameters())


def test_one_report_a_model(zoo: Zoo, partition: Partition) -> None:
    seen: list[Progress] = []
    candidates(zoo, partition, num_classes=3, report=seen.append)
    assert [progress.done for progress in seen] == [0, 1, 2, 3]


def test_saved_candidates_cost_the_same(priced: Candidates, tmp_path: Path) -> None:
    priced.save(tmp_path / "candidates.json")
    loaded = Candidates.load(tmp_path / "candidates.json")
    assert loaded == priced
    assert (loaded.costs(loaded.every()) == priced.costs(priced.every())).all()


def test_spec_names_the_chosen_blocks_and_each_source_once(zoo: Zoo, priced: Candidates) -> None:
    spec = priced.spec(zoo, (2, 0, 2), score=1.5)
    assert [block.model for block in spec.blocks] == ["map_last", "map", "map_last"]
    assert [model.name for model in spec.models] == ["map_last", "map"]
    assert spec.source.name == "map_last"
    assert (spec.params, spec.macs) == priced.cost((2, 0, 2))
    assert (spec.num_classes, spec.score) == (5, 1.5)


def test_allowed_choices_take_one_block_of_every_set(random_candidates: Callable[..., Candidates]) -> None:
    shuffled = random_candidates(0, n=4, shuffled=True)
    choices = shuffled.every()
    allowed = shuffled.allowed(choices, min_models=2)
    assert 0 < allowed.sum() < len(choices)
    for choice, ok in zip(choices.tolist(), allowed.tolist(), strict=True):
        sets = {shuffled.sets[i][k] for k, i in enumerate(choice)}
        assert ok == (len(sets) == 3 and len(set(choice)) >= 2)


def test_a_block_beyond_the_last_node_is_a_sentence(zoo: Zoo, partition: Partition) -> None:
    blocks = list(partition.blocks)
    blocks[0] = (*blocks[0][:2], Block("map", blocks[0][2].start, 99))
    with pytest.raises(DeryError, match="map has .* nodes"):
        candidates(zoo, dataclasses.replace(partition, blocks=tuple(blocks)), num_classes=3)


def test_a_network_that_left_the_zoo_is_a_sentence(zoo: Zoo, partition: Partition) -> None:
    with pytest.raises(DeryError, match="no model 'tokens'"):
        candidates(zoo.subset(["map", "map_last"]), partition, num_classes=3)


def test_partition_of_other_weights_is_refused(zoo: Zoo, partition: Partition) -> None:
    keys = [zoo.weights_key(name) for name in partition.models]
    assert candidates(zoo, dataclasses.replace(partition, weights=tuple(keys)), 5).models == partition.models
    with pytest.raises(DeryError, match=f"^{partition.models[1]} had other weights.*anew") as error:
        candidates(zoo, dataclasses.replace(partition, weights=(keys[0], "another", *keys[2:])), 5)
    assert "\n" not in str(error.value)


def test_sets_that_no_stages_can_fill_get_a_sentence(zoo: Zoo, partition: Partition) -> None:
    # Every first block is in set 0, and every last one too.
    sets = ((0, 1, 0), *((0, 2, 0) for _ in partition.models[1:]))
    stuck = dataclasses.replace(partition, sets=sets)
    with pytest.raises(DeryError, match="one block of every stage and every equivalence set") as error:
        Finder(candidates(zoo, stuck, 5), LinearScore(0.0, ((0.0,) * len(zoo.names),) * stuck.k)).extremes(
            Rules()
        )
    assert "\n" not in str(error.value)
