"""Train a model on folders of audio, one for each class: `python train_your_own.py MUSIC OUT`.

`make demo` composes such folders: `python train_your_own.py genreline-demo/music mine`.
"""

import sys
from pathlib import Path

from genreline import Config, Model, fit, load_dataset, prepare, save_model

music, out = sys.argv[1], Path(sys.argv[2])
prepare(music, out / "dataset")
dataset = load_dataset(out / "dataset", "mfccs")
result = fit(
    Config(features="mfccs", epochs=10, standardise=True),
    dataset,
    on_epoch=lambda epoch: print(f"train loss {epoch.train_loss:.3f}"),
)
save_model(Model.from_fit(result, dataset), out / "model")
print("classes:", ", ".join(dataset.classes))
