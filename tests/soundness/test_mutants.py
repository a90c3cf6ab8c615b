"""Every planted bug is found by a hunt, every hunt finds nothing in the package as it is."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest
from conftest import REPORT

from soundness import hunts, mutants, overcautious
from tests.tally import Tally

pytestmark = pytest.mark.usefixtures("one_thread")

BORDERS = ("border_certify", "border_interval", "border_lipschitz")


def _names(package: ModuleType) -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def _load(package: ModuleType, name: str) -> ModuleType:
    return importlib.import_module(f"{package.__name__}.{name}")


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    hunts.prepare()


def _line(config: pytest.Config, title: str) -> Tally:
    line = Tally(title)
    config.stash.setdefault(REPORT, []).append(line)
    return line


@pytest.fixture(scope="module")
def bugs(pytestconfig) -> Tally:
    """One line of the report for all planted bugs."""
    return _line(pytestconfig, "planted bugs")


@pytest.fixture(scope="module")
def timid(pytestconfig) -> Tally:
    """One line of the report for all certifiers that prove too little."""
    return _line(pytestconfig, "over-conservative certifiers")


def found(mutant: ModuleType, hunt: str) -> str | None:
    """What a hunt finds while a bug is planted; a hunt that only fails has found nothing."""
    with pytest.MonkeyPatch.context() as patch:
        mutant.plant(patch)
        finding = hunts.first_finding(hunt)
    return None if finding is None or finding.startswith(hunts.CRASHED) else finding


@pytest.mark.parametrize("hunt", hunts.names())
def test_sound_code_is_found_sound(hunt: str) -> None:
    assert hunts.first_finding(hunt) is None


@pytest.mark.parametrize("name", _names(mutants))
def test_a_planted_bug_is_found(name: str, bugs: Tally) -> None:
    mutant = _load(mutants, name)
    bugs["planted"] += 1
    if any(found(mutant, hunt) for hunt in mutant.HUNTS):
        bugs["found"] += 1
        return
    others = [hunt for hunt in hunts.names() if hunt not in mutant.HUNTS and found(mutant, hunt)]
    pytest.fail(
        f"{name}: its HUNTS find nothing; " + (f"{others} do" if others else "no hunt does")
    )


@pytest.mark.parametrize("name", _names(overcautious))
def test_a_certifier_that_proves_too_little_is_found_and_never_broken(
    name: str, timid: Tally, times
) -> None:
    mutant = _load(overcautious, name)
    timid["planted"] += 1
    assert any(found(mutant, hunt) for hunt in mutant.HUNTS)
    timid["found"] += 1
    borders = BORDERS[: times(3, 1)]
    with pytest.MonkeyPatch.context() as patch:
        mutant.plant(patch)
        broken = {hunt: hunts.first_finding(hunt) for hunt in borders}
    assert broken == dict.fromkeys(borders)


def test_there_are_enough_of_them() -> None:
    assert len(_names(mutants)) >= 40 and len(_names(overcautious)) >= 6
    for package in (mutants, overcautious):
        for name in _names(package):
            mutant = _load(package, name)
            assert mutant.__doc__ and set(mutant.HUNTS) <= set(hunts.names()), name


def test_a_mutant_leaves_nothing_behind() -> None:
    for name in ("factor_two_missing", "negate_keeps_the_ends", "eps_rounded_to_nearest"):
        mutant = _load(mutants, name)
        assert found(mutant, mutant.HUNTS[0])
        assert hunts.first_finding(mutant.HUNTS[0]) is None
