#!/usr/bin/env python3
"""weir-llm: every command and option on a tiny model, the documented commands, and the real model."""
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "t", "lib"))
from weirtap import diag, done_testing, is_, isnt, like, ok, skip

BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
TOOL = os.path.join(BUILD, "bin", "weir-llm")
REAL = os.environ.get("WEIR_MODEL")
FOLDER = tempfile.TemporaryDirectory(prefix="weir-llm-")
TINY = os.path.join(FOLDER.name, "tiny.gguf")


def make_tiny(path, *options):
    subprocess.run([os.path.join(BUILD, "t", "bin", "tiny-model"), "--out", path, *options], check=True)
    return path


def weir(*args, stdin=b"", model=TINY, timeout=120):
    """Runs weir-llm; returns (exit status, stdout, stderr) as text."""
    env = {k: v for k, v in os.environ.items() if k != "WEIR_MODEL"}
    if model is not None:
        env["WEIR_MODEL"] = model
    if isinstance(stdin, str):
        stdin = stdin.encode()
    done = subprocess.run([TOOL, *args], input=stdin, env=env, capture_output=True, timeout=timeout)
    return done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8", "replace")


def usage():
    rc, out, err = weir()
    is_(rc, 2, "no command: exit status 2")
    like(err, "usage: weir-llm COMMAND", "and the usage")
    rc, out, _ = weir("--help")
    commands = re.findall(r"^  (\w+) ", out, re.M)
    is_((rc, commands), (0, ["run", "chat", "bench", "info", "tokenize", "detokenize", "perplexity"]),
        "--help lists the commands")
    for command in commands:
        rc, out, err = weir(command, "--help")
        ok(rc == 0 and out.startswith("usage: weir-llm " + command) and err == "", command + " --help")
        rc, out, err = weir(command, "--no-such-option")
        ok(rc == 2 and "no option --no-such-option" in err and out == "", command + ": unknown option")
        rc, out, err = weir(command, model=None)
        ok(rc == 1 and "--model FILE" in err and "WEIR_MODEL" in err and "quickstart" in err,
           command + ": without a model says how to give one")
        rc, out, err = weir(command, "--model", "/nonexistent.gguf", stdin="text")
        ok(rc == 1 and "/nonexistent.gguf" in err and err.count("\n") <= 2, command + ": no such file")
    for command in ("bench", "perplexity"):
        is_(weir(command, "--context", "64")[0], 2, command + ": no option that it would not heed")
    rc, _, err = weir("sing")
    ok(rc == 2 and "no command 'sing'" in err, "unknown command")
    for args, what in ((("run", "--temperature", "3", "x"), "number from 0 to 2, not '3'"),
                       (("run", "--temperature", "nan", "x"), "not 'nan'"),
                       (("run", "--max-tokens", "0", "x"), "whole number from 1"),
                       (("run", "--max-tokens", "-1", "x"), "whole number"),
                       (("run", "--seed", "99999999999999999999", "x"), "whole number"),
                       (("run", "--top-k=1.5", "x"), "whole number"),
                       (("run", "--seed"), "needs a value"),
                       (("run", "--quiet=yes", "x"), "takes no value"),
                       (("run", "one", "two"), "one argument too many"),
                       (("run", *["--stop=x"] * 5, "x"), "4 times at most"),
                       (("bench", "--prefill", "0", "--decode", "0"), "nothing to measure"),
                       (("perplexity", "--window", "8", "--stride", "9"), "must not be more")):
        rc, out, err = weir(*args)
        ok(rc == 2 and what in err and out == "", "wrong usage: " + " ".join(args)[:50])


def broken_files():
    empty = os.path.join(FOLDER.name, "empty.gguf")
    text = os.path.join(FOLDER.name, "text.gguf")
    cut = os.path.join(FOLDER.name, "cut.gguf")
    open(empty, "w").close()
    with open(text, "w") as f:
        f.write("This is no model. " * 100)
    with open(TINY, "rb") as f, open(cut, "wb") as g:
        g.write(f.read()[:-1000])
    for path in (empty, text, cut, FOLDER.name):
        for command in ("run", "info", "tokenize", "bench"):
            rc, out, err = weir(command, "--model", path, stdin="text")
            ok(rc == 1 and out == "" and "weir-llm: " in err, "%s of %s" % (command, os.path.basename(path)))


def run():
    rc, first, err = weir("run", "--max-tokens", "24", "--seed", "3", "--ignore-eos", "Hello")
    is_(rc, 0, "run")
    like(err, r"loading .*tiny\.gguf\nloaded in [\d.]+ s: cpu \S+, \d+ threads?, .* context 512\n",
         "says on standard error what it loads, in lines when that is no terminal")
    like(err, r"prompt: \d+ tokens \(0 cached\), .* first token after \d+ ms; answer: 24 tokens, .*length reached",
         "and reports the speed")
    options = ("--max-tokens", "24", "--seed", "3", "--ignore-eos", "-q")
    rc, second, err = weir("run", *options, "Hello")
    is_(second, first, "the same seed gives the same answer")
    is_(err, "", "--quiet is quiet")
    is_(weir("run", *options, "--threads", "1", "Hello")[1], first, "also with another number of threads")
    is_(weir("run", *options, stdin="Hello")[1], first, "a prompt on standard input")
    is_(weir("run", *options, "-", stdin="Hello")[1], first, "or named -")
    is_(weir("run", *options, "--", "Hello")[1], first, "arguments after --")
    is_(weir("run", "-n24", "-q", "Hello")[0], 2, "a letter and its value are two arguments")
    isnt(weir("run", "-n", "24", "--seed", "4", "--ignore-eos", "-q", "Hello")[1], first,
         "another seed gives another answer")
    rc, echoed, _ = weir("run", *options, "--echo", "Hello")
    is_(echoed, "Hello" + first, "--echo")
    for option in (("--top-k", "1"), ("--top-p", "0"), ("--min-p", "1"), ("--temperature", "0")):
        outs = {weir("run", *option, "-q", "-n", "12", "--ignore-eos", "Hello")[1] for _ in range(2)}
        is_(len(outs), 1, " ".join(option) + " leaves no choice, whatever the seed")
    greedy = weir("run", "--temperature", "0", "-q", "-n", "12", "--ignore-eos", "Hello")[1]
    is_(weir("run", "--top-k", "1", "-q", "-n", "12", "--ignore-eos", "Hello")[1], greedy, "and is the greedy one")
    isnt(weir("run", "--temperature", "0", "--repetition-penalty", "50", "-q", "-n", "40", "--ignore-eos",
              "Hello")[1],
         weir("run", "--temperature", "0", "-q", "-n", "40", "--ignore-eos", "Hello")[1],
         "a repetition penalty changes the greedy answer")
    for option in ("--frequency-penalty", "--presence-penalty"):
        rc, out, _ = weir("run", "--json", "--temperature", "0", option, "2", "-q", "-n", "60", "--ignore-eos",
                          "Hello")
        plain = weir("run", "--json", "--temperature", "0", "-q", "-n", "60", "--ignore-eos", "Hello")[1]
        ok(len(set(json.loads(out)["tokens"])) >= len(set(json.loads(plain)["tokens"])),
           option + " does not make the answer poorer in words")
    for option in (("--isa", "scalar"), ("--float",), ("--context", "64")):
        rc, out, err = weir("run", *options, *option, "Hello")
        ok(rc == 0 and out.endswith("\n") and err == "", " ".join(option))
    rc, _, err = weir("run", "--isa", "vax", "Hello")
    ok(rc == 1 and "vax" in err, "an unknown instruction set")
    rc, _, err = weir("run", "--context", "100000", "Hello")
    ok(rc == 1 and "512" in err, "a context beyond the model's")
    rc, _, err = weir("run", "--context", "8", "Hello, this is a long prompt indeed")
    ok(rc == 1 and "context only 8" in err, "a prompt beyond the context")
    rc, _, err = weir("run", stdin="")
    ok(rc == 1 and "prompt is empty" in err, "an empty prompt")
    rc, out, _ = weir("run", "-q", "-n", "4", "--seed", "1", stdin=b"a\xff\xc3b")
    is_((rc, out), weir("run", "-q", "-n", "4", "--seed", "1", "a\ufffd\ufffdb")[:2], "invalid UTF-8 is read as U+FFFD")


def run_json():
    rc, out, _ = weir("run", "--json", "-n", "20", "--seed", "9", "--ignore-eos", "-q", "Hello")
    whole = json.loads(out)
    ok(rc == 0 and out.count("\n") == 1, "--json prints one line")
    is_(sorted(whole), ["completion_tokens", "finish_reason", "first_token_seconds", "prompt_tokens", "seed", "text",
                        "tokens", "total_seconds"], "with these members")
    is_((len(whole["tokens"]), whole["completion_tokens"], whole["finish_reason"], whole["seed"]),
        (20, 20, "length", 9), "and these values")
    plain = weir("run", "-n", "20", "--seed", "9", "--ignore-eos", "-q", "Hello")[1]
    is_(whole["text"] + "\n", plain, "the text is that of a plain run")
    text = whole["text"]
    stop = text[len(text) // 2:len(text) // 2 + 2]
    rc, out, _ = weir("run", "--json", "-n", "20", "--seed", "9", "--ignore-eos", "-q", "--stop", stop,
                      "--stop", "never there", "Hello")
    stopped = json.loads(out)
    is_((stopped["text"], stopped["finish_reason"]), (text[:text.index(stop)], "stop"), "a stop text ends before it")
    first = json.loads(weir("run", "--json", "-n", "20", "-q", "Hello")[1])
    again = json.loads(weir("run", "--json", "-n", "20", "-q", "--seed", str(first["seed"]), "Hello")[1])
    is_(again["tokens"], first["tokens"], "the seed that was drawn can be given again")
    special = json.loads(weir("run", "--json", "-n", "1", "-q", "--special", "<|im_end|>")[1])
    ordinary = json.loads(weir("run", "--json", "-n", "1", "-q", "<|im_end|>")[1])
    ok(special["prompt_tokens"] == 1 and ordinary["prompt_tokens"] > 1, "--special reads special tokens")


def interrupt():
    env = dict(os.environ, WEIR_MODEL=TINY)
    process = subprocess.Popen([TOOL, "run", "--ignore-eos", "--isa", "scalar", "--float", "--threads", "1", "Hello"],
                               env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    err = err.decode("utf-8", "replace")
    # A fast machine may have been done before the signal came.
    ok((process.returncode == 1 and "interrupted" in err) or (process.returncode == 0 and "length reached" in err),
       "an interrupt ends the answer in good order")


def interrupt_chat():
    for name in ("SIGINT", "SIGTERM"):
        process = subprocess.Popen([TOOL, "chat", "-n", "4"], env=dict(os.environ, WEIR_MODEL=TINY),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(b"Hello\n")
        process.stdin.flush()
        for line in process.stderr:
            if b"answer: " in line:
                break
        process.send_signal(getattr(signal, name))
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
        is_(process.returncode, -getattr(signal, name), "%s ends a chat that waits for a message" % name)
        process.communicate()


def chat():
    talk = "Hello\n\n/history\n/reset\n/history\n/nonsense\nAgain\n/quit\nnever read\n"
    rc, out, err = weir("chat", "--temperature", "0", "-n", "8", "--system", 'Be "brief".', stdin=talk)
    is_(rc, 0, "chat on a pipe")
    histories = [json.loads(line) for line in out.split("\n") if line.startswith('[{"role"')]
    is_([m["role"] for m in histories[0]], ["system", "user", "assistant"], "the conversation so far")
    is_((histories[0][0]["content"], histories[0][1]["content"]), ('Be "brief".', "Hello"), "with its texts")
    ok(out.startswith(histories[0][2]["content"] + "\n"), "the answer is what was printed")
    is_([m["role"] for m in histories[1]], ["system"], "/reset keeps the system message")
    ok("no command /nonsense" in err and "/history" in err, "an unknown command shows the list")
    is_(err.count("answer: "), 2, "two answers, the line after /quit is not read")
    rc, out, err = weir("chat", "-q", "-n", "4", stdin=b"caf\xe9\n/history\n")
    ok(rc == 0 and "caf\ufffd" in out, "invalid UTF-8 is read as U+FFFD")
    rc, out, err = weir("chat", "-n", "4", stdin="x" * 3000 + "\nHello\n/history\n")
    ok(rc == 1 and "context" in err and "left out" in err and "xxxx" not in out,
       "a message too long is left out, the conversation goes on")
    bare = make_tiny(os.path.join(FOLDER.name, "bare.gguf"), "--no-template")
    rc, _, err = weir("chat", model=bare, stdin="Hello\n")
    ok(rc == 1 and "no chat template" in err, "a model without a template")
    source = os.path.join(FOLDER.name, "odd.jinja")
    with open(source, "w") as f:
        f.write("{% nosuchtag %}")
    odd = make_tiny(os.path.join(FOLDER.name, "odd.gguf"), "--template", source)
    rc, _, err = weir("chat", model=odd, stdin="Hello\n")
    ok(rc == 1 and "chat template: " in err, "a template that cannot be used is named as the reason")
    is_(weir("run", "-q", "-n", "2", "Hello", model=odd)[0], 0, "and does not keep the model from running")


def bench():
    rc, out, err = weir("bench", "--threads", "1", "--prefill", "32", "--decode", "8", "--repeat", "3", "--json")
    is_(rc, 0, "bench")
    got = json.loads(out)
    for name in ("prefill_tokens_per_second", "decode_tokens_per_second"):
        ok(0 < got[name + "_min"] <= got[name] <= got[name + "_max"], name + " with its spread")
    is_((got["threads"], got["prefill_tokens"], got["decode_tokens"], got["repeat"]), (1, 32, 8, 3), "the settings")
    ok(got["bytes_per_token"] > 0 and got["read_bytes_per_second"] > 1e8 and got["decode_share_of_limit"] > 0,
       "the memory's limit")
    is_(err.count("run "), 3, "a line per run")
    rc, out, _ = weir("bench", "-q", "--prefill", "20", "--decode", "4", "--repeat", "2", "--sequences", "3",
                      "--depth", "17", "--batch", "7", "--float")
    ok(rc == 0 and re.search(r"prefill +20 tokens", out) and re.search(r"decode +4 tokens at 17 +x3 ", out)
       and "float activations" in out, "as text")
    rc, out, _ = weir("bench", "-q", "--prefill", "0", "--decode", "4", "--repeat", "1", "--json")
    ok(rc == 0 and json.loads(out)["prefill_tokens_per_second"] == 0, "decode alone")


def info():
    rc, out, _ = weir("info", "--tensors")
    ok(rc == 0 and all(word in out for word in ("general.architecture", "token_embd.weight", "architecture    llama",
                                                "context         512 tokens", "types:")), "info")
    rc, out, _ = weir("info", "--json", TINY)
    got = json.loads(out)
    is_((got["architecture"], got["layers"], got["embedding"], got["context"]), ("llama", 2, 64, 512), "info --json")
    is_(sum(t["bytes"] for t in got["types"].values()), got["weight_bytes"], "the types add up to the weights")
    is_(got["file_bytes"], os.path.getsize(TINY), "the file's size")


def tokenize():
    text = "Hello, wörld \U0001f600\n"
    rc, out, _ = weir("tokenize", "--json", text)
    got = json.loads(out)
    is_((rc, got["count"]), (0, len(got["tokens"])), "tokenize --json")
    is_(json.loads(weir("tokenize", "--json", stdin=text)[1]), got, "from standard input")
    lines = weir("tokenize", text)[1].splitlines()
    is_([int(line.split()[0]) for line in lines], got["tokens"], "a line per token")
    is_(weir("tokenize", "--count", text)[1], "%d\n" % got["count"], "--count")
    is_(weir("detokenize", *map(str, got["tokens"]))[1], text + "\n", "detokenize gives the text back")
    is_(weir("detokenize", stdin=out)[1], text + "\n", "from standard input too")
    end = json.loads(weir("tokenize", "--json", "--special", "a<|im_end|>")[1])["tokens"]
    is_(len(end), 2, "--special")
    is_((weir("detokenize", *map(str, end))[1], weir("detokenize", "--special", *map(str, end))[1]),
        ("a\n", "a<|im_end|>\n"), "detokenize with and without special tokens")
    is_(weir("tokenize", "--json", stdin="")[1], '{"tokens":[],"count":0}\n', "no text, no tokens")
    is_(weir("tokenize", "--json", stdin=b"\xff")[1], weir("tokenize", "--json", "\ufffd")[1],
        "invalid UTF-8 is read as U+FFFD")
    rc, _, err = weir("detokenize", "999999")
    ok(rc == 1 and "no token 999999" in err, "an id that does not exist")
    bos = make_tiny(os.path.join(FOLDER.name, "bos.gguf"), "--add-bos")
    plain = json.loads(weir("tokenize", "--json", "a", model=bos)[1])["tokens"]
    is_(json.loads(weir("tokenize", "--json", "--bos", "a", model=bos)[1])["tokens"], [1] + plain, "--bos")
    return bos


def perplexity(bos):
    path = os.path.join(FOLDER.name, "text.txt")
    with open(path, "w") as f:
        f.write("It was a bright cold day in April, and the clocks were striking thirteen. " * 4)
    n = int(weir("tokenize", "--count", stdin=open(path, "rb").read())[1])
    rc, out, err = weir("perplexity", "--json", "--window", "50", path)
    got = json.loads(out)
    windows = math.ceil(n / 50)
    is_((rc, got["tokens"]), (0, n - windows), "every token but the first of each window is scored")
    ok(abs(math.exp(got["nats_per_token"]) - got["perplexity"]) < 1e-6 * got["perplexity"], "perplexity is exp(nats)")
    like(err, r"%d of %d tokens, perplexity" % (n, n), "progress on standard error")
    rc, out, _ = weir("perplexity", "-q", "--per-token", "--json", "--window", "50", "--stride", "20", path)
    lines = out.splitlines()
    is_([int(line.split("\t")[0]) for line in lines[:-1]], list(range(1, n)), "with a stride each is scored once")
    total = -sum(float(line.split("\t")[2]) for line in lines[:-1])
    ok(abs(total / (n - 1) - json.loads(lines[-1])["nats_per_token"]) < 1e-4, "and the lines add up to the result")
    ids = json.loads(weir("tokenize", "--json", stdin=open(path, "rb").read())[1])["tokens"]
    is_([int(line.split("\t")[1]) for line in lines[:-1]], ids[1:], "with the text's ids")
    rc, out, _ = weir("perplexity", "-q", "--json", "-n", "30", "--window", "16", path, model=bos)
    is_(json.loads(out)["tokens"], 30, "with a first token in front, every token is scored")
    like(weir("perplexity", "-q", "--max-tokens", "20", stdin=open(path, "rb").read())[1],
         r"^perplexity [\d.]+ \+- [\d.]+ over 19 tokens", "as text, from standard input")
    rc, _, err = weir("perplexity", stdin="")
    ok(rc == 1 and "at least 2" in err, "no text")
    rc, _, err = weir("perplexity", "/nonexistent.txt")
    ok(rc == 1 and "/nonexistent.txt" in err, "no such file")


def broken_pipe():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([TOOL, "tokenize", "--model", TINY, "Hello"], stdout=full, stderr=subprocess.PIPE)
    ok(done.returncode == 1 and b"standard output" in done.stderr, "a full disk is an error")


def documented():
    """Every command in docs/weir-llm.md."""
    with open(os.path.join(ROOT, "docs", "weir-llm.md")) as f:
        blocks = re.findall(r"^```sh\n(.*?)^```", f.read(), re.S | re.M)
    commands = [line for block in blocks for line in block.splitlines()]
    ok(len(commands) >= 10, "the page has commands")
    env = dict(os.environ, WEIR_MODEL=REAL or TINY)
    for command in commands:
        command = command.replace("build/bin/weir-llm", TOOL)
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], env=env, cwd=ROOT, capture_output=True,
                              timeout=300)
        # `| head` may close the pipe early, which ends the writer by SIGPIPE.
        if not ok(done.returncode in (0, 141) and done.stdout != b"",
                  "documented: " + command.replace(TOOL, "weir-llm")):
            diag(done.stderr.decode("utf-8", "replace"))


def real_model():
    if not REAL:
        skip("WEIR_MODEL names no model file: ./quickstart test sets it", 4)
        return
    rc, out, _ = weir("run", "-q", "--temperature", "0", "-n", "3", "The capital of France is", model=REAL)
    like(out, r"^ Paris\b", "the model knows the capital of France")
    rc, out, _ = weir("run", "-q", "--temperature", "0", "-n", "24", "--float", "Once upon a time, there was a",
                      model=REAL)
    ok(rc == 0 and len(re.findall(r"\b(a|the|and|to|of|was|in|who|named|had)\b", out)) >= 5, "and writes English")
    rc, out, _ = weir("chat", "-q", "--temperature", "0", "--float", "-n", "16",
                      stdin="What is the capital of France?\n", model=REAL)
    like(out, "Paris", "also in a chat")
    english = "The sun rises in the east and sets in the west. Water boils at one hundred degrees."
    shuffled = " ".join(sorted(english.split()))
    scores = [json.loads(weir("perplexity", "-q", "--json", stdin=text, model=REAL)[1])["perplexity"]
              for text in (english, shuffled)]
    ok(scores[0] < 60 and scores[0] * 5 < scores[1], "and finds English likelier than its words in disorder: %.0f, %.0f"
       % tuple(scores))


make_tiny(TINY)
usage()
broken_files()
run()
run_json()
interrupt()
interrupt_chat()
chat()
bench()
info()
bos_model = tokenize()
perplexity(bos_model)
broken_pipe()
documented()
real_model()
done_testing()
