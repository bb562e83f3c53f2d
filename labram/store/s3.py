"""S3 objects below an ``s3://bucket/prefix`` URI, uploaded and downloaded as whole files.

Credentials, region and endpoint are those of the standard AWS variables and files (``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY``, ``AWS_DEFAULT_REGION``, ``AWS_ENDPOINT_URL`` …).
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
    """Objects below one URI. Every method raises StoreError if the service is unreachable or denies the request.

    Args:
        uri: ``s3://bucket/prefix``; the bucket must exist.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")

    def exists(self, name: str) -> bool:
        """Return whether an object exists."""
        with self._store_errors():
            return bool(self._filesystem.get_file_info(self._path(name)).type == fs.FileType.File)

    def upload(self, path: Path, name: str) -> None:
        """Upload a file as an object. Readers see the previous object or the complete new one."""
        with self._store_errors():
            fs.copy_files(str(path), self._path(name), fs.LocalFileSystem(), self._filesystem, chunk_size=_CHUNK)

    def download(self, name: str, path: Path) -> bool:
        """Download an object to a file; return False if the object does not exist."""
        with self._store_errors():
            try:
                fs.copy_files(self._path(name), str(path), self._filesystem, fs.LocalFileSystem(), chunk_size=_CHUNK)
            except FileNotFoundError:
                return False
            return True

    def delete(self, name: str) -> None:
        """Delete an object."""
        with self._store_errors():
            self._filesystem.delete_file(self._path(name))

    def list_names(self, folder: str) -> list[str]:
        """Return the names of all objects below a folder, sorted."""
        selector = fs.FileSelector(self._path(folder), allow_not_found=True, recursive=True)
        with self._store_errors():
            infos = self._filesystem.get_file_info(selector)
        return sorted(info.path[len(self._path("")) :] for info in infos if info.type == fs.FileType.File)

    def _path(self, name: str) -> str:
        return f"{self.uri.removeprefix(SCHEME)}/{name}"

    @cached_property
    def _filesystem(self) -> Any:
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return fs.S3FileSystem(
            endpoint_override=endpoint, connect_timeout=_CONNECT_SECONDS, request_timeout=_REQUEST_SECONDS
        )

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"the object store request failed ({_summary(error)})",
                file=self.uri,
                remedy="Check that the service is up, that the bucket exists, AWS_ENDPOINT_URL, and the credentials",
            ) from error


def _summary(error: Exception) -> str:
    """Return the message of an error: of Arrow's, the AWS part only, which names no object."""
    text = " ".join(str(error).split())
    aws = re.search(r"AWS Error [^;]*", text)
    return aws[0] if aws else text[:200]
