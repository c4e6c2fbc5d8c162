"""`patch-tokens`: a picture as a sequence of patches, what the class token looks at, and what blanking changes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import traitlets

from ...data.images import decode_base64
from ..base import CourseWidget, as_array, cell, encode_fields
from ..limits import check_place

_EXACT = {"probabilities", "single"}  # The page shows differences of these, often small ones: no float16 for them.

VIEWS = ("attention", "rollout", "positions", "occlusion", "sequence")
_MOST_TOKENS = 800
_LEAST_SIDE = 2
_BLACK = 0.2  # of the largest weight of all maps: a map that stays below it is black in their colours

Answer = Callable[[int, Sequence[int]], Any]
"""Which picture and which of its patches are blanked -> the probabilities of the shown classes."""

Add = Callable[[np.ndarray, str], Mapping[str, Any]]
"""A learner's picture, (H, W, 3) uint8, and its file's name or "" -> what `pictures` holds of it."""


class PatchTokens(CourseWidget):
    """Cut a picture into patches, see what the class token looks at in each layer and head, and blank patches.

    The rows of all layers and heads cross once; the page draws from them. What one blanked patch does is known to the
    page too; of several the kernel is asked.

    Args:
        pictures: of one network, all square and of one size. Each has `label`, what it shows; `image`, (H, W) or
            (H, W, 3), uint8; `attention`, (depth, heads, P + 1), the class token's row of weights, to itself first,
            then to the P patches; `rollout`, (depth, P + 1), its row of the rollout of the first 1, 2, ... blocks;
            `classes`, K names; `probabilities`, (K,); `single`, (P, K), the same with each patch blanked alone;
            `asked`, the index of the class whose loss the occlusion map shows; `index`, the same among all classes of
            the network; `code`, lines that make `weights`, `whole` and `single`; where the true place is known
            `place`, (P,), how much of each patch it covers, from 0 to 1.
        answer: makes the probabilities for several blanked patches; without it the page says that it cannot.
        add: opens a learner's picture, which the page sends; without it none can be given.
    """

    _module = "patch_tokens"

    label = traitlets.Unicode("Patch tokens: a picture as a sequence, and what the class token looks at")
    pictures: traitlets.List = traitlets.List().tag(exact=_EXACT)
    similarity = traitlets.Dict()  # (P + 1, P + 1), cosines of the position embeddings, the class token's first
    patch_size = traitlets.Int(1, min=1)  # side of the network's patches, in pixels of the pictures
    cuts = traitlets.List(traitlets.Int())
    answered = traitlets.Dict()  # the kernel's last answer, with the picture and the patches that it is for
    uploads = traitlets.Bool(False)
    picture = traitlets.Int(0, min=0)  # index of the picture shown
    cut = traitlets.Int(1, min=1)  # side of the patches; another than the network's shows the sequence alone
    view = traitlets.Enum(VIEWS, "attention")
    layer = traitlets.Int(1, min=1)  # from 1
    head = traitlets.Int(0, min=0)  # from 1; 0 is the mean of the heads
    query = cell()  # (row, column) of the patch shown first, or of the pinned one; empty without one
    blanked = traitlets.List(traitlets.Int(min=0))  # indices of the blanked patches, row after row from 0
    blanking = traitlets.Bool(False)  # whether a press on the picture blanks a patch, instead of pinning it
    # let every map use the whole colour scale; by default where the map shown first would be black on one for all
    own_range = traitlets.Bool(False)

    def __init__(
        self,
        pictures: Sequence[Mapping[str, Any]],
        patch_size: int,
        similarity: Any,
        answer: Answer | None = None,
        add: Add | None = None,
        **traits: Any,
    ) -> None:
        depth, heads, _ = pictures[0]["attention"].shape
        side = len(pictures[0]["image"])
        cuts = [size for size in range(_LEAST_SIDE, side) if side % size == 0 and (side // size) ** 2 < _MOST_TOKENS]
        traits = {"cut": patch_size, "layer": depth, **traits}
        blanked, query = sorted(set(traits.pop("blanked", ()))), [int(i) for i in traits.pop("query", ())]
        grid = side // traits["cut"] if traits["cut"] in {*cuts, patch_size} else 0
        limits = {
            "picture": (traits.get("picture", 0), range(len(pictures))),
            "layer": (traits["layer"], range(1, depth + 1)),
            "head": (traits.get("head", 0), range(heads + 1)),
            "cut": (traits["cut"], sorted({*cuts, patch_size})),
        }
        for name, (value, known) in limits.items():
            if value not in known:
                words = f"{known[0]} to {known[-1]}" if isinstance(known, range) else f"one of {known}"
                raise ValueError(f"{name}={value!r} is not there; it can be {words}.")
        check_place(query, (grid, grid), "(row, column) of the patches")
        _check_blanked(blanked, (side // patch_size) ** 2)
        rows = as_array(pictures[traits.get("picture", 0)]["attention"])[..., 1:]
        by, layer = traits.get("head", 0), rows[traits["layer"] - 1]
        first = layer[by - 1] if by else layer.mean(axis=0)
        traits.setdefault("own_range", bool(first.max() < _BLACK * rows.max()))
        self._answer, self._add = answer, add
        super().__init__(
            pictures=pictures,
            uploads=add is not None,
            similarity=similarity,
            patch_size=patch_size,
            cuts=sorted({*cuts, patch_size}),
            query=query,
            blanked=[int(patch) for patch in blanked],
            **traits,
        )
        if answer is not None:
            self.answer_with(self._reply_to_page)
            if len(blanked) > 1:
                self.guarded(self._probabilities, {"picture": self.picture, "blanked": self.blanked})

    def _reply_to_page(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The answer for blanked patches, or a learner's picture opened."""
        if "upload" not in asked or self._add is None:
            return self._probabilities(asked)
        name = str(asked["name"])[:80]
        added = self._add(decode_base64(str(asked["upload"]), name or "The picture"), name)
        self.pictures = [*self.pictures, encode_fields(added, exact=_EXACT)]
        return {"uploaded": len(self.pictures) - 1}

    def _probabilities(self, asked: dict[str, Any]) -> dict[str, Any]:
        picture, blanked = int(asked["picture"]), sorted({int(patch) for patch in asked["blanked"]})
        _check_blanked(blanked, self.pictures[picture]["single"]["shape"][0])
        assert self._answer is not None
        found = [float(value) for value in as_array(self._answer(picture, blanked))]
        self.answered = {"picture": picture, "blanked": blanked, "probabilities": found}
        return {"done": True}


def _check_blanked(blanked: Sequence[int], patches: int) -> None:
    missing = [patch for patch in blanked if not 0 <= patch < patches]
    if missing:
        raise ValueError(f"There is no patch {missing[0]} to blank; patches are counted from 0 to {patches - 1}.")
