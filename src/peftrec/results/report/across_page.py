"""The page of several data sets: ranks, tests, and a table each."""

from collections.abc import Mapping
from urllib.parse import quote

from peftrec.results.across_text import (
    Across,
    readable_differences,
    readable_ranks,
    readable_signed_ranks,
    sentences,
)
from peftrec.results.report.grids import grid_of, main_grid, template

TEMPLATE = "across.html.j2"


def across_page(across: Across, links: Mapping[str, str]) -> str:
    """Return the page; `links` lead to each data set's own."""
    return template(TEMPLATE).render(
        names=", ".join(across.comparisons),
        sentences=sentences(across),
        ranks=[{"metric": one.metric, "table": grid_of(readable_ranks(one))} for one in across.over],
        signed_ranks=grid_of(readable_signed_ranks(across)) if len(across.signed_ranks) else None,
        pairs=grid_of(readable_differences(across)) if len(across.pairs) else None,
        data_sets=[
            {"name": name, "link": quote(links[name]), "table": main_grid(comparison), "notes": comparison.notes}
            for name, comparison in across.comparisons.items()
        ],
    )
