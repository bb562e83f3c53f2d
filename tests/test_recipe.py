"""A recipe fixes every setting, and says what is wrong with one that cannot be used."""

from pathlib import Path

import pytest

from labram import recipe as recipes
from labram.errors import RecipeError
from labram.frozen_model import FrozenModel
from labram.recipe import Recipe, SplitRecipe, schema
from labram.recipe.debug import shortened


@pytest.mark.parametrize("name", recipes.available())
def test_a_shipped_recipe_survives_the_way_through_json(name: str) -> None:
    recipe = recipes.load(name)
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_the_demo_and_real_small_are_shipped() -> None:
    assert {"demo", "real-small"} <= set(recipes.available())


def test_published_sizes_differ_from_base_as_the_tables_say() -> None:
    base, large, huge = (recipes.load(name) for name in ("base", "large", "huge"))
    assert [r.architecture.depth for r in (base, large, huge)] == [12, 24, 48]
    assert [r.architecture.layer_scale for r in (base, large, huge)] == [0.1, 1e-5, 1e-6]
    assert [r.task("abnormal").layer_decay for r in (base, large, huge)] == [0.65, 0.8, 0.8]
    assert [r.task("events").drop_path for r in (base, large, huge)] == [0.1, 0.1, 0.2]
    assert huge.architecture.tokenizer == large.architecture.tokenizer
    assert huge.pretraining == base.pretraining.model_copy(update={"sharded": True})
    assert huge.task("events").classes == base.task("events").classes


def test_steps_of_the_published_recipe_follow_from_its_epochs() -> None:
    base = recipes.load("base")
    seconds = 2534.78 * 3600
    assert base.tokenizer.steps == 100 * int(seconds // 1024)
    assert base.pretraining.steps == 50 * int(seconds // 4 // 512)
    assert base.tokenizer.micro_batches * base.tokenizer.patches == 1024 * 256
    assert base.pretraining.micro_batches * base.pretraining.patches == 512 * 256


def test_a_recipe_extends_a_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: demo\nname: mine\ntasks: [{name: gait, epochs: 3}]\n")
    mine = recipes.load(str(path))
    assert (mine.name, [task.name for task in mine.tasks], mine.task("gait").epochs) == ("mine", ["gait"], 3)
    assert mine.task("gait").classes == recipes.load("demo").task("gait").classes
    path.write_text("extends: demmo\nname: mine\n")
    with pytest.raises(RecipeError, match=r"mine\.yaml, extends: no recipe 'demmo'.*relative to this one.*base, demo"):
        recipes.load(str(path))


def test_a_recipe_extends_one_of_your_own_beside_it_but_not_itself(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    lab, mine = tmp_path / "lab" / "lab.yaml", tmp_path / "mine.yaml"
    lab.write_text("extends: demo\nname: lab\nquality: {min_channels: 5, max_window_uv: 900}\n")
    mine.write_text("extends: lab/lab.yaml\nname: mine\nquality: {min_channels: 7}\n")
    loaded = recipes.load(str(mine))
    assert (loaded.name, loaded.quality.min_channels, loaded.quality.max_window_uv) == ("mine", 7, 900)
    assert loaded.tokenizer == recipes.load("demo").tokenizer
    lab.write_text("extends: ../mine.yaml\nname: lab\n")
    with pytest.raises(RecipeError, match=r"a recipe cannot extend itself"):
        recipes.load(str(mine))


def test_null_resets_an_inherited_mapping_or_list_to_its_default(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "extends: real-small\nname: mine\ntasks: null\nsplit: null\narchitecture: {width: 200, heads: null}\n"
    )
    with pytest.raises(RecipeError, match=r"architecture\.heads"):  # a number is not inherited structure
        recipes.load(str(path))
    path.write_text("extends: real-small\nname: mine\ntasks: null\nsplit: null\n")
    loaded = recipes.load(str(path))
    assert (loaded.tasks, loaded.split) == ((), SplitRecipe())


@pytest.mark.parametrize("name", ["demo", "base", "demo-study"])
def test_a_debug_recipe_is_short_and_promotes_nothing(name: str) -> None:
    recipe = recipes.load(name)
    short = shortened(recipe)
    assert short.name == f"{name}-debug"
    assert (short.tokenizer.steps, short.pretraining.steps, short.architecture.depth) == (10, 10, 2)
    assert [task.epochs for task in short.tasks] == [1] * len(recipe.tasks)
    assert [task.classes for task in short.tasks] == [task.classes for task in recipe.tasks]
    assert {task: abs(floor) for task, floor in short.gates.floors.items()} == {task.name: 1e9 for task in recipe.tasks}
    assert short.gates.min_used_codes > recipe.architecture.codes


def test_sections_that_a_command_does_not_use_may_be_absent(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ndescription: x\n")
    with pytest.raises(RecipeError, match="tokenizer"):
        recipes.load(str(path))
    loaded = recipes.load(str(path), defaults={"tokenizer": {"steps": 1}, "pretraining": {"steps": 1}})
    assert loaded.tokenizer.steps == 1
    path.write_text("name: mine\ndescription: x\ntokenizer: {steps: 7}\n")
    assert (
        recipes.load(str(path), defaults={"tokenizer": {"steps": 1}, "pretraining": {"steps": 1}}).tokenizer.steps == 7
    )


def test_an_unknown_key_below_an_optional_section_is_named() -> None:
    with pytest.raises(RecipeError, match=r"architecture\.tokenizer\.depht: unknown key.*'depth'"):
        recipes.load("large", ["architecture.tokenizer.depht=7"])


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
        ("tasks.gait.metric=auroc", "metric of a regression task must be one of r2, pearson_r, rmse, spearman, mae"),
        ("architecture.width=120", "width must be 25 x conv_channels"),
        ("tokenizer.steps", "expected key=value, got"),
        ("tasks=3", "tasks"),
        ("name.first=3", "unknown key 'name'"),
        ("gates.floors={gate: 0.1}", "gates.floors names unknown tasks: gate"),
        ("gates.golden=[{task: gate, sha256: '012345678901', answer: on}]", "gates.golden names an unknown task: gate"),
        ("gates.golden=[{task: abnormal, sha256: '012345678901', answer: ill}]", "'ill' is no class of abnormal"),
        ("gates.golden=[{task: abnormal, sha256: '012345678901', answer: 1.0}]", "must be the name of a class"),
        ("study.variants=[{name: one}, {name: one}]", "two variants are named 'one'"),
    ],
)
def test_a_bad_value_is_explained(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipes.load("demo", [override])


def test_a_recipe_may_have_no_tasks() -> None:
    without = recipes.load("demo", ["tasks=[]"])
    assert without.tasks == ()
    with pytest.raises(RecipeError, match=r"no task 'gait'.*Add a task"):
        without.task("gait")


def test_a_recipe_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(RecipeError, match=r"recipe 'dmo' not found.*base, demo"):
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
    sections = [kind for kind in vars(schema).values() if isinstance(kind, type) and issubclass(kind, FrozenModel)]
    assert Recipe in sections
    for section in sections:
        assert section.__doc__, section


def test_every_setting_is_described() -> None:
    """`labram recipe keys` is the user manual."""
    for section in (kind for kind in vars(schema).values() if isinstance(kind, type) and issubclass(kind, FrozenModel)):
        for name, field in section.model_fields.items():
            is_section = isinstance(field.annotation, type) and issubclass(field.annotation, FrozenModel)
            assert is_section or field.description, f"{section.__name__}.{name}"


def test_the_former_key_flat_seconds_is_still_read() -> None:
    assert recipes.load("demo", ["quality.flat_seconds=0.4"]).quality.max_constant_fraction == 0.4
    recipe = recipes.load("demo")
    stored = recipe.to_json().replace("max_constant_fraction", "flat_seconds")
    assert "flat_seconds" in stored
    assert Recipe.from_json(stored) == recipe


def test_real_small_sets_no_floor_and_an_old_recipe_with_floors_still_loads():
    recipe = recipes.load("real-small")
    assert recipe.gates.floors == {}
    assert recipe.gates.baseline
    assert {task.name: task.alignment.kind for task in recipe.tasks} == {
        "workload": "euclidean", "ssvep": "euclidean", "reaction_time": "none"
    }  # fmt: skip
    old = recipes.load("real-small", ["gates.floors={workload: 0.0, ssvep: -1.0, reaction_time: -100.0}"])
    assert old.gates.floors["ssvep"] == -1.0
