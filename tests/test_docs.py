"""The documents tell the truth about the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from local.host import HostSettings
from local.settings import LocalSettings
from scaler.settings import ScalerSettings
from tasks.environment import EnvironmentSettings
from tasks.node.settings import NodeSettings
from tasks.settings import Settings
from webapp.settings import WebSettings

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = (Settings, WebSettings, ScalerSettings, NodeSettings, LocalSettings, HostSettings)


def documented() -> dict[str, str]:
    """Return the default of each setting in the README's tables by name."""
    rows = re.findall(r"^\| `([A-Z_0-9]+)` \| (.*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    return {name: default.strip("`") for name, default in rows}


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_setting_is_documented_with_its_default(settings: type[EnvironmentSettings]) -> None:
    """The README's table names each setting and the default that the code has."""
    expected = {
        str(field.alias): str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
        for field in settings.model_fields.values()
        if not isinstance(field.default, Path)
    }
    shown = documented()
    assert {name: shown.get(name) for name in expected} == expected


def test_no_setting_is_documented_that_does_not_exist() -> None:
    """A setting that is gone from the code is gone from the README."""
    known = {str(field.alias) for settings in SETTINGS for field in settings.model_fields.values()}
    assert set(documented()) - known == set()


def test_every_make_target_of_the_readme_exists() -> None:
    """What the README tells people to type works."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", (ROOT / "README.md").read_text())) <= targets
