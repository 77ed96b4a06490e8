"""Small pretrained encoders that ship with the package: a BERT and a ViT in Hugging Face format.

They stand in where no download is wanted. `python -m peftrec.tiny_towers.pretrain` makes them anew.
"""

from pathlib import Path

BERT_DIRECTORY = Path(__file__).parent / "bert"
VIT_DIRECTORY = Path(__file__).parent / "vit"
