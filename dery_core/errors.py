"""The one exception a person is meant to read."""


class DeryError(ValueError):
    """One sentence that says what is wrong and what to do about it.

    The command line prints it on one line and exits with status 2; a page shows it as one
    message and goes on. Anything else that escapes is a bug.
    """


class Cancelled(Exception):
    """Raised from a progress callback to stop long work; whatever was finished is kept."""


def first_line(error: BaseException) -> str:
    """What a foreign library's error says first, short enough to stand inside a sentence."""
    text = str(error).strip()
    return text.splitlines()[0][:160].rstrip(". ") if text else type(error).__name__
