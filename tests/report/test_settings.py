"""What made a run, in words."""

from nas.report.settings import settings_section


def test_what_is_empty_is_left_out_and_what_is_zero_is_not():
    config = {
        "versions": {"torch": "2.13", "the engine": "3"}, "seed": 0, "unique": False, "constraint": [], "target": None,
        "set": {"evolution": {"population": 20, "batch": 1}}, "plugin": ["a.py", "b.py"], "batch_size": 64,
    }  # fmt: skip
    section = settings_section(config, "nas search --seed 0")
    own, versions = (table.frame.to_numpy().tolist() for table in section.tables)
    assert own == [
        ["seed", "0"], ["options of plug-ins", "evolution.population=20, evolution.batch=1"], ["plugin", "a.py, b.py"],
        ["batch size", "64"],
    ]  # fmt: skip
    assert versions == [["torch", "2.13"], ["the engine", "3"]]
    assert section.text.endswith("nas search --seed 0")
    assert settings_section({"seed": 1}).text == ""
