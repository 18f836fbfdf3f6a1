"""A bucket and how it is spoken to: stores of obstore, made where they are needed, and errors."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec
import obstore as obs
from obstore import store as stores
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)

from arrowimg._storage.object_store.address import MOST_NBYTES, Address, redacted
from arrowimg._storage.object_store.options import (
    OPTION,
    StoreOptions,
    unknown_key,
    uses_profile,
)
from arrowimg.errors import ForkedProcessError, OptionError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

Store: TypeAlias = "stores.S3Store | stores.GCSStore | stores.AzureStore"

_STORES = (stores.S3Store, stores.GCSStore, stores.AzureStore)
_KINDS = ("s3", "gs", "az")
_LEAST_SECONDS = 60
_SLOWEST_NBYTES = 10**6
"""What a connection carries in a second at the very least, so that a request takes no longer."""

_IDENTITIES = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
_NO_CREDENTIALS = (
    "no credentials were found in storage_options or the environment, so the identity of this "
    "machine was asked for, and it has none; see docs/how-to/object-stores.md, Credentials"
)

_DENIED = ("AccessDenied", "AuthorizationPermissionMismatch")
"""What stores say to those whom they know, but do not let list."""


class Connection:
    """A bucket or container, and how it is spoken to. Two of the same bucket are equal.

    It is copied to other processes with its credentials, which its `repr` does not show.

    Parameters
    ----------
    address
        Of the bucket.
    options
        What the stores are told.
    ready
        A store of the caller's, which is used as it is in place of these.

    Raises
    ------
    OptionError
        When an option is unknown or cannot be. No request is made.
    """

    def __init__(self, address: Address, options: StoreOptions, ready: Store | None = None) -> None:
        self.address, self.options = address, options
        self._ready = ready
        self._begin()
        self.store()

    def _begin(self) -> None:
        self._lock, self.probe_lock = Lock(), Lock()
        self._stores: dict[int, Store] = {}
        self._may_list: bool | None = None

    def __getstate__(self) -> tuple[Address, StoreOptions, Store | None]:
        return self.address, self.options, self._ready

    def __setstate__(self, state: tuple[Address, StoreOptions, Store | None]) -> None:
        self.address, self.options, self._ready = state
        self._begin()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Connection) and self.__getstate__() == other.__getstate__()

    def __hash__(self) -> int:
        return hash((self.address.kind, self.address.root))

    def __repr__(self) -> str:
        return f"Connection({self.address.root})"

    @property
    def identity(self) -> bytes:
        """What is the same of equal connections, and holds neither a socket nor a secret."""
        told = self.options if self._ready is None else self._ready.config
        values = msgspec.to_builtins((self.address, told))
        return hashlib.sha256(repr(values).encode()).digest()

    @property
    def most_nbytes(self) -> int:
        """What one request may carry."""
        return MOST_NBYTES[self.address.kind]

    def for_polars(self) -> dict[str, Any] | None:
        """Return what Polars is told, so that it opens files of this bucket; None: it cannot."""
        return None if self._ready is not None else self.options.for_polars()

    def store(self, nbytes: int = 0) -> Store:
        """Return a store whose requests may take as long as so many bytes need."""
        if self._ready is not None:
            return self._ready
        # By powers of two, so that requests share their connections.
        needed = max(0, nbytes - 1) // _SLOWEST_NBYTES
        seconds = _LEAST_SECONDS + (1 << needed.bit_length() if needed else 0)
        with self._lock:
            if seconds not in self._stores:
                self._stores[seconds] = self._new_store(seconds)
            return self._stores[seconds]

    def _new_store(self, seconds: int) -> Store:
        provider = _profile() if uses_profile(self.address.kind, self.options) else None
        given: dict[str, Any] = {"credential_provider": provider} if provider else {}
        client = {"timeout": f"{seconds}s", **self.options.client}
        try:
            made = stores.from_url(
                self.address.root,
                config=cast("Any", self.options.config),
                client_options=cast("Any", client),
                retry_config=cast("Any", self.options.retry or None),
                **given,
            )
        except UnknownConfigurationKeyError:
            raise unknown_key(self.address.kind, self.options) from None
        except BaseException as error:
            if not isinstance(error, Exception) and not _is_panic(error):
                raise
            # Not what obstore says, which may repeat a value.
            names = sorted({*self.options.config, *self.options.client, *self.options.retry})
            expected = f"options that obstore takes for {self.address.root}"
            raise OptionError(OPTION, expected, names) from None
        return cast("Store", made)

    @contextmanager
    def requests(self, path: str) -> Iterator[None]:
        """Say of all that fails in requests which file it is about, in errors of ours.

        Raises
        ------
        FileNotFoundError
            When there is no such file, or the store does not say whether there is, see
            `is_denied_only`.
        StorageError
            When the store fails or refuses.
        ForkedProcessError
            In a process that was forked after its parent had made a request.
        """
        check_process()
        try:
            yield
        except (FileNotFoundError, ValueError):
            # A name that no file can have is a ValueError.
            raise missing(path) from None
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise StorageError(path, said(error), errno.EACCES, None, None) from None
        except BaseError as error:
            raise StorageError(path, said(error), errno.EIO, None, None) from None
        except BaseException as error:
            if not _is_panic(error):
                raise
            raise StorageError(path, said(error), errno.EIO, None, None) from None

    @contextmanager
    def reading(self, path: str) -> Iterator[None]:
        """Do as `requests` does, and take a refusal for absence where no other answer can come.

        Without the right to list a bucket, S3 answers 403 of what is not there.
        """
        try:
            with self.requests(path):
                yield
        except StorageError as error:
            if error.errno == errno.EACCES and not self._can_list():
                raise missing(path) from error
            raise

    def _can_list(self) -> bool:
        """Tell whether files may be listed, or it is not known that they may not."""
        if self._may_list is None:
            try:
                next(iter(obs.list(self.store(), self.address.prefix or None, chunk_size=1)), None)
            except BaseError as error:
                # Of a list that is refused, obstore makes an error of no kind of its own.
                if not any(it in str(error) for it in _DENIED):
                    return True
                self._may_list = False
            else:
                self._may_list = True
        return self._may_list


def connection_of(ready: object, argument: str) -> Connection:
    """Return the connection of a store of the caller's.

    Raises
    ------
    OptionError
        When it is none of S3, GCS or Azure.
    """
    for kind, store in zip(_KINDS, _STORES, strict=True):
        if isinstance(ready, store):
            found = cast("Store", ready)
            config = cast("dict[str, Any]", found.config)
            bucket = config.get("bucket") or config.get("container_name") or ""
            prefix = (found.prefix or "").strip("/")
            root = f"{kind}://{bucket}" + (f"/{prefix}" if prefix else "")
            return Connection(Address(kind, root, ""), StoreOptions(), found)
    expected = "an S3Store, GCSStore or AzureStore of obstore"
    raise OptionError(argument, expected, type(ready).__name__)


def missing(path: str) -> FileNotFoundError:
    """Return the error that there is no such file."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def said(error: BaseException) -> str:
    """Return what an error of obstore says, without its inside and without what may be secret."""
    text = redacted(" ".join(str(error).partition("\n\nDebug source:")[0].split()))
    return f"{_NO_CREDENTIALS}: {text}" if any(it in text for it in _IDENTITIES) else text


def _is_panic(error: BaseException) -> bool:
    return type(error).__name__ == "PanicException"


def _profile() -> Any:  # noqa: ANN401  # of a class that is imported where boto3 is there
    from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415

    return Boto3CredentialProvider()


_process: int | None = None


def check_process() -> None:
    """Refuse a process that was forked after a request: it lacks threads and would wait for ever.

    Raises
    ------
    ForkedProcessError
        In such a process.
    """
    global _process  # noqa: PLW0603  # of the process, as threads are
    _process = _process or os.getpid()
    if _process != os.getpid():
        library = "an object store"
        raise ForkedProcessError(library)
