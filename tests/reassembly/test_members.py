"""Which zoo members a hybrid is compared with."""

from dery_core.reassembly import Budget, members_within
from dery_core.zoo import embedded_zoo, member_cost

CLASSES = 12


def test_members_are_priced_with_the_target_tasks_head() -> None:
    zoo = embedded_zoo().subset(["resnet_s.clutter", "resnet_m.clutter"])
    small = zoo.model("resnet_s.clutter")
    params, macs = member_cost(small, CLASSES)
    assert members_within(zoo, Budget(params, macs), CLASSES) == [small]
    assert members_within(zoo, Budget(params - 1, macs), CLASSES) == []
    assert members_within(zoo, Budget(params, macs - 1), CLASSES) == []


def test_without_limits_every_member_is_a_rival() -> None:
    zoo = embedded_zoo().subset(["vit.clutter", "resnet_s.clutter"])
    assert members_within(zoo, Budget(), CLASSES) == list(zoo.models)
