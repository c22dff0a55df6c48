"""Print the genre of a song and its stretches of one genre: `python predict_song.py SONG`."""

import sys

from genreline import Recognizer

timeline = Recognizer.load()(sys.argv[1])
print("genre:", timeline.dominant)
for run in timeline.runs():
    print(f"{run.start_s:6.1f} s to {run.end_s:6.1f} s  {run.label}  {run.confidence:.0%}")
