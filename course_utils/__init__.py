"""The course's package: attention blocks, networks, data, training, widgets, checks and figures.

Nothing heavy is imported here. A subpackage loads when it is first used:

    import course_utils
    course_utils.attention.SEBlock        # torch is imported now
"""

import importlib
from types import ModuleType

_SUBPACKAGES = ("attention", "check", "data", "figures", "models", "resources", "training", "widgets")


def __getattr__(name: str) -> ModuleType | str:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "__version__":
        from importlib import metadata

        try:
            return metadata.version("attention-course")
        except metadata.PackageNotFoundError:  # a clone on sys.path, as on Colab
            import tomllib
            from pathlib import Path

            project = Path(__file__).parents[1] / "pyproject.toml"
            return tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBPACKAGES, "__version__"])
