"""A GGUF file -> a directory that mlx_lm loads.

It does only what SmolLM2's Q4_1 file needs: architecture `llama`, byte-level BPE.

MLX reads Q4_1 and Q8_0 tensors without loss, as (weight, scales, biases) of groups of 32. Beware of K-quants:
MLX's own Q4_K dequantization is wrong after the first 32 values (relative error 0.51), so this module refuses
nothing but promises nothing there. Imports MLX, but computes nothing that a slow BLAS would hold up.
"""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from wire import JsonObject

GROUP_SIZE = 32  # GGUF's block of the plain quantizations
CONTROL = 3  # GGUF's token type of special tokens

Arrays = dict[str, mx.array]
Metadata = dict[str, Any]  # GGUF's keys -> arrays of one number or several, texts, lists of texts

NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(gguf: Path, target: Path, dtype: str) -> None:
    """Write config.json, model.safetensors and the tokenizer's files into target.

    dtype: `float32` spreads the quantized weights out; `4bit` keeps them exactly as the file has them.
    Raises ValueError for another architecture than llama.
    """
    loaded: Any = mx.load(str(gguf), return_metadata=True)  # its type leaves open what comes for which format
    tensors: Arrays
    meta: Metadata
    tensors, meta = loaded
    if meta["general.architecture"] != "llama":
        raise ValueError(f"{gguf.name} is a {meta['general.architecture']}, not a llama")
    heads = {
        "attn_q": meta["llama.attention.head_count"].item(),
        "attn_k": meta["llama.attention.head_count_kv"].item(),
    }
    layers = {_mlx_name(key): _layer(tensors, key, heads) for key in tensors if key.endswith(".weight")}
    config = _config(meta)
    if dtype == "4bit":
        bits = {name: _bits(layer) for name, layer in layers.items() if "scales" in layer}
        others = {name: {"group_size": GROUP_SIZE, "bits": n} for name, n in bits.items() if n != 4}
        config["quantization"] = {"group_size": GROUP_SIZE, "bits": 4, **others}
        weights = {f"{name}.{part}": array for name, layer in layers.items() for part, array in layer.items()}
    else:
        weights = {f"{name}.weight": _dense(layer) for name, layer in layers.items()}
    mx.save_safetensors(str(target / "model.safetensors"), weights, metadata={"format": "mlx"})
    (target / "config.json").write_text(json.dumps(config, indent=2))
    _write_tokenizer(meta, target)


def _mlx_name(key: str) -> str:
    """`blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj`."""
    *block, part, _ = key.split(".")
    return f"model.layers.{block[1]}.{NAMES[part]}" if block else NAMES[part]


def _layer(tensors: Arrays, key: str, heads: dict[str, int]) -> Arrays:
    """The arrays of one layer: `weight`, and `scales` and `biases` where it is quantized."""
    stem = key.removesuffix(".weight")
    names = [name for name in ("weight", "scales", "biases") if f"{stem}.{name}" in tensors]
    layer = {name: tensors[f"{stem}.{name}"] for name in names}
    part = stem.split(".")[-1]
    if part not in heads:
        return layer
    return {name: _unpermuted(array, heads[part]) for name, array in layer.items()}


def _unpermuted(rows: mx.array, heads: int) -> mx.array:
    """The rows as MLX wants them: each head's two rotary halves one after the other.

    GGUF interleaves the halves for llama. Only rows move, so quantized ones can too.
    """
    return rows.reshape(heads, rows.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def _bits(layer: Arrays) -> int:
    return layer["weight"].shape[1] * 32 // (layer["scales"].shape[1] * GROUP_SIZE)


def _dense(layer: Arrays) -> mx.array:
    if "scales" not in layer:
        return layer["weight"].astype(mx.float32)
    scales, biases = (layer[part].astype(mx.float32) for part in ("scales", "biases"))
    return mx.dequantize(layer["weight"], scales, biases, group_size=GROUP_SIZE, bits=_bits(layer))


def _config(meta: Metadata) -> JsonObject:
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": meta["llama.embedding_length"].item(),
        "num_hidden_layers": meta["llama.block_count"].item(),
        "intermediate_size": meta["llama.feed_forward_length"].item(),
        "num_attention_heads": meta["llama.attention.head_count"].item(),
        "num_key_value_heads": meta["llama.attention.head_count_kv"].item(),
        "rms_norm_eps": meta["llama.attention.layer_norm_rms_epsilon"].item(),
        "rope_theta": meta["llama.rope.freq_base"].item(),
        "vocab_size": meta["llama.vocab_size"].item(),
        "max_position_embeddings": meta["llama.context_length"].item(),
        "tie_word_embeddings": True,
        "bos_token_id": meta["tokenizer.ggml.bos_token_id"].item(),
        "eos_token_id": meta["tokenizer.ggml.eos_token_id"].item(),
    }


def _write_tokenizer(meta: Metadata, target: Path) -> None:
    tokens = meta["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
    # llama.cpp calls this splitting `smollm`: digits one by one, then GPT-2's expression.
    digits = pre_tokenizers.Digits(individual_digits=True)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    kinds = meta["tokenizer.ggml.token_type"].tolist()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    tokenizer.save(str(target / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": meta["llama.context_length"].item(),
    }
    names = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    for role, name in names.items():
        settings[role] = tokens[meta[f"tokenizer.ggml.{name}_token_id"].item()]
    (target / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    (target / "chat_template.jinja").write_text(meta["tokenizer.chat_template"])
