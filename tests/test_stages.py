"""The stages of each method: which, how long, at which rates, and what they leave as it is."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from newfound.config import Config
from newfound.data.image_loader import KeptImages
from newfound.errors import InputError
from newfound.ground import Ground
from newfound.models.network import Network, make_network
from newfound.settings import make_config
from newfound.stages import check_method, freeze_lower_layers, narrow_known_head, stages
from newfound.training.train import Training, learning_rate, train
from support.made_images import made_arrays
from support.small_run import TINY_VIDEOS, tiny_config

EACH = 8
AUTHORS = {"epochs": 200, "lr": 0.1, "batch": 4, "own_batch": None, "weight_decay": 1e-4}


pytestmark = pytest.mark.usefixtures("one_thread")


def ground(config: Config, held_out: tuple[int, ...] = ()) -> tuple[Ground, KeptImages]:
    """Two labelled and two unlabelled classes, grey, 16 pixels."""
    pixels, kinds = made_arrays((0, 1, 2, 3), EACH)
    grey = torch.from_numpy(pixels).float().mean(dim=3).byte()[:, None]
    labels = np.where(kinds < 2, kinds, -1)
    rows = np.setdiff1d(np.arange(len(labels)), held_out)
    network = make_network(config, 2, 2)
    return Ground(network, config, labels, rows, 14.1, torch.device("cpu")), KeptImages(grey)


def begun(**settings: Any) -> dict[str, Training]:
    """All stages of a method by key, none of them trained."""
    config = tiny_config(**settings)
    on, before, made = ground(config)[0], None, {}
    for plan in stages(config):
        before = plan.begin(on, before)
        made[plan.key] = before
    return made


# ---- which, and for how long ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "pretraining", "expected"),
    [
        ("ours", "auto", "training"),
        ("kmeans", "auto", "labels"),
        ("kmeans", "cl", "cl"),
        ("kmeans", "simclr", "simclr"),
        ("kmeans", "rotnet", "rotnet"),
        ("kcl", "auto", "labels similarity training"),
        ("kcl", "cl", "cl similarity training"),
        ("mcl", "none", "similarity training"),
        ("dtc", "auto", "rotnet labels warm-up training"),
        ("dtc", "simclr", "simclr labels warm-up training"),
        ("dtc", "labels", "labels warm-up training"),
        ("dtc", "cl", "cl warm-up training"),
        ("rs", "auto", "rotnet labels training"),
        ("rs", "cl", "cl labels training"),
        ("rs", "simclr", "simclr labels training"),
        ("rs", "labels", "labels training"),
        ("rs-ll", "auto", "rotnet labels training"),
        ("rs-ll", "none", "training"),
    ],
)
def test_the_stages_of_each_method(method: str, pretraining: str, expected: str) -> None:
    plans = stages(tiny_config(method=method, pretraining=pretraining))
    assert " ".join(plan.key for plan in plans) == expected
    assert len({plan.title for plan in plans}) == len(plans)
    shared = [plan.key for plan in plans if plan.is_pretraining]
    assert shared == ([] if method == "ours" or pretraining == "none" else [plans[0].key])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"method": "kmeans"}, {"labels": 100}),
        ({"method": "kmeans", "pretraining": "cl"}, {"cl": 200}),
        ({"method": "kmeans", "pretraining": "simclr"}, {"simclr": 200}),
        ({"method": "kcl"}, {"labels": 100, "similarity": 50, "training": 150}),
        ({"method": "mcl"}, {"labels": 100, "similarity": 50, "training": 150}),
        ({"method": "dtc"}, {"rotnet": 200, "labels": 100, "warm-up": 10, "training": 100}),
        ({"method": "rs"}, {"rotnet": 200, "labels": 100, "training": 200}),
        ({"method": "rs-ll"}, {"rotnet": 200, "labels": 100, "training": 200}),
        (
            {"method": "dtc", "own_epochs": 600},
            {"rotnet": 200, "labels": 100, "warm-up": 30, "training": 300},
        ),
        ({"method": "rs", "own_epochs": 90}, {"rotnet": 200, "labels": 100, "training": 90}),
    ],
)
def test_lengths_are_the_authors_own_at_200_epochs(
    settings: dict[str, Any], expected: dict[str, int]
) -> None:
    made = begun(**AUTHORS | settings)
    assert {key: stage.config.epochs for key, stage in made.items()} == expected


def test_the_shortest_run_has_an_epoch_of_each_stage() -> None:
    for method in ("kcl", "dtc", "rs"):
        assert all(stage.total_steps > 0 for stage in begun(method=method, epochs=1).values())


def test_a_warm_up_takes_at_most_a_quarter_of_a_stage() -> None:
    made = begun(method="dtc", epochs=40, warmup_epochs=3)
    shares = [stage.config.warmup_epochs / stage.config.epochs for stage in made.values()]
    assert shares == [3 / 40, 3 / 20, 1 / 4, 3 / 20]
    assert all(s.config.warmup_epochs == 0 for s in list(begun(method="kcl").values())[1:])


# ---- at which rates -------------------------------------------------------------------------


def rates(stage: Training) -> list[float]:
    """The learning rate of each epoch, the same from its first step to its last."""
    steps, config = stage.steps_per_epoch, stage.config
    of_steps = [learning_rate(step, steps, config) for step in range(stage.total_steps)]
    by_epoch = np.array(of_steps).reshape(config.epochs, steps)
    assert (by_epoch == by_epoch[:, :1]).all()
    return by_epoch[:, 0].tolist()


def in_turn(*parts: tuple[int, float]) -> list[Any]:
    """So many epochs at each rate."""
    return [pytest.approx(rate, rel=1e-9) for epochs, rate in parts for _ in range(epochs)]


def test_rotnet_is_trained_as_its_authors_do() -> None:
    stage = begun(**AUTHORS, method="rs")["rotnet"]
    assert rates(stage) == in_turn((60, 0.1), (60, 0.02), (40, 0.004), (40, 0.0008))
    [group] = stage.optimizer.param_groups
    assert isinstance(stage.optimizer, torch.optim.SGD)
    assert (group["nesterov"], group["momentum"]) == (True, 0.9)
    assert group["weight_decay"] == pytest.approx(5e-4)
    begun(**AUTHORS, method="rs", momentum=0)  # without momentum there is none of Nesterov's


def test_labels_of_rs_are_learnt_at_a_rate_that_is_halved_nine_times() -> None:
    stage = begun(**AUTHORS, method="rs")["labels"]
    assert rates(stage) == in_turn(*[(10, 0.1 / 2**k) for k in range(10)])
    [group] = stage.optimizer.param_groups
    assert (group["nesterov"], group["weight_decay"]) == (False, 1e-4)


def test_the_joint_stage_of_rs_drops_at_170() -> None:
    for method in ("rs", "rs-ll"):
        stage = begun(**AUTHORS, method=method)["training"]
        assert rates(stage) == in_turn((170, 0.1), (30, 0.01))
        assert stage.optimizer.param_groups[0]["weight_decay"] == 1e-4


@pytest.mark.parametrize("method", ["kcl", "mcl"])
def test_kcl_and_mcl_are_trained_by_adam(method: str) -> None:
    made = begun(**AUTHORS, method=method)
    assert rates(made["similarity"]) == in_turn((30, 1e-3), (10, 1e-4), (10, 1e-5))
    assert rates(made["training"]) == in_turn((100, 1e-3), (50, 1e-4))
    for key in ("similarity", "training"):
        assert isinstance(made[key].optimizer, torch.optim.Adam)
        assert made[key].optimizer.param_groups[0]["weight_decay"] == 0
    assert isinstance(made["labels"].optimizer, torch.optim.SGD)


def test_dtc_warms_up_at_the_full_rate_and_goes_on_at_half() -> None:
    made = begun(**AUTHORS, method="dtc")
    assert rates(made["warm-up"]) == in_turn((10, 0.1))
    assert rates(made["training"]) == in_turn((100, 0.05))
    assert rates(made["labels"]) == in_turn((85, 0.1), (15, 0.01))


def test_rates_do_not_depend_on_how_many_steps_an_epoch_has() -> None:
    """A drop is a share of the steps, and 0.3 x 10 is not 3 to the last bit."""
    for batch in (4, 5, 7, 9, 12, 32):
        made = begun(**AUTHORS | {"batch": batch}, method="rs")
        assert rates(made["labels"])[9:11] == in_turn((1, 0.1), (1, 0.05))
        assert rates(made["rotnet"])[119:121] == in_turn((1, 0.02), (1, 0.004))


def test_the_last_stage_has_settings_of_its_own() -> None:
    """As CIFAR-100's DTC: another decay, and a rate that is halved, in the last stage alone."""
    own = {"own_weight_decay": 1e-5, "own_drops": (0.2, 0.4, 0.6, 0.8), "own_drop_factor": 0.5}
    for method, half in (("dtc", 2), ("rs", 1)):
        made = begun(**AUTHORS | own, method=method, schedule="cosine")
        others = [s for key, s in made.items() if key != "training"]
        last, rate, fifth = made["training"], 0.1 / half, 40 // half
        assert rates(last) == in_turn(*[(fifth, rate / 2**k) for k in range(5)])
        assert last.optimizer.param_groups[0]["weight_decay"] == 1e-5
        decays = {round(s.optimizer.param_groups[0]["weight_decay"], 9) for s in others}
        assert decays <= {1e-4, 5e-4}
        for stage in others:
            assert (stage.config.drops, stage.config.drop_factor) != (own["own_drops"], 0.5)


def test_own_batch_is_that_of_all_stages_but_contrastive_ones() -> None:
    made = begun(method="rs", batch=12, own_batch=4)
    assert {key: s.config.batch for key, s in made.items()} == dict.fromkeys(made, 4)
    made = begun(method="rs", pretraining="cl", batch=12, own_batch=4)
    assert [stage.config.batch for stage in made.values()] == [12, 4, 4]
    # No batch is larger than what the stage trains on.
    assert [s.config.batch for s in begun(method="kcl", batch=20).values()] == [16, 16, 16]


def test_each_stage_draws_the_rows_it_is_for() -> None:
    """No held-out item ever, and never an unlabelled one where there is to be a label."""
    held_out, labelled, unlabelled = {0, 9}, set(range(1, 16)) - {9}, set(range(16, 32))
    expected = {
        "rotnet": labelled | unlabelled,
        "cl": labelled | unlabelled,
        "labels": labelled,
        "similarity": labelled,
        "warm-up": unlabelled,
    }
    last = {"rs": labelled | unlabelled, "dtc": unlabelled, "kcl": unlabelled}
    for method, pretraining in [("rs", "auto"), ("rs", "cl"), ("dtc", "auto"), ("kcl", "auto")]:
        config = tiny_config(method=method, pretraining=pretraining, epochs=40, batch=4)
        on, before = ground(config, tuple(held_out))[0], None
        for plan in stages(config):
            before = plan.begin(on, before)
            drawn = set()
            for epoch in range(20):
                before.step = epoch * before.steps_per_epoch
                batches = before.remaining_batches()
                assert len(batches) == before.steps_per_epoch
                drawn |= {row for batch in batches for row in batch.tolist()}
            assert drawn == (expected | {"training": last[method]})[plan.key], (method, plan.key)


@pytest.mark.parametrize("method", ["kcl", "mcl"])
def test_batches_of_the_similarity_network_are_balanced_by_class(method: str) -> None:
    """Five items of each class, so that a batch of many classes has pairs of one."""
    labels = np.array([0] * 20 + [1] * 12 + [2] * 9 + [3] * 7 + [4] * 2 + [-1] * 10)
    config = tiny_config(method=method, epochs=40, own_batch=15)
    network = make_network(config, 5, 2)
    on = Ground(network, config, labels, np.arange(60), None, torch.device("cpu"))
    first, second, _ = stages(config)
    stage = second.begin(on, first.begin(on, None))
    drawn, classes = set(), set()
    for epoch in range(10):
        stage.step = epoch * stage.steps_per_epoch
        batches = stage.remaining_batches()
        assert len(batches) == stage.steps_per_epoch == 50 // 15
        for batch in batches:
            of_batch, sizes = np.unique(labels[batch], return_counts=True)
            assert sizes.tolist() == [5, 5, 5] and of_batch.min() >= 0
            drawn |= set(batch.tolist())
            classes |= {tuple(of_batch)}
        again = stage.remaining_batches()
        assert all(torch.equal(one, other) for one, other in zip(batches, again))
        stage.step += 1
        assert torch.equal(stage.remaining_batches()[0], batches[1]), "as after a stop"
    assert drawn == set(range(50)) and len(classes) > 5


# ---- views ----------------------------------------------------------------------------------


def test_own_stages_see_weak_views_and_contrastive_ones_simclrs() -> None:
    strong = {"crop_scale": (0.2, 0.9), "jitter": 0.7, "grey": 0.3, "blur": 0.4, "flip": 0.25}
    weak = {"weak_crop_scale": (1.0, 1.0), "weak_shift": 0.125}
    made = begun(method="dtc", pretraining="simclr", **strong, **weak)
    for key, stage in made.items():
        views = stage.objective.look.viewer.views
        assert views.flip == 0.25
        if key == "simclr":
            assert (views.crop_scale, views.shift) == ((0.2, 0.9), 0.0)
            assert (views.jitter, views.grey, views.blur) == (0.7, 0.3, 0.4)
            assert views.crop_ratio == (3 / 4, 4 / 3)
        else:
            assert (views.crop_scale, views.shift) == ((1.0, 1.0), 0.125)
            assert (views.jitter, views.grey, views.blur) == (0, 0, 0)
            assert views.crop_ratio == (1.0, 1.0)


def test_weak_crops_keep_the_ratios_asked_for() -> None:
    stage = begun(method="rs", weak_crop_scale=(0.5, 1.0), crop_ratio=(0.8, 1.2))["training"]
    assert stage.objective.look.viewer.views.crop_ratio == (0.8, 1.2)


# ---- what is left as it is ------------------------------------------------------------------


def state(network: Network) -> dict[str, Tensor]:
    return copy.deepcopy(network.state_dict())


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Names of what is not the same to the last bit."""
    return {name for name in after if not torch.equal(before[name], after[name])}


def is_statistic(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


@pytest.mark.parametrize("pretraining", ["rotnet", "cl", "simclr"])
@pytest.mark.parametrize("method", ["rs", "rs-ll"])
def test_lower_layers_keep_their_weights_but_their_statistics_move(
    method: str, pretraining: str
) -> None:
    """Through labels and joint training, in RS after any pretraining but labels."""
    config = tiny_config(method=method, pretraining=pretraining, epochs=2, weight_decay=0.01)
    on, items = ground(config)
    before = None
    for plan in stages(config):
        before = plan.begin(on, before)
        was = state(on.network)
        assert train(before, items)
        changed = moved(was, state(on.network))
        statistics = {name for name in was if is_statistic(name)}
        lower = {n for n in was if n.startswith("encoders.visual.") and ".layer4." not in n}
        assert statistics <= changed, plan.key
        if plan.is_pretraining:
            assert lower <= changed
            assert not {name for name in changed if name.startswith("novel.")}
            continue
        assert lower & changed == lower & statistics, plan.key
        assert {n for n in was if ".layer4." in n} <= changed, plan.key
        assert {"known.weight", "known.bias"} <= changed
        assert ("novel.weight" in changed) == (plan.key == "training")
        assert not {n for n in changed if n.startswith("projections.")}


def test_after_labels_alone_the_joint_stage_of_rs_is_frozen_too() -> None:
    config = tiny_config(method="rs", pretraining="labels", epochs=2)
    on, items = ground(config)
    first, second = stages(config)
    pretraining = first.begin(on, None)
    assert train(pretraining, items)
    joint = second.begin(on, pretraining)
    was = state(on.network)
    assert train(joint, items)
    lower = {n for n in was if n.startswith("encoders.visual.") and ".layer4." not in n}
    assert all(is_statistic(name) for name in lower & moved(was, state(on.network)))


@pytest.mark.parametrize("method", ["rs", "kcl"])
def test_without_pretraining_nothing_is_frozen(method: str) -> None:
    config = tiny_config(method=method, pretraining="none", epochs=2, weight_decay=0.0)
    on, items = ground(config)
    was, before = state(on.network), None
    for plan in stages(config):
        before = plan.begin(on, before)
        assert train(before, items)
    changed = moved(was, state(on.network))
    assert {name for name in was if name.startswith("encoders.")} <= changed


def video_network(modalities: str, **changed: Any) -> tuple[Network, Config]:
    pairs = {} if modalities == "both" else {"instance_pairs": "within", "category_pairs": "within"}
    config = make_config(
        **TINY_VIDEOS | {"modalities": modalities, "method": "rs"} | pairs | changed
    )
    return make_network(config, 2, 2), config


@pytest.mark.parametrize(
    ("pretraining", "modalities", "frozen"),
    [
        ("rotnet", "both", {"visual"}),
        ("cl", "both", {"visual", "audio"}),
        ("simclr", "both", {"visual", "audio"}),
        ("labels", "both", {"visual", "audio"}),
        ("none", "both", set()),
        ("cl", "audio", {"audio"}),
    ],
)
def test_only_encoders_that_pretraining_has_trained_are_frozen(
    pretraining: str, modalities: str, frozen: set[str]
) -> None:
    """Rotations teach nothing about sound."""
    network, config = video_network(modalities, pretraining=pretraining)
    freeze_lower_layers(network, config)
    for name, parameter in network.named_parameters():
        part, _, rest = name.partition(".")
        modality, _, layer = rest.partition(".")
        is_lower = part == "encoders" and modality in frozen and not layer.startswith("layer4.")
        assert parameter.requires_grad == (not is_lower), name
    assert sum(not p.requires_grad for p in network.parameters()) > 10 or not frozen


def test_pretraining_and_the_similarity_network_leave_phi_u_alone() -> None:
    """So that it is the same with pretraining taken from a shelf."""
    for method, pretraining in [("kcl", "labels"), ("kcl", "cl"), ("mcl", "simclr")]:
        config = tiny_config(method=method, pretraining=pretraining, epochs=2, weight_decay=0.1)
        on, items = ground(config)
        was, before = state(on.network), None
        for plan in stages(config)[:2]:
            before = plan.begin(on, before)
            assert train(before, items)
        now = state(on.network)
        assert torch.equal(was["novel.weight"], now["novel.weight"]), (method, pretraining)
        assert torch.equal(was["novel.bias"], now["novel.bias"])
        assert torch.equal(was["windows"], now["windows"])


def test_the_similarity_stage_leaves_the_clustering_network_as_pretraining_made_it() -> None:
    config = tiny_config(method="kcl", epochs=4)
    on, items = ground(config)
    first, second, _ = stages(config)
    before = first.begin(on, None)
    assert train(before, items)
    similarity = second.begin(on, before)
    was, judge = state(on.network), state(similarity.objective.judge.network)
    assert not moved(was, judge)  # it starts from the same pretraining
    assert train(similarity, items)
    assert not moved(was, state(on.network))
    assert moved(judge, state(similarity.objective.judge.network))


# ---- LL -------------------------------------------------------------------------------------


def test_ll_widens_phi_l_for_its_last_stage_and_narrows_it_after() -> None:
    config = tiny_config(method="rs-ll", pretraining="labels", epochs=2)
    on, items = ground(config)
    first, second = stages(config)
    before = first.begin(on, None)
    assert train(before, items)
    weight, bias = (p.detach().clone() for p in on.network.known.parameters())
    joint = second.begin(on, before)
    known = on.network.known
    assert known.out_features == 4
    assert torch.equal(known.weight[:2], weight) and torch.equal(known.bias[:2], bias)
    assert torch.equal(known.bias[2:], (bias.min() - 1).expand(2))
    widened = known.weight.detach().clone()
    assert train(joint, items)
    trained = on.network.known.weight.detach().clone()
    assert (trained != widened).any(dim=1).all()

    narrow_known_head(on.network, 2)
    assert on.network.known.out_features == 2
    assert torch.equal(on.network.known.weight, trained[:2])
    same = on.network.known
    narrow_known_head(on.network, 2)
    assert on.network.known is same, "of another method nothing is to be undone"


# ---- said before the work -------------------------------------------------------------------


def test_dtc_wants_as_many_items_and_features_as_categories() -> None:
    def check(method: str, novel: int, unlabelled: int) -> None:
        check_method(tiny_config(method=method), 8, unlabelled, novel, are_final=True)

    check("dtc", novel=5, unlabelled=5)
    with pytest.raises(InputError, match="6, but 5 unlabelled items of 32 features have only 5"):
        check("dtc", novel=6, unlabelled=5)
    with pytest.raises(InputError, match="at most 32 categories, or make the network wider"):
        check("dtc", novel=33, unlabelled=99)
    check("rs", novel=6, unlabelled=5)
