"""The supported families of text encoders; a rename inside transformers hurts this file and the one of image encoders
alone (5.18 was the last to rename)."""

from dataclasses import replace

from peftrec.models.towers.family import CLIP_SITES, Family

_BERT = Family(
    modality="text",
    model="BertModel",
    blocks="encoder.layer",
    sites={
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attention_output": "attention.output.dense",
        "ffn_input": "intermediate.dense",
        "ffn_output": "output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "ffn_norm": "output.LayerNorm",
    },
    has_pooler=True,
)

_ROBERTA = replace(_BERT, model="RobertaModel", num_reserved_positions=2)  # positions count from padding_idx + 1

_XLM_ROBERTA = replace(_ROBERTA, model="XLMRobertaModel")

_DEBERTA_V2 = replace(
    _BERT,
    model="DebertaV2Model",
    sites=_BERT.sites
    | {
        "query": "attention.self.query_proj",
        "key": "attention.self.key_proj",
        "value": "attention.self.value_proj",
    },
    has_pooler=False,
    after_first_block="encoder.conv",
    blocks_return_pairs=True,
    attends_by_position=True,
)

_DISTILBERT = Family(
    modality="text",
    model="DistilBertModel",
    blocks="transformer.layer",
    sites={
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "attention_output": "attention.out_lin",
        "ffn_input": "ffn.lin1",
        "ffn_output": "ffn.lin2",
        "attention_norm": "sa_layer_norm",
        "ffn_norm": "output_layer_norm",
    },
)

_LLAMA = Family(
    modality="text",
    model="LlamaModel",
    blocks="layers",
    sites={
        "query": "self_attn.q_proj",
        "key": "self_attn.k_proj",
        "value": "self_attn.v_proj",
        "attention_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj",
        "ffn_input": "mlp.up_proj",
        "ffn_output": "mlp.down_proj",
        "attention_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
    },
    poolings=("last", "mean"),
    norm="norm",
    embeddings="embed_tokens",
    is_causal=True,
    keeps_cache=True,
    attends_by_position=True,
)

_QWEN3 = replace(
    _LLAMA,
    model="Qwen3Model",
    sites=_LLAMA.sites | {"query_norm": "self_attn.q_norm", "key_norm": "self_attn.k_norm"},
)

_GEMMA3 = replace(
    _QWEN3,
    model="Gemma3TextModel",
    sites=_QWEN3.sites
    | {
        "attention_output_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "ffn_output_norm": "post_feedforward_layernorm",
    },
)

_EMBEDDING_GEMMA = replace(_GEMMA3, poolings=("mean", "cls"), is_causal=False)

_MODERNBERT = Family(
    modality="text",
    model="ModernBertModel",
    blocks="layers",
    sites={
        "query_key_value": "attn.Wqkv",
        "attention_output": "attn.Wo",
        "ffn_gate_input": "mlp.Wi",
        "ffn_output": "mlp.Wo",
        "attention_norm": "attn_norm",  # the first block has none: the embeddings' stands right before it
        "ffn_norm": "mlp_norm",
    },
    fused=dict.fromkeys(("query", "key", "value"), "query_key_value")
    | dict.fromkeys(("ffn_gate", "ffn_input"), "ffn_gate_input"),
    norm="final_norm",
    windows_include_their_end=True,
    attends_by_position=True,
)

_CLIP_TEXT = Family(
    modality="text",
    model="CLIPTextModel",
    blocks="encoder.layers",
    sites=CLIP_SITES,
    poolings=("last", "mean"),  # attention is causal: the first token has seen nothing but itself
    norm="final_layer_norm",
    is_causal=True,
)

_SIGLIP_TEXT = replace(
    _CLIP_TEXT,
    model="SiglipTextModel",
    is_causal=False,
    unused=("head",),
    attends_to_padding=True,
    tokenizer="PreTrainedTokenizerFast",  # its own class asks for sentencepiece, its tokenizer.json does not
)

_SIGLIP2_TEXT = replace(_SIGLIP_TEXT, model="Siglip2TextModel")

TEXT_FAMILIES = {
    "bert": _BERT,  # MiniLM too
    "roberta": _ROBERTA,
    "xlm-roberta": _XLM_ROBERTA,  # multilingual E5 too
    "distilbert": _DISTILBERT,
    "deberta-v2": _DEBERTA_V2,  # and v3
    "llama": _LLAMA,
    "qwen3": _QWEN3,  # Qwen3-Embedding too
    "gemma3_text": _GEMMA3,
    "modernbert": _MODERNBERT,
    "clip_text_model": _CLIP_TEXT,
    "siglip_text_model": _SIGLIP_TEXT,  # SigLIP 2 of one size too
    "siglip2_text_model": _SIGLIP2_TEXT,  # NaFlex
}
"""transformers' `model_type` to family."""

BIDIRECTIONAL_FAMILIES = {"gemma3_text": _EMBEDDING_GEMMA}
"""What decoders are where their config says that attention looks both ways (`use_bidirectional_attention`)."""
