"""The owner's file over the shipped one, node by node, so that each value keeps its file and line.

A partial file says only what differs: mappings are merged key by key, everything else is replaced. A whole
one, with providers, routes and a route for every decision, stands for itself, as every file once had to. A
provider that states its `kind` is the owner's from top to bottom; one that does not changes ours.
"""

import yaml

from settings.decisions import CLOUD, XAI, Decision

WHOLE = ("providers", "routes", "decisions")  # the sections that a whole file has, and that go together
_KEPT = "home"  # of a shipped provider that the owner replaces: whether such a server is one's own


def layered(shipped: yaml.MappingNode, owner: yaml.Node | None) -> yaml.Node:
    """The root node of the settings in effect. owner: None where there is no file, or an empty one.

    Where the owner's root is no mapping it is returned as it is: whoever reads it says so.
    """
    if owner is None:
        return shipped
    if not isinstance(owner, yaml.MappingNode):
        return owner
    owner = _with_route_renamed(owner)
    if is_whole(owner):
        shipped = _mapping(shipped, [pair for pair in shipped.value if pair[0].value not in WHOLE])
    return _merged(shipped, owner, ())


def is_whole(owner: yaml.MappingNode) -> bool:
    """Whether a file has all that a configuration needs by itself."""
    sections = _members(owner)
    decisions = sections.get("decisions")
    return (
        all(name in sections for name in WHOLE)
        and isinstance(decisions, yaml.MappingNode)
        and set(map(str, Decision)) <= set(_members(decisions))
    )


def unchanged_providers(shipped: yaml.MappingNode, owner: yaml.Node | None) -> set[str]:
    """The names of the shipped providers of which the owner's file says nothing, or nothing new."""
    ours, theirs = _providers(shipped), _providers(owner)
    return {name for name, node in ours.items() if name not in theirs or _value(node) == _value(theirs[name])}


def _providers(root: yaml.Node | None) -> dict[str, yaml.Node]:
    section = _members(root).get("providers") if isinstance(root, yaml.MappingNode) else None
    return _members(section) if isinstance(section, yaml.MappingNode) else {}


def _value(node: yaml.Node) -> object:
    """What two nodes have in common that say the same, wherever they stand. It can be hashed."""
    if isinstance(node, yaml.MappingNode):
        return frozenset((_value(name), _value(value)) for name, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        return tuple(map(_value, node.value))
    return node.tag, node.value


def calls_cloud_xai(owner: yaml.Node | None) -> bool:
    """Whether a file has a route `xai` and none called `cloud`, which is then the one that it means."""
    routes = _members(owner).get("routes") if isinstance(owner, yaml.MappingNode) else None
    names = _members(routes) if isinstance(routes, yaml.MappingNode) else {}
    return XAI in names and CLOUD not in names


def _merged(base: yaml.Node, over: yaml.Node, path: tuple[str, ...]) -> yaml.Node:
    """One node over another. path: the keys that lead to both. The owner's keys come first."""
    if not isinstance(base, yaml.MappingNode) or not isinstance(over, yaml.MappingNode):
        return over
    known = _members(base)
    if len(path) == 2 and path[0] == "providers" and "kind" in _members(over):
        known = {name: node for name, node in known.items() if name == _KEPT}
    pairs = [
        (name, _merged(known[name.value], node, (*path, name.value)) if name.value in known else node)
        for name, node in over.value
    ]
    given = {name.value for name, _ in over.value}
    left = [(name, node) for name, node in base.value if name.value in known and name.value not in given]
    return _mapping(over, pairs + left)


def _with_route_renamed(owner: yaml.MappingNode) -> yaml.MappingNode:
    """The owner's root with its route `xai` called `cloud`."""
    routes = _members(owner).get("routes")
    if not isinstance(routes, yaml.MappingNode) or not calls_cloud_xai(owner):
        return owner
    renamed = _mapping(routes, [(_named(name, CLOUD, XAI), node) for name, node in routes.value])
    return _mapping(owner, [(name, renamed if node is routes else node) for name, node in owner.value])


def _named(name: yaml.Node, new: str, old: str) -> yaml.Node:
    if not isinstance(name, yaml.ScalarNode) or name.value != old:
        return name
    return yaml.ScalarNode(name.tag, new, name.start_mark, name.end_mark)


def _members(mapping: yaml.MappingNode) -> dict[str, yaml.Node]:
    return {name.value: node for name, node in mapping.value if isinstance(name, yaml.ScalarNode)}


def _mapping(like: yaml.MappingNode, pairs: list[tuple[yaml.Node, yaml.Node]]) -> yaml.MappingNode:
    """A mapping of other pairs, at the place of one that was read."""
    return yaml.MappingNode(like.tag, pairs, like.start_mark, like.end_mark)
