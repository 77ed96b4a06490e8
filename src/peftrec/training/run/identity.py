"""Which run this is: the question that it answers, the code that answers it, and the name that both give."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from peftrec.code.fingerprint import Fingerprint
from peftrec.config.roles import roles_of
from peftrec.data.fingerprint import content_hashes, data_hash
from peftrec.data.split import Split
from peftrec.processes import ProcessRank
from peftrec.results.record import Kind, Provenance
from peftrec.settings.run import Settings, settings_to_config
from peftrec.settings.run_identity import digest, processes_decide, question_hash, run_code


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Name and hashes of a run."""

    kind: Kind
    run_id: str
    config: dict[str, JsonValue]
    roles: Mapping[str, str]
    """Keys of `config` that do not decide the result."""
    question_hash: str
    code: Fingerprint
    comparison_hash: str
    provenance: Provenance


def identify(settings: Settings, provenance: Provenance, processes: ProcessRank, kind: Kind) -> Identity:
    """Hash what the run asks, fingerprint the code that will answer; loads no weights.

    The names of users and items are part of the question: a finished run is asked by them.
    """
    config, roles = settings_to_config(settings), roles_of(settings)
    facts: dict[str, Any] = {
        "kind": kind,
        "data": provenance.data_hash,
        "content": provenance.content_hashes,
        "towers": provenance.tower_revisions,
        "preprocessing": settings.towers.preprocessing() if settings.strategy.reads_content else {},
    }
    if processes.are_several and processes_decide(settings):
        facts["processes"] = processes.count
    question, code = question_hash(config, roles, facts), run_code(settings)
    return Identity(
        kind=kind,
        run_id=run_id(settings.strategy_name, question, code),
        config=config,
        roles=dict(roles),
        question_hash=question,
        code=code,
        comparison_hash=digest({"data": provenance.data_hash, "mask_history": settings.evaluation.mask_history}),
        provenance=provenance,
    )


def provenance_of(settings: Settings, split: Split) -> Provenance:
    """Hash the data and the towers' weights."""
    of_data, of_content = hashes_of_data(settings, split)
    return Provenance(
        data_hash=of_data,
        content_hashes=of_content,
        tower_revisions=hashes_of_towers(settings),
        vectors=vectors_of_towers(settings),
    )


def hashes_of_data(settings: Settings, split: Split) -> tuple[str, dict[str, str]]:
    """Hash what users did, and what the strategy reads of the items, by tower."""
    of_content = content_hashes(split.items, settings.towers.contents) if settings.strategy.reads_content else {}
    return data_hash(split, with_times=settings.user_encoder.reads_times), of_content


def hashes_of_towers(settings: Settings) -> dict[str, str]:
    """Hash the weights that the strategy starts from, by tower."""
    return settings.towers.weights_hashes(seed=settings.seed) if settings.strategy.reads_content else {}


def vectors_of_towers(settings: Settings) -> dict[str, str]:
    """Say how each tower's states become a vector."""
    return settings.towers.vectors() if settings.strategy.reads_content else {}


def run_id(strategy: str, question: str, code: Fingerprint) -> str:
    """Return the name of the run's folder."""
    return f"{strategy}-{digest([question, code.digest])[:12]}"
