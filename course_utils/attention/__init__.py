"""What is taught: one file for each mechanism, readable on its own."""

from .alignments import align
from .block import AttentionBlock
from .convolutional_block import CBAM
from .dot_product import scaled_dot_product_attention
from .editing import Effect, edit_masks, effect, off, only, scale, temperature, uniform
from .efficient_channel import ECABlock
from .gate import AttentionGate
from .general import GeneralAttention
from .learned_alignments import PredictiveCenter, SubsetAgent
from .multi_head import MultiHeadAttention
from .recording import record_masks
from .scores import score
from .second_order_pooling import GSoPBlock, covariance_pool, matrix_square_root
from .selective_kernel import SelectiveKernel
from .self_attention import SelfAttention2d
from .space_time import SpaceTimeAttention, TemporalAttention
from .squeeze_excitation import SEBlock
from .tokens import Layout, Tokens, find_tokens
