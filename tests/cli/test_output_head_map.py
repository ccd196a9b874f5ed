from savs.cli._output import head_map, head_map_lines
from savs.layout import Head, HeadLayout

RAGGED = HeadLayout(
    (Head(0, 0), Head(0, 1), Head(2, 0), Head(2, 1), Head(2, 2)),
    (3, 3, 5, 5, 5),
)


def test__head_map__ragged_layers__none_where_there_is_no_head():
    assert head_map(RAGGED, [1, 2, 3, 4, 5]) == [[1, 2, None], [None, None, None], [3, 4, 5]]


def test__lines__shade_by_score_and_mark_kept_heads():
    lines = head_map_lines(RAGGED, [0, 1, 4, 2, 0], {(2, 0)}, unicode=False)
    assert lines[1:] == [
        "   0    ..--",
        "   1  ------",
        "   2  *#::",
        "* kept; . 0 to # 4 correct shots",
    ]


def test__lines__all_scores_equal__no_division_by_zero():
    assert head_map_lines(RAGGED, [3] * 5, set(), unicode=True)[1] == "   0  ████--"


def test__lines__many_heads__fit_into_eighty_columns():
    layout = HeadLayout.uniform(2, 64, 4)
    kept = {(1, 63)}
    lines = head_map_lines(layout, [1] * 127 + [2], kept, unicode=True)
    assert max(map(len, lines)) <= 80
    assert lines[2].endswith("◆")
    assert sum(line.count("◆") for line in lines[:-1]) == 1
