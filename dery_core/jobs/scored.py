"""Scores for whoever waits for them: taken where they are kept, measured here or by a run where not."""

from contextlib import suppress

import numpy as np

from dery_core.errors import Cancelled, DeryError
from dery_core.files import locked
from dery_core.jobs.scoring import ScoringRun, ScoringSpec
from dery_core.jobs.store import absolute, create_run, list_runs
from dery_core.progress import ProgressFn, silent
from dery_core.reassembly import Candidates
from dery_core.scoring import FAMILIES, Scores, kept_scores, score_named
from dery_core.scoring.proposals import allowed_count
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo

# Seconds a MAC of a hybrid and an image, by family, on one core: measured on the embedded zoo.
_SECONDS = {"naswot": 6e-11, "official": 1.3e-10, "transfer": 2e-11, "gradient": 2.5e-10}
# A process has imported torch and timm and cut the networks in about half of this. Below, whoever waits
# waits less without one; and what is measured is kept every few seconds anyway.
_QUICK_SECONDS = 20.0


def scores_of(
    spec: ScoringSpec,
    zoo: Zoo,
    candidates: Candidates,
    workspace: Workspace,
    report: ProgressFn = silent,
    apart: bool = True,
) -> Scores:
    """The scores of `candidates`, which `spec` tells: those kept in the workspace at once; few, or cheap
    ones, measured in this process; else by a run, begun or found as `begin_scoring` does.

    Cancelled by `report`, the run is cancelled too; what it measured is kept. Without `apart` a run that
    isn't going on elsewhere is carried out in this process.
    """
    spec = absolute(spec)
    if not is_quick(spec, candidates):
        kept = _kept(spec, zoo, candidates, workspace)
        if kept is not None:
            return kept
        _carry_out(_begun(spec, workspace, apart), report, apart)
    return spec.measured(zoo, candidates, workspace, report)


def begin_scoring(
    spec: ScoringSpec, zoo: Zoo, candidates: Candidates, workspace: Workspace
) -> ScoringRun | None:
    """The run that measures what is missing; None where nothing is, or so little that `is_quick`.

    One that is at work on the same is found, whoever began it; one that stopped before its end goes on;
    else a new one begins, in a process of its own, at once: it doesn't wait for trainings to end.
    """
    spec = absolute(spec)
    if is_quick(spec, candidates) or _kept(spec, zoo, candidates, workspace) is not None:
        return None
    return _begun(spec, workspace)


def _begun(spec: ScoringSpec, workspace: Workspace, apart: bool = True) -> ScoringRun:
    """The run of that work; without `apart` whoever asks carries out what isn't going on already."""
    # Two who ask at the same time share one run.
    with locked(workspace.runs / "scoring"):
        run = _unfinished(spec, workspace) or create_run(workspace, spec)
        state = run.status().state
        if apart and state != "running":
            (run.start if state == "queued" else run.resume)()
        return run


def is_quick(spec: ScoringSpec, candidates: Candidates) -> bool:
    """Whether measuring all is over about as soon as a process of its own could begin with it."""
    family = score_named(spec.score).family
    if family not in _SECONDS:
        return True  # known from the prices
    hybrids, n = allowed_count(candidates), len(candidates.models)
    if hybrids > FAMILIES[family].complete:
        hybrids = spec.sample
    own = np.tile(np.arange(n)[:, None], candidates.k)
    macs = hybrids * spec.probe.count * float(candidates.macs.of(own).mean())
    return macs * _SECONDS[family] <= _QUICK_SECONDS


def _kept(spec: ScoringSpec, zoo: Zoo, candidates: Candidates, workspace: Workspace) -> Scores | None:
    return kept_scores(
        zoo,
        spec.partition,
        candidates,
        spec.probe,
        workspace,
        score=spec.score,
        sample=spec.sample,
        seed=spec.seed,
    )


def _unfinished(spec: ScoringSpec, workspace: Workspace) -> ScoringRun | None:
    """The newest run of the same work that is going on, or can go on."""
    for run in list_runs(workspace):
        if isinstance(run, ScoringRun):
            status = run.status()
            live = status.active or status.resumable or status.state == "queued"
            if live and run.spec.same_work(spec):
                return run
    return None


def _carry_out(run: ScoringRun, report: ProgressFn, apart: bool) -> None:
    if not apart and not run.status().active:
        try:
            run.run_here(report)
            return
        except DeryError:
            # Somebody else may have begun it since, and even finished it.
            if run.status().state not in ("running", "finished"):
                raise
    try:
        run.follow(report)
    except Cancelled:
        with suppress(DeryError):  # cancelled already, or finished this moment
            run.cancel()
        raise
