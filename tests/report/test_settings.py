"""What made a run, in words."""

from nas.report.settings import settings_section


def test_what_is_empty_is_left_out_and_what_is_zero_or_no_limit_is_not():
    config = {
        "versions": {"torch": "2.13", "the engine": "3"}, "seed": 0, "unique": False, "constraint": [], "target": None,
        "set": {"evolution": {"population": 20, "batch": 1}}, "plugin": ["a.py", "b.py"], "batch_size": 64,
    }  # fmt: skip
    made = [{"machine": "a laptop", "torch": "2.13"}, {"machine": "a server", "torch": "2.13"}]
    section = settings_section(config, "nas search --seed 0", made)
    own, versions = (table.frame.to_numpy().tolist() for table in section.tables)
    assert own == [
        ["machine", "a laptop; then a server"], ["torch", "2.13"], ["seed", "0"], ["limits", "none"],
        ["options of plug-ins", "evolution.population=20, evolution.batch=1"], ["plug-ins", "a.py, b.py"],
        ["images at a time", "64"],
    ]  # fmt: skip
    assert versions == [["torch", "2.13"], ["the engine", "3"]]
    assert section.command == "nas search --seed 0"
    assert settings_section({"seed": 1}).command == ""
    assert settings_section({"seed": 1}).tables[0].frame.to_numpy().tolist() == [
        ["machine", "not recorded"], ["seed", "1"],
    ]  # fmt: skip
