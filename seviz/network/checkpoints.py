"""Read weights from a file into a model: tensors only, whatever they are wrapped in, and only if they fit."""

import stat
from pathlib import Path

import timm.models
from torch import Tensor, nn

from seviz.errors import WeightsError
from seviz.network.trust import file_sha256

_WRAPPERS = ("module.", "model.", "_orig_mod.")
_LARGEST = 2**40  # bytes; what the system makes up as it is read can say more
_SHOWN = 3  # names of each kind in a message


def load_checkpoint(model: nn.Module, path: Path, *, part: str = "") -> None:
    """Load weights from a file into a model.

    Parameters
    ----------
    model
        Changed in place, or not at all.
    path
        A safetensors file, or a torch file that holds tensors only. The state may lie under "state_dict", "model"
        or, which is then preferred, their EMA; names may begin with "module.", "model." or "_orig_mod.".
    part
        What the model is called where the file is of a larger network, such as "backbone": then the rest of the file
        is left.

    Raises
    ------
    WeightsError
        If the file cannot be read, would run code when read, or does not hold exactly the tensors of the model.
    """
    state = _unwrapped(_read(path), model)
    if part and any(name.startswith(f"{part}.") for name in state):
        state = {name.removeprefix(f"{part}."): value for name, value in state.items() if name.startswith(f"{part}.")}
    own = model.state_dict()
    # Counters of batches seen came to BatchNorm late, and say nothing in evaluation.
    optional = {name for name in own if name.endswith("num_batches_tracked")}
    wrong = {
        "missing": sorted(own.keys() - state.keys() - optional),
        "unexpected": sorted(state.keys() - own.keys()),
        "of another shape": sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape),
    }
    if any(wrong.values()):
        phrases = [
            f"{len(names)} {kind} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
            for kind, names in wrong.items()
            if names
        ]
        raise WeightsError(
            f"weights {str(path)!r} do not fit this {type(model).__name__}: of its {len(own)} tensors"
            f" {', '.join(phrases)}. Give the weights of this very network."
        )
    model.load_state_dict({**{name: own[name] for name in optional}, **state})


def weights_file_sha256(path: Path) -> str:
    """SHA-256 of a file of weights; raises WeightsError if it cannot be read, or is no regular file of a usual size."""
    try:
        _check_file(path)
        return file_sha256(path)
    except OSError as error:
        raise WeightsError(
            f"weights {str(path)!r} cannot be read ({error.strerror or error}); expected a safetensors file, or a torch"
            " file that holds tensors only"
        ) from error


def _check_file(path: Path) -> None:
    """Raise OSError unless there is a file with an end: to open a pipe is to wait, and a device gives for ever."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("no regular file")
    if not 0 < status.st_size <= _LARGEST:
        raise OSError(f"it has {status.st_size:,} bytes")


def _read(path: Path) -> dict[str, Tensor]:
    try:
        _check_file(path)
        state = timm.models.load_state_dict(str(path), use_ema=True, device="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise WeightsError(
                f"weights {str(path)!r} hold more than tensors, and to read them would run code from the file. Where"
                " you trust it, save its tensors anew: torch.save(model.state_dict(), PATH), or"
                " safetensors.torch.save_file(model.state_dict(), PATH)."
            ) from error
        raise WeightsError(
            f"weights {str(path)!r} cannot be read ({type(error).__name__}: {reason}); expected a safetensors file,"
            " or a torch file that holds tensors only"
        ) from error
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"weights {str(path)!r} hold no state; expected names and tensors as of model.state_dict()")
    return state


def _unwrapped(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The state without the prefixes of what the model was wrapped in when it was saved."""
    own = model.state_dict().keys()
    while True:
        prefix = next((p for p in _WRAPPERS if all(name.startswith(p) for name in state)), None)
        if prefix is None or own & state.keys():
            return state
        state = {name.removeprefix(prefix): value for name, value in state.items()}
