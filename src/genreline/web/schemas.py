"""The shape of a timeline's JSON, as `Timeline.to_json` writes it, for the service's description of itself."""

from pydantic import BaseModel, Field


class Second(BaseModel):
    """What one second sounds like. `probabilities` has all classes, and sums to 1 unless there are `thresholds`."""

    start_s: float
    end_s: float
    label: str = Field(description="Of a multi-label model, all of its labels between |, or nothing.")
    confidence: float
    probabilities: dict[str, float]
    label_raw: str | None = Field(None, description="Of the second alone, where the song's other seconds count too.")
    confidence_raw: float | None = None
    peaks: list[float] | None = Field(None, description="Of examples: the peak of each tenth of a second.")


class Stretch(BaseModel):
    """Consecutive seconds with a label; those of different labels overlap where the model is multi-label."""

    start_s: float
    end_s: float
    label: str
    confidence: float


class TimelineSchema(BaseModel):
    """A timeline: the song as a whole, and its seconds."""

    title: str
    model: str
    duration_s: float
    classes: list[str] = Field(description="In the order of the model.")
    dominant: str = Field(description="The class with the highest mean probability.")
    verdict: str = Field(description="The dominant class in words, or that the song is unsure between two.")
    unsure_margin: float = Field(description="What the two most probable classes must be apart to name one of them.")
    thresholds: dict[str, float] | None = Field(
        None, description="Of a multi-label model: the least probability of each class at which a second has its label."
    )
    overall: dict[str, float] = Field(description="Each class's mean probability over time.")
    runs: list[Stretch]
    seconds: list[Second]
    incomplete: str | None = Field(None, description="Why the timeline ends before the song does, if it does.")


_SECOND = {
    "start_s": 0,
    "end_s": 1,
    "label": "jazz",
    "confidence": 0.8,
    "probabilities": {"jazz": 0.8, "rock": 0.2},
}
EXAMPLE_TIMELINE = {
    "title": "Example",
    "model": "example",
    "duration_s": 1,
    "classes": ["jazz", "rock"],
    "dominant": "jazz",
    "verdict": "jazz",
    "unsure_margin": 0,
    "overall": {"jazz": 0.8, "rock": 0.2},
    "runs": [{"start_s": 0, "end_s": 1, "label": "jazz", "confidence": 0.8}],
    "seconds": [_SECOND],
}
"""The shortest timeline, which a page that shows this description can send at once."""
