"""Conditional branching: which task runs next is an `if`, a `match` or a lookup, decided by the data."""

from __future__ import annotations

import asyncio
import csv
import json
from enum import Enum
from itertools import groupby
from pathlib import Path
from statistics import mean, median
from typing import Any

from graflow_async import TaskExecutionContext, flow, task

DATA = Path(__file__).parent / "data"
REVIEW_ABOVE = 5000

Row = tuple[float | None, float | None]


# -- quality-based routing ------------------------------------------------------------------------------------


class DataQuality(Enum):
    """What the routing goes by."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INVALID = "invalid"


def number(text: str, low: float, high: float) -> float | None:
    """Read a number; None if it is none, or cannot be true."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if low <= value <= high else None


@task
def load_surveys() -> dict[str, list[Row]]:
    """Read the rows of each site; what is missing or cannot be true is None."""
    rows = csv.DictReader((DATA / "surveys.csv").read_text().splitlines())
    return {
        site: [(number(row["celsius"], -60, 60), number(row["humidity"], 0, 100)) for row in of_site]
        for site, of_site in groupby(rows, lambda row: row["site"])
    }


@task
async def assess_data_quality(rows: list[Row]) -> DataQuality:
    """Judge by the share of fields that can be used."""
    share = mean(value is not None for row in rows for value in row)
    if share >= 0.9:
        return DataQuality.HIGH
    if share >= 0.7:
        return DataQuality.MEDIUM
    return DataQuality.LOW if share >= 0.5 else DataQuality.INVALID


@task
async def fast_track_processing(rows: list[Row]) -> str:
    """Take the rows as they are."""
    return f"fast track: {mean(celsius for celsius, _ in rows):.2f} °C"


@task
async def standard_processing(rows: list[Row]) -> str:
    """Leave incomplete rows out."""
    complete = [row for row in rows if None not in row]
    return f"standard: {mean(celsius for celsius, _ in complete):.2f} °C, {len(complete)} of {len(rows)} rows"


@task
async def remediation_processing(rows: list[Row]) -> str:
    """Fill gaps with the median first."""
    known = [celsius for celsius, _ in rows if celsius is not None]
    filled = [median(known) if celsius is None else celsius for celsius, _ in rows]
    return f"remediation: {mean(filled):.2f} °C, {len(rows) - len(known)} gaps filled"


@task
async def route(rows: list[Row]) -> str:
    """Choose the processing of one site. Exactly one of the branches becomes a child of this task."""
    match await assess_data_quality(rows):
        case DataQuality.HIGH:
            return await fast_track_processing(rows)
        case DataQuality.MEDIUM:
            return await standard_processing(rows)
        case DataQuality.LOW:
            return await remediation_processing(rows)
        case DataQuality.INVALID:
            return "rejected"


@flow
async def quality_routing() -> None:
    """Route all sites at once: a branch inside a mapped task."""
    surveys = await load_surveys()
    for site, outcome in zip(surveys, await route.map(surveys.values()), strict=True):
        print(f"{site}: {outcome}")


# -- multi-stage conditionals: a plain `def` flow -------------------------------------------------------------


@task
def load_transactions() -> list[dict[str, Any]]:
    """Read the transactions of the day."""
    return json.loads((DATA / "transactions.json").read_text())


@task
def validate_transaction(transaction: dict[str, Any]) -> str | None:
    """Say what is wrong with a transaction."""
    if transaction["amount"] <= 0:
        return "invalid amount"
    return "insufficient funds" if transaction["amount"] > transaction["balance"] else None


@task
def review(transaction: dict[str, Any]) -> bool:
    """Approve a large transaction if less than half of the balance goes."""
    return transaction["amount"] * 2 < transaction["balance"]


@task
def decline(transaction: dict[str, Any], reason: str) -> str:
    """End one way."""
    return f"#{transaction['id']} declined: {reason}"


@task
def settle(transaction: dict[str, Any], remark: str = "") -> str:
    """End the other way."""
    return f"#{transaction['id']} settled: {transaction['amount']}{remark}"


@flow
def process_transactions() -> list[str]:
    """Decide in up to three stages; calls in a `def` flow run at once, so `if` sees values."""
    outcomes = []
    for transaction in load_transactions():
        problem = validate_transaction(transaction)
        if problem is not None:
            outcomes.append(decline(transaction, problem))
        elif transaction["amount"] <= REVIEW_ABOVE:
            outcomes.append(settle(transaction))
        elif review(transaction):
            outcomes.append(settle(transaction, remark=" (after review)"))
        else:
            outcomes.append(decline(transaction, "review"))
    return outcomes


# -- feature flags --------------------------------------------------------------------------------------------


@task
async def dashboard(account: dict[str, str]) -> str:
    """Do what the flag is for."""
    return f"dashboard of {account['name']}"


@task
async def support_line(account: dict[str, str]) -> str:
    """Do what the flag is for."""
    return f"support in the {account['region']}"


@task
async def privacy_notice(account: dict[str, str]) -> str:
    """Do what the flag is for."""
    return f"notice under {account['region']} law"


@task
async def bulk_export(account: dict[str, str]) -> str:
    """Do what the flag is for."""
    return f"export for {account['plan']}"


FEATURES = {feature.id: feature for feature in (dashboard, support_line, privacy_notice, bulk_export)}


def is_on(flag: dict[str, list[str]], account: dict[str, str]) -> bool:
    """Say whether a flag is meant for an account."""
    return account["plan"] in flag["plans"] and account["region"] in flag.get("regions", [account["region"]])


@task
def load_flags() -> dict[str, dict[str, list[str]]]:
    """Read what is on for whom."""
    return json.loads((DATA / "flags.json").read_text())


@task
def load_accounts() -> list[dict[str, str]]:
    """Read who there is."""
    return list(csv.DictReader((DATA / "accounts.csv").read_text().splitlines()))


@flow
async def enable_features(ctx: TaskExecutionContext, account: dict[str, str]) -> list[str]:
    """Start a child for each flag that is on and has a task; they run at once, their results keep the flags' order."""
    flags = await load_flags()
    handles = [
        ctx.submit(FEATURES[name], account) for name, flag in flags.items() if name in FEATURES and is_on(flag, account)
    ]
    return [await handle for handle in handles]


@flow
async def feature_flags() -> None:
    """Run a flow of its own for each account, all at the same time."""
    accounts = await load_accounts()
    enabled = await asyncio.gather(*(enable_features(account) for account in accounts))
    for account, features in zip(accounts, enabled, strict=True):
        print(f"{account['name']} ({account['plan']}, {account['region']}): {'; '.join(features) or 'nothing extra'}")


def main() -> None:
    """Run the three patterns."""
    print("=== Quality-Based Routing ===")
    asyncio.run(quality_routing.run())
    print("\n=== Multi-Stage Conditionals ===")
    for outcome in process_transactions():
        print(outcome)
    print("\n=== Feature Flags ===")
    asyncio.run(feature_flags.run())


if __name__ == "__main__":
    main()
