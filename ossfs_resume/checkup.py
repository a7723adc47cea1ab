"""What works and what does not between this machine and a bucket, step by step.

A step that builds on one that failed is skipped. None waits longer than `STEP_S` but that for the
credentials, whose sources have deadlines of their own.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from math import inf

import trio

from ossfs_resume import checkup_local as local
from ossfs_resume import checkup_steps as steps
from ossfs_resume.checkup_steps import STEP_S, Findings, Limited, NothingToDo
from ossfs_resume.config import Options, Source
from ossfs_resume.errors import OssfsError
from ossfs_resume.origin import OriginSettings


class Outcome(StrEnum):
    """How a step ended. ``WARNING``: it works, but with a limit that should be known."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the report."""

    name: str
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A step to be taken, the names of those that it builds on, and how long it may take."""

    name: str
    run: Callable[[Findings], Awaitable[str]]
    needs: tuple[str, ...] = ()
    seconds: float = STEP_S
    remedy: str = "; check --endpoint, firewall and proxy"


PLAN = (
    Planned("/dev/fuse", local.open_device),
    Planned("fusermount3", local.look_for_helper),
    Planned("cache", local.look_at_cache, remedy="; does the disk hang?"),
    Planned("DNS", steps.ask_name_server),
    Planned("TCP", steps.connect, ("DNS",)),
    Planned("TLS", steps.start_tls, ("TCP",)),
    Planned("HTTP", steps.ask_anything, ("TLS",)),
    Planned("clock", steps.compare_clocks, ("HTTP",)),
    Planned("credentials", steps.find_credentials, seconds=inf),
    Planned("list", steps.list_objects, ("HTTP", "credentials")),
    Planned("head", steps.head_object, ("HTTP", "credentials")),
    Planned("ranged get", steps.get_range, ("head",)),
    Planned("CRC header", steps.look_for_checksum, ("ranged get",)),
)


async def check(
    source: Source, options: Options, settings: OriginSettings, report: Callable[[Step], None]
) -> bool:
    """Run all steps, telling ``report`` of each as it ends; True if nothing is wrong."""
    async with AsyncExitStack() as resources:
        findings = Findings(source, options, settings, resources)
        for plan in PLAN:
            step = await _outcome(plan, findings)
            report(Step(step.name, step.outcome, " ".join(step.text.split())))
    return not findings.causes


async def _outcome(plan: Planned, findings: Findings) -> Step:
    for cause in (findings.causes[need] for need in plan.needs if need in findings.causes):
        findings.causes[plan.name] = cause
        return Step(plan.name, Outcome.SKIPPED, f"because of {cause}")
    try:
        with trio.fail_after(plan.seconds):
            return Step(plan.name, Outcome.OK, await plan.run(findings))
    except Limited as limit:
        return Step(plan.name, Outcome.WARNING, str(limit))
    except NothingToDo as reason:
        return Step(plan.name, Outcome.SKIPPED, str(reason))
    except trio.TooSlowError:
        text = f"no answer within {plan.seconds:g} s{plan.remedy}"
    except OssfsError as error:
        text = str(error)
    findings.causes[plan.name] = plan.name
    return Step(plan.name, Outcome.WRONG, text)
