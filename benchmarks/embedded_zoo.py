"""The embedded zoo's table as the README shows it, measured anew from the files that ship.

python benchmarks/embedded_zoo.py
"""

from tabulate import tabulate

from dery_core.data import load_task
from dery_core.training import evaluate
from dery_core.units import quantity
from dery_core.zoo import Zoo, ZooModel, embedded_zoo, family, member_cost, zoo_line_graph


def row(zoo: Zoo, model: ZooModel) -> dict[str, str]:
    task = load_task(model.source_task)
    params, macs = member_cost(model, len(task.classes))
    return {
        "network": f"`{model.name}`",
        "timm family": family(model),
        "source task": model.source_task,
        "nodes": str(len(zoo_line_graph(zoo, model.name).nodes)),
        "params": quantity(params),
        "MACs": quantity(macs),
        "top-1 %": f"{evaluate(zoo.build(model.name), task.test, model):.1f}",
    }


def main() -> None:
    zoo = embedded_zoo()
    rows = [row(zoo, model) for model in zoo.models]
    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
