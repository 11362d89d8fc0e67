import pytest

from dery_core.data import TARGET_TASK, Probe
from dery_core.reassembly import Candidates
from dery_core.scoring import DEFAULT_SCORE, FAMILIES, SCORES, score_probe
from dery_core.zoo import Zoo


def test_every_score_is_named_once_and_says_what_it_is() -> None:
    assert DEFAULT_SCORE in SCORES
    assert len({score.title for score in SCORES.values()}) == len(SCORES)
    for name, score in SCORES.items():
        assert score.name == name
        assert score.family == "cost" or score.family in FAMILIES
        assert score.sentence.endswith(".")
        assert score.source


@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_family_measures_all_its_scores(name: str, zoo: Zoo, priced: Candidates, probe: Probe) -> None:
    values = FAMILIES[name].measurer(zoo, priced, probe, 0).measure((0, 1, 2))
    assert set(values) == {score.name for score in SCORES.values() if score.family == name}


@pytest.mark.parametrize("score", list(SCORES))
def test_the_probe_of_a_score_is_no_larger_than_its_task(score: str, probe: Probe) -> None:
    small = score_probe(probe.task, score, seed=5)
    assert small.seed == 5
    assert 2 <= small.count <= 100
    assert small.count <= score_probe(TARGET_TASK, score).count
