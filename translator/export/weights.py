"""What all exports share: positions, and tables of names from which no weight may be left over."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from translator.config.errors import TranslatorError
from translator.export.engine import N_POSITIONS
from translator.model.transformer import Transformer, sinusoids


class Weights:
    """The weights of a model, each of which must find its place exactly once."""

    def __init__(self, transformer: Transformer):
        self.left: dict[str, Tensor] = {
            name: weight.detach().clone() for name, weight in transformer.state_dict().items()
        }

    def take(self, name: str) -> Tensor:
        """A weight by its name."""
        if name not in self.left:
            raise TranslatorError(f"This model has no weight {name}: it cannot be exported.")
        return self.left.pop(name)

    def fill(
        self, table: Mapping[str, Sequence[str]], ours: str, n_layers: int
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Weight and bias of the modules of a stack of layers, under new names.

        Args:
            table: for each module of a layer there, ours that lie below each other in it.
            ours: the stack: "encoder" or "decoder".
            n_layers: how many layers it has.

        Returns:
            For each layer `i` and each name: `{i}.{name}` -> (weight, bias).
        """
        import torch

        found = {}
        for i in range(n_layers):
            for theirs, parts in table.items():
                names = [f"{ours}.{i}.{part}" for part in parts]
                weight = torch.cat([self.take(f"{name}.weight") for name in names])
                found[f"{i}.{theirs}"] = weight, torch.cat([self.take(f"{n}.bias") for n in names])
        return found

    def finish(self) -> None:
        """Complains about weights without a place.

        Raises:
            TranslatorError: there are some; the message has their names.
        """
        if self.left:
            raise TranslatorError(f"The export has no place for {', '.join(self.left)}.")


def positions(transformer: Transformer) -> Tensor:
    """The position encodings `(N_POSITIONS, D)`."""
    return sinusoids(N_POSITIONS, transformer.config.d_model)
