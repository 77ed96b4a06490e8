"""The published models, put together as the published `run.py` does, on random towers of the installed transformers.

`run.py` itself is one function from data files to the last epoch on one CUDA device, so what it sets up between is
written out here: which modules are replaced, and which parameters train.
"""

import importlib
import importlib.util
from argparse import Namespace

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, ViTConfig

from published.earlier_vit import random_vit
from published.loading import CannotRunError, PublishedCode
from published.workload import Shape

WIDTH, DIM = 768, 64  # width: the published code's constant
_HEADS = ("user", "classifier", "title.fc", "cv_pre_fc", "bert_pre_fc")


def arguments_of(code: PublishedCode, **changes: object) -> Namespace:
    """Return the settings that the published scripts share."""
    fixed = {"embedding_dim": DIM, "word_embedding_dim": WIDTH, "CV_model_load": "vit", "drop_rate": 0.1}
    return code.arguments(**{**fixed, "bert_model_load": "bert_base_uncased", "num_workers": 0, **changes})


class Heads(nn.Module):
    """Stands for a tower where the code reads nothing but its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(WIDTH, DIM)


def bare_model(code: PublishedCode, arguments: Namespace, popularity: list[float]) -> nn.Module:
    """Build the model without towers: its user encoder, fusion and loss."""
    return code.model.ModelMM(arguments, len(popularity) - 1, True, Heads(), None, popularity)


def cached_model(code: PublishedCode, popularity: list[float]) -> nn.Module:
    """Build cached IISAN, which reads states by occurrence."""
    arguments = arguments_of(code)
    model = _frozen(bare_model(code, arguments, popularity))
    model.mm_encoder = code.model.IISANAdaptedMModel(model.mm_encoder, arguments)
    return _with_trained_heads(model)


def uncached_model(code: PublishedCode, shape: Shape, popularity: list[float]) -> nn.Module:
    """Build IISAN over towers that run in every step."""
    layers = ",".join(str(layer) for layer in range(1 - shape.num_blocks % 2, shape.num_blocks, 2))
    arguments = arguments_of(code, side_adapter_bert_list=layers, side_adapter_vit_list=layers)
    model = _frozen(_model_on_towers(code, arguments, shape, popularity))
    model.mm_encoder = code.model.IISANAdaptedMModel(model.mm_encoder, arguments)
    return _with_trained_heads(model)


def full_model(code: PublishedCode, shape: Shape, popularity: list[float]) -> nn.Module:
    """Build full fine-tuning; BERT's pooler, which nothing reads, is frozen as in `run.py`."""
    model = _model_on_towers(code, arguments_of(code, modality="intra"), shape, popularity)
    _bert(model).pooler.requires_grad_(False)
    return model


def adapter_model(code: PublishedCode, shape: Shape, popularity: list[float]) -> nn.Module:
    """Build Houlsby adapters in every block of both towers."""
    arguments = arguments_of(code, modality="intra")
    model = _frozen(_model_on_towers(code, arguments, shape, popularity))
    for block in _vit(model).encoder.layer:
        block.attention.output = code.model.VITAdaptedSelfOutput(block.attention.output, arguments)
        block.output = code.model.VITAdaptedOutput(block.output, arguments)
    for block in _bert(model).encoder.layer:
        block.attention.output = code.model.BertAdaptedSelfOutput(block.attention.output, arguments)
        block.output = code.model.BertAdaptedSelfOutput(block.output, arguments)
    return _with_trained_heads(model)


def lora_model(code: PublishedCode, shape: Shape, popularity: list[float]) -> nn.Module:
    """Build LoRA as published: query and value are replaced by fresh layers of loralib.

    Raises CannotRunError where loralib is not installed.
    """
    if importlib.util.find_spec("loralib") is None:
        raise CannotRunError("loralib is not installed; `pip install loralib` beside this package and run again")
    loralib = importlib.import_module("loralib")
    model = _frozen(_model_on_towers(code, arguments_of(code, modality="intra"), shape, popularity))
    for block in _vit(model).encoder.layer:
        block.attention.attention.query = loralib.Linear(WIDTH, WIDTH, r=8)
        block.attention.attention.value = loralib.Linear(WIDTH, WIDTH, r=8)
    for block in _bert(model).encoder.layer:
        block.attention.self.query = loralib.Linear(WIDTH, WIDTH, r=8)
        block.attention.self.value = loralib.Linear(WIDTH, WIDTH, r=8)
    return _with_trained_heads(model)


class Given(nn.Module):
    """Answers with the same tensor whatever is asked: takes the encoders out of the published forward."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, *_: object) -> object:
        return self.answer


def give_embeddings_and_states(model: nn.Module, embeddings: Tensor, states: Tensor) -> None:
    """Let the published forward (modality `inter`) skip its encoders, so that the loss is what is left of it."""
    model.mm_encoder = Given((None, (None, embeddings)))
    model.com_dense = nn.Identity()
    model.user_encoder = Given(states)


class OneProcess(nn.Module):
    """Stands for DistributedDataParallel over one process, whose `module` the published evaluation asks for."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


class Training:
    """The published step: Adam; on CUDA float16 autocast, a gradient scaler, and the check for NaN after it."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.model = model.to(device).train()
        self.device = device
        self.optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-4)
        self.scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")

    def step(self, ids: Tensor, images: Tensor, texts: Tensor, mask: Tensor) -> None:
        """Train on one batch.

        Raises CannotRunError where the loss is NaN, which ends the published training.
        """
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.float16, enabled=self.device.type == "cuda"):
            loss = self.model(ids.view(-1), images, texts, mask, self.device)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if torch.isnan(loss.data):
            raise CannotRunError("the published loss is NaN under the installed libraries")


def _model_on_towers(code: PublishedCode, arguments: Namespace, shape: Shape, popularity: list[float]) -> nn.Module:
    image = random_vit(ViTConfig(num_hidden_layers=shape.num_blocks, image_size=shape.image_size))
    image.classifier = nn.Linear(WIDTH, DIM)
    text = BertModel(BertConfig(num_hidden_layers=shape.num_blocks, vocab_size=shape.vocabulary))
    return code.model.ModelMM(arguments, len(popularity) - 1, True, image, text, popularity)


def _frozen(model: nn.Module) -> nn.Module:
    return model.requires_grad_(False)


def _with_trained_heads(model: nn.Module) -> nn.Module:
    """Train what was made after freezing, the heads, the user encoder and the fusion."""
    for name, parameter in model.named_parameters():
        is_beside = "user" not in name and "encoder" not in name
        if is_beside or any(part in name for part in _HEADS):
            parameter.requires_grad_(True)
    return model


def _vit(model: nn.Module) -> nn.Module:
    return model.mm_encoder.cv_encoder.image_net.vit


def _bert(model: nn.Module) -> nn.Module:
    return model.mm_encoder.bert_encoder.text_encoders["title"].bert_model
