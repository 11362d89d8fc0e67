"""The program behind a run: `python -m dery_core.jobs.worker RUN_DIR` works until the end.

SIGTERM cancels the run at the next batch or hybrid; what was finished stays.
"""

import signal
import sys
import threading
from pathlib import Path

from dery_core.errors import Cancelled, DeryError
from dery_core.jobs.store import open_run


def main() -> int:
    """0 finished, 1 failed, 2 not a run that can be begun, 130 cancelled."""
    if len(sys.argv) != 2:
        print("usage: python -m dery_core.jobs.worker RUN_DIR", file=sys.stderr)
        return 2
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        open_run(Path(sys.argv[1])).run_here(stop=asked.is_set)
    except Cancelled:
        return 130
    except DeryError as error:
        print(error, file=sys.stderr)
        return 2
    except Exception:
        return 1  # run_here has put the traceback into the log
    return 0


if __name__ == "__main__":
    sys.exit(main())
