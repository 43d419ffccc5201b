"""Holds parameters against the main template's rules before anything is uploaded, as CloudFormation does afterwards. Pure.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import yaml

from deploy.errors import DeployError, one_line


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's functions, each as a mapping of its name to its arguments."""


def _function(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)  # noqa: S101 - YAML has three kinds of nodes
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _function)

FUNCTIONS: Mapping[str, Callable[[list[Any]], bool]] = {
    "Equals": lambda given: given[0] == given[1],
    "Not": lambda given: not given[0],
    "And": all,
    "Or": any,
}


def document(template: str) -> dict[str, Any]:
    """Return a template with its functions as mappings."""
    loaded: dict[str, Any] = yaml.load(template, Loader=_Loader)  # noqa: S506 - a SafeLoader that knows more tags
    return loaded


def check_rules(template: str, values: Mapping[str, str]) -> None:
    """Hold all parameters' values against the rules.

    Raises:
        DeployError: a rule is broken; the message is the rule's own.
    """
    for rule in document(template).get("Rules", {}).values():
        if not _holds(rule.get("RuleCondition", True), values):
            continue
        for assertion in rule["Assertions"]:
            if not _holds(assertion["Assert"], values):
                raise DeployError(one_line(assertion["AssertDescription"]))


def _holds(expression: Any, values: Mapping[str, str]) -> Any:
    if not isinstance(expression, dict):
        return expression
    ((name, given),) = expression.items()
    if name == "Ref":
        return values.get(given, "")
    return FUNCTIONS[name]([_holds(part, values) for part in given])
