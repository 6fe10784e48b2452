"""An independent forward pass of the Llama family, to compare the engine's logits with.

Weights come from the released `gguf` package, by its own reader and its own dequantisation; the
arithmetic is NumPy in float64, written from the definitions: RMSNorm (Zhang and Sennrich, 2019),
rotary embedding (Su et al., 2021), YaRN (Peng et al., 2023), grouped-query attention (Ainslie et al.,
2023), SwiGLU (Shazeer, 2020). Nothing of the engine's C code is used or mirrored.

    model = Model("file.gguf")
    hidden = model.hidden([[1, 2, 3], [4, 5]])   # a list of arrays [tokens, width]
    logits = model.logits(hidden[0])             # [tokens, vocabulary]
"""

import math

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize


class Model:
    def __init__(self, path, kv_type=np.float64):
        """kv_type: the type that keys and values are rounded to before attention reads them."""
        self.kv_type = kv_type
        reader = GGUFReader(path)
        self._fields = reader.fields
        self._tensors = {t.name: t for t in reader.tensors}
        self._weights = {}

        self.arch = self.field("general.architecture")
        if self.arch not in ("llama", "qwen2", "qwen3"):
            raise ValueError("architecture %s is unknown to the reference" % self.arch)
        self.n_layers = self._key("block_count")
        self.n_embd = self._key("embedding_length")
        self.n_heads = self._key("attention.head_count")
        self.n_kv_heads = self._key("attention.head_count_kv", self.n_heads)
        self.head_dim = self._key("attention.key_length", self.n_embd // self.n_heads)
        self.eps = float(np.float32(self._key("attention.layer_norm_rms_epsilon")))
        self.embedding = self.weight("token_embd.weight")
        head = "output.weight" if "output.weight" in self._tensors else "token_embd.weight"
        self.head = self.weight(head)
        self.n_vocab = self.embedding.shape[0]
        self.rope_dims = self._key("rope.dimension_count", self.head_dim)
        self.frequencies, self.rope_scale = self._rope()

    # Reading the file

    def field(self, name, default=None):
        field = self._fields.get(name)
        return default if field is None else field.contents()

    def _key(self, name, default=None):
        value = self.field("%s.%s" % (self.arch, name), default)
        if value is None:
            raise ValueError("the file has no %s.%s" % (self.arch, name))
        return value

    def weight(self, name):
        """The tensor as float32 [rows, columns] (or [columns]); the values are exact."""
        if name not in self._weights:
            tensor = self._tensors[name]
            values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
            shape = tuple(int(n) for n in reversed(tensor.shape))
            self._weights[name] = values.reshape(shape)
        return self._weights[name]

    def optional(self, name):
        return self.weight(name) if name in self._tensors else None

    # Positions

    def _rope(self):
        """Radians per position of each pair, and the factor on sine and cosine."""
        d = self.rope_dims
        base = float(np.float32(self._key("rope.freq_base", 10000.0)))
        full = base ** (-2.0 * np.arange(d // 2) / d)
        divisors = self.optional("rope_freqs.weight")
        if divisors is not None:
            full = full / divisors.astype(np.float64)
        kind = self._key("rope.scaling.type", "none")
        if kind == "none":
            return full, 1.0
        s = float(np.float32(self._key("rope.scaling.factor")))
        if kind == "linear":
            return full / s, 1.0
        if kind != "yarn":
            raise ValueError("RoPE scaling %s is unknown to the reference" % kind)
        # YaRN: gamma is 1 where a wave turns more than beta times in the original context (keep),
        # 0 where it turns less than alpha times (interpolate), linear in the pair's index between.
        context = self._key("rope.scaling.original_context_length")
        beta = float(self._key("rope.scaling.yarn_beta_fast", 32.0))
        alpha = float(self._key("rope.scaling.yarn_beta_slow", 1.0))

        def index_of(turns):
            return d * math.log(context / (turns * 2 * math.pi)) / (2 * math.log(base))

        first = max(math.floor(index_of(beta)), 0)
        last = min(math.ceil(index_of(alpha)), d - 1)
        width = max(last - first, 0.001)
        gamma = 1 - np.clip((np.arange(d // 2) - first) / width, 0, 1)
        scale = float(self._key("rope.scaling.attn_factor", 1.0)) * (0.1 * math.log(s) + 1)
        return full * gamma + full / s * (1 - gamma), scale

    def _rotate(self, x, positions):
        """x [tokens, heads, head_dim]; only the first rope_dims of a head turn."""
        angle = positions[:, None, None] * self.frequencies[None, None, :]
        cos, sin = np.cos(angle) * self.rope_scale, np.sin(angle) * self.rope_scale
        d = self.rope_dims
        out = x.copy()
        if self.arch == "llama":  # GGUF stores Llama's heads with the pairs side by side
            first, second = slice(0, d, 2), slice(1, d, 2)
        else:
            first, second = slice(0, d // 2), slice(d // 2, d)
        a, b = x[..., first], x[..., second]
        out[..., first] = a * cos - b * sin
        out[..., second] = a * sin + b * cos
        return out

    # Layers

    def _norm(self, x, weight):
        mean_square = np.mean(x * x, axis=-1, keepdims=True)
        return x / np.sqrt(mean_square + self.eps) * weight.astype(np.float64)

    def _linear(self, x, name):
        y = x @ self.weight(name + ".weight").astype(np.float64).T
        bias = self.optional(name + ".bias")
        return y if bias is None else y + bias.astype(np.float64)

    def _attend(self, q, k, v, start):
        """q [n, heads, dim] at positions start..; k and v hold all positions so far."""
        group = self.n_heads // self.n_kv_heads
        n, total = q.shape[0], k.shape[0]
        q = q.reshape(n, self.n_kv_heads, group, self.head_dim)
        scores = np.einsum("qhgd,khd->hgqk", q, k, optimize=True) / math.sqrt(self.head_dim)
        visible = np.arange(total)[None, :] <= start + np.arange(n)[:, None]
        scores = np.where(visible, scores, -np.inf)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights = scores / scores.sum(axis=-1, keepdims=True)
        mixed = np.einsum("hgqk,khd->qhgd", weights, v, optimize=True)
        return mixed.reshape(n, self.n_heads * self.head_dim)

    def _layer(self, x, index, rows, positions, cache):
        block = "blk.%d." % index
        h = self._norm(x, self.weight(block + "attn_norm.weight"))
        q = self._linear(h, block + "attn_q").reshape(len(x), self.n_heads, self.head_dim)
        k = self._linear(h, block + "attn_k").reshape(len(x), self.n_kv_heads, self.head_dim)
        v = self._linear(h, block + "attn_v").reshape(len(x), self.n_kv_heads, self.head_dim)
        if self.arch == "qwen3":
            q = self._norm(q, self.weight(block + "attn_q_norm.weight"))
            k = self._norm(k, self.weight(block + "attn_k_norm.weight"))
        q, k = self._rotate(q, positions), self._rotate(k, positions)
        k, v = (a.astype(self.kv_type).astype(np.float64) for a in (k, v))
        mixed = np.empty((len(x), self.n_heads * self.head_dim))
        for i, part in enumerate(rows):
            past = cache[i].get(index)
            if past is None:
                keys, values = k[part], v[part]
            else:
                keys = np.concatenate([past[0], k[part]])
                values = np.concatenate([past[1], v[part]])
            cache[i][index] = (keys, values)
            mixed[part] = self._attend(q[part], keys, values, int(positions[part.start]))
        x = x + self._linear(mixed, block + "attn_output")
        h = self._norm(x, self.weight(block + "ffn_norm.weight"))
        gate = self._linear(h, block + "ffn_gate")
        gated = gate / (1 + np.exp(-gate)) * self._linear(h, block + "ffn_up")
        return x + self._linear(gated, block + "ffn_down")

    # What callers use

    def hidden(self, sequences, cache=None):
        """The normalised output of the last layer, per sequence [tokens, width].

        cache: one dict per sequence, kept from call to call, makes a call continue the last one.
        """
        cache = [{} for _ in sequences] if cache is None else cache
        rows, positions, at = [], [], 0
        for i, tokens in enumerate(sequences):
            start = cache[i].get("n", 0)
            cache[i]["n"] = start + len(tokens)
            rows.append(slice(at, at + len(tokens)))
            positions.append(np.arange(start, start + len(tokens)))
            at += len(tokens)
        positions = np.concatenate(positions)
        x = self.embedding[np.concatenate([np.asarray(s) for s in sequences])].astype(np.float64)
        for index in range(self.n_layers):
            x = self._layer(x, index, rows, positions, cache)
        x = self._norm(x, self.weight("output_norm.weight"))
        return [x[part] for part in rows]

    def logits(self, hidden):
        return hidden @ self.head64().T

    def head64(self):
        """The head in float64, converted once: it is used row by row."""
        if not hasattr(self, "_head64"):
            self._head64 = self.head.astype(np.float64)
        return self._head64


def log_softmax(logits):
    top = logits.max(axis=-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))
