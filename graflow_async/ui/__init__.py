"""The web inbox: a page and a JSON API for open questions, as an ASGI application (extra `ui`).

`create_app` makes it, to be mounted in an application of yours; `serve` serves it, and so does the command
`python -m graflow_async.ui`. `question_token` makes a token for one question, for a link to whoever shall answer it.

In this package `app` puts the parts together; `access`, `tokens` and `gate` say who may do what; `body` and `problems`
are how requests come in and refusals go out; `questions` and `changes` are the API; `pages` and `static` are what
people see; `site` is what the routes share; `server` serves.
"""

from __future__ import annotations

try:
    import fastapi as _fastapi
    import uvicorn as _uvicorn
except ModuleNotFoundError as error:
    hint = f"the web inbox needs {error.name}: pip install 'graflow-async[ui]'"
    raise ModuleNotFoundError(hint, name=error.name) from error

from .app import create_app
from .server import serve
from .tokens import InvalidTokenError, question_token

del _fastapi, _uvicorn

__all__ = ["InvalidTokenError", "create_app", "question_token", "serve"]
