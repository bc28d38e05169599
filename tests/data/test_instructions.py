"""Prompts with instructions: both public schemas, their ground truths in the verifier, records that cannot be used."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from small_data_sets import rlvr_truth, write_ifeval, write_rlvr_ifeval

from spark_verl.data.errors import RowError
from spark_verl.data.rows import Columns, look
from spark_verl.reward.constraints import KINDS, followed, read_constraints

ARGUMENTS = {
    "verify_keywords": {"keyword_list": ["tide"]},
    "verify_keyword_frequency": {"word": "tide", "N": 2},
    "validate_forbidden_words": {"forbidden_words": ["bad"]},
    "verify_letter_frequency": {"letter": "a", "N": 3},
    "validate_response_language": {"language": "de"},
    "verify_paragraph_count": {"N": 2},
    "validate_word_constraint": {"N": 50, "quantifier": "around"},
    "verify_sentence_constraint": {"N": 3, "quantifier": "at most"},
    "validate_paragraphs": {"N": 3, "i": 1, "first_word": "so"},
    "verify_postscript": {"postscript_marker": "P.S."},
    "validate_placeholders": {"N": 1},
    "verify_bullet_points": {"N": 2},
    "validate_choice": {"options": ["yes", "no"]},
    "validate_highlighted_sections": {"N": 1},
    "validate_sections": {"N": 2, "section_splitter": "Section"},
    "validate_repeat_prompt": {"original_prompt": "Say so."},
    "validate_frequency_capital_words": {"N": 2, "quantifier": "at least"},
    "validate_end": {"end_phrase": "That is all."},
}


def test_rlvr_ifeval(tmp_path, program, picture, rows, report):
    options = write_rlvr_ifeval(tmp_path / "source", picture)
    argv = ["--local_dataset_path", str(tmp_path / "source"), "--local_save_dir", str(tmp_path / "out"), *options]
    assert program("instructions").main(argv) == 0
    written = rows(tmp_path / "out/train.parquet")
    truths = [row["reward_model"]["ground_truth"] for row in written]
    assert [json.loads(truth) for truth in truths] == [
        [{"id": "keywords:frequency", "keyword": "tide", "frequency": 2, "relation": "exactly"}],
        [{"id": "detectable_format:constrained_response", "options": ["yes", "no", "maybe"]}],
        [{"id": "change_case:english_lowercase"}],
        [{"id": "length_constraints:number_sentences", "num_sentences": 3, "relation": "at least"}],
    ]
    assert followed("Tide after tide.", truths[0]) == followed("Maybe.", truths[1]) == [True]
    # The prompt as it is: no answer in a box is asked for, and nothing is taken for a foreign instruction.
    assert written[0]["prompt"] == [{"role": "user", "content": "Write 0 lines. Let's think step by step."}]
    assert written[0]["extra_info"]["kind"] == "keywords:frequency" and written[0]["ability"] == "instructions"
    assert report(tmp_path / "out")["train"]["dropped"].keys() == {"unverifiable_answer"}
    # As before a run with a reward function: what the rows have is looked at, their ground truths are its business.
    assert all(look(row, Columns(truths=False)).labelled for row in written)


def test_ifeval(tmp_path, program, picture, rows):
    options = write_ifeval(tmp_path / "source", picture)
    argv = ["--local_dataset_path", str(tmp_path / "source"), "--local_save_dir", str(tmp_path / "out"), *options]
    assert program("instructions").main(argv) == 0
    written = rows(tmp_path / "out/test.parquet")
    assert [row["extra_info"]["id"] for row in written] == ["1000", "1001"]
    assert [row["extra_info"]["kind"] for row in written] == ["2 instructions", "length_constraints:number_words"]
    assert followed("*a* *b* *c*", written[0]["reward_model"]["ground_truth"]) == [True, True]
    assert not Path(tmp_path / "out/train.parquet").exists()


def test_every_function_becomes_a_kind_of_its_own(program):
    module = program("instructions")
    assert sorted(name for name, *_ in module.RLVR.values()) == sorted(KINDS)
    for function in module.RLVR:
        record = {
            "messages": [{"role": "user", "content": "Write."}],
            "ground_truth": rlvr_truth(function, **ARGUMENTS.get(function, {})),
        }
        (constraint,) = read_constraints(module.to_sample(record).answer)
        assert constraint["id"] == module.RLVR[function][0]


@pytest.mark.parametrize(
    ("messages", "truth", "reason"),
    [
        ([], rlvr_truth("validate_title"), "bad_message"),
        ([{"role": "user", "content": "a"}] * 2, rlvr_truth("validate_title"), "bad_message"),
        ([{"role": "user", "content": None}], rlvr_truth("validate_title"), "missing_field"),
        (None, rlvr_truth("validate_choice"), "unverifiable_answer"),
        (None, rlvr_truth("verify_bullet_points", N="two"), "unverifiable_answer"),
        (None, None, "unverifiable_answer"),
        (None, "18", "unverifiable_answer"),
        (None, "[]", "unverifiable_answer"),
        (None, [[1]], "unverifiable_answer"),
        (None, "[{'instruction_id': ['copy:copy'], 'kwargs': [None]}]", "unverifiable_answer"),
        (None, "[{'instruction_id': ['punctuation:no_comma'], 'kwargs': []}]", "unverifiable_answer"),
        (None, "[{'instruction_id': ['punctuation:no_comma'], 'kwargs': [3]}]", "unverifiable_answer"),
        (None, "[{'instruction_id': ['punctuation:no_comma'], 'kwargs': [None]}]", None),
        (None, [rlvr_truth("validate_title"), rlvr_truth("validate_no_commas")], None),
    ],
)
def test_records_that_cannot_be_used(program, messages, truth, reason):
    one = [{"role": "user", "content": "Write."}]
    record = {"messages": one if messages is None else messages, "ground_truth": truth}
    if reason is None:
        assert read_constraints(program("instructions").to_sample(record).answer)
        return
    with pytest.raises(RowError) as error:
        program("instructions").to_sample(record)
    assert error.value.reason == reason


def test_the_reward_function_scores_what_the_program_writes():
    path = Path(__file__).resolve().parents[2] / "reward_fns/instructions.py"
    spec = importlib.util.spec_from_file_location("reward_fns_instructions", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    truth = json.dumps([{"id": "punctuation:no_comma"}, {"id": "detectable_format:title"}])
    score = module.compute_score("x", "<think>a, b</think> No title.", truth, {})
    assert score == {"score": 0.0, "acc": 0.0, "format": 1.0, "followed": 0.5, "answer": "No title.", "status": "ok"}
    assert module.compute_score("x", "<<Joy>>", truth)["acc"] == 1.0
