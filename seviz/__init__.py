"""seviz: see what the Squeeze-and-Excitation blocks of a network do, class by class and block by block."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
