"""The API keeps to its own description under generated requests, fitting and unfitting ones."""

from __future__ import annotations

import asyncio
import itertools

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as openapi

from graflow_async.brokers.memory import MemoryBroker
from tests.ui.aids import AUTHORISED, SCHEMA, operated, put, question

CHECKS = [
    *(not_a_server_error, openapi.status_code_conformance, openapi.content_type_conformance),
    *(openapi.response_schema_conformance, openapi.negative_data_rejection, openapi.unsupported_method),
    *(openapi.ignored_auth,),
]
FOR_READING = [one for one in CHECKS if one is not openapi.negative_data_rejection]
KINDS = itertools.cycle(["approval", "text", "selection", "multi_selection", "custom"])
BROKER = MemoryBroker()
APP = operated(BROKER, docs=True)
# A stream of changes has no end; tests/ui/test_changes.py reads it.
DESCRIPTION = schemathesis.openapi.from_asgi("/api/openapi.json", APP).exclude(path="/api/events")


@pytest.mark.slow
@DESCRIPTION.parametrize()
@settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
def test_the_api_is_what_it_says(case: schemathesis.Case) -> None:
    """Every answer has a status, a type and a form that are described, and nothing fails inside."""
    # A parameter that was made wrong may be lost on its way into an address; bodies arrive as they were made.
    checks = CHECKS if case.method == "POST" else FOR_READING
    case.call_and_validate(headers=AUTHORISED, checks=checks)
    if "question_id" in case.path_parameters:
        # Once more for a question that exists; which kind of question is only known to the test.
        kind = next(KINDS)
        request = asyncio.run(put(BROKER, question(kind, schema=SCHEMA if kind == "custom" else None)))
        case.path_parameters["question_id"] = request.id
        case.call_and_validate(headers=AUTHORISED, checks=FOR_READING)
