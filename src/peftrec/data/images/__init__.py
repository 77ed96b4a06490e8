"""Images of items in a folder or a zip, checked before training and decoded when a batch needs them."""
