"""The `dery` command: the same steps as the app, without a browser.

Every step prints a short table and the path of the file it kept in the workspace; the next
step takes that path. A mistake is one line on stderr and exit status 2.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from dery_core import commands, reassemble_command, zoo_commands
from dery_core.errors import Cancelled, DeryError
from dery_core.settings import parse_settings
from dery_core.units import parse_quantity


def main(argv: Sequence[str] | None = None) -> int:
    """Run one `dery` command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # An ASCII terminal shows ? for a dash rather than end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        arguments = _parser().parse_args(argv)
        arguments.command(arguments)
    except DeryError as error:
        print("dery:", *str(error).splitlines(), file=sys.stderr)
        return 2
    except (Cancelled, KeyboardInterrupt):
        print("dery: stopped; what was finished is kept.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has gone; keep Python from complaining when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise DeryError(f"{message} (see: {self.prog} --help).")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="dery", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workspace", help="folder that keeps results (default: $DERY_HOME or ~/.dery)")
    parser.add_argument("--zoo", help="zoo file (default: $DERY_ZOO, your own or the embedded zoo)")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    zoo = _zoo_parser(subparsers)

    graph = subparsers.add_parser(
        "graph", help="cut a network into its chain of nodes, or every one of a zoo"
    )
    graph.set_defaults(command=zoo_commands.graph)
    graph.add_argument("network", help="a zoo member, a network of timm, a zoo file, or: all")
    graph.add_argument("--json", metavar="FILE", help="also write it here; - prints it instead of the table")

    similarity = subparsers.add_parser("similarity", help="compare all cuts of some networks")
    similarity.set_defaults(command=commands.similarity)
    similarity.add_argument("models", nargs="*", help="zoo members (default: all)")
    similarity.add_argument("--task", help="where the probe images come from (default: the target task)")
    similarity.add_argument(
        "--images", type=_images, default=256, help="number of probe images (default 256)"
    )
    similarity.add_argument("--seed", type=_seed, default=0, help="of everything random (default 0)")
    similarity.add_argument(
        "--measure",
        choices=["cka", "rbf-cka", "regression", "svcca", "procrustes"],
        default="cka",
        help="linear CKA (default), CKA of a Gaussian kernel, regression's R², SVCCA, Procrustes",
    )
    similarity.add_argument("--unbiased", action="store_true", help="the debiased form, of CKA alone")
    similarity.add_argument(
        "--pooling",
        choices=["mean", "flatten"],
        default="mean",
        help="a channel's mean over the grid or all tokens (default), or the whole activation",
    )
    similarity.add_argument(
        "--batch", type=_count, metavar="IMAGES", help="sum over minibatches, with --unbiased (default: none)"
    )
    similarity.add_argument(
        "--memory", type=_quantity, default=2**30, metavar="BYTES", help="may be taken, e.g. 4G (default 1G)"
    )
    similarity.add_argument("--json", type=_file, metavar="FILE", help="also write the table here")

    partition = subparsers.add_parser("partition", help="cut every network into K blocks, K equivalence sets")
    partition.set_defaults(command=commands.partition)
    source = partition.add_mutually_exclusive_group(required=True)
    source.add_argument("table", type=Path, nargs="?", help="the file that `dery similarity` kept")
    source.add_argument(
        "--table",
        dest="file",
        type=Path,
        metavar="FILE",
        help="the same, or bare arrays (.npz: cka, model, cut, cum_size, names)",
    )
    partition.add_argument("-k", type=_blocks, default=4, help="blocks a network, 2 to 12 (default 4)")
    partition.add_argument(
        "--epsilon",
        type=_not_negative,
        default=0.2,
        help="no block is larger than 1 + ε times the mean block of its network (default 0.2)",
    )
    partition.add_argument(
        "--size",
        choices=["params", "macs", "nodes"],
        help="what a block's size is counted in (default params; bare arrays bring their own sizes)",
    )
    partition.add_argument(
        "--variant",
        choices=["staged", "free"],
        default="staged",
        help="staged: the k-th block of every network is in set k (default); free: every block is in the set "
        "whose anchor it is most like",
    )
    partition.add_argument(
        "--max-seconds",
        type=_not_negative,
        default=120.0,
        metavar="S",
        help="stop, with the gap (default 120)",
    )
    partition.add_argument("--json", type=_file, metavar="OUT", help="also write the answer here")

    _reassemble_parser(subparsers)

    hybrid = subparsers.add_parser("hybrid", help="show a hybrid's blocks, seams and costs")
    hybrid.set_defaults(command=commands.hybrid)
    hybrid.add_argument("hybrid", type=Path, help="a file that `dery reassemble` kept")
    hybrid.add_argument("--summary", action="store_true", help="torchinfo's layer-by-layer summary too")

    tune = subparsers.add_parser("tune", help="fine-tune a hybrid or a zoo member as a run")
    tune.set_defaults(command=commands.tune)
    subject = tune.add_mutually_exclusive_group(required=True)
    subject.add_argument("--hybrid", type=Path, help="a file that `dery reassemble` kept")
    subject.add_argument("--member", help="name of a zoo member")
    tune.add_argument("--task", help="target task (default: the embedded target task)")
    tune.add_argument(
        "--protocol",
        choices=["frozen", "full"],
        default="frozen",
        help="frozen trains seams and head alone (default), full everything",
    )
    tune.add_argument(
        "--start",
        choices=["closed-form", "random"],
        help="new layers' first weights: fitted to images (default if frozen), or drawn (if full)",
    )
    tune.add_argument("--epochs", type=int, help="passes over the training images (default 8)")
    tune.add_argument("--batch-size", type=int, help="images a step (default 64)")
    tune.add_argument("--learning-rate", type=float, help="highest rate (default: the protocol's)")
    tune.add_argument("--seed", type=_seed, default=0, help="of everything random (default 0)")
    tune.add_argument("--device", default="auto", help="cpu, cuda, cuda:1 or auto (default)")
    tune.add_argument("--background", action="store_true", help="start it and return at once")

    runs = subparsers.add_parser("runs", help="list, show, cancel, resume or delete runs")
    runs.set_defaults(command=commands.runs)
    runs.add_argument(
        "action", nargs="?", choices=["list", "show", "log", "cancel", "resume", "delete"], default="list"
    )
    runs.add_argument("run", nargs="?", help="a run's id, or the beginning of it")

    demo = subparsers.add_parser("demo", help="the whole way on the embedded zoo, in minutes, without a GPU")
    demo.set_defaults(command=commands.demo)
    demo.add_argument("--json", type=_file, metavar="FILE", help="also write the figures here")
    demo.add_argument("--seed", type=_seed, default=0, help="of everything random (default 0)")
    demo.add_argument("--workers", type=_count, default=os.cpu_count(), help="fine-tunes at once")

    app = subparsers.add_parser("app", help="open the app in a browser")
    app.set_defaults(command=commands.app)
    app.add_argument("--task", help="target task (default: $DERY_TASK or the embedded target task)")
    app.add_argument("--port", type=int, default=8501)
    app.add_argument("--address", default="localhost", help="listen here (default: this machine only)")
    app.add_argument("--headless", action="store_true", help="don't open a browser window")

    for command in (*subparsers.choices.values(), *zoo.choices.values()):
        # Repeated here, without a default, so that they may stand after the command as well.
        for option in ("--workspace", "--zoo"):
            command.add_argument(option, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def _reassemble_parser(subparsers: Any) -> None:
    """`dery reassemble` and its rules."""
    reassemble = subparsers.add_parser("reassemble", help="the best hybrids within a budget, under rules")
    reassemble.set_defaults(command=reassemble_command.reassemble)
    reassemble.add_argument("partition", type=Path, help="the file that `dery partition` kept")
    reassemble.add_argument("--top", type=_count, default=5, help="how many hybrids (default 5)")
    reassemble.add_argument(
        "--front", action="store_true", help="all trade-offs of params, MACs and score too"
    )
    reassemble.add_argument("--json", type=_file, metavar="OUT", help="also write the answer here")

    limits = reassemble.add_argument_group("budget", "counts are written like 400k, 1.5e6 or 9M")
    limits.add_argument("--max-params", type=_quantity, metavar="N", help="at most (default: no limit)")
    limits.add_argument("--max-macs", type=_quantity, metavar="N", help="multiply-accumulates an image")
    limits.add_argument("--min-params", type=_quantity, metavar="N", help="at least (default: no limit)")
    limits.add_argument("--min-macs", type=_quantity, metavar="N", help="multiply-accumulates an image")

    rules = reassemble.add_argument_group("rules", "stages count from 1, as in vit.clutter:2")
    rules.add_argument(
        "--min-models", type=_count, default=2, metavar="N", help="networks, at least (default 2)"
    )
    rules.add_argument(
        "--max-models", type=_count, metavar="N", help="networks, at most (default: any number)"
    )
    names: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    rules.add_argument("--with", dest="required", metavar="MODEL", **names, help="take a block of each")
    rules.add_argument("--without", metavar="MODEL", **names, help="take no block of any")
    places: dict[str, Any] = {"type": _place, "metavar": "MODEL:STAGE", **names}
    rules.add_argument("--with-block", **places, help="take this block for its stage")
    rules.add_argument("--without-block", **places, help="never take it")
    rules.add_argument("--cnn-first", action="store_true", help="no CNN's block after a transformer's")

    score = reassemble.add_argument_group("score")
    score.add_argument(
        "--score",
        metavar="NAME",
        help="naswot (the paper's), naswot-normalised, naswot-official, params, macs, logme, leep, nce, "
        "h-score, synflow, grad-norm or ridge-probe (default: the one trusted most, see docs/trust.md)",
    )
    score.add_argument("--task", help="target task (default: the embedded target task)")
    score.add_argument(
        "--sample", type=_count, default=256, help="hybrids to measure where they are too many (default 256)"
    )
    score.add_argument("--seed", type=_seed, default=0, help="of everything random (default 0)")
    score.add_argument(
        "--background", action="store_true", help="measure as a run in the background and return at once"
    )


def _file(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the name is empty: give a file")
    return Path(text)


def _place(text: str) -> tuple[str, int]:
    """A block by its network and its stage, counted from 1; from 0 in what is given back."""
    model, _, stage = text.rpartition(":")
    if not model or not stage.isdecimal() or int(stage) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not MODEL:STAGE, such as vit.clutter:2")
    return model, int(stage) - 1


def _zoo_parser(subparsers: Any) -> Any:
    """`dery zoo` and its actions; without one it lists the zoo."""
    zoo = subparsers.add_parser("zoo", help="list, check or search networks; add your own")
    zoo.set_defaults(command=zoo_commands.list_zoo)
    actions = zoo.add_subparsers(title="actions", metavar="ACTION")

    listing = actions.add_parser("list", help="the networks of the zoo in use (default)")
    listing.set_defaults(command=zoo_commands.list_zoo)

    check = actions.add_parser("check", help="build and cut every network, and say what is wrong")
    check.set_defaults(command=zoo_commands.check)
    check.add_argument("models", nargs="*", help="zoo members (default: all)")

    add = actions.add_parser("add", help="add a network: one of timm's, or one of your own")
    add.set_defaults(command=zoo_commands.add)
    add.add_argument("network", nargs="?", help="timm's name of trained weights, e.g. resnet18.a1_in1k")
    add.add_argument("--name", help="what you call it (default: timm's name, or the weight file's)")
    own = add.add_argument_group("a network of your own")
    own.add_argument("--weights", type=Path, help="its weights, safetensors or a torch checkpoint")
    own.add_argument("--architecture", help="how timm calls its architecture, e.g. resnet18")
    own.add_argument("--kwargs", type=_settings, default={}, help="settings of it: img_size=32, or JSON")
    own.add_argument("--classes", type=_count, help="number of classes (default: as the weights have)")
    own.add_argument(
        "--input-size", type=_count, nargs="+", metavar="PIXELS", help="side, or height and width"
    )
    own.add_argument("--mean", type=float, nargs=3, help="of each colour (default: as timm's own weights)")
    own.add_argument("--std", type=float, nargs=3, help="of each colour (default: as timm's own weights)")
    own.add_argument("--source-task", help="what it was trained on (default: not told)")
    own.add_argument("--top1", type=float, help="its accuracy there, in percent")

    remove = actions.add_parser("remove", help="take a network out of your zoo; its weights stay")
    remove.set_defaults(command=zoo_commands.remove)
    remove.add_argument("model", help="a zoo member")

    search = actions.add_parser("search", help="timm's trained networks")
    search.set_defaults(command=zoo_commands.search)
    search.add_argument("text", nargs="*", help="words that the name holds")
    search.add_argument("--family", default="", help="timm's family file, e.g. swin_transformer")
    search.add_argument("--max-params", type=_quantity, help="e.g. 30M")
    search.add_argument("--max-macs", type=_quantity, help="multiply-accumulates an image, e.g. 5G")
    search.add_argument("--min-top1", type=float, help="accuracy on ImageNet-1k in percent, by timm's table")
    search.add_argument("--limit", type=_count, default=40, help="how many to list (default 40)")

    train = actions.add_parser("train", help="train the embedded zoo anew")
    train.set_defaults(command=zoo_commands.train)
    train.add_argument("--only", nargs="+", metavar="MODEL", help="these members alone")
    train.add_argument("--folder", type=Path, help="where to write (default: the embedded zoo's folder)")
    train.add_argument("--workers", type=_count, default=os.cpu_count(), help="processes at once")
    train.add_argument("--force", action="store_true", help="also what is already there")
    return actions


def _settings(text: str) -> dict[str, Any]:
    try:
        return parse_settings(text)
    except DeryError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from error


def _quantity(text: str) -> int:
    try:
        return parse_quantity(text)
    except DeryError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from error


def _whole(text: str, least: int, most: int) -> int:
    with suppress(ValueError):
        if least <= int(text) <= most:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least} to {most}")


def _count(text: str) -> int:
    return _whole(text, 1, 10**6)


def _images(text: str) -> int:
    return _whole(text, 4, 10**6)


def _blocks(text: str) -> int:
    return _whole(text, 2, 12)


def _not_negative(text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text} is not a number from 0 on")


def _seed(text: str) -> int:
    return _whole(text, 0, 2**63 - 1)


if __name__ == "__main__":
    sys.exit(main())
