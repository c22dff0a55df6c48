"""Recognize a song's seconds without genreline: `python onnx_alone.py MODEL.onnx SONG.wav`.

Needs onnxruntime and numpy alone. MODEL.onnx comes from `genreline export genres8-resnet --onnx MODEL.onnx`, SONG.wav
(16 bits, mono, 8 kHz) from `ffmpeg -i song.mp3 -ac 1 -ar 8000 SONG.wav`.
Set ORT_DISABLE_TELEMETRY=1, or ONNX Runtime from 1.29 on reports its use to its makers.
"""

import json
import sys
import wave

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
facts = session.get_modelmeta().custom_metadata_map
classes, rate_hz = json.loads(facts["classes"]), int(facts["rate_hz"])

with wave.open(sys.argv[2]) as file:
    if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, rate_hz):
        raise SystemExit(f"{sys.argv[2]}: is not 16-bit mono at {rate_hz} Hz; convert it with ffmpeg")
    samples = np.frombuffer(file.readframes(file.getnframes()), np.int16) / np.float32(32768)

seconds = samples[: len(samples) // rate_hz * rate_hz].reshape(-1, rate_hz)
(probabilities,) = session.run(["probabilities"], {"waveform": seconds})
edge = int(facts["silence_ignores_samples"])
has_sound = seconds[:, edge:-edge].std(axis=1) >= float(facts["silence_rms"])
for start_s, row in enumerate(probabilities):
    print(start_s, f"{classes[row.argmax()]} {row.max():.2f}" if has_sound[start_s] else "silence")
if has_sound.any():
    print("genre:", classes[probabilities[has_sound].mean(axis=0).argmax()])
