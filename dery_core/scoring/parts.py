"""`Parts`: blocks and seams of a zoo's candidates as modules, not yet put together."""

from torch import nn

from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.hybrid import build_seam
from dery_core.reassembly.seam import Seam
from dery_core.reassembly.value import adjoins
from dery_core.zoo import LineGraph, Zoo, ZooModel, zoo_line_graph


class Parts:
    """Every network is cut once, when it is first asked for. Blocks are the networks' own modules, not
    copies: run them, don't train them."""

    def __init__(self, zoo: Zoo, candidates: Candidates) -> None:
        self.zoo, self.candidates = zoo, candidates
        self._graphs: dict[int, LineGraph] = {}

    def graph(self, i: int) -> LineGraph:
        """The line graph of model i, in eval mode."""
        if i not in self._graphs:
            self._graphs[i] = zoo_line_graph(self.zoo, self.candidates.models[i])
        return self._graphs[i]

    def model(self, i: int) -> ZooModel:
        """The zoo's record of model i: what its preprocessing needs."""
        return self.zoo.model(self.candidates.models[i])

    def block(self, i: int, k: int) -> nn.Sequential:
        """Stage k of model i, in eval mode."""
        block = self.candidates.blocks[i][k].block
        nodes = self.graph(i).nodes[block.start : block.end]
        return nn.Sequential(*(node.module for node in nodes)).eval()

    def seam(self, k: int, left: int, right: int, seed: int) -> Seam | None:
        """What stands between stage k-1 of model `left` and stage k of model `right`, with the weights
        it has in `build_hybrid(…, seed)`, in eval mode; None where the blocks adjoin."""
        before, after = self.candidates.blocks[left][k - 1], self.candidates.blocks[right][k]
        if adjoins(before.block, after.block) and not self.candidates.seam.always:
            return None
        seam = build_seam(k - 1, before, after, self.candidates.seam, seed)
        return seam.eval()
