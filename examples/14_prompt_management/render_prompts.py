"""Prompts in files: by name, label and version; texts and chats; and what happens when a variable is missing."""

from __future__ import annotations

from pathlib import Path

from graflow_async import PromptCompilationError, PromptNotFoundError, PromptVersionNotFoundError, YAMLPromptManager

PROMPTS = Path(__file__).parent / "prompts"


def show_texts(manager: YAMLPromptManager) -> None:
    """Render a prompt under its two labels."""
    prompt = manager.get_prompt("summarize", label="production")
    print(f"{prompt.name}, {prompt.label} {prompt.version}:")
    print(prompt.render(text="Wind 5 from the west, later 3.", max_words=10))
    print()
    print(manager.get_prompt("summarize", label="development").render(text="Wind 5."))
    print(manager.get_text_prompt("customer/welcome").render(name="<Ada & Co>"))
    print(manager.get_text_prompt("customer/welcome").render())


def show_chat(manager: YAMLPromptManager) -> None:
    """Render the messages of a chat, as a client of a language model takes them."""
    chat = manager.get_chat_prompt("customer/answer")
    for message in chat.render(company="Harbour Ltd", question="When do you open?"):
        print(message)


def show_errors(manager: YAMLPromptManager) -> None:
    """Ask for what is not there."""
    try:
        manager.get_prompt("summarize").render(text="Wind 5.")
    except PromptCompilationError as error:
        print(f"missing: {error.variable}")
        print(error)
    try:
        manager.get_prompt("summarize", label="staging")
    except PromptVersionNotFoundError as error:
        print(error)
    try:
        manager.get_prompt("../secrets")
    except PromptNotFoundError as error:
        print(str(error).partition(":")[0])


def main() -> None:
    """Show everything."""
    manager = YAMLPromptManager(PROMPTS)
    print("=== Texts ===")
    show_texts(manager)
    print("\n=== A chat ===")
    show_chat(manager)
    print("\n=== Errors ===")
    show_errors(manager)


if __name__ == "__main__":
    main()
