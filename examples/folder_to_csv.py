"""Write one CSV row for each song of a folder: `python folder_to_csv.py FOLDER OUT.csv`."""

import csv
import sys
from pathlib import Path

from genreline import AudioError, Recognizer

recognizer = Recognizer.load()
with open(sys.argv[2], "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["song", "genre", "mean_probability"])
    for path in sorted(path for path in Path(sys.argv[1]).rglob("*") if path.is_file()):
        try:
            timeline = recognizer(path)
        except AudioError as error:
            print("skipped:", error, file=sys.stderr)
            continue
        writer.writerow([path.name, timeline.dominant, round(timeline.overall.get(timeline.dominant, 1), 4)])
