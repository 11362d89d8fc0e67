"""Progress in words."""

import pytest

from app.components.waiting import spoken
from dery_core.progress import Progress


@pytest.mark.parametrize(("done", "rate"), [(870, "870"), (12_345, "12,345"), (2, "2"), (0.5, "0.5")])
def test_a_rate_is_written_as_people_write_it(done: int, rate: str) -> None:
    said = spoken(Progress("Training", done, 20_000, "images", 1.0))
    assert f" · {rate} images/s · " in said
