"""Networks made of the blocks that are taught."""

from .attention_cnn import AttentionCNN
from .attention_vgg16 import AttentionVGG, AttentionVGG16
from .loading import CheckpointError, load_network, network_card
from .person_segmenter import PersonFeatures, PersonSegmenter
from .text_reader import TextReader
from .trained_weights import trained_weights
from .vision_transformer import VisionTransformer, class_token_maps, rollout
