"""Drawn scenes show what their description says."""

import numpy as np
import pytest
from training.drawings import cell_targets, encode_scene, render_drawings

from savs.demo.scenes import (
    COLOURS,
    KINDS,
    LETTERS,
    RELATIONS,
    SIDE,
    Scene,
    Thing,
    draw_letter,
    draw_scene,
    relation_holds,
    sample_scene,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("colour", COLOURS)
def test__draw_scene__thing__shows_its_colour_at_its_centre(kind, colour):
    thing = Thing(kind, colour, "large", 30.0, 34.0)
    image = np.asarray(draw_scene(Scene((thing,), "plain"), np.random.default_rng(0)), dtype=float)
    assert image.shape == (SIDE, SIDE, 3)
    center = image[32:36, 28:32].mean(axis=(0, 1))
    nearest = min(COLOURS, key=lambda name: float(np.abs(center - COLOURS[name]).sum()))
    assert nearest == colour


@pytest.mark.parametrize("n_things", [1, 2, 3, 4, 5, 6])
def test__sample_scene__distinct__differs_in_kind_and_colour(n_things):
    scene = sample_scene(np.random.default_rng(n_things), n_things, distinct=True)
    assert len({thing.kind for thing in scene.things}) == n_things
    assert len({thing.colour for thing in scene.things}) == n_things
    assert len({thing.cell for thing in scene.things}) == n_things


def test__draw_scene__same_seed__draws_the_same_image():
    images = []
    for _ in range(2):
        rng = np.random.default_rng(5)
        images.append(np.asarray(draw_scene(sample_scene(rng, 3), rng)))
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize("relation", RELATIONS)
def test__relation_holds__is_antisymmetric_or_undecided(relation):
    rng = np.random.default_rng(0)
    for _ in range(50):
        first, second = sample_scene(rng, 2).things
        here, there = relation_holds(first, relation, second), relation_holds(second, relation, first)
        assert (here is None and there is None) or here != there


@pytest.mark.parametrize("letter", LETTERS[:5])
def test__draw_letter__has_ink_and_paper(letter):
    image = np.asarray(draw_letter(letter, np.random.default_rng(0)), dtype=float)
    assert image.shape == (SIDE, SIDE, 3)
    assert np.ptp(image.mean(axis=2)) > 60


def test__drawings__descriptions_and_cells_agree():
    drawings = render_drawings(40, 26, 3)
    targets = cell_targets(drawings.things)
    for index in range(40):
        scene = drawings.scene(index)
        np.testing.assert_array_equal(encode_scene(scene), drawings.things[index])
        for thing in scene.things:
            assert targets["kind"][index, thing.cell] == KINDS.index(thing.kind) + 1
        assert (targets["colour"][index] > 0).sum() == len(scene.things)


def test__render_drawings__workers__change_nothing():
    one, two = render_drawings(1001, 26, 0, workers=1), render_drawings(1001, 26, 0, workers=2)
    np.testing.assert_array_equal(one.pixels, two.pixels)
