"""MACs of timm's architectures at the other input sizes that some of their trained weights take.

    python -m benchmarks.catalogue_sizes

Writes assets/timm_other_sizes.csv, beside the table that `benchmarks.line_graphs` writes of the default
sizes. Networks are built on the meta device: nothing is downloaded and nothing computed; it takes a minute.
"""

import csv
import io
import sys

import timm
import torch

from dery_core.errors import first_line
from dery_core.files import write_text
from dery_core.progress import TerminalProgress, Ticker
from dery_core.zoo.architecture import timm_config
from dery_core.zoo.costs import count_macs
from dery_core.zoo.pretrained import OTHER_SIZES, other_sizes


def main() -> int:
    wanted = other_sizes()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["architecture", "input_size", "macs"])
    failed = []
    with TerminalProgress() as report:
        tick = Ticker("Counting", len(wanted), "networks", report)
        for (architecture, size), name in wanted.items():
            try:
                writer.writerow([architecture, size, macs(name)])
            except Exception as error:  # whatever a network raises without numbers
                failed.append(f"{name}: {first_line(error)}")
            tick()
    write_text(OTHER_SIZES, text.getvalue())
    print(f"{len(wanted) - len(failed)} of {len(wanted)} counted.", *failed, sep="\n", file=sys.stderr)
    return 0


def macs(name: str) -> int:
    """Of one image as the weights `name` take it, with the head that the architecture has by default."""
    classes, size = timm_config(name.partition(".")[0]).num_classes, timm_config(name).input_size
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False, num_classes=classes).eval()
        return count_macs(model, torch.empty(1, *size))


if __name__ == "__main__":
    sys.exit(main())
