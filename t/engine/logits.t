#!/usr/bin/env python3
"""Logits of the CPU back end against an independent forward pass (t/engine/reference).

Tiny random models of every weight type, family, head layout and RoPE variant, on every instruction
set that this machine has; then the real model, teacher-forced on answers that it gave itself.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "t" / "lib"))
sys.path.insert(0, str(HERE / "reference"))

# Before NumPy starts its threads: no more than the machine's cores, also where tests run in parallel.
os.environ.setdefault("OPENBLAS_NUM_THREADS", str(min(2, os.cpu_count() or 1)))

import numpy as np  # noqa: E402

from forward import Model, log_softmax  # noqa: E402
from weirtap import bail_out, diag, done_testing, is_, note, ok, seeded_random, skip  # noqa: E402

BIN = ROOT / os.environ.get("BUILD", "build") / "t" / "bin"
ISAS = ("scalar", "avx2", "avx512")

# With float activations only rounding differs. The engine keeps keys and values as f16, so the reference
# rounds them too; where the two sit on different sides of a rounding border, one element of a key or
# value differs by a unit in the last place (5e-4 of itself). Measured over many seeds: mean KL at most
# 3e-8, at most 3e-7 in one row, log-probabilities off by at most 3e-3. An epsilon
# off by 10 % or a frequency off by 0.1 % shows as a mean KL of 1e-4.
FLOAT_MEAN_KL = 2e-7
FLOAT_NATS = 1e-2

# Blocks of 32 activations as int8 carry an error of about 0.3 % each. Two or three random layers make
# a mean KL of up to 2e-3 of that (measured); the real model has its own bar.
INT8_MEAN_KL = 5e-3


def dump(model, lines, n_vocab, **options):
    """Logits [rows, n_vocab] of the sequences in lines, or None where the machine lacks the ISA."""
    command = [str(BIN / "dump-logits"), str(model)]
    for name, value in options.items():
        command += ["--" + name] if value is True else ["--" + name, str(value)]
    done = subprocess.run(command, input=lines.encode(), capture_output=True, check=False)
    if done.returncode == 3:
        return None
    if done.returncode != 0:
        diag(" ".join(command) + ": " + done.stderr.decode(errors="replace"))
        return np.zeros((0, n_vocab), np.float32)
    return np.frombuffer(done.stdout, np.float32).reshape(-1, n_vocab)


def to_lines(sequences, wanted=None):
    return "".join(
        "%d %s\n" % (wanted[i] if wanted else len(s), " ".join(map(str, s)))
        for i, s in enumerate(sequences))


def divergence(reference, got):
    """KL(reference || got) per row, both log-probabilities."""
    return np.sum(np.exp(reference) * (reference - got), axis=-1)


# Tiny models

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q4_K", "Q6_K")


def shapes():
    """(name, options of tiny-model)"""
    wide = {"embd": 256, "ff": 512, "heads": 4, "kv-heads": 2}
    for kind in TYPES:
        yield kind, {"type": kind, "embd-type": kind, **wide}
    yield "one head", {"heads": 1, "kv-heads": 1, "layers": 1, "type": "Q8_0"}
    yield "no grouping", {"heads": 4, "kv-heads": 4, "type": "Q4_1"}
    yield "nine heads over three, as SmolLM2", {
        "embd": 576, "heads": 9, "kv-heads": 3, "ff": 1536, "type": "Q4_1", "embd-type": "Q8_0"}
    yield "seven heads over one", {"heads": 7, "kv-heads": 1, "head-dim": 24, "type": "Q5_0"}
    yield "heads wider than the model", {"head-dim": 96, "type": "Q4_0"}
    yield "odd width, no block fits", {"embd": 90, "heads": 3, "kv-heads": 3, "ff": 50, "type": "Q8_0"}
    yield "odd rows", {"embd": 96, "heads": 3, "kv-heads": 1, "ff": 160, "vocab": 397, "type": "Q4_0"}
    yield "K types that fall back", {"embd": 160, "heads": 5, "kv-heads": 5, "ff": 256, "type": "Q4_K"}
    yield "Q6_K that falls back", {"embd": 96, "ff": 256, "heads": 2, "kv-heads": 2, "type": "Q6_K"}
    yield "head of its own", {"untied": True, "type": "Q5_0", "embd-type": "Q6_K", **wide}
    yield "llama with biases", {"bias": True, "type": "Q8_0"}
    for arch in ("llama", "qwen2", "qwen3"):
        for rope in ("none", "linear", "yarn", "divisors"):
            yield "%s, RoPE %s" % (arch, rope), {
                "arch": arch, "rope": rope, "type": "Q8_0", "rope-base": 5000, "layers": 3}
    yield "half of each head turns", {"rope-dims": 8, "type": "BF16"}
    yield "half of each head turns, split", {"arch": "qwen2", "rope-dims": 8, "type": "F16"}
    yield "YaRN by 32", {"arch": "qwen3", "rope": "yarn", "rope-factor": 32, "rope-original": 32}


def write_tiny(path, options, seed):
    command = [str(BIN / "tiny-model"), "--out", str(path), "--seed", str(seed)]
    for name, value in options.items():
        command += ["--" + name] if value is True else ["--" + name, str(value)]
    subprocess.run(command, check=True)


def check_tiny(name, path, rng, isas):
    model = Model(path, kv_type=np.float16)
    sequences = [[rng.randrange(model.n_vocab) for _ in range(n)] for n in (70, 1, 33)]
    lines = to_lines(sequences)
    reference = log_softmax(np.concatenate([model.logits(h) for h in model.hidden(sequences)]))
    shape = reference.shape
    for isa in isas:
        for activations in ("float", "int8"):
            how = "%s, %s, %s" % (name, isa, activations)
            run = {"isa": isa, "activations": activations}
            one = dump(path, lines, model.n_vocab, **run)
            if one.shape != shape:
                ok(False, how + ": it computes")
                continue
            got = log_softmax(one.astype(np.float64))
            kl = divergence(reference, got)
            if activations == "float":
                worst = np.abs(got - reference).max()
                ok(kl.mean() < FLOAT_MEAN_KL and worst < FLOAT_NATS,
                   "%s: mean KL %.1e, log-probability off by at most %.1e"
                   % (how, kl.mean(), worst))
            else:
                ok(kl.mean() < INT8_MEAN_KL, "%s: mean KL %.1e" % (how, kl.mean()))
            same = all(
                np.array_equal(one, dump(path, lines, model.n_vocab, **run, **other))
                for other in ({"threads": 2, "chunk": 7}, {"together": True, "chunk": 16}))
            ok(same, how + ": the same bits with two threads, other chunks, other company")


def available_isas(path, n_vocab):
    return [isa for isa in ISAS if dump(path, "1 5\n", n_vocab, isa=isa) is not None]


def test_tiny_models():
    rng = seeded_random()
    with tempfile.TemporaryDirectory(prefix="weir-logits-") as folder:
        path = pathlib.Path(folder) / "tiny.gguf"
        write_tiny(path, {}, 1)
        isas = available_isas(path, Model(path).n_vocab)
        note("instruction sets here: " + " ".join(isas))
        ok("scalar" in isas, "the scalar kernels run everywhere")
        for name, options in shapes():
            write_tiny(path, options, rng.randrange(1 << 32))
            check_tiny(name, path, rng, isas)


# The real model

MEAN_KL = {"float": 1e-3, "int8": 5e-3}
GREEDY_NATS = 0.5


def test_real_model(path):
    answers = json.loads((HERE / "reference" / "answers.json").read_text())
    model = Model(path)
    if max(max(a["prompt"] + a["answer"]) for a in answers) >= model.n_vocab:
        skip("the answers are in another model's vocabulary", 1)
        return
    sequences = [a["prompt"] + a["answer"][:-1] for a in answers]
    wanted = [len(a["answer"]) for a in answers]
    is_([len(sequences), min(wanted), max(wanted)], [20, 64, 64], "20 answers of 64 tokens")
    hidden = [h[-n:] for h, n in zip(model.hidden(sequences), wanted)]
    lines = to_lines(sequences, wanted)
    for activations, bar in MEAN_KL.items():
        command = [str(BIN / "dump-logits"), str(path), "--activations", activations,
                   "--threads", "2"]
        with tempfile.TemporaryFile() as out:
            done = subprocess.run(command, input=lines.encode(), stdout=out, check=False)
            out.seek(0)
            if not ok(done.returncode == 0, activations + ": the real model computes"):
                continue
            kl, lost = [], []
            for h in hidden:
                raw = out.read(len(h) * model.n_vocab * 4)
                got = np.frombuffer(raw, np.float32).reshape(len(h), model.n_vocab)
                reference = log_softmax(model.logits(h))
                kl.append(divergence(reference, log_softmax(got.astype(np.float64))))
                rows = np.arange(len(h))
                lost.append(reference.max(axis=-1) - reference[rows, got.argmax(axis=-1)])
            kl, lost = np.concatenate(kl), np.concatenate(lost)
            ok(kl.mean() < bar, "%s: mean KL %.2e, below %.0e" % (activations, kl.mean(), bar))
            ok(lost.max() <= GREEDY_NATS,
               "%s: each of %d greedy tokens within %.1f nat of the best (worst %.3f)"
               % (activations, len(lost), GREEDY_NATS, lost.max()))


if not (BIN / "dump-logits").exists():
    bail_out("build/t/bin/dump-logits is missing: run ./quickstart test")
test_tiny_models()
real = os.environ.get("WEIR_MODEL")
if real:
    test_real_model(real)
else:
    skip("WEIR_MODEL names no model file: ./quickstart test sets it", 1)
done_testing()
