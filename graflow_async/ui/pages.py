"""The pages: one document and the few files it needs, read once; no path of a request ever reaches the disk."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.responses import Response

from .problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_READ_AND_HEAD = ["GET", "HEAD"]


def make_router(title: str) -> APIRouter:
    """Make the routes of the pages.

    Args:
        title: what the page is called.
    """
    router = APIRouter(include_in_schema=False)
    sources = {
        file.name: file.read_bytes() for file in (files("graflow_async.ui") / "static").iterdir() if file.is_file()
    }
    document = sources.pop("index.html").decode().replace("{{title}}", escape(title))
    # Links are relative, so that the application may be mounted anywhere.
    inbox, question = (document.replace("{{root}}", root).encode() for root in ("", "../"))

    async def show_inbox() -> Response:
        return Response(inbox, media_type=_TYPES[".html"])

    async def show_question(question_id: str) -> Response:
        del question_id  # the script reads it from the address, and asks the API
        return Response(question, media_type=_TYPES[".html"])

    async def give_file(name: str) -> Response:
        if name not in sources:
            raise Problem(404, "not_found", "Not Found")
        return Response(sources[name], media_type=_TYPES["." + name.rpartition(".")[2]])

    router.add_api_route("/", show_inbox, methods=_READ_AND_HEAD)
    router.add_api_route("/q/{question_id}", show_question, methods=_READ_AND_HEAD)
    router.add_api_route("/static/{name}", give_file, methods=_READ_AND_HEAD)
    return router
