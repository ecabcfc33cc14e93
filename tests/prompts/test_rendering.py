"""Templates: strict about what is missing, plain text, in a sandbox, within bounds."""

from __future__ import annotations

import re
import threading

import pytest

from graflow_async import PromptCompilationError
from graflow_async.prompts import ChatPrompt, TextPrompt


def render(template: str, **variables: object) -> str:
    return TextPrompt("p", template).render(**variables)


def test_a_missing_variable_is_an_error_that_names_everything():
    """Prompt, label, line and variable are said, and can be read from the error's attributes."""
    prompt = TextPrompt("summarize", "{{text}}\nin {{max_words}} words", label="dev", version=4)
    with pytest.raises(PromptCompilationError) as caught:
        prompt.render(text="x", other=1)
    said = str(caught.value)
    assert said == (
        "prompt 'summarize' (label 'dev', version 4), line 2 of the template, cannot be rendered: "
        "'max_words' is undefined; it was given: other, text"
    )
    assert (caught.value.prompt, caught.value.label, caught.value.variable) == ("summarize", "dev", "max_words")


def test_a_chat_names_the_message_that_failed():
    """Among several templates the one that is wrong is found."""
    chat = ChatPrompt("c", [{"role": "system", "content": "hi"}, {"role": "user", "content": "{{q}}"}])
    with pytest.raises(PromptCompilationError, match=r"version 1, message 2\), line 1 .* 'q' is undefined"):
        chat.render()


WRONG = {
    "{% for %}": "cannot be compiled",
    "{{ 1 +": "cannot be compiled",
    "{{ x|nofilter }}": "No filter named 'nofilter'",
    "{% include 'other' %}": "no loader",
    "{% import '/etc/passwd' as p %}": "no loader",
    "{{ 1 / 0 }}": "division by zero",
    "{{ x.y.z }}": "no attribute 'y'",
    "{{ boom }}": "the object refuses",
    "{{ x() }}": "not callable",
}


class Boom:
    def __str__(self) -> str:
        raise RuntimeError("the object refuses")


@pytest.mark.parametrize("template", WRONG)
def test_whatever_goes_wrong_is_a_compilation_error(template):
    """Syntax, filters, includes, arithmetic, objects of the caller: one kind of error, with its cause."""
    with pytest.raises(PromptCompilationError) as caught:
        render(template, x={}, boom=Boom())
    assert WRONG[template] in str(caught.value)
    assert caught.value.__cause__ is not None


def test_what_ends_a_program_is_not_caught():
    """Only failures become prompt errors; an exit passes."""

    def leave():
        raise SystemExit

    with pytest.raises(SystemExit):
        render("{{ leave() }}", leave=leave)


def test_nothing_is_escaped_and_extra_variables_are_ignored():
    """A prompt is no HTML; what is filled in arrives as it is, and is never taken for a template itself."""
    assert render("{{a}} <b>", a="<i> & {{hidden}} {% if %}", hidden="s") == "<i> & {{hidden}} {% if %} <b>"


def test_any_name_may_be_a_variable():
    """Names that mean something to Python, or to the methods behind `render`, are variables like others."""
    names = {"self": 1, "cls": 2, "variables": 3, "args": 4, "name": 5}
    assert render("{{cls}}{{variables}}{{args}}{{name}}", **names) == "2345"


def test_defaults_conditions_and_loops_work():
    """The language is there: defaults, filters, loops with their counters, tests for what is defined."""
    template = (
        "{{ tone|default('dry') }}{% if who is defined %} {{who}}{% endif %}:"
        "{% for w in words %} {{loop.index}}{{w}}{% endfor %}"
    )
    assert render(template, words=["a", "b"]) == "dry: 1a 2b"
    assert render(template, words=[], tone="warm", who="Ada") == "warm Ada:"


ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ x.__init__.__globals__ }}",
    "{{ x['__class__'] }}",
    "{{ x|attr('__class__') }}",
    "{{ '{0.__class__}'.format(x) }}",
    "{{ ('{0.__class__}'|string).format(x) }}",
    "{{ '{x.__class__}'.format_map({'x': x}) }}",
    "{{ f.__globals__ }}",
    "{{ f.__code__ }}",
    "{{ g.gi_frame }}",
    "{{ self.__init__ }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ ([x]|map(attribute='__class__')|first).__mro__ }}",
    "{{ x.secret }}",
    "{{ numbers.append(1) }}",
    "{{ table.update({'a': 1}) }}",
    "{{ table.clear() }}",
]


class Object:
    def __init__(self) -> None:
        self._secret = 1

    def _hidden(self) -> str:
        return "hidden"


@pytest.mark.parametrize("template", [*ESCAPES, "{{ x._secret }}", "{{ x._hidden() }}"])
def test_no_template_gets_out_of_its_sandbox(template):
    """Classes, globals, frames, private attributes and the insides of what was given are out of reach."""
    numbers, table = [0], {"k": "v"}
    given = {"x": Object(), "f": render, "g": (n for n in ()), "numbers": numbers, "table": table}
    with pytest.raises(PromptCompilationError):
        render(template, **given)
    assert (numbers, table) == ([0], {"k": "v"})


BOMBS = [
    "{{ 'x' * 1000000000000 }}",
    "{{ 1000000000000 * 'x' }}",
    "{{ [0] * 1000000000000 }}",
    "{{ 9 ** (9 ** 9) }}",
    "{{ n ** 10000000 }}",
    "{{ range(1000000000) }}",
    "{% for i in range(100000) %}{% for j in range(100000) %}{{ 'many words' }}{% endfor %}{% endfor %}",
    "{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}",
    "{{ lipsum(n=1000000) }}",
]


@pytest.mark.parametrize("template", BOMBS)
def test_a_template_cannot_fill_the_memory(template):
    """Products, powers, ranges and outputs have bounds: what goes over them is refused, soon."""
    with pytest.raises(PromptCompilationError):
        render(template, n=10)


def test_large_texts_below_the_bound_pass():
    """The bounds are far from what prompts are: a million characters go through, small sums are right."""
    assert len(render("{{ text }}{{ 'ab' * 3 }}", text="x" * 1_000_000)) == 1_000_006
    assert render("{{ 2 ** 10 }} {{ 3 * 4 }} {{ 2 ** -1 }} {{ [1] * 2 }}") == "1024 12 0.5 [1, 1]"


def test_one_prompt_renders_in_many_threads_at_once():
    """Threads that meet at the first rendering, where the template is compiled, each get their own text."""
    prompt = TextPrompt("p", "{% for i in range(50) %}{{who}} {% endfor %}")
    barrier = threading.Barrier(8)
    found: dict[int, str] = {}

    def work(number: int) -> None:
        barrier.wait(timeout=30)
        found[number] = prompt.render(who=number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"{number} " * 50 for number in range(8)}


def test_the_errors_of_templates_fit_on_one_line():
    """A log line is enough for each of them."""
    for template in WRONG:
        with pytest.raises(PromptCompilationError) as caught:
            render(template, x={}, boom=Boom())
        assert re.fullmatch(r"prompt 'p' \(label 'production', version 1\).*", str(caught.value))
