"""The command line `graflow-async`: its entry, and a hint for those who have not installed the extra.

Commands live in modules beside this one. typer comes with the extra `cli` and nothing outside this package imports it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

try:
    from .app import call
except ModuleNotFoundError as error:
    if error.name is None or error.name.split(".")[0] == __name__.split(".")[0]:
        raise
    call, _missing = None, error.name
else:
    _missing = ""

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None, *, program: str = "graflow-async") -> int:
    """Run the command line and give its exit code: 0 done, 1 failed, 2 usage, 3 paused, 130 interrupted.

    Args:
        arguments: what follows the program's name; None takes it from `sys.argv`.
        program: how the user calls the program, for messages.
    """
    if call is None:
        hint = f'error: the command line needs {_missing}: pip install "graflow-async[cli]"'
        print(hint, file=sys.stderr)
        return 2
    try:
        return call(sys.argv[1:] if arguments is None else arguments, program)
    except KeyboardInterrupt:  # before the command began, or when it had ended
        print("error: interrupted", file=sys.stderr)
        return 130
