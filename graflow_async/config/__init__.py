"""Workflows that are written down as data: what `Workflow.from_config` reads, checks and draws.

The form::

    name: review                       # optional; a file without a name is called after the file
    steps:
      - id: extract                    # unique; the id of the node
        task: extract                  # a name in the registry
        params: {source: "a.csv"}      # bound as in `extract(source="a.csv")`
      - id: assess
        task: assess
        depends_on: [extract]          # ids; one id may stand without the list
        params:
          rows: {result_of: extract, field: rows}
        max_retries: 3
      - id: escalate
        task: notify
        depends_on: [assess]
        when: {result_of: assess, field: risk, equals: HIGH}
      - id: score
        task: score
        map: {result_of: extract, field: rows}
        max_concurrency: 10
        retry_policy: {max_retries: 5, initial_interval: 0.5, backoff_factor: 2, max_interval: 30, jitter: true}
        enabled: false

**References.** A mapping with the key `result_of` stands for the result of another step: `{result_of: id}`, with
`field` for a part of it (a key, an index, an attribute, or a list of these to go deeper) and `default` for when the
step was skipped or disabled or the part is not there; without a default that is a `BindingError`. References work
anywhere inside `params`, also in lists and mappings; `{literal: x}` gives `x` as it is, for data that look like a
reference. A step waits for what it refers to: a step that is not reached through `depends_on` becomes a dependency of
its own.

**Conditions.** `when` is data, never evaluated as code: a reference with tests (`equals`, `not_equals`, `gt`, `gte`,
`lt`, `lte`, `in`, `not_in`, `contains`, `exists: true or false`; several must all hold; none asks whether the value
is true), or one of `{all: [...]}`, `{any: [...]}`, `{not: ...}`. A step whose condition is false is skipped, with
what only it leads to; a step that joins several runs if at least one of them delivered.

**Maps.** With `map` (the id of a step, a reference, or a list) the task runs once for each element, which goes to its
first parameter; the result is the list. `max_concurrency` and `return_exceptions` are those of `ctx.map`.

**Options** of a step change those of its task, for this step alone: `max_retries`, `retry_policy`, `timeout`, `limits`,
`executor`, `max_cycles`, `on_crash`, `persist`, `tags`, `description`. Of a `retry_policy`, whose intervals are in
seconds, what is not given stays as the task has it, else as in `RetryPolicy`; which exceptions are retried is the
task's business.

**Disabled steps** are no nodes: who depends on one depends on what it depended on. Their task need not be registered,
so their parameters are not compared with it; all else about them is checked.

**How it is built.** Steps become tasks of their own and dependencies plain edges, so scheduler and machine know
nothing of configurations. A condition becomes a node `<id>.when` in front of its step: it hands on what arrived, or
ends with a jump to nowhere, which skips what lies behind it. It is a node and no part of the step, because a step
that is skipped must not even look for its parameters, and because its task may run where no results are. Where a
conditional step has several dependencies, a node `<id>.when.<dependency>` for each hands its result on, so that
parameters find the same predecessors as without the condition. These nodes count as turns for `max_steps`. References
are looked up by a wrapper around the step's function when it starts.

Nothing else may live here than going from data to expressions. Files are read at once, when the workflow is defined:
do it before the loop runs, or in a thread.
"""

from __future__ import annotations

from typing import Any

from ..current import open_block
from .drawing import Drawing, draw
from .faults import Faults
from .order import arrange
from .source import read
from .steps import read_steps


def load(source: Any, registry: Any) -> Drawing:
    """Read and check a configuration and draw what it says; nothing runs.

    Args:
        source: a mapping, or the path of a JSON or YAML file.
        registry: name -> task (or plain function).

    Raises:
        GraphCompilationError: everything that is wrong, each with its place.
        ConfigError: a YAML file, and PyYAML is not installed.
        TypeError: the source is no mapping and no path, or the registry no mapping.
    """
    faults = Faults()
    document = read(source, faults)
    token = open_block.set(None)  # what is made here joins no block that happens to be open
    try:
        ordered = arrange(read_steps(document.data, registry, faults), faults)
        faults.raise_if_any(document)
        drawing = draw(document.name, ordered, faults)
        faults.raise_if_any(document)
        return drawing
    finally:
        open_block.reset(token)
