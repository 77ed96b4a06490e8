"""Hooks by which what enters and leaves a block of a tower is shown, and may be replaced."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

BlockVisit = Callable[[int, Float[Tensor, "item token hidden"]], Tensor | None]
"""Gets a block's place, from 0, and what enters or leaves it; returns what takes its place, or None."""


class HighestRead(Exception):  # noqa: N818 - no error
    """Ends a forward pass of which nothing more is read."""


def visit_input(module: nn.Module, visit: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Show `visit` what enters a module, however it is passed, and pass on what it returns."""

    def hook(
        _: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if arguments:
            changed = visit(arguments[0])
            return None if changed is None else ((changed, *arguments[1:]), keywords)
        changed = visit(keywords["hidden_states"])
        return None if changed is None else (arguments, {**keywords, "hidden_states": changed})

    return module.register_forward_pre_hook(hook, with_kwargs=True)


def input_of(module: nn.Module, run: Callable[[], object]) -> Tensor:
    """Run until a module is reached, and return what enters it; no further."""
    entered: list[Tensor] = []

    def end(tokens: Tensor) -> None:
        entered.append(tokens)
        raise HighestRead

    handle = visit_input(module, end)
    try:
        run()
    except HighestRead:
        return entered[0]
    finally:
        handle.remove()
    raise ValueError(f"a pass that reaches no {type(module).__name__}")


def visit_output(module: nn.Module, visit: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Show `visit` what leaves a module, alone or before other outputs, and pass on what it returns."""

    def hook(_: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, Tensor):
            return visit(output)
        changed = visit(output[0])
        return None if changed is None else (changed, *output[1:])

    return module.register_forward_hook(hook)
