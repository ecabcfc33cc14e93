"""Configurations that are wrong: one error, before anything runs, with every problem and its place."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graflow_async import ConfigError, GraphCompilationError, TaskExecutionContext, Workflow, task

yaml = pytest.importorskip("yaml")


@task
async def load(path: str, *, strict: bool = False) -> str:
    raise AssertionError(path)


@task
async def clean(ctx: TaskExecutionContext, rows: list[int]) -> list[int]:
    raise AssertionError(rows)


REGISTRY: dict[str, Any] = {"load": load, "clean": clean, "no": 3, "nothing": task("nothing")(lambda: None)}


def problems(config: Any) -> list[str]:
    """Give the lines of the error that a configuration makes."""
    with pytest.raises(GraphCompilationError) as caught:
        Workflow.from_config(config, REGISTRY)
    return str(caught.value).split("\n  ")


def of_step(**step: Any) -> list[str]:
    """Give the problems of one step beside a right one called `first`."""
    found = problems({"steps": [{"id": "first", "task": "load"}, {"id": "it", "task": "load", **step}]})
    count = int(found[0].split(": ")[1].split()[0])
    assert count == len(found) - 1, found
    return found[1:]


STEP_FAULTS = [
    ({"task": "laod"}, "steps[1].task: unknown task 'laod'; did you mean 'load'?"),
    ({"task": None}, "steps[1].task: task is missing; registered tasks: load, clean, no, nothing"),
    ({"task": 3}, "steps[1].task: task is a name in the registry, not 3"),
    ({"task": "no"}, "steps[1].task: 'no' in the registry is no task and no function but 3"),
    ({"id": None}, "steps[1].id: the id of a step is missing"),
    ({"id": 7}, "steps[1].id: the id of a step is a printable text"),
    ({"id": ""}, "steps[1].id: the id of a step is a printable text"),
    ({"id": "first"}, "steps[1].id: duplicate id 'first': it belongs to steps[0] already"),
    ({"depend_on": ["first"]}, "steps[1].depend_on: unknown key 'depend_on'; did you mean 'depends_on'?"),
    (
        {"depends_on": ["frist"]},
        "steps[1].depends_on[0]: step 'it' depends on 'frist', which is no step; did you mean 'first'?",
    ),
    ({"depends_on": "frist"}, "steps[1].depends_on: step 'it' depends on 'frist'"),
    ({"depends_on": {"first": 1}}, "steps[1].depends_on: depends_on is a list of ids, not {'first': 1}"),
    ({"depends_on": ["first", 3]}, "steps[1].depends_on[1]: depends_on lists ids, not 3"),
    ({"depends_on": ["first", "first"]}, "steps[1].depends_on[1]: dependency 'first' stands twice"),
    ({"depends_on": ["it"]}, "steps[1].depends_on[0]: cycle: it -> it"),
    ({"enabled": "no"}, "steps[1].enabled: enabled is true or false, not 'no'"),
    ({"params": ["x"]}, "steps[1].params: params is a mapping of parameter names to values, not ['x']"),
    ({"params": {1: 2}}, "steps[1].params.1: a parameter's name is a text, not 1"),
    ({"params": {"pth": 1}}, "steps[1].params.pth: task 'load' has no parameter 'pth'; did you mean 'path'?"),
    (
        {"task": "clean", "params": {"ctx": 1}},
        "steps[1].params.ctx: task 'clean' has no parameter 'ctx'; parameters: rows",
    ),
    ({"params": {"path": {"result_of": 3}}}, "steps[1].params.path.result_of: result_of is the id of a step, not 3"),
    (
        {"params": {"path": {"result_of": "frist"}}},
        "steps[1].params.path: step 'it' refers to 'frist', which is no step",
    ),
    ({"params": {"path": [{"result_of": "it"}]}}, "steps[1].params.path[0]: step 'it' refers to its own result"),
    (
        {"params": {"path": {"result_of": "first", "feild": 1}}},
        "steps[1].params.path.feild: unknown key 'feild'; did you mean 'field'?",
    ),
    (
        {"params": {"path": {"result_of": "first", "field": 1.5}}},
        "steps[1].params.path.field: field is a key, an index",
    ),
    (
        {"when": "first > 3"},
        "steps[1].when: a condition is a mapping such as {result_of: id, equals: value}, not 'first > 3'",
    ),
    ({"when": {"eq": 1}}, "steps[1].when: a condition has the key 'result_of' with tests"),
    ({"when": {"all": [], "any": []}}, "steps[1].when: a condition has the key 'result_of' with tests, or exactly one"),
    ({"when": {"all": []}}, "steps[1].when.all: all takes a list of conditions, not []"),
    ({"when": {"any": [{"not": 3}]}}, "steps[1].when.any[0].not: a condition is a mapping"),
    ({"when": {"result_of": "first", "equal": 1}}, "steps[1].when.equal: unknown key 'equal'; did you mean 'equals'"),
    ({"when": {"result_of": "first", "in": "abc"}}, "steps[1].when.in: in takes a list of values, not 'abc'"),
    ({"when": {"result_of": "first", "exists": 1}}, "steps[1].when.exists: exists is true or false, not 1"),
    ({"when": {"result_of": "frist"}}, "steps[1].when: step 'it' refers to 'frist', which is no step"),
    ({"map": 3}, "steps[1].map: map is the id of a step, {result_of: id, field: name} or a list, not 3"),
    ({"map": "frist"}, "steps[1].map: step 'it' refers to 'frist', which is no step; did you mean 'first'?"),
    ({"map": "first", "task": "nothing"}, "steps[1].map: task 'nothing' has no parameter that could get"),
    ({"map": "first", "params": {"path": 1}}, "steps[1].params.path: parameter 'path' gets the elements of the map"),
    ({"map": "first", "max_concurrency": 0}, "steps[1].max_concurrency: max_concurrency"),
    ({"map": "first", "return_exceptions": 1}, "steps[1].return_exceptions: return_exceptions is true or false, not 1"),
    ({"max_concurrency": 3}, "steps[1].max_concurrency: max_concurrency is an option of a step with 'map'"),
    ({"max_retries": -1}, "steps[1].max_retries: "),
    ({"max_retries": "3"}, "steps[1].max_retries: "),
    ({"timeout": 0}, "steps[1].timeout: "),
    ({"limits": "db"}, "steps[1].limits: limits is a list of names, not 'db'"),
    ({"limits": [1]}, "steps[1].limits: "),
    ({"persist": "no"}, "steps[1].persist: persist is true or false, not 'no'"),
    ({"on_crash": "explode"}, "steps[1].on_crash: "),
]


@pytest.mark.parametrize(
    ("step", "expected"), STEP_FAULTS, ids=[text.split(":")[0] + str(n) for n, (_, text) in enumerate(STEP_FAULTS)]
)
def test_every_fault_of_a_step(step: dict[str, Any], expected: str) -> None:
    """Each mistake is one problem, which names the place, the mistake and what was probably meant."""
    (found,) = of_step(**step)
    assert found.startswith(expected)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "steps: steps is a list of at least one step"),
        ({"steps": []}, "steps: steps is a list of at least one step, not []"),
        ({"steps": {"a": 1}}, "steps: steps is a list of at least one step, not {'a': 1}"),
        ({"steps": ["load"]}, "steps[0]: a step is a mapping with the keys 'id' and 'task', not 'load'"),
        ({"step": [], "steps": [{"id": "a", "task": "load"}]}, "step: unknown key 'step'; did you mean 'steps'?"),
        ({"name": 3, "steps": [{"id": "a", "task": "load"}]}, "name: the name is a printable text"),
        ({"steps": [{"id": "a", "task": "load", "enabled": False}]}, "steps: every step is disabled"),
    ],
)
def test_faults_of_the_whole(config: dict[str, Any], expected: str) -> None:
    """What is wrong above the steps is said, too."""
    assert problems(config)[1].startswith(expected)


def test_three_faults_at_once() -> None:
    """All problems are in one error, in the order of the document; a missing dependency is not called a cycle."""
    found = problems(
        {
            "name": "etl",
            "steps": [
                {"id": "a", "task": "laod"},
                {"id": "b", "task": "load", "depends_on": ["z"]},
                {"id": "a", "task": "load"},
            ],
        }
    )
    assert found[0] == "configuration 'etl': 3 problems, nothing was built"
    assert [line.split(":")[0] for line in found[1:]] == ["steps[0].task", "steps[1].depends_on[0]", "steps[2].id"]
    assert "step 'b' depends on 'z'" in found[2]
    assert "cycle" not in "".join(found)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_cycles_are_named_in_full(order: tuple[int, ...]) -> None:
    """A circle is named with every step of it, in the direction of the run, wherever the list begins."""
    steps = [{"id": f"s{n}", "task": "load", "depends_on": [f"s{(n - 1) % 3}"]} for n in range(3)]
    listed = [steps[n] for n in order]
    ring = [order[0], (order[0] + 1) % 3, (order[0] + 2) % 3, order[0]]
    (found,) = problems({"steps": listed})[1:]
    assert " -> ".join(f"s{n}" for n in ring) in found


def test_circles_through_references_disabled_steps_and_several_at_once() -> None:
    """References count as edges, a disabled step hides no circle, and each circle is a problem of its own."""
    steps = [
        {"id": "a", "task": "load", "params": {"path": {"result_of": "b"}}},
        {"id": "b", "task": "load", "depends_on": ["a"]},
        {"id": "c", "task": "load", "depends_on": ["d"]},
        {"id": "d", "task": "load", "depends_on": ["c"], "enabled": False},
    ]
    found = problems({"steps": steps})[1:]
    assert len(found) == 2
    assert "cycle: a -> b -> a" in found[0]
    assert "cycle: c -> d -> c" in found[1]


def test_an_id_that_the_node_of_a_condition_needs() -> None:
    """A step called like the condition of another one is refused, and told which one to rename."""
    steps = [
        {"id": "a", "task": "load"},
        {"id": "b", "task": "load", "when": {"result_of": "a"}},
        {"id": "b.when", "task": "load"},
    ]
    (found,) = problems({"steps": steps})[1:]
    assert "'b.when' is needed twice" in found


def test_values_that_contain_themselves() -> None:
    """Data without end are refused instead of being followed for ever."""
    loop: list[Any] = []
    loop.append(loop)
    (found,) = of_step(params={"path": loop})
    assert found.startswith("steps[1].params.path[0]: the value contains itself")


TEXT = """\
name: etl
steps:
  - id: a
    task: laod          # line 4
  - id: b
    task: load
    depends_on:
      - a
      - z               # line 9
    params:
      pth: x            # line 11
"""


def test_places_in_yaml_are_lines(tmp_path: Path) -> None:
    """Every problem of a YAML file has the line where it stands."""
    file = tmp_path / "etl.yaml"
    file.write_text(TEXT, encoding="utf-8")
    found = problems(file)
    assert found[0] == f"{file}: 3 problems, nothing was built"
    assert found[1].startswith(f"{file}:4 (steps[0].task): unknown task")
    assert sorted(line.split(" (")[0] for line in found[2:]) == [f"{file}:11", f"{file}:9"]


def test_json_and_yaml_and_mappings_find_the_same(tmp_path: Path) -> None:
    """The same mistakes are found, in the same words, wherever the configuration comes from."""
    file = tmp_path / "etl.json"
    data = yaml.safe_load(TEXT)
    file.write_text(json.dumps(data), encoding="utf-8")
    assert problems(file)[0] == f"{file}: 3 problems, nothing was built"
    assert problems(file)[1:] == problems(data)[1:]


BAD_FILES = [
    ("a.json", "{", "is no JSON: Expecting property name"),
    ("a.json", "null", "is empty"),
    ("a.json", "[1]", "a configuration is a mapping with the key 'steps', not list"),
    ("a.json", '{"steps": [{"id": "a", "task": "load", "task": "clean"}]}', "key 'task' stands twice in one object"),
    ("a.json", "[" * 100_000, "is nested too deeply"),
    ("a.yaml", "steps: [", "is no plain YAML: "),
    ("a.yaml", "steps: [}\n", "(line 1)"),
    ("a.yaml", "", "is empty"),
    ("a.yaml", "steps:\n  - id: a\n    task: load\n    id: b\n", "key 'id' stands twice in one mapping"),
    (
        "a.yaml",
        "steps: !!python/object/apply:os.system ['echo']\n",
        "is no plain YAML: could not determine a constructor",
    ),
    ("a.yaml", "a: 1\n---\nb: 2\n", "is no plain YAML: but found another document"),
    ("a.toml", "", "a configuration is a .json, .yaml or .yml file, not '.toml'"),
]


@pytest.mark.parametrize(("name", "text", "expected"), BAD_FILES, ids=range(len(BAD_FILES)))
def test_files_that_cannot_be_read(tmp_path: Path, name: str, text: str, expected: str) -> None:
    """A file that is no plain data is refused with its name and the reason; nothing in it is executed."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = problems(tmp_path / name)
    assert found[0].startswith(str(tmp_path / name))
    assert any(expected in line for line in found[1:]), found


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file and a text in another encoding are said plainly."""
    assert "cannot be read: No such file" in problems(tmp_path / "no.yaml")[1]
    (tmp_path / "latin.json").write_bytes('{"name": "ü"}'.encode("latin-1"))
    assert "is no UTF-8 text" in problems(tmp_path / "latin.json")[1]


def test_yaml_that_explodes_is_harmless(tmp_path: Path) -> None:
    """Aliases of aliases, billions of values when written out, are read once each."""
    lines = ["steps:", "  - id: a", "    task: load", "    params:", "      path:", "        - &l0 [x]"]
    lines += [f"        - &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 40)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines), encoding="utf-8")
    assert Workflow.from_config(tmp_path / "bomb.yaml", REGISTRY).graph.nodes == ["a"]


def test_wrong_arguments() -> None:
    """A source that is neither mapping nor path, and a registry that is no mapping, are the caller's mistake."""
    with pytest.raises(TypeError, match="a mapping or the path of a file, not list"):
        Workflow.from_config([], REGISTRY)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the registry is a mapping"):
        Workflow.from_config({"steps": []}, [load])  # type: ignore[arg-type]


def test_the_error_survives_pickling() -> None:
    """The error can travel between processes."""
    with pytest.raises(GraphCompilationError) as caught:
        Workflow.from_config({}, REGISTRY)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_yaml_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyYAML the error says what to install; JSON and mappings do not need it."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "a.yaml").write_text(TEXT, encoding="utf-8")
    with pytest.raises(ConfigError, match=r'pip install "graflow-async\[config\]"'):
        Workflow.from_config(tmp_path / "a.yaml", REGISTRY)
    (tmp_path / "a.json").write_text('{"steps": [{"id": "a", "task": "load"}]}', encoding="utf-8")
    assert Workflow.from_config(tmp_path / "a.json", REGISTRY).graph.nodes == ["a"]


def test_importing_the_package_loads_no_configuration_code() -> None:
    """Who uses no configuration pays for none: neither our modules nor yaml are loaded by the import."""
    code = "import sys, graflow_async; print([m for m in sys.modules if m in ('yaml', 'graflow_async.config')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
