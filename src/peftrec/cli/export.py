"""`peftrec export run=RUN_DIR`: a finished run as files that transformers, peft and numpy load."""

from pathlib import Path
from typing import TYPE_CHECKING

from peftrec.cli.arguments import SWITCH, Grammar, read_arguments

if TYPE_CHECKING:
    from peftrec.serving.exporting import Export

HELP = """usage: peftrec export run=RUN_DIR [to=DIR] [merge=true] [overwrite=true] [user_encoder=false]
                      [data.root=DIR] [code=DIR]

Writes RUN_DIR/export, or DIR:

  text/ image/              a tower that peft adapted: an adapter folder that plain peft loads onto the base checkpoint;
                            with merge=true, and where the tower's own weights moved, a whole Hugging Face checkpoint,
                            which is also good for towers.text.checkpoint=DIR/text
  recommender.safetensors   projections, fusion and user encoder
  introduced.safetensors    what the strategy trained beside the towers, or in them in modules of its own
  user_encoder.pt2          from embeddings of a history to a user's vector: torch.export.load("user_encoder.pt2")
  item_embeddings.npy       one row an item, and items.parquet: id and title of each row
  README.md                 a card: a script that recommends from these files, data, protocol, figures, versions

Towers and user encoder are read back and must give the run's vectors to 1e-5. The folder appears when it is whole.

  run=RUN_DIR         the run's folder, runs/first/lora-0123456789ab; runs/first/lora where one run alone is called so
  user_encoder=false  no user_encoder.pt2: for a user encoder of your own that torch.export cannot follow
  data.root=DIR       where the run's data lies now, if it moved; so for towers.*.checkpoint, hidden_states.directory

examples:
  peftrec train name=first strategy=lora trainer.max_epochs=2
  peftrec export run=runs/first/lora
  peftrec export run=runs/first/lora to=merged merge=true overwrite=true"""

GRAMMAR = Grammar(
    verb="export",
    help=HELP,
    keys=("run", "to", "merge", "user_encoder", "overwrite"),
    required={"run": "RUN_DIR"},
    values=dict.fromkeys(("merge", "user_encoder", "overwrite"), SWITCH),
    takes_places=True,
    runs_user_code=True,
)


def main(arguments: list[str]) -> int:
    """Write the export and say what is in it."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    merges, overwrites = given.switch("merge"), given.switch("overwrite")
    has_user_encoder = given.switch("user_encoder", default=True)
    from peftrec.results.record import read_finished

    read_finished(given.run)  # before what takes seconds to import
    from peftrec.progress.quiet import quieten_libraries
    from peftrec.serving.exporting import export_run

    quieten_libraries()
    export = export_run(
        given.run,
        to=Path(given.own["to"]) if "to" in given.own else None,
        merges=merges,
        has_user_encoder=has_user_encoder,
        overwrites=overwrites,
        places=given.places,
    )
    print(summary(export))
    return 0


def summary(export: "Export") -> str:
    """Return a line for every part of an export."""
    lines = [f"exported to {export.folder}"]
    for tower in export.towers:
        if tower.difference is None:
            what = "as it is" if tower.form == "untouched" else "with modules of the strategy's own"
            lines.append(f"  no {tower.name}/: {tower.base_name}, {what}")
        else:
            kind = "peft adapter" if tower.form == "peft_folder" else "whole checkpoint"
            lines.append(
                f"  {tower.name}/: {kind}, {tower.num_parameters:,} parameters, from {tower.base_name}; read back, "
                f"vectors differ by {tower.difference:.1g}"
            )
    lines += [f"  {name}: {count:,} parameters" for name, count in export.num_weights.items()]
    if (encoder := export.user_encoder) is not None:
        lines.append(
            f"  user_encoder.pt2: {encoder.num_parameters:,} parameters; read back, users' vectors differ by "
            f"{encoder.difference:.1g}"
        )
    lines.append(f"  item_embeddings.npy, items.parquet: {export.num_items:,} items")
    return "\n".join(lines)
