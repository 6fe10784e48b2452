#!/usr/bin/env python3
"""The official openai client, unchanged, against the running system on the real model; and that the
usage ledger says what the client saw."""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from weirtap import diag, done_testing, is_, isnt, like, ok, unlike, wait_for  # noqa: E402
from weirsystem import System, run_in  # noqa: E402

run_in("venv")

import openai  # noqa: E402

QUESTION = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]


def caught(kind, call, **arguments):
    """The exception of a call that must raise one of a kind."""
    try:
        call(**arguments)
    except openai.OpenAIError as error:
        if ok(isinstance(error, kind), "%s is raised" % kind.__name__):
            return error
        diag(repr(error))
        return error
    ok(False, "%s is raised" % kind.__name__)
    return None


def check_row(system, request_id, usage, name, **more):
    row = system.usage(request_id)
    if usage is not None:
        is_(row.get("prompt_tokens"), usage.prompt_tokens, name + ": ledger has the prompt's tokens")
        is_(row.get("completion_tokens"), usage.completion_tokens,
            name + ": ledger has the answer's tokens")
    want = {"tenant": "demo", "model": system.model, "status": 200, **more}
    is_({field: row.get(field) for field in want}, want, name + ": ledger has " + ", ".join(want))
    key_id = system.key.split("_")[1]
    is_(row.get("key_id"), key_id, name + ": ledger has the key's id, not the key")
    return row


def models(system, client):
    listed = client.models.list()
    is_([model.id for model in listed.data], [system.model], "the model is listed")
    is_(listed.data[0].object, "model", "as a model")
    is_(client.models.retrieve(system.model).id, system.model, "and retrieved by its id")
    error = caught(openai.NotFoundError, client.models.retrieve, model="no-such/model")
    is_(error and error.code, "model_not_found", "an unknown model has the code model_not_found")


def chat(system, client):
    raw = client.chat.completions.with_raw_response.create(
        model=system.model, messages=QUESTION, temperature=0, max_tokens=40)
    answer = raw.parse()
    text = answer.choices[0].message.content
    like(text, "Paris", "the chat answer knows its geography")
    like(answer.id, "^chatcmpl-", "its id has OpenAI's form")
    is_(answer.object, "chat.completion", "object")
    is_(answer.model, system.model, "model")
    is_(answer.choices[0].message.role, "assistant", "role")
    ok(answer.choices[0].finish_reason in ("stop", "length"), "finish_reason")
    usage = answer.usage
    ok(usage.prompt_tokens > 10 and usage.completion_tokens > 3, "tokens are counted")
    is_(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens, "the total is the sum")
    row = check_row(system, raw.headers["x-request-id"], usage, "chat", stream=False, aborted=False)
    ok(row.get("latency_ms", -1) >= 0, "ledger has the latency")
    return text, usage


def chat_stream(system, client, whole, whole_usage):
    raw = client.chat.completions.with_raw_response.create(
        model=system.model, messages=QUESTION, temperature=0, max_tokens=40, stream=True,
        stream_options={"include_usage": True})
    chunks = list(raw.parse())
    is_(len({chunk.id for chunk in chunks}), 1, "a stream has one id")
    is_(len({chunk.created for chunk in chunks}), 1, "and one time")
    is_(chunks[0].choices[0].delta.role, "assistant", "the first piece carries the role")
    ok(not any(c.delta.role for chunk in chunks[1:] for c in chunk.choices), "and no later one")
    text = "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)
    is_(text, whole, "at temperature 0 the stream says what the whole answer said")
    reasons = [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason]
    is_(len(reasons), 1, "one finish_reason")
    is_(chunks[-1].choices, [], "the last chunk has no choices")
    ok(chunks[-1].usage is not None, "but the usage")
    ok(not any(chunk.usage for chunk in chunks[:-1]), "which no other chunk has")
    is_(chunks[-1].usage.prompt_tokens, whole_usage.prompt_tokens, "the same prompt tokens")
    is_(chunks[-1].usage.completion_tokens, whole_usage.completion_tokens, "and answer tokens")
    row = check_row(system, raw.headers["x-request-id"], chunks[-1].usage, "stream", stream=True,
                    aborted=False)
    ok(row.get("ttft_ms") is not None and 0 <= row["ttft_ms"] <= row["latency_ms"],
       "ledger has the time to the first token")

    raw = client.chat.completions.with_raw_response.create(
        model=system.model, messages=QUESTION, temperature=0, max_tokens=40, stream=True)
    chunks = list(raw.parse())
    ok(all(chunk.choices and chunk.usage is None for chunk in chunks),
       "a client that did not ask for usage sees none")
    check_row(system, raw.headers["x-request-id"], whole_usage, "stream without usage", stream=True)


def options(system, client):
    answer = client.chat.completions.create(
        model=system.model, messages=QUESTION, temperature=0, max_tokens=8, logprobs=True,
        top_logprobs=3)
    content = answer.choices[0].logprobs.content
    is_(len(content), answer.usage.completion_tokens, "one logprob item a token")
    ok(all(len(item.top_logprobs) == 3 for item in content), "with three alternatives")
    ok(all(item.logprob <= 0 for item in content), "logprobs are logarithms of probabilities")
    ok(all(abs(item.logprob - item.top_logprobs[0].logprob) < 1e-4 for item in content),
       "at temperature 0 the best alternative is taken")
    joined = b"".join(bytes(item.bytes) for item in content).decode("utf-8", "replace")
    ok(joined.startswith(answer.choices[0].message.content), "the bytes of the items are the text")

    answer = client.chat.completions.create(
        model=system.model, messages=QUESTION, n=3, seed=7, temperature=1.2, max_tokens=12)
    is_([choice.index for choice in answer.choices], [0, 1, 2], "n=3 gives three choices")
    ok(len({choice.message.content for choice in answer.choices}) > 1, "which differ")
    again = client.chat.completions.create(
        model=system.model, messages=QUESTION, n=3, seed=7, temperature=1.2, max_tokens=12)
    is_([c.message.content for c in again.choices], [c.message.content for c in answer.choices],
        "the same seed gives the same choices")

    answer = client.completions.create(model=system.model, prompt="one, two, three, four,",
                                       temperature=0, max_tokens=24, stop=["seven"])
    like(answer.choices[0].text, "five", "a completion goes on")
    unlike(answer.choices[0].text, "seven", "to the stop string, which is not part of it")
    is_(answer.choices[0].finish_reason, "stop", "and says so")
    is_(answer.object, "text_completion", "object of a completion")

    pieces = list(client.completions.create(model=system.model, prompt="one, two, three, four,",
                                            temperature=0, max_tokens=6, stream=True))
    like("".join(p.choices[0].text for p in pieces if p.choices), "five", "completions stream, too")

    scored = client.completions.create(model=system.model, prompt="The sky is blue.", max_tokens=1,
                                       temperature=0, logprobs=2, echo=True)
    like(scored.choices[0].text, "^The sky is blue", "echo repeats the prompt")
    is_(scored.choices[0].logprobs.token_logprobs[0], None, "whose first token has no logprob")
    ok(all(value <= 0 for value in scored.choices[0].logprobs.token_logprobs[1:]), "the others have")


def errors(system, client):
    wrong = openai.OpenAI(base_url=system.base_url, api_key="wk_wrong", max_retries=0)
    error = caught(openai.AuthenticationError, wrong.models.list)
    is_(error and error.code, "invalid_api_key", "a wrong key has the code invalid_api_key")
    ok(error and error.request_id, "an error has a request id")

    create = client.chat.completions.create
    error = caught(openai.BadRequestError, create, model=system.model, messages=QUESTION,
                   temperature=5)
    is_(error and error.param, "temperature", "a bad field is named")
    like(error, "temperature", "in the message, too")
    error = caught(openai.BadRequestError, create, model=system.model,
                   messages=[{"role": "user", "content": "word " * 20000}])
    is_(error and error.code, "context_length_exceeded", "a prompt too long says so")
    error = caught(openai.NotFoundError, create, model="gpt-unknown", messages=QUESTION)
    is_(error and error.code, "model_not_found", "an unknown model is a 404")
    error = caught(openai.BadRequestError, create, model=system.model, messages=[])
    is_(error and error.param, "messages", "no messages are a 400")


def other_apis(system):
    """Anthropic's client and the responses API, which the engine does not speak."""
    try:
        import anthropic
    except ImportError:
        anthropic = None
    client = openai.OpenAI(base_url=system.base_url, api_key=system.key, max_retries=0, timeout=120)
    raw = client.responses.with_raw_response.create(
        model=system.model, input=QUESTION[0]["content"], temperature=0, max_output_tokens=40)
    answer = raw.parse()
    like(answer.output_text, "Paris", "responses: an answer")
    is_(answer.status, "completed", "responses: complete")
    row = check_row(system, raw.headers["x-request-id"], None, "responses", stream=False)
    is_((row["prompt_tokens"], row["completion_tokens"]),
        (answer.usage.input_tokens, answer.usage.output_tokens), "responses: ledger has the tokens")
    with client.responses.stream(model=system.model, input=QUESTION[0]["content"], temperature=0,
                                 max_output_tokens=40) as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        is_(stream.get_final_response().output_text, text, "responses: the stream adds up")
    is_(text, answer.output_text, "responses: and says the same")
    if anthropic is None:
        diag("anthropic is not installed here")
        return
    claude = anthropic.Anthropic(base_url=system.base_url.removesuffix("/v1"), api_key=system.key,
                                 max_retries=0, timeout=120)
    listed = claude.models.list()
    is_([(m.id, m.type, m.display_name) for m in listed], [(system.model, "model", system.model)],
        "anthropic: the model is listed")
    ok(claude.models.retrieve(system.model).created_at, "anthropic: and retrieved, with its time")
    asked = {"model": system.model, "messages": QUESTION, "max_tokens": 40,
             "extra_body": {"temperature": 0}}
    raw = claude.messages.with_raw_response.create(**asked)
    answer = raw.parse()
    like(answer.content[0].text, "Paris", "anthropic: an answer")
    is_(answer.stop_reason, "end_turn", "anthropic: its end")
    row = check_row(system, raw.headers["request-id"], None, "anthropic", stream=False)
    is_((row["prompt_tokens"], row["completion_tokens"]),
        (answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0),
         answer.usage.output_tokens), "anthropic: ledger has the tokens")
    with claude.messages.stream(**asked) as stream:
        is_("".join(stream.text_stream), answer.content[0].text, "anthropic: the same streamed")
        is_(stream.get_final_message().stop_reason, "end_turn", "anthropic: with its end")
    cut = claude.messages.create(**asked, stop_sequences=["never", "Paris"])
    is_((cut.stop_reason, cut.stop_sequence), ("stop_sequence", "Paris"),
        "anthropic: the stop sequence that ended it is named")
    unlike(cut.content[0].text if cut.content else "", "Paris", "anthropic: and left out")
    with claude.messages.stream(**asked, stop_sequences=["Paris"]) as stream:
        last = stream.get_final_message()
    is_((last.stop_reason, last.stop_sequence), ("stop_sequence", "Paris"), "anthropic: streamed, too")
    ok(claude.messages.count_tokens(model=system.model, messages=QUESTION).input_tokens > 5,
       "anthropic: tokens are counted")
    try:
        claude.messages.create(model="no-such", max_tokens=5, messages=QUESTION)
        ok(False, "anthropic: an unknown model is refused")
    except anthropic.NotFoundError as error:
        is_(error.body["error"]["details"]["error_code"], "model_not_found",
            "anthropic: an unknown model has its code")


def abort(system, client):
    raw = client.chat.completions.with_raw_response.create(
        model=system.model, temperature=0, max_tokens=1500, stream=True,
        messages=[{"role": "user", "content": "Count from one to one thousand in words."}],
        extra_body={"ignore_eos": True})
    stream = raw.parse()
    seen = 0
    for chunk in stream:
        seen += bool(chunk.choices and chunk.choices[0].delta.content)
        if seen == 12:
            break
    stream.close()
    row = check_row(system, raw.headers["x-request-id"], None, "abort", stream=True, aborted=True)
    completion = row.get("completion_tokens") or 0
    ok(12 <= completion < 1500, "ledger counts what was streamed before the abort: %d" % completion)
    ok((row.get("prompt_tokens") or 0) > 10, "and the prompt")
    ok(wait_for(lambda: system.engine_metric(r"running") == 0), "the engine's slot is free again")


def concurrency(system, whole):
    """Many at once: each gets its own answer, and at temperature 0 the one it gets alone."""
    client = openai.OpenAI(base_url=system.base_url, api_key=system.key, max_retries=0, timeout=300)
    texts = {}

    def one(index):
        answer = client.chat.completions.create(model=system.model, messages=QUESTION,
                                                temperature=0, max_tokens=40)
        texts[index] = answer.choices[0].message.content
    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    is_([texts.get(i) for i in range(8)], [whole] * 8, "8 at once get the answer that one gets alone")


def full(system):
    """More requests than slots and queue: the rest gets 429 with Retry-After at once."""
    client = openai.OpenAI(base_url=system.base_url, api_key=system.key, max_retries=0, timeout=300)
    streams = []
    refused = []

    def one():
        try:
            streams.append(client.chat.completions.create(
                model=system.model, messages=QUESTION, stream=True, max_tokens=1500,
                extra_body={"ignore_eos": True}))
        except openai.RateLimitError as error:
            refused.append(error)
    threads = [threading.Thread(target=one) for _ in range(120)]
    for thread in threads:
        thread.start()
    # Those who wait in the queue have no header yet: the running ones are let go until all are in.
    wait_for(lambda: refused and len(streams) >= 1, 60)
    end = time.monotonic() + 120
    while any(thread.is_alive() for thread in threads) and time.monotonic() < end:
        for stream in streams[:]:
            stream.close()
        wait_for(lambda: not any(thread.is_alive() for thread in threads), 0.5)
    for stream in streams:
        stream.close()
    if ok(refused, "%d of 120 requests at once were refused with 429" % len(refused)):
        error = refused[0]
        ok(error.code in ("rate_limit_exceeded", "queue_full"), "with a code: %s" % error.code)
        like(error.response.headers.get("retry-after"), r"^[1-9]\d*$", "and a Retry-After in seconds")
        row = system.usage(error.request_id)
        is_((row.get("status"), row.get("completion_tokens")), (429, 0), "ledger has the refusal")
    ok(wait_for(lambda: system.engine_metric(r"running") == 0, 30), "all slots are free again")


def main():
    system = System()
    client = openai.OpenAI(base_url=system.base_url, api_key=system.key, max_retries=0, timeout=120)
    models(system, client)
    whole, usage = chat(system, client)
    chat_stream(system, client, whole, usage)
    options(system, client)
    errors(system, client)
    other_apis(system)
    abort(system, client)
    concurrency(system, whole)
    full(system)
    unlike(system.file("usage.jsonl"), system.key.split("_", 2)[2], "no secret in the ledger")
    isnt(system.rows(), [], "the ledger is there")
    done_testing()


if __name__ == "__main__":
    main()
