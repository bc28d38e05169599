"""Templates: the built-in ones are complete, and a user's folder is checked when it is loaded."""

from __future__ import annotations

import pytest

from spark_verl.judge.templates import VARIABLES, TemplateSet

FOLDERS = [None, "pkg://spark_verl.digits/templates"]
MINE = {
    "pointwise/yes_no/01.jinja": "Candidate: {{ candidate }}. \\boxed{Yes} or \\boxed{No}?",
    "pairwise/a_b/01.jinja": "{{ first }} or {{ second }}? \\boxed{A} or \\boxed{B}",
    "reflection/free/01.jinja": "{{ candidate }}: improve, then \\boxed{}.",
}


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)


@pytest.mark.parametrize(("objective", "form"), list(VARIABLES))
@pytest.mark.parametrize("source", ["answer", "cot"])
def test_builtin_templates_show_the_candidate_and_ask_for_the_label(objective, form, source):
    templates = TemplateSet.load()
    assert templates.count(objective, form) >= 8
    texts = set()
    for index in range(templates.count(objective, form)):
        variables = {name: f"<<{name}>>" for name in VARIABLES[objective, form] if name != "source"}
        text = templates.render(objective, form, index, source=source, **variables)
        texts.add(text)
        for value in variables.values():
            assert value in text
        for label in form.labels or [""]:
            assert f"\\boxed{{{label}}}" in text or objective == "pointwise", text
        assert "\\boxed{" in text
    assert len(texts) == templates.count(objective, form), "templates must differ"


def test_a_folder_of_ones_own(tmp_path):
    templates = TemplateSet.load(write(tmp_path, MINE))
    assert templates.render("pointwise", "yes_no", 7, candidate="42", source="answer").startswith("Candidate: 42.")
    with pytest.raises(ValueError, match=r"pointwise/a_b.*01\.jinja"):
        templates.require("pointwise", "a_b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ candidate }} {{ truth }} \\boxed{Yes}", "truth"),
        ("{{ candidate }} yes or no?", "boxed"),
        ("Is it right? \\boxed{Yes}", "candidate"),
        ("{{ candidate }}: \\boxed{Right} or \\boxed{No}", "'Yes'"),
        ("{{ candidate", "unexpected|expected|end of"),
        ("{{ candidate.__class__.__mro__ }} \\boxed{Yes} or No", "'__class__' of 'str' object is unsafe"),
        ("{{ ''.join.__globals__ }} {{ candidate }} \\boxed{Yes} or No", "__globals__"),
        ("{{ self.__init__.__globals__['os'] }} {{ candidate }} \\boxed{Yes} or No", "unsafe"),
        ("{% for i in range(10 ** 9) %}{% endfor %}{{ candidate }} \\boxed{Yes} or No", "Range too big"),
        ("{% include '../../../../../etc/passwd' %} {{ candidate }} \\boxed{Yes} or No", "etc/passwd"),
        ("{{ 1 / 0 }} {{ candidate }} \\boxed{Yes} or No", "division by zero"),
    ],
    ids=[
        *["unknown variable", "no box", "candidate ignored", "label missing", "syntax", "class", "globals", "self"],
        *["endless loop", "file elsewhere", "failing expression"],
    ],
)
def test_bad_templates_are_refused_by_name(tmp_path, text, message):
    folder = write(tmp_path, {**MINE, "pointwise/yes_no/02.jinja": text})
    with pytest.raises(ValueError, match=message) as caught:
        TemplateSet.load(folder)
    assert "pointwise/yes_no/02.jinja" in str(caught.value)


def test_a_missing_folder_is_named():
    with pytest.raises(FileNotFoundError, match="nowhere"):
        TemplateSet.load("/nowhere")


@pytest.mark.parametrize("folder", FOLDERS)
def test_shipped_folders_serve_the_default_config(folder):
    from spark_verl.config import SparkConfig

    templates = TemplateSet.load(folder)
    for objective, form in SparkConfig().used_label_forms():
        templates.require(objective, form)


def test_fences_are_read_from_the_templates(tmp_path):
    assert TemplateSet.load().fences == {"candidate", "candidate_a", "candidate_b", "attempt"}
    mine = {**MINE, "pointwise/yes_no/01.jinja": "<work>{{ candidate }}</work> \\boxed{Yes} or \\boxed{No}?"}
    assert TemplateSet.load(write(tmp_path, mine)).fences == {"work"}
