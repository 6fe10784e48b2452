#!/usr/bin/env python3
"""LlamaIndex's OpenAI class, which wants openai below 3 (an environment of its own), against the
running system: chat and stream, and the usage rows of both."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirtap import done_testing, is_, like, ok, wait_for  # noqa: E402
from weirsystem import System, run_in  # noqa: E402

run_in("venv-openai2")

import openai  # noqa: E402
from llama_index.core.llms import ChatMessage  # noqa: E402
from llama_index.llms.openai import OpenAI  # noqa: E402


class Unlisted(OpenAI):
    """LlamaIndex looks the context size up by OpenAI's model names; ours is in no such list."""

    @property
    def metadata(self):
        from llama_index.core.base.llms.types import LLMMetadata
        return LLMMetadata(context_window=8192, num_output=64, is_chat_model=True,
                           model_name=self.model)


def main():
    like(openai.__version__, r"^2\.", "openai %s is below 3" % openai.__version__)
    system = System()
    llm = Unlisted(model=system.model, api_key=system.key, api_base=system.base_url, temperature=0,
                   max_tokens=40, max_retries=0)
    messages = [ChatMessage(role="user",
                            content="What is the capital of France? Answer in one sentence.")]
    answer = llm.chat(messages)
    like(answer.message.content, "Paris", "chat answers")
    text = ""
    pieces = 0
    for piece in llm.stream_chat(messages):
        text += piece.delta or ""
        pieces += bool(piece.delta)
    is_(text, answer.message.content, "the stream says the same")
    ok(pieces > 2, "in %d pieces" % pieces)
    usage = answer.raw.usage

    # The first is make run's question; a row is written when its request has ended.
    def written():
        found = [row for row in system.rows() if row["path"] == "/v1/chat/completions"]
        return found[1:] if len(found) >= 3 else None
    rows = wait_for(written) or []
    is_([row["prompt_tokens"] for row in rows], [usage.prompt_tokens] * 2, "the ledger has the prompt's")
    is_([row["completion_tokens"] for row in rows], [usage.completion_tokens] * 2,
        "and the answer's tokens, though a stream of this client does not ask for usage")
    done_testing()


if __name__ == "__main__":
    main()
