"""Tasks to train on and probe images to compare on."""

from dery_core.data.embedded import SOURCE_TASKS, TARGET_TASK
from dery_core.data.loading import load_task, task_names
from dery_core.data.preprocess import TakesImages, preprocess
from dery_core.data.probe import Probe, fitted, probe_batch, probe_images
from dery_core.data.task import ImageSet, Task

__all__ = [
    "SOURCE_TASKS",
    "TARGET_TASK",
    "ImageSet",
    "Probe",
    "TakesImages",
    "Task",
    "fitted",
    "load_task",
    "preprocess",
    "probe_batch",
    "probe_images",
    "task_names",
]
