"""Errors that a user can act on, how commands print them, and how they become an exit status."""

import io
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


class GCoNetError(Exception):
    """Something the user can fix; the message is one line: what was wrong, what exists, what to do."""

    exit_status = 1


class ConfigError(GCoNetError):
    """A setting or an argument is wrong; commands exit with status 2."""

    exit_status = 2


class DataError(GCoNetError):
    """A file or folder of images, masks or maps is missing, unreadable or does not fit."""


class CheckpointError(GCoNetError):
    """A checkpoint is missing, damaged or belongs to another architecture."""


def one_line(message: object) -> str:
    """Return `message` as text; control characters, which file names may contain, are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(message))


def say(*lines: object) -> None:
    """Print `lines` on stdout; names in them cannot break a line or control the terminal."""
    print("\n".join(map(one_line, lines)))


def note(text: str) -> None:
    """Print `text` on stderr, if there is one."""
    if sys.stderr is not None:
        print(f"note: {one_line(text)}", file=sys.stderr)


def expand_home(argument: str) -> str:
    """Expand ~ to the home folder, also in --option=~/x and key=~/x, where shells do not."""
    home = str(Path("~").expanduser()) if os.environ.get("HOME") or os.name == "nt" else "~"
    return re.sub(r"^((?:--)?(?:[\w.-]*=){1,2})?~(?=/|$)", lambda m: (m[1] or "") + home, argument)


def counted(number: int, noun: str) -> str:
    """1, "map" → "1 map"; 2, "map" → "2 maps"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def run_command(main: Callable[[], int]) -> NoReturn:
    """Run a command's `main` and exit with its status; a `GCoNetError` becomes one line on stderr."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller (2>&-)
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):  # the terminal's encoding may lack a name's characters
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))  # to clean up, as Ctrl-C does
    try:
        sys.argv[1:] = [expand_home(argument) for argument in sys.argv[1:]]
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader of our output (`| head`) has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that Python's final flush does not fail
        status = 128 + 13  # as the shell reports SIGPIPE
    except (GCoNetError, NotImplementedError, OSError) as error:
        text = str(error)
        if isinstance(error, OSError):  # a full disk, a read-only folder, …
            text = f"{error.filename or 'the system'}: {error.strerror or error}"
        elif isinstance(error, NotImplementedError):  # of PyTorch: an accelerator lacks an operator
            text = f"{text.partition('. ')[0]}; compute on the device cpu"
        print(f"error: {one_line(text)}", file=sys.stderr)
        status = getattr(error, "exit_status", 1)
    sys.exit(status)
