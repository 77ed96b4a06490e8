"""Glossary of the axis names in shape annotations (jaxtyping), one meaning each.

item       distinct items of a batch, or items of the catalogue
pool       items that the positions of a batch are scored against
candidate  items that are ranked
user       users (or training windows) of a batch
step       places of a sequence, oldest first, padded on the left
word       tokens of a title
height, width, channel   of an image
token      what a tower of GTN attends over: steps, or channels of a series
series     series of a batch, to classify; label: their classes
state      hidden states that a side network reads, lowest first
hidden     width of a tower
dim        width of item and user embeddings
"""
