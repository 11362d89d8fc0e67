"""What each `dery` command does with its arguments: call the engine, print a short table.

torch takes seconds to import, so every command imports the rooms it needs itself: `dery --help`
and a mistyped option answer at once.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dery_core.errors import DeryError
from dery_core.files import check_writable, digest, user_path, write_text
from dery_core.progress import ProgressFn, TerminalProgress
from dery_core.units import quantity
from dery_core.workspace import Workspace

if TYPE_CHECKING:
    from dery_core.data import Task
    from dery_core.jobs import Run
    from dery_core.partition import Partition
    from dery_core.values import Value
    from dery_core.zoo import Zoo


def open_zoo(arguments: argparse.Namespace) -> "Zoo":
    """The zoo in use: --zoo, $DERY_ZOO, the workspace's own or the embedded one."""
    from dery_core.zoo import default_zoo

    return default_zoo(Workspace.at(arguments.workspace), arguments.zoo)


def task_named(arguments: argparse.Namespace) -> "Task":
    """The task named, by a name that holds from any folder: a run may go on from another."""
    from dery_core.data import TARGET_TASK, load_task

    name = arguments.task or os.environ.get("DERY_TASK") or TARGET_TASK
    kind, separator, path = name.partition(":")
    if separator and kind in ("npz", "folder"):
        name = f"{kind}:{Path(path).expanduser().absolute()}"
    return load_task(name)


def given_file(path: Path) -> Path:
    """The absolute path of a file that a person named; DeryError where there is none. For asking before
    torch is imported, which takes seconds."""
    path = user_path(path)
    if not os.path.exists(path):
        raise DeryError(f"{path} does not exist.")
    if os.path.isdir(path):
        raise DeryError(f"{path} is a folder: give a file.")
    return path


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Rows of the same keys as a table on stdout; None is shown as a dash."""
    from tabulate import tabulate

    print(tabulate(rows, headers="keys", tablefmt="simple", missingval="–", disable_numparse=True))


def keep(value: "Value", folder: Path) -> Path:
    """Where the value is saved: its name is made of its content, so saving it again changes nothing."""
    path = folder / f"{digest(value.to_dict())}.json"
    value.save(path)
    return path


def check_json(path: Path | None) -> None:
    """DeryError when --json names what can't be written; asked before long work begins."""
    if path is not None:
        if path.is_dir():
            raise DeryError(f"{path} is a folder: give --json a file.")
        check_writable(path.absolute().parent)


def similarity(arguments: argparse.Namespace) -> None:
    """Compare all cuts of some networks."""
    from dery_core.data import Probe
    from dery_core.similarity import Comparison, similarity_table

    comparison = Comparison(arguments.measure, arguments.unbiased, arguments.pooling, arguments.batch)
    check_json(arguments.json)
    zoo, workspace = open_zoo(arguments), Workspace.open(arguments.workspace)
    probe = Probe(task_named(arguments).name, arguments.images, arguments.seed)
    models = arguments.models or zoo.names
    with TerminalProgress() as report:
        for model in models:
            zoo.fetch(model, report)
        table = similarity_table(zoo, models, probe, workspace, comparison, arguments.memory, report)
    print(f"{len(table.models)} networks, {len(table.index)} cuts, {probe.count} images of {probe.task}.")
    print(f"{comparison.title}: {comparison.definition.sentence}")
    if arguments.json is not None:
        write_text(arguments.json, json.dumps(table.to_dict(), ensure_ascii=False) + "\n")
    print(workspace.table(table.key))


def partition(arguments: argparse.Namespace) -> None:
    """Cut every network of a table into blocks."""
    path = given_file(arguments.file or arguments.table)
    check_json(arguments.json)
    if path.suffix == ".json":
        raise DeryError(f"{path} is JSON: give the .npz file that `dery similarity` prints last.")
    from dery_core.partition import is_bare_table

    bare = is_bare_table(path)
    # Bare arrays have no zoo behind them to reassemble, so their partition isn't kept.
    folder = None if bare else Workspace.open(arguments.workspace).partitions
    started = time.monotonic()
    with TerminalProgress() as report:
        found = (_bare_partition if bare else _table_partition)(arguments, path, report)
    seconds = time.monotonic() - started
    _print_partition(found, seconds)
    if arguments.json is not None:
        size = arguments.size or ("given" if bare else found.size)
        figures = _partition_figures(found, size, seconds)
        write_text(arguments.json, json.dumps(figures, indent=1) + "\n")
    if folder is not None:
        print(keep(found, folder))


def _table_partition(arguments: argparse.Namespace, path: Path, report: ProgressFn) -> "Partition":
    from dery_core.partition import solve_partition
    from dery_core.similarity import SimilarityTable

    return solve_partition(
        SimilarityTable.load(path),
        arguments.k,
        arguments.epsilon,
        arguments.size or "params",
        variant=arguments.variant,
        max_seconds=arguments.max_seconds,
        report=report,
    )


def _bare_partition(arguments: argparse.Namespace, path: Path, report: ProgressFn) -> "Partition":
    from dery_core.partition import bare_table, solve_arrays

    if arguments.size in ("params", "macs"):
        raise DeryError(f"{path} brings its own sizes: leave --size out, or say --size nodes to count nodes.")
    table = bare_table(path)
    return solve_arrays(
        table.similarity,
        table.model,
        table.cut,
        table.cut.astype(float) if arguments.size else table.size,
        table.names,
        arguments.k,
        arguments.epsilon,
        measure=arguments.size or "params",
        variant=arguments.variant,
        max_seconds=arguments.max_seconds,
        report=report,
    )


def _print_partition(found: "Partition", seconds: float) -> None:
    free = found.variant == "free"
    rows = zip(found.models, found.blocks, found.sets, found.similarity, strict=True)
    print_table(
        [
            {"network": model}
            | {
                f"stage {k}": f"{block.first_node}–{block.last_node} "
                f"({f'set {set_ + 1}, ' * free}{'★ ' * (block in found.anchors)}{like:.2f})"
                for k, (block, set_, like) in enumerate(zip(blocks, sets, likes, strict=True), 1)
            }
            for model, blocks, sets, likes in rows
        ]
    )
    print(
        "First–last node of each block, and its similarity to the anchor ★ of its set, the block that all "
        "others in it are compared with (2 is the most; an anchor has it with itself)."
    )
    if found.widened:
        limits = dict(zip(found.models, found.limits, strict=True))
        names = ", ".join(f"{name} ({_above(found.epsilon, limits[name] - 1)})" for name in found.widened)
        print(f"No {found.k} blocks keep ε = {found.epsilon:g} in some networks; theirs is wider: {names}.")
    how = "proved" if found.proved else f"gap {100 * found.gap:.3f} %"
    print(
        f"Objective, the sum of all these, {found.objective:.4f}, upper bound {found.upper_bound:.4f}, "
        f"{how}, {seconds:.2f} s."
    )


def _above(limit: float, value: float) -> str:
    """`value`, which is above `limit`, in as few digits as show that."""
    texts = (f"{value:.{digits}g}" for digits in range(2, 17))
    return next((text for text in texts if float(text) > limit), f"{value}")


def _partition_figures(found: "Partition", size: str, seconds: float) -> dict[str, object]:
    return {
        "schema_version": 1,
        "objective": found.objective,
        "upper_bound": found.upper_bound,
        "gap": found.gap,
        "proved": found.proved,
        "seconds": seconds,
        "variant": found.variant,
        "k": found.k,
        "epsilon": found.epsilon,
        "size": size,
        "blocks": {
            model: [0, *(block.end for block in blocks)]
            for model, blocks in zip(found.models, found.blocks, strict=True)
        },
        "sets": dict(zip(found.models, found.sets, strict=True)),
        "similarity": dict(zip(found.models, found.similarity, strict=True)),
        "anchors": [
            {"model": anchor.model, "start": anchor.start, "end": anchor.end} for anchor in found.anchors
        ],
        "widened_models": found.widened,
        "limits": dict(zip(found.models, found.limits, strict=True)),
    }


def hybrid(arguments: argparse.Namespace) -> None:
    """Show a hybrid's blocks and seams."""
    from dery_core.reassembly import HybridSpec, hybrid_summary, hybrid_table

    zoo = open_zoo(arguments)
    spec = HybridSpec.load(arguments.hybrid)
    rows = hybrid_table(spec, zoo)
    print_table(
        [
            {
                "stage": "stem" if row.stage < 0 else row.stage + 1,
                "model": row.model,
                "nodes": row.first_node if row.nodes == 1 else f"{row.first_node} … {row.last_node}",
                "params": quantity(row.params),
                "MACs": quantity(row.macs),
                "then": row.seam or ("" if row.stage < 0 else "same network, no seam"),
                "fit": row.fit.summary if row.fit else None,
                "its params": quantity(row.seam_params),
                "its MACs": quantity(row.seam_macs),
            }
            for row in rows
        ]
    )
    for row in rows:
        if row.fit and row.fit.remarks:
            place = "Stem" if row.stage < 0 else f"After stage {row.stage + 1}"
            print(f"{place}: {'; '.join(row.fit.remarks)}.")
    height, width = spec.source.input_size[1:]
    costs = f"{quantity(spec.params)} params, {quantity(spec.macs)} MACs, seams and head included"
    print(f"{costs}; takes pictures of {height}×{width}.")
    if arguments.summary:
        print(hybrid_summary(spec))
        print("torchinfo's mult-adds leave out attention's products; the MACs above count them.")


def tune(arguments: argparse.Namespace) -> None:
    """Fine-tune a hybrid or a member as a run."""
    from dataclasses import replace

    from dery_core.jobs import create_run
    from dery_core.reassembly import HybridSpec
    from dery_core.training import DEFAULT_STARTS, Recipe, RunSpec

    # A mistyped task is said here, before a run is made that could only fail.
    task = task_named(arguments)
    hybrid = HybridSpec.load(arguments.hybrid) if arguments.hybrid else None
    zoo, workspace = open_zoo(arguments), Workspace.open(arguments.workspace)
    chosen = {
        name: getattr(arguments, name)
        for name in ("epochs", "batch_size", "learning_rate")
        if getattr(arguments, name) is not None
    }
    spec = RunSpec(
        name=hybrid.title if hybrid else arguments.member,
        zoo=str(zoo.path),
        task=task.name,
        hybrid=hybrid,
        member=zoo.model(arguments.member) if arguments.member else None,
        protocol=arguments.protocol,
        recipe=replace(Recipe.default(arguments.protocol), **chosen),
        seed=arguments.seed,
        device=arguments.device,
        start=arguments.start or DEFAULT_STARTS[arguments.protocol],
    )
    run = create_run(workspace, spec)
    if arguments.background:
        run.start()
        print(f"Started {run.id}; follow it with: dery runs show {run.id}")
        return
    with TerminalProgress() as report:
        run.run_here(report)
    _show(run)


def runs(arguments: argparse.Namespace) -> None:
    """List runs, or act on one."""
    from dery_core.jobs import find_run, list_runs

    workspace = Workspace.open(arguments.workspace)
    if arguments.action == "list":
        found = list_runs(workspace)
        if found:
            print_table([_run_row(run) for run in found])
        else:
            print("No runs yet.")
        return
    if arguments.run is None:
        raise DeryError(f"dery runs {arguments.action} needs a run's id: see `dery runs list`.")
    run = find_run(workspace, arguments.run)
    if arguments.action == "show":
        _show(run)
    elif arguments.action == "log":
        print(run.log())
    elif arguments.action == "delete":
        run.delete()
        print(f"Deleted {run.id}.")
    else:
        getattr(run, arguments.action)()
        print(f"{run.id}: {run.status().state}")


def _run_row(run: "Run") -> dict[str, object]:
    status = run.status()
    readable = status.state != "damaged"
    result = run.result() if status.state == "finished" else None
    return {
        "run": run.id,
        "kind": run.kind if readable else None,
        "what": run.title if readable else None,
        "how": _how(run) if readable else None,
        "state": status.state,
        "progress": f"{status.done:,}/{status.total:,} {run.unit}" if status.total else None,
        "top-1 %": f"{result.top1:.1f}" if result and run.kind == "training" else None,
        "message": status.message,
    }


def _how(run: "Run") -> str:
    spec = run.spec
    if run.kind == "scoring":
        return f"seed {spec.seed}"
    return f"{spec.protocol}, {spec.start} start"


def _show(run: "Run") -> None:
    from dery_core.jobs import ScoringRun, TrainingRun

    print_table([_run_row(run)])
    if run.status().state == "damaged":
        pass  # the table says why
    elif isinstance(run, TrainingRun):
        if hybrid := run.spec.hybrid:
            print(" → ".join(f"{b.model} {b.first_node}–{b.last_node}" for b in hybrid.blocks))
        print_table(
            [
                {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()}
                for row in run.metrics()
            ]
        )
    elif isinstance(run, ScoringRun):
        print(f"Networks: {', '.join(run.spec.partition.models)}")
        if result := run.result():
            which = "all hybrids there are" if result.complete else "a sample of the hybrids"
            print(f"{result.measured:,} measured, {which}, {result.seconds:.1f} s")
    print(run.path)


def demo(arguments: argparse.Namespace) -> None:
    """Go the whole way and print what came of it."""
    from dery_core.demo import print_report, run_demo
    from dery_core.zoo import embedded_zoo, load_zoo

    workspace = Workspace.open(arguments.workspace)
    # what the demo shows is the same everywhere, whatever zoo one keeps oneself
    zoo = load_zoo(arguments.zoo) if arguments.zoo else embedded_zoo()
    check_json(arguments.json)
    with TerminalProgress() as report:
        figures = run_demo(workspace, zoo, seed=arguments.seed, workers=arguments.workers, report=report)
    print_report(figures)
    if arguments.json:
        figures.save(arguments.json)
        print(f"Figures: {arguments.json}")


def app(arguments: argparse.Namespace) -> None:
    """Serve the app until it is stopped."""
    import socket

    main_page = Path(__file__).resolve().parents[1] / "app" / "main.py"
    if not main_page.exists():
        raise DeryError(f"{main_page} is missing: run `dery app` from a checkout of DeRy Studio.")
    workspace = Workspace.open(arguments.workspace)
    zoo, task = open_zoo(arguments), task_named(arguments)
    # only a zoo that was named is passed on: the workspace's own may come into being meanwhile
    named = {"DERY_ZOO": str(zoo.path)} if arguments.zoo or os.environ.get("DERY_ZOO") else {}
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((arguments.address, arguments.port))
        except (OSError, OverflowError) as error:
            raise DeryError(
                f"Port {arguments.port} of {arguments.address} can't be used ({error}): "
                "choose another with --port (make app PORT=8600)."
            ) from error
    command = [sys.executable, "-m", "streamlit", "run", str(main_page)]
    command += ["--server.port", str(arguments.port), "--server.address", arguments.address]
    command += ["--server.headless", "true"] if arguments.headless else []
    os.chdir(main_page.parents[1])
    sys.stdout.flush()
    # in place of this process, not as its child: a signal that ends `dery app` then ends the server
    os.execve(
        sys.executable,
        command,
        {**os.environ, "DERY_HOME": str(workspace.root), "DERY_TASK": task.name, **named},
    )
