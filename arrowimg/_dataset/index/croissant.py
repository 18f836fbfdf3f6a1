"""The dataset described in Croissant 1.1: files with their SHA-256, pictures, and their rows.

Terms and context: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from msgspec import structs

from arrowimg._core.option_checks import check_option
from arrowimg._dataset.index.source import Format
from arrowimg._dataset.index.text import file_patterns, json_bytes
from arrowimg._format.sidecar import SIDECAR_SCHEMA

if TYPE_CHECKING:
    from arrowimg._dataset.index.source import File, Source
    from arrowimg._format.manifest import ShardEntry

_NAME = "croissant.json"

# The very terms that version 1.1 of mlcroissant takes for the standard; without some of them it
# finds no picture in a tar.
_TERMS = """
    arrayShape citeAs column containedIn equivalentProperty extract field fileProperty fileObject
    fileSet format includes isArray isLiveDataset jsonPath key md5 parentField path recordSet
    references regex repeated replace samplingRate separator source subField transform
""".split()  # noqa: SIM905  # five lines instead of thirty
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
} | {term: f"cr:{term}" for term in _TERMS}

_FORMATS = {"jpg": "jpeg", "tif": "tiff"}
_COLUMNS = {
    field.name: "sc:Text" if pa.types.is_string(field.type) else "sc:Integer"
    for field in SIDECAR_SCHEMA
    if not pa.types.is_binary(field.type)
}
"""Those that every sidecar has, without the checksums: Croissant has no type for bytes."""


def _croissant_index(source: Source) -> list[File]:
    """Return the description of a dataset. Its licence, url and creator only a person knows.

    Raises
    ------
    OptionError
        When the checksums of the dataset are not SHA-256, which Croissant asks for.
    """
    expected = (
        '"croissant" only of a dataset that was written with checksum="sha256", '
        "which arrowimg.reshard makes of any other"
    )
    check_option(source.listing.has_sha256, "formats", expected, "croissant")
    shards, tars = _measured(source), [shard.tar for shard in source.listing.shards]
    kept, others = source.listing.kept, source.listing.pictures
    of = "pictures" if kept or others else "JPEG pictures"
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": f"arrowimg-{source.listing.uuid}",
        "description": f"{source.listing.num_samples} {of} in {len(shards)} tar shards.",
        "distribution": [
            *(_file(it.tar, it.tar_nbytes, "application/x-tar", it.tar_checksum) for it in shards),
            *(
                _file(it.parquet, it.parquet_nbytes, "application/x-parquet", it.parquet_checksum)
                for it in shards
            ),
            _pictures("pictures", ["jpg", *kept], [*others], tars),
            *(_pictures(extension, [extension], [], tars) for extension in others),
            # Not contained in the files above, of which mlcroissant would take a Parquet apart.
            _file_set(
                "sidecars", "application/x-parquet", file_patterns(it.parquet for it in shards)
            ),
        ],
        "recordSet": [_samples(), _images()],
    }
    return [(_NAME, [json_bytes(document)])]


def _measured(source: Source) -> list[ShardEntry]:
    """Return the shards with sizes and checksums of their sidecars, which a manifest has."""
    if source.listing.has_manifest:
        return source.listing.shards
    shards = []
    for shard in source.listing.shards:
        file = source.storage.describe(shard.parquet, "sha256")
        found = {"parquet_nbytes": file.nbytes, "parquet_checksum": file.checksum}
        shards.append(structs.replace(shard, **found))
    return shards


def _file(name: str, nbytes: int, encoding: str, sha256: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{nbytes} B",
        "encodingFormat": encoding,
        "sha256": sha256,
    }


def _file_set(name: str, encoding: str | list[str], includes: list[str]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "encodingFormat": encoding,
        "includes": includes,
    }


def _pictures(
    name: str, extensions: list[str], others: list[str], tars: list[str]
) -> dict[str, Any]:
    """Return the set of the members of some extensions, but not of those that are longer."""
    endings = [it.rpartition(".")[2] for it in extensions]
    formats = [f"image/{_FORMATS.get(it, it)}" for it in endings]
    encoding = formats[0] if len(formats) == 1 else formats
    found = _file_set(name, encoding, [f"*.{it}" for it in extensions])
    longer = [it for it in others if it.rpartition(".")[2] in extensions]
    if longer:
        found["cr:excludes"] = [f"*.{extension}" for extension in longer]
    return found | {"containedIn": [{"@id": tar} for tar in tars]}


def _samples() -> dict[str, Any]:
    fields = [
        _field("samples", name, kind, "sidecars", {"column": name})
        for name, kind in _COLUMNS.items()
    ]
    description = "One row per sample; a row with an error has no picture."
    return _record_set("samples", description, fields)


def _images() -> dict[str, Any]:
    name = _field("images", "member_name", "sc:Text", "pictures", {"fileProperty": "fullpath"})
    name["references"] = {"fileSet": {"@id": "sidecars"}, "extract": {"column": "member_name"}}
    content = {"fileProperty": "content"}
    fields = [
        _field("images", "content", "sc:ImageObject", "pictures", content),
        name,
        _field("images", "image_id", "sc:Text", "sidecars", {"column": "image_id"}),
    ]
    return _record_set("images", "One record per picture.", fields)


def _record_set(name: str, description: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "field": fields,
    }


def _field(
    record_set: str, name: str, kind: str, file_set: str, extract: dict[str, str]
) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": f"{record_set}/{name}",
        "dataType": kind,
        "source": {"fileSet": {"@id": file_set}, "extract": extract},
    }


CROISSANT = Format(_croissant_index, (_NAME,))
