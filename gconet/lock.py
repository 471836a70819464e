"""One process at a time in a run's folder."""

from pathlib import Path
from typing import IO

from gconet.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def hold(folder: Path) -> IO[str] | None:
    """Keep other processes out of a run's folder, for as long as the returned file is open.

    Raises ConfigError if one is in it. None if the system has no such locks.
    """
    file = (folder / ".lock").open("w")
    try:
        if fcntl is not None:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # loader processes do not inherit it
            return file
    except (BlockingIOError, PermissionError):
        file.close()
        raise ConfigError(f"{folder} is in use by another process; wait for it or stop it") from None
    except OSError:  # some network file systems
        pass
    file.close()
    return None
