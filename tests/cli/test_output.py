import json

import pytest

from savs.cli._output import percent, percents, print_json, printable, show, table, unlabelled_lines


def test__print_json__any_script_is_ascii_and_one_line(capsys):
    print_json({"label": "brön\n雪"})
    text = capsys.readouterr().out
    assert text.isascii()
    assert text.count("\n") == 1
    assert json.loads(text) == {"label": "brön\n雪"}


def test__print_json__nan__is_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        print_json({"accuracy": float("nan")})


def test__show__markup_escapes_and_long_lines__as_they_are(capsys):
    show("[red]label[/red] \x1b[31m" + 200 * "x")
    assert capsys.readouterr().out == "[red]label[/red] \\x1b[31m" + 200 * "x" + "\n"


def test__table__cells_in_brackets__are_no_markup(capsys):
    show(table(["class", "n"], [("[bold]cat[/bold]", 3)]))
    assert "[bold]cat[/bold]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain tëxt 雪", "plain tëxt 雪"), ("a\tb", "a\\tb"), ("\x07", "\\x07"), ("\u202eevil", "\\u202eevil")],
)
def test__printable__control_characters__are_spelled_out(text, shown):
    assert printable(text) == shown


def test__percent__one_decimal_or_a_dash():
    assert (percent(0.6666), percent(None), percents((0.5, 1))) == ("66.7 %", "-", "50.0 to 100.0 %")


def test__unlabelled_lines__no_part_of_the_offsets_used__said_so():
    report = {"unlabelled": {"n": 14, "strength": 0.0, "offsets": [0.0, 0.0]}}
    assert unlabelled_lines(report) == [
        "14 unlabelled items change nothing: held-out shots are surer without them"
    ]
