"""Makes the tiny towers: `python -m peftrec.tiny_towers.pretrain [DIRECTORY]`, some minutes on one core.

The towers learn by themselves, without labels or users, from a catalogue with another seed than any that is meant to
be trained or evaluated on, as pretrained encoders have not seen the items of the data set that they are adapted to.
"""

import logging
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from peftrec.data.synthetic.catalogue import SyntheticCatalogue
from peftrec.data.synthetic.pictures import RenderedPictures
from peftrec.tiny_towers import BERT_DIRECTORY, VIT_DIRECTORY
from peftrec.tiny_towers.image import SIDE, pretrain_vit
from peftrec.tiny_towers.text import pretrain_bert

PRETRAINING_SEED = 2**32 - 1
"""Catalogue seed of the pretraining; the last one there is, so that counting up from 0 never meets it."""
NUM_ITEMS = 6000
NUM_THREADS = 1
"""Fixed, as the order of sums decides the last bits of the weights; models this small gain nothing from more."""


def save(model: PreTrainedModel, directory: Path) -> None:
    """Save in half precision: the checkpoints travel with the package."""
    model.half().save_pretrained(directory)


def main(parent: Path | None = None) -> None:
    """Pretrain both towers and write their checkpoints, into `parent` or where the package looks for them."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(NUM_THREADS)
    torch.use_deterministic_algorithms(mode=True)
    source = SyntheticCatalogue(catalogue_seed=PRETRAINING_SEED, num_items=NUM_ITEMS, num_users=2, image_size=SIDE)
    items = source.read(titles=["text"], images=["image"]).items
    assert items.titles is not None
    assert isinstance(items.images, RenderedPictures)
    bert_directory = parent / BERT_DIRECTORY.name if parent else BERT_DIRECTORY
    vit_directory = parent / VIT_DIRECTORY.name if parent else VIT_DIRECTORY

    bert, tokenizer = pretrain_bert(items.titles, seed=0)
    # Dropout is for towers that could overfit: on states this narrow it mostly is noise. With it, full fine-tuning
    # and BitFit reached about half the HR@10 in the quickstart's eight epochs.
    bert.config.update({"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    save(bert, bert_directory)
    tokenizer.save_pretrained(bert_directory)
    logging.info("wrote %s", bert_directory)

    vit = pretrain_vit(np.asarray(items.images.pixels), seed=0)
    save(vit, vit_directory)
    ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(vit_directory)
    logging.info("wrote %s", vit_directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
