"""Objects below an ``s3://bucket/prefix`` address: whole files go up and come down.

Credentials, region and endpoint are those of the standard AWS variables and files (``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``, ``AWS_ENDPOINT_URL`` …).
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from labram.errors import StoreError

SCHEME = "s3://"
_CONNECT_SECONDS, _REQUEST_SECONDS = 5, 60
_CHUNK = 8 << 20


class Bucket:
    """The objects whose names begin with an address.

    Args:
        uri: ``s3://bucket/prefix``; the bucket must exist.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")

    def holds(self, name: str) -> bool:
        """Whether there is such an object.

        Raises:
            StoreError: If the service does not answer, or refuses.
        """
        with self._asking():
            return bool(self._files.get_file_info(self._at(name)).type == fs.FileType.File)

    def put(self, path: Path, name: str) -> None:
        """Make an object of a file. Readers see the object before or the whole new one.

        Raises:
            StoreError: If the service does not answer, or refuses.
        """
        with self._asking():
            fs.copy_files(str(path), self._at(name), fs.LocalFileSystem(), self._files, chunk_size=_CHUNK)

    def get(self, name: str, path: Path) -> bool:
        """Make a file of an object; False if there is no such object.

        Raises:
            StoreError: If the service does not answer, or refuses.
        """
        with self._asking():
            try:
                fs.copy_files(self._at(name), str(path), self._files, fs.LocalFileSystem(), chunk_size=_CHUNK)
            except FileNotFoundError:
                return False
            return True

    def names(self, folder: str) -> list[str]:
        """Names of all objects below a folder of these, sorted.

        Raises:
            StoreError: If the service does not answer, or refuses.
        """
        selector = fs.FileSelector(self._at(folder), allow_not_found=True, recursive=True)
        with self._asking():
            found = self._files.get_file_info(selector)
        return sorted(info.path[len(self._at("")) :] for info in found if info.type == fs.FileType.File)

    def _at(self, name: str) -> str:
        return f"{self.uri.removeprefix(SCHEME)}/{name}"

    @cached_property
    def _files(self) -> Any:
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return fs.S3FileSystem(
            endpoint_override=endpoint, connect_timeout=_CONNECT_SECONDS, request_timeout=_REQUEST_SECONDS
        )

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"the object store does not do what it is asked ({_sentence(error)})",
                file=self.uri,
                remedy="Check that the service is up and the bucket is there, and AWS_ENDPOINT_URL and the credentials",
            ) from error


def _sentence(error: Exception) -> str:
    """What an error says: of Arrow's, what AWS says, without the names of objects."""
    text = " ".join(str(error).split())
    said = re.search(r"AWS Error [^;]*", text)
    return said[0] if said else text[:200]
