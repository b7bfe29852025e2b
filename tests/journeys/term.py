"""A term at two schools: every way in which data leave, used for the pupils of school A, p0 of both schools first."""

from __future__ import annotations

from typing import Any

from tests.journeys.test_family import Parent
from tests.journeys.test_grades import Lesson
from tests.journeys.test_transcript import DOCUMENT
from tests.worlds import Caller, World


class Term(Lesson):
    """A lesson, readers of one school and of both, a college, and a parent: each has had what it asked for."""

    def __init__(self, world: World, wire: Any, pupil: str = "p0") -> None:
        super().__init__(world, wire)
        self.pupil = pupil
        self.reader: Caller = world.reader("A", schedule=("SNM", "ENR", "SCH", "DEM", "PGI"))
        self.ids: Caller = world.reader("A", schedule=("SNM", "SID", "ENR", "PGI"), name="Names")
        self.both: Caller = world.reader("A", "B", name="Both")
        self.send(**{pupil: "proficient"})
        self.lms.launch(world, self.lms.message(pupil, "Learner"))
        for caller in (self.reader, self.ids, self.both):
            caller.read("students")
            caller.read("enrollments")
        self.reader.read("demographics")
        self.ids.read(f"students/{pupil}")
        self.ids.read("students/nobody")
        self.transcript = self.fetch_transcript()
        self.parent = Parent(world, pupil)
        self.parent.ask()

    def fetch_transcript(self) -> str:
        """A transcript of the pupil, fetched by the college it was directed to."""
        world = self.world
        world.agree("College", "higher_ed", ("TRN",), ("transcript.deliver",), ("transcript_delivery",), ["A"],
                    directed=False)  # fmt: skip
        college = world.connect("College", "transcripts.read", schools=["A"])
        issued = self.app.call(
            "POST", "/v1/transcripts", json={"person": self.people[self.pupil], "document": DOCUMENT}
        )  # fmt: skip
        ref = str(issued.json["id"])
        world.direct(world.agreements["College"], "transcript.deliver", ["A"], record=f"{ref}@1")
        assert college.get(f"/v1/transcripts/{ref}").status_code == 200
        return ref
