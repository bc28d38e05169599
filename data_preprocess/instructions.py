"""Prompts with instructions about the form of the response, as parquet files in verl's schema: RLVR-IFeval and IFEval.

    python data_preprocess/instructions.py --local_save_dir ~/data/rlvr_ifeval
    python data_preprocess/instructions.py --dataset ifeval --local_save_dir ~/data/ifeval

writes train.parquet (RLVR-IFeval) or test.parquet (IFEval). The ground truth is a JSON list of instructions, which
``reward_fns/instructions.py`` verifies; nothing is added to a prompt. What a record is, its columns say:

- ``messages`` with one turn and ``ground_truth``, JSON (or Python) with ``func_name`` and the arguments of all
  functions, null where they are not its own: allenai/RLVR-IFeval, 14,973 prompts with one instruction each. Also
  ``[{"instruction_id": [..], "kwargs": [..]}]``, as allenai/IF_multi_constraints_upto5 has it; a record with an
  instruction that is not IFEval's is dropped.
- ``prompt``, ``instruction_id_list`` and ``kwargs``, with nulls or without: google/IFEval, 541 prompts of one to three
  instructions.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spark_verl.data.convert import Program, make_parser
from spark_verl.data.convert import main as run
from spark_verl.data.errors import RowError
from spark_verl.data.sample import Sample, id_field, refuse_images, text_field
from spark_verl.data.truth import written_value
from spark_verl.options import brief
from spark_verl.reward.constraints import read_constraints

COLUMNS = (("messages", "ground_truth"), ("prompt", "instruction_id_list", "kwargs"))

EXACTLY = {"relation": "exactly"}
RLVR: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "verify_keywords": ("keywords:existence", {"keyword_list": "keywords"}, {}),
    "verify_keyword_frequency": ("keywords:frequency", {"word": "keyword", "N": "frequency"}, EXACTLY),
    "validate_forbidden_words": ("keywords:forbidden_words", {"forbidden_words": "forbidden_words"}, {}),
    "verify_letter_frequency": (
        "keywords:letter_frequency",
        {"letter": "letter", "N": "let_frequency"},
        {"let_relation": "exactly"},
    ),
    "validate_response_language": ("language:response_language", {"language": "language"}, {}),
    "verify_paragraph_count": ("length_constraints:number_paragraphs", {"N": "num_paragraphs"}, {}),
    "validate_word_constraint": (
        "length_constraints:number_words",
        {"N": "num_words", "quantifier": "relation"},
        {},
    ),
    "verify_sentence_constraint": (
        "length_constraints:number_sentences",
        {"N": "num_sentences", "quantifier": "relation"},
        {},
    ),
    "validate_paragraphs": (
        "length_constraints:nth_paragraph_first_word",
        {"N": "num_paragraphs", "i": "nth_paragraph", "first_word": "first_word"},
        {},
    ),
    "verify_postscript": ("detectable_content:postscript", {"postscript_marker": "postscript_marker"}, {}),
    "validate_placeholders": ("detectable_content:number_placeholders", {"N": "num_placeholders"}, {}),
    "verify_bullet_points": ("detectable_format:number_bullet_lists", {"N": "num_bullets"}, {}),
    "validate_title": ("detectable_format:title", {}, {}),
    "validate_choice": ("detectable_format:constrained_response", {"options": "options"}, {}),
    "validate_highlighted_sections": ("detectable_format:number_highlighted_sections", {"N": "num_highlights"}, {}),
    "validate_sections": (
        "detectable_format:multiple_sections",
        {"N": "num_sections", "section_splitter": "section_spliter"},
        {},
    ),
    "validate_json_format": ("detectable_format:json_format", {}, {}),
    "validate_repeat_prompt": ("combination:repeat_prompt", {"original_prompt": "prompt_to_repeat"}, {}),
    "validate_two_responses": ("combination:two_responses", {}, {}),
    "validate_uppercase": ("change_case:english_capital", {}, {}),
    "validate_lowercase": ("change_case:english_lowercase", {}, {}),
    "validate_frequency_capital_words": (
        "change_case:capital_word_frequency",
        {"N": "capital_frequency", "quantifier": "capital_relation"},
        {},
    ),
    "validate_end": ("startend:end_checker", {"end_phrase": "end_phrase"}, {}),
    "validate_quotation": ("startend:quotation", {}, {}),
    "validate_no_commas": ("punctuation:no_comma", {}, {}),
}
"""RLVR-IFeval's functions: IFEval's name, its names of the arguments, and what the function takes for granted."""


def to_sample(record: Mapping[str, Any]) -> Sample:
    """One prompt of either schema."""
    refuse_images(record)
    if "instruction_id_list" in record:
        question, found = text_field(record, "prompt"), _paired(record["instruction_id_list"], record["kwargs"])
    else:
        question, found = _only_message(record["messages"]), _written(record["ground_truth"])
    constraints = list(found)
    truth = json.dumps(constraints, ensure_ascii=False)
    try:
        read_constraints(truth)
    except ValueError as error:
        raise RowError("unverifiable_answer", str(error)) from error
    kind = constraints[0]["id"] if len(constraints) == 1 else f"{len(constraints)} instructions"
    return Sample(question, truth, id=id_field(record, "key"), kind=kind, free=True)


def _only_message(messages: Any) -> str:
    """The text of the only turn."""
    if not isinstance(messages, list) or len(messages) != 1 or not isinstance(messages[0], Mapping):
        raise RowError("bad_message", f"messages must be one user turn, is {brief(messages)}")
    return text_field(messages[0], "content")


def _written(truth: Any) -> Iterator[dict[str, Any]]:
    """The instructions of a ``ground_truth``; a list has several."""
    value = written_value(truth) if isinstance(truth, str) else truth
    for each in value if isinstance(value, list) else [value]:
        each = written_value(each) if isinstance(each, str) else each
        if not isinstance(each, Mapping):
            raise RowError("unverifiable_answer", f"ground_truth is {brief(truth)}")
        if "func_name" not in each:
            yield from _paired(each.get("instruction_id"), each.get("kwargs"))
            continue
        if each["func_name"] not in RLVR:
            raise RowError("unverifiable_answer", f"there is no function {brief(each['func_name'])}")
        name, names, granted = RLVR[each["func_name"]]
        given = {new: _plain(each.get(old)) for old, new in names.items()}
        if isinstance(given.get("options"), str):
            given["options"] = [option for option in re.split(r"\s*(?:/|,|\bor\b)\s*", given["options"]) if option]
        yield {"id": name, **given, **granted}


def _paired(names: Any, arguments: Any) -> Iterator[dict[str, Any]]:
    """IFEval's own form: names, and for each its arguments or null."""
    if not isinstance(names, list) or not isinstance(arguments, list) or len(names) != len(arguments):
        raise RowError("unverifiable_answer", f"{brief(names)} and {brief(arguments)} are no lists of one length")
    for name, given in zip(names, arguments, strict=True):
        if not isinstance(given, Mapping | None):
            raise RowError("unverifiable_answer", f"kwargs has {brief(given)}")
        yield {"id": name, **{key: _plain(value) for key, value in (given or {}).items() if value is not None}}


def _plain(value: Any) -> Any:
    """Whole numbers as such: a column with nulls has fractions."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def choose(args: argparse.Namespace) -> Program:
    """The data set that ``--dataset`` names."""
    if args.dataset == "ifeval":
        splits: Mapping[str, Sequence[str]] = {"test": ("ifeval_input_data*", "**/*train*", "train*")}
        return Program(hub="google/IFEval", columns=COLUMNS, sample=to_sample, splits=splits)
    splits = {"train": ("data/train*", "train*", "**/train*")}
    return Program(hub="allenai/RLVR-IFeval", columns=COLUMNS, sample=to_sample, splits=splits)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument("--dataset", choices=("rlvr", "ifeval"), default="rlvr", help="which one (%(default)s)")
    return run(parser, choose, argv)


if __name__ == "__main__":
    sys.exit(main())
