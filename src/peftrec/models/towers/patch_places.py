"""Where the patches of images of any proportions stand: a table of places resampled to each image's grid."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def resampled_places(
    table: Float[Tensor, "point point hidden"], grids: Int[Tensor, "item axis"], max_length: int
) -> Float[Tensor, "item patch hidden"]:
    """Resample the table to each grid, row by row, as `interpolate` does (bilinear, antialiased); padded patches stand
    at the first place, as in transformers' code.

    There it is a loop that reads each grid on the host, so that a GPU waits, and whose backward pass on a GPU is not
    deterministic. The weights of rows and of columns are separate, and with both at hand it is a product.
    """
    rows, columns = grids[:, :1], grids[:, 1:]
    places = torch.arange(max_length, device=table.device)
    places = torch.where(places < rows * columns, places, 0)
    down = _weights(places // columns, rows, table.shape[0])
    across = _weights(places % columns, columns, table.shape[1])
    with torch.autocast(table.device.type, enabled=False):  # places are added to what stays in full precision
        return torch.einsum("ipr,ipc,rcd->ipd", down.to(table.dtype), across.to(table.dtype), table)


def _weights(
    places: Int[Tensor, "item patch"], sizes: Int[Tensor, "item 1"], length: int
) -> Float[Tensor, "item patch point"]:
    """Return how much each of `length` points counts at places on a side of each size."""
    scales = length / sizes
    centres = (places + 0.5) * scales
    points = torch.arange(length, device=places.device) + 0.5
    reach = scales.clamp(min=1)[:, :, None]  # a smaller side averages over more points
    weights = (1 - (points - centres[:, :, None]).abs() / reach).clamp(min=0)
    return weights / weights.sum(dim=2, keepdim=True)
