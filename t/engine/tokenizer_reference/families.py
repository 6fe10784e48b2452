"""The released tokenizers package, set up with a model file's vocabulary and a family's split."""

import gguf
from tokenizers import Regex, Tokenizer, decoders, models
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

# As the models' tokenizer.json files have them.
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

# Name in tokenizer.ggml.pre: (split, ignore_merges).
FAMILIES = {
    "gpt-2": ("gpt2", False),
    "smollm": ("smollm", False),
    "llama-bpe": ("llama3", True),
    "qwen2": ("qwen2", False),
}


def pre_tokenizer(split):
    if split == "gpt2":
        return ByteLevel(add_prefix_space=False)
    if split == "smollm":
        return Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    pattern = LLAMA3 if split == "llama3" else QWEN2
    bytes_only = ByteLevel(add_prefix_space=False, use_regex=False)
    return Sequence([Split(Regex(pattern), "isolated", invert=False), bytes_only])


class Vocabulary:
    """What the file says, read by the gguf package."""

    def __init__(self, path):
        fields = gguf.GGUFReader(path).fields
        self.tokens = fields["tokenizer.ggml.tokens"].contents()
        self.merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
        self.types = fields["tokenizer.ggml.token_type"].contents()
        self.special = [t for t, kind in zip(self.tokens, self.types) if kind == 3]
        self.ids = {t: i for i, t in enumerate(self.tokens)}

    def tokenizer(self, family, ignore_merges=None):
        split, ignore = FAMILIES[family]
        ignore = ignore if ignore_merges is None else ignore_merges
        tok = Tokenizer(models.BPE(self.ids, self.merges, ignore_merges=ignore))
        tok.pre_tokenizer = pre_tokenizer(split)
        tok.decoder = decoders.ByteLevel()
        return tok

    def has_all_bytes(self, text):
        """Whether every byte of text has a token; a byte without one is left out of the ids."""
        if not hasattr(self, "_bytes"):
            alphabet = bytes_to_characters()
            self._bytes = {b for b, c in alphabet.items() if c in self.ids}
        return all(b in self._bytes for b in text.encode())


def bytes_to_characters():
    """The byte-level alphabet, taken from the package: characters whose UTF-8 has every byte."""
    byte_level = ByteLevel(add_prefix_space=False, use_regex=False)
    points = [*range(0x800), *range(0x800, 0xD800, 0x40), *range(0xE000, 0x110000, 0x800)]
    out = {}
    for c in points:
        out.update(zip(chr(c).encode(), byte_level.pre_tokenize_str(chr(c))[0][0]))
    return out
