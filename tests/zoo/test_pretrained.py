"""timm's pretrained networks: the catalogue, and weights from a hub that this process plays."""

import errno
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import huggingface_hub.constants as hub
import pytest
import timm
import torch
from safetensors.torch import save

from dery_core.errors import Cancelled, DeryError
from dery_core.progress import Progress
from dery_core.workspace import Workspace
from dery_core.zoo import add_pretrained, build_architecture, check_zoo, load_zoo, pretrained, template
from dery_core.zoo.costs import count_macs
from dery_core.zoo.pretrained import catalogue, fetch_results, have_results, search

NAME = "test_resnet.r160_in1k"
SWEEP = """\
architecture,family,input_size,params,macs,nodes,streams,reason
resnet18,resnet,3x224x224,11689512,1814073344,10,0,
swin_tiny_patch4_window7_224,swin_transformer,3x224x224,28288354,4371000000,,,it is only a test
"""
RESULTS = """\
model,top1,top1_err,top5,top5_err,param_count,img_size,crop_pct,interpolation
resnet18.a1_in1k,71.498,28.502,89.498,10.502,11.69,224,0.950,bicubic
resnet18.a2_in1k,70.500,29.500,89.498,10.502,11.69,224,0.950,bicubic
"""


class Hub(http.server.ThreadingHTTPServer):
    """As much of the hub as a download asks for: `files` by path."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.asked = files, list[str]()
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        content = self.server.files.get(self.path)
        self.send_response(404 if content is None else 200)
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
        else:
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.server.files.get(self.path, b""))

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return timm.create_model(NAME, pretrained=False).state_dict()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a hub that nobody answers for."""
    folder = tmp_path / "hub_cache"
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(folder))
    answer_from(monkeypatch, "http://127.0.0.1:9")
    return folder


@pytest.fixture
def server(cache: Path, weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub({f"/timm/{NAME}/resolve/main/model.safetensors": save(weights)}) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        answer_from(monkeypatch, server.address)
        yield server
        server.shutdown()


def answer_from(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(hub, "ENDPOINT", address)
    monkeypatch.setattr(
        hub, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )


def test_a_network_added_from_the_hub_is_used_without_it(
    server: Hub, weights: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[Progress] = []
    path = tmp_path / "zoo.yaml"
    assert not pretrained.cached(NAME)
    added = add_pretrained(path, NAME, reports.append)
    assert pretrained.cached(NAME)
    size = len(server.files[f"/timm/{NAME}/resolve/main/model.safetensors"])
    downloads = [report for report in reports if report.unit == "B"]
    assert downloads[-1].done == downloads[-1].total == size
    assert NAME in downloads[-1].step
    answer_from(monkeypatch, "http://127.0.0.1:9")
    zoo = load_zoo(path)
    assert zoo.own == (NAME,)
    assert zoo.model(NAME) == added
    assert added.input_size == (3, 160, 160)
    assert added.source_task == "ImageNet-1k"
    built = zoo.build(NAME).state_dict()
    assert all(torch.equal(built[name], tensor) for name, tensor in weights.items())


def test_weights_that_are_only_there_as_a_torch_file_are_taken(
    server: Hub, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(weights, tmp_path / "weights.bin")
    server.files.clear()
    server.files[f"/timm/{NAME}/resolve/main/pytorch_model.bin"] = (tmp_path / "weights.bin").read_bytes()
    add_pretrained(tmp_path / "zoo.yaml", NAME, called="mine")
    built = load_zoo(tmp_path / "zoo.yaml").build("mine").state_dict()
    assert all(torch.equal(built[name], tensor) for name, tensor in weights.items())


def test_changed_weights_of_timm_are_told(server: Hub, tmp_path: Path) -> None:
    path = tmp_path / "zoo.yaml"
    path.write_text(f"models:\n- timm: {NAME}\n  sha256: {'ab' * 32}\n")
    assert "SHA-256 differs" in check_zoo(load_zoo(path))[NAME]


def test_a_cancelled_download_leaves_no_zoo_and_no_half_file(
    server: Hub, cache: Path, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.unit == "B":
            raise Cancelled

    with pytest.raises(Cancelled):
        add_pretrained(tmp_path / "zoo.yaml", NAME, stop)
    assert not (tmp_path / "zoo.yaml").exists()
    add_pretrained(tmp_path / "zoo.yaml", NAME)  # whatever the first has left is no hindrance


def test_without_a_network_the_sentence_names_the_cache(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(DeryError, match="connect to the network, or copy the folder") as caught:
        add_pretrained(tmp_path / "zoo.yaml", NAME)
    assert str(cache) in str(caught.value)
    assert "models--timm--test_resnet.r160_in1k" in str(caught.value)
    assert not (tmp_path / "zoo.yaml").exists()


def test_a_repository_that_is_closed_is_not_taken_for_a_missing_network(server: Hub, tmp_path: Path) -> None:
    server.files.clear()
    with pytest.raises(DeryError, match=r"doesn't give out timm/test_resnet\.r160_in1k \(status 404\)"):
        add_pretrained(tmp_path / "zoo.yaml", NAME)


def test_weights_timm_does_not_have_name_close_ones(tmp_path: Path) -> None:
    with pytest.raises(DeryError, match=r"no weights 'resnet18\.a1': did you mean .*resnet18\.a1_in1k"):
        add_pretrained(tmp_path / "zoo.yaml", "resnet18.a1")
    with pytest.raises(DeryError, match="has no 'resnt18': did you mean 'resnet18'"):
        add_pretrained(tmp_path / "zoo.yaml", "resnt18.a1_in1k")


def test_catalogue_holds_every_tag_without_sweep_and_results(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pretrained, "SWEEP", tmp_path / "none.csv")
    entries = {entry.name: entry for entry in catalogue()}
    assert len(entries) > 1000
    entry = entries["resnet18.a1_in1k"]
    assert (entry.architecture, entry.tag, entry.family) == ("resnet18", "a1_in1k", "resnet")
    assert (entry.input_size, entry.classes, entry.source_task) == ((3, 224, 224), 1000, "ImageNet-1k")
    assert (entry.params, entry.macs, entry.cuttable, entry.top1) == (None, None, None, None)
    assert entries["vit_base_patch16_224.augreg_in21k"].source_task == "ImageNet-21k"


def test_macs_are_known_where_weights_take_another_size_than_their_architecture() -> None:
    entries = {entry.name: entry for entry in catalogue()}
    small, usual = entries["resnet18.a3_in1k"], entries["resnet18.a1_in1k"]
    assert (small.input_size, usual.input_size) == ((3, 160, 160), (3, 224, 224))
    assert small.macs == count_macs(
        build_architecture(template("resnet18")).eval(), torch.zeros(1, 3, 160, 160)
    )
    assert usual.macs is not None
    assert small.macs < usual.macs
    assert not [entry.name for entry in entries.values() if entry.params and not entry.macs]


def test_search_keeps_to_text_family_and_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.csv"
    sweep.write_text(SWEEP)
    monkeypatch.setattr(pretrained, "SWEEP", sweep)
    workspace = Workspace.open(tmp_path / "workspace")
    assert not have_results(workspace)
    small = search("resnet18 a1", max_params=12_000_000, max_macs=2_000_000_000, workspace=workspace)
    assert [entry.name for entry in small] == ["resnet18.a1_in1k"]
    assert (small[0].nodes, small[0].cuttable, small[0].top1) == (10, True, None)
    refused = search(family="swin_transformer", max_params=30_000_000)
    assert {entry.cuttable for entry in refused} == {False}
    assert refused[0].reason == "it is only a test"
    assert search("resnet18", max_params=11_000_000) == ()
    assert search("resnet18", min_top1=70, workspace=workspace) == ()


def test_accuracies_are_fetched_once_and_searched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "workspace")
    with Hub({"/results.csv": RESULTS.encode()}) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setattr(pretrained, "RESULTS", server.address + "/results.csv")
        fetch_results(workspace)
        server.shutdown()
    assert have_results(workspace)
    found = search("resnet18", min_top1=71, workspace=workspace)
    assert [(entry.name, entry.top1) for entry in found] == [("resnet18.a1_in1k", 71.498)]


def test_accuracies_without_a_network_are_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pretrained, "RESULTS", "http://127.0.0.1:9/results.csv")
    workspace = Workspace.open(tmp_path)
    with pytest.raises(DeryError, match="connect to the network, or save it as"):
        fetch_results(workspace)
    assert not have_results(workspace)
    assert catalogue(workspace)


@pytest.mark.parametrize(
    ("met", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "no network"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "no network"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "Connection refused"),
        (TimeoutError("timed out"), "timed out"),
    ],
)
def test_why_a_download_failed_is_said_in_words(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, met: OSError, said: str
) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        raise met

    monkeypatch.setattr(socket, "create_connection", fail)
    for attempt in (
        lambda: fetch_results(Workspace.open(tmp_path)),
        lambda: add_pretrained(tmp_path / "zoo.yaml", NAME),
    ):
        with pytest.raises(DeryError, match=rf"\({said}\): connect to the network"):
            attempt()


def test_a_table_that_is_none_is_named(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    workspace.zoo.mkdir()
    (workspace.zoo / "results-imagenet.csv").write_text("<html>")
    with pytest.raises(DeryError, match="is not timm's table of accuracies"):
        catalogue(workspace)


def test_a_zoo_file_names_timms_weights_and_overrides_what_timm_says(tmp_path: Path) -> None:
    path = tmp_path / "zoo.json"
    entry = {"timm": "resnet18", "name": "mine", "mean": [0.5, 0.5, 0.5], "note": "a word"}
    path.write_text(json.dumps([entry]))
    model = load_zoo(path).model("mine")
    assert (model.architecture, model.weights) == ("resnet18", "timm:a1_in1k")
    assert (model.mean, model.std) == ((0.5, 0.5, 0.5), (0.229, 0.224, 0.225))
    assert model.provenance["note"] == "a word"


def test_weights_with_other_classes_than_the_default_are_rebuilt_without_the_tag(tmp_path: Path) -> None:
    name = "vit_tiny_patch16_224.augreg_in21k"
    path = tmp_path / "zoo.json"
    path.write_text(json.dumps([{"timm": name, "model_kwargs": {"drop_rate": 0.1}}]))
    model = load_zoo(path).model(name)
    assert model.model_kwargs == {"drop_rate": 0.1, "num_classes": 21843}
    assert build_architecture(model).num_classes == 21843


@pytest.mark.parametrize("told", [{"classes": 10}, {"model_kwargs": {"in_chans": 1}}])
def test_timms_weights_get_no_untrained_layers(tmp_path: Path, told: dict[str, object]) -> None:
    path = tmp_path / "zoo.json"
    path.write_text(json.dumps([{"timm": "resnet18", **told}]))
    with pytest.raises(DeryError, match="but timm's weights have (1000|3)"):
        load_zoo(path)


def test_nobody_tried_is_not_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.csv"
    sweep.write_text(SWEEP.splitlines()[0] + "\nresnet18,resnet,3x224x224,11689512,,,,\n")
    monkeypatch.setattr(pretrained, "SWEEP", sweep)
    assert {entry.cuttable for entry in search("resnet18.")} == {None}
