"""`peftrec export run=RUN_DIR`: a finished run as files that transformers, peft and numpy load."""

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from peftrec.cli.arguments import is_true, take_words
from peftrec.errors import UserError

if TYPE_CHECKING:
    from peftrec.serving.exporting import Export

HELP = """usage: peftrec export run=RUN_DIR [to=DIR] [merge=true] [overwrite=true]

Writes RUN_DIR/export, or DIR:

  text/ image/              a tower that peft adapted: an adapter folder that plain peft loads onto the base checkpoint;
                            with merge=true, and where the tower's own weights moved, a whole Hugging Face checkpoint,
                            which is also good for towers.text.checkpoint=DIR/text
  recommender.safetensors   projections, fusion and user encoder
  introduced.safetensors    what the strategy trained beside the towers, or in them in modules of its own
  item_embeddings.npy       one row an item, and items.parquet: id and title of each row
  README.md                 a card: data, protocol, figures, configuration, versions

Towers are read back and must give the run's vectors. The folder appears when it is whole."""

OPTIONS = ("run", "to", "merge", "overwrite")


def main(arguments: list[str]) -> int:
    """Write the export and say what is in it."""
    if set(arguments) & {"-h", "--help"}:
        print(HELP)
        return 0
    options = parse(arguments)
    from peftrec.progress.quiet import quieten_libraries
    from peftrec.serving.exporting import export_run

    quieten_libraries()
    export = export_run(
        Path(options["run"]),
        to=Path(options["to"]) if "to" in options else None,
        merges=is_true(options, "merge"),
        overwrites=is_true(options, "overwrite"),
    )
    print(summary(export))
    return 0


def parse(arguments: list[str]) -> dict[str, str]:
    """Return the options by name. Raises UserError for an unknown one, one without a value, or a missing run."""
    options, others = take_words(arguments, OPTIONS)
    for word in others:
        near = get_close_matches(word.partition("=")[0], OPTIONS, n=1)
        advice = f"did you mean {near[0]}=?" if near else f"there are {', '.join(f'{each}=' for each in OPTIONS)}"
        raise UserError(f"export: unknown option {word}; {advice}")
    if "run" not in options:
        raise UserError("export: say which run: run=RUN_DIR")
    return options


def summary(export: "Export") -> str:
    """Return a line for every part of an export."""
    lines = [f"exported to {export.folder}"]
    for tower in export.towers:
        if tower.difference is None:
            what = "as it is" if tower.form == "untouched" else "with modules of the strategy's own"
            lines.append(f"  no {tower.modality}/: {tower.base_name}, {what}")
        else:
            kind = "peft adapter" if tower.form == "peft_folder" else "whole checkpoint"
            lines.append(
                f"  {tower.modality}/: {kind}, {tower.num_parameters:,} parameters, from {tower.base_name}; read back, "
                f"vectors differ by {tower.difference:.1g}"
            )
    lines += [f"  {name}: {count:,} parameters" for name, count in export.num_weights.items()]
    lines.append(f"  item_embeddings.npy, items.parquet: {export.num_items:,} items")
    return "\n".join(lines)
