"""The errors that seviz raises on purpose.

    SevizError
    ├── OptionError               (ValueError)         an option outside its range
    │   └── RenamedError          (TypeError)          an argument by a name or at a place that it no longer has
    ├── MissingPackageError       (ImportError)        something needs a package that is not installed
    ├── DeclarationError          (RuntimeError)       a table, figure, criterion or layout that is not well declared
    ├── ModelError
    │   ├── UnknownModelError     (LookupError)        no network of that name
    │   ├── TrustError            (PermissionError)    a file names code, or a network of strangers, to be run
    │   ├── FactoryError          (RuntimeError)       a person's own file raised an exception
    │   ├── WeightsError          (ValueError)         weights not found, or not of this network
    │   ├── NoSEBlocksError       (ValueError)         the network has no SE block
    │   ├── ExampleError          (ValueError)         the network does not take that example
    │   ├── InsertionError        (ValueError)         no place for SE blocks in the network
    │   ├── FoldingError          (ValueError)         no place for a constant gate in the weights
    │   ├── PruningError          (ValueError)         the network cannot be made as small as asked, or not at all
    │   ├── SavedNetworkError     (ValueError)         a saved network that cannot be read, or not be saved
    │   ├── ResultError           (ValueError)         a compression on disk that is not what was written
    │   ├── EngineError           (RuntimeError)       the network cannot be compiled, or not run as asked
    │   ├── CompiledModelError    (RuntimeError)       hooks would be ignored by compiled code
    │   ├── CheckpointedError     (RuntimeError)       backward would compute a forced gate again, unforced
    │   └── GatesNotSeenError     (LookupError)        a forward pass did not meet a block as it was found
    ├── DataError
    │   ├── DataNotFoundError     (FileNotFoundError)  no such directory
    │   ├── EmptyDataError        (ValueError)         no image, or no class, in it
    │   ├── DataFormatError       (ValueError)         a file that describes a data set and cannot be read as such
    │   ├── UnknownClassError     (LookupError)        a class was asked for that is not there
    │   ├── ImageFormatError      (ValueError)         a file that does not decode to an image
    │   ├── WorkerError           (RuntimeError)       a process that decodes images was killed
    │   └── TooManyFailuresError  (RuntimeError)       more images failed than allowed
    └── RunError
        ├── RunNotFoundError      (FileNotFoundError)  no run in that directory
        ├── RunExistsError        (FileExistsError)    another run, or other files, in the way
        ├── RunIncompleteError    (RuntimeError)       a capture that has not finished
        ├── RunLockedError        (RuntimeError)       another capture writes to this run
        ├── OldRunError           (ValueError)         a run in the format of an older seviz
        ├── DamagedRunError       (ValueError)         a file of the run is not what was written
        ├── WriteError            (OSError)            the disk is full, read-only, or gone
        ├── JoinError             (ValueError)         runs that cannot be joined
        ├── MissingSignalError    (LookupError)        a signal or block the run does not hold
        └── MissingTableError     (LookupError)        a table that was not computed yet

Each also inherits the builtin in brackets. A message names what was given, what was expected, and what to do.
"""


class SevizWarning(UserWarning):
    """Something that a person should know, and that stops nothing."""


class SevizError(Exception):
    """Any error that seviz raises on purpose."""

    exit_code = 2
    """What a command that ends with this error returns: 2 for wrong use, 1 for a failure of the work."""


class MissingPackageError(SevizError, ImportError):
    """Something that was asked for needs a package that is not installed."""


class DeclarationError(SevizError, RuntimeError):
    """A table, figure, criterion or layout of another package that cannot be loaded or is not declared."""

    exit_code = 1


class ModelError(SevizError):
    """Something about the network."""


class UnknownModelError(ModelError, LookupError):
    """No network of that name."""


class TrustError(ModelError, PermissionError):
    """A file names what would execute code or fetch from strangers, and the person did not say that it may."""


class FactoryError(ModelError, RuntimeError):
    """A person's own Python file raised an exception when its network was made."""


class WeightsError(ModelError, ValueError):
    """Weights that are not there, or not of this network."""


class NoSEBlocksError(ModelError, ValueError):
    """The network scales no feature map by a per-channel gate computed from it."""


class InsertionError(ModelError, ValueError):
    """The network has no place for SE blocks, or has some already."""


class FoldingError(ModelError, ValueError):
    """A gate that has no place in the weights, not even as a constant."""


class PruningError(ModelError, ValueError):
    """The network cannot be made as small as asked, or cannot be pruned at all."""


class SavedNetworkError(ModelError, ValueError):
    """A network on disk that is not what was written, or a network that cannot be written down."""


class ResultError(ModelError, ValueError):
    """A compression on disk that is not what was written, or not whole."""


class EngineError(ModelError, RuntimeError):
    """The network cannot be compiled, or not be run as asked."""


class ExampleError(ModelError, ValueError):
    """An example of its input that the network does not take."""


class CompiledModelError(ModelError, RuntimeError):
    """Compiled code ignores hooks that are registered after compiling."""


class CheckpointedError(ModelError, RuntimeError):
    """A gate was to be forced under activation checkpointing, which computes it again without force."""


class GatesNotSeenError(ModelError, LookupError):
    """A forward pass did not go through a block, or not as often as the block was found."""


class DataError(SevizError):
    """Something about the images."""


class DataNotFoundError(DataError, FileNotFoundError):
    """No such data set."""


class EmptyDataError(DataError, ValueError):
    """A data set without images or without classes."""


class DataFormatError(DataError, ValueError):
    """A file that describes a data set and cannot be read as such."""


class UnknownClassError(DataError, LookupError):
    """A class that is not in the data."""


class ImageFormatError(DataError, ValueError):
    """A file that does not decode to an image."""


class WorkerError(DataError, RuntimeError):
    """A process that decodes images was killed."""

    exit_code = 1


class TooManyFailuresError(DataError, RuntimeError):
    """More images failed than allowed."""

    exit_code = 1


class RunError(SevizError):
    """Something about a run on disk."""


class RunNotFoundError(RunError, FileNotFoundError):
    """No run in that directory."""


class RunExistsError(RunError, FileExistsError):
    """Another run, or files of another kind, are in the way."""


class RunIncompleteError(RunError, RuntimeError):
    """A capture that has not finished."""

    exit_code = 1


class RunLockedError(RunError, RuntimeError):
    """Another capture writes to this run."""


class OldRunError(RunError, ValueError):
    """A run in the format of an older seviz, which `seviz upgrade` brings along."""


class DamagedRunError(RunError, ValueError):
    """A file of the run is not what was written."""

    exit_code = 1


class WriteError(RunError, OSError):
    """What was to be written could not be: the disk is full, read-only, or gone."""

    exit_code = 1


class JoinError(RunError, ValueError):
    """Runs that cannot be joined to one."""


class MissingSignalError(RunError, LookupError):
    """A signal or a block that the run does not hold."""


class MissingTableError(RunError, LookupError):
    """A table of a run that was not computed yet."""


class OptionError(SevizError, ValueError):
    """An option outside its range."""


class RenamedError(OptionError, TypeError):
    """An argument by a name or at a place that it no longer has."""
