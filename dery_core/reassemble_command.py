"""`dery reassemble`: the best hybrids of a partition under rules, and the whole front."""

import argparse
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dery_core.commands import check_json, given_file, keep, open_zoo, print_table, task_named
from dery_core.errors import DeryError
from dery_core.files import write_text
from dery_core.progress import TerminalProgress
from dery_core.units import figure
from dery_core.values import read_json
from dery_core.workspace import Workspace

if TYPE_CHECKING:
    from dery_core.reassembly import Candidates, Choice
    from dery_core.scoring import Scores
    from dery_core.search import Front, Rules


def reassemble(arguments: argparse.Namespace) -> None:
    """Find and keep the best hybrids under the rules given."""
    path = given_file(arguments.partition)
    _check_partition(path)
    check_json(arguments.json)
    from dery_core.jobs import ScoringSpec, begin_scoring, scores_of
    from dery_core.partition import Partition
    from dery_core.scoring import DEFAULT_SCORE, measure
    from dery_core.search import Finder, blocks_left

    rules, parts = _rules(arguments), Partition.load(path)
    # Pricing takes seconds: what is mistyped is told before.
    blocks_left(rules, parts.models, parts.k)
    zoo, workspace, task = open_zoo(arguments), Workspace.open(arguments.workspace), task_named(arguments)
    spec = ScoringSpec(
        str(zoo.path),
        task.name,
        parts,
        arguments.score or DEFAULT_SCORE,
        sample=arguments.sample,
        seed=arguments.seed,
    )
    with TerminalProgress() as report:
        options = spec.priced(zoo, report)
        # Rules that no hybrid keeps are told before long measuring: #params needs none.
        free = scores_of(dataclasses.replace(spec, score="params"), zoo, options, workspace)
        Finder(options, free.objective).best(rules)
        if arguments.background:
            if run := begin_scoring(spec, zoo, options, workspace):
                print(f"The scoring goes on as a run; follow it with: dery runs show {run.id}")
                print("When it is finished, the same command answers at once.")
                return
            print("No run is needed: what is left to measure takes seconds, if anything is left.")
        scores = scores_of(spec, zoo, options, workspace, report, apart=False)
        finder = Finder(options, scores.objective)
        choices = finder.best(rules, arguments.top)
        scores = measure(zoo, options, scores, [choice.choice for choice in choices], workspace, report)
    front = finder.front(rules) if arguments.front else None
    choices = [dataclasses.replace(choice, measured=scores.score(choice.choice)) for choice in choices]
    paths = [
        keep(options.spec(zoo, each.choice, _finite(each.measured)), workspace.hybrids) for each in choices
    ]
    _print_best(options, scores, choices)
    if front is not None:
        _print_front(options, scores, front)
    _print_score(scores)
    if arguments.json is not None:
        figures = _figures(rules, options, scores, choices, paths, front)
        write_text(arguments.json, json.dumps(figures, indent=1) + "\n")
    print(*paths, sep="\n")


def _check_partition(path: Path) -> None:
    """What is plainly not a partition is told before torch is imported, which takes seconds."""
    if path.suffix == ".npz":
        raise DeryError(
            f"{path} is a table: cut it with `dery partition`, and give the file that it prints last."
        )
    data = read_json(path)
    if not isinstance(data, dict) or not {"blocks", "anchors"} <= data.keys():
        raise DeryError(f"{path} is not a partition: give the file that `dery partition` prints last.")
    if "models" not in data:
        raise DeryError(
            f"{path} is what `dery partition` wrote for --json: give the file whose path it prints last."
        )


def _rules(arguments: argparse.Namespace) -> "Rules":
    from dery_core.reassembly import Budget
    from dery_core.search import Rules

    budget = Budget(arguments.max_params, arguments.max_macs, arguments.min_params, arguments.min_macs)
    return Rules(
        budget=budget,
        min_models=arguments.min_models,
        max_models=arguments.max_models,
        forbidden_models=tuple(arguments.without),
        required_models=tuple(arguments.required),
        forbidden_blocks=tuple(arguments.without_block),
        required_blocks=tuple(arguments.with_block),
        cnn_first=arguments.cnn_first,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _score_columns(scores: "Scores", predicted: float, measured: float | None) -> dict[str, str | None]:
    """The score as a table shows it: once where it is known of every hybrid."""
    title = _title(scores)
    known = None if measured is None else figure(measured)
    if scores.exact or scores.complete:
        return {title: known or figure(predicted)}
    return {f"{title} predicted": figure(predicted), "measured": known}


def _title(scores: "Scores") -> str:
    from dery_core.scoring import SCORES

    return SCORES[scores.name].title


def _print_best(options: "Candidates", scores: "Scores", choices: Sequence["Choice"]) -> None:
    print_table(
        [
            {
                "#": rank,
                **{f"stage {k}": options.models[i] for k, i in enumerate(choice.choice, 1)},
                # To the unit: a limit typed as it stands here must not leave this hybrid out.
                "params": f"{choice.params:,}",
                "MACs": f"{choice.macs:,}",
                **_score_columns(scores, choice.predicted, choice.measured),
            }
            for rank, choice in enumerate(choices, 1)
        ]
    )


def _print_front(options: "Candidates", scores: "Scores", front: "Front") -> None:
    which = "All" if front.complete else "Some of the"
    print(f"\n{which} trade-offs between params, MACs and score, {len(front)} hybrids:\n")
    rows = zip(front.choices.tolist(), front.params, front.macs, front.score, strict=True)
    print_table(
        [
            {
                "params": f"{params:,}",
                "MACs": f"{macs:,}",
                **_score_columns(scores, score, scores.score(choice)),
                **{f"stage {k}": options.models[i] for k, i in enumerate(choice, 1)},
            }
            for choice, params, macs, score in rows
        ]
    )
    print()


def _print_score(scores: "Scores") -> None:
    """What the score says, what stands behind these figures, and how far to trust them."""
    from dery_core.scoring import SCORES
    from dery_core.scoring.trust import trust_sentence

    score = SCORES[scores.name]
    print(f"{score.title}: {score.sentence}")
    if not scores.exact:
        some = f"{scores.samples:,} hybrids; a linear model of them predicts the others"
        print(f"Measured on {f'all {scores.samples:,} hybrids' if scores.complete else some}.")
    print(trust_sentence(scores.name))


def _figures(
    rules: "Rules",
    options: "Candidates",
    scores: "Scores",
    choices: Sequence["Choice"],
    paths: Sequence[Path],
    front: "Front | None",
) -> dict[str, object]:
    from dery_core.scoring.trust import trust_of

    trust = trust_of(scores.name)
    candidates = [
        {"rank": rank, **_hybrid(options, scores, each.choice, each.params, each.macs, each.predicted)}
        | {"hybrid": str(path)}
        for rank, (each, path) in enumerate(zip(choices, paths, strict=True), 1)
    ]
    found: dict[str, object] = {
        "schema_version": 1,
        "rules": rules.to_dict(),
        "score": scores.name,
        "measured_hybrids": scores.samples,
        "complete": scores.complete,
        "trust": dataclasses.asdict(trust) if trust else None,
        "candidates": candidates,
    }
    if front is not None:
        rows = zip(
            front.choices.tolist(),
            front.params.tolist(),
            front.macs.tolist(),
            front.score.tolist(),
            strict=True,
        )
        found["front"] = [_hybrid(options, scores, *row) for row in rows]
        found["front_complete"] = front.complete
    return found


def _hybrid(
    options: "Candidates", scores: "Scores", choice: Sequence[int], params: int, macs: int, predicted: float
) -> Mapping[str, object]:
    blocks = [
        {
            "stage": stage,
            "model": f.block.model,
            "first_node": f.block.first_node,
            "last_node": f.block.last_node,
        }
        for stage, f in enumerate(options.facts(choice), 1)
    ]
    measured = _finite(scores.score(choice))
    return {"blocks": blocks, "params": params, "macs": macs, "predicted": predicted, "measured": measured}
