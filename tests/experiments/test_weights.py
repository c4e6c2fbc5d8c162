import pytest

from course_utils.models import load_network, network_card
from course_utils.training import evaluate
from experiments.weights import RECIPES


@pytest.mark.parametrize("name", ["se_digits", "se_cued_digits"])
def test_shipped_networks_reach_what_their_cards_say(name):
    card = network_card(name)
    reached = evaluate(load_network(name), RECIPES[name].test_set()).accuracy
    low, high = card["accuracy_interval_95"]
    assert low < reached < high
    assert abs(reached - card["accuracy"]) < 0.003
