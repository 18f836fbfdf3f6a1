"""Buckets as others see them: by boto3, and by Microsoft's own client."""

from __future__ import annotations

import contextlib
from contextlib import suppress
from typing import Any, Protocol

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's; everybody has them."""


class Bucket(Protocol):
    """What the tests do to a bucket."""

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """Return the bytes of all objects below a prefix, by the rest of their keys."""
        ...

    def put(self, key: str, data: bytes, metadata: dict[str, str] | None = None) -> None:
        """Have an object be there, whatever was before."""
        ...

    def metadata(self, key: str) -> dict[str, str]:
        """Return an object's own metadata."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object."""
        ...

    def drop(self) -> None:
        """Remove the bucket and all that is in it."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class S3Bucket:
    """A bucket of an S3 server."""

    def __init__(self, port: int, name: str, *, has_keys: bool = True) -> None:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        signed: dict[str, Any] = {} if has_keys else {"signature_version": UNSIGNED}
        config = Config(retries={"max_attempts": 2}, s3={"addressing_style": "path"}, **signed)
        self.name = name
        self._client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id="key",
            aws_secret_access_key="secret",  # noqa: S106  # of a server of the tests
            region_name="us-east-1",
            config=config,
        )
        with contextlib.suppress(
            self._client.exceptions.BucketAlreadyOwnedByYou,
            self._client.exceptions.BucketAlreadyExists,
        ):
            self._client.create_bucket(Bucket=name)

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix
        )
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        return {key.removeprefix(prefix).lstrip("/"): self._get(key) for key in keys}

    def put(self, key: str, data: bytes, metadata: dict[str, str] | None = None) -> None:
        self._client.put_object(Bucket=self.name, Key=key, Body=data, Metadata=metadata or {})

    def metadata(self, key: str) -> dict[str, str]:
        found: dict[str, str] = self._client.head_object(Bucket=self.name, Key=key)["Metadata"]
        return found

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self.name, Key=key)

    def drop(self) -> None:
        is_empty = False
        while not is_empty:
            for key in self.objects():
                self.delete(key)
            # Whoever writes to it may be quicker.
            with suppress(self._client.exceptions.ClientError):
                self._client.delete_bucket(Bucket=self.name)
                is_empty = True

    def close(self) -> None:
        self._client.close()

    def _get(self, key: str) -> bytes:
        body: bytes = self._client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return body


class AzureBucket:
    """A container of Azurite."""

    def __init__(self, port: int, name: str) -> None:
        from azure.core.exceptions import ResourceExistsError
        from azure.storage.blob import ContainerClient

        url = f"http://127.0.0.1:{port}/{ACCOUNT}"
        key = {"account_name": ACCOUNT, "account_key": KEY}
        self.name = name
        self._client = ContainerClient(url, name, credential=key)
        with contextlib.suppress(ResourceExistsError):
            self._client.create_container()

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        names = list(self._client.list_blob_names(name_starts_with=prefix))
        return {
            name.removeprefix(prefix).lstrip("/"): self._client.download_blob(name).readall()
            for name in names
        }

    def put(self, key: str, data: bytes, metadata: dict[str, str] | None = None) -> None:
        self._client.upload_blob(key, data, metadata=metadata, overwrite=True)

    def metadata(self, key: str) -> dict[str, str]:
        found = self._client.get_blob_client(key).get_blob_properties().metadata
        return dict(found)

    def delete(self, key: str) -> None:
        self._client.delete_blob(key)

    def drop(self) -> None:
        self._client.delete_container()

    def close(self) -> None:
        self._client.close()
