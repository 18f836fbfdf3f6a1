"""Modules that are loaded once another library is, without loading that library."""

from __future__ import annotations

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def load_after(library: str, module: str) -> None:
    """Load a module of ours now, where a library is loaded already, else right after it.

    Until then one entry more is in `sys.meta_path`, and it goes with the first import.
    """
    loaded = sys.modules.get(library)
    if loaded is None:
        sys.meta_path.insert(0, _Finder(library, module))
    elif not getattr(loaded.__spec__, "_initializing", False):
        importlib.import_module(module)


class _Finder(MetaPathFinder):
    def __init__(self, library: str, module: str) -> None:
        self._library, self._module = library, module
        self._is_asking = False

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what the other finders say of the library; nothing of any other module."""
        if name != self._library or self._is_asking:
            return None
        self._is_asking = True
        try:
            found = (finder.find_spec(name, path, target) for finder in sys.meta_path)
            spec = next((it for it in found if it is not None), None)
        finally:
            self._is_asking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self, self._module)
        return spec


class _Loader(Loader):
    """The library's own loader, which takes its place again before the library runs."""

    def __init__(self, loader: Loader, finder: _Finder, module: str) -> None:
        self._loader, self._finder, self._module = loader, finder, module

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return what the library's own loader makes."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the library, and then load our module."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        importlib.import_module(self._module)
