"""Tokens for one question: what they are bound to, and everything that is no token."""

from __future__ import annotations

import ast
import base64
import inspect
import json
import random
import sys

import pytest

from graflow_async.codec.keys import Keyring
from graflow_async.errors import ConfigError
from graflow_async.ui import InvalidTokenError, access, question_token, tokens
from tests.ui.aids import KEY, NOW, question

OTHER_KEY = "signing-P4mBz7-qC1wEr5Ty8Ui2Op6As9Df3Gh"
KEYRING = Keyring.load(KEY)


def test_a_token_says_what_it_was_made_for() -> None:
    """Question, revision, actions, expiry and audience survive the way there and back."""
    request = question()
    made = question_token(request, KEY, actions=("answer", "cancel"), expires_in=60, audience="dana", now=NOW)
    grant = tokens.verify(made, KEYRING, now=NOW + 59)
    assert (grant.question_id, grant.revision) == (request.id, request.revision)
    assert (grant.actions, grant.expires_at, grant.audience) == (("answer", "cancel"), NOW + 60, "dana")


def test_a_token_is_for_the_assignee_unless_told() -> None:
    """Whoever a question was assigned to is who the token stands for."""
    made = question_token(question(assignee="kim"), KEY, now=NOW)
    assert tokens.verify(made, KEYRING, now=NOW).audience == "kim"


def test_an_expired_token_is_refused() -> None:
    """A token is good for its time, and not a moment longer."""
    made = question_token(question(), KEY, expires_in=60, now=NOW)
    with pytest.raises(InvalidTokenError, match="expired"):
        tokens.verify(made, KEYRING, now=NOW + 60)


def test_no_change_of_a_token_is_accepted() -> None:
    """Each character counts: none can be changed, dropped, doubled or swapped for another spelling."""
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    rng = random.Random(seed)
    made = question_token(question(), KEY, now=NOW)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    altered = {made[:i] + rng.choice(alphabet) + made[i + 1 :] for i in range(len(made))}
    altered |= {made[:i] + made[i + 1 :] for i in range(len(made))} | {made + one for one in alphabet}
    altered |= {made + "=", made + "==", " " + made, made + "\n", made.swapcase(), "", "A" * 50, "A" * 5000}
    for one in altered - {made}:
        with pytest.raises(InvalidTokenError):
            tokens.verify(one, KEYRING, now=NOW)


def test_the_content_cannot_be_rewritten() -> None:
    """Whoever can read a token still cannot give themselves more than it gives."""
    made = question_token(question(), KEY, now=NOW)
    raw = base64.urlsafe_b64decode(made + "=" * (-len(made) % 4))
    content = json.loads(raw[32:])
    for place, better in ((1, "0" * 32), (2, "f" * 16), (3, ["answer", "cancel"]), (4, int(NOW) * 2), (0, "other")):
        forged = list(content)
        forged[place] = better
        payload = json.dumps(forged, separators=(",", ":")).encode()
        with pytest.raises(InvalidTokenError):
            tokens.verify(base64.urlsafe_b64encode(raw[:32] + payload).rstrip(b"=").decode(), KEYRING, now=NOW)


def test_keys_are_rotated() -> None:
    """The first key signs and all verify; when the old one is taken away, its tokens are refused."""
    old = question_token(question(), KEY, now=NOW)
    new = question_token(question(), [OTHER_KEY, KEY], now=NOW)
    both, only_new = Keyring.load([OTHER_KEY, KEY]), Keyring.load(OTHER_KEY)
    assert tokens.verify(old, both, now=NOW) is not None
    assert tokens.verify(new, only_new, now=NOW) is not None
    with pytest.raises(InvalidTokenError):
        tokens.verify(old, only_new, now=NOW)


def test_the_key_of_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook that makes links and a server that takes them need no more than one variable in common."""
    monkeypatch.setenv("GRAFLOW_SECRET_KEY", KEY)
    assert tokens.verify(question_token(question(), now=NOW), KEYRING, now=NOW) is not None


@pytest.mark.parametrize("actions", [("fly",), (), "answer", ("answer", "ANSWER")])
def test_unknown_actions_are_refused(actions: tuple[str, ...]) -> None:
    """A token that allows nothing, or something that does not exist, is a mistake of whoever makes it."""
    with pytest.raises(ConfigError, match="answer, cancel"):
        question_token(question(), KEY, actions=actions)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_token_has_an_end(seconds: float) -> None:
    """There is no token for ever."""
    with pytest.raises(ConfigError, match="seconds"):
        question_token(question(), KEY, expires_in=seconds)


@pytest.mark.parametrize("key", ["short", "x" * 64, "changeme-changeme-changeme-changeme"])
def test_weak_keys_are_refused(key: str) -> None:
    """A key that can be guessed makes no tokens."""
    with pytest.raises(ConfigError):
        question_token(question(), key)


@pytest.mark.parametrize(("module", "secrets"), [(tokens, {"mac"}), (access, {"token", "_token"})])
def test_secrets_are_compared_in_constant_time(module: object, secrets: set[str]) -> None:
    """No secret is compared with `==`, which stops at the first difference; compare_digest is used instead."""
    syntax = ast.parse(inspect.getsource(module))  # pyright: ignore[reportArgumentType]
    calls = [ast.unparse(node.func).split(".")[-1] for node in ast.walk(syntax) if isinstance(node, ast.Call)]
    assert "compare_digest" in calls
    for node in ast.walk(syntax):
        if isinstance(node, ast.Compare) and any(isinstance(one, ast.Eq | ast.NotEq | ast.In) for one in node.ops):
            named = {ast.unparse(one).split(".")[-1] for one in (node.left, *node.comparators)}
            assert not named & secrets, ast.unparse(node)
