"""Judge templates: the words that turn a rollout into a question about it.

A template is a jinja2 file that renders the text *appended* to the last user turn of the original question (after
``JUDGE_SEPARATOR``). Appending rather than rewriting keeps the judge prompt's beginning equal to the policy prompt's,
so the rollout engine finds the question and its images in its prefix cache.

A template folder looks like this; templates are used in the order of their file names::

    <folder>/pointwise/yes_no/01.jinja     variables: candidate, source          label: Yes | No
    <folder>/pointwise/a_b/01.jinja        variables: candidate, source          label: A (correct) | B (incorrect)
    <folder>/pairwise/a_b/01.jinja         variables: first, second, source      label: A (first is right) | B
    <folder>/reflection/free/01.jinja      variables: candidate, source          ground truth: the task's own

``source`` is ``"answer"`` (the candidate is a bare parsed answer) or ``"cot"`` (it is a whole response).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from spark_verl.vocabulary import LabelForm, Objective, Source

JUDGE_SEPARATOR = "\n\n"
"""What stands between the question's own text and the judge text."""

VARIABLES: dict[tuple[Objective, LabelForm], tuple[str, ...]] = {
    (Objective.POINTWISE, LabelForm.YES_NO): ("candidate", "source"),
    (Objective.POINTWISE, LabelForm.A_B): ("candidate", "source"),
    (Objective.PAIRWISE, LabelForm.A_B): ("first", "second", "source"),
    (Objective.REFLECTION, LabelForm.FREE): ("candidate", "source"),
}
"""The variables that each (objective, label form) hands to its templates."""

_CLOSING_TAG = re.compile(r"</\s*([A-Za-z_][\w-]*)\s*>")


def resolve_folder(path: str | None) -> Path:
    """Find a template folder.

    Args:
        path: A folder, ``pkg://some.package/sub/folder`` for one inside an installed package, or None for the
            templates that come with spark_verl.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    if path is None:
        path = "pkg://spark_verl.judge/default_templates"
    if path.startswith("pkg://"):
        package, _, rest = path.removeprefix("pkg://").partition("/")
        folder = Path(str(files(package))) / rest
    else:
        folder = Path(path).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"judge template folder {path!r} not found (looked in {folder})")
    return folder


@dataclass(frozen=True)
class TemplateSet:
    """All templates of one folder, compiled and checked.

    Example:
        >>> templates = TemplateSet.load(None)
        >>> text = templates.render("pointwise", "yes_no", 0, candidate="42", source="answer")
        >>> "42" in text and "boxed" in text
        True
    """

    folder: Path
    templates: dict[tuple[str, str], tuple[Template, ...]]
    fences: frozenset[str] = field(default=frozenset())
    """Names of the tags that stand around candidates (``candidate`` for ``</candidate>``)."""

    @classmethod
    def load(cls, path: str | None = None) -> TemplateSet:
        """Read and check a template folder.

        Args:
            path: See :func:`resolve_folder`.

        Raises:
            FileNotFoundError: There is no such folder.
            ValueError: A template does not compile, uses a variable it is not given, ignores a candidate, does not ask
                for ``\\boxed{}``, or does not offer all labels of its form; the message names the file.
        """
        folder = resolve_folder(path)
        # A template folder may come with a model: its templates see their variables, and no Python behind them.
        env = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(folder), undefined=StrictUndefined, autoescape=False
        )
        found: dict[tuple[str, str], tuple[Template, ...]] = {}
        fences: set[str] = set()
        for (objective, form), variables in VARIABLES.items():
            names = sorted(p.name for p in (folder / objective / form).glob("*.jinja"))
            compiled = []
            for name in names:
                relative = f"{objective}/{form}/{name}"
                try:
                    template = env.get_template(relative)
                    for source in Source:
                        _check(template, variables, form.labels, source)
                except Exception as error:  # expressions in a template raise anything
                    raise ValueError(f"judge template {folder / relative}: {error}") from error
                compiled.append(template)
                fences.update(_CLOSING_TAG.findall((folder / relative).read_text(encoding="utf-8")))
            if compiled:
                found[objective, form] = tuple(compiled)
        return cls(folder, found, frozenset(fences))

    def count(self, objective: str, label_form: str) -> int:
        """Number of templates for an objective and label form; 0 when the folder has none."""
        return len(self.templates.get((objective, label_form), ()))

    def require(self, objective: str, label_form: str) -> None:
        """Raise ValueError unless there is at least one template for this objective and label form."""
        if not self.count(objective, label_form):
            raise ValueError(
                f"no judge template for {objective}/{label_form}: add {self.folder / objective / label_form}/01.jinja"
                f" or give the objective a share of 0"
            )

    def render(self, objective: str, label_form: str, index: int, **variables: str) -> str:
        """Render template ``index`` (modulo their number) with surrounding white space removed."""
        templates = self.templates[objective, label_form]
        return templates[index % len(templates)].render(**variables).strip()


def _check(template: Template, variables: tuple[str, ...], labels: tuple[str, ...], source: str) -> None:
    """Render with marked variables: every candidate must appear, and a reply that can be parsed must be asked for."""
    marks = {name: f"<mark-{name}>" for name in variables if name != "source"}
    text = template.render(**marks, source=source)
    for name, mark in marks.items():
        if mark not in text:
            raise ValueError(f"does not use {{{{ {name} }}}} when source is {source!r}")
    if "\\boxed{" not in text:
        raise ValueError("does not ask for \\boxed{}, so its verdict could not be parsed")
    for label in labels:
        if not re.search(rf"\b{label}\b", text):
            raise ValueError(f"does not offer the label {label!r}; it must offer all of {', '.join(labels)}")
