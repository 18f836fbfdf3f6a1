"""Tasks, tables with the names that a pipeline gives them; and stages, which work on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, Self, TypeVar

import msgspec
import pyarrow as pa
from msgspec import Struct, field

from arrowimg.errors import SourceError


class Task(Struct, frozen=True, eq=False):
    """A table with the names that a pipeline gives it. Immutable; equal where the data is equal."""

    data: pa.Table
    dataset_name: str = ""
    task_id: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.data, pa.Table):
            expected = f"a pyarrow.Table as data (see {type(self).__name__}.from_table)"
            raise SourceError(expected, type(self.data).__qualname__)
        for name, kind in (("dataset_name", str), ("task_id", str), ("metadata", dict)):
            value = getattr(self, name)
            if not isinstance(value, kind):
                expected = f"a {kind.__name__} as {name}"
                raise SourceError(expected, f"{type(value).__qualname__} {value!r}")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(
            getattr(self, name) == getattr(other, name) for name in self.__struct_fields__
        )

    __hash__ = None  # type: ignore[assignment]  # holds a table, which has no hash

    def to_msgpack(self) -> bytes:
        """Return the task as msgpack bytes, the table inside as an Arrow IPC stream (copied)."""
        return msgspec.msgpack.encode(self, enc_hook=_encode_table)

    @classmethod
    def from_msgpack(cls, data: bytes) -> Self:
        """Return the task that `to_msgpack` wrote.

        Raises
        ------
        msgspec.ValidationError
            When the bytes are another task's.
        """
        return msgspec.msgpack.decode(data, type=cls, dec_hook=_decode_table)


def _encode_table(value: object) -> memoryview:
    if not isinstance(value, pa.Table):
        expected = "metadata of plain Python values"
        raise SourceError(expected, type(value).__qualname__)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, value.schema) as writer:
        writer.write_table(value)
    return memoryview(sink.getvalue())


def _decode_table(kind: type, value: Any) -> pa.Table:  # noqa: ANN401  # msgspec's hook
    if kind is not pa.Table:
        raise NotImplementedError(kind)  # how msgspec is told that a hook does not know a type
    return pa.ipc.open_stream(pa.py_buffer(value)).read_all()


In = TypeVar("In")
Out = TypeVar("Out")


class ProcessingStage(ABC, Generic[In, Out]):
    """A step of a pipeline: turns one task into another and keeps nothing in between."""

    name: ClassVar[str]

    @abstractmethod
    def inputs(self) -> tuple[list[str], list[str]]:
        """Return the task attributes, and the columns of its data, that the stage reads."""

    @abstractmethod
    def outputs(self) -> tuple[list[str], list[str]]:
        """Return the task attributes, and the columns of its data, that the stage makes."""

    @abstractmethod
    def process(self, task: In) -> Out:
        """Turn one task into another."""
