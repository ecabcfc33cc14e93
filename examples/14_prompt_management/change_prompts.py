"""Prompts that change while the program runs: seen soon, or at once if asked for; mistakes stop nobody."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from graflow_async import PromptError, YAMLPromptManager

FIRST = "- {label: production, version: 1, template: 'Be brief: {{text}}'}\n"
SECOND = FIRST + "- {label: production, version: 2, template: 'Be brief and kind: {{text}}'}\n"
HALF_WRITTEN = "- {label: production, version: 3, temp"


async def main(directory: Path) -> None:
    """Change a file again and again, and show what is served."""
    file = directory / "reply.yaml"
    file.write_text(FIRST, encoding="utf-8")
    async with YAMLPromptManager(directory, cache_ttl=0) as manager:

        def show(when: str) -> None:
            prompt = manager.get_text_prompt("reply")
            print(f"{when}: {prompt.render(text='hello')} (version {prompt.version})")

        show("loaded beforehand")
        await manager.aclose()  # wait for the thread that the last call has sent to the disk

        file.write_text(SECOND, encoding="utf-8")
        show("changed, from memory")
        await manager.aclose()
        show("when a thread has looked")
        print("an earlier version:", manager.get_text_prompt("reply", version=1).render(text="hello"))

        file.write_text(HALF_WRITTEN, encoding="utf-8")
        prompt = await manager.aget_prompt("reply")
        print("half written, still served:", prompt.render(text="hello"))
        try:
            await manager.aload()
        except PromptError as error:
            print(f"checked: {type(error).__name__}, {'reply.yaml is no plain YAML (line 1)' in str(error)}")

        file.write_text(FIRST, encoding="utf-8")
        print("put right:", (await manager.aget_prompt("reply")).render(text="hello"))


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)  # the warning about the half-written file is not for this output
    if len(sys.argv) > 1:
        asyncio.run(main(Path(sys.argv[1])))
    else:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(main(Path(folder)))
