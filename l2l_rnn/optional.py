"""Optional packages, imported at first use."""

from __future__ import annotations

import importlib
from types import ModuleType

from l2l_rnn.errors import MissingExtraError

# Packages whose modules have another name.
_PACKAGES = {"pytorch_lightning": "pytorch-lightning", "sklearn": "scikit-learn"}


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module, or raise an error with the pip command that installs it.

    Args:
        module: dotted name of the module, such as `"babel.localedata"`.
        extra: the extra of this package that installs it, from `setup.cfg`.
        purpose: what needs the module, such as `"the task set 'languages'"`; begins the error
            message.

    Returns:
        The imported module.

    Raises:
        MissingExtraError: the package, or a package that it imports, is not installed.

    Example:
        >>> require("json", extra="none", purpose="this example").dumps([1])
        '[1]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        package = _PACKAGES.get(package, package)
        raise MissingExtraError(
            f"{purpose} needs the package {package}, which cannot be imported ({error}); "
            f"install it with: pip install {package} (it is in the extra {extra!r} of l2l_rnn)"
        ) from error
