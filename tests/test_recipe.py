"""A recipe fixes every setting, and says what is wrong with one that cannot be used."""

import pytest

from labram import recipe as recipes
from labram.errors import RecipeError
from labram.recipe import Recipe


@pytest.mark.parametrize("name", recipes.available())
def test_a_shipped_recipe_survives_the_way_through_json(name: str) -> None:
    recipe = recipes.load(name)
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_the_demo_and_real_small_are_shipped() -> None:
    assert {"demo", "real-small"} <= set(recipes.available())


def test_an_override_changes_one_setting_and_the_digest() -> None:
    plain, changed = recipes.load("demo"), recipes.load("demo", ["tokenizer.steps=7", "tasks.gait.epochs=2"])
    assert (changed.tokenizer.steps, changed.task("gait").epochs) == (7, 2)
    assert changed.pretraining == plain.pretraining
    assert changed.digest() != plain.digest()


def test_an_unknown_key_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(RecipeError, match=r"tokenizer\.stepps: unknown key.*Did you mean 'steps'"):
        recipes.load("demo", ["tokenizer.stepps=7"])


def test_an_unknown_key_of_a_task_is_named() -> None:
    with pytest.raises(RecipeError, match=r"tasks\.\d\.epoch: unknown key.*'epochs'"):
        recipes.load("demo", ["tasks.gait.epoch=7"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tokenizer.steps=0", r"tokenizer\.steps.*greater than or equal to 1"),
        ("tasks.gait.metric=auroc", "metric of a regression task must be one of r2, pearson_r, rmse"),
        ("architecture.width=120", "width must be 25 x conv_channels"),
        ("tokenizer.steps", "is not key=value"),
        ("tasks=3", "tasks"),
        ("name.first=3", "there is no 'name'"),
    ],
)
def test_a_bad_value_is_explained(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipes.load("demo", [override])


def test_a_recipe_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'dmo'.*demo, real-small"):
        recipes.load("dmo")


def test_a_recipe_may_be_a_file(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ndescription: x\n")
    with pytest.raises(RecipeError, match=r"mine\.yaml, tokenizer: Field required"):
        recipes.load(str(path))
    path.write_text("a: [")
    with pytest.raises(RecipeError, match="not valid YAML"):
        recipes.load(str(path))


def test_every_key_has_a_section_with_a_meaning() -> None:
    sections = [kind for kind in recipes.Section.__subclasses__() if kind.__module__ == recipes.__name__]
    for section in (Recipe, *sections):
        assert section.__doc__, section
