"""What an object store is told: keys of object_store, sorted into what obstore takes them as."""

from __future__ import annotations

import importlib.util
import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from arrowimg.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

OPTION = "storage_options"
"""What callers call these."""

_PROFILE = "AWS_PROFILE"
_CLIENT_KEYS = frozenset(
    {
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "default_content_type",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "proxy_ca_certificate",
        "proxy_excludes",
        "proxy_url",
        "randomize_addresses",
        "read_timeout",
        "root_certificate",
        "timeout",
        "user_agent",
    }
)
_SECONDS_KEYS = frozenset({"connect_timeout", "pool_idle_timeout", "read_timeout", "timeout"})
_PREFIXES = {"s3": ("aws_",), "gs": ("google_",), "az": ("azure_",)}
_CONFIG_KEYS = {
    "s3": (
        *("access_key_id", "secret_access_key", "session_token", "token", "region", "bucket"),
        *("default_region", "endpoint", "endpoint_url", "skip_signature", "unsigned_payload"),
        *("virtual_hosted_style_request", "checksum_algorithm", "conditional_put"),
        *("copy_if_not_exists", "disable_tagging", "request_payer", "server_side_encryption"),
        *("sse_kms_key_id", "sse_bucket_key_enabled", "role_arn", "web_identity_token_file"),
        *("metadata_endpoint", "sts_endpoint"),
    ),
    "gs": (
        *("service_account", "service_account_path", "service_account_key", "bearer_token"),
        *("application_credentials", "base_url", "bucket", "skip_signature"),
    ),
    "az": (
        *("account_name", "account_key", "access_key", "client_id", "client_secret", "tenant_id"),
        *("authority_id", "sas_token", "sas_key", "bearer_token", "token", "endpoint"),
        *("use_emulator", "use_azure_cli", "skip_signature", "container_name", "msi_endpoint"),
        *("federated_token_file", "disable_tagging"),
    ),
}
"""Those that people use, for "did you mean"; which keys there are, obstore knows."""

_OWN_CREDENTIALS = (
    "access_key_id",
    "skip_signature",
    "role_arn",
    "web_identity_token_file",
    "container_credentials_relative_uri",
    "container_credentials_full_uri",
)


class StoreOptions(Struct, frozen=True):
    """Options of a store, sorted; their values are not shown.

    Attributes
    ----------
    config
        Of the store itself: credentials, region, endpoint.
    client
        Of its connections.
    retry
        Of how often it asks.
    """

    config: dict[str, str] = field(default_factory=dict)
    client: dict[str, str] = field(default_factory=dict)
    retry: dict[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        names = ", ".join(sorted({*self.config, *self.client, *self.retry}))
        return f"StoreOptions({names})"

    def for_polars(self) -> dict[str, Any]:
        """Return them as Polars takes them: all in one."""
        return {**self.config, **self.client, **self.retry}


def sort_options(kind: str, options: Mapping[str, object]) -> StoreOptions:
    """Return the options of a kind of store, sorted.

    Raises
    ------
    OptionError
        When one has a value that is no text, number or bool. Values are not repeated.
    """
    sorted_options = StoreOptions()
    for name, value in options.items():
        if not isinstance(name, str) or not isinstance(value, str | int | float):
            expected = "text, numbers and bools by their names"
            raise OptionError(OPTION, expected, f"{name} of {type(value).__name__}")
        key = _without_prefix(kind, name)
        if key == "max_retries":
            sorted_options.retry[key] = _whole(name, value)
        elif key in _CLIENT_KEYS:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            text = f"{value}s" if is_number and key in _SECONDS_KEYS else _text(value)
            sorted_options.client[key] = text
        else:
            sorted_options.config[name.lower()] = _text(value)
    stated = os.environ.get(f"{_PREFIXES[kind][0]}allow_http".upper())
    if stated is not None:
        # Of the environment obstore would take it only where it is told nothing of connections.
        sorted_options.client.setdefault("allow_http", stated.lower())
    return sorted_options


def unknown_key(kind: str, options: StoreOptions) -> OptionError:
    """Return the error that a store does not know one of these options."""
    known = [*_CONFIG_KEYS[kind], *_CLIENT_KEYS, "max_retries"]
    odd = [name for name in options.config if _without_prefix(kind, name) not in known]
    close = [it for name in odd for it in get_close_matches(_without_prefix(kind, name), known, 1)]
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    expected = f"options of object_store, as Polars takes them{meant}: {', '.join(known)}"
    return OptionError(OPTION, expected, odd or sorted(options.config))


def uses_profile(kind: str, options: StoreOptions) -> bool:
    """Tell whether credentials are to be those of an AWS profile, which boto3 reads.

    They are where nothing else is said: neither by options nor by the environment, but there is
    ``AWS_PROFILE``, or a file of profiles.

    Raises
    ------
    OptionError
        When ``AWS_PROFILE`` is set and boto3 is not there.
    """
    environment = {it.lower() for it in os.environ}
    given = {_without_prefix(kind, name) for name in options.config} | {
        it.removeprefix("aws_") for it in environment if it.startswith("aws_")
    }
    if kind != "s3" or given.intersection(_OWN_CREDENTIALS):
        return False
    profile = os.environ.get(_PROFILE, "")
    files = (
        os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"),
    )
    if not profile and not any(Path(file).expanduser().is_file() for file in files):
        return False
    if importlib.util.find_spec("boto3") is not None:
        return True
    if profile:
        expected = "boto3, which reads profiles: pip install boto3"
        raise OptionError(_PROFILE, expected, "no such package")
    return False


def _without_prefix(kind: str, name: str) -> str:
    key = name.lower()
    for prefix in _PREFIXES[kind]:
        key = key.removeprefix(prefix)
    return key


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _whole(name: str, value: object) -> int:
    try:
        return int(str(value))
    except ValueError as error:
        raise OptionError(OPTION, f"a whole number for {name}", "no number") from error
