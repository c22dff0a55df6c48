import pytest
import torch
from torch import nn

from genreline.errors import ConfigError
from genreline.train.config import parse_config
from genreline.train.models import ConvNet, FeedForward, ResNet, Standardise, build_network


def kinds(network):
    return [type(module) for module in network.modules() if not list(module.children())]


def test_step_1_2_is_three_linear_layers_and_nothing_else():
    network = FeedForward((26,), 4)
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(26, 128), (128, 32), (32, 4)]
    assert kinds(network) == [nn.Flatten, nn.Linear, nn.Linear, nn.Linear]
    assert network(torch.zeros(5, 26)).shape == (5, 4)


@pytest.mark.parametrize(("padding", "pooling", "x"), [(0, 1, 5 * 112 * 128), (2, 2, 1024), (2, 1, 21 * 128 * 128)])
def test_steps_2_2_to_2_4(padding, pooling, x):
    with torch.device("meta"):  # shapes without the numbers, which would be a gigabyte
        network = ConvNet((21, 128), 4, padding=padding, pooling=pooling)
        assert network(torch.zeros(3, 21, 128)).shape == (3, 4)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    assert [(c.in_channels, c.out_channels, c.kernel_size) for c in convolutions] == [
        (1, 16, (5, 5)),
        (16, 32, (5, 5)),
        (32, 64, (5, 5)),
        (64, 128, (5, 5)),
    ]
    assert [layer.in_features for layer in linear] == [x, 1024, 256, 32]
    assert linear[-1].out_features == 4
    assert not {nn.ReLU, nn.BatchNorm2d, nn.Dropout} & set(kinds(network))


def test_a_network_without_activations_is_affine():
    torch.manual_seed(0)
    network = ConvNet((21, 24), 4, pooling=1, padding=0).double()
    a, b, zero = torch.randn(1, 21, 24).double(), torch.randn(1, 21, 24).double(), torch.zeros(1, 21, 24).double()
    torch.testing.assert_close(network(a + b) + network(zero), network(a) + network(b))


def test_everything_is_where_step_3_wants_it():
    network = ConvNet((21, 128), 7, activation="ELU", batch_norm=True, dropout=0.3)
    convolution = [nn.Conv2d, nn.BatchNorm2d, nn.ELU, nn.MaxPool2d]
    assert kinds(network) == convolution * 4 + [nn.Flatten] + [nn.ELU, nn.Dropout, nn.Linear] * 4
    fnn = FeedForward((26,), 4, activation="ReLU", dropout=0.1)
    assert kinds(fnn) == [nn.Flatten, nn.Linear] + [nn.ReLU, nn.Dropout, nn.Linear] * 2


@pytest.mark.parametrize("name", ["ReLU", "GELU", "SELU", "Tanh", "PReLU", "Softshrink", "RReLU", "Mish"])
def test_activations_of_torch_go_by_name(name):
    assert kinds(FeedForward((26,), 4, activation=name)).count(getattr(nn, name)) == 2


@pytest.mark.parametrize("name", ["Relu", "Linear", "Conv2d", "MultiheadAttention", "Threshold", "GLU", "__name__"])
def test_what_is_no_activation_is_an_error(name):
    with pytest.raises(ConfigError, match=r"model\.activation"):
        FeedForward((26,), 4, activation=name)


def test_too_small_an_input_is_an_error():
    with pytest.raises(ConfigError, match="21 x 15 is too small for four convolutions with padding 2 and pooling 2"):
        ConvNet((21, 15), 4)
    with pytest.raises(ConfigError, match=r"16 x 128 is too small .* padding 0 and pooling 1"):
        ConvNet((16, 128), 4, padding=0, pooling=1)
    assert ConvNet((17, 17), 4, padding=0, pooling=1)(torch.zeros(1, 17, 17)).shape == (1, 4)


def test_standardise_brings_vectors_to_0_and_1_each_number_by_itself():
    X = torch.randn(500, 26) * torch.linspace(0.1, 30, 26) + 7
    X[..., 5] = -80  # what never changes
    module = Standardise((26,))
    module.fit(X)
    scaled = module(X)
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(26), atol=1e-4, rtol=0)
    others = torch.arange(26) != 5
    torch.testing.assert_close(scaled.std(dim=0, correction=0)[others], torch.ones(25), atol=1e-4, rtol=0)
    assert (scaled[:, 5] == 0).all()


def test_standardise_brings_melgrams_to_0_and_1_as_a_whole():
    X = torch.randn(50, 21, 128) * torch.linspace(0.1, 30, 128) - 40
    module = Standardise((21, 128))
    module.fit(X)
    torch.testing.assert_close(module(X), (X - X.mean()) / X.std(correction=0), atol=1e-4, rtol=0)


def test_the_normaliser_travels_with_the_weights():
    config = parse_config({"standardise": True})
    network = build_network(config, (26,), 4)
    assert {"0.mean", "0.deviation"} <= set(network.state_dict())


def test_a_number_of_features_is_a_shape():
    assert FeedForward(26, 4)(torch.zeros(2, 26)).shape == (2, 4)


def test_the_residual_network_is_small_and_knows_its_embedding():
    network = ResNet((21, 128), 8).eval()
    assert sum(each.numel() for each in network.parameters()) == 493_488
    batch = torch.randn(3, 21, 128)
    embedding = network.embed(batch)
    assert embedding.shape == (3, 2 * (32 + 64 + 96 + 128))  # mean and maximum of each channel of each block
    torch.testing.assert_close(network(batch), network.classifier(embedding[:, -256:]))  # the last block's
    wider = build_network(
        parse_config({"features": "melgrams", "model": {"name": "resnet", "channels": [8, 16, 32], "dropout": 0}}),
        (21, 128),
        4,
    )
    assert wider(batch).shape == (3, 4)
    assert not [module for module in wider.modules() if isinstance(module, nn.Dropout) and module.p]


def test_a_residual_block_halves_time_and_bands_but_the_last():
    network = ResNet((21, 128), 8)
    maps = network.stem(torch.zeros(1, 1, 21, 128))
    sizes = [tuple(maps.shape[1:])]
    for block in network.blocks:
        maps = block(maps)
        sizes.append(tuple(maps.shape[1:]))
    assert sizes == [(24, 21, 64), (32, 11, 32), (64, 6, 16), (96, 3, 8), (128, 3, 8)]
