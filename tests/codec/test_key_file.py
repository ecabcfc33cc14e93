"""The key that a machine makes for itself: made once, by whoever is first, and refused when others had access."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from graflow_async.codec import Keyring, generate_key
from graflow_async.errors import ConfigError, SecurityError

ROOT = Path(__file__).resolve().parents[2]
LOAD_WHEN_TOLD = """
import sys
from graflow_async.codec import Keyring
print("ready", flush=True)
sys.stdin.readline()
ring = Keyring.load(path=sys.argv[1], env={})
print(ring.active, ring.derive("journal").hex(), ring.is_local)
"""


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def made(tmp_path):
    """Give the path of a key file that was made in the regular way."""
    path = tmp_path / "state" / "key"
    Keyring.load(path=path, env={})
    return path


def test_the_file_is_made_once_and_private(tmp_path):
    """The first load makes a key that only its owner can read, the next ones give the same."""
    path = tmp_path / "deep" / "state" / "key"
    first = Keyring.load(path=path, env={})
    again = Keyring.load(path=path, env={})
    assert first.is_local
    assert again.is_local
    assert first.active == again.active
    assert first.derive("journal") == again.derive("journal")
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["key"]
    assert Keyring.load(path.read_text(), env={}).active == first.active


def test_each_machine_makes_another_key(tmp_path):
    """Two files that were made apart hold different keys."""
    rings = [Keyring.load(path=tmp_path / name / "key", env={}) for name in ("a", "b")]
    assert rings[0].active != rings[1].active


@pytest.mark.parametrize(
    ("env", "place"),
    [
        ({"XDG_STATE_HOME": "{}/xdg", "HOME": "{}/home"}, "xdg/graflow_async/key"),
        ({"XDG_STATE_HOME": "relative", "HOME": "{}/home"}, "home/.local/state/graflow_async/key"),
        ({"XDG_STATE_HOME": "", "HOME": "{}/home"}, "home/.local/state/graflow_async/key"),
        ({"HOME": "{}/home"}, "home/.local/state/graflow_async/key"),
    ],
)
def test_the_default_place_is_the_users_state(tmp_path, env, place):
    """The file is below $XDG_STATE_HOME if that is an absolute path, else below ~/.local/state."""
    ring = Keyring.load(env={name: value.format(tmp_path) for name, value in env.items()})
    assert ring.is_local
    assert (tmp_path / place).is_file()
    assert mode((tmp_path / place).parent) == 0o700


def test_without_any_home_the_error_says_what_to_set(monkeypatch):
    """A process without a home folder is told to set a key."""
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(ConfigError, match=r"no home folder.*GRAFLOW_SECRET_KEY"):
        Keyring.load(env={})


def test_no_file_is_made_when_keys_are_given(tmp_path):
    """Whoever has keys of their own gets no file."""
    for keys, env in ((generate_key(), {}), (None, {"GRAFLOW_SECRET_KEY": generate_key()})):
        assert not Keyring.load(keys, path=tmp_path / "key", env=env).is_local
    assert list(tmp_path.iterdir()) == []


def test_processes_that_start_at_once_get_one_key(tmp_path):
    """Of several processes that make the file at one moment all end with the same key, and nothing is left over."""
    path = tmp_path / "state" / "key"
    command = [sys.executable, "-c", LOAD_WHEN_TOLD, str(path)]
    pipe = subprocess.PIPE
    children = [subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for _ in range(6)]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        answers = set()
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        for child in children:
            answers.add(child.communicate(timeout=60)[0])
            assert child.returncode == 0
    finally:
        for child in children:
            child.kill()
            child.communicate()
    ring = Keyring.load(path=path, env={})
    assert answers == {f"{ring.active} {ring.derive('journal').hex()} True\n"}
    assert [entry.name for entry in path.parent.iterdir()] == ["key"]


def test_whoever_comes_second_takes_the_key_that_is_there(tmp_path, monkeypatch):
    """A key that appears between looking and making counts; the own draft is thrown away."""
    path = tmp_path / "key"
    link = os.link

    def late(draft, target):
        other = tmp_path / "other"
        other.write_text(f"{generate_key()}\n")
        other.chmod(0o600)
        link(other, target)
        other.unlink()
        link(draft, target)

    monkeypatch.setattr("os.link", late)
    ring = Keyring.load(path=path, env={})
    assert ring.active == Keyring.load(path.read_text()).active
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o644, 0o610, 0o601])
def test_a_file_that_others_may_open_is_refused(made, bits):
    """Any right of others on the key file is an error that gives the command which mends it."""
    made.chmod(bits)
    with pytest.raises(SecurityError, match=f"chmod 600 {made}"):
        Keyring.load(path=made, env={})
    made.chmod(0o400)
    assert Keyring.load(path=made, env={}).is_local


def test_a_folder_that_others_may_write_is_refused(made):
    """Others could put their own key there; a sticky folder, such as a temporary one, does not let them."""
    made.parent.chmod(0o777)
    with pytest.raises(SecurityError, match=f"chmod go-w {made.parent}"):
        Keyring.load(path=made, env={})
    made.parent.chmod(0o1777)
    assert Keyring.load(path=made, env={}).is_local


def test_a_file_of_somebody_else_is_refused(made, monkeypatch):
    """A key that another user put there is not used."""
    monkeypatch.setattr("os.geteuid", lambda: made.stat().st_uid + 1)
    if made.stat().st_uid == 0:
        os.chown(made, 12_345, -1)
    with pytest.raises(SecurityError, match="another user"):
        Keyring.load(path=made, env={})


def test_a_link_in_the_place_of_the_file_is_refused(made, tmp_path):
    """A symbolic link, whole or dangling, is not followed."""
    for target in (made, tmp_path / "nowhere"):
        link = tmp_path / f"link to {target.name}"
        link.symlink_to(target)
        with pytest.raises(SecurityError, match="symbolic link"):
            Keyring.load(path=link, env={})
    assert not (tmp_path / "nowhere").exists()


def test_what_is_no_plain_file_is_refused(tmp_path):
    """A folder or a pipe in the place of the file is an error at once, never a wait."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("folder", "pipe"):
        with pytest.raises(SecurityError, match="no plain file"):
            Keyring.load(path=tmp_path / name, env={})


@pytest.mark.parametrize("content", [b"", b"\n", b"cut short\n", b"changeme" * 8])
def test_a_damaged_file_is_said_to_be_damaged(made, content):
    """A file without a usable key is not replaced in silence: what was signed with the lost key would be unreadable."""
    made.write_bytes(content)
    with pytest.raises(SecurityError, match=r"damaged.*delete it"):
        Keyring.load(path=made, env={})
    assert made.read_bytes() == content


@pytest.mark.parametrize("content", [b"\xff" * 64, b"x" * 20_000])
def test_a_file_with_something_else_is_refused(made, content):
    """A file that holds no keys at all is read within bounds and refused."""
    made.write_bytes(content)
    with pytest.raises(SecurityError, match="something else than keys"):
        Keyring.load(path=made, env={})


def test_the_local_key_can_be_rotated(made):
    """A new key in front of the old one in the file signs from then on, and the old one still verifies."""
    old = Keyring.load(path=made, env={})
    made.write_text(f"{generate_key()},{made.read_text()}")
    ring = Keyring.load(path=made, env={})
    assert ring.ids == (ring.active, old.active)
    assert ring.active != old.active


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    """Where no file can be made, the error names the place and the variable to set instead."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="GRAFLOW_SECRET_KEY") as caught:
        Keyring.load(path=tmp_path / "file" / "below" / "key", env={})
    assert str(tmp_path) in str(caught.value)


def test_a_failed_making_leaves_nothing_behind(tmp_path, monkeypatch):
    """A filesystem without links leaves no draft of a key around."""

    def refuse(draft, target):
        raise PermissionError(f"no links here: {draft} {target}")

    monkeypatch.setattr("os.link", refuse)
    with pytest.raises(ConfigError, match="no links here"):
        Keyring.load(path=tmp_path / "key", env={})
    assert list(tmp_path.iterdir()) == []
