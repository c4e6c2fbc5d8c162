"""Put an ES module and everything that it imports into one text.

A front end loads a widget from a Blob, and a page opened from a folder loads no module at all: neither can import a
file. The joining is done here, when a widget's class is made, and not with a developer's bundler: a bundler needs node,
and its committed output can differ from its source. A module may use these forms:

    import { softmax, largest as best } from "../page/maths.js";
    export function name(...)      export const name = ...      export class Name
"""

import re
from pathlib import Path

_IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)
# Comments on lines of their own, and after code where no quotation mark follows: those are surely no part of a text;
# and the space before a line, of which no text has several.
_SPARED = re.compile(r"^ *(?:/\*\*.*?\*/|//[^\n]*)\n|(?<=[;,{}()\[]) // [^\n\"'`]*$|^[ \n]+", re.MULTILINE | re.DOTALL)
_OTHER = re.compile(r"^(?:import|export (?!default \{)).*", re.MULTILINE)


def join(path: Path) -> str:
    """The source of a module with everything that it imports in front of it, each module once.

    Every imported module is wrapped in a function of its own, so that only exported names can be seen outside it. The
    comments and the space before a line stay behind: they are for who reads the file, and every saved page would carry
    them. So no text between backticks may go over several lines.

    Args:
        path: the module; what it imports is named relative to its file.

    Raises:
        ValueError: if a module is missing, does not export what is imported, imports itself by way of others, has the
            name of another module, or has an import or export in a form that is not known here.
    """
    wrapped: dict[Path, str] = {}
    exported: dict[Path, list[str]] = {}

    def follow(module: Path, on_the_way: tuple[Path, ...]) -> str:
        if module in on_the_way:
            circle = " -> ".join(one.name for one in (*on_the_way[on_the_way.index(module) :], module))
            raise ValueError(
                f"These modules import each other in a circle: {circle}. Move what they share to another one."
            )
        try:
            source = _SPARED.sub("", module.read_text(encoding="utf-8"))
        except FileNotFoundError:
            importer = f"imported by {on_the_way[-1].name}" if on_the_way else "to be joined"
            raise ValueError(f"There is no module {module}, {importer}; check the path in its import line.") from None

        def bind(found: re.Match[str]) -> str:
            target = (module.parent / found[2]).resolve()
            if target not in wrapped:
                body = follow(target, (*on_the_way, module))
                exported[target] = _EXPORT.findall(body)
                same = next((one for one in wrapped if one.stem == target.stem), None)
                if same:
                    raise ValueError(f"{same} and {target} have the same name; give one of them another.")
                public = ", ".join(exported[target])
                body = _EXPORT.sub("", body)
                wrapped[target] = f"const ${target.stem} = (() => {{\n{body}\nreturn {{ {public} }};\n}})();\n"
            names = [name.strip() for name in found[1].split(",") if name.strip()]
            for name in names:
                if name.split(" as ")[0] not in exported[target]:
                    known = ", ".join(exported[target])
                    raise ValueError(f'{module.name} imports "{name}" from {target.name}, which exports {known}.')
            return f"const {{ {', '.join(name.replace(' as ', ': ') for name in names)} }} = ${target.stem};\n"

        body = _IMPORT.sub(bind, source)
        unknown = _OTHER.search(_EXPORT.sub("", body))
        if unknown:
            raise ValueError(
                f'{module.name}: `{unknown[0]}` cannot be joined; write `import {{ name }} from "./file.js";` or '
                "`export` before a function, a const or a class."
            )
        return body

    entry = _EXPORT.sub("", follow(path.resolve(), ()))
    return "\n".join([*wrapped.values(), entry])
