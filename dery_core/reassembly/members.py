"""Zoo members as a hybrid's rivals: those that keep to the same budget."""

from dery_core.reassembly.value import Budget
from dery_core.zoo import Zoo, ZooModel, member_cost


def members_within(zoo: Zoo, budget: Budget, num_classes: int) -> list[ZooModel]:
    """The members that keep to `budget` with a head for `num_classes`, in the zoo's order."""
    return [model for model in zoo.models if budget.allows(*member_cost(model, num_classes))]
