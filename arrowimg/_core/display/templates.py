"""Templates: values to HTML, everything escaped that comes from a value."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from arrowimg.errors import MissingDependencyError, printable

if TYPE_CHECKING:
    from jinja2 import Environment


def render(package: str, template: str, values: dict[str, Any]) -> str:
    """Return the HTML of a template.

    Parameters
    ----------
    package
        Dotted name of the package whose folder ``page`` has it.
    template
        Its file name.
    values
        What it shows; texts are escaped by the template.

    Raises
    ------
    MissingDependencyError
        When Jinja2 is not installed.
    """
    return _environment(package).get_template(template).render(values)


def source_text(package: str, name: str) -> str:
    """Return a file of the folder ``page`` as it is: a script, or a style.

    Raises
    ------
    MissingDependencyError
        When Jinja2 is not installed.
    """
    environment = _environment(package)
    assert environment.loader is not None  # noqa: S101  # made with one
    return environment.loader.get_source(environment, name)[0]


def shown_text(value: object, most: int = 120) -> str:
    """Return a value on one line, without control characters, cut where it is long."""
    text = value.hex() if isinstance(value, bytes) else str(value)
    cut = printable(text[:most])
    return cut if len(text) <= most else f"{cut}…"


@functools.cache
def _environment(package: str) -> Environment:
    try:
        import jinja2  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        feature, extra = "looking at pictures", "view"
        raise MissingDependencyError(feature, extra) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown_text
    return environment
