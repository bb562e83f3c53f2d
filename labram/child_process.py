"""A child process that serves requests over a connection.

It is a fresh interpreter. A fork of a process with threads, of an S3 client for example, may hang, and
`multiprocessing` would import the caller's main module again.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe

OUTPUT_ENCODING = {"PYTHONIOENCODING": "utf-8:backslashreplace"}
"""Environment of a child process: whatever it, or a library, prints, the locale's encoding is no error."""


class ChildProcess:
    """A running child process, seen from its parent.

    Args:
        arguments: Arguments of the Python interpreter. The descriptor of the child's end of the connection, for
            `connect`, is appended.
        quiet: Whether to discard the child's output from the start: libraries print what they find in a header.
        environment: Additional environment variables.

    Raises:
        OSError: If no process can be started.

    Attributes:
        connection: The parent's end of the connection.
    """

    def __init__(self, arguments: Sequence[str], *, quiet: bool, environment: Mapping[str, str] | None = None) -> None:
        self.connection, child_end = Pipe()
        output = subprocess.DEVNULL if quiet else None
        with child_end:
            self._process = subprocess.Popen(
                [sys.executable, "-P", *arguments, str(child_end.fileno())],
                pass_fds=[child_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **OUTPUT_ENCODING, **(environment or {})},
            )

    def wait(self) -> int:
        """Wait until the process ends; return its exit code, -N if signal N killed it."""
        return self._process.wait()

    def stop(self, grace_seconds: float = 0.0) -> None:
        """Close the connection and end the process.

        Args:
            grace_seconds: How long SIGTERM may take before SIGKILL follows; 0: SIGKILL at once.
        """
        self.connection.close()
        if grace_seconds:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_seconds)
        self._process.kill()
        self._process.wait()


def connect(descriptor: str) -> Connection:
    """Return the child's end of the connection, from the last command-line argument of the child."""
    return Connection(int(descriptor))


def discard_output() -> None:
    """Redirect standard output and error of this process to nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    os.close(null)
