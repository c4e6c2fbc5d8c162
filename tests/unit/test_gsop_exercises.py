"""The official solutions of lesson 4.1.2 against the package; and the answers that its open exercise takes."""

import pytest
import torch
import torch.nn.functional as F

from course_utils import check
from course_utils.attention import GSoPBlock, SEBlock, covariance_pool, matrix_square_root
from course_utils.check.engine import Draw
from course_utils.lessons.gsop_net.exercises import _released

torch.set_num_threads(1)


pytestmark = pytest.mark.usefixtures("fresh_session")


def drawn(exercise, seed=0):
    return exercise.draw(Draw(seed))


def test_the_covariance_is_the_packages():
    (x,) = drawn(check.channel_covariance)
    torch.testing.assert_close(check.channel_covariance.official(x), covariance_pool(x))


def test_covariance_and_row_wise_convolution_make_the_gsop_block():
    torch.manual_seed(0)
    block = GSoPBlock(10, reduced_channels=5, expansion=3)
    block(torch.randn(8, 10, 6, 6))
    block.eval()
    x = torch.randn(2, 10, 6, 7)
    reduced = F.relu(block.norm(block.reduce(F.relu(x))))
    rows = block.row_norm(check.channel_covariance.official(reduced)[..., None])[..., 0]
    squeezed = check.row_wise_convolution.official(rows, block.row_conv.weight, block.row_conv.bias)
    torch.testing.assert_close(torch.sigmoid(block.expand(squeezed)), block.mask(x).flatten(1))


def test_positions_are_channels_of_the_input_turned_round():
    (x,) = drawn(check.position_covariance)
    turned = x.flatten(2).transpose(1, 2)[:, :, :, None]  # (N, M, C, 1)
    torch.testing.assert_close(check.position_covariance.official(x), covariance_pool(turned))


def test_the_released_code_gives_variances_below_zero_where_channels_outnumber_positions():
    torch.manual_seed(0)
    x = torch.rand(1, 128, 8, 8)
    assert _released(x)[0].diagonal().min() < 0
    assert torch.linalg.eigvalsh(check.position_covariance.official(x)[0])[0] > -1e-5
    square = torch.rand(1, 64, 8, 8)  # as many channels as positions: there it is right
    torch.testing.assert_close(_released(square), check.position_covariance.official(square))


@pytest.mark.parametrize("sizes", [(256, 128, 4), (24, 16, 4), (50, 7, 2)])
def test_the_count_is_the_blocks_own(sizes):
    assert check.count_gsop_parameters.official(*sizes) == sum(p.numel() for p in GSoPBlock(*sizes).parameters())


def test_the_square_root_is_the_packages():
    cov, iterations = drawn(check.newton_schulz_root)
    torch.testing.assert_close(check.newton_schulz_root.official(cov, iterations), matrix_square_root(cov, iterations))


ANSWERS = {
    "rolled": lambda x, first, second: put(x, second, x[:, second].roll(2, 2)),
    "shuffled": lambda x, first, second: put(
        x, first, x[:, first].flatten(1)[:, torch.randperm(x[0, 0].numel())].view_as(x[:, first])
    ),
    "flat": lambda x, first, second: put(x, second, x[:, second].mean(dim=(1, 2), keepdim=True)),
    "mirrored about its mean": lambda x, first, second: put(
        x, first, 2 * x[:, first].mean(dim=(1, 2), keepdim=True) - x[:, first]
    ),
}


def put(x, channel, values):
    y = x.clone()
    y[:, channel] = values
    return y


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))
def test_any_input_that_fools_se_is_accepted(answer):
    assert check.fool_se(answer).kind == "right"


def test_what_is_accepted_fools_se_and_not_gsop():
    x, first, second = drawn(check.fool_se)
    y = check.fool_se.official(x, first, second)
    torch.manual_seed(0)
    se, gsop = SEBlock(x.shape[1], reduction=1), GSoPBlock(x.shape[1], reduced_channels=4).eval()
    torch.testing.assert_close(se.mask(x), se.mask(y))
    assert (gsop.mask(x) - gsop.mask(y)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x, first, second: put(x, second, x[:, second] + 0.1), "SE sees that"),
        (lambda x, first, second: put(x, second, x[:, second] + 0.01 * (x[:, first] - x[:, first].mean((1, 2), True))),
         "too little to be seen"),
        (lambda x, first, second: x * float("nan"), "not finite"),
        (lambda x, first, second: x[0], "it should be (2,"),
        (lambda x, first, second: x.double(), "You returned x as it is"),
        (lambda x, first, second: x.int(), "dtype"),
    ],
)  # fmt: skip
def test_an_input_that_fools_nobody_is_refused_with_its_numbers(answer, words):
    card = check.fool_se(answer)
    assert card.kind == "not yet"
    assert words in card.lines[0]
