"""How my_workflow.py is tested: three days in no time, people by a script, many schedules, and a death anywhere."""

from __future__ import annotations

import asyncio

import pytest
from my_workflow import DAY, Bank, refunds

from graflow_async import FeedbackTimeoutError
from graflow_async.testing import NOBODY, Answer, EventRecorder, Harness, ScriptedPeople, run_sync


def test_a_small_refund_is_paid_after_three_days() -> None:
    """`run_sync` runs a workflow in virtual time; the recorder knows what happened, and when."""
    bank, recorder = Bank(), EventRecorder()
    assert run_sync(refunds(bank, 20), listeners=[recorder]) == "paid, after 1 look"
    assert list(bank.payments.values()) == [20]
    recorder.assert_order("look_up", "approve", "wait_for_goods", "pay")
    recorder.assert_ran_once("look_up", "approve", "wait_for_goods", "pay")
    assert recorder.events[-1].at - recorder.events[0].at == pytest.approx(3 * DAY)


def test_a_closed_bank_is_asked_again() -> None:
    """Hours between attempts cost nothing either."""
    bank, recorder = Bank(failures=2), EventRecorder()
    run_sync(refunds(bank, 20), listeners=[recorder])
    recorder.assert_ran("pay", 3)
    assert list(bank.payments.values()) == [20]


def test_somebody_refuses() -> None:
    """People answer by a script; what is not in it is an error, and what was never asked, too."""
    bank = Bank()
    with ScriptedPeople({"Refund 500 euros?": Answer(value=False, after=2 * DAY, by="ann")}) as people:
        assert run_sync(refunds(bank, 500), feedback=people) == "refused"
    assert bank.payments == {}


def test_nobody_answers() -> None:
    """A deadline of a week is there at once."""
    with pytest.raises(FeedbackTimeoutError):
        run_sync(refunds(Bank(), 500), feedback=ScriptedPeople({"approve": NOBODY}))


@pytest.mark.graflow(schedules=50)
async def test_refunds_do_not_disturb_each_other(graflow: Harness) -> None:
    """The test is performed under fifty schedules; the loop is virtual, so that asyncio's own sleep takes no time."""
    bank = Bank()
    await asyncio.gather(*(graflow.run(refunds(bank, amount)) for amount in (10, 20, 30)))
    await asyncio.sleep(365 * DAY)
    assert sorted(bank.payments.values()) == [10, 20, 30]


@pytest.mark.graflow(schedules=3, crash="every-commit")
async def test_a_death_anywhere_pays_once(graflow: Harness) -> None:
    """Performed again for every commit of the journal, after which the process dies and the run is resumed."""
    bank = Bank(failures=1)
    people = graflow.answers({"approve": True})
    # A function instead of a workflow: a new process would draw it anew, and have nothing but the records.
    assert await graflow.run(lambda: refunds(bank, 500), feedback=people) == "paid, after 1 look"
    assert list(bank.payments.values()) == [500]
    assert graflow.repeated.total() <= 1, "what was under way runs again, and nothing else"
