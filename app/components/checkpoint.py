"""A checkpoint of one's own: its file, and what it takes to build and feed its network."""

import math
from dataclasses import replace
from pathlib import Path

import streamlit as st

from app import own_zoo, state
from app.components.errors import error_box
from dery_core.errors import DeryError
from dery_core.settings import parse_settings
from dery_core.zoo import UNKNOWN_TASK, ZooModel

MOST_MEGABYTES = 4000


def describe_checkpoint(busy: bool) -> None:
    """Fields that keep what was typed, whatever comes of the button below them."""
    file = st.file_uploader(
        "Weights: safetensors, or a torch file that holds nothing else",
        type=["safetensors", "pth", "pt", "bin"],
        max_upload_size=MOST_MEGABYTES,
        key="own_file",
    )
    left, right = st.columns(2, gap="large")
    architecture = left.selectbox(
        "Architecture, as timm calls it",
        own_zoo.architectures(),
        index=None,
        placeholder="resnet18",
        key="own_architecture",
    )
    stem = Path(file.name).stem if file else ""
    name = right.text_input("Name in the zoo", placeholder=stem or "my_resnet18", key="own_name") or stem
    task = left.text_input("What it was trained on", placeholder="flowers", key="own_task")
    classes = right.text_input(
        "Classes: number, or names with commas",
        placeholder="read off the file",
        key="own_classes",
    )
    if architecture is None:
        st.caption("Choose an architecture to see what timm feeds it.")
        return
    try:
        expected = own_zoo.template(architecture)
    except DeryError as error:
        error_box(error)
        return
    size, mean, std = _inputs(expected)
    with st.expander("Advanced", icon=":material/tune:"):
        settings = st.text_input(
            "Settings of the architecture, where it isn't built as timm does by default",
            placeholder="embed_dim=96 depths=[2, 2, 6, 2]",
            help="What `timm.create_model` takes: name=value, with spaces between, or a JSON object.",
            key="own_settings",
        )
    if st.button(
        "Add to my zoo",
        type="primary",
        key="add_checkpoint",
        icon=":material/add:",
        disabled=busy or file is None,
        help="Choose a weight file first." if file is None else None,
    ):
        try:
            model = described(expected, name, task, classes, size, mean, std, settings)
            assert file is not None
            own_zoo.add_checkpoint(model, file.getbuffer(), file.name)
        except DeryError as error:
            error_box(error)
            return
        state.leave_out("adding", name)
        st.rerun()


def _inputs(expected: ZooModel) -> tuple[str, str, str]:
    """What the network is fed, timm's own defaults until they are changed."""
    with st.expander("What it is fed", icon=":material/image:"):
        places = st.columns(3, gap="medium")
        defaults = {
            "Height, width": _joined(expected.input_size[1:]),
            "Mean of red, green, blue (0 to 1)": _joined(expected.mean),
            "Standard deviation": _joined(expected.std),
        }
        size, mean, std = (
            # Another architecture has other defaults.
            place.text_input(label, value, key=f"own_{label}_{expected.architecture}")
            for place, (label, value) in zip(places, defaults.items(), strict=True)
        )
    return size, mean, std


def described(
    expected: ZooModel, name: str, task: str, classes: str, size: str, mean: str, std: str, settings: str
) -> ZooModel:
    """The network as the fields tell it; DeryError, in one sentence, for what they can't mean."""
    kwargs, names = _read_classes(classes)
    height, width = (int(number) for number in _numbers(size, 2, "height and width"))
    red, green, blue = _numbers(mean, 3, "mean")
    deviations = _numbers(std, 3, "standard deviation")
    return replace(
        expected,
        name=name,
        source_task=task or UNKNOWN_TASK,
        input_size=(3, height, width),
        mean=(red, green, blue),
        std=(deviations[0], deviations[1], deviations[2]),
        model_kwargs=expected.model_kwargs | parse_settings(settings) | kwargs,
        provenance=expected.provenance | ({"classes": names} if names else {}),
    )


def _read_classes(text: str) -> tuple[dict[str, int], list[str]]:
    """Setting of the architecture, and the classes' names if those were given."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        return {}, []
    if len(names) > 1:
        return {"num_classes": len(names)}, names
    if not names[0].isdecimal() or int(names[0]) < 1:
        raise DeryError(f"'{text}' is no number of classes: write one, or names with commas between them.")
    return {"num_classes": int(names[0])}, []


def _numbers(text: str, count: int, what: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.replace("×", ",").split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        numbers *= count
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise DeryError(f"'{text}' is no {what}: write {count} numbers with commas between them.")
    return numbers


def _joined(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
