import tomllib

import pytest
import torch

from genreline.errors import ConfigError
from genreline.train.config import Config, OptimizerConfig, load_config, parse_config
from genreline.train.optim import build_optimizer


def test_the_defaults_are_the_sources():
    config = Config()
    assert (config.optimizer.name, config.optimizer.lr) == ("SGD", 0.002)
    assert (config.epochs, config.batch_size, config.features, config.model.name) == (30, 16, "mfccs", "fnn")
    cnn = load_config(overrides=["model.name=cnn", "features=melgrams"]).model
    assert (cnn.padding, cnn.pooling, cnn.activation, cnn.batch_norm, cnn.dropout) == (2, 2, None, False, 0)


def test_overrides_go_over_the_file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('epochs = 5\nbatch_size = 8\n[optimizer]\nname = "AdamW"\nlr = 0.01\nweight_decay = 0.1\n')
    config = load_config(path, ["epochs=7", "optimizer.lr=0.5", "model.activation=ReLU", "scheduler.name=StepLR"])
    assert (config.epochs, config.batch_size) == (7, 8)
    assert config.optimizer.model_dump() == {"name": "AdamW", "lr": 0.5, "weight_decay": 0.1}
    assert config.model.activation == "ReLU"
    assert config.scheduler.name == "StepLR"
    assert load_config(path, ["model.activation=none"]).model.activation is None


def test_nothing_is_dropped_whatever_the_order(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("[optimizer]\nlr = 0.1\nmomentum = 0.9\n")
    assert load_config(path, ["optimizer.name=SGD"]).optimizer.model_dump() == {
        "name": "SGD",
        "lr": 0.1,
        "momentum": 0.9,
    }
    assert load_config(overrides=["optimizer.lr=.5", "optimizer.name=Adam"]).optimizer.lr == 0.5
    scheduler = load_config(overrides=["scheduler.step_size=3", "scheduler.name=StepLR"]).scheduler
    assert scheduler.model_dump() == {"name": "StepLR", "step_size": 3}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=3", "epoch: there is no such setting"),
        ("model.pooling=2", "model.pooling: there is no such setting"),
        ("optimizer.lr=-1", "optimizer.lr: Input should be greater than 0"),
        ("optimizer.lr=nan", "optimizer.lr: Input should be a finite number"),
        ("epochs=0", "epochs: Input should be greater than or equal to 1"),
        ("epochs=many", "epochs: Input should be a valid integer"),
        ("model.name=cnn", "a cnn needs melgrams"),
        ("model.name=rnn", "model"),
        ("model.dropout=1", "model.dropout: Input should be less than 1"),
        ("epochs", "write key=value"),
        (".=3", "write key=value"),
        ("epochs.deep=3", "epochs"),
        ("model=3", "model"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(override, message):
    with pytest.raises(ConfigError, match=message) as error:
        load_config(overrides=[override])
    assert "\n" not in str(error.value)


def test_all_problems_are_told():
    with pytest.raises(ConfigError, match=r"epochs: .*; batch: "):
        load_config(overrides=["epochs=-1", "batch=2"])


def test_a_bad_file_is_said(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")
    for text in ("epochs = \n", "epochs = " + "9" * 5000, "epochs = " + "[" * 5000):
        (tmp_path / "bad.toml").write_text(text)
        with pytest.raises(ConfigError, match="is not TOML"):
            load_config(tmp_path / "bad.toml")
    for value in ("9" * 5000, "[" * 5000):
        with pytest.raises(ConfigError, match=r"^configuration: epochs"):
            load_config(overrides=[f"epochs={value}"])


def test_the_digest_is_of_the_resolved_configuration():
    assert Config().digest() == load_config(overrides=["epochs=30", "optimizer.lr=2e-3"]).digest()
    assert Config().digest() != load_config(overrides=["seed=1"]).digest()
    assert parse_config(Config().model_dump(mode="json")) == Config()
    settings = tomllib.loads("[optimizer]\nlr = 0.1\n")
    assert parse_config(settings).digest() == load_config(overrides=["optimizer.lr=0.1"]).digest()


def test_settings_that_came_later_leave_earlier_identities_alone():
    assert Config().digest() == "bb0590665ade1b65d4faf422a9e552ab283af9f143212ae9f36201e6008d4039"
    used = load_config(overrides=["features=melgrams", "model.name=cnn", "augmentation.mixup=0.3"])
    assert used.digest() != load_config(overrides=["features=melgrams", "model.name=cnn"]).digest()
    assert used.digest() != used.model_copy(update={"source_balance": 0.5}).digest()


def test_a_configuration_of_typed_parts_is_that_of_its_text():
    typed = Config(epochs=5, optimizer=OptimizerConfig(name="AdamW", lr=1e-3))
    text = load_config(overrides=["epochs=5", "optimizer.name=AdamW", "optimizer.lr=0.001"])
    assert typed == text
    assert typed.digest() == text.digest()


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("lr=0.1", "optimizer.lr"),
        ("epoch=3", "epochs"),
        ("optimiser.lr=1", "optimizer"),
        ("Dropout=0.1", "model.dropout"),
    ],
)
def test_a_misspelt_setting_gets_a_suggestion(setting, meant):
    with pytest.raises(ConfigError, match=f"did you mean {meant}"):
        load_config(overrides=[setting])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("optimizer.name=adamw", "optimizer.name=AdamW"),
        ("optimizer.name=RMSProp", "optimizer.name=RMSprop"),
        ("scheduler.name=onecyclelr", "scheduler.name=OneCycleLR"),
        ("model.activation=relu", "model.activation=ReLU"),
    ],
)
def test_capitals_of_torchs_names_do_not_matter(typed, meant):
    config = load_config(overrides=[typed])
    assert config == load_config(overrides=[meant])
    assert config.digest() == load_config(overrides=[meant]).digest()


@pytest.mark.parametrize(
    ("setting", "names", "base"),
    [
        ("optimizer.name={}", torch.optim.__all__, torch.optim.Optimizer),
        ("scheduler.name={}", torch.optim.lr_scheduler.__all__, torch.optim.lr_scheduler.LRScheduler),
        ("model.activation={}", torch.nn.modules.activation.__all__, None),
    ],
)
def test_every_class_of_torchs_is_known_in_lower_case(setting, names, base):
    module = torch.optim if base is torch.optim.Optimizer else torch.optim.lr_scheduler
    for name in names:
        if base is None or (name != base.__name__ and isinstance(getattr(module, name), type)):
            assert load_config(overrides=[setting.format(name.lower())]) == load_config(
                overrides=[setting.format(name)]
            )


@pytest.mark.parametrize(("name", "meant"), [("adamww", "AdamW"), ("sgdd", "SGD"), ("RMSProb", "RMSprop")])
def test_a_misspelt_optimizer_gets_a_suggestion(name, meant):
    config = load_config(overrides=[f"optimizer.name={name}"])
    with pytest.raises(ConfigError, match=f"did you mean {meant}"):
        build_optimizer(config, torch.nn.Linear(2, 2))
