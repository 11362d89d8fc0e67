"""How far a score can be trusted: the figures, the sentences, and the shipped tables behind them."""

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from dery_core.scoring import SCORES, trust
from dery_core.scoring.trust import (
    BASELINES,
    RESAMPLES,
    STARTS,
    TRAININGS,
    VALUES,
    ceiling,
    kendall,
    trained,
    trust_of,
    trust_sentence,
    trust_table,
)
from dery_core.training import DEFAULT_STARTS
from dery_core.zoo import embedded_zoo


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """Empty places for tables of one's own."""
    paths = tmp_path / "trust.csv", tmp_path / "trust_scores.csv"
    monkeypatch.setattr(trust, "TRAININGS", paths[0])
    monkeypatch.setattr(trust, "VALUES", paths[1])
    for cached in (trust.trained, trust._table):
        cached.cache_clear()
    yield paths
    for cached in (trust.trained, trust._table):
        cached.cache_clear()


def write(tables: tuple[Path, Path], naswot: list[float | None], macs: list[int]) -> None:
    """Hybrids whose accuracy rises from one to the next, and a member that beats them all."""
    lines = ["subject,kind,params,macs,protocol,start,seed,top1_before,top1"]
    for (i, cost), seed in product(enumerate(macs), (0, 1)):
        lines.append(f"h{i},hybrid,{10 + i % 2},{cost},full,random,{seed},9,{40 + 2 * i + seed}")
    lines.append("own,member,1,1,full,random,0,9,99")
    tables[0].write_text("\n".join(lines) + "\n")
    cells = ["" if value is None else str(value) for value in naswot]
    scored = [f"h{i},{cell}" for i, cell in enumerate(cells)]
    tables[1].write_text("\n".join(["subject,naswot", *scored, "own,0"]) + "\n")


def test_tau_of_rankings_that_differ_by_one_swap() -> None:
    tau, _, _ = kendall(np.array([1.0, 2, 3, 4]), np.array([10.0, 30, 20, 40]))

    assert tau == pytest.approx(4 / 6)


def test_rankings_that_agree_leave_no_doubt() -> None:
    assert kendall(np.arange(12.0), np.arange(12.0) ** 3) == pytest.approx((1, 1, 1))


def test_interval_is_what_scipy_gives_on_the_resampled_rows() -> None:
    random = np.random.default_rng(5)
    x = random.integers(6, size=15).astype(float)  # with ties, which tau-b allows for
    y = x + random.normal(0, 3, 15)
    counts = np.random.default_rng(0).multinomial(15, np.full(15, 1 / 15), RESAMPLES)
    resampled = [kendalltau(np.repeat(x, count), np.repeat(y, count)).statistic for count in counts]

    tau, low, high = kendall(x, y, seed=0)

    assert tau == pytest.approx(kendalltau(x, y).statistic)
    assert (low, high) == pytest.approx(np.nanpercentile(resampled, [2.5, 97.5]))
    assert low < tau < high


def test_accuracies_are_averaged_over_the_seeds_and_members_are_left_out(tables: tuple[Path, Path]) -> None:
    write(tables, naswot=[1, 2, 3, 4, 5, 6], macs=[1, 2, 3, 4, 5, 6])

    assert trained("full").accuracy.tolist() == [40.5, 42.5, 44.5, 46.5, 48.5, 50.5]
    assert len(trained("full", members=True).names) == 7


def test_counting_macs_that_ranks_better_is_said(tables: tuple[Path, Path]) -> None:
    write(tables, naswot=[6, 5, 4, 3, 2, 1, 8, 7], macs=[1, 2, 3, 4, 5, 6, 7, 8])

    said = trust_sentence("naswot")

    assert [found.score for found in trust_table()][0] == "macs"
    assert "counting #MACs (τ 1.00)" in said
    assert "ranked them better" in said


def test_a_lead_that_may_be_chance_is_called_so(tables: tuple[Path, Path]) -> None:
    write(tables, naswot=[2, 1, 3, 4, 6, 5, 7, 8], macs=[1, 2, 3, 4, 5, 6, 8, 7])

    assert "may be chance" in trust_sentence("naswot")


def test_a_score_that_ranks_better_than_its_cost_is_not_belittled(tables: tuple[Path, Path]) -> None:
    write(tables, naswot=[1, 2, 3, 4, 5, 6], macs=[3, 1, 2, 6, 5, 4])

    said = trust_sentence("naswot")

    assert "1.00" in said
    assert "counting" not in said


def test_hybrids_that_a_score_cant_judge_are_not_counted(tables: tuple[Path, Path]) -> None:
    write(tables, naswot=[1, 2, None, 4, 5, 6], macs=[1, 2, 3, 4, 5, 6])

    found = trust_of("naswot")

    assert found is not None
    assert found.count == 5


def test_what_was_not_measured_has_no_trust_and_a_sentence_that_says_so(tables: tuple[Path, Path]) -> None:
    write(tables, naswot=[1, 2, 3, 4, 5, 6], macs=[1, 2, 3, 4, 5, 6])

    assert trust_of("logme") is None
    assert trust_of("naswot", "frozen") is None
    assert "not been measured" in trust_sentence("logme")


def test_without_tables_there_is_no_trust(tables: tuple[Path, Path]) -> None:
    assert trust_table() == ()


def test_what_is_trusted_was_trained_as_people_train() -> None:
    assert STARTS == DEFAULT_STARTS


@pytest.mark.parametrize("protocol", ["frozen", "full"])
def test_shipped_trainings_are_complete(protocol: trust.Protocol) -> None:
    found = [r for r in rows(TRAININGS) if (r["protocol"], r["start"]) == (protocol, STARTS[protocol])]
    seeds: dict[str, set[str]] = {}
    for row in found:
        seeds.setdefault(row["subject"], set()).add(row["seed"])
    hybrids = {row["subject"] for row in found if row["kind"] == "hybrid"}
    members = {row["subject"] for row in found if row["kind"] == "member"}

    assert len(hybrids) >= 40
    assert members == set(embedded_zoo().names)
    assert all(have == {"0", "1", "2"} for have in seeds.values())
    assert all(0 <= float(row["top1"]) <= 100 and int(row["macs"]) > 0 for row in found)


def test_shipped_hybrids_have_two_sources_and_use_every_block_about_equally() -> None:
    hybrids = {row["subject"]: row["blocks"].split() for row in rows(TRAININGS) if row["kind"] == "hybrid"}
    used = Counter(block for blocks in hybrids.values() for block in blocks)

    assert all(len({block.split(":")[0] for block in blocks}) > 1 for blocks in hybrids.values())
    assert len(used) == 4 * len(embedded_zoo().names)
    assert max(used.values()) - min(used.values()) <= 1


def test_shipped_scores_are_of_the_same_networks_and_complete() -> None:
    scored = rows(VALUES)

    assert {row["subject"] for row in scored} == {row["subject"] for row in rows(TRAININGS)}
    assert set(scored[0]) == {"subject", *SCORES} - set(BASELINES)


@pytest.mark.parametrize("protocol", ["frozen", "full"])
def test_shipped_tables_give_every_score_its_trust(protocol: trust.Protocol) -> None:
    table = trust_table(protocol)

    assert {found.score for found in table} == set(SCORES)
    assert [found.tau for found in table] == sorted((found.tau for found in table), reverse=True)
    assert all(-1 <= found.low <= found.tau <= found.high <= 1 for found in table)


@pytest.mark.parametrize("protocol", ["frozen", "full"])
def test_two_trainings_of_the_shipped_networks_order_them_alike(protocol: trust.Protocol) -> None:
    """Else there was nothing to rank, and no score could be judged by it."""
    assert ceiling(trained(protocol)) > 0.6
