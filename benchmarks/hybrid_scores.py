"""The scores of chosen hybrids, for the reports: nothing is searched, only these are measured."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from dery_core.files import digest
from dery_core.progress import ProgressFn, Ticker
from dery_core.reassembly import Candidates
from dery_core.scoring import FAMILIES, SCORES, score_probe
from dery_core.scoring.kept import Kept
from dery_core.scoring.trie import Values
from dery_core.zoo import Zoo

Choice = tuple[int, ...]


def hybrid_scores(
    zoo: Zoo,
    options: Candidates,
    choices: Iterable[Choice],
    names: Sequence[str],
    task: str,
    folder: Path,
    report: ProgressFn,
) -> dict[Choice, Values]:
    """The scores `names` (none of them a mere cost) of `choices`, as the product measures them by default.

    What was measured is kept in `folder`: an interrupted call goes on where it stopped.
    """
    wanted = list(choices)
    found: dict[Choice, Values] = {choice: {} for choice in wanted}
    for name in dict.fromkeys(SCORES[name].family for name in names):
        family = FAMILIES[name]
        score = next(each for each in names if SCORES[each].family == name)
        probe = score_probe(task, score)
        kept = Kept(folder / f"{name}-{digest(family.version, options.to_dict(), probe.to_dict())}.json")
        if todo := kept.missing(wanted):
            tick = Ticker(SCORES[score].title, len(todo), "hybrids", report)
            kept.measure(todo, family.measurer(zoo, options, probe, 0), tick)
        for choice in wanted:
            found[choice] |= {each: kept[choice][each] for each in names if SCORES[each].family == name}
    return found
