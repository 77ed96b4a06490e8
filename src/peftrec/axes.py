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
side       width of a ladder beside a tower
out        width that a layer inside or beside a tower gives
dim        width of item and user embeddings
position   places of training sequences that have a next item, in one row
cold, warm the side of a cold-start split that has content, and the other one
entity     ids of one side
pair       pairs of ids of both sides
feature    columns of content
rank       columns of pretrained factors
interest   query vectors that describe one user; `cluster` where they are still parts of a history
query      vectors whose nearest items are looked for; `place` counts what is found
draw       evaluations of what is drawn at random
"""
