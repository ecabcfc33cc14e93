"""Prompts kept in YAML files and filled in by Jinja2; extra `prompts`.

A prompt has a name, and under it templates with a label (`production` if nobody says otherwise) and a version. Its name
says where it is: `customer/welcome` is looked for in the files (`*.yaml`, `*.yml`) of the folder `customer` of the
prompts directory. A file has one of two forms::

    # prompts/summarize.yaml: a list defines the prompt that the file is named after
    - label: production
      version: 1                      # a whole number; 1 if it is not there
      template: |
        Summarize in {{max_words}} words: {{text}}

    # any file: a mapping defines the prompts that are its keys
    welcome:
      type: chat                      # text or chat; without it what the content is
      labels:
        production:
          content:                    # a text, or for a chat a list of messages
            - {role: system, content: "You are {{persona}}."}
            - {role: user, content: "{{question}}"}
          version: 1
          metadata: {owner: support}  # any data; `created_at` as well

`template` and `content` are the same key. Several files may define one prompt, under different labels; where two define
the same label and version, the file that comes last in the alphabet counts, and a warning names both.

A file that is wrong says so with its line (PromptConfigurationError), and takes no other file with it. Files are data:
no tag makes an object, what is larger than a prompt file ever is (1 MiB, or 100,000 values with aliases written out) is
refused, and nothing outside the directory is read, whatever names and symbolic links say.

Templates run in Jinja2's sandbox. A variable that is missing is an error, one too many is none, and nothing is escaped
for HTML. They change nothing that they are given and load no other template. What they make is limited to 10 million
characters, which counts their output and products such as `"x" * n`; loops over `range` have 100,000 turns at most.

Nothing else may live here than going from a name to a rendered text. The ports `Prompt` and `PromptManager` are defined
where contexts can see them, in `graflow_async.context.prompting`.
"""

from __future__ import annotations

from ..context.prompting import Prompt, PromptManager
from .factory import PromptManagerFactory
from .prompt import ChatPrompt, TextPrompt
from .yaml_manager import YAMLPromptManager

__all__ = ["ChatPrompt", "Prompt", "PromptManager", "PromptManagerFactory", "TextPrompt", "YAMLPromptManager"]
