# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Music genre recognition, one second at a time
#
# One second of sound goes in, a genre comes out. This notebook walks through the whole assignment: a feed-forward
# network on MFCCs (question 1), a convolutional network on mel-spectrograms (question 2), what improves it (question
# 3), and what it makes of whole songs (question 4). Every section carries the number of the step that it answers.
#
# It runs from top to bottom, in Google Colab or anywhere else. Without data of your own it composes its music itself:
# synthetic pieces in four genres, so that everything can be seen to work. With the course's folder it does the
# assignment.
#
# * **The validation set chooses, the test set measures.** Which epoch, which learning rate, which variant is best is
#   chosen by the validation set's macro F1. The figures of the tables are those of the test set.
# * **One seed is an anecdote.** Where the text says that one variant beats another, it says over how many seeds, and
#   whether the difference is larger than what seeds alone do. Raise `SEEDS` below to 3 or more for such claims.
# * **Nothing is lost.** Every run of a study is kept in a file. Interrupt a cell, lose the session, run it again: it
#   goes on where it stopped.

# %% [markdown]
# ## Setup
#
# In Colab, upload genreline's wheel by the folder symbol on the left before you run this cell (or put a git URL in its
# place, as `git+https://...`), and choose a GPU under *Runtime, Change runtime type* for step 1.6.

# %%
INSTALL_FROM = "genreline-0.1.0-py3-none-any.whl[train,youtube]"

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

if importlib.util.find_spec("genreline") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", INSTALL_FROM], check=True)

# %% [markdown]
# Data of your own: upload it as one zip file with the folders `train`, `val` and `test`, or one folder that holds them,
# and put its name here. It is unpacked beside the notebook; `DATA` below then says where.

# %%
UPLOADED = ""  # as "data.zip"

if UPLOADED:
    with zipfile.ZipFile(UPLOADED) as archive:
        archive.extractall("data")
    print("folders with a dataset:", [str(path.parent) for path in Path("data").rglob("train") if path.is_dir()])

# %% [markdown]
# For songs of YouTube in question 4: yt-dlp runs YouTube's own JavaScript to find the sound, for which it needs deno.
# Set this to `True` to install it where there is none.

# %%
YOUTUBE = False

if YOUTUBE and shutil.which("deno") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "deno"], check=True)

# %%
# %matplotlib inline
import copy
import inspect
import os
import time

import matplotlib.pyplot as plt
import numpy as np
import soundfile
import torch
from IPython.display import Audio, Code, Markdown, display
from torch import nn

import genreline
from genreline import ConvNet, FeedForward, evaluate, fit, load_config, load_dataset, make_loaders, show_study, train

# %% [markdown]
# What to run on, and how long. `DATA` is a folder with `{train,val,test}/{mfccs,melgrams}/{X.npy,labels.npy}`; empty,
# it is the embedded music. 30 epochs are the source's; on two processor cores the whole then takes an hour or two.

# %%
DATA = os.environ.get("GENRELINE_DATA", "")
OUT = Path(os.environ.get("GENRELINE_OUT", "assignment"))
EPOCHS = int(os.environ.get("GENRELINE_EPOCHS", "30"))
SEEDS = 1
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
N_PROCESSES = 2

if not DATA:
    line = display(Markdown("composing"), display_id=True)
    DATA = genreline.compose_dataset(
        OUT, on_step=lambda what, done, total: line.update(Markdown(f"{what}: {done} of {total} tracks"))
    )
answers = []  # the best variant of each study of question 3, of which question 4 takes the best
settings = {"data": DATA, "out": OUT / "studies", "seeds": SEEDS, "device": DEVICE, "n_processes": N_PROCESSES}
print(f"genreline {genreline.__version__}, torch {torch.__version__}, on {DEVICE}; data: {DATA}; {EPOCHS} epochs")


# %%
def table(header, rows):
    """Rows of numbers and texts as a table."""
    lines = [header, ["---"] * len(header), *rows]
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in lines]
    display(Markdown("\n".join(f"| {' | '.join(row)} |" for row in cells)))


def plot_matrix(matrix, classes):
    """A confusion matrix, truth in rows."""
    _, ax = plt.subplots(figsize=(1.8 + 0.6 * len(classes), 1.5 + 0.5 * len(classes)), layout="constrained")
    ax.imshow(matrix, cmap="Blues")
    for (row, column), count in np.ndenumerate(matrix):
        colour = "white" if count > 0.6 * matrix.max() else "black"
        ax.text(column, row, count, ha="center", va="center", color=colour)
    ax.set(xlabel="predicted", ylabel="truth")
    ax.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    ax.set_yticks(range(len(classes)), classes)
    plt.show()


# %% [markdown]
# # Question 1: a feed-forward network on MFCCs
#
# ## 1.1 The data
#
# A second of sound is 20 vectors of 13 MFCCs, one every 50 ms, of which the dataset keeps the 13 means and the 13
# standard deviations: 26 numbers. Labels are names; a network wants numbers, and the mapping is kept.

# %%
mfccs = load_dataset(DATA, "mfccs")
mapping = {name: number for number, name in enumerate(mfccs.classes)}
print("label -> number:", mapping)
table(
    ["set", "samples", *mfccs.classes],
    [[name, len(split), *((split.labels == c).sum() for c in mfccs.classes)] for name, split in mfccs.splits.items()],
)

# %% [markdown]
# Three DataLoaders with batches of 16; train and validation are shuffled, the test set is not. The order depends on the
# seed alone.

# %%
loaders = make_loaders(mfccs, batch_size=16, seed=0)
inputs, targets = next(iter(loaders.train))
print("a batch:", tuple(inputs.shape), inputs.dtype, "and", tuple(targets.shape), targets.dtype)

# %% [markdown]
# ## 1.2 The network
#
# Fully connected, 26-128-32-classes. There are no activations yet, as the source adds them in step 3.2: for now the
# whole network is one linear map, however many layers it has.

# %%
n_classes = len(mfccs.classes)
network = FeedForward(26, n_classes)
print(network)
print(f"{sum(p.numel() for p in network.parameters()):,} weights")

# %% [markdown]
# ## 1.3 The training function
#
# `genreline.train` passes every batch through the network, computes and prints the loss, updates the weights, and
# returns the network after the last epoch. This is all of it:

# %%
display(Code(inspect.getsource(train), language="python"))
display(Code(inspect.getsource(genreline.train_epoch), language="python"))

# %% [markdown]
# ## 1.4 The evaluation function
#
# `genreline.evaluate` passes all batches of a loader through the network without updating its weights, and returns the
# loss, the macro F1, the accuracy, and the confusion matrix. Before any training it should be near chance:

# %%
display(Code(inspect.getsource(evaluate), language="python"))
untrained = evaluate(loaders.test, network, nn.CrossEntropyLoss())
print(f"untrained: loss {untrained.loss:.3f}, macro F1 {untrained.f1_macro:.3f}, accuracy {untrained.accuracy:.3f}")
print(f"chance: loss {np.log(n_classes):.3f} if all classes were equally likely, accuracy {1 / n_classes:.3f}")

# %% [markdown]
# ## 1.5 Training
#
# Stochastic gradient descent with a learning rate of 0.002, cross-entropy, 30 epochs (or what `EPOCHS` says).

# %%
torch.manual_seed(0)
threads = torch.get_num_threads()
torch.set_num_threads(1)  # sharing so little work between threads costs more than it saves
network = FeedForward(26, n_classes)
optimizer = torch.optim.SGD(network.parameters(), lr=0.002)
network = train(EPOCHS, optimizer, make_loaders(mfccs, seed=0).train, nn.CrossEntropyLoss(), network)

# %%
last = evaluate(loaders.test, network, nn.CrossEntropyLoss())
table(["step", "loss", "macro F1", "accuracy"], [["1.5, last epoch", last.loss, last.f1_macro, last.accuracy]])
plot_matrix(last.confusion_matrix, mfccs.classes)

# %% [markdown]
# ## 1.6 On the GPU
#
# Data and initial network are moved to the GPU first. A network as small as this gives a GPU almost nothing to do: what
# takes the time is telling it what to do next, some thousands of times an epoch, so that the CPU is usually the faster.
#
# The same training is timed on each, one after the other, with the weights and batches of step 1.5. Loaders are built
# and a first epoch is trained (and thrown away) before the clock starts, nothing is printed while it runs, and it stops
# when the device has done its work.


# %%
def quiet(epoch, loss):
    """Print nothing."""


def timed(device):
    """Seconds of the training of step 1.5, and its network's figures on the test set."""
    torch.manual_seed(0)
    network = FeedForward(26, n_classes).to(device)
    loaders = make_loaders(mfccs, seed=0, device=device)
    warm_up = copy.deepcopy(network)
    other = make_loaders(mfccs, seed=1, device=device).train  # so that this one's first batch is still to come
    train(1, torch.optim.SGD(warm_up.parameters(), lr=0.002), other, nn.CrossEntropyLoss(), warm_up, quiet)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.002)
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    train(EPOCHS, optimizer, loaders.train, nn.CrossEntropyLoss(), network, quiet)
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    return seconds, evaluate(loaders.test, network, nn.CrossEntropyLoss())


times = {device: timed(device) for device in ("cpu", "cuda") if device == "cpu" or torch.cuda.is_available()}
table(
    ["device", "seconds", "loss", "macro F1", "accuracy"],
    [[device, f"{s:.1f}", each.loss, each.f1_macro, each.accuracy] for device, (s, each) in times.items()],
)
if "cuda" in times:
    ratio = times["cuda"][0] / times["cpu"][0]
    print(f"The GPU takes {times['cuda'][0] - times['cpu'][0]:+.1f} s, {ratio:.2f} times as long as the CPU.")
else:
    print("There is no GPU here, so there is nothing to compare the CPU with.")
torch.set_num_threads(threads)

# %% [markdown]
# ## 1.7 Choosing the snapshot
#
# Each epoch leaves another network, and the last is not the best by any law. `genreline.fit` does the same epochs,
# validates after each, and keeps a copy of the snapshot with the best validation macro F1. From here on every step
# selects its snapshot in this way.

# %%
run = fit(load_config(overrides=["features=mfccs", f"epochs={EPOCHS}"]), mfccs)
best, final = (evaluate(loaders.test, each, nn.CrossEntropyLoss()) for each in (run.network, run.last_network))
table(
    ["on the test set", "loss", "macro F1", "accuracy"],
    [
        [f"1.7, snapshot of epoch {run.best_epoch}", best.loss, best.f1_macro, best.accuracy],
        [f"1.5, last epoch ({len(run.history)})", final.loss, final.f1_macro, final.accuracy],
    ],
)
epochs = [epoch.epoch for epoch in run.history]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
left.plot(epochs, [epoch.train_loss for epoch in run.history], label="train")
left.plot(epochs, [epoch.val_loss for epoch in run.history], "--", label="validation")
left.set(xlabel="epoch", ylabel="loss")
left.legend(frameon=False)
right.plot(epochs, [epoch.val_f1_macro for epoch in run.history])
right.axvline(run.best_epoch, color="grey", linestyle=":")
right.set(xlabel="epoch", ylabel="validation macro F1")
plt.show()

# %% [markdown]
# Is the difference between the two more than luck? One run cannot tell. The study `fnn` trains the same network with
# five seeds and compares last epoch and best snapshot seed by seed. Its comment, like that of every study below, is
# computed from the figures.

# %%
_ = show_study("fnn", **{**settings, "seeds": 5, "device": "cpu"}, epochs=EPOCHS)

# %% [markdown]
# # Question 2: a convolutional network on mel-spectrograms
#
# ## 2.1 The data
#
# A melgram is 21 steps of time by 128 mel bands, in decibels below its loudest point. One of each class, drawn at
# random from the training set:

# %%
spectrograms = load_dataset(DATA, "melgrams")
classes = spectrograms.classes
rng = np.random.default_rng(0)
figure, axes = plt.subplots(1, len(classes), figsize=(2 * len(classes) + 1, 3.2), sharey=True, layout="constrained")
for ax, name in zip(axes, classes, strict=True):
    chosen = rng.choice(np.flatnonzero(spectrograms.train.labels == name))
    image = ax.imshow(
        spectrograms.train.X[chosen].T, origin="lower", aspect="auto", extent=(0, 1, 0, 128), cmap="cividis", vmin=-80
    )
    ax.set(title=name, xlabel="time (s)")
axes[0].set_ylabel("mel band")
figure.colorbar(image, ax=axes, label="dB")
plt.show()
print("label -> number:", {name: number for number, name in enumerate(classes)})
melgram_loaders = make_loaders(spectrograms, batch_size=16, seed=0)

# %% [markdown]
# ## 2.2 The network
#
# Four convolutions, kernel 5, channels 1-16-32-64-128, and after them a fully connected network x-1024-256-32-classes.
# x, the size of what the convolutions put out, follows from the size of the input.

# %%
network = ConvNet((21, 128), n_classes, padding=0, pooling=1)
print(network)
print(f"x = {network.classifier[1].in_features:,}; {sum(p.numel() for p in network.parameters()):,} weights")

# %% [markdown]
# ## 2.3 Can it be trained?
#
# Without padding each convolution takes 4 off both sides: 21 x 128 becomes 5 x 112, with 128 channels, and the first
# linear layer alone has 73 million weights for data of some thousand samples. The inputs are decibels, down to -80, and
# nothing keeps their scale in check. The study tries the source's learning rate and three smaller ones, for a few
# epochs: each takes many times as long as those of the next step. A run whose loss is no number any more is stopped,
# and called diverged.

# %%
_ = show_study("cnn-plain", **settings, epochs=max(1, EPOCHS // 10))

# %% [markdown]
# ## 2.4 Pooling and padding
#
# **Max pooling** (kernel 2) keeps the strongest of each 2 x 2 neighbours. It halves the picture after every
# convolution, so that the next one sees twice as much of the sound with the same kernel, small shifts in time or pitch
# matter less, and the linear layers get far fewer numbers. **Padding** (2 on every side) keeps a convolution of kernel
# 5 from shrinking the picture, so that the edges, the lowest and highest bands and the first and last instants, count
# as much as the middle; and it leaves pooling something to halve: without it, 21 steps of time do not last for four
# convolutions with pooling.

# %%
pooled = load_config(overrides=["features=melgrams", "model.name=cnn", f"epochs={EPOCHS}"])
network = ConvNet((21, 128), n_classes)
print(f"x = {network.classifier[1].in_features:,}; {sum(p.numel() for p in network.parameters()):,} weights")
run = fit(pooled, spectrograms, DEVICE)
scores = evaluate(melgram_loaders.test, run.network, nn.CrossEntropyLoss())
table(
    ["step 2.4", "loss", "macro F1", "accuracy", "seconds"],
    [
        [
            f"snapshot of epoch {run.best_epoch}",
            scores.loss,
            scores.f1_macro,
            scores.accuracy,
            f"{sum(epoch.seconds for epoch in run.history):.0f}",
        ]
    ],
)
plot_matrix(scores.confusion_matrix, classes)

# %% [markdown]
# ## 2.5 Optimizers
#
# The optimizers of `torch.optim` that train such a network, at the source's learning rate and at a tenth and ten times
# of it. The right rate differs by orders of magnitude between them, so a comparison at one rate is a comparison of how
# well that rate suits each; the second table gives each its own, chosen by validation. Every run starts from a new
# network of the same seed, never from one that another optimizer has trained.

# %%
_ = show_study("optimizers", **settings, epochs=EPOCHS)

# %% [markdown]
# # Question 3: improving performance
#
# ## 3.1 Reproducibility
#
# `fit` seeds Python's, NumPy's and torch's random generators, gives each loader a generator of its own, and asks CUDA
# for deterministic algorithms. The same training twice must give the same losses in every epoch and the same test
# figures, to the last bit; two seeds must not.

# %%
_ = show_study("reproducibility", **{**settings, "seeds": 2}, epochs=min(5, EPOCHS))

# %% [markdown]
# ## 3.2 Activation functions
#
# Until here the network was linear but for pooling. Now a non-linear function follows every convolution, before
# pooling, and stands at every input of the linear layers.

# %%
answers.append(show_study("activations", **settings, epochs=EPOCHS))

# %% [markdown]
# ## 3.4 Learning-rate schedulers
#
# (The source has no step 3.3.) Large steps at first, small ones later. PyTorch has removed `verbose=True`, which the
# source asks for; the traces at the end show every change of the rate. The schedules are made for 30 epochs.
# A loop of your own has `train(30, optimizer, loader, loss_function, network, scheduler=scheduler)`.

# %%
answers.append(show_study("schedulers", **settings, epochs=EPOCHS))

# %% [markdown]
# ## 3.5 Batch normalisation
#
# `BatchNorm2d` before the activation of every convolution brings each channel to mean 0 and deviation 1 over the batch.
# It also does what nobody had done so far: it takes the decibels' scale out of the network.

# %%
answers.append(show_study("batchnorm", **settings, epochs=EPOCHS))

# %% [markdown]
# ## 3.6 Regularisation
#
# Train loss falls on while validation loss does not: the gap is what the network has learned by heart. Weight decay in
# the optimizer, dropout in the linear layers, and both, with twice the epochs.

# %%
answers.append(show_study("regularisation", **settings, epochs=2 * EPOCHS))

# %% [markdown]
# ## 3.7 Training efficiency
#
# **Batch size.** Larger batches make fewer and steadier steps, each of them better use of the machine. At one learning
# rate for all, fewer steps are also less learning. The runs are made one after the other, because their times count.

# %%
answers.append(show_study("batch-size", **{**settings, "n_processes": 1}, epochs=EPOCHS))

# %% [markdown]
# **Early stopping.** Stop when the validation macro F1 has not improved for `patience` epochs in a row; the number of
# epochs becomes a maximum. All variants are the same run, cut at different places: what a patience costs is what came
# after the cut.

# %%
answers.append(show_study("early-stopping", **{**settings, "n_processes": 1}, epochs=2 * EPOCHS))

# %% [markdown]
# # Question 4: the real world
#
# ## 4.1 Inference
#
# `genreline.infer` takes a loader that does not shuffle and a trained network, and returns the list of predictions. The
# network is the best of question 3: of all variants of its studies the one with the best validation macro F1.

# %%
best = max(answers, key=lambda answer: answer.val_f1_macro)
print(f"{best.variant} of the study {best.study}, validation macro F1 {best.val_f1_macro:.3f}")
run = fit(best.config, spectrograms, DEVICE)
predictions = genreline.infer(melgram_loaders.test, run.network)
scores = evaluate(melgram_loaders.test, run.network, nn.CrossEntropyLoss())
print(f"{len(predictions)} predictions, the first ten: {[classes[number] for number in predictions[:10]]}")
print(f"on the test set: macro F1 {scores.f1_macro:.3f}, accuracy {scores.accuracy:.3f}")

# %% [markdown]
# ## 4.2 Songs
#
# One melgram for each second of a song, kept in `melgrams.npy`. Put songs of your own here, as `(genre, song)`, one of
# each genre or more: a song is a URL, of YouTube or another site, or a file of any format. `youtube_to_melgram` fetches
# the audio by yt-dlp (youtube-dl, which the source names, is no longer kept up) and decodes it to 8 kHz mono. YouTube
# itself wants deno beside it (see Setup).
#
# Without any, new pieces are composed, which neither training nor test set has met, for those of the network's genres
# that genreline composes.

# %%
SONGS = []

if not SONGS:
    for genre in [name for name in genreline.GENRES if name in classes]:
        file = OUT / f"new-{genre}.ogg"
        soundfile.write(file, genreline.compose(genre, seed=2_000, duration_s=30), 8000)
        SONGS.append((genre, str(file)))

songs = {}
for _, song in SONGS:
    if genreline.is_url(song):
        songs[song] = genreline.youtube_to_melgram(song, OUT / "melgrams.npy")
    else:
        songs[song] = genreline.melgrams(genreline.segments(genreline.decode(song))).numpy()
        np.save(OUT / "melgrams.npy", songs[song])
    print(f"{song}: {songs[song].shape}")

# %% [markdown]
# ## 4.3 Timelines
#
# For each song: the genres on the vertical axis, the seconds on the horizontal one, a bar as high as the probability.
# Listen, and look whether it makes sense.

# %%
recognizer = genreline.Recognizer(genreline.Model.from_fit(run, spectrograms))
rows = []
for genre, song in SONGS:
    file = genreline.fetch(song).path if genreline.is_url(song) else song  # from the cache, where 4.2 has put it
    predictions = genreline.infer(genreline.make_loader(torch.from_numpy(songs[song])), run.network)
    timeline = recognizer(file)
    assert list(timeline.labels) == [classes[number] for number in predictions]
    right = float(np.mean(np.array(timeline.labels) == genre))
    rows.append([genre, timeline.dominant, timeline.overall[timeline.dominant], right])
    display(Markdown(f"**{genre}**"), Audio(filename=str(file)), genreline.draw(timeline))
    if len(rows) == 1:  # the predictions alone, as the source draws them: one second, one genre
        display(genreline.draw(predictions, classes))

# %% [markdown]
# How does the accuracy on these songs compare with that on the test set?

# %%
table(["song", "predicted", "mean probability", "share of its seconds that are right"], rows)
mean = float(np.mean([row[-1] for row in rows])) if rows else float("nan")
print(f"the songs' mean: {mean:.3f}; the test set's accuracy: {scores.accuracy:.3f}")
if rows:
    worst = min(rows, key=lambda row: row[-1])
    print(f"the hardest: {worst[0]}, predicted as {worst[1]}, {worst[-1]:.0%} of its seconds right")

# %% [markdown]
# The two figures differ for a reason worth remembering. A song is not a random sample: its seconds resemble each other,
# so that a song is mostly right or mostly wrong as a whole, and the mean of a few songs says little. And songs from
# elsewhere, recorded, mixed and compressed by other people, are harder than a test set that was cut from the same
# source as the training set. The composed songs come from the same composer as the training set; yours will not.

# %% [markdown]
# # Beyond the assignment
#
# ## A network and a training of today
#
# Here is what a small residual network (3 x 3 convolutions with batch normalisation, and a shortcut around every two)
# makes of the same data, trained as networks are today: AdamW, one cycle of the learning rate, pairs of segments mixed
# with their labels (mixup), a random equaliser over the mel bands, and the average of the weights over the last steps
# instead of the last weights themselves.

# %%
modern = genreline.Config(
    features="melgrams",
    model=genreline.ResNetConfig(),
    standardise=True,
    augmentation=genreline.AugmentationConfig(roll=True, shift_bands=2, equaliser_db=3.0, mixup=0.3),
    optimizer=genreline.OptimizerConfig(name="AdamW", lr=0.002, weight_decay=0.05),
    scheduler=genreline.SchedulerConfig(name="OneCycleLR"),
    weight_averaging=0.99,
    epochs=EPOCHS,
)
modern_run = fit(modern, spectrograms, DEVICE)
modern_scores = evaluate(melgram_loaders.test, modern_run.network, nn.CrossEntropyLoss())
table(
    ["network", "weights", "seconds of training", "test macro F1", "test accuracy"],
    [
        [
            name,
            f"{sum(p.numel() for p in each.network.parameters()):,}",
            f"{sum(epoch.seconds for epoch in each.history):.0f}",
            figures.f1_macro,
            figures.accuracy,
        ]
        for name, each, figures in [
            (f"the best of question 3 ({best.variant})", run, scores),
            ("a residual network", modern_run, modern_scores),
        ]
    ],
)

# %% [markdown]
# One run of each: on a set this small, seeds alone move such figures by a few hundredths. The study `beyond` compares
# both over three seeds: `show_study("beyond", **settings)`.
#
# ## A second and its neighbours
#
# A second is short, and a genre seldom changes from one to the next. The model that ships, `genres8-resnet`, was
# trained so on recorded music and weighs each second against those around it (forward-backward, with a probability to
# stay that was fitted on songs); `raw=True` has each second alone, as `infer` does. It knows recordings, not composed
# pieces like the ones above, so judge it by songs of your own.

# %%
song = SONGS[0][1]
file = genreline.fetch(song).path if genreline.is_url(song) else song
rows = []
for name, each in [
    ("each second alone", genreline.Recognizer.load(raw=True)),
    ("with its neighbours", genreline.Recognizer.load()),
]:
    timeline = each(file)
    changes = sum(a != b for a, b in zip(timeline.labels, timeline.labels[1:], strict=False))
    rows.append([name, timeline.verdict, changes])
    display(Markdown(f"**{name}**"), genreline.draw(timeline))
table(["labels", "verdict", "changes of label"], rows)
