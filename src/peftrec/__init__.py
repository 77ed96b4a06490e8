"""peftrec compares adaptation strategies for multimodal sequential recommendation."""

__version__ = "0.1.0"
