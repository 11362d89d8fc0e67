"""The family "transfer": what hybrids promise whose seams are fitted in closed form instead of drawn.

Each seam on the way down is fitted as `fit_closed_form` does, to what the next block saw in its own
network; no label is used for that. All scores then read the same features of labelled training images:
what a new classifier behind the last block would get.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dery_core.data import Probe, fitted, preprocess, probe_batch
from dery_core.modules import received
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.closed_form import Feed, by_content, fit_seam, own_features
from dery_core.reassembly.hybrid import build_head
from dery_core.reassembly.least_squares import NotFinite
from dery_core.reassembly.ridge_head import Floats, check_labels, fit_ridge_head, one_blas_thread
from dery_core.scoring.parts import Parts
from dery_core.scoring.transfer import h_score, leep, log_me, nce
from dery_core.scoring.trie import Values
from dery_core.zoo import Layout, Zoo, ZooModel
from dery_core.zoo.architecture import timm_config
from dery_core.zoo.zoo import is_pretrained, pretrained_name

NAMES = ("logme", "leep", "nce", "h-score", "ridge-probe")
BATCH_SIZE = 64

TRANSFER_IMAGES = 256
"""Labelled training images that the seams are fitted on and the scores read, by default."""

_IMAGES_PER_CLASS = 8
"""At least as many are taken for a task of many classes."""

KEPT_BYTES = 1 << 28
"""Largest size of what is kept behind one stage over all images; computed again where it is larger."""

OWN_BYTES = 1 << 29
"""Largest size of all that is kept of what networks hold at their own cuts."""


class ClosedFormCarrier:
    """Carries what the blocks behind fitted seams give for the probe's images, and for more where its
    task has many classes. A state is None once it holds values that aren't finite: no score then.

    LEEP and NCE need a classifier of the source task. It is the last block's own: a hybrid's last block
    ends where that of its network does, so the network's own head fits behind it and says which of its
    classes it sees in what the hybrid gives. None for a network without classifier, and for a last block
    that doesn't end its network.
    """

    def __init__(self, zoo: Zoo, candidates: Candidates, probe: Probe, seed: int = 0) -> None:
        least = _IMAGES_PER_CLASS * candidates.num_classes
        images = probe_batch(fitted(replace(probe, count=max(probe.count, least))))
        check_labels(images.labels, candidates.num_classes)
        order = by_content(images.images, images.labels)
        self._labels = images.labels[order]
        self._batches = images.images[order].split(BATCH_SIZE)
        self._parts, self._candidates, self._seed = Parts(zoo, candidates), candidates, seed
        self._own: dict[tuple[int, int], Sequence[Tensor]] = {}
        self._own_bytes = 0

    @torch.no_grad()
    def first(self, i: int) -> Feed | None:
        """Behind stage 0 of model i."""
        model = self._parts.model(i)
        feed = Feed(self._batches, KEPT_BYTES)
        feed.then(lambda x: preprocess(x, model), self._parts.block(i, 0))
        return feed

    @torch.no_grad()
    def then(self, state: Feed | None, k: int, left: int, right: int) -> Feed | None:
        """Behind stage k of model `right`, with the seam from model `left` fitted to what comes."""
        if state is None:
            return None
        feed = state.fork()
        seam = self._parts.seam(k, left, right, self._seed)
        if seam is None:
            feed.then(self._parts.block(right, k))
            return feed
        try:
            fit_seam(seam, feed, *self._wanted(right, k))
        except NotFinite:
            return None
        feed.then(seam, self._parts.block(right, k))
        return feed

    @torch.no_grad()
    @one_blas_thread()
    def values(self, state: Feed | None, choice: Sequence[int]) -> Values:
        """All scores of this family; the ridge probe's accuracy in percent."""
        if state is None:
            return dict.fromkeys(NAMES)
        last, classes = self._candidates.blocks[choice[-1]][-1], self._candidates.num_classes
        head = build_head(last, classes, self._candidates.seam, self._seed)
        given = torch.cat([received(head, head.classifier, x) for x in state])
        try:
            probed = fit_ridge_head(given, self._labels, classes)
        except NotFinite:
            return dict.fromkeys(NAMES)
        features, labels = given.double().numpy(), self._labels.numpy()
        values: Values = {"logme": log_me(features, labels), "leep": None, "nce": None}
        logits = self._source_logits(state, choice[-1])
        if logits is not None:
            values |= {"leep": leep(logits, labels), "nce": nce(logits, labels)}
        return values | {"h-score": h_score(features, labels), "ridge-probe": probed.top1}

    def _wanted(self, i: int, k: int) -> tuple[Layout, Iterable[Tensor]]:
        """What stage k of model i gets in its own network."""
        graph, start = self._parts.graph(i), self._candidates.blocks[i][k].block.start
        own = own_features({graph.name: graph}, self._parts.zoo.model, self._batches, torch.device("cpu"))
        layout, batches = own(graph.name, start)
        if (i, k) not in self._own:
            size = 4 * math.prod(layout.shape) * len(self._labels)
            if self._own_bytes + size > OWN_BYTES:
                return layout, batches
            self._own[i, k] = list(batches)
            self._own_bytes += size
        return layout, self._own[i, k]

    def _source_logits(self, state: Feed, i: int) -> Floats | None:
        """What model i's own classifier says behind its last block, (images, its classes); None without."""
        graph = self._parts.graph(i)
        whole = self._candidates.blocks[i][-1].block.end == len(graph.nodes)
        if not whole or not _classifies(self._parts.model(i)):
            return None
        logits = torch.cat([graph.head.module(x) for x in state]).double()
        readable = logits.ndim == 2 and logits.shape[1] > 1 and bool(logits.isfinite().all())
        return logits.numpy() if readable else None


def _classifies(model: ZooModel) -> bool:
    """Whether a network ends in a classifier, not in features for one."""
    classes = model.model_kwargs.get("num_classes")
    if classes is None and is_pretrained(model):
        classes = timm_config(pretrained_name(model)).num_classes
    return classes != 0
