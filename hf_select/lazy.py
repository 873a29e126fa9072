"""Public names of a package that load on first use (PEP 562), so that importing it stays light."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def lazily(package: str, public: Mapping[str, str]) -> None:
    """Let a package give each name of `public` from the module that it is mapped to.

    Some names are those of rooms as well as of functions (`recall`, `plan`). Python binds a room to
    its package when it is imported, which would hide the function: here the function stays, and
    `from hf_select.recall import ...` doesn't need the binding.
    """

    class Package(ModuleType):
        """The package's own module type."""

        def __getattr__(self, name: str) -> Any:
            if name not in public:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            found = getattr(import_module(public[name]), name)
            self.__dict__.setdefault(name, found)
            return found

        def __setattr__(self, name: str, value: Any) -> None:
            if not (name in public and isinstance(value, ModuleType)):
                super().__setattr__(name, value)

        def __dir__(self) -> list[str]:
            return sorted(self.__dict__.get("__all__", ()))

    sys.modules[package].__class__ = Package
