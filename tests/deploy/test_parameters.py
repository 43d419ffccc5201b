"""A deployment's parameters: what is refused before AWS is asked, and what a stack keeps."""

from __future__ import annotations

import sys

import pytest

from deploy.__main__ import main
from deploy.errors import DeployError
from deploy.parameters import check_together, declared, effective, parse, request
from deploy.rules import check_rules
from deploy.upload import Templates

TEMPLATE = """
Parameters:
  Deployment: {Type: String}
  CodeVersion: {Type: String}
  Cidr: {Type: String, AllowedPattern: "[0-9./]+", Description: Who may reach it.}
  AllowedCidr: {Type: String, Default: 10.0.0.0/8}
  Nodes: {Type: Number, Default: 19, MinValue: 1, MaxValue: 100}
  Purchase: {Type: String, Default: spot, AllowedValues: [spot, on-demand]}
Resources:
  Queue: {Type: "AWS::SQS::Queue", Properties: {QueueName: !Sub "${Deployment}-x", Tags: !If [A, [!Ref B], !GetAtt C.D]}}
"""
KNOWN = declared(TEMPLATE)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        pytest.param("Nodes", "'Nodes' is refused: parameters are given as NAME=VALUE", id="no value"),
        pytest.param("Node=3", "Node is no parameter; did you mean Nodes?", id="near miss"),
        pytest.param("Zzz=3", "Zzz is no parameter; `python -m deploy parameters` lists them", id="unknown"),
        pytest.param("CodeVersion=1", "CodeVersion is refused: the command sets it by itself", id="the command's own"),
        pytest.param("Nodes=0", "Nodes='0' is refused: it should be a whole number from 1 to 100", id="too small"),
        pytest.param(
            "Nodes=many", "Nodes='many' is refused: it should be a whole number from 1 to 100", id="no number"
        ),
        pytest.param(
            "AllowedCidr=1.2.3.4/40",
            "AllowedCidr='1.2.3.4/40' is refused: '1.2.3.4/40' does not appear to be an IPv4 or IPv6 network",
            id="no range",
        ),
        pytest.param(f"Deployment={'é' * 2049}", "Deployment is refused: 4098 bytes; 4096 are the most", id="too long"),
        pytest.param("Cidr=all", "Cidr='all' is refused: Who may reach it.", id="pattern"),
        pytest.param("Purchase=x", "Purchase='x' is refused: it should be one of spot, on-demand", id="choice"),
    ],
)
def test_a_wrong_word_is_refused_with_what_to_do(word: str, message: str) -> None:
    """What the template would refuse, the command refuses at once, by the parameter's name."""
    with pytest.raises(DeployError) as caught:
        parse([word], KNOWN)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", ["1e2", "2.5", "5_0", " 5", "5\n", "\u0665", ""])
def test_a_number_is_plain_digits(value: str) -> None:
    """What Python would take for a number, but CloudFormation or a node's settings would not, is refused."""
    with pytest.raises(DeployError, match=r"^Nodes=.* is refused: it should be a whole number from 1 to 100$"):
        parse([f"Nodes={value}"], KNOWN)


def test_fewest_nodes_are_not_above_the_cap() -> None:
    """A deployment never asks for more nodes than its own cap."""
    check_together({"MinNodes": "9", "MaxNodes": "10"})
    with pytest.raises(DeployError, match=r"^MinNodes=11 is refused: it is more than MaxNodes=10$"):
        check_together({"MinNodes": "11", "MaxNodes": "10"})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        pytest.param("resnet19", "did you mean resnet18?", id="near miss"),
        pytest.param("nosuch", "`python -m deploy parameters` lists them", id="unknown"),
    ],
)
def test_a_model_that_no_node_knows_is_refused(name: str, hint: str) -> None:
    """Its nodes would fail at their boot; the choices are too many for the line that says so."""
    known = declared(Templates.read().main)
    assert parse(["Model=resnet18"], known) == {"Model": "resnet18"}
    with pytest.raises(DeployError) as caught:
        parse([f"Model={name}"], known)
    assert (
        str(caught.value) == f"Model='{name}' is refused: it is none of {len(known['Model'].allowed)} choices; {hint}"
    )


def test_the_command_lists_the_choices(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`parameters` names each value that a parameter with choices takes."""
    monkeypatch.setattr(sys, "argv", ["deploy", "parameters"])
    assert main() == 0
    listed = capsys.readouterr().out
    for entry in declared(Templates.read().main).values():
        assert not entry.allowed or f"\n    One of {', '.join(entry.allowed)}.\n" in listed


def test_a_value_may_hold_an_equals_sign() -> None:
    """Only the first one divides name and value."""
    assert parse(["Deployment=a=b"], KNOWN) == {"Deployment": "a=b"}


def test_a_new_stack_needs_what_has_no_default() -> None:
    """All missing values are named at once, with what they are for."""
    with pytest.raises(DeployError, match=r"^a value is missing: CodeVersion=….*Cidr=… \(Who may reach it\)$"):
        request({"Deployment": "blue"}, KNOWN, None)


def test_an_update_keeps_what_is_not_given() -> None:
    """Operators name what changes; all else stays as the stack has it, not as the template would have it."""
    had = {"Deployment": "blue", "CodeVersion": "1", "Cidr": "10.0.0.0/8", "Nodes": "5", "Gone": "x"}
    asked = request({"CodeVersion": "2"}, KNOWN, had)
    assert asked == [
        {"ParameterKey": "Deployment", "UsePreviousValue": True},
        {"ParameterKey": "CodeVersion", "ParameterValue": "2"},
        {"ParameterKey": "Cidr", "UsePreviousValue": True},
        {"ParameterKey": "Nodes", "UsePreviousValue": True},
    ]
    values = effective({"CodeVersion": "2"}, KNOWN, had)
    assert (values["CodeVersion"], values["Nodes"], values["Purchase"]) == ("2", "5", "spot")
    assert "Gone" not in values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"PublicNodes": "false"}, "Nodes without a way to the internet install nothing", id="nodes"),
        pytest.param({"PublicNodes": "true", "LoadBalancer": "true"}, "LoadBalancer=true needs Cert", id="balancer"),
    ],
)
def test_the_templates_rules_are_known_here(values: dict[str, str], message: str) -> None:
    """What does not go together is refused in the template's own words, before anything is uploaded."""
    template = Templates.read().main
    known = declared(template)
    with pytest.raises(DeployError, match=f"^{message}"):
        check_rules(template, effective(values, known, None))
    check_rules(template, effective({"NodeImage": "ami-1", "PublicNodes": "false"}, known, None))


def test_the_templates_defaults_pass_their_own_checks() -> None:
    """No parameter's default is one that the command would refuse."""
    known = declared(Templates.read().main)
    words = [f"{name}={entry.default}" for name, entry in known.items() if entry.default is not None]
    assert parse(words, known)
