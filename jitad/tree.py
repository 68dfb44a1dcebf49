"""Nested containers of arrays: tuples, lists, dicts, named tuples, dataclasses.

`flatten` and `unflatten` are all that the rest of the house knows of containers
(by way of optree).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import optree
from optree import PyTreeSpec

from .errors import InputError

Tree = Any
NAMESPACE = "jitad"


def _register_dataclass(kind: type) -> None:
    names = tuple(f.name for f in dataclasses.fields(kind))

    def children(value: Any) -> tuple[tuple[Any, ...], None, tuple[str, ...]]:
        return tuple(getattr(value, n) for n in names), None, names

    def rebuild(_: Any, parts: Any, /) -> Any:
        made = object.__new__(kind)
        for name, part in zip(names, parts, strict=True):
            object.__setattr__(made, name, part)
        return made

    optree.register_pytree_node(kind, children, rebuild, namespace=NAMESPACE)


def flatten(tree: Tree) -> tuple[list[Any], PyTreeSpec]:
    """The leaves of a tree in order, and its structure."""
    leaves, spec = optree.tree_flatten(tree, namespace=NAMESPACE)
    kinds = {type(x) for x in leaves if _plain_dataclass(x)}
    if kinds:
        for kind in kinds:
            _register_dataclass(kind)
        return flatten(tree)
    return leaves, spec


def _plain_dataclass(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def unflatten(spec: PyTreeSpec, leaves: list[Any] | tuple[Any, ...]) -> Tree:
    """The tree of a structure with the given leaves."""
    return optree.tree_unflatten(spec, leaves)


def transform(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """A tree of the same structure, function applied to every leaf."""
    leaves, spec = flatten(tree)
    return unflatten(spec, [function(x) for x in leaves])


def only_tuples(structure: Any) -> bool:
    """Whether a tree of ints has no containers but plain tuples."""
    if type(structure) is tuple:
        return all(map(only_tuples, structure))
    return type(structure) is int


def paths(tree: Tree) -> list[str]:
    """Where each leaf lies, as a Python expression suffix such as [0]['a']."""
    flatten(tree)
    accessors = optree.tree_accessors(tree, namespace=NAMESPACE)
    return [a.codify("") for a in accessors]


def argument_names(spec: PyTreeSpec) -> list[str]:
    """What the leaves of (args, kwargs) are called in an error message."""
    found = paths(unflatten(spec, list(range(spec.num_leaves))))
    return [("args" if p.startswith("[0]") else "kwargs") + p[3:] for p in found]


def broadcast_prefix(prefix: Tree, tree: Tree) -> list[Any]:
    """The leaves of a prefix tree, repeated for every leaf of tree below them.

    None in the prefix is a leaf (it says: this argument has no batch axis).
    """
    if prefix is None or hasattr(prefix, "__index__"):
        return [prefix] * len(flatten(tree)[0])
    if isinstance(prefix, list | tuple) and isinstance(tree, list | tuple):
        if len(prefix) != len(tree):
            raise InputError(
                f"in_axes or out_axes has {len(prefix)} entries for {len(tree)} "
                "arguments or results; give one for each, or one integer for all"
            )
        return [
            x for p, t in zip(prefix, tree, strict=True) for x in broadcast_prefix(p, t)
        ]
    if isinstance(prefix, dict) and isinstance(tree, dict) and prefix.keys() == {*tree}:
        return [x for k in sorted(tree) for x in broadcast_prefix(prefix[k], tree[k])]
    shown = f"a dict of {list(tree)}" if isinstance(tree, dict) else type(tree).__name__
    raise InputError(
        f"in_axes or out_axes has {prefix!r} for {shown}; expected an integer, None, "
        "or a tree of them like that"
    )


def prefix_leaves(prefix: Tree) -> list[Any]:
    """The leaves of a prefix tree, None among them."""
    return optree.tree_leaves(prefix, none_is_leaf=True, namespace=NAMESPACE)
