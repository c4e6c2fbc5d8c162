"""What is learned from: digits, cued digits and scenes, photographs, pets, with the true place where it is known."""

from .cifar import cifar10
from .cued import cued_digits
from .dataset import ImageSet
from .download import DataError, hub_weights
from .handwritten import digits
from .moving import ClipSet, moving_digits
from .pets import pets
from .photographs import feature_crop, photograph, photograph_features, photograph_names
from .scenes import DIGIT_PAIRS, cued_scenes
from .sized import digit_sides, sized_digits
from .text_lines import draw_text
