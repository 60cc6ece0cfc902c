"""`plan` accepts each job that from-phdlab makes of the authors' public configurations."""
import pytest
from phdlab_stand_ins import StandIns, public

from eigenscope_analysis import phdlab


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory, small):
    return StandIns(tmp_path_factory.mktemp("stand-ins"))


def test_plan_accepts_all(stand_ins):
    accepted = 0
    for name, job, _ in phdlab.convert_all("public.jsonl", public()):
        if job is not None:
            assert stand_ins.plan(job), name
            accepted += 1
    assert accepted >= 170
