#!/usr/bin/env python3
"""Writes answers.json: 20 chat prompts and what the model answers greedily, as token ids.

    make_answers.py MODEL > answers.json

Needed again only for another model. The answers come from the reference in float64; a prompt whose
answer ends before 64 tokens is refused, so choose prompts that call for long ones.
"""

import json
import pathlib
import re
import sys

import jinja2
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "tokenizer_reference"))

from families import Vocabulary  # noqa: E402
from forward import Model  # noqa: E402

N_ANSWER = 64

PROMPTS = [
    "Explain how rain forms.",
    "Write a short story about a fox who learns to swim.",
    "Give me a recipe for vegetable soup, step by step.",
    "What are the main causes of the First World War?",
    "Describe the water cycle for a ten-year-old.",
    "Write a Python function that reverses a linked list and explain it.",
    "List ten countries in Europe with their capitals.",
    "How does a bicycle stay upright?",
    "Write a polite e-mail that asks a colleague for a report.",
    "What is the difference between a virus and a bacterium?",
    "Tell me about the history of the Eiffel Tower.",
    "Solve step by step: a train goes 120 km in 1.5 hours. How fast is it?",
    "Give me tips for sleeping better at night.",
    "Summarise the plot of Romeo and Juliet.",
    "What should I pack for a week in the mountains?",
    "Explain recursion with an example.",
    "Describe your favourite season and why people like it.",
    "How do vaccines work?",
    "Write a poem about the sea at night.",
    "What are the advantages and disadvantages of electric cars?",
]


def encode(tokenizer, specials, text):
    """Special tokens as their ids, everything else by the tokenizer."""
    ids = []
    for piece in re.split("(%s)" % "|".join(map(re.escape, specials)), text):
        if piece in specials:
            ids.append(specials[piece])
        elif piece:
            ids += tokenizer.encode(piece, add_special_tokens=False).ids
    return ids


def answer_greedily(model, prompts, eos):
    cache = [{} for _ in prompts]
    hidden = [h[-1] for h in model.hidden(prompts, cache)]
    answers = [[] for _ in prompts]
    for step in range(N_ANSWER):
        best = [int(i) for i in model.logits(np.stack(hidden)).argmax(axis=-1)]
        for answer, token, prompt in zip(answers, best, PROMPTS):
            if token == eos and step < N_ANSWER - 1:
                sys.exit("the answer to %r ends after %d tokens" % (prompt, step))
            answer.append(token)
        hidden = [h[-1] for h in model.hidden([[t] for t in best], cache)]
        print("token %d of %d" % (step + 1, N_ANSWER), file=sys.stderr)
    return answers


def main():
    model = Model(sys.argv[1])
    tokens = model.field("tokenizer.ggml.tokens")
    types = model.field("tokenizer.ggml.token_type")
    specials = {t: i for i, (t, kind) in enumerate(zip(tokens, types)) if kind == 3}
    eos = model.field("tokenizer.ggml.eos_token_id")
    tokenizer = Vocabulary(sys.argv[1]).tokenizer("smollm")
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(model.field("tokenizer.chat_template"))
    prompts = []
    for text in PROMPTS:
        messages = [{"role": "user", "content": text}]
        rendered = template.render(messages=messages, add_generation_prompt=True)
        prompts.append(encode(tokenizer, specials, rendered))
    answers = answer_greedily(model, prompts, eos)
    rows = [json.dumps({"text": t, "prompt": p, "answer": a})
            for t, p, a in zip(PROMPTS, prompts, answers)]
    print("[\n" + ",\n".join(rows) + "\n]")


if __name__ == "__main__":
    main()
