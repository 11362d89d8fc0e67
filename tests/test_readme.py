"""The README's figures are those of the files that ship."""

import re
import textwrap
from pathlib import Path

from dery_core.units import quantity
from dery_core.zoo import embedded_zoo, family, load_zoo

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def test_the_zoo_table_is_the_zoo() -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in README.splitlines()]
    shown = {row[0].strip("`"): row for row in rows if re.fullmatch(r"`\w+\.\w+`", row[0])}
    zoo = embedded_zoo()
    assert tuple(shown) == zoo.names
    for model in zoo.models:
        assert model.params is not None
        assert model.macs is not None
        _, family_, task, _, params, macs, top1 = shown[model.name]
        assert (family_, task) == (family(model), model.source_task)
        assert (params, macs) == (quantity(model.params), quantity(model.macs))
        assert top1 == f"{model.top1:.1f}"


def test_the_zoo_file_shown_is_one(tmp_path: Path) -> None:
    text = README.split("It is YAML or JSON:\n", 1)[1].split("\n`dery graph", 1)[0]
    (tmp_path / "zoo.yaml").write_text(textwrap.dedent(text))
    zoo = load_zoo(tmp_path / "zoo.yaml")
    assert zoo.own == ("resnet18.a1_in1k", "mine")
    assert zoo.model("mine").model_kwargs == {"drop_rate": 0.1, "num_classes": 10}
    assert zoo.model("mine").provenance == {}
