"""torchinfo's summary: made when it is asked for, for that hybrid alone."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app import work


def page() -> None:
    import streamlit as st

    from app.components.summary import summary_panel
    from dery_core.partition import Block
    from dery_core.reassembly import HybridSpec
    from dery_core.zoo import ZooModel

    model = ZooModel("a", "resnet18", "a.safetensors", "none", (3, 8, 8), (0.5,) * 3, (0.5,) * 3)
    last = st.number_input("Last", value=1, key="last")
    score = st.number_input("Score", value=1.0, key="score")
    summary_panel(HybridSpec((Block("a", 0, int(last)),), (model,), 10, 1_000, 20_000, score=score))


def test_a_summary_is_made_on_demand_and_not_for_the_next_hybrid(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def summary(spec: Any) -> str:
        made.append(spec.blocks[0].last_node)
        return f"layers up to {made[-1]}"

    monkeypatch.setattr("app.components.summary.hybrid_summary", summary)
    monkeypatch.setattr("app.components.waiting.PATIENCE_SECONDS", 120)
    work._works.clear()
    app = AppTest.from_function(page, default_timeout=60).run()
    assert not made
    app.button(key="summary").click().run()
    assert app.code[0].value == "layers up to 1"
    assert "attention's products" in app.caption[0].value
    # Another score of the same hybrid is the same summary; another hybrid has none yet.
    assert app.number_input(key="score").set_value(2.0).run().code[0].value == "layers up to 1"
    assert not app.number_input(key="last").set_value(2).run().code
    app.number_input(key="last").set_value(1).run()
    assert app.code[0].value == "layers up to 1"
    assert not app.button(key="summary").click().run().code
    assert made == [1]
    work._works.clear()
