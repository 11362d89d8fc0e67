import pytest

from dery_core.reassembly import Candidates, hybrid_summary, hybrid_table
from dery_core.zoo import Zoo, zoo_line_graph


@pytest.mark.parametrize("choice", [(0, 1, 2), (1, 1, 0)], ids=str)
def test_rows_add_up_to_the_hybrid(zoo: Zoo, priced: Candidates, choice: tuple[int, ...]) -> None:
    spec = priced.spec(zoo, choice)
    rows = hybrid_table(spec, zoo)
    assert [row.model for row in rows] == [zoo.names[i] for i in choice]
    assert sum(row.params + row.seam_params for row in rows) == spec.params
    assert sum(row.macs + row.seam_macs for row in rows) == spec.macs
    assert hybrid_table(spec, zoo, priced) == hybrid_table(spec, None) == rows


def test_rows_name_the_nodes_and_the_seams(zoo: Zoo, priced: Candidates) -> None:
    rows = hybrid_table(priced.spec(zoo, (1, 1, 0)), zoo)
    nodes = zoo_line_graph(zoo, "tokens").nodes
    block = priced.blocks[1][0].block
    assert rows[0].first_node == nodes[block.first_node].name
    assert rows[0].last_node == nodes[block.last_node].name
    # Two blocks that adjoin have nothing between them; the last row ends in the head.
    assert (rows[0].seam, rows[0].seam_params, rows[0].seam_macs) == ("", 0, 0)
    assert "tokens × 16 → " in rows[1].seam
    assert rows[2].seam.endswith("→ 5 classes")


def test_summary_names_blocks_and_counts_parameters(zoo: Zoo, priced: Candidates) -> None:
    spec = priced.spec(zoo, (0, 1, 2))
    text = hybrid_summary(spec)
    assert "Seam" in text
    assert f"Total params: {spec.params:,}" in text
