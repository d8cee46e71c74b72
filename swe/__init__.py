"""Share weights, then unshare: training of stacks of repeated modules (Yang et al., 2110.03848).

Every public name can be had from here, ``from swe import adopt, SweFixed``; each loads its module,
and with it torch, only when it is first used. The list is in ``__init__.pyi``, which type checkers
read too, and in docs/api.md. Everything that is not in it is private by convention, whatever its
name: it may change in any release. What the names mean for a model of your own:
docs/own_model.md; what sharing means, sentence by sentence with its test: docs/sharing.md.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
