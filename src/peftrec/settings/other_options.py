"""Keys that the chosen option of a group lacks and others have: `data.root` beside the built-in data."""

from collections.abc import Mapping
from typing import Any, get_origin

from peftrec.config.choices import node_of, options
from peftrec.config.fields import entries_of
from peftrec.config.instantiate import fields_of_node


def options_with(key: str) -> list[str]:
    """Return the options of a key's group that have it, in their yaml or with a default of their class; those of this
    package alone. A default of null says nothing: such a field may belong to another choice (`rank` of an IISAN whose
    blocks are no low-rank ones)."""
    group, _, name = key.partition(".")
    return [option for option in options().get(group, []) if _has(node_of(group, option), name)]


def _has(node: Mapping[str, Any], name: str) -> bool:
    """Say whether a node may hold a key, or the mapping in which `name` has an entry (`texts.description`)."""
    mapping, _, entry = name.partition(".")
    field = fields_of_node(node).get(mapping) if entry else None
    is_entry = field is not None and get_origin(field.annotation) is dict
    return (mapping if is_entry else name) in _keys(node)


def _keys(node: Mapping[str, Any]) -> set[str]:
    fields = fields_of_node(node)
    said = {name: field for name, field in fields.items() if entries_of(field) is None}
    return {*node, *(name for name, field in said.items() if field.is_required() or field.default is not None)}
