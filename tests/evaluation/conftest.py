"""What the tests of the evaluation share: questions, and strategies run against a server with a rule."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import pytest
from rule_server import RuleServer
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, Qwen2Config

from spark_verl.evaluation import benchmarks
from spark_verl.evaluation.benchmarks.benchmark import Benchmark
from spark_verl.evaluation.benchmarks.source import Rows
from spark_verl.evaluation.client import Client, Sampling
from spark_verl.evaluation.judging import Prompts
from spark_verl.evaluation.session import Context, Session
from spark_verl.vocabulary import Source


def verl_row(index: int, question: str, truth: str, source: str = "sums") -> dict:
    """A row as data sets prepared for verl have them."""
    return {
        "data_source": source,
        "prompt": [{"role": "user", "content": question}],
        "reward_model": {"ground_truth": truth},
        "extra_info": {"index": index},
    }


@pytest.fixture
def sums():
    """``sums(count)``: a benchmark with the questions "1+1=?", "2+2=?" and so on."""

    def make(count: int) -> Benchmark:
        rows = [verl_row(i, f"{i}+{i}=?", str(2 * i)) for i in range(1, count + 1)]
        return benchmarks.REGISTRY["verl"](Rows(rows, "rows"))

    return make


@pytest.fixture
def client_options():
    """Options of a client that waits longer than any machine takes."""
    return {"concurrency": 8, "timeout_s": 60, "max_retries": 2}


@pytest.fixture
def run_strategy(sums, client_options):
    """``run_strategy(strategy, rule)``: the session after the strategy answered "1+1=?", and the final index."""

    def go(strategy, rule, source: str = "answer") -> tuple[Session, int, list[dict]]:
        async def ask(server: RuleServer):
            client = Client(server.base_url, "rule", **client_options)
            prompts = Prompts(source=Source(source))
            context = Context(client, prompts, Sampling(max_tokens=100), Sampling(temperature=0.0, max_tokens=50))
            benchmark = sums(1)
            session = Session(context, benchmark, next(benchmark.questions))
            final = await strategy.run(session)
            await client.close()
            return session, final

        with RuleServer(rule) as server:
            session, final = asyncio.run(ask(server))
            return session, final, server.requests

    return go


@pytest.fixture
def model(tmp_path) -> Path:
    """A folder that looks like a small model; vLLM finds out only when it reads the weights."""
    folder = tmp_path / "model"
    sizes = {"vocab_size": 8, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    config = Qwen2Config(
        **sizes,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=128,
        architectures=["Qwen2ForCausalLM"],
    )
    config.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(folder)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    return folder
